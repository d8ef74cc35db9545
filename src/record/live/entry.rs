//! One exchange, from its request to its answer, and how it is told as JSON.

use super::Tokens;
use crate::exchange::CallId;
use crate::record::address::Address;
use crate::record::audit::entry::{Asked, Tx};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many bytes are kept of what clients write at any length: names, paths, an error's words.
const SHORT: usize = 160;
const MESSAGE: usize = 600;
/// How much is kept of one body, in bytes.
pub const BODY: usize = 1024 * 1024;
/// The methods by their names, which then need no memory.
const METHODS: [&str; 5] = ["POST", "GET", "DELETE", "HEAD", "OPTIONS"];

/// A body, or its beginning.
#[derive(Debug)]
pub struct Body {
    /// The bytes that are kept.
    pub kept: Vec<u8>,
    /// How many there were.
    pub length: usize,
}

impl Body {
    pub(super) fn of(bytes: &[u8]) -> Arc<Self> {
        let kept = bytes.get(..BODY).unwrap_or(bytes).to_vec();
        Arc::new(Body { kept, length: bytes.len() })
    }

    /// Whether all of it is kept.
    pub fn is_whole(&self) -> bool {
        self.kept.len() == self.length
    }
}

/// One exchange. Its texts keep their memory when another takes its place.
#[derive(Debug, Clone)]
pub struct Entry {
    /// In the order in which exchanges ended, from 1; 0 while it is in flight.
    pub number: u64,
    /// The id.
    pub id: CallId,
    /// When the request was read.
    pub time: SystemTime,
    /// Whether it stands in line for a limit of its caller.
    pub at_limit: bool,
    method: &'static str,
    /// The route's pattern.
    pub endpoint: &'static str,
    /// The path where the pattern is not the path.
    path: String,
    /// The model, as the client named it; empty where it named none.
    pub model: String,
    /// What the key is called; empty where none is asked for.
    pub token: String,
    fingerprint: String,
    address: Option<IpAddr>,
    client: String,
    stream: bool,
    /// The HTTP status; 0 while it is in flight.
    pub status: u16,
    code: String,
    message: String,
    backend: String,
    took: Duration,
    first: Option<Duration>,
    /// Tokens of the request and of the answer.
    pub tokens: Option<Tokens>,
    /// The request's body, where it was kept.
    pub request: Option<Arc<Body>>,
    /// The answer's text, likewise.
    pub answer: Option<Arc<Body>>,
}

impl Entry {
    pub(super) fn new() -> Self {
        Entry {
            number: 0,
            id: CallId::NIL,
            time: UNIX_EPOCH,
            at_limit: false,
            method: "",
            endpoint: "",
            path: String::new(),
            model: String::new(),
            token: String::new(),
            fingerprint: String::new(),
            address: None,
            client: String::new(),
            stream: false,
            status: 0,
            code: String::new(),
            message: String::new(),
            backend: String::new(),
            took: Duration::ZERO,
            first: None,
            tokens: None,
            request: None,
            answer: None,
        }
    }

    /// Becomes the entry of a request that came at `time`.
    pub(super) fn begin(&mut self, asked: &Asked, time: SystemTime) {
        self.number = 0;
        self.id = asked.id;
        self.time = time;
        self.at_limit = false;
        let method = METHODS.into_iter().find(|known| asked.method == Some(known));
        self.method = method.unwrap_or("other");
        self.endpoint = asked.endpoint;
        let is_route = asked.endpoint == asked.route;
        put(&mut self.path, if is_route { "" } else { asked.route }, SHORT);
        put(&mut self.model, asked.model.unwrap_or_default(), SHORT);
        put(&mut self.token, asked.token.unwrap_or_default(), SHORT);
        put(&mut self.fingerprint, asked.key.unwrap_or_default(), SHORT);
        self.address = asked.address;
        put(&mut self.client, asked.client.unwrap_or_default(), SHORT);
        self.stream = asked.stream == Some(true);
        self.status = 0;
        self.code.clear();
        self.message.clear();
        self.backend.clear();
        self.took = Duration::ZERO;
        self.first = None;
        self.tokens = None;
        self.request = None;
        self.answer = None;
    }

    /// Notes how it was answered; `message` is what its error says.
    pub(super) fn end(&mut self, tx: &Tx, number: u64, message: &str) {
        self.number = number;
        self.at_limit = false;
        self.status = tx.status;
        put(&mut self.code, tx.error.unwrap_or_default(), SHORT);
        put(&mut self.message, message, MESSAGE);
        put(&mut self.backend, tx.backend.unwrap_or_default(), SHORT);
        self.took = tx.time;
        self.first = tx.first;
        self.tokens = tx.tokens;
    }

    /// Whether it was refused by a limit, or for want of room.
    pub(super) fn is_limited(&self) -> bool {
        self.status == 429 || self.code == "overloaded"
    }

    /// The same without bodies.
    pub(super) fn bare(&self) -> Self {
        Entry { request: None, answer: None, ..self.clone() }
    }

    /// How many bytes of bodies it keeps.
    pub(super) fn weight(&self) -> usize {
        let of = |body: &Option<Arc<Body>>| body.as_ref().map_or(0, |body| body.kept.len());
        of(&self.request) + of(&self.answer)
    }
}

fn put(text: &mut String, new: &str, most: usize) {
    text.clear();
    text.push_str(new.get(..new.floor_char_boundary(most)).unwrap_or_default());
}

/// Milliseconds since 1970.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What is not known is left out, so that a row stays short.
impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("id", &self.id.to_string())?;
        map.serialize_entry("time", &millis(self.time))?;
        map.serialize_entry("method", self.method)?;
        map.serialize_entry("route", self.endpoint)?;
        let address = self.address.map(|address| Address(address).to_string());
        for (name, text) in [
            ("path", &self.path),
            ("model", &self.model),
            ("token", &self.token),
            ("key", &self.fingerprint),
            ("address", &address.unwrap_or_default()),
            ("client", &self.client),
            ("error", &self.code),
            ("message", &self.message),
            ("backend", &self.backend),
        ] {
            if !text.is_empty() {
                map.serialize_entry(name, text)?;
            }
        }
        if self.stream {
            map.serialize_entry("stream", &true)?;
        }
        if self.status > 0 {
            map.serialize_entry("n", &self.number)?;
            map.serialize_entry("status", &self.status)?;
            map.serialize_entry("ms", &rounded(self.took))?;
        }
        if let Some(first) = self.first {
            map.serialize_entry("first_ms", &rounded(first))?;
        }
        if let Some(tokens) = self.tokens {
            map.serialize_entry("prompt_tokens", &tokens.prompt)?;
            map.serialize_entry("completion_tokens", &tokens.completion)?;
        }
        map.end()
    }
}

/// Milliseconds, to a tenth.
pub fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}
