//! The door of one caller: lets in what his limits allow. Who may not yet is told when, or stands in
//! line for it, one line for each caller.

use super::limits::{Allowance, Barrier, Budget, Over, Standing};
use super::rate::Rate;
use super::usage::{Day, Used};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant, SystemTime};

/// How often somebody in line looks whether his client is still there.
const TICK: Duration = Duration::from_secs(1);
/// When to come back for what somebody has to be asked for.
const ASK_AGAIN: Duration = Duration::from_secs(60 * 60);
/// When to come back for a place that somebody has for an unknown time.
const SHORTLY: Duration = Duration::from_secs(1);

/// Why somebody did not get in.
#[derive(Debug)]
pub enum Barred {
    /// A limit.
    Over(Over),
    /// His client has left while he stood in line.
    Gone,
}

/// The wait of somebody who may not yet.
pub struct Patience<'w> {
    /// Until when; `None` waits for nothing.
    pub until: Option<Instant>,
    /// Whether one more may stand in line where so many do.
    pub has_room: &'w dyn Fn(usize) -> bool,
    /// Whether the client has left.
    pub is_gone: &'w mut dyn FnMut() -> bool,
}

/// The door of one caller.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When all requests of the rate are there again; each that enters puts it off.
    whole_at: Option<Instant>,
    inside: usize,
    line: VecDeque<(u64, Thread)>,
    /// How many have ever stood in line.
    tickets: u64,
}

/// A request that got in; it is out when this is dropped.
#[derive(Debug)]
pub struct Inside {
    gate: Arc<Gate>,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.inside -= 1;
        state.call_next();
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody is inside or in line, and nothing of a rate is used.
    pub fn is_idle(&self, now: Instant) -> bool {
        let state = self.state();
        state.inside == 0 && state.line.is_empty() && state.whole_at.is_none_or(|at| at <= now)
    }

    /// Lets one in, when it may: at once, or in its turn.
    ///
    /// # Errors
    /// It may not within its patience, or its client has left.
    pub fn enter(
        self: &Arc<Self>,
        allowance: &Allowance,
        used: &dyn Fn() -> Used,
        patience: &mut Patience,
    ) -> Result<(Inside, Standing), Barred> {
        let mut ticket = None;
        let mut look = Instant::now() + TICK;
        loop {
            let used = used();
            let now = Instant::now();
            let mut state = self.state();
            let mut over = match state.barrier(allowance, &used, now) {
                None if state.is_first(ticket) => {
                    let standing = state.admit(allowance, &used, now);
                    state.leave(ticket);
                    return Ok((Inside { gate: self.clone() }, standing));
                }
                // Somebody who came before is about to go in.
                None => Over {
                    barrier: allowance.barrier_in_line(),
                    retry_after: SHORTLY,
                    standing: state.standing(allowance, &used, now),
                },
                Some(over) => over,
            };
            // Each of those before it takes one of what comes.
            if let Barrier::Rate(rate) = over.barrier {
                over.retry_after += rate.interval().saturating_mul(state.ahead(ticket));
            }
            let until = patience.until.filter(|until| *until > now);
            let in_vain = match over.barrier {
                Barrier::Concurrent(_) => false,
                _ => until.is_none_or(|until| now + over.retry_after > until),
            };
            let (false, Some(until)) = (in_vain, until) else {
                state.leave(ticket);
                return Err(Barred::Over(over));
            };
            if ticket.is_none() {
                if !(patience.has_room)(state.line.len()) {
                    return Err(Barred::Over(over));
                }
                state.tickets += 1;
                ticket = Some(state.tickets);
                let me = (state.tickets, thread::current());
                state.line.push_back(me);
            }
            // Only the first in line has a time of his own; the others are called.
            let due = match over.barrier {
                Barrier::Concurrent(_) => until,
                _ if state.is_first(ticket) => until.min(now + over.retry_after),
                _ => until,
            };
            drop(state);
            thread::park_timeout(due.min(look).saturating_duration_since(now));
            if Instant::now() >= look {
                if (patience.is_gone)() {
                    self.state().leave(ticket);
                    return Err(Barred::Gone);
                }
                look = Instant::now() + TICK;
            }
        }
    }
}

impl State {
    fn is_first(&self, ticket: Option<u64>) -> bool {
        self.line.front().map(|(first, _)| *first) == ticket
    }

    /// How many stand in line before this one, or before who joins it.
    fn ahead(&self, ticket: Option<u64>) -> u32 {
        let place = self.line.iter().position(|(other, _)| Some(*other) == ticket);
        u32::try_from(place.unwrap_or(self.line.len())).unwrap_or(u32::MAX)
    }

    /// Takes one out of the line, and calls the next one if that changes who is first.
    fn leave(&mut self, ticket: Option<u64>) {
        let Some(ticket) = ticket else { return };
        self.line.retain(|(other, _)| *other != ticket);
        self.call_next();
    }

    fn call_next(&self) {
        if let Some((_, thread)) = self.line.front() {
            thread.unpark();
        }
    }

    /// How long until the rate is whole again.
    fn debt(&self, rate: Rate, now: Instant) -> Duration {
        let debt = self.whole_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        // The rate may have become a smaller one since.
        debt.min(rate.unit.time())
    }

    /// What stands in the way of one more.
    fn barrier(&self, allowance: &Allowance, used: &Used, now: Instant) -> Option<Over> {
        let over = |barrier, retry_after| {
            Some(Over { barrier, retry_after, standing: self.standing(allowance, used, now) })
        };
        if let Some(most) = allowance.requests
            && used.requests + self.inside as u64 >= most
        {
            return over(Barrier::Requests(most), ASK_AGAIN);
        }
        if let Some(most) = allowance.tokens_per_day
            && used.day_tokens >= most
        {
            return over(Barrier::Day(most), Day::left(SystemTime::now()));
        }
        if let Some(rate) = allowance.rate {
            let room = rate.unit.time().saturating_sub(rate.interval());
            let debt = self.debt(rate, now);
            if debt > room {
                return over(Barrier::Rate(rate), debt - room);
            }
        }
        match allowance.concurrent {
            Some(most) if self.inside >= most => over(Barrier::Concurrent(most), SHORTLY),
            _ => None,
        }
    }

    fn admit(&mut self, allowance: &Allowance, used: &Used, now: Instant) -> Standing {
        self.inside += 1;
        if let Some(rate) = allowance.rate {
            self.whole_at = Some(now + self.debt(rate, now) + rate.interval());
        }
        self.standing(allowance, used, now)
    }

    fn standing(&self, allowance: &Allowance, used: &Used, now: Instant) -> Standing {
        let by_rate = allowance.rate.map(|rate| {
            let debt = self.debt(rate, now);
            let left = rate.unit.time().saturating_sub(debt).as_nanos();
            Budget {
                limit: rate.count.get().into(),
                remaining: (left / rate.interval().as_nanos().max(1)) as u64,
                reset: Some(debt),
            }
        });
        let in_all = allowance.requests.map(|limit| {
            let had = used.requests + self.inside as u64;
            Budget { limit, remaining: limit.saturating_sub(had), reset: None }
        });
        let tokens = allowance.tokens_per_day.map(|limit| Budget {
            limit,
            remaining: limit.saturating_sub(used.day_tokens),
            reset: Some(Day::left(SystemTime::now())),
        });
        // Of two limits the one that is nearer.
        let requests = match (by_rate, in_all) {
            (Some(a), Some(b)) if b.remaining < a.remaining => Some(b),
            (a, b) => a.or(b),
        };
        Standing { requests, tokens }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowance(rate: &str) -> Allowance {
        Allowance { rate: Some(rate.parse().unwrap()), ..Allowance::default() }
    }

    /// What stands in the way of one more after so many seconds, and when not any more.
    fn barrier(state: &State, allowance: &Allowance, start: Instant, after: f64) -> Option<f64> {
        let now = start + Duration::from_secs_f64(after);
        let over = state.barrier(allowance, &Used::default(), now)?;
        Some(over.retry_after.as_secs_f64())
    }

    #[test]
    fn all_of_a_rate_may_come_at_once_and_then_comes_back_one_by_one() {
        let (mut state, start, rate) = (State::default(), Instant::now(), allowance("6/min"));
        for left in (0..6).rev() {
            assert_eq!(barrier(&state, &rate, start, 0.0), None);
            let standing = state.admit(&rate, &Used::default(), start).requests.unwrap();
            assert_eq!((standing.limit, standing.remaining), (6, left));
        }
        assert_eq!(barrier(&state, &rate, start, 0.0), Some(10.0));
        assert_eq!(barrier(&state, &rate, start, 9.5), Some(0.5));
        assert_eq!(barrier(&state, &rate, start, 10.0), None);
        state.admit(&rate, &Used::default(), start + Duration::from_secs(10));
        assert_eq!(barrier(&state, &rate, start, 10.0), Some(10.0));
        assert_eq!(barrier(&state, &rate, start, 1e6), None);
        // A smaller rate since: no longer than it would take by itself.
        assert_eq!(barrier(&state, &allowance("1/s"), start, 10.0), Some(1.0));
    }

    #[test]
    fn the_nearest_limit_is_told() {
        let now = Instant::now();
        let all = Allowance {
            rate: Some("9/s".parse().unwrap()),
            concurrent: Some(3),
            requests: Some(5),
            tokens_per_day: Some(100),
        };
        for (inside, requests, day_tokens, expected) in [
            (0, 0, 0, None),
            (3, 0, 0, Some(Barrier::Concurrent(3))),
            (2, 3, 0, Some(Barrier::Requests(5))),
            (0, 5, 100, Some(Barrier::Requests(5))),
            (0, 4, 100, Some(Barrier::Day(100))),
            (0, 4, 99, None),
        ] {
            let state = State { inside, ..State::default() };
            let used = Used { requests, day_tokens };
            let barrier = state.barrier(&all, &used, now).map(|over| over.barrier);
            assert_eq!(barrier, expected, "{inside} {requests} {day_tokens}");
            let standing = state.standing(&all, &used, now);
            let left = 5_u64.saturating_sub(requests + inside as u64);
            assert_eq!(standing.requests.unwrap().remaining, left);
            assert_eq!(standing.tokens.unwrap().remaining, 100 - day_tokens);
        }
    }

    /// Stands in line at the gate until `until`.
    fn enter(gate: &Arc<Gate>, until: Option<Instant>, room: bool) -> Result<Inside, Barred> {
        let one = Allowance { concurrent: Some(1), ..Allowance::default() };
        let mut patience = Patience { until, has_room: &|_| room, is_gone: &mut || false };
        gate.enter(&one, &Used::default, &mut patience).map(|(inside, _)| inside)
    }

    #[test]
    fn who_waits_goes_in_by_turns_and_who_may_not_is_refused_at_once() {
        let gate = Arc::new(Gate::default());
        let inside = enter(&gate, None, true).unwrap();
        assert!(matches!(enter(&gate, None, true), Err(Barred::Over(_))));
        let later = Instant::now() + Duration::from_secs(60);
        assert!(matches!(enter(&gate, Some(later), false), Err(Barred::Over(_))));
        let (came, order) = crossbeam_channel::unbounded();
        let waiting: Vec<_> = (0..3)
            .map(|number| {
                let (own, came) = (gate.clone(), came.clone());
                let thread = thread::spawn(move || {
                    let _inside = enter(&own, Some(later), true).unwrap();
                    came.send(number).unwrap();
                });
                // Each is in line before the next one comes.
                while gate.state().line.len() <= number {
                    thread::yield_now();
                }
                thread
            })
            .collect();
        assert!(order.is_empty());
        drop(inside);
        waiting.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(order.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(gate.is_idle(Instant::now()));
    }

    #[test]
    fn who_cannot_have_his_turn_in_time_is_refused_at_once_and_told_when() {
        let (gate, slow) = (Arc::new(Gate::default()), allowance("1/min"));
        let later = Some(Instant::now() + Duration::from_secs(100));
        let enter = |until| {
            let mut patience = Patience { until, has_room: &|_| true, is_gone: &mut || false };
            gate.enter(&slow, &Used::default, &mut patience)
        };
        assert!(enter(later).is_ok());
        gate.state().line.push_back((0, thread::current()));
        // It would do by itself, but one is before it.
        let Err(Barred::Over(over)) = enter(later) else { panic!("it went in") };
        assert!((119.0..=120.0).contains(&over.retry_after.as_secs_f64()), "{over:?}");
        assert_eq!(gate.state().line.len(), 1);
    }

    #[test]
    fn who_has_waited_in_vain_leaves_the_line() {
        let gate = Arc::new(Gate::default());
        let _inside = enter(&gate, None, true).unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        assert!(matches!(enter(&gate, Some(soon), true), Err(Barred::Over(_))));
        assert!(gate.state().line.is_empty());
    }
}
