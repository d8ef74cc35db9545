//! The system's clock, within what can be told: a clock that is set before 1970 or behind the year
//! 9999 has no text, and what formats times ends in a panic over it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999, in Unix time.
pub const LAST_SECOND: u64 = 253_402_300_799;

/// The time, or the nearest that can be told.
pub fn now() -> SystemTime {
    within(SystemTime::now())
}

/// The nearest time that can be told.
pub fn within(time: SystemTime) -> SystemTime {
    let last = UNIX_EPOCH.checked_add(Duration::from_secs(LAST_SECOND));
    time.max(UNIX_EPOCH).min(last.unwrap_or(time))
}

/// Seconds since 1970.
pub fn unix_time() -> u64 {
    now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_text_becomes_the_nearest_that_has() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(within(UNIX_EPOCH - Duration::from_secs(9)), at(0));
        assert_eq!(within(at(LAST_SECOND + 9)), at(LAST_SECOND));
        assert_eq!(within(at(7)), at(7));
        assert!((1_700_000_000..LAST_SECOND).contains(&unix_time()));
    }
}
