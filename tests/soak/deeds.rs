//! What a client asks of the host in its question, so that it knows what must come back: the host
//! does as it is told, and remembers nothing.

use std::fmt;
use std::time::Duration;

/// What the host does with a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Answers at once.
    Answer,
    /// Answers at once, in so many bytes.
    Long(usize),
    /// Answers after so many milliseconds.
    Late(u64),
    /// Answers, and then once more.
    Twice,
    /// Says an error with this code.
    Fail(i64),
    /// Says what is no answer.
    Misform,
    /// Never says anything.
    Never,
}

/// Codes of errors, and the status that a client gets for each.
pub const CODES: [(i64, u16); 4] = [(-1, 403), (-32601, 501), (-32602, 400), (-32603, 502)];

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Answer => f.write_str("answer 0"),
            Deed::Long(bytes) => write!(f, "long {bytes}"),
            Deed::Late(millis) => write!(f, "late {millis}"),
            Deed::Twice => f.write_str("twice 0"),
            Deed::Fail(code) => write!(f, "fail {code}"),
            Deed::Misform => f.write_str("misform 0"),
            Deed::Never => f.write_str("never 0"),
        }
    }
}

impl Deed {
    /// The question that asks for this, with a text of the client's own behind.
    pub fn question(self, number: u64, padding: &str) -> String {
        format!("soak {number} {self} {padding}")
    }

    /// Reads a question: its number, and what is asked for.
    pub fn read(question: &str) -> Option<(u64, Deed)> {
        let mut words = question.strip_prefix("soak ")?.splitn(4, ' ');
        let number = words.next()?.parse().ok()?;
        let (deed, how) = (words.next()?, words.next()?.parse::<i64>().ok()?);
        let deed = match deed {
            "answer" => Deed::Answer,
            "long" => Deed::Long(how.try_into().ok()?),
            "late" => Deed::Late(how.try_into().ok()?),
            "twice" => Deed::Twice,
            "fail" => Deed::Fail(how),
            "misform" => Deed::Misform,
            "never" => Deed::Never,
            _ => return None,
        };
        Some((number, deed))
    }

    /// The one right answer to this question.
    pub fn answer(self, number: u64) -> String {
        let mut answer = format!("answer to {number}");
        if let Deed::Long(bytes) = self {
            while answer.len() < bytes {
                answer.push_str(" and so on");
            }
        }
        answer
    }

    /// The status of what a client gets for it.
    pub fn status(self) -> u16 {
        match self {
            Deed::Fail(code) => CODES.iter().find(|(of, _)| *of == code).map_or(502, |(_, s)| *s),
            Deed::Misform => 502,
            Deed::Never => 504,
            _ => 200,
        }
    }

    /// When the host does it, from the question on.
    pub fn delay(self) -> Duration {
        match self {
            Deed::Late(millis) => Duration::from_millis(millis),
            _ => Duration::ZERO,
        }
    }
}
