//! How much one caller may ask: at once, over time, in a day, and in all; how he stands to that, and
//! what he is told when he has had it. The door that goes by it is in `gate`.

use super::rate::Rate;
use std::fmt;
use std::time::Duration;

/// What a caller may have. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Requests over time.
    pub rate: Option<Rate>,
    /// Requests at once.
    pub concurrent: Option<usize>,
    /// Requests in all.
    pub requests: Option<u64>,
    /// Tokens of prompts and answers in a day.
    pub tokens_per_day: Option<u64>,
}

/// One limit, how much of it is left, and when it is whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// All of it.
    pub limit: u64,
    /// What is left.
    pub remaining: u64,
    /// Until it is whole again; `None` where it never is.
    pub reset: Option<Duration>,
}

/// How a caller stands to his limits, for the headers of answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Of requests.
    pub requests: Option<Budget>,
    /// Of tokens.
    pub tokens: Option<Budget>,
}

/// The limit that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barrier {
    /// Requests over time.
    Rate(Rate),
    /// Requests at once.
    Concurrent(usize),
    /// Tokens in a day.
    Day(u64),
    /// Requests in all.
    Requests(u64),
}

/// A caller has had what he may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    /// Which limit it is.
    pub barrier: Barrier,
    /// When to try again.
    pub retry_after: Duration,
    /// How the caller stands.
    pub standing: Standing,
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.barrier {
            Barrier::Rate(rate) => write!(f, "no more than {rate} requests are allowed"),
            Barrier::Concurrent(most) => {
                write!(f, "no more than {most} requests at once are allowed")
            }
            Barrier::Day(most) => {
                write!(f, "the {most} tokens of today (UTC) are used; tomorrow there are more")
            }
            Barrier::Requests(most) => {
                write!(f, "the {most} requests of this token are used: ask for it to be extended")
            }
        }
    }
}

impl Allowance {
    /// Whether anything is limited.
    pub fn is_limited(&self) -> bool {
        *self != Allowance::default()
    }

    /// What holds up those who stand in line.
    pub fn barrier_in_line(&self) -> Barrier {
        match (self.rate, self.concurrent) {
            (Some(rate), _) => Barrier::Rate(rate),
            (None, most) => Barrier::Concurrent(most.unwrap_or(0)),
        }
    }
}
