//! The tool `hook` in the modern era: a call waits for requests and returns them as input that it
//! needs, `sampling/createMessage`; the host calls again with what its model said to each. The state
//! travels through the host and back, so it is signed, expires and is good for one call.

use super::fetching::{Call, Fetching};
use super::offers::{Fetch, Lease, Offers};
use super::{Errand, Place, Way, sampling};
use crate::chat::{Ask, Event, Failure};
use crate::exchange::{CallId, Exchange, Handle, Taken};
use crate::mcp::modern;
use crate::mcp::outbox::{Outbox, Report};
use crate::mcp::rpc::{self, RpcId};
use crate::mcp::tool::{Answer, Outcome, Round};
use hmac_sha256::HMAC;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The last leg of a call gives its result: SDK clients stop after 10 (FACTS §1).
const LEGS: u32 = 8;
/// For how long a round may be answered: people are asked for their consent meanwhile.
const EXPIRY: Duration = Duration::from_secs(60 * 60);
/// How many rounds may be out.
const OUT: usize = 64;

/// What the settings say of rounds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most requests in a round.
    pub most: usize,
    /// How long a leg waits for requests.
    pub wait: Duration,
    /// How long the host has to answer a round.
    pub lease: Duration,
}

/// The way through the modern `hook`.
pub struct Rounds {
    exchange: Exchange,
    offers: Offers,
    /// The open calls.
    pub fetching: Fetching,
    limits: Limits,
    report: Report,
    /// Whether the host that called last takes tools as such.
    takes_tools: AtomicBool,
    states: States,
}

/// A call that cannot go on.
const CALL_AGAIN: &str = "call hook again, without inputResponses and requestState";

impl Rounds {
    /// The way whose requests wait in `offers`.
    pub fn new(
        exchange: Exchange,
        offers: Offers,
        outbox: Outbox,
        report: Report,
        limits: Limits,
    ) -> Self {
        let fetching = Fetching::new(exchange.clone(), offers.clone(), outbox, limits.lease);
        let (takes_tools, states) = (AtomicBool::new(false), States::new());
        Rounds { exchange, offers, fetching, limits, report, takes_tools, states }
    }

    /// One leg of a call: takes the answers to the round before and waits for the next requests.
    /// `note` is called for each answer before its client has it.
    pub fn hook(
        &self,
        id: &RpcId,
        progress_token: Option<RpcId>,
        round: &Round,
        note: &dyn Fn(CallId, Taken),
    ) -> Answer {
        if !round.meta.sampling {
            return Answer::Refused(modern::needs_sampling());
        }
        let was_open = self.fetching.presence.open() > 0;
        // Whatever becomes of the call, the host is there.
        let _present = self.fetching.presence.begin();
        let said = |said: String| Answer::Done(Outcome::error(said));
        let leg = match (&round.state, round.responses) {
            (Some(state), responses) => match self.states.take(state) {
                Ok(before) => {
                    self.answered(before.handles, responses, note);
                    before.leg + 1
                }
                Err(why) => return said(format!("{why}; {CALL_AGAIN}")),
            },
            (None, Some(_)) => {
                return said(format!(
                    "inputResponses came without their requestState; {CALL_AGAIN}"
                ));
            }
            (None, None) => {
                // SDK clients drop a whole round without a word when one of its requests is
                // refused; with no other call open this is the same host, beginning anew.
                if !was_open {
                    self.give_back_out();
                }
                1
            }
        };
        self.takes_tools.store(round.meta.sampling_tools, Ordering::Relaxed);
        if leg >= LEGS {
            let done = json!({"ok": true, "message": "The bridge goes on: call hook again."});
            return Answer::Done(Outcome::ok(done));
        }
        let Limits { most, wait, lease } = self.limits;
        let native = round.meta.sampling_tools;
        let fetch = Fetch { way: self.name(), most, native, lease };
        let call = Call { id: id.clone(), progress_token, fetch, wait };
        let states = self.states.clone();
        let result = move |leases: Vec<Lease>| input_required(&leases, &states, leg);
        match self.fetching.open(call, result) {
            Ok(()) => Answer::Open,
            Err(why) => Answer::Done(Outcome::error(why)),
        }
    }

    /// Delivers the host's answers to a round. What it left out is offered again.
    fn answered(
        &self,
        handles: Vec<Handle>,
        responses: Option<&RawValue>,
        note: &dyn Fn(CallId, Taken),
    ) {
        let responses = responses.map(|raw| serde_json::from_str(raw.get()));
        let mut responses: HashMap<String, &RawValue> = match responses {
            None => HashMap::new(),
            Some(Ok(responses)) => responses,
            Some(Err(e)) => {
                (self.report)(&format!("the host's inputResponses are no object: {e}"));
                HashMap::new()
            }
        };
        for handle in handles {
            let Some(result) = responses.remove(&handle.to_string()) else {
                self.exchange.give_back(handle);
                continue;
            };
            let events =
                sampling::read(result.get()).unwrap_or_else(|failure| vec![Event::Failed(failure)]);
            // Refused, nobody waits for it any more.
            let _ = self.exchange.deliver(handle, events, |taken| note(handle.call, taken));
        }
        if !responses.is_empty() {
            let count = responses.len();
            (self.report)(&format!(
                "{count} inputResponses of the host belong to no request of the round"
            ));
        }
    }

    /// Offers again what is out. Should it be answered after all, that holds until somebody else
    /// has it.
    fn give_back_out(&self) {
        let mut handles = Vec::new();
        for round in self.states.out().iter_mut().filter(|round| !round.returned) {
            round.returned = true;
            handles.extend(round.handles.iter().copied());
        }
        handles.into_iter().for_each(|handle| self.exchange.give_back(handle));
    }

    /// Forgets the hosts that were there, for another session has begun.
    pub fn reset(&self) {
        self.fetching.reset();
        self.give_back_out();
        self.states.out().clear();
    }
}

impl Way for Rounds {
    fn name(&self) -> &'static str {
        "hook"
    }

    fn ask(&self, ask: &Ask, errand: &Errand) -> Result<Place, Failure> {
        self.offers.offer(ask, errand, self.takes_tools(), false);
        Ok(Place::Offered(self.fetching.until()))
    }

    fn takes_tools(&self) -> bool {
        self.takes_tools.load(Ordering::Relaxed)
    }

    fn ignores(&self, _: &Ask) -> Vec<&'static str> {
        Vec::new()
    }

    fn withdraw(&self, id: CallId, _: &str) {
        // A round cannot be taken back: nothing is ever written to a modern host unasked.
        self.offers.withdraw(id);
    }
}

/// The result of a leg: what the host is to sample. With nothing to sample the state alone lets it
/// call again, which costs its model no turn.
fn input_required(leases: &[Lease], states: &States, leg: u32) -> String {
    let handles = leases.iter().map(|lease| lease.handle).collect();
    let input_requests = leases.iter().filter_map(|lease| {
        // It was written by ourselves; what is left out comes back with the answers.
        let params = serde_json::from_str(&lease.offer.params).ok()?;
        Some((lease.handle.to_string(), InputRequest { method: "sampling/createMessage", params }))
    });
    rpc::json(&InputRequired {
        result_type: "input_required",
        input_requests: input_requests.collect(),
        request_state: states.give(leg, handles),
        meta: modern::server_info(),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired<'a> {
    result_type: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    input_requests: BTreeMap<String, InputRequest<'a>>,
    request_state: String,
    #[serde(rename = "_meta")]
    meta: Value,
}

#[derive(Serialize)]
struct InputRequest<'a> {
    method: &'static str,
    params: &'a RawValue,
}

/// A round that is out.
struct Out {
    nonce: String,
    leg: u32,
    handles: Vec<Handle>,
    /// Whether they were offered again, since the call seemed to be given up.
    returned: bool,
    until: Instant,
}

/// The states of the rounds that are out. Clones share them.
#[derive(Clone)]
struct States {
    /// Random for this process, so that no other can make a state that is good here.
    key: [u8; 32],
    started: Instant,
    out: Arc<Mutex<VecDeque<Out>>>,
}

impl States {
    fn new() -> Self {
        let mut key = [0; 32];
        let (first, second) = key.split_at_mut(16);
        first.copy_from_slice(Uuid::new_v4().as_bytes());
        second.copy_from_slice(Uuid::new_v4().as_bytes());
        States { key, started: Instant::now(), out: Arc::default() }
    }

    fn out(&self) -> MutexGuard<'_, VecDeque<Out>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a round, and gives the state under which its answers come back: a nonce, the second
    /// of this process in which it expires, and a keyed hash of both.
    fn give(&self, leg: u32, handles: Vec<Handle>) -> String {
        let nonce = Uuid::new_v4().simple().to_string();
        let until = Instant::now() + EXPIRY;
        let said = format!("{nonce}.{}", (until - self.started).as_secs());
        let mut out = self.out();
        out.retain(|round| round.until > Instant::now());
        if out.len() == OUT {
            out.pop_front();
        }
        out.push_back(Out { nonce, leg, handles, returned: false, until });
        let mac = self.mac(&said);
        format!("{said}.{mac}")
    }

    fn mac(&self, said: &str) -> String {
        let mac = HMAC::mac(said, self.key);
        mac.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The round that a state belongs to. It is good once.
    fn take(&self, state: &str) -> Result<Out, &'static str> {
        let (said, mac) = state.rsplit_once('.').ok_or("the requestState is none of ours")?;
        // Both are hashed once more, so that comparing them tells nothing about the right one.
        if HMAC::mac(mac, self.key) != HMAC::mac(self.mac(said), self.key) {
            return Err("the requestState is none of ours");
        }
        let (nonce, until) = said.split_once('.').unwrap_or_default();
        if until.parse().is_ok_and(|until: u64| self.started.elapsed().as_secs() > until) {
            return Err("the requestState has expired");
        }
        let mut out = self.out();
        let at = out.iter().position(|round| round.nonce == nonce);
        let round = at.and_then(|at| out.remove(at));
        round.ok_or("the requestState was used before, or is given up")
    }
}
