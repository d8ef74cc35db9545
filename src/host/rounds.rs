//! The tool `hook` in the modern era: a call waits for requests and returns them as input that it
//! needs, `sampling/createMessage`; the host calls again with what its model said to each.

use super::fetching::{Call, Fetching};
use super::offers::{Fetch, Lease, Offers};
use super::states::States;
use super::{Errand, Place, Way, sampling};
use crate::chat::{Ask, Event, Failure};
use crate::exchange::{CallId, Exchange, Handle, Taken};
use crate::last_host::LastHost;
use crate::mcp::modern::{self, Refusal};
use crate::mcp::outbox::{Outbox, Report};
use crate::mcp::rpc::{self, RpcId};
use crate::mcp::tool::{Answer, Outcome, Round};
use crossbeam_channel::{Sender, bounded};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The last leg of a call gives its result: SDK clients stop after 10 (FACTS §1).
const LEGS: u32 = 8;

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
    /// Whether every host that is there takes tools as such.
    takes_tools: AtomicBool,
    states: States,
    last_host: LastHost,
}

/// A call, or the next leg of it.
pub struct Leg {
    /// Its id.
    pub id: RpcId,
    /// Where progress is told, if anywhere.
    pub progress_token: Option<RpcId>,
    /// The longest that this host bears, if that is known.
    pub limit: Option<Duration>,
}

/// What hosts leave of a round that was refused.
const DROPPED: &str = "hook was called anew without the answers to the round before: as a rule one of \
    its requests was refused at the host";
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
        last_host: LastHost,
    ) -> Self {
        let fetching = Fetching::new(exchange.clone(), offers.clone(), outbox, limits.lease);
        let (takes_tools, states) = (AtomicBool::new(false), States::new(Instant::now()));
        Rounds { exchange, offers, fetching, limits, report, takes_tools, states, last_host }
    }

    /// One leg of a call: takes the answers to the round before and waits for the next requests, no
    /// longer than the host bears. `note` is called for each answer before its client has it.
    pub fn hook(&self, call: Leg, round: &Round, note: &dyn Fn(CallId, Taken)) -> Answer {
        let Leg { id, progress_token, limit } = call;
        if !round.meta.sampling {
            return Answer::Refused(modern::needs_sampling());
        }
        let Ok(responses) = responses(round.responses) else {
            let said =
                "inputResponses must be an object: what was sampled, by the keys of its requests";
            return Answer::Refused(Refusal::new(rpc::INVALID_PARAMS, said));
        };
        let is_alone = self.fetching.is_idle();
        // Whatever becomes of the call, the host is there.
        let _present = self.fetching.presence.begin();
        let said = |said: String| Answer::Done(Outcome::error(said));
        // What is given back holds it until it is on offer again, and so is in the next round.
        let (hold, returning) = bounded(0);
        let leg = match (&round.state, responses) {
            (Some(state), responses) => match self.states.take(state, Instant::now()) {
                Ok(before) => {
                    self.answered(before.handles, responses.unwrap_or_default(), hold, note);
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
                if is_alone {
                    let dropped = self.states.give_back();
                    if !dropped.is_empty() {
                        self.last_host.refused(0, DROPPED, false);
                    }
                    let dropped = dropped.into_iter();
                    dropped.for_each(|handle| self.exchange.give_back(handle, Some(&hold)));
                }
                drop(hold);
                1
            }
        };
        let native = round.meta.sampling_tools;
        // Whoever of several hosts is faster gets a request, so all must be able to take it.
        let takes_tools = native && (is_alone || self.takes_tools());
        if self.takes_tools.swap(takes_tools, Ordering::Relaxed) != takes_tools {
            // What is on offer must be put otherwise.
            self.exchange.host_appeared();
        }
        if leg >= LEGS {
            let done = json!({"ok": true, "message": "The bridge goes on: call hook again."});
            return Answer::Done(Outcome::ok(done));
        }
        let Limits { most, wait, lease } = self.limits;
        let fetch = Fetch { way: self.name(), most, native, lease, alone_again: true };
        let returning = Some(returning);
        let wait = limit.map_or(wait, |limit| wait.min(limit));
        let call = Call { id, progress_token, fetch, wait, returning };
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
        mut responses: Responses,
        hold: Sender<()>,
        note: &dyn Fn(CallId, Taken),
    ) {
        for handle in handles {
            let Some(result) = responses.remove(&handle.to_string()) else {
                self.exchange.give_back(handle, Some(&hold));
                continue;
            };
            self.last_host.granted();
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

    /// Forgets the hosts that were there, for another session has begun.
    pub fn reset(&self) {
        self.fetching.reset();
        self.states.forget();
    }
}

/// What the host's model said, by the keys of the requests.
type Responses<'a> = HashMap<String, &'a RawValue>;

/// `inputResponses`, where there are any.
fn responses(raw: Option<&RawValue>) -> serde_json::Result<Option<Responses<'_>>> {
    raw.map(|raw| serde_json::from_str(raw.get())).transpose()
}

impl Way for Rounds {
    fn name(&self) -> &'static str {
        "hook"
    }

    fn ask(&self, ask: &Ask, errand: &Errand) -> Result<Place, Failure> {
        self.offers.offer(ask, errand, self.takes_tools(), false);
        Ok(Place::Offered(self.fetching.until()))
    }

    fn fetching(&self) -> Option<&Fetching> {
        Some(&self.fetching)
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
        request_state: states.give(leg, handles, Instant::now()),
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
