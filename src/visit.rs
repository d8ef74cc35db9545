//! A request that was let in: under which id, who asks and from where, and the place that it has
//! among those that wait for the model.

use crate::access::caller::Caller;
use crate::access::gate::Inside;
use crate::api::Route;
use crate::chat::Usage;
use crate::exchange::CallId;
use crate::http::{Head, Headers};
use crate::record::audit::entry::Asked;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// A request that was let in.
pub struct Visit {
    /// Its id.
    pub id: CallId,
    /// When its head had come.
    pub since: Instant,
    /// Who asks.
    pub caller: Caller,
    /// From where.
    pub address: IpAddr,
    held: RefCell<Held>,
    /// Here, and not on the stack of a request that waits.
    headers: RefCell<Headers>,
}

#[derive(Default)]
struct Held {
    _place: Option<Place>,
    inside: Option<Inside>,
    /// Whether it goes to the model, and so is counted.
    counts: bool,
}

impl Visit {
    /// A visit from now on, without a place.
    pub fn new(caller: Caller, address: IpAddr) -> Self {
        let (id, since) = (CallId::random(), Instant::now());
        Visit { id, since, caller, address, held: RefCell::default(), headers: RefCell::default() }
    }

    /// Gives it a place among those that wait for the model.
    pub fn takes(&self, place: Place) {
        self.held.borrow_mut()._place = Some(place);
    }

    /// Adds to the headers that its answer carries, whatever it is.
    pub fn tells(&self, more: Headers) {
        self.headers.borrow_mut().extend(more);
    }

    /// These headers.
    pub fn headers(&self) -> Headers {
        self.headers.borrow().clone()
    }

    /// Gives what the audit file tells of who asks; the model is for who knows it to add.
    pub fn asked(&self, head: &Head, tell: impl FnOnce(Asked)) {
        let (label, route) = (self.caller.label(), Route::of(head.path));
        tell(Asked {
            id: self.id,
            token: label.map(|(name, _)| name),
            key: label.map(|(_, fingerprint)| fingerprint),
            address: Some(self.address),
            client: head.header("user-agent"),
            session: head.header("x-claude-code-session-id"),
            method: Some(head.method),
            route: head.path,
            endpoint: route.map_or("other", Route::path),
            is_probe: route.is_some_and(Route::is_probe),
            model: None,
            stream: None,
        });
    }

    /// Notes that it has passed all limits, with its place in those that are limited.
    pub fn enters(&self, inside: Option<Inside>) {
        let mut held = self.held.borrow_mut();
        held.counts = true;
        held.inside = inside;
    }

    /// Counts what it took of its caller's limits and gives back its places: just before the end of
    /// the answer leaves, since the client's next request may overtake us from then on.
    pub fn ends(&self, usage: Usage, failed: bool) {
        let held = self.held.take();
        if held.counts {
            self.caller.count(usage.prompt, usage.completion, failed);
        }
    }
}

/// Places for requests that wait for the model.
#[derive(Clone)]
pub struct Places {
    taken: Arc<AtomicUsize>,
    /// How many there are.
    pub bound: usize,
}

/// One of them, given back when dropped.
pub struct Place(Arc<AtomicUsize>);

impl Places {
    /// So many places.
    pub fn new(bound: usize) -> Self {
        Places { taken: Arc::default(), bound }
    }

    /// A place; `None` when all are taken.
    pub fn take(&self) -> Option<Place> {
        let free = |count| (count < self.bound).then_some(count + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free).ok()?;
        Some(Place(self.taken.clone()))
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.bound.saturating_sub(self.taken())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
