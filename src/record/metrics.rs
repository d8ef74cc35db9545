//! Figures for Prometheus: what was asked and how it was answered, counted for as long as the process
//! lives. `text` is the form in which they are told, `histogram` counts times, `counted` bytes, and
//! `process` is what the system knows of the process.
//!
//! How many series there are is bounded whatever clients send: a model's name becomes a label only when
//! the settings list it or a request for it was answered, and only the first [`MODELS`] of them.

mod counted;
mod histogram;
mod process;
mod text;

use super::audit::entry::{Tokens, Tx};
pub use counted::Counted;
use histogram::Histogram;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
pub use text::TYPE;
use text::Text;

/// How many models are told apart; all others are `other`.
pub const MODELS: usize = 64;
/// The longest name of a model that becomes a label, in bytes.
const NAME: usize = 128;
/// How many series of requests there may be before further models are `other`.
const SERIES: usize = 2048;
/// How many codes of errors are told apart: more than there are.
const CODES: usize = 128;
/// The models before those that have names: none at all, and all beyond [`MODELS`].
const NONE: usize = 0;
const OTHER: usize = 1;
/// The ways to a model, as `x-mcp-backend` has them.
const WAYS: [&str; 5] = ["hook", "sampling", "pull", "channel", "forward"];

/// All that is counted.
pub struct Metrics {
    // Held for as long as it takes to count one request, or to copy all counts.
    counts: Mutex<Counts>,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

#[derive(Clone)]
struct Counts {
    models: Vec<Model>,
    requests: BTreeMap<Series, u64>,
    times: BTreeMap<(&'static str, &'static str), Times>,
    errors: BTreeMap<Box<str>, u64>,
}

#[derive(Clone)]
struct Model {
    name: Box<str>,
    prompt: u64,
    completion: u64,
}

/// What a count of requests is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Series {
    route: &'static str,
    backend: &'static str,
    status: u16,
    /// Its place in the list.
    model: usize,
}

/// How long requests of one route took by one way.
#[derive(Clone, Default)]
struct Times {
    whole: Histogram,
    first_byte: Histogram,
    first_piece: Histogram,
}

/// How the bridge is at the moment of a scrape.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// Whether a model is behind it.
    pub is_ready: bool,
    /// Whether it is going, and asks to be left out.
    pub is_draining: bool,
    /// Requests that wait for the model, or for a limit of theirs.
    pub in_flight: usize,
    /// Requests that hosts can fetch.
    pub on_offer: usize,
    /// Requests that stand in line for a host.
    pub in_line: usize,
    /// Open calls of `hook`.
    pub hooks: usize,
    /// Open calls of `next_request`.
    pub pulls: usize,
    /// Open connections.
    pub connections: usize,
    /// Unix time of the start.
    pub started: u64,
    /// How the audit file is, where there is one.
    pub audit: Option<AuditNow>,
}

/// How the audit file is.
#[derive(Debug, Clone, Copy)]
pub struct AuditNow {
    /// Records so far.
    pub records: u64,
    /// Records that found no room.
    pub lost: u64,
    /// Whether it cannot be written now.
    pub is_failing: bool,
}

impl Metrics {
    /// Nothing counted yet; of the models that are `listed` the first have labels from the start.
    pub fn new(listed: &[String]) -> Self {
        let named = listed.iter().map(String::as_str).filter(|name| is_label(name)).take(MODELS);
        let models = ["", "other"].into_iter().chain(named);
        let models = models.map(|name| Model { name: name.into(), prompt: 0, completion: 0 });
        let counts = Counts {
            models: models.collect(),
            requests: BTreeMap::new(),
            times: BTreeMap::new(),
            errors: BTreeMap::new(),
        };
        Metrics {
            counts: Mutex::new(counts),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts how a request was answered.
    pub fn tx(&self, tx: &Tx) {
        let backend = way(tx.backend);
        let mut counts = self.counts();
        let mut model = counts.model(tx.asked.model, tx.status);
        let series = |model| Series { route: tx.asked.endpoint, backend, status: tx.status, model };
        if counts.requests.len() >= SERIES && !counts.requests.contains_key(&series(model)) {
            model = OTHER;
        }
        *counts.requests.entry(series(model)).or_default() += 1;
        let times = counts.times.entry((tx.asked.endpoint, backend)).or_default();
        times.whole.count(tx.time);
        if let Some(time) = tx.first {
            times.first_byte.count(time);
        }
        if let Some(time) = tx.first_piece {
            times.first_piece.count(time);
        }
        if let Some(Tokens { prompt, completion, .. }) = tx.tokens
            && let Some(model) = counts.models.get_mut(model)
        {
            model.prompt = model.prompt.saturating_add(prompt);
            model.completion = model.completion.saturating_add(completion);
        }
        if let Some(code) = tx.error {
            counts.error(code);
        }
    }

    /// Counts a request whose head could not be read, so that nobody knows what it asked for.
    pub fn unread(&self, status: u16, code: &str) {
        let mut counts = self.counts();
        let series = Series { route: "other", backend: "", status, model: NONE };
        *counts.requests.entry(series).or_default() += 1;
        counts.error(code);
    }

    /// Counts the bytes of one request's body and of its answer's.
    pub fn bytes(&self, request: usize, answer: usize) {
        self.bytes_in.fetch_add(request as u64, Ordering::Relaxed);
        self.bytes_out.fetch_add(answer as u64, Ordering::Relaxed);
    }

    /// All figures, in the text form that [`TYPE`] names.
    pub fn write(&self, now: &Now) -> String {
        // Written behind the lock, which every request takes.
        let counts = self.counts().clone();
        let mut text = Text::default();
        text.family("modeltap_build_info", "gauge", "Always 1, with the version as its label.");
        text.sample(&[("version", env!("CARGO_PKG_VERSION")), ("engine", ENGINE)], 1);
        now.write(&mut text);
        counts.write(&mut text);
        let said = "Bytes of request bodies.";
        text.family("modeltap_request_body_bytes_total", "counter", said);
        text.sample(&[], self.bytes_in.load(Ordering::Relaxed));
        let said = "Bytes of answers' bodies, streams included, when each has ended.";
        text.family("modeltap_response_body_bytes_total", "counter", said);
        text.sample(&[], self.bytes_out.load(Ordering::Relaxed));
        process::write(now.started, &mut text);
        text.into_string()
    }
}

const ENGINE: &str = if cfg!(feature = "tiny_http") { "tiny_http" } else { "native" };

/// Whether a name can become a label.
fn is_label(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME && name != "other"
}

fn way(backend: Option<&str>) -> &'static str {
    match backend {
        None => "",
        Some(name) => WAYS.into_iter().find(|way| *way == name).unwrap_or("other"),
    }
}

impl Counts {
    /// The place of a model that was asked for with this outcome.
    fn model(&mut self, name: Option<&str>, status: u16) -> usize {
        let Some(name) = name else { return NONE };
        match self.models.iter().position(|model| *model.name == *name) {
            Some(place) if place != NONE => place,
            _ if status == 200 && is_label(name) && self.models.len() < MODELS + 2 => {
                self.models.push(Model { name: name.into(), prompt: 0, completion: 0 });
                self.models.len() - 1
            }
            _ => OTHER,
        }
    }

    fn error(&mut self, code: &str) {
        let code = match self.errors.contains_key(code) || self.errors.len() < CODES {
            true => code,
            false => "other",
        };
        match self.errors.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(self.errors.insert(code.into(), 1)),
        }
    }

    fn name(&self, model: usize) -> &str {
        self.models.get(model).map_or("", |model| &model.name)
    }

    fn write(&self, text: &mut Text) {
        let said = "Requests that were answered, by the route's pattern, the model that the client \
                    named, the way to it, and the HTTP status (499: the client went away).";
        text.family("modeltap_requests_total", "counter", said);
        for (series, count) in &self.requests {
            let Series { route, backend, status, model } = *series;
            let (status, model) = (status.to_string(), self.name(model));
            let labels =
                [("route", route), ("model", model), ("backend", backend), ("status", &status)];
            text.sample(&labels, count);
        }
        let said = "Requests that got an error in the place of an answer, by its code.";
        text.family("modeltap_refusals_total", "counter", said);
        for (code, count) in &self.errors {
            text.sample(&[("reason", code)], count);
        }
        let said = "Tokens of questions (in) and answers (out), by model; estimated.";
        text.family("modeltap_tokens_total", "counter", said);
        for Model { name, prompt, completion } in self.models.iter().skip(OTHER) {
            for (direction, count) in [("in", prompt), ("out", completion)] {
                text.sample(&[("model", name), ("direction", direction)], count);
            }
        }
        type Of = fn(&Times) -> &Histogram;
        let histograms: [(&str, &str, Of); 3] = [
            (
                "modeltap_request_duration_seconds",
                "From a request to the end of its answer, whatever that was.",
                |times| &times.whole,
            ),
            (
                "modeltap_time_to_first_byte_seconds",
                "From a request for a stream to the stream's head, which leaves within 20 ms of the \
                 host being asked.",
                |times| &times.first_byte,
            ),
            (
                "modeltap_time_to_first_token_seconds",
                "From a request for a stream to the first piece of the model's answer.",
                |times| &times.first_piece,
            ),
        ];
        for (name, said, of) in histograms {
            text.family(name, "histogram", said);
            for ((route, backend), times) in &self.times {
                of(times).write(&[("route", route), ("backend", backend)], text);
            }
        }
    }
}

impl Now {
    fn write(&self, text: &mut Text) {
        let gauges = [
            ("modeltap_ready", usize::from(self.is_ready), "1 while a model is behind the bridge."),
            (
                "modeltap_draining",
                usize::from(self.is_draining),
                "1 once the bridge was told to end and finishes what it has.",
            ),
            (
                "modeltap_requests_in_flight",
                self.in_flight,
                "Requests that wait for the model, or for a limit to let them go on to it.",
            ),
            ("modeltap_connections", self.connections, "Open HTTP connections."),
        ];
        for (name, value, said) in gauges {
            text.family(name, "gauge", said);
            text.sample(&[], value);
        }
        let said = "Requests in flight that no host has yet: on offer where hosts fetch them, or in \
                    line for a host that is asked.";
        text.family("modeltap_requests_queued", "gauge", said);
        text.sample(&[("queue", "on_offer")], self.on_offer);
        text.sample(&[("queue", "in_line")], self.in_line);
        let said = "Open calls of the tools by which hosts wait for requests.";
        text.family("modeltap_hosts_waiting", "gauge", said);
        text.sample(&[("tool", "hook")], self.hooks);
        text.sample(&[("tool", "next_request")], self.pulls);
        let Some(audit) = self.audit else { return };
        let said = "Records for the audit file, and those of them that found no room.";
        text.family("modeltap_audit_records_total", "counter", said);
        text.sample(&[("outcome", "taken")], audit.records);
        text.sample(&[("outcome", "lost")], audit.lost);
        let said = "1 while the audit file cannot be written.";
        text.family("modeltap_audit_failing", "gauge", said);
        text.sample(&[], u8::from(audit.is_failing));
    }
}

/// The time as Prometheus has times.
fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

#[cfg(test)]
mod tests;
