//! The waiting: for a note, a time, or the client's leaving, whichever is first.

use super::Trip;
use crate::chat::{Failure, FailureKind};
use crate::exchange::{Note, Ticket};
use crate::http::Responder;
use std::time::{Duration, Instant};

/// How often a waiting request looks whether its client is still there.
const TICK: Duration = Duration::from_secs(1);

/// What a wait came to.
pub(super) enum Woken {
    /// On one choice.
    Note(usize, Note),
    /// The time that was asked for has come.
    Due,
    /// The client has left.
    Gone,
    /// The deadline has passed.
    Expired,
}

impl Trip<'_> {
    /// Waits for a note until `due`, the deadline or the client's leaving, whichever is first.
    pub(super) fn wait(
        &self,
        ticket: &Ticket,
        deadline: Option<Instant>,
        due: Option<Instant>,
        responder: &mut dyn Responder,
    ) -> Woken {
        loop {
            let tick = self.seen.get() + TICK;
            let until = [Some(tick), deadline, due].into_iter().flatten().min().unwrap_or(tick);
            let note = ticket.next(until);
            let now = Instant::now();
            if now >= tick {
                if responder.is_gone() {
                    return Woken::Gone;
                }
                self.seen.set(now);
            }
            if let Some((choice, note)) = note {
                return Woken::Note(choice, note);
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return Woken::Expired;
            }
            if due.is_some_and(|due| now >= due) {
                return Woken::Due;
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.relay.timeout().map(|timeout| Instant::now() + timeout)
    }

    pub(super) fn expired(&self) -> Failure {
        let waited = self.relay.timeout().unwrap_or_default();
        let waited = humantime::format_duration(waited);
        self.way.get().iter().for_each(|way| self.relay.hosts.was_silent(way));
        let why = self.way.get().and_then(|way| self.relay.hosts.why_silent(way));
        let why = why.map(|why| format!("; {why}")).unwrap_or_default();
        let said = format!("no answer within {waited} (MODELTAP_TIMEOUT){why}");
        Failure::new(FailureKind::Timeout, said)
    }
}
