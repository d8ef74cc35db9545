//! MCP sampling: `sampling/createMessage` requests to the host, as many at once as there are
//! clients, each answered under its own id.

use super::create_message::{Preferences, cancellation, params, request};
use super::hook::{Hooked, Hooks};
use super::turns::Turns;
use super::{Errand, Place, Way, send_by, unsent};
use crate::chat::{Ask, Call, Event, Failure, FailureKind, StopReason};
use crate::exchange::{CallId, Exchange, Handle, Refused, Taken};
use crate::last_host::LastHost;
use crate::mcp::outbox::Outbox;
use crate::mcp::rpc::{self, RpcError};
use crate::mcp::session::Session;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The way through sampling.
pub struct Sampling {
    exchange: Exchange,
    session: Session,
    outbox: Outbox,
    preferences: Preferences,
    /// The calls of the `hook` tool that are open.
    pub hooks: Hooks,
    /// How many requests the host has, and who waits for his turn.
    pub turns: Turns,
    /// What `modeltap doctor` is told.
    last_host: LastHost,
    /// Requests outside a call of the host's own have succeeded.
    accepts_unasked: AtomicBool,
    /// When the last of them was refused as SEP-2260 says, and the host's words.
    wants_hook: Mutex<Option<(Instant, String)>>,
}

impl Sampling {
    /// The way over `outbox`, answered through `exchange`.
    pub fn new(
        exchange: Exchange,
        session: Session,
        outbox: Outbox,
        preferences: Preferences,
        hooks: Hooks,
        turns: Turns,
        last_host: LastHost,
    ) -> Self {
        Sampling {
            exchange,
            session,
            outbox,
            preferences,
            hooks,
            turns,
            last_host,
            accepts_unasked: AtomicBool::new(false),
            wants_hook: Mutex::default(),
        }
    }

    /// Whether a request can be sent now.
    ///
    /// # Errors
    /// What is missing.
    pub fn available(&self) -> Result<(), Failure> {
        if let Some(why) = self.hooks.not_ready() {
            return Err(Failure::new(FailureKind::Unavailable, why));
        }
        let refused = self.wants_hook.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match refused.filter(|(at, _)| at.elapsed() < REMEMBERED) {
            Some((_, said)) if self.hooks.count() == 0 => Err(call_hook(&said)),
            _ => Ok(()),
        }
    }

    /// Forgets what was learnt of a host, for another has begun a session.
    pub fn reset(&self) {
        self.hooks.reset();
        self.turns.reset();
        self.accepts_unasked.store(false, Ordering::Relaxed);
        self.set_wants_hook(None);
    }

    fn set_wants_hook(&self, refused: Option<(Instant, String)>) {
        *self.wants_hook.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// Takes the host's answer to the request `id`. `note` is called before its client has it.
    ///
    /// # Errors
    /// Nobody waits for it, which is normal after a cancellation: both may cross in the pipe. Or the
    /// host wants a `hook` first, and the request is asked for again.
    pub fn answered(
        &self,
        handle: Handle,
        answer: Result<&str, RpcError>,
        note: impl FnOnce(Taken),
    ) -> Result<Taken, Refused> {
        let asked = self.exchange.peek(handle.call);
        let hooked = asked.map(|asked| self.hooks.since(asked.age));
        let events = match answer {
            Ok(result) => {
                self.last_host.granted();
                match hooked {
                    Some(Hooked::Never) => {
                        self.accepts_unasked.store(true, Ordering::Relaxed);
                        self.turns.consented(false);
                    }
                    Some(Hooked::Always) => self.turns.consented(true),
                    _ => {}
                }
                read(result).unwrap_or_else(|failure| vec![Event::Failed(failure)])
            }
            Err(error) => {
                let failure = self.refused(&error, hooked);
                let is_denial = failure.kind == FailureKind::Denied;
                self.last_host.refused(error.code, &error.message, is_denial);
                if failure.kind == FailureKind::Unavailable {
                    self.turns.leave(handle.call, self.is_hooked());
                    self.exchange.give_back(handle, None);
                    return Err(Refused::Moved);
                }
                vec![Event::Failed(failure)]
            }
        };
        self.turns.leave(handle.call, self.is_hooked());
        self.exchange.deliver(handle, events, note)
    }

    fn is_hooked(&self) -> bool {
        self.hooks.count() > 0
    }

    fn refused(&self, error: &RpcError, hooked: Option<Hooked>) -> Failure {
        let unasked = matches!(hooked, Some(Hooked::Never | Hooked::Partly))
            && !self.accepts_unasked.load(Ordering::Relaxed);
        if unasked && matches!(error.code, rpc::INVALID_PARAMS | rpc::METHOD_NOT_FOUND) {
            self.set_wants_hook(Some((Instant::now(), error.message.clone())));
            return call_hook(&error.message);
        }
        let kind = match error.code {
            -1 | -32000 => FailureKind::Denied,
            rpc::METHOD_NOT_FOUND => FailureKind::Unsupported,
            _ if is_too_long(&error.message) => FailureKind::TooLong,
            rpc::INVALID_PARAMS => FailureKind::Invalid,
            _ => FailureKind::Upstream,
        };
        let said = format!("the MCP host refused: {} ({})", error.message, error.code);
        Failure::new(
            kind,
            match kind {
                FailureKind::TooLong => format!("prompt is too long: {said}; {TOO_LONG_TOKEN}"),
                _ => said,
            },
        )
    }
}

/// What clients look for in the error of an over-long prompt.
const TOO_LONG_TOKEN: &str = "capability_rejected: prompt_too_long";

/// Whether a host's words mean that the prompt was too long: MCP has no code for it.
pub(super) fn is_too_long(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "too long",
        "too many tokens",
        "context length",
        "context window",
        "maximum context",
        "token limit",
    ]
    .iter()
    .any(|words| message.contains(words))
}
/// For how long a refusal is believed without another try. A host's own fault may wear the same
/// code (the official Python client answers so when its callback raises), and must not lock it out.
const REMEMBERED: Duration = Duration::from_secs(30);

fn call_hook(said: &str) -> Failure {
    let said = format!("{CALL_HOOK} (the host said: {said})");
    Failure::new(FailureKind::Unavailable, said)
}

const CALL_HOOK: &str = "the MCP host lets modeltap use its model only while one of modeltap's \
    tools is running: ask the host's model to call the tool `hook`, and try again";

impl Way for Sampling {
    fn name(&self) -> &'static str {
        "sampling"
    }

    fn ask(&self, ask: &Ask, errand: &Errand) -> Result<Place, Failure> {
        if !self.turns.enter(errand.id, errand.tenant, errand.since, self.is_hooked()) {
            return Ok(Place::Line);
        }
        let Some(handle) = self.exchange.hand_out(errand.id, self.name(), false) else {
            self.turns.leave(errand.id, self.is_hooked());
            return Ok(Place::Asked);
        };
        self.turns.named(handle);
        let params = params(ask, &self.preferences, self.takes_tools());
        let line = request(handle, &params, ask.text_bytes());
        self.outbox.send(line, send_by(errand.deadline)).map_err(|why| {
            self.turns.leave(errand.id, self.is_hooked());
            unsent(why)
        })?;
        Ok(Place::Asked)
    }

    fn takes_tools(&self) -> bool {
        self.session.client().sampling_tools
    }

    fn ignores(&self, _: &Ask) -> Vec<&'static str> {
        Vec::new()
    }

    fn withdraw(&self, id: CallId, reason: &str) {
        if let Some(handle) = self.turns.leave(id, self.is_hooked()) {
            self.outbox.post(cancellation(handle, reason));
        }
    }
}

/// The result of `sampling/createMessage`, of which hosts leave out what they please.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    #[serde(deserialize_with = "one_or_many")]
    content: Vec<Block>,
    model: Option<String>,
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type")]
    kind: String,
    text: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
}

/// Reads a block, or an array of them, without the buffering of an untagged enum, which would copy
/// megabytes.
fn one_or_many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Block>, D::Error> {
    struct OneOrMany;
    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<Block>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a content block or an array of them")
        }

        fn visit_map<A: MapAccess<'de>>(self, block: A) -> Result<Self::Value, A::Error> {
            Block::deserialize(MapAccessDeserializer::new(block)).map(|block| vec![block])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, blocks: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(blocks))
        }
    }
    from.deserialize_any(OneOrMany)
}

/// The host's result as events.
///
/// # Errors
/// It is not a sampling result.
pub(super) fn read(result: &str) -> Result<Vec<Event>, Failure> {
    let reply: Reply = serde_json::from_str(result).map_err(|e| {
        let said = format!("the MCP host's answer is not a sampling result: {e}");
        Failure::new(FailureKind::Upstream, said)
    })?;
    let mut events = Vec::with_capacity(2);
    let mut calls = false;
    for block in reply.content {
        match (block.kind.as_str(), block.text, block.name) {
            ("text", Some(text), _) if !text.is_empty() => events.push(Event::Delta(text)),
            ("tool_use", _, Some(name)) => {
                calls = true;
                let id = block.id.unwrap_or_else(|| format!("call_{}", CallId::random()));
                let arguments = rpc::json(&block.input.unwrap_or_else(|| json!({})));
                events.push(Event::ToolCall(Call { id, name, arguments }));
            }
            _ => {}
        }
    }
    let stop = stop_reason(reply.stop_reason.as_deref(), calls);
    events.push(Event::Done { stop, model: reply.model });
    Ok(events)
}

/// MCP's open string as a stop reason; what is absent or unknown is inferred.
pub(super) fn stop_reason(said: Option<&str>, calls: bool) -> StopReason {
    match said {
        Some("stopSequence" | "stop_sequence") => StopReason::StopSequence,
        Some("maxTokens" | "max_tokens" | "length") => StopReason::MaxTokens,
        _ if calls => StopReason::ToolUse,
        _ => StopReason::EndTurn,
    }
}
