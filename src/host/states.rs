//! The states of the rounds that are out with a host. A state travels through the host and back, so
//! it is signed, expires and is good for one call (FACTS §1: treat it as hostile).

use crate::exchange::Handle;
use hmac_sha256::HMAC;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// For how long a round may be answered: people are asked for their consent meanwhile.
const EXPIRY: Duration = Duration::from_secs(60 * 60);
/// How many rounds may be out.
const MOST: usize = 64;

/// A round that is out.
#[derive(Debug)]
pub struct Out {
    nonce: String,
    /// Which leg of its call it ended, from 1.
    pub leg: u32,
    /// What the host was asked.
    pub handles: Vec<Handle>,
    /// Whether that is offered again already.
    given_back: bool,
    until: Instant,
}

/// The states of the rounds that are out. Clones share them.
#[derive(Clone)]
pub struct States {
    /// Random for this process, so that no other can make a state that is good here.
    key: [u8; 32],
    started: Instant,
    out: Arc<Mutex<VecDeque<Out>>>,
}

impl States {
    /// None yet, in a process that started `now`.
    pub fn new(now: Instant) -> Self {
        let mut key = [0; 32];
        let (first, second) = key.split_at_mut(16);
        first.copy_from_slice(Uuid::new_v4().as_bytes());
        second.copy_from_slice(Uuid::new_v4().as_bytes());
        States { key, started: now, out: Arc::default() }
    }

    fn out(&self) -> MutexGuard<'_, VecDeque<Out>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a round, and gives the state under which its answers come back: a nonce, the second
    /// of this process in which it expires, and a keyed hash of both. Of too many rounds the oldest
    /// is given up.
    pub fn give(&self, leg: u32, handles: Vec<Handle>, now: Instant) -> String {
        let nonce = Uuid::new_v4().simple().to_string();
        let until = now + EXPIRY;
        let said = format!("{nonce}.{}", until.duration_since(self.started).as_secs());
        let mut out = self.out();
        out.retain(|round| round.until > now);
        if out.len() == MOST {
            out.pop_front();
        }
        out.push_back(Out { nonce, leg, handles, given_back: false, until });
        let mac = self.mac(&said);
        format!("{said}.{mac}")
    }

    fn mac(&self, said: &str) -> String {
        let mac = HMAC::mac(said, self.key);
        mac.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The round that a state belongs to. It is good once.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn take(&self, state: &str, now: Instant) -> Result<Out, &'static str> {
        let (said, mac) = state.rsplit_once('.').ok_or("the requestState is none of ours")?;
        // Both are hashed once more, so that comparing them tells nothing about the right one.
        if HMAC::mac(mac, self.key) != HMAC::mac(self.mac(said), self.key) {
            return Err("the requestState is none of ours");
        }
        let (nonce, until) = said.split_once('.').unwrap_or_default();
        let second = now.duration_since(self.started).as_secs();
        if until.parse().is_ok_and(|until: u64| second > until) {
            return Err("the requestState has expired");
        }
        let mut out = self.out();
        let at = out.iter().position(|round| round.nonce == nonce);
        let round = at.and_then(|at| out.remove(at));
        round.ok_or("the requestState was used before, or is given up")
    }

    /// What the rounds that are out asked for, each once. Their states stay good: an answer that
    /// comes before somebody else was asked is as welcome as ever.
    pub fn give_back(&self) -> Vec<Handle> {
        let mut out = self.out();
        let dropped = out.iter_mut().filter(|round| !round.given_back);
        let handles = dropped.flat_map(|round| {
            round.given_back = true;
            round.handles.iter().copied()
        });
        handles.collect()
    }

    /// Gives all rounds up.
    pub fn forget(&self) -> Vec<Handle> {
        std::mem::take(&mut *self.out()).into_iter().flat_map(|round| round.handles).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::CallId;

    const FOREIGN: &str = "the requestState is none of ours";
    const EXPIRED: &str = "the requestState has expired";
    const SPENT: &str = "the requestState was used before, or is given up";

    fn handle() -> Handle {
        Handle::parse(&CallId::random().to_string()).unwrap()
    }

    #[test]
    fn a_state_brings_its_round_back_once() {
        let now = Instant::now();
        let states = States::new(now);
        let handles = vec![handle(), handle()];
        let (first, second) = (states.give(1, handles.clone(), now), states.give(4, vec![], now));
        let round = states.take(&first, now).unwrap();
        assert_eq!((round.leg, round.handles), (1, handles));
        assert_eq!(states.take(&first, now).unwrap_err(), SPENT);
        assert_eq!(states.take(&second, now).unwrap().leg, 4);
    }

    #[test]
    fn a_state_that_was_changed_in_any_byte_or_cut_or_made_elsewhere_is_refused_and_spends_nothing()
    {
        let now = Instant::now();
        let states = States::new(now);
        let state = states.give(1, vec![handle()], now);
        for at in 0..state.len() {
            let mut bytes = state.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(states.take(&changed, now).unwrap_err(), FOREIGN, "{changed}");
            assert_eq!(states.take(&state[..at], now).unwrap_err(), FOREIGN, "{at}");
        }
        let (said, mac) = state.rsplit_once('.').unwrap();
        let (nonce, until) = said.split_once('.').unwrap();
        let later = format!("{nonce}.{}.{mac}", until.parse::<u64>().unwrap() + 1);
        let longer = format!("{state}0");
        let upper = format!("{said}.{}", mac.to_uppercase());
        let elsewhere = States::new(now).give(1, vec![handle()], now);
        for odd in ["", ".", "..", "x.1.", &later, &longer, &upper, &elsewhere, "é.1.é", mac] {
            assert_eq!(states.take(odd, now).unwrap_err(), FOREIGN, "{odd}");
        }
        assert!(states.take(&state, now).is_ok());
    }

    #[test]
    fn a_state_expires() {
        let now = Instant::now();
        let states = States::new(now);
        let (early, late) = (states.give(1, vec![], now), states.give(1, vec![], now));
        assert!(states.take(&early, now + EXPIRY).is_ok());
        let after = now + EXPIRY + Duration::from_secs(1);
        assert_eq!(states.take(&late, after).unwrap_err(), EXPIRED);
        // What has expired makes room.
        states.give(1, vec![], after);
        assert_eq!(states.out().len(), 1);
    }

    #[test]
    fn so_many_rounds_are_out_and_no_more() {
        let now = Instant::now();
        let states = States::new(now);
        let given: Vec<String> = (0..=MOST).map(|_| states.give(1, vec![], now)).collect();
        assert_eq!(states.take(&given[0], now).unwrap_err(), SPENT);
        assert!(given[1..].iter().all(|state| states.take(state, now).is_ok()));
    }

    #[test]
    fn what_is_given_back_is_given_back_once_and_may_still_be_answered() {
        let now = Instant::now();
        let states = States::new(now);
        let (one, other) = (handle(), handle());
        let state = states.give(1, vec![one], now);
        assert_eq!(states.give_back(), [one]);
        states.give(1, vec![other], now);
        assert_eq!(states.give_back(), [other]);
        assert_eq!(states.take(&state, now).unwrap().handles, [one]);
        assert_eq!(states.forget(), [other]);
        assert!(states.give_back().is_empty() && states.forget().is_empty());
    }
}
