//! The tool `forward_chat`: the host's own model asks the endpoint. The call stays open, and is
//! answered from its own thread.

use super::Forward;
use super::connection::call;
use super::stream::Usage;
use crate::chat::{Ask, Event, Failure, Message, OWN_MODEL, Part, Role, StopReason};
use crate::exchange::CallId;
use crate::mcp::arguments::Arguments;
use crate::mcp::outbox::Outbox;
use crate::mcp::rpc::{self, RpcId};
use crate::mcp::tool::{Answer, Outcome};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many calls may be open at once.
const MOST: usize = 8;
/// How long one may take as a whole; the hosts' own limits are shorter.
const TOTAL: Duration = Duration::from_secs(10 * 60);

/// The open calls: the host's id of each, and ours. Clones share them.
#[derive(Clone)]
pub struct Chats {
    outbox: Outbox,
    open: Arc<Mutex<Vec<(RpcId, CallId)>>>,
}

impl Chats {
    /// No calls yet.
    pub fn new(outbox: Outbox) -> Self {
        Chats { outbox, open: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, Vec<(RpcId, CallId)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out the call that `fits`; ours of its ids.
    fn take(&self, fits: impl Fn(&(RpcId, CallId)) -> bool) -> Option<CallId> {
        let mut open = self.open();
        let at = open.iter().position(fits)?;
        Some(open.swap_remove(at).1)
    }
}

impl Forward {
    /// Opens a call of the tool, of a `modern` host or another. It is over only when it cannot be
    /// begun.
    pub fn chat(&self, id: &RpcId, arguments: &Arguments, modern: bool) -> Answer {
        let own = CallId::random();
        {
            let mut open = self.chats.open();
            if open.iter().any(|(known, _)| known == id) {
                let said = "a call with this request id is open already";
                return Answer::Done(Outcome::error(said));
            }
            if open.len() >= MOST {
                let said = format!("{MOST} calls of forward_chat are open; wait for one to end");
                return Answer::Done(Outcome::error(said));
            }
            open.push((id.clone(), own));
        }
        let (target, chats, host_id) = (self.target.clone(), self.chats.clone(), id.clone());
        let body = self.body(&ask(arguments), true);
        let work = move |agent: &ureq::Agent| {
            let mut said = Said::default();
            let mut deliver = |events: Vec<Event>| {
                events.into_iter().for_each(|event| said.take(event));
                true
            };
            let ended = call(&target, agent, &body, &mut deliver);
            // A call that the host has cancelled meanwhile must not be answered.
            if chats.take(|(_, known)| *known == own).is_some() {
                let outcome = outcome(said, ended);
                chats.outbox.post(rpc::result(&host_id, &outcome.to_json(modern)));
            }
        };
        match self.calls.start(own, self.target.agent(Some(TOTAL)), work) {
            Ok(()) => Answer::Open,
            Err(failure) => {
                self.chats.take(|(_, known)| *known == own);
                Answer::Done(Outcome::error(failure.message))
            }
        }
    }

    /// The host has cancelled a request, which may be a call of the tool.
    pub fn cancelled(&self, id: &RpcId) {
        if let Some(own) = self.chats.take(|(known, _)| known == id) {
            self.calls.close(own);
        }
    }

    /// Closes all calls of the tool, for another session has begun and may use their ids anew.
    pub fn reset(&self) {
        let open = std::mem::take(&mut *self.chats.open());
        open.into_iter().for_each(|(_, own)| self.calls.close(own));
    }
}

/// The arguments, which were checked, as a question.
fn ask(arguments: &Arguments) -> Ask<'_> {
    let messages = arguments.get("messages").and_then(Value::as_array);
    let message = |message: &'_ Value| {
        let field = |name: &str| message.get(name).and_then(Value::as_str).map(str::to_owned);
        let role = match field("role").as_deref() {
            Some("system") => Role::System,
            Some("assistant") => Role::Assistant,
            _ => Role::User,
        };
        let text = field("content").unwrap_or_default();
        Message { role, name: None, parts: vec![Part::Text(text.into())] }
    };
    Ask {
        model: arguments.get("model").and_then(Value::as_str).unwrap_or(OWN_MODEL).into(),
        messages: messages.into_iter().flatten().map(message).collect(),
        max_tokens: arguments.get("max_tokens").and_then(Value::as_u64),
        ..Ask::default()
    }
}

/// The answer as far as it has come.
#[derive(Default)]
struct Said {
    text: String,
    end: Option<(StopReason, Option<String>)>,
}

impl Said {
    fn take(&mut self, event: Event) {
        match event {
            Event::Delta(text) => self.text.push_str(&text),
            Event::Done { stop, model } => self.end = Some((stop, model)),
            // No tools were offered; failures are told by the call itself.
            Event::ToolCall(_) | Event::Failed(_) => {}
        }
    }
}

fn outcome(said: Said, ended: Result<Option<Usage>, Failure>) -> Outcome {
    let (usage, (stop, model)) = match (ended, said.end) {
        (Err(failure), _) => return Outcome::error(failure.message),
        (Ok(usage), end) => (usage, end.unwrap_or((StopReason::EndTurn, None))),
    };
    let stop = match stop {
        StopReason::EndTurn => "endTurn",
        StopReason::StopSequence => "stopSequence",
        StopReason::MaxTokens => "maxTokens",
        StopReason::ToolUse => "toolUse",
    };
    let mut told = json!({"ok": true, "content": said.text, "model": model, "stop_reason": stop});
    if let Some(usage) = usage {
        told["usage"] = json!(usage);
    }
    Outcome::ok(told)
}
