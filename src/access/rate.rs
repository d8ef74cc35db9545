//! How often: `60/min`, `5/s`, `1000/day`, or a bare number, which is by the minute.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// So many in so long a time. All of them may come at once; then they come back one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least 1.
    pub count: NonZeroU32,
    /// In which time.
    pub unit: Unit,
}

/// The time that a rate is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Their names say it.
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
}

const UNITS: [(&str, Unit); 9] = [
    ("s", Unit::Second),
    ("min", Unit::Minute),
    ("h", Unit::Hour),
    ("day", Unit::Day),
    ("sec", Unit::Second),
    ("second", Unit::Second),
    ("m", Unit::Minute),
    ("minute", Unit::Minute),
    ("hour", Unit::Hour),
];

impl Unit {
    /// How long it is.
    pub fn time(self) -> Duration {
        Duration::from_secs(match self {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 60 * 60,
            Unit::Day => 24 * 60 * 60,
        })
    }
}

impl Rate {
    /// Between two that come evenly.
    pub fn interval(self) -> Duration {
        self.unit.time() / self.count.get()
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, unit) = text.split_once('/').unwrap_or((text, "min"));
        let unit = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()));
        match (count.trim().parse(), unit) {
            (Ok(count), Some((_, unit))) => Ok(Rate { count, unit: *unit }),
            _ => Err(format!(
                "{text:?} is no rate such as 60/min, 5/s, 100/h, 1000/day, or 60 a minute"
            )),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = UNITS.iter().find(|(_, unit)| *unit == self.unit).map_or("", |(name, _)| name);
        write!(f, "{}/{name}", self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, written, seconds) in [
            ("60/min", "60/min", 1.0),
            ("60", "60/min", 1.0),
            (" 5 / S ", "5/s", 0.2),
            ("100/hour", "100/h", 36.0),
            ("1/day", "1/day", 86400.0),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(
                (rate.to_string().as_str(), rate.interval().as_secs_f64()),
                (written, seconds)
            );
        }
        for text in ["", "0", "0/min", "-1", "60/fortnight", "/min", "1.5/s", "4294967296"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
