//! The correlation table: the one place where a waiting client and a host's answer meet.
//!
//! Invariants, which hold whatever the host and the client do:
//! - each call that is opened leaves exactly once: answered, failed, expired or cancelled;
//! - an answer that comes late or twice is refused by name, and never reaches another call;
//! - no call is left behind by a thread that went away: its [`Ticket`] closes its calls when dropped.
//!
//! The room does not know who asks or who answers.

use crate::chat::{Event, Failure};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How many ended calls are remembered, to tell a late answer from an unknown id.
const REMEMBERED: usize = 1024;
/// How many deliveries may wait for a client that reads slowly.
const UNREAD: usize = 4096;

/// The id of one asked completion; on the wire 32 hexadecimal digits, on every side the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallId(Uuid);

impl CallId {
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
        self.0.as_simple().fmt(f)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// How a call left the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was answered to the end, by the host.
    Answered,
    /// It was failed, by the host or because the bridge was stopping.
    Failed,
    /// Its deadline passed.
    Expired,
    /// Its client went away.
    Cancelled,
}

/// Why a delivery was not taken. [`fmt::Display`] says it in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No call of this id was ever waiting, or too long ago to be remembered.
    Unknown,
    /// The call is over.
    Over(Ended),
    /// Its client does not read what was delivered before.
    Unread,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refused::Unknown => "no request with this request_id is waiting",
            Refused::Over(Ended::Answered) => "this request was already answered",
            Refused::Over(Ended::Failed) => "this request already failed",
            Refused::Over(Ended::Expired) => "this reply is late: the request timed out",
            Refused::Over(Ended::Cancelled) => "this reply is late: the client went away",
            Refused::Unread => "the client does not read its stream; send fewer, larger pieces",
        })
    }
}

/// What was known of a call when a delivery was taken.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Time since the call was opened.
    pub age: Duration,
    /// Whether its client asked for a stream.
    pub stream: bool,
    /// The way to a model that it was opened for.
    pub way: &'static str,
}

/// How many calls wait.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// All of them.
    pub waiting: usize,
    /// Those whose client asked for a stream.
    pub streaming: usize,
}

struct Waiting {
    to: Sender<(usize, Vec<Event>)>,
    choice: usize,
    taken: Taken,
    since: Instant,
}

#[derive(Default)]
struct Table {
    waiting: HashMap<CallId, Waiting>,
    ended: VecDeque<(CallId, Ended)>,
}

impl Table {
    fn end(&mut self, id: CallId, how: Ended) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        if self.ended.len() == REMEMBERED {
            self.ended.pop_front();
        }
        self.ended.push_back((id, how));
        Some(waiting)
    }
}

/// The table of waiting calls. Clones share one table.
#[derive(Clone, Default)]
pub struct Exchange(Arc<Mutex<Table>>);

impl Exchange {
    // The lock is held for a look-up and a hand-over, never across I/O.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters one call for each of `ids`; the first id is choice 0, and so on.
    pub fn open(&self, ids: Vec<CallId>, way: &'static str, stream: bool) -> Ticket {
        let (to, from) = unbounded();
        let since = Instant::now();
        let taken = Taken { age: Duration::ZERO, stream, way };
        let mut table = self.table();
        for (choice, id) in ids.iter().enumerate() {
            table.waiting.insert(*id, Waiting { to: to.clone(), choice, taken, since });
        }
        drop(table);
        Ticket { exchange: self.clone(), ids, to, from, taken }
    }

    /// Hands `events` to whoever waits for `id`. After an event that [is last](Event::is_last) the
    /// call is over, and nothing behind that event is delivered.
    pub fn deliver(&self, id: CallId, mut events: Vec<Event>) -> Result<Taken, Refused> {
        let mut table = self.table();
        let Some(waiting) = table.waiting.get(&id) else {
            let ended = table.ended.iter().rev().find(|(ended, _)| *ended == id);
            return Err(ended.map_or(Refused::Unknown, |(_, how)| Refused::Over(*how)));
        };
        // An end is always taken: it is the last that comes.
        if waiting.to.len() >= UNREAD && !events.iter().any(Event::is_last) {
            return Err(Refused::Unread);
        }
        let (choice, since, taken) = (waiting.choice, waiting.since, waiting.taken);
        let to = match events.iter().position(Event::is_last) {
            None => waiting.to.clone(),
            Some(last) => {
                events.truncate(last + 1);
                let how = match events[last] {
                    Event::Failed(_) => Ended::Failed,
                    _ => Ended::Answered,
                };
                match table.end(id, how) {
                    Some(waiting) => waiting.to,
                    None => return Err(Refused::Unknown),
                }
            }
        };
        drop(table);
        // The ticket may be gone in this very moment; then its client went away.
        to.send((choice, events)).map_err(|_| Refused::Over(Ended::Cancelled))?;
        Ok(Taken { age: since.elapsed(), ..taken })
    }

    /// Whether the client of `id` does not read what was delivered, so that nothing but an end would
    /// be taken.
    pub fn is_unread(&self, id: CallId) -> bool {
        self.table().waiting.get(&id).is_some_and(|waiting| waiting.to.len() >= UNREAD)
    }

    /// What is known of the waiting call `id`.
    pub fn peek(&self, id: CallId) -> Option<Taken> {
        let table = self.table();
        let waiting = table.waiting.get(&id)?;
        Some(Taken { age: waiting.since.elapsed(), ..waiting.taken })
    }

    /// Tells everybody who waits that it has failed. Each then closes its own calls, and so learns
    /// which of them the host must be told of.
    pub fn fail_all(&self, failure: &Failure) {
        let table = self.table();
        let all = table.waiting.values().map(|waiting| (waiting.to.clone(), waiting.choice));
        let all: Vec<_> = all.collect();
        drop(table);
        for (to, choice) in all {
            // A ticket that is gone needs no news.
            let _ = to.send((choice, vec![Event::Failed(failure.clone())]));
        }
    }

    /// How many calls wait now.
    pub fn counts(&self) -> Counts {
        let table = self.table();
        Counts {
            waiting: table.waiting.len(),
            streaming: table.waiting.values().filter(|waiting| waiting.taken.stream).count(),
        }
    }
}

/// The right to the answers of the calls opened together. Dropping it cancels what is not over.
pub struct Ticket {
    exchange: Exchange,
    ids: Vec<CallId>,
    to: Sender<(usize, Vec<Event>)>,
    from: Receiver<(usize, Vec<Event>)>,
    taken: Taken,
}

impl Ticket {
    /// The ids of the calls, in the order of the choices.
    pub fn ids(&self) -> &[CallId] {
        &self.ids
    }

    /// Enters a new call in the place of a choice whose call is over; `None` for a choice that is
    /// not there.
    pub fn again(&mut self, choice: usize) -> Option<CallId> {
        let place = self.ids.get_mut(choice)?;
        let id = CallId::random();
        *place = id;
        let (to, taken, since) = (self.to.clone(), self.taken, Instant::now());
        self.exchange.table().waiting.insert(id, Waiting { to, choice, taken, since });
        Some(id)
    }

    /// Waits for the next events of any of the calls, with the choice they belong to; `None` when
    /// none came before `until`.
    pub fn next(&self, until: Instant) -> Option<(usize, Vec<Event>)> {
        // It cannot be disconnected, since this ticket holds a sender itself.
        self.from.recv_deadline(until).ok()
    }

    /// Ends the calls that are not over yet and returns their ids, so that the host can be told.
    pub fn close(&self, how: Ended) -> Vec<CallId> {
        let mut table = self.exchange.table();
        self.ids.iter().copied().filter(|id| table.end(*id, how).is_some()).collect()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.close(Ended::Cancelled);
    }
}
