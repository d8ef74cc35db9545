//! The names of calls: one for life, and one for each time that a host gets it.

use std::fmt;
use std::hash::{Hash, Hasher};
use uuid::Uuid;

/// The id of one asked completion; on the wire 32 hexadecimal digits, on every side the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CallId(Uuid);

impl Hash for CallId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Half of so much chance tells them apart.
        state.write_u64(self.0.as_u64_pair().1);
    }
}

impl CallId {
    /// The id of no call.
    pub const NIL: CallId = CallId(Uuid::nil());

    /// A new id, random.
    pub fn random() -> Self {
        CallId(Uuid::new_v4())
    }

    /// Reads an id as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(CallId)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_simple().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One handing-out of a call to a host: the name under which that host answers. It is written as
/// the call's id; from the second handing-out on a dash and its number follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Handle {
    /// The call.
    pub call: CallId,
    /// Which handing-out it is, from 1.
    pub(super) turn: u32,
}

impl Handle {
    /// Reads a handle as [`fmt::Display`] writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, turn) = match text.split_once('-') {
            // Ids are also understood in their form with dashes.
            Some((id, turn)) if id.len() == 32 => (id, turn.parse().ok().filter(|t| *t > 1)?),
            _ => (text, 1),
        };
        Some(Handle { call: CallId::parse(id)?, turn })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.turn {
            1 => self.call.fmt(f),
            turn => write!(f, "{}-{turn}", self.call),
        }
    }
}
