//! What is done with each line from the host: requests are answered, notifications noted, and
//! answers to our own requests handed on.

use super::arguments::{self, Argument, Arguments};
use super::outbox::{Outbox, Report};
use super::rpc::{self, Incoming, RpcError, RpcId};
use super::session::{BATCHES, Client, Session};
use super::stdin::{Line, Lines};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::io::{self, BufRead};

/// A tool that the host can call.
#[derive(Debug)]
pub struct Tool {
    /// Its name, and the name of the tool in an ancestor of this project.
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// For the model; hosts cut it at 2 KB.
    pub description: &'static str,
    /// What it takes.
    pub arguments: &'static [Argument],
    /// Whether it changes nothing (`readOnlyHint`).
    pub read_only: bool,
    /// Whether a second call with the same arguments changes nothing more (`idempotentHint`).
    pub idempotent: bool,
    /// Whether a call may stay open, so that it cannot be part of a batch.
    pub stays_open: bool,
    /// Whether a host that loads tools on demand should have it at hand from the start.
    pub always_load: bool,
}

/// What a call of a tool came to.
#[derive(Debug)]
pub struct Outcome {
    /// A JSON object; the host's model sees it as text too.
    pub structured: Value,
    /// Whether the call failed.
    pub is_error: bool,
}

impl Outcome {
    /// A good result.
    pub fn ok(structured: Value) -> Self {
        Outcome { structured, is_error: false }
    }

    /// A failed call, with what to do about it.
    pub fn error(message: impl Into<String>) -> Self {
        Outcome { structured: json!({"ok": false, "message": message.into()}), is_error: true }
    }

    /// The `result` of the call as JSON text.
    pub fn to_json(&self) -> String {
        rpc::json(&json!({
            "content": [{"type": "text", "text": rpc::json(&self.structured)}],
            "structuredContent": self.structured,
            "isError": self.is_error,
        }))
    }
}

/// A call of a tool, its arguments checked.
pub struct Call<'a> {
    /// The request's id, by which it is answered and may be cancelled.
    pub id: &'a RpcId,
    /// The tool's name.
    pub name: &'a str,
    /// The arguments.
    pub arguments: Arguments,
    /// `_meta.progressToken`, where the host wants to hear of progress.
    pub progress_token: Option<RpcId>,
}

/// What this side of the pipe offers.
pub trait Peer: Send + Sync {
    /// The capabilities, and the instructions (under 2 KB), for this client.
    fn welcome(&self, client: &Client) -> (Value, String);
    /// The tools.
    fn tools(&self) -> &[Tool];
    /// Whether a tool is worth listing. One that is not may be called all the same, and says why it
    /// is of no use.
    fn lists(&self, _: &Tool) -> bool {
        true
    }
    /// Runs a tool. `None` keeps the call open; it is answered through the outbox, or cancelled.
    fn call(&self, call: Call) -> Option<Outcome>;
    /// The host has cancelled its request `id`, which must not be answered any more.
    fn cancelled(&self, id: &RpcId);
    /// The host has answered our request `id`.
    fn answered(&self, id: &str, answer: Result<&RawValue, RpcError>);
}

/// The MCP side of the process.
pub struct Server<P> {
    /// Who is at the other end.
    pub session: Session,
    /// The way out.
    pub outbox: Outbox,
    /// What is offered.
    pub peer: P,
    /// Where odd input is told.
    pub report: Report,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    name: String,
    #[serde(default)]
    arguments: Value,
    #[serde(borrow, rename = "_meta")]
    meta: Option<ToolMeta<'a>>,
}

#[derive(Deserialize)]
struct ToolMeta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled<'a> {
    #[serde(borrow)]
    request_id: &'a RawValue,
}

impl<P: Peer> Server<P> {
    /// Serves until the input ends.
    pub fn run(&self, input: impl BufRead) -> io::Result<()> {
        let mut lines = Lines::new(input);
        loop {
            match lines.read()? {
                Line::End => return Ok(()),
                Line::Text(line) => self.line(line),
                Line::TooLong => {
                    (self.report)("a line from the host was skipped: it is over 64 MiB");
                    self.outbox.post(rpc::error(None, rpc::PARSE_ERROR, "line over 64 MiB"));
                }
            }
        }
    }

    fn line(&self, line: &[u8]) {
        let reply = match line.trim_ascii_start().first() {
            None => None,
            Some(b'[') => self.batch(line),
            Some(_) => self.message(line, false),
        };
        if let Some(reply) = reply {
            self.outbox.post(reply);
        }
    }

    /// A batch, which only clients of one version may send.
    fn batch(&self, line: &[u8]) -> Option<String> {
        let messages: Vec<&RawValue> = match serde_json::from_slice(line) {
            Ok(messages) => messages,
            Err(e) => return self.unreadable(line, e),
        };
        let allowed = self.session.client().protocol == BATCHES && !messages.is_empty();
        if !allowed {
            (self.report)("a batch was refused: the protocol version in use has none");
        }
        let replies: Vec<String> = messages
            .iter()
            .filter_map(|message| match allowed {
                true => self.message(message.get().as_bytes(), true),
                false => recovered_id(message.get().as_bytes()).map(|id| {
                    rpc::error(Some(&id), rpc::INVALID_REQUEST, "this version has no batches")
                }),
            })
            .collect();
        match (replies.is_empty(), allowed) {
            (true, _) => None,
            (false, true) => Some(format!("[{}]", replies.join(","))),
            (false, false) => Some(replies.join("\n")),
        }
    }

    /// One message; the reply, if it gets one now.
    fn message(&self, line: &[u8], in_batch: bool) -> Option<String> {
        let incoming: Incoming = match serde_json::from_slice(line) {
            // An array of the right length would do for serde.
            Ok(_) if line.trim_ascii_start().first() != Some(&b'{') => {
                return self.invalid(None, "a message is an object");
            }
            Ok(incoming) => incoming,
            Err(e) => return self.unreadable(line, e),
        };
        let id = incoming.id.and_then(RpcId::read);
        match (&incoming.method, incoming.result, incoming.error) {
            (None, None, None) => {
                self.invalid(id, "a message needs a method, a result or an error")
            }
            (None, result, error) => {
                self.answer(incoming.id, result, error);
                None
            }
            (Some(_), ..) if incoming.jsonrpc.as_deref() != Some("2.0") => {
                self.invalid(id, "jsonrpc must be \"2.0\"")
            }
            (Some(method), ..) => match (incoming.id, id) {
                (None, _) => {
                    self.notification(method, incoming.params);
                    None
                }
                (Some(_), None) => self.invalid(None, "an id is a string or an integer"),
                (Some(_), Some(id)) => self.request(&id, method, incoming.params, in_batch),
            },
        }
    }

    /// What is not a message at all: told on stderr, and answered as far as it can be.
    fn unreadable(&self, line: &[u8], e: serde_json::Error) -> Option<String> {
        // A field of a wrong type is found before what comes behind it is read.
        let fault = match e.is_data() {
            true => serde_json::from_slice::<&RawValue>(line).err(),
            false => Some(e),
        };
        let Some(e) = fault else {
            return self.invalid(recovered_id(line), "this is not a JSON-RPC message");
        };
        (self.report)(&format!("a line from the host is not JSON: {e}"));
        Some(rpc::error(None, rpc::PARSE_ERROR, &format!("not JSON: {e}")))
    }

    fn invalid(&self, id: Option<RpcId>, message: &str) -> Option<String> {
        (self.report)(&format!("a message from the host was refused: {message}"));
        id.map(|id| rpc::error(Some(&id), rpc::INVALID_REQUEST, message))
    }

    fn answer(&self, id: Option<&RawValue>, result: Option<&RawValue>, error: Option<&RawValue>) {
        let id: Option<String> = id.and_then(|id| serde_json::from_str(id.get()).ok());
        let answer = match (result, error) {
            (Some(result), None) => Ok(result),
            (_, error) => {
                let error = error.map_or("{}", RawValue::get);
                // An error of another shape is an error all the same.
                Err(serde_json::from_str(error)
                    .unwrap_or(RpcError { code: 0, message: error.to_owned() }))
            }
        };
        match (id, answer) {
            (Some(id), answer) => self.peer.answered(&id, answer),
            (None, Err(error)) => (self.report)(&format!(
                "the host reports an error: {} ({})",
                error.message, error.code
            )),
            (None, Ok(_)) => (self.report)("an answer from the host has no id of ours"),
        }
    }

    fn notification(&self, method: &str, params: Option<&RawValue>) {
        match method {
            "notifications/initialized" => self.session.set_ready(),
            "notifications/cancelled" => {
                let params = params.and_then(|p| serde_json::from_str::<Cancelled>(p.get()).ok());
                if let Some(id) = params.and_then(|params| RpcId::read(params.request_id)) {
                    self.peer.cancelled(&id);
                }
            }
            _ => {}
        }
    }

    fn request(
        &self,
        id: &RpcId,
        method: &str,
        params: Option<&RawValue>,
        in_batch: bool,
    ) -> Option<String> {
        let params = params.map(RawValue::get);
        if params.is_some_and(|params| !params.starts_with('{')) {
            let said = format!("{method}: params must be an object");
            return Some(rpc::error(Some(id), rpc::INVALID_PARAMS, &said));
        }
        if !matches!(method, "initialize" | "ping") {
            // A client that asks for more considers itself initialized, whether it said so or not.
            self.session.set_ready();
        }
        let reply = match method {
            "initialize" => self.session.initialize(params).map(|client| self.initialized(&client)),
            "ping" => Ok("{}".to_owned()),
            "tools/list" => Ok(rpc::json(&json!({"tools": self.listing()}))),
            "tools/call" => match self.tool_call(id, params, in_batch) {
                Ok(None) => return None,
                Ok(Some(outcome)) => Ok(outcome.to_json()),
                Err(fault) => Err(fault),
            },
            _ => {
                let message = format!("there is no method {method:?} here");
                return Some(rpc::error(Some(id), rpc::METHOD_NOT_FOUND, &message));
            }
        };
        Some(match reply {
            Ok(result) => rpc::result(id, &result),
            Err(fault) => rpc::error(Some(id), rpc::INVALID_PARAMS, &fault),
        })
    }

    fn initialized(&self, client: &Client) -> String {
        let (capabilities, instructions) = self.peer.welcome(client);
        rpc::json(&json!({
            "protocolVersion": client.protocol,
            "capabilities": capabilities,
            "serverInfo": {"name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION")},
            "instructions": instructions,
        }))
    }

    fn listing(&self) -> Vec<Value> {
        let describe = |tool: &Tool| {
            let mut listed = json!({
                "name": tool.name,
                "title": tool.title,
                "description": tool.description,
                "inputSchema": arguments::schema(tool.arguments),
                "annotations": {
                    "title": tool.title, "readOnlyHint": tool.read_only, "destructiveHint": false,
                    "idempotentHint": tool.idempotent, "openWorldHint": false,
                },
            });
            if tool.always_load {
                listed["_meta"] = json!({"anthropic/alwaysLoad": true});
            }
            listed
        };
        self.peer.tools().iter().filter(|tool| self.peer.lists(tool)).map(describe).collect()
    }

    /// # Errors
    /// What makes it no call of a tool at all. Wrong arguments are an outcome that says so.
    fn tool_call(
        &self,
        id: &RpcId,
        params: Option<&str>,
        in_batch: bool,
    ) -> Result<Option<Outcome>, String> {
        let params = params.ok_or("tools/call needs params with a name")?;
        let call: ToolCall =
            serde_json::from_str(params).map_err(|e| format!("tools/call: {e}"))?;
        let tool = self.peer.tools().iter().find(|tool| tool.name == call.name);
        let tool = tool.ok_or_else(|| format!("there is no tool {:?} here", call.name))?;
        let progress_token = match call.meta.and_then(|meta| meta.progress_token) {
            None => None,
            Some(token) => {
                let token = RpcId::read(token);
                Some(token.ok_or("tools/call: _meta.progressToken is a string or an integer")?)
            }
        };
        let arguments = match arguments::check(tool.arguments, call.arguments) {
            Ok(arguments) => arguments,
            Err(fault) => return Ok(Some(Outcome::error(format!("{}: {fault}", tool.name)))),
        };
        if tool.stays_open && in_batch {
            // A batch is answered as a whole, and must not wait for a call that stays open.
            let said = format!("{}: this tool stays open and cannot be part of a batch", tool.name);
            return Ok(Some(Outcome::error(said)));
        }
        Ok(self.peer.call(Call { id, name: tool.name, arguments, progress_token }))
    }
}

/// The id of a message that is JSON, but not as it should be.
fn recovered_id(line: &[u8]) -> Option<RpcId> {
    let message: Map<String, Value> = serde_json::from_slice(line).ok()?;
    message.contains_key("method").then_some(())?;
    let id = serde_json::value::to_raw_value(message.get("id")?).ok()?;
    RpcId::read(&id)
}
