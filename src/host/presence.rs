//! Whether hosts that fetch requests by a tool call are there: while a call is open, and for a while
//! after, since their model takes a moment to call again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The presence of the hosts of one way. Clones share it.
#[derive(Debug, Clone)]
pub struct Presence {
    /// For how long a host counts as present after its last sign.
    grace: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    seen: Option<Instant>,
}

impl Presence {
    /// Nobody yet.
    pub fn new(grace: Duration) -> Self {
        Presence { grace, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when a host can be counted on at least; `None` when none is there.
    pub fn until(&self) -> Option<Instant> {
        let (state, now) = (self.state(), Instant::now());
        let seen = if state.open > 0 { Some(now) } else { state.seen };
        seen.map(|seen| seen + self.grace).filter(|until| *until > now)
    }

    /// How many calls are open.
    pub fn open(&self) -> usize {
        self.state().open
    }

    /// Notes a call that is open until what is returned is dropped.
    pub fn begin(&self) -> Open {
        self.state().open += 1;
        Open(self.clone())
    }

    /// Notes that a host has gone that was seen last. Calls that are open still tell of others.
    pub fn left(&self) {
        self.state().seen = None;
    }
}

/// An open call.
#[derive(Debug)]
pub struct Open(Presence);

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open -= 1;
        state.seen = Some(Instant::now());
    }
}
