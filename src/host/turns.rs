//! How many sampling requests a host has at once. Until the first of a session has succeeded it
//! gets one at a time: VS Code shows a dialog for each that it has not consented to (FACTS §2).

use super::fair::Fair;
use crate::exchange::{CallId, Exchange, Handle, Note, Tenant};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Whose turn it is. Clones share it.
#[derive(Clone)]
pub struct Turns {
    exchange: Exchange,
    state: Arc<Mutex<State>>,
}

struct State {
    /// The most at once, once the host's user has consented.
    most: usize,
    /// Whether only one goes until then.
    hold: bool,
    /// Whether one has succeeded outside and inside a call of `hook`; hosts ask for each.
    consented: [bool; 2],
    /// What the host has, or, without a name yet, is about to get.
    within: HashMap<CallId, Option<Handle>>,
    line: Fair<CallId>,
}

impl Turns {
    /// Lets `most` go at once; with `hold` only one before the first success.
    pub fn new(exchange: Exchange, most: usize, hold: bool) -> Self {
        let state = State {
            most,
            hold,
            consented: [false; 2],
            within: HashMap::new(),
            line: Fair::default(),
        };
        Turns { exchange, state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a request that arrived at `since` may go now. Else it stands in line, and
    /// [`Note::Turn`] tells when to ask again.
    pub fn enter(&self, id: CallId, tenant: Tenant, since: Instant, hooked: bool) -> bool {
        let mut state = self.state();
        if state.within.contains_key(&id) {
            return true;
        }
        let goes = state.line.is_empty() && state.has_room(hooked);
        match goes {
            true => drop(state.within.insert(id, None)),
            false => {
                state.line.remove(|waiting| *waiting == id);
                state.line.push(tenant, since, id);
            }
        }
        goes
    }

    /// Notes the name under which the host gets a request that has entered.
    pub fn named(&self, handle: Handle) {
        if let Some(within) = self.state().within.get_mut(&handle.call) {
            *within = Some(handle);
        }
    }

    /// Notes that a request is over, or that nobody waits for it any more. Its name at the host, if
    /// the host has it.
    pub fn leave(&self, id: CallId, hooked: bool) -> Option<Handle> {
        let mut state = self.state();
        let left = state.within.remove(&id);
        if left.is_none() {
            state.line.remove(|waiting| *waiting == id);
        }
        self.admit(state, hooked);
        left.flatten()
    }

    /// Notes that a request has succeeded, sent while a `hook` was open or not.
    pub fn consented(&self, hooked: bool) {
        let mut state = self.state();
        if !state.consented[usize::from(hooked)] {
            state.consented[usize::from(hooked)] = true;
            self.admit(state, hooked);
        }
    }

    /// Begins anew with another session, in which whoever stood in line asks again.
    pub fn reset(&self) {
        let mut state = self.state();
        state.consented = [false; 2];
        state.within.clear();
        state.line = Fair::default();
    }

    /// Whether the host's first answer of the session is still waited for.
    pub fn is_held(&self) -> bool {
        let state = self.state();
        state.hold && state.consented == [false; 2]
    }

    /// How many stand in line.
    pub fn in_line(&self) -> usize {
        self.state().line.len()
    }

    fn admit(&self, mut state: MutexGuard<'_, State>, hooked: bool) {
        let mut admitted = Vec::new();
        while state.has_room(hooked)
            && let Some(id) = state.line.pop()
        {
            state.within.insert(id, None);
            admitted.push(id);
        }
        drop(state);
        admitted.into_iter().for_each(|id| self.exchange.note(id, Note::Turn));
    }
}

impl State {
    fn has_room(&self, hooked: bool) -> bool {
        let consented = !self.hold || self.consented[usize::from(hooked)];
        self.within.len() < if consented { self.most } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_goes_until_it_has_succeeded_and_then_so_many_in_order() {
        let exchange = Exchange::default();
        let ids: Vec<CallId> = std::iter::repeat_with(CallId::random).take(5).collect();
        let ticket = exchange.open(ids.clone(), false);
        let turns = Turns::new(exchange, 3, true);
        let name = |at: usize| turns.exchange.hand_out(ids[at], "sampling", true).unwrap();
        let since = Instant::now();
        let enter = |at: usize| turns.enter(ids[at], 0, since, false);
        let entered = [0, 1, 2, 3, 4].map(enter);
        assert_eq!(entered, [true, false, false, false, false]);
        let turn = || match ticket.next(std::time::Instant::now()) {
            Some((choice, Note::Turn)) => Some(choice),
            _ => None,
        };
        // A denial lets the next one try.
        turns.named(name(0));
        assert_eq!(turns.leave(ids[0], false), Some(name(0)));
        assert_eq!((turn(), turn()), (Some(1), None));
        assert!(enter(1));
        turns.consented(false);
        assert_eq!((turn(), turn(), turn()), (Some(2), Some(3), None));
        assert!(enter(3) && turns.in_line() == 1);
        // Another session may ask its user anew.
        turns.reset();
        assert!(enter(4) && !enter(0));
        // Whose turn has come, but who has not gone, is not known to the host.
        assert_eq!(turns.leave(ids[4], false), None);
        assert_eq!((turn(), turns.leave(ids[0], false)), (Some(0), None));
    }
}
