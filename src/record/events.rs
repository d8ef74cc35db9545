//! The ring of recent events, for the tool `channel_debug_events`.

use crate::clock;
use crate::exchange::CallId;
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// How many bytes of an event's text are kept; a ring of large ones must not fill the memory.
const KEPT: usize = 2048;

/// What kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A client asked.
    Request,
    /// The host is asked, or an event of its own wording was published.
    Publish,
    /// The host answered in whole.
    Reply,
    /// The host answered a piece.
    StreamDelta,
    /// The host ended a stream.
    StreamDone,
    /// A client got a whole answer.
    Response,
    /// A client got a piece.
    ResponseChunk,
    /// A client's stream was ended.
    ResponseDone,
    /// A client got an error, or left.
    ResponseError,
}

/// The names of the kinds, in the order of [`Kind`].
pub const KINDS: [&str; 9] = [
    "request",
    "publish",
    "reply",
    "stream_delta",
    "stream_done",
    "response",
    "response_chunk",
    "response_done",
    "response_error",
];

/// The types of source, and what each is: HTTP clients, tools of ours, sampling answers.
pub const SOURCES: [&str; 3] = ["http", "tool", "sampling"];

/// One event, before it has a number and a time.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// What happened.
    pub kind: Kind,
    /// To which request.
    pub id: Option<CallId>,
    /// Whether the request's client asked for a stream, where that is known.
    pub stream: Option<bool>,
    /// One of [`SOURCES`].
    pub source: &'static str,
    /// The route or the tool.
    pub input: &'static str,
    /// The text; only its beginning is kept.
    pub content: &'a str,
    /// More to know: names and values.
    pub meta: &'a [(&'static str, &'a str)],
}

struct Kept {
    number: u64,
    time: SystemTime,
    kind: Kind,
    id: Option<CallId>,
    stream: Option<bool>,
    source: &'static str,
    input: &'static str,
    content: String,
    length: usize,
    meta: Vec<(&'static str, String)>,
}

/// Which events are wanted.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Only of this request.
    pub id: Option<CallId>,
    /// Only of this kind, by name.
    pub kind: Option<&'a str>,
    /// Only of this type of source.
    pub source: Option<&'a str>,
    /// Only of requests that are streamed, or are not.
    pub stream: Option<bool>,
    /// At most so many, the newest.
    pub limit: usize,
}

/// The ring.
pub struct Ring {
    most: usize,
    state: Mutex<(u64, VecDeque<Kept>)>,
}

impl Ring {
    /// Keeps the last `most` events.
    pub fn new(most: usize) -> Self {
        Ring { most, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, (u64, VecDeque<Kept>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many events there were, and how many are kept at most.
    pub fn counts(&self) -> (u64, usize) {
        (self.state().0, self.most)
    }

    /// Adds an event.
    pub fn push(&self, event: &Event) {
        let end = event.content.floor_char_boundary(KEPT);
        let time = clock::now();
        let mut state = self.state();
        let (count, ring) = &mut *state;
        *count += 1;
        // The oldest gives its place, and its memory with it.
        let oldest = if ring.len() < self.most { None } else { ring.pop_front() };
        let (mut content, mut meta) =
            oldest.map(|kept| (kept.content, kept.meta)).unwrap_or_default();
        content.clear();
        content.push_str(&event.content[..end]);
        meta.resize_with(event.meta.len(), Default::default);
        for ((key, value), (new_key, new_value)) in meta.iter_mut().zip(event.meta) {
            *key = *new_key;
            value.clear();
            value.push_str(new_value);
        }
        ring.push_back(Kept {
            number: *count,
            time,
            kind: event.kind,
            id: event.id,
            stream: event.stream,
            source: event.source,
            input: event.input,
            content,
            length: event.content.len(),
            meta,
        });
    }

    /// The newest events that fit, oldest first.
    pub fn list(&self, filter: &Filter) -> Vec<Value> {
        let state = self.state();
        let fits = |event: &&Kept| {
            filter.id.is_none_or(|id| event.id == Some(id))
                && filter.kind.is_none_or(|kind| name(event.kind) == kind)
                && filter.source.is_none_or(|source| event.source == source)
                && filter.stream.is_none_or(|stream| event.stream == Some(stream))
        };
        let mut found: Vec<Value> =
            state.1.iter().rev().filter(fits).take(filter.limit).map(Kept::to_json).collect();
        found.reverse();
        found
    }
}

fn name(kind: Kind) -> &'static str {
    KINDS[kind as usize]
}

impl Kept {
    fn to_json(&self) -> Value {
        let mut meta = Map::new();
        if let Some(id) = self.id {
            meta.insert("request_id".into(), id.to_string().into());
        }
        if let Some(stream) = self.stream {
            meta.insert("stream".into(), stream.into());
        }
        for (key, value) in &self.meta {
            meta.insert((*key).into(), value.as_str().into());
        }
        if self.content.len() < self.length {
            meta.insert("content_bytes".into(), self.length.into());
        }
        json!({
            "event_id": self.number,
            "ts": humantime::format_rfc3339_millis(self.time).to_string(),
            "kind": name(self.kind),
            "content": self.content,
            "meta": meta,
            "source": {"type": self.source, "input": self.input},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_and_filters() {
        let ring = Ring::new(3);
        let id = CallId::random();
        for (kind, stream) in [
            (Kind::Request, true),
            (Kind::Publish, true),
            (Kind::Reply, false),
            (Kind::Response, false),
        ] {
            let content = "你".repeat(KEPT);
            let (stream, source) = (Some(stream), SOURCES[0]);
            ring.push(&Event {
                kind,
                id: Some(id),
                stream,
                source,
                input: "",
                content: &content,
                meta: &[],
            });
        }
        let kinds = |filter: Filter| -> Vec<String> {
            ring.list(&filter).iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect()
        };
        let all = Filter { limit: 10, ..Filter::default() };
        assert_eq!(kinds(all), ["publish", "reply", "response"]);
        assert_eq!(kinds(Filter { limit: 1, ..Filter::default() }), ["response"]);
        assert_eq!(
            kinds(Filter { limit: 9, stream: Some(true), ..Filter::default() }),
            ["publish"]
        );
        assert_eq!(kinds(Filter { limit: 9, kind: Some("reply"), ..Filter::default() }), ["reply"]);
        assert_eq!(
            kinds(Filter { limit: 9, id: Some(CallId::random()), ..Filter::default() }).len(),
            0
        );
        let event = &ring.list(&Filter { limit: 1, ..Filter::default() })[0];
        assert_eq!(event["meta"]["content_bytes"], 3 * KEPT);
        assert_eq!(ring.counts(), (4, 3));
    }
}
