//! The correlation table: the one place where a waiting client and a host's answer meet.
//!
//! Invariants, which hold whatever the host and the client do:
//! - each call that is opened leaves exactly once: answered, failed, expired or cancelled;
//! - an answer that comes late or twice is refused by name, and never reaches another call;
//! - a call that was taken back from one host and handed to another is answered by the other only;
//! - a call whose answer has begun is handed to nobody else;
//! - no call is left behind by a thread that went away: its [`Ticket`] closes its calls when dropped.
//!
//! The room does not know who asks or who answers.

mod ids;

use crate::chat::{Event, Failure, FailureKind};
use crate::mailbox::Mailbox;
use crossbeam_channel::Sender;
pub use ids::{CallId, Handle};
use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many ended calls are remembered, to tell a late answer from an unknown id.
const REMEMBERED: usize = 1024;
/// How many deliveries may wait for a client that reads slowly.
const UNREAD: usize = 4096;

/// Who asks, as far as fairness goes: the same number for the same API key.
pub type Tenant = u64;

/// What reaches whoever waits for a call.
#[derive(Debug, Clone)]
pub enum Note {
    /// Of the answer.
    Events(Vec<Event>),
    /// A host has fetched it.
    Leased {
        /// The name under which it has it.
        handle: Handle,
        /// By this way.
        way: &'static str,
        /// By when it is expected to answer.
        until: Instant,
    },
    /// The host that had it under this name will not answer; it can be offered again. When that is
    /// done, what else is in here is dropped, for whoever waits at the other end.
    Returned(Handle, Option<Sender<()>>),
    /// It stood in line, and its turn has come.
    Turn,
    /// A host has appeared, or takes something else than before.
    Hosts,
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
    /// It was taken back, and is with somebody else.
    Moved,
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
            Refused::Moved => {
                "this reply is late: the request was taken back and given to somebody else"
            }
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
    /// The way to a model that it was last handed to; empty before.
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
    to: Arc<Mailbox<(usize, Note)>>,
    choice: usize,
    taken: Taken,
    since: Instant,
    /// How often it was handed to another host.
    turn: u32,
    /// Whether something of its answer has come.
    begun: bool,
}

impl Waiting {
    fn new(to: Arc<Mailbox<(usize, Note)>>, choice: usize, taken: Taken, since: Instant) -> Self {
        Waiting { to, choice, taken, since, turn: 0, begun: false }
    }

    fn note(&self, note: Note) {
        // A ticket that is gone needs no news.
        let _ = self.to.put((self.choice, note));
    }
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
    pub fn open(&self, ids: Vec<CallId>, stream: bool) -> Ticket {
        let mailbox = Arc::new(Mailbox::default());
        let since = Instant::now();
        let taken = Taken { age: Duration::ZERO, stream, way: "" };
        let mut table = self.table();
        for (choice, id) in ids.iter().enumerate() {
            table.waiting.insert(*id, Waiting::new(mailbox.clone(), choice, taken, since));
        }
        drop(table);
        Ticket { exchange: self.clone(), ids, mailbox, taken }
    }

    /// Notes that the call goes to a host by this way, and names it for that host. Who had it before
    /// cannot answer it any more, unless the same host gets it `again`. `None` when nobody waits
    /// for it any more, or its answer has begun.
    pub fn hand_out(&self, id: CallId, way: &'static str, again: bool) -> Option<Handle> {
        let mut table = self.table();
        let waiting = table.waiting.get_mut(&id).filter(|waiting| !waiting.begun)?;
        waiting.taken.way = way;
        if !again || waiting.turn == 0 {
            waiting.turn += 1;
        }
        Some(Handle { call: id, turn: waiting.turn })
    }

    /// Tells whoever waits for the call.
    pub fn note(&self, id: CallId, note: Note) {
        if let Some(waiting) = self.table().waiting.get(&id) {
            waiting.note(note);
        }
    }

    /// Whether whoever got the call under this name may still answer it.
    pub fn holds(&self, handle: Handle) -> bool {
        self.table().waiting.get(&handle.call).is_some_and(|w| w.turn == handle.turn)
    }

    /// Whether it was handed to somebody else since it was handed out under this name.
    pub fn has_moved(&self, handle: Handle) -> bool {
        self.table().waiting.get(&handle.call).is_some_and(|w| w.turn != handle.turn)
    }

    /// Notes that the host will not answer what it got under this name. A clone of `hold` is dropped
    /// once the call is offered again, or over.
    pub fn give_back(&self, handle: Handle, hold: Option<&Sender<()>>) {
        let table = self.table();
        if let Some(waiting) = table.waiting.get(&handle.call).filter(|w| w.turn == handle.turn) {
            waiting.note(Note::Returned(handle, hold.cloned()));
        }
    }

    /// Notes that no host will answer what was handed out so far.
    pub fn give_back_all(&self) {
        let table = self.table();
        for (id, waiting) in table.waiting.iter().filter(|(_, waiting)| waiting.turn > 0) {
            let handle = Handle { call: *id, turn: waiting.turn };
            waiting.note(Note::Returned(handle, None));
        }
    }

    /// Tells everybody that a host has appeared, or takes something else than before.
    pub fn host_appeared(&self) {
        self.table().waiting.values().for_each(|waiting| waiting.note(Note::Hosts));
    }

    /// Hands `events` to whoever waits for the call. After an event that [is last](Event::is_last)
    /// the call is over, and nothing behind that event is delivered. `note` is called with what is
    /// taken before its client has it, so that what is told of both is told in this order.
    ///
    /// # Errors
    /// Nobody waits for it, nobody reads it, or it is with somebody else.
    pub fn deliver(
        &self,
        handle: Handle,
        mut events: Vec<Event>,
        note: impl FnOnce(Taken),
    ) -> Result<Taken, Refused> {
        let id = handle.call;
        let mut table = self.table();
        let Some(waiting) = table.waiting.get_mut(&id) else {
            let ended = table.ended.iter().rev().find(|(ended, _)| *ended == id);
            return Err(ended.map_or(Refused::Unknown, |(_, how)| Refused::Over(*how)));
        };
        match waiting.turn.cmp(&handle.turn) {
            // Such a name was never given to anybody.
            Ordering::Less => return Err(Refused::Unknown),
            Ordering::Greater => return Err(Refused::Moved),
            Ordering::Equal => {}
        }
        // An end is always taken: it is the last that comes.
        if !events.iter().any(Event::is_last) && waiting.to.count() >= UNREAD {
            return Err(Refused::Unread);
        }
        waiting.begun |= !events.is_empty();
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
        let taken = Taken { age: since.elapsed(), ..taken };
        note(taken);
        // The ticket may be gone in this very moment; then its client went away.
        let put = to.put((choice, Note::Events(events)));
        put.map_err(|_| Refused::Over(Ended::Cancelled))?;
        Ok(taken)
    }

    /// Whether the client of `id` does not read what was delivered, so that nothing but an end would
    /// be taken.
    pub fn is_unread(&self, id: CallId) -> bool {
        self.table().waiting.get(&id).is_some_and(|waiting| waiting.to.count() >= UNREAD)
    }

    /// What is known of the waiting call `id`.
    pub fn peek(&self, id: CallId) -> Option<Taken> {
        let table = self.table();
        let waiting = table.waiting.get(&id)?;
        Some(Taken { age: waiting.since.elapsed(), ..waiting.taken })
    }

    /// Tells everybody who waits that it has failed. Each then closes its own calls, and so learns
    /// which of them the host must be told of. What a host was given is not failed as
    /// [`FailureKind::Unavailable`], which says that it may be asked for elsewhere as if it were new.
    pub fn fail_all(&self, failure: &Failure) {
        let table = self.table();
        for waiting in table.waiting.values() {
            let mut failure = failure.clone();
            if waiting.turn > 0 && failure.kind == FailureKind::Unavailable {
                failure.kind = FailureKind::Stopped;
            }
            waiting.note(Note::Events(vec![Event::Failed(failure)]));
        }
    }

    /// How far each of these calls is: the way that it was last handed to, and whether something of
    /// its answer has come. `None` for one that does not wait.
    pub fn progress(&self, ids: impl Iterator<Item = CallId>) -> Vec<Option<(&'static str, bool)>> {
        let table = self.table();
        let far = |waiting: &Waiting| (waiting.taken.way, waiting.begun);
        ids.map(|id| table.waiting.get(&id).map(far)).collect()
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
    mailbox: Arc<Mailbox<(usize, Note)>>,
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
        let (to, taken, since) = (self.mailbox.clone(), self.taken, Instant::now());
        self.exchange.table().waiting.insert(id, Waiting::new(to, choice, taken, since));
        Some(id)
    }

    /// Waits for the next note on any of the calls, with the choice it belongs to; `None` when none
    /// came before `until`.
    pub fn next(&self, until: Instant) -> Option<(usize, Note)> {
        self.mailbox.take(until)
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
        self.mailbox.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_whose_answer_has_begun_is_handed_to_nobody_else() {
        let (exchange, id) = (Exchange::default(), CallId::random());
        let _ticket = exchange.open(vec![id], true);
        let handle = exchange.hand_out(id, "channel", false).unwrap();
        exchange.deliver(handle, vec![Event::Delta("x".into())], |_| {}).unwrap();
        assert_eq!(exchange.hand_out(id, "pull", true), None);
    }
}
