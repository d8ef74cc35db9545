//! What the page is told, as server-sent events: how all is (`snapshot`), and some times a second what
//! is new (`news`).

use super::feed::{MANY, Piece, Source};
use crate::host::Hosts;
use crate::record::live::{Entry, Live, News, Point, RECENT, User, now};
use crate::relay::Relay;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;

/// How many requests in flight are told apart.
const OPEN: usize = 50;
/// How many exchanges are told at once; of more only the number is told, since nobody could read them.
const AT_ONCE: usize = 40;

/// Whether a model is behind the bridge, and through what.
#[derive(Serialize)]
struct Model<'a> {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    /// Why there is none, and what to do; or what may be wrong with the one there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<Host>,
    /// The model that the host named last.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct Host {
    name: String,
    version: String,
    protocol: &'static str,
}

/// A request in flight.
#[derive(Serialize)]
struct Open<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    state: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    backend: &'static str,
}

/// What `snapshot` and `news` have in common, but for the time.
#[derive(Serialize)]
struct Told<'a> {
    model: Model<'a>,
    in_flight: usize,
    open: Vec<Open<'a>>,
    exchanges: Vec<&'a Entry>,
    skipped: u64,
    minutes: &'a [Point],
    tokens: &'a [User],
    errors: Vec<&'a Entry>,
    limits: Vec<&'a Entry>,
}

/// What only `snapshot` tells.
#[derive(Serialize)]
struct Start {
    version: &'static str,
    /// Seconds since the bridge was started.
    uptime: u64,
    /// Whether clients are asked for keys.
    keys: bool,
}

fn model(hosts: &Hosts, relay: &Relay) -> Model<'static> {
    let client = hosts.session.client();
    let host = (!client.name.is_empty()).then_some(Host {
        name: client.name.clone(),
        version: client.version.clone(),
        protocol: client.protocol,
    });
    let (ready, backend, reason) = match hosts.choose() {
        Ok(way) => (true, Some(way.name()), hosts.why_silent(way.name()).map(str::to_owned)),
        Err(failure) => (false, None, Some(failure.message)),
    };
    Model { ready, backend, reason, host, name: relay.model() }
}

/// Where a request in flight is: `limit` (in line for a limit of its caller), `waiting` (for a host that
/// takes it), `asked` (a host has it) or `streaming` (its answer has begun).
pub fn states(relay: &Relay, open: &[Arc<Entry>]) -> Vec<(&'static str, &'static str)> {
    let far = relay.exchange.progress(open.iter().map(|entry| entry.id));
    let state = |(entry, far): (&Arc<Entry>, Option<(&'static str, bool)>)| match far {
        _ if entry.at_limit => ("limit", ""),
        Some((way, true)) => ("streaming", way),
        Some((way, _)) if way.is_empty() || relay.hosts.offers.waits(entry.id) => ("waiting", ""),
        Some((way, _)) => ("asked", way),
        // It is on its way in or out, or is being asked anew.
        None => ("asked", ""),
    };
    open.iter().zip(far).map(state).collect()
}

fn rows(entries: &[Arc<Entry>]) -> Vec<&Entry> {
    entries.iter().map(|entry| &**entry).collect()
}

/// Writes what `news` tells.
fn tell(relay: &Relay, news: &News) -> serde_json::Result<String> {
    let states = states(relay, &news.open);
    let open = news.open.iter().zip(states);
    let open = open.map(|(entry, (state, backend))| Open { entry, state, backend }).collect();
    serde_json::to_string(&Told {
        model: model(&relay.hosts, relay),
        in_flight: news.in_flight,
        open,
        exchanges: rows(&news.over),
        skipped: news.skipped,
        minutes: &news.minutes,
        tokens: &news.users,
        errors: rows(&news.errors),
        limits: rows(&news.limits),
    })
}

/// One event. `told` and `more` are JSON objects.
fn event(name: &str, told: &str, more: &str) -> Vec<u8> {
    let members = |object: &str| object.get(1..object.len() - 1).unwrap_or_default().to_owned();
    let (told, more) = (members(told), members(more));
    let comma = if more.is_empty() { "" } else { "," };
    format!("event: {name}\ndata: {{\"now\":{},{more}{comma}{told}}}\n\n", now()).into_bytes()
}

/// How all is.
pub fn snapshot(relay: &Relay, live: &Live, started: Instant) -> Vec<u8> {
    let start = Start {
        version: env!("CARGO_PKG_VERSION"),
        uptime: started.elapsed().as_secs(),
        keys: relay.access.asks_for_keys(),
    };
    let told = tell(relay, &live.news(None, OPEN, RECENT));
    // Nothing in it can fail to be written.
    let start = serde_json::to_string(&start).unwrap_or_else(|_| "{}".into());
    event("snapshot", &told.unwrap_or_else(|_| "{}".into()), &start)
}

/// How many exchanges a page lost, which did not keep up.
pub fn lost(count: u64) -> Vec<u8> {
    format!("event: lost\ndata: {{\"exchanges\":{count}}}\n\n").into_bytes()
}

/// What is new, for all pages.
pub struct Telling {
    relay: Arc<Relay>,
    live: Arc<Live>,
    last: u64,
    before: String,
}

impl Telling {
    /// What is new from now on.
    pub fn new(relay: Arc<Relay>, live: Arc<Live>) -> Self {
        let last = live.news(None, 0, 0).last;
        Telling { relay, live, last, before: String::new() }
    }
}

impl Source for Telling {
    fn next(&mut self) -> Option<(Piece, u64)> {
        let news = self.live.news(Some(self.last), OPEN, AT_ONCE);
        let told = tell(&self.relay, &news).ok()?;
        let ended = news.last - self.last;
        // Of so many nobody opens one, and it should cost those who ask nothing.
        self.live.keep_bodies(ended <= MANY);
        if ended == 0 && told == self.before {
            return None;
        }
        self.last = news.last;
        let piece = event("news", &told, "{}");
        self.before = told;
        Some((piece.into(), ended))
    }

    fn watch(&self, is_watched: bool) {
        self.live.watch(is_watched);
    }
}
