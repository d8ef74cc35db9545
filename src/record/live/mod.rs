//! What the page shows: the requests in flight, the last exchanges, the last hour by minutes, who used
//! how much, and what was refused.
//!
//! A request is taken down twice, each time in less time than its RX line takes, and in memory that an
//! older one leaves behind. Bodies are kept while somebody watches, and for no one else.

mod entry;
mod minutes;
#[cfg(test)]
mod tests;

use super::audit::entry::{Rx, Tx};
use super::audit::redact::redact;
use crate::api::ENDPOINTS;
use crate::clock;
use crate::exchange::CallId;
use minutes::Minutes;
use regex_lite::Regex;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use super::audit::entry::Tokens;
pub use entry::{Body, Entry, millis};
pub use minutes::Point;

/// How many exchanges are kept that are over.
pub const RECENT: usize = 200;
/// How many of those that failed, and of those that met a limit, are kept longer.
const FAULTS: usize = 50;
/// How many in flight are told apart; more are only counted.
const OPEN: usize = 256;
/// How many keys are told apart; what others use is counted together.
const USERS: usize = 256;
/// How many bytes of bodies are kept in all.
const BODIES: usize = 16 * 1024 * 1024;

/// What one key has used since the bridge was started.
#[derive(Debug, Clone, Default, Serialize)]
pub struct User {
    /// What the key is called; empty for those without one.
    pub token: String,
    /// Requests for the model that are over.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// When the last of them ended, in milliseconds since 1970.
    pub last: u64,
    /// The number of the exchange that it was.
    #[serde(skip)]
    number: u64,
}

/// What is to be told, oldest first.
#[derive(Debug, Default)]
pub struct News {
    /// The number of the last exchange that is over.
    pub last: u64,
    /// Requests in flight, the oldest of them.
    pub open: Vec<Arc<Entry>>,
    /// How many are in flight in all.
    pub in_flight: usize,
    /// Exchanges that are over.
    pub over: Vec<Arc<Entry>>,
    /// How many more there were before these.
    pub skipped: u64,
    /// Minutes of the last hour.
    pub minutes: Vec<Point>,
    /// What keys have used.
    pub users: Vec<User>,
    /// Exchanges that failed.
    pub errors: Vec<Arc<Entry>>,
    /// Exchanges that met a limit.
    pub limits: Vec<Arc<Entry>>,
}

#[derive(Default)]
struct State {
    /// How many exchanges are over.
    count: u64,
    open: HashMap<CallId, Arc<Entry>>,
    /// How many in flight are not among these.
    more_open: usize,
    over: VecDeque<Arc<Entry>>,
    errors: VecDeque<Arc<Entry>>,
    limits: VecDeque<Arc<Entry>>,
    /// Entries whose memory is free for others.
    spare: Vec<Arc<Entry>>,
    minutes: Minutes,
    users: HashMap<String, User>,
    /// Bytes of bodies.
    bodies: usize,
}

/// All of it.
pub struct Live {
    state: Mutex<State>,
    keeps_bodies: AtomicBool,
    /// What is redacted besides the usual secrets.
    patterns: Vec<Regex>,
}

impl Live {
    /// Nothing has come yet. What matches `patterns` is shown to nobody.
    pub fn new(patterns: Vec<Regex>) -> Self {
        Live { state: Mutex::default(), keeps_bodies: AtomicBool::new(false), patterns }
    }

    // Held for some copying, never across I/O.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether bodies are kept, since somebody watches.
    pub fn keeps_bodies(&self) -> bool {
        self.keeps_bodies.load(Ordering::Relaxed)
    }

    /// Says whether bodies are kept from now on; those that are stay.
    pub fn keep_bodies(&self, does: bool) {
        self.keeps_bodies.store(does, Ordering::Relaxed);
    }

    /// Says whether somebody watches. When nobody does, bodies are forgotten.
    pub fn watch(&self, is_watched: bool) {
        self.keep_bodies(is_watched);
        if !is_watched {
            let mut state = self.state();
            state.bodies = 0;
            let State { open, over, .. } = &mut *state;
            open.values_mut().chain(over).for_each(without_bodies);
        }
    }

    /// A text without its secrets.
    pub fn redacted<'t>(&self, text: &'t str) -> Cow<'t, str> {
        redact(text, &self.patterns)
    }

    /// Takes down that a request came.
    pub fn rx(&self, rx: &Rx) {
        if is_ours(rx.asked.endpoint) {
            return;
        }
        let time = clock::now();
        // Copied before the lock is taken, since it may be large.
        let body = self.keeps_bodies().then(|| Body::of(rx.body));
        let mut state = self.state();
        if state.open.len() >= OPEN {
            state.more_open += 1;
            return;
        }
        let mut entry = state.spare.pop().unwrap_or_else(|| Arc::new(Entry::new()));
        let fresh = Arc::make_mut(&mut entry);
        fresh.begin(&rx.asked, time);
        if let Some(body) = body
            && state.has_room(body.kept.len())
        {
            fresh.request = Some(body);
        }
        state.open.insert(rx.asked.id, entry);
    }

    /// Takes down how a request was answered.
    pub fn tx(&self, tx: &Tx) {
        if is_ours(tx.asked.endpoint) {
            return;
        }
        let failed = tx.status >= 400;
        let message = tx.body.filter(|_| tx.error.is_some()).unwrap_or_default();
        let message = if message.is_empty() { message.into() } else { self.redacted(message) };
        let text = tx.body.filter(|_| tx.error.is_none() && self.keeps_bodies());
        let body = text.map(|text| Body::of(text.as_bytes()));
        let now = clock::now();
        let mut state = self.state();
        state.count += 1;
        let number = state.count;
        let mut entry = match state.open.remove(&tx.asked.id) {
            Some(entry) => entry,
            None => {
                state.more_open = state.more_open.saturating_sub(1);
                let mut entry = state.spare.pop().unwrap_or_else(|| Arc::new(Entry::new()));
                let began = now.checked_sub(tx.time).unwrap_or(now);
                Arc::make_mut(&mut entry).begin(&tx.asked, began);
                entry
            }
        };
        // Whoever shows it in this very moment goes on with the old one.
        let ended = Arc::make_mut(&mut entry);
        ended.end(tx, number, &message);
        if let Some(body) = body
            && state.has_room(body.kept.len())
        {
            ended.answer = Some(body);
        }
        if ENDPOINTS.iter().any(|endpoint| endpoint.path == tx.asked.endpoint) {
            let now = millis(now);
            state.minutes.count(now / 60_000, tx.time, failed);
            state.count_user(ended, now, failed);
        }
        if failed {
            let faults = if ended.is_limited() { &mut state.limits } else { &mut state.errors };
            if faults.len() == FAULTS {
                faults.pop_front();
            }
            // Faults are many that nobody looks at; their bodies go with the exchange.
            faults.push_back(Arc::new(ended.bare()));
        }
        if state.over.len() == RECENT
            && let Some(mut oldest) = state.over.pop_front()
        {
            state.bodies = state.bodies.saturating_sub(oldest.weight());
            without_bodies(&mut oldest);
            // One that is being shown in this very moment is left to that.
            if Arc::get_mut(&mut oldest).is_some() {
                state.spare.push(oldest);
            }
        }
        state.over.push_back(entry);
    }

    /// Notes that a request stands in line for a limit of its caller, or does so no more.
    pub fn at_limit(&self, id: CallId, is_so: bool) {
        if let Some(entry) = self.state().open.get_mut(&id) {
            Arc::make_mut(entry).at_limit = is_so;
        }
    }

    /// What there is, or since the exchange of number `since` was over; at most `most` of those that
    /// are over, and `open` of those in flight.
    pub fn news(&self, since: Option<u64>, open: usize, most: usize) -> News {
        let minute = millis(clock::now()) / 60_000;
        let state = self.state();
        let from = since.unwrap_or(0);
        let new = |list: &VecDeque<Arc<Entry>>, most: usize| -> Vec<Arc<Entry>> {
            let newest = list.iter().rev().take_while(|entry| entry.number > from).take(most);
            let mut found: Vec<_> = newest.cloned().collect();
            found.reverse();
            found
        };
        let over = new(&state.over, most);
        let mut found: Vec<_> = state.open.values().cloned().collect();
        found.sort_by_key(|entry| entry.time);
        found.truncate(open);
        // The minute before may have been told when it was not over.
        let from_minute = since.map_or(0, |_| minute.saturating_sub(1));
        News {
            last: state.count,
            in_flight: state.open.len() + state.more_open,
            open: found,
            skipped: (state.count - from).saturating_sub(over.len() as u64),
            over,
            minutes: state.minutes.points(from_minute, minute),
            users: state.users.values().filter(|user| user.number > from).cloned().collect(),
            errors: new(&state.errors, FAULTS),
            limits: new(&state.limits, FAULTS),
        }
    }

    /// One exchange, in flight or over.
    pub fn find(&self, id: CallId) -> Option<Arc<Entry>> {
        let state = self.state();
        let over = state.over.iter().rev().chain(&state.errors).chain(&state.limits);
        state.open.get(&id).or_else(|| over.into_iter().find(|entry| entry.id == id)).cloned()
    }
}

/// Who only watches is not shown: the page itself, and whoever reads the figures some times a minute.
fn is_ours(endpoint: &str) -> bool {
    matches!(endpoint, "/v1/events" | "/v1/exchanges/{id}" | "/metrics")
}

fn without_bodies(entry: &mut Arc<Entry>) {
    if entry.weight() > 0 {
        let entry = Arc::make_mut(entry);
        (entry.request, entry.answer) = (None, None);
    }
}

impl State {
    /// Makes room for so many bytes of a body, at the cost of the oldest; whether there is room now.
    fn has_room(&mut self, bytes: usize) -> bool {
        let mut oldest = self.over.iter_mut().filter(|entry| entry.weight() > 0);
        while self.bodies + bytes > BODIES {
            let Some(entry) = oldest.next() else { return false };
            self.bodies = self.bodies.saturating_sub(entry.weight());
            without_bodies(entry);
        }
        self.bodies += bytes;
        true
    }

    /// Counts what the key of a request used that is over.
    fn count_user(&mut self, entry: &Entry, now: u64, failed: bool) {
        let is_new = !self.users.contains_key(&entry.token);
        let name = match is_new && self.users.len() >= USERS {
            true => "(others)",
            false => &entry.token,
        };
        if is_new && !self.users.contains_key(name) {
            self.users.insert(name.into(), User { token: name.into(), ..User::default() });
        }
        let Some(user) = self.users.get_mut(name) else { return };
        user.requests += 1;
        user.errors += u64::from(failed);
        let tokens = entry.tokens.map_or((0, 0), |tokens| (tokens.prompt, tokens.completion));
        user.prompt_tokens = user.prompt_tokens.saturating_add(tokens.0);
        user.completion_tokens = user.completion_tokens.saturating_add(tokens.1);
        (user.last, user.number) = (now, entry.number);
    }
}

/// Milliseconds since 1970, now.
pub fn now() -> u64 {
    millis(clock::now())
}
