//! The audit file: who asked what and what came back, one JSON line each, chained so that one can
//! prove that nothing was changed since.
//!
//! This file is the side of the requests: [`Audit`] takes records and hands them to a thread of their
//! own (`writer`), which never makes a request wait for the disk. `chain` is the form of a record,
//! `entry` what it says, `redact` what it must not say; `file` opens and locks, `rotate` names the
//! files that are full. `read`, `verify`, `show` and `stats` are the way back, for `modeltap audit`.

pub mod chain;
pub mod entry;
mod file;
mod queue;
pub mod read;
pub mod redact;
mod rotate;
pub mod show;
pub mod stats;
pub mod verify;
mod writer;

use crate::mcp::outbox::Report;
use entry::{Fields, Rx, Tx};
pub use file::{is_in_use, look};
use queue::Queue;
use regex_lite::Regex;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};
use writer::Writer;

/// How long the start waits for the file to be open, so that the first request finds it so.
const OPENING: Duration = Duration::from_millis(500);
/// Room for the members of a usual record.
const USUAL: usize = 512;

/// How much of a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// All of it.
    Full,
    /// All but secrets and files.
    Redacted,
    /// Its SHA-256 and its size.
    Hash,
    /// Its size.
    None,
}

/// The policies and their names.
pub const POLICIES: &[(&str, Policy)] = &[
    ("full", Policy::Full),
    ("redacted", Policy::Redacted),
    ("hash", Policy::Hash),
    ("none", Policy::None),
];

impl Policy {
    /// Its name in settings and records.
    pub fn name(self) -> &'static str {
        POLICIES.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }
}

/// The settings of the audit file.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is; nothing is written where there is none.
    pub file: Option<PathBuf>,
    /// Whether requests are refused while it cannot be written.
    pub required: bool,
    /// How much of bodies is written.
    pub body: Policy,
    /// What is taken out of bodies beyond the usual secrets.
    pub patterns: Vec<Regex>,
    /// Bytes after which a new file is begun.
    pub max_size: u64,
    /// Age after which a new file is begun.
    pub max_age: Option<Duration>,
    /// How many full files are kept; 0 keeps all.
    pub keep: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            file: None,
            required: false,
            body: Policy::Redacted,
            patterns: Vec::new(),
            max_size: 100 * 1024 * 1024,
            max_age: None,
            keep: 10,
        }
    }
}

/// The way to the audit file. Clones share it. Without a file it takes everything and does nothing.
#[derive(Clone)]
pub struct Audit {
    queue: Option<Arc<Queue>>,
    policy: Policy,
    required: bool,
}

impl Audit {
    /// Starts the thread that writes, which ends at [`Audit::close`] or with the process. Where the
    /// file cannot be opened or locked, that is told to `report` and tried again each second.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn start(settings: Settings, report: Report) -> io::Result<Self> {
        let (policy, required) = (settings.body, settings.required);
        let Some(path) = settings.file.clone() else {
            return Ok(Audit { queue: None, policy, required });
        };
        let queue = Arc::new(Queue::default());
        let writer = Writer::new(queue.clone(), settings, path, report);
        thread::Builder::new().name("audit".into()).spawn(move || writer.run())?;
        queue.wait_tried(OPENING);
        Ok(Audit { queue: Some(queue), policy, required })
    }

    /// Whether records are written at all, so that nobody gathers what nobody wants.
    pub fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    /// Takes down a request as it came. Costs a copy of the body; the file is written later.
    pub fn rx(&self, rx: &Rx) {
        self.put("rx", Some(rx.body), |fields| fields.rx(rx));
    }

    /// Takes down how a request was answered, likewise.
    pub fn tx(&self, tx: &Tx) {
        self.put("tx", tx.body.map(str::as_bytes), |fields| fields.tx(tx));
    }

    fn put(&self, kind: &str, body: Option<&[u8]>, write: impl FnOnce(&mut Fields)) {
        let Some(queue) = &self.queue else { return };
        let mut fields = Vec::with_capacity(USUAL);
        write(&mut Fields::new(&mut fields, kind, SystemTime::now()));
        let body = match (self.policy, body) {
            // Nobody will need the bytes.
            (Policy::None, Some(body)) => {
                entry::push_size(&mut fields, body.len());
                None
            }
            (_, body) => body,
        };
        queue.put(&fields, body);
    }

    /// Whether the file cannot be written now. What comes meanwhile is kept as far as there is room.
    pub fn is_failing(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.is_failing())
    }

    /// How many records were taken, and how many were lost for want of room; `None` without a file.
    pub fn counts(&self) -> Option<(u64, u64)> {
        self.queue.as_ref().map(|queue| queue.counts())
    }

    /// Whether a request must be refused now: the file cannot be written, and it was said to be
    /// required.
    pub fn refuses(&self) -> bool {
        self.required && self.is_failing()
    }

    /// Writes all that waits and the end of the run, for `most` at most, and takes nothing more.
    pub fn close(&self, most: Duration) {
        if let Some(queue) = &self.queue {
            queue.close(most);
        }
    }
}
