//! Claude Code channels: a request is published as an event, and the model answers by calling the
//! reply tools. Nothing acknowledges an event, and events are lost (FACTS §3): so each is leased,
//! published again when it was not answered, and also handed out by the tool `next_request`.

use super::offers::Offers;
use super::replies::Replies;
use super::{Errand, Place, Way, prompt, send_by, unsent};
use crate::chat::{Ask, Failure};
use crate::exchange::{CallId, Exchange, Handle};
use crate::mcp::arguments::Arguments;
use crate::mcp::outbox::Outbox;
use crate::mcp::rpc;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// The capability that makes Claude Code listen.
pub const CAPABILITY: &str = "claude/channel";
const METHOD: &str = "notifications/claude/channel";

/// The way through channel events and reply tools.
pub struct Channel {
    exchange: Exchange,
    outbox: Outbox,
    offers: Offers,
    replies: Replies,
    /// How long a session has to answer an event.
    lease: Duration,
}

impl Channel {
    /// The way over `outbox`, whose requests can also be fetched from `offers`, and are answered
    /// through `replies`.
    pub fn new(
        exchange: Exchange,
        outbox: Outbox,
        offers: Offers,
        replies: Replies,
        lease: Duration,
    ) -> Self {
        Channel { exchange, outbox, offers, replies, lease }
    }

    /// The tool `channel_publish`: sends an event of the host's own wording. It is called on the
    /// thread that reads the host, which must not wait for the host to read.
    pub fn publish(&self, arguments: &Arguments) {
        let mut meta: Map<String, Value> =
            arguments.get("meta").and_then(Value::as_object).cloned().unwrap_or_default();
        meta.insert("source".into(), "manual".into());
        let content = arguments.get("content").and_then(Value::as_str).unwrap_or_default();
        self.outbox.post(event(content, meta));
    }
}

impl Way for Channel {
    fn name(&self) -> &'static str {
        "channel"
    }

    fn ask(&self, ask: &Ask, errand: &Errand) -> Result<Place, Failure> {
        let handle = self.exchange.hand_out(errand.id, self.name(), errand.again);
        let Some(handle) = handle else { return Ok(Place::Asked) };
        if errand.again {
            self.replies.missed();
        }
        let told =
            Told { handle, again: errand.again, is_silent: self.replies.has_answered_event() };
        let line = event(&content(ask, &told), meta(ask, &told));
        self.outbox.send(line.into_bytes(), send_by(errand.deadline)).map_err(unsent)?;
        self.offers.offer(ask, errand, false, true);
        Ok(Place::Leased(Instant::now() + self.lease))
    }

    fn ignores(&self, ask: &Ask) -> Vec<&'static str> {
        let set = [
            (ask.temperature.is_some(), "temperature"),
            (ask.top_p.is_some(), "top_p"),
            (ask.top_k.is_some(), "top_k"),
            (ask.max_tokens.is_some(), "max_tokens"),
            (!ask.stop.is_empty(), "stop"),
            (ask.seed.is_some(), "seed"),
            (ask.metadata.is_some(), "metadata"),
        ];
        crate::chat::names_of(&set)
    }

    fn withdraw(&self, id: CallId, _: &str) {
        // An event cannot be taken back; a late reply is refused by name.
        self.offers.withdraw(id);
    }
}

/// What an event says of its request besides the request.
struct Told {
    handle: Handle,
    /// Whether an event told of it before.
    again: bool,
    /// Whether the session answers, but not this one.
    is_silent: bool,
}

/// A channel event as a line. What could end the event's element early is made harmless, in its
/// attributes too: how hosts write them is said nowhere, and clients choose some of them.
fn event(content: &str, mut meta: Map<String, Value>) -> String {
    for value in meta.values_mut() {
        if let Value::String(text) = value {
            *text = neutralise(text);
        }
    }
    rpc::notification(METHOD, &rpc::json(&json!({"content": neutralise(content), "meta": meta})))
}

/// Breaks up every `</channel` in the text, in any case.
fn neutralise(text: &str) -> String {
    const TAG: &str = "</channel";
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("</") {
        let (before, tag) = rest.split_at(at);
        safe.push_str(before);
        let is_tag = tag.get(..TAG.len()).is_some_and(|start| start.eq_ignore_ascii_case(TAG));
        safe.push_str(if is_tag { "<\\/" } else { "</" });
        rest = &tag[2..];
    }
    safe.push_str(rest);
    safe
}

/// The conversation as text, and how to answer it.
fn content(ask: &Ask, told: &Told) -> String {
    let mut content = String::new();
    let id = told.handle;
    if told.again {
        content.push_str("(This request was announced before, and still waits.)\n");
    }
    if ask.has_image() {
        content.push_str(
            "A request with images is waiting, which events cannot carry: call next_request to get \
             it, and answer it as the result says.",
        );
        return content;
    }
    // Writing to a String cannot fail.
    for message in &ask.messages {
        content.push_str(&message.role.as_str().to_uppercase());
        if let Some(name) = &message.name {
            let _ = write!(content, " [{name}]");
        }
        let _ = writeln!(content, ": {}", prompt::text(&message.parts));
    }
    let _ = match ask.stream {
        false => write!(
            content,
            "\nAnswer by calling channel_reply once, with request_id \"{id}\" and the whole answer \
             as content."
        ),
        true => write!(
            content,
            "\nAnswer by calling channel_reply_stream with request_id \"{id}\": the answer in a \
             few large pieces as delta, in order, and done: true with the last one."
        ),
    };
    if told.again && told.is_silent {
        content.push_str(
            "\nEvents do not always reach you: when you have answered, call next_request to see \
             whether others are waiting.",
        );
    }
    content
}

fn meta(ask: &Ask, told: &Told) -> Map<String, Value> {
    let id = told.handle.to_string();
    let stream = if ask.stream { "true" } else { "false" };
    let known = [
        ("source", Some("http")),
        ("request_id", Some(id.as_str())),
        ("request_type", Some("chat.completions")),
        ("model", Some(ask.model.as_ref())),
        ("openai_user", ask.user.as_deref()),
        ("stream", Some(stream)),
    ];
    let known = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
    known.collect()
}
