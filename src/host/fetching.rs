//! Tool calls that stay open until there are requests to fetch: `next_request`, and the modern
//! `hook`. Each has a thread of its own, which ends with the call.

use super::offers::{Fetch, Lease, Offers};
use super::presence::{Open, Presence};
use crate::exchange::{Exchange, Handle};
use crate::mcp::outbox::Outbox;
use crate::mcp::rpc::{self, RpcId};
use crossbeam_channel::Receiver;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many calls may be open at once.
const MOST: usize = 16;
/// Between two notes of progress; hosts that extend their limit on progress do so for 30 s and more.
const PROGRESS: Duration = Duration::from_secs(10);
/// For how many leases a host that does not answer counts as present.
const LEASES: u32 = 3;
/// The longest that a call waits for what was given back to be on offer again.
const RETURNING: Duration = Duration::from_secs(1);
/// How many answered calls are remembered, since a cancellation may cross an answer in the pipe.
const REMEMBERED: usize = 64;

/// The calls of one tool. Clones share them.
#[derive(Clone)]
pub struct Fetching {
    exchange: Exchange,
    offers: Offers,
    outbox: Outbox,
    /// How long a host has to answer what it fetched.
    lease: Duration,
    /// Whether hosts are there that fetch.
    pub(super) presence: Presence,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    open: Vec<Waiting>,
    /// What calls that are over gave to the host, the newest last.
    given: VecDeque<Given>,
}

/// A call that is open. The host counts as present until this is dropped.
struct Waiting {
    call: RpcId,
    stopped: Arc<AtomicBool>,
    _present: Open,
}

struct Given {
    call: RpcId,
    at: Instant,
    handles: Vec<Handle>,
}

/// A call, as it waits.
pub struct Call {
    /// Its id.
    pub id: RpcId,
    /// Where progress is told, if anywhere.
    pub progress_token: Option<RpcId>,
    /// What it takes.
    pub fetch: Fetch,
    /// How long it waits.
    pub wait: Duration,
    /// Disconnected once all is on offer again that was given back just before, so that the call
    /// takes it first.
    pub returning: Option<Receiver<()>>,
}

impl Fetching {
    /// No calls yet. A host has `lease` to answer what it fetched, and for as long it counts as
    /// present after its last call.
    pub fn new(exchange: Exchange, offers: Offers, outbox: Outbox, lease: Duration) -> Self {
        let presence = Presence::new(lease);
        Fetching { exchange, offers, outbox, lease, presence, state: Arc::default() }
    }

    /// Until when a host can be counted on; `None` when none is there. One that has a request in
    /// hand is given more time: its model may be in the middle of a long answer.
    pub fn until(&self) -> Option<Instant> {
        self.presence.until().or_else(|| {
            let until = |given: &Given| given.at + self.lease * LEASES;
            let now = Instant::now();
            let state = self.state();
            let recent = state.given.iter().rev().take_while(|given| until(given) > now);
            let mut busy = recent.filter(|g| g.handles.iter().any(|h| self.exchange.holds(*h)));
            busy.next().map(until)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls are open.
    pub fn open_calls(&self) -> usize {
        self.presence.open()
    }

    /// Opens a call. When requests are there or its time is up it is answered with the result, JSON
    /// text, that `result` makes of them.
    ///
    /// # Errors
    /// It cannot be opened; a sentence for the model that called.
    pub fn open(
        &self,
        call: Call,
        result: impl FnOnce(Vec<Lease>) -> String + Send + 'static,
    ) -> Result<(), String> {
        let stopped = Arc::new(AtomicBool::new(false));
        {
            let mut state = self.state();
            if state.open.iter().any(|open| open.call == call.id) {
                return Err("a call with this request id is open already".into());
            }
            if state.open.len() >= MOST {
                return Err(format!("{MOST} calls of this tool are open; one is enough"));
            }
            let _present = self.presence.begin();
            state.open.push(Waiting { call: call.id.clone(), stopped: stopped.clone(), _present });
        }
        // Who waits for a host needs no word of it: what waits is on offer, and fetched from there.
        let (id, fetching) = (call.id.clone(), self.clone());
        let run = move || {
            let leases = fetching.wait(&call, &stopped);
            fetching.end(&call.id, leases, result);
        };
        thread::Builder::new().name("fetch".into()).spawn(run).map(drop).map_err(|e| {
            self.state().open.retain(|open| open.call != id);
            format!("no thread could be started: {e}")
        })
    }

    /// Whether no call is open.
    pub fn is_idle(&self) -> bool {
        self.state().open.is_empty()
    }

    fn wait(&self, call: &Call, stopped: &AtomicBool) -> Vec<Lease> {
        let until = Instant::now() + call.wait;
        let mut progress = Progress::new(&self.outbox, call.progress_token.as_ref());
        if let Some(returning) = &call.returning {
            // That it is dropped is the news; there is nothing to receive.
            let _ = returning.recv_timeout(RETURNING);
        }
        loop {
            progress.say("waiting for requests");
            let next = match call.progress_token {
                Some(_) => until.min(Instant::now() + PROGRESS),
                None => until,
            };
            let is_stopped = || stopped.load(Ordering::SeqCst);
            let leases = self.offers.fetch(call.fetch, next, is_stopped);
            if !leases.is_empty() || is_stopped() || Instant::now() >= until {
                return leases;
            }
        }
    }

    /// Answers a call, unless it was cancelled; then all goes back.
    fn end(&self, id: &RpcId, leases: Vec<Lease>, result: impl FnOnce(Vec<Lease>) -> String) {
        let handles: Vec<Handle> = leases.iter().map(|lease| lease.handle).collect();
        let mut state = self.state();
        let Some(at) = state.open.iter().position(|open| open.call == *id) else {
            drop(state);
            handles.into_iter().for_each(|handle| self.exchange.give_back(handle, None));
            return;
        };
        // Closed before it is answered, for the host may call again as soon as it has the answer.
        state.open.swap_remove(at);
        if state.given.len() == REMEMBERED {
            state.given.pop_front();
        }
        state.given.push_back(Given { call: id.clone(), at: Instant::now(), handles });
        drop(state);
        self.outbox.post(rpc::result(id, &result(leases)));
    }

    /// The host has cancelled a call: what it took, and is not answered yet, is offered again.
    pub fn cancelled(&self, id: &RpcId) {
        let mut state = self.state();
        if let Some(at) = state.open.iter().position(|open| open.call == *id) {
            let Waiting { stopped, .. } = state.open.swap_remove(at);
            // Whoever cancels a call is not expected to call again. That is known before anything
            // comes back that the call has just taken, and before the host's next line is read.
            self.presence.left();
            drop(state);
            stopped.store(true, Ordering::SeqCst);
            self.offers.wake();
        } else if let Some(at) = state.given.iter().position(|given| given.call == *id) {
            let given = state.given.remove(at);
            drop(state);
            let handles = given.into_iter().flat_map(|given| given.handles);
            handles.for_each(|handle| self.exchange.give_back(handle, None));
        }
    }

    /// Forgets all calls, for another session has begun and may use their ids anew.
    pub fn reset(&self) {
        let before = std::mem::take(&mut *self.state());
        before.open.into_iter().for_each(|open| open.stopped.store(true, Ordering::SeqCst));
        self.offers.wake();
        self.presence.left();
    }
}

/// The notes of progress of one call, where the host gave a token for them.
pub struct Progress<'a> {
    outbox: &'a Outbox,
    token: Option<&'a RpcId>,
    said: u64,
}

impl<'a> Progress<'a> {
    /// Nothing is said yet.
    pub fn new(outbox: &'a Outbox, token: Option<&'a RpcId>) -> Self {
        Progress { outbox, token, said: 0 }
    }

    /// Says where things are.
    pub fn say(&mut self, message: &str) {
        if let Some(token) = self.token {
            self.said += 1;
            let (said, message) = (self.said, rpc::json(message));
            let params =
                format!(r#"{{"progressToken":{token},"progress":{said},"message":{message}}}"#);
            self.outbox.post(rpc::notification("notifications/progress", &params));
        }
    }
}
