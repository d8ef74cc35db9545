//! Requests that wait for a host to fetch them by a tool call: `next_request`, or a modern `hook`.

use super::Errand;
use super::create_message::{self, Preferences};
use super::fair::Fair;
use super::prompt;
use crate::chat::{Ask, Format};
use crate::exchange::{CallId, Exchange, Handle, Note};
use crate::mcp::rpc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A request as it is offered.
#[derive(Debug)]
pub struct Offer {
    /// The call that the answer belongs to.
    pub id: CallId,
    /// Whether its client reads the answer as a stream.
    pub stream: bool,
    /// The model that was asked for.
    pub model: String,
    /// The names of the tools that the answer may call.
    pub tools: Vec<String>,
    /// The form that the answer must have: `json_object` or `json_schema`, or any.
    pub form: Option<&'static str>,
    /// The params of `sampling/createMessage` as JSON text.
    pub params: String,
    /// Whether tools are in it as such, so that only a host that takes them can have it.
    pub native: bool,
    /// Whether the host knows of it by a channel event already.
    pub announced: bool,
    /// Whether it was handed out by the same way before, and not answered.
    pub again: bool,
}

/// An offer in the hands of a host.
#[derive(Debug)]
pub struct Lease {
    /// The name under which the host answers.
    pub handle: Handle,
    /// What was offered.
    pub offer: Offer,
}

/// How a tool call fetches requests.
#[derive(Debug, Clone, Copy)]
pub struct Fetch {
    /// The way by which they go.
    pub way: &'static str,
    /// The most at once, at least 1.
    pub most: usize,
    /// Whether tools can be taken as such.
    pub native: bool,
    /// How long the host has for its answers.
    pub lease: Duration,
    /// Whether one that was not answered before goes alone, since one refused request takes all with
    /// it that were fetched together.
    pub alone_again: bool,
}

/// All that is on offer. Clones share it.
#[derive(Clone)]
pub struct Offers {
    exchange: Exchange,
    preferences: Arc<Preferences>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    line: Mutex<Fair<Offer>>,
    changed: Condvar,
}

impl Offers {
    /// Nothing is on offer yet.
    pub fn new(exchange: Exchange, preferences: Preferences) -> Self {
        Offers { exchange, preferences: Arc::new(preferences), shared: Arc::default() }
    }

    // Held for a look-up, never across I/O.
    fn line(&self) -> MutexGuard<'_, Fair<Offer>> {
        self.shared.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a request, with its tools as such or not. `announced` if the host has been told of it by
    /// a channel event.
    pub fn offer(&self, ask: &Ask, errand: &Errand, native: bool, announced: bool) {
        let params = rpc::json(&create_message::params(ask, &self.preferences, native));
        let offer = Offer {
            id: errand.id,
            stream: ask.stream,
            model: ask.model.clone().into_owned(),
            tools: prompt::offered(ask).map(|tool| tool.name.to_string()).collect(),
            form: ask.format.as_ref().map(Format::kind),
            params,
            native: native && !ask.tools.is_empty(),
            announced,
            again: errand.again,
        };
        let mut line = self.line();
        if errand.again {
            line.remove(|other| other.id == offer.id);
        }
        line.push(errand.tenant, errand.since, offer);
        drop(line);
        self.shared.changed.notify_all();
    }

    /// Takes an offer back; `false` when it is not there, since a host has it.
    pub fn withdraw(&self, id: CallId) -> bool {
        self.line().remove(|offer| offer.id == id).is_some()
    }

    /// Whether it waits to be fetched, and no host was told of it.
    pub fn waits(&self, id: CallId) -> bool {
        self.line().has(|offer| offer.id == id && !offer.announced)
    }

    /// How many wait to be fetched.
    pub fn len(&self) -> usize {
        self.line().len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.line().is_empty()
    }

    /// Wakes whoever waits in [`Offers::fetch`], to look whether it is to stop.
    pub fn wake(&self) {
        // Whoever has looked in vain but does not wait yet holds the line until he does.
        drop(self.line());
        self.shared.changed.notify_all();
    }

    /// Waits for requests until `until`, and takes those that are there. What this host cannot have
    /// is left for one that can. Nothing comes when the time is up or `is_stopped`.
    pub fn fetch(&self, fetch: Fetch, until: Instant, is_stopped: impl Fn() -> bool) -> Vec<Lease> {
        let mut line = self.line();
        loop {
            let mut leases = Vec::new();
            let suits = |offer: &Offer| fetch.native || !offer.native;
            let is_alone = |offer: &Offer| fetch.alone_again && offer.again;
            while leases.len() < fetch.most
                && !is_stopped()
                && let Some(offer) =
                    line.pop_where(|o| suits(o) && (leases.is_empty() || !is_alone(o)))
            {
                let ends = is_alone(&offer);
                leases.extend(self.lease(offer, fetch));
                if ends && !leases.is_empty() {
                    break;
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            if !leases.is_empty() || left.is_zero() || is_stopped() {
                return leases;
            }
            let woken = self.shared.changed.wait_timeout(line, left);
            line = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Hands an offer out; `None` when nobody waits for it any more.
    fn lease(&self, offer: Offer, fetch: Fetch) -> Option<Lease> {
        let handle = self.exchange.hand_out(offer.id, fetch.way, offer.announced)?;
        let until = Instant::now() + fetch.lease;
        self.exchange.note(offer.id, Note::Leased { handle, way: fetch.way, until });
        Some(Lease { handle, offer })
    }
}
