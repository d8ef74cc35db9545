//! What each token has used: the counts, their file's text, and the meter that a running bridge
//! counts with. Pure: no files, no clocks.

use super::gate::Gate;
use super::token_json::{Moment, Text, strict};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 24 * 60 * 60;
const VERSION: u32 = 1;

/// Usage by the ids of tokens.
pub type Usages = BTreeMap<String, Usage>;

/// A day in UTC, written as `2026-11-21`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Day(u64);

impl Day {
    /// The day of `time`.
    pub fn of(time: SystemTime) -> Self {
        Day(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / DAY)
    }

    /// How long it is from `time` to the end of its day, when the counts of a day begin anew.
    pub fn left(time: SystemTime) -> Duration {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs((since.as_secs() / DAY + 1) * DAY).saturating_sub(since)
    }
}

impl FromStr for Day {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let midnight = humantime::parse_rfc3339(&format!("{text}T00:00:00Z"));
        midnight.map(Day::of).map_err(|_| "a day is written as 2026-12-31".into())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let midnight = UNIX_EPOCH + Duration::from_secs(self.0.saturating_mul(DAY));
        f.write_str(super::token::moment(midnight).split('T').next().unwrap_or_default())
    }
}

/// What a token has used.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Requests, those that failed included.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of completions.
    pub completion_tokens: u64,
    /// The day that `day_tokens` were used on.
    #[serde(serialize_with = "write_day", deserialize_with = "read_day")]
    pub day: Day,
    /// Tokens of prompts and completions on that day.
    pub day_tokens: u64,
    /// When it was used last.
    #[serde(serialize_with = "write_moment", deserialize_with = "read_moment")]
    pub last_used: Option<SystemTime>,
}

impl Usage {
    /// Adds what was used besides. Of the counts of a day only those of `today` stay, so that a
    /// clock that was wrong for a while does not spoil the days after it.
    pub fn add(&mut self, other: &Usage, today: Day) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.day_tokens = self.on(today).saturating_add(other.on(today));
        self.day = today;
        self.last_used = self.last_used.max(other.last_used);
    }

    /// The tokens used on `day`, as far as they are still known.
    pub fn on(&self, day: Day) -> u64 {
        if self.day == day { self.day_tokens } else { 0 }
    }
}

fn write_day<S: Serializer>(day: &Day, to: S) -> Result<S::Ok, S::Error> {
    Text(day).serialize(to)
}

fn read_day<'de, D: Deserializer<'de>>(from: D) -> Result<Day, D::Error> {
    Text::deserialize(from).map(|text| text.0)
}

fn write_moment<S: Serializer>(time: &Option<SystemTime>, to: S) -> Result<S::Ok, S::Error> {
    time.map(|time| Text(Moment(time))).serialize(to)
}

fn read_moment<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SystemTime>, D::Error> {
    Ok(Option::<Text<Moment>>::deserialize(from)?.map(|text| text.0.0))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    usage: Usages,
}

/// The usage that the text of the file tells.
///
/// # Errors
/// One line that names the place and what is wrong there.
pub fn read(text: &str) -> Result<Usages, String> {
    let file: File = strict(text)?;
    match file.version {
        VERSION => Ok(file.usage),
        other => Err(format!("version {other} is not known here, only {VERSION}")),
    }
}

/// The text of the file.
pub fn write(usage: Usages) -> String {
    // Nothing in these types can fail to become JSON.
    let text = serde_json::to_string_pretty(&File { version: VERSION, usage });
    text.unwrap_or_default() + "\n"
}

/// What limits are held against.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Requests in all the token's life.
    pub requests: u64,
    /// Tokens of prompts and completions on this UTC day.
    pub day_tokens: u64,
}

/// Counts what one token uses in this process, on top of what its file tells.
#[derive(Debug, Default)]
pub struct Meter {
    counts: Mutex<Counts>,
    /// The door for those who have this token.
    pub gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Counts {
    /// As the file tells.
    written: Usage,
    /// Being written.
    writing: Option<Usage>,
    /// Not yet.
    waiting: Option<Usage>,
}

impl Counts {
    fn wait(&mut self, more: &Usage, today: Day) {
        self.waiting.get_or_insert_default().add(more, today);
    }
}

impl Meter {
    /// Counts a request that is over.
    pub fn count(&self, prompt: u64, completion: u64, failed: bool, now: SystemTime) {
        let today = Day::of(now);
        let more = Usage {
            requests: 1,
            errors: u64::from(failed),
            prompt_tokens: prompt,
            completion_tokens: completion,
            day: today,
            day_tokens: prompt.saturating_add(completion),
            last_used: Some(now),
        };
        self.counts().wait(&more, today);
    }

    /// What is used of the limits, by this process up to now and by others as of their last writing.
    pub fn used(&self, now: SystemTime) -> Used {
        let (counts, today) = (self.counts(), Day::of(now));
        let parts = [Some(&counts.written), counts.writing.as_ref(), counts.waiting.as_ref()];
        let none = Used { requests: 0, day_tokens: 0 };
        parts.into_iter().flatten().fold(none, |used, part| Used {
            requests: used.requests.saturating_add(part.requests),
            day_tokens: used.day_tokens.saturating_add(part.on(today)),
        })
    }

    /// What the file tells now.
    pub(super) fn told(&self, usage: Usage) {
        self.counts().written = usage;
    }

    /// What is to be added to the file, until [`Meter::written`] or [`Meter::unwritten`].
    pub(super) fn take(&self) -> Option<Usage> {
        let mut counts = self.counts();
        counts.writing = counts.waiting.take();
        counts.writing.clone()
    }

    /// What was taken is in the file, which now tells this of the token.
    pub(super) fn written(&self, usage: Usage) {
        let mut counts = self.counts();
        counts.writing = None;
        counts.written = usage;
    }

    /// What was taken could not be written.
    pub(super) fn unwritten(&self, now: SystemTime) {
        let mut counts = self.counts();
        if let Some(usage) = counts.writing.take() {
            counts.wait(&usage, Day::of(now));
        }
    }

    // Held for a few additions, never over I/O.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tests::at;
    use super::*;

    const TODAY: u64 = 1_795_219_200; // 2026-11-21T00:00:00Z

    #[test]
    fn days_are_read_and_written_in_utc() {
        let day = Day::of(at(TODAY + DAY - 1));
        assert_eq!(day.to_string(), "2026-11-21");
        assert_eq!("2026-11-21".parse(), Ok(day));
        assert_eq!(Day::left(at(TODAY)).as_secs(), DAY);
        assert_eq!(Day::left(at(TODAY + DAY - 1)).as_secs(), 1);
        for text in ["", "2026-11-32", "2026-11-21T00:00:00Z", "21.11.2026"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_text_of_usage_is_strict() {
        let usage = Usage {
            requests: 3,
            day: Day::of(at(TODAY)),
            day_tokens: 7,
            last_used: Some(at(TODAY)),
            ..Usage::default()
        };
        let all = Usages::from([("00000001".to_owned(), usage)]);
        let text = write(all.clone());
        assert_eq!(read(&text), Ok(all));
        for (was, is, said) in [
            ("\"requests\": 3", "\"requests\": -3", "usage.00000001.requests"),
            ("\"errors\"", "\"error\"", "unknown field `error`"),
            ("2026-11-21\"", "today\"", "2026-12-31"),
            ("\"version\": 1", "\"version\": 2", "version 2"),
        ] {
            let error = read(&text.replacen(was, is, 1)).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_meter_counts_on_top_of_what_is_written() {
        let (meter, now) = (Meter::default(), at(TODAY));
        let used = |requests, day_tokens| Used { requests, day_tokens };
        meter.told(Usage { requests: 10, day: Day::of(now), day_tokens: 100, ..Usage::default() });
        meter.count(5, 6, false, now);
        assert_eq!(meter.used(now), used(11, 111));
        let delta = meter.take().unwrap();
        assert_eq!((delta.requests, delta.errors, delta.day_tokens), (1, 0, 11));
        meter.count(1, 0, true, now);
        assert_eq!(meter.used(now), used(12, 112));
        // The disc was full.
        meter.unwritten(now);
        assert_eq!(meter.used(now), used(12, 112));
        let delta = meter.take().unwrap();
        assert_eq!((delta.requests, delta.errors, delta.day_tokens), (2, 1, 12));
        assert_eq!((delta.prompt_tokens, delta.completion_tokens), (6, 6));
        // Another process has written too.
        meter.written(Usage { requests: 20, day: Day::of(now), day_tokens: 9, ..delta });
        assert_eq!(meter.used(now), used(20, 9));
        assert_eq!(meter.take(), None);
    }

    #[test]
    fn a_new_day_begins_at_nothing_whichever_way_the_clock_goes() {
        let meter = Meter::default();
        meter.count(10, 0, false, at(TODAY));
        for now in [TODAY + DAY, TODAY, TODAY - DAY, TODAY + 1] {
            assert_eq!(
                meter.used(at(now)).day_tokens,
                if now / DAY == TODAY / DAY { 10 } else { 0 }
            );
        }
        meter.count(3, 0, false, at(TODAY - DAY));
        assert_eq!(meter.used(at(TODAY - DAY)).day_tokens, 3);
        let mut usage = meter.take().unwrap();
        assert_eq!((usage.requests, usage.prompt_tokens), (2, 13));
        let tomorrow = Day::of(at(TODAY + DAY));
        usage.add(&Usage { day: tomorrow, day_tokens: 4, ..Usage::default() }, tomorrow);
        assert_eq!((usage.day, usage.day_tokens), (tomorrow, 4));
        usage.add(&Usage { day: Day::of(at(TODAY)), day_tokens: 5, ..Usage::default() }, tomorrow);
        assert_eq!((usage.day, usage.day_tokens), (tomorrow, 4));
    }
}
