//! The methods that a host may call, in both eras. A request whose `_meta` names a protocol version
//! is served as the modern era has it, any other as the legacy era has it.

use super::arguments;
use super::modern::{self, Refusal};
use super::rpc::{self, RpcId};
use super::server::{NO_BATCHES, Server};
use super::session::{Client, Era, MODERN};
use super::tool::{Answer, Call, Outcome, Peer, Round, Tool};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::atomic::Ordering;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolCall<'a> {
    name: String,
    #[serde(default)]
    arguments: Value,
    #[serde(borrow, rename = "_meta")]
    meta: Option<ToolMeta<'a>>,
    #[serde(borrow)]
    input_responses: Option<&'a RawValue>,
    #[serde(borrow)]
    request_state: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ToolMeta<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
}

fn invalid(said: impl Into<String>) -> Refusal {
    Refusal::new(rpc::INVALID_PARAMS, said)
}

fn unknown(method: &str) -> Refusal {
    Refusal::new(rpc::METHOD_NOT_FOUND, format!("there is no method {method:?} here"))
}

impl<P: Peer> Server<P> {
    /// Serves a request; the answer as a line, if it gets one now.
    pub(super) fn request(
        &self,
        id: &RpcId,
        method: &str,
        params: Option<&RawValue>,
        in_batch: bool,
    ) -> Option<String> {
        let params = params.map(RawValue::get);
        if params.is_some_and(|params| !params.starts_with('{')) {
            let said = format!("{method}: params must be an object");
            return Some(invalid(said).to_line(id));
        }
        let modern = match self.era {
            Era::Legacy => {
                if method == "server/discover" {
                    self.turn_away_modern(params);
                }
                false
            }
            Era::Modern => true,
            Era::Auto => method == "server/discover" || modern::is_modern(params),
        };
        let result = match modern {
            true if in_batch => Err(Refusal::new(rpc::INVALID_REQUEST, NO_BATCHES)),
            true => self.modern(id, method, params),
            false => self.legacy(id, method, params, in_batch),
        };
        match result {
            Ok(Some(result)) => Some(rpc::result(id, &result)),
            Ok(None) => None,
            Err(refusal) => Some(refusal.to_line(id)),
        }
    }

    fn legacy(
        &self,
        id: &RpcId,
        method: &str,
        params: Option<&str>,
        in_batch: bool,
    ) -> Result<Option<String>, Refusal> {
        if !matches!(method, "initialize" | "ping") {
            // A client that asks for more considers itself initialized, whether it said so or not.
            self.ready();
        }
        Ok(Some(match method {
            "initialize" => {
                self.declined.store(false, Ordering::Relaxed);
                let client = self.session.initialize(params).map_err(invalid)?;
                self.peer.begins();
                self.peer.met();
                self.initialized(&client)
            }
            "ping" => "{}".to_owned(),
            "tools/list" => rpc::json(&json!({"tools": self.listing()})),
            "tools/call" => match self.tool_call(id, params, in_batch, None)? {
                None => return Ok(None),
                Some(outcome) => outcome.to_json(false),
            },
            _ => return Err(unknown(method)),
        }))
    }

    fn modern(
        &self,
        id: &RpcId,
        method: &str,
        params: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        if method == "initialize" {
            self.peer.turned_away(&Client::introduced(params), Era::Legacy);
            return Err(modern::no_handshake());
        }
        if !matches!(
            method,
            "server/discover" | "tools/list" | "tools/call" | "subscriptions/listen"
        ) {
            return Err(unknown(method));
        }
        let meta = modern::read(params)?;
        // Declined, a client of both eras begins the legacy one. Who asks again, or was here before,
        // has but this one.
        if method == "server/discover"
            && self.era == Era::Auto
            && (meta.sampling || self.peer.prefers_legacy(&meta))
            && self.session.client().protocol != MODERN
            && !self.declined.swap(true, Ordering::Relaxed)
        {
            return Err(unknown(method));
        }
        if self.session.met(&meta) {
            self.peer.met();
        }
        Ok(Some(match method {
            "server/discover" => {
                let client = Client::of(meta);
                let (capabilities, instructions) = self.peer.welcome(&client);
                rpc::json(&modern::discovered(&capabilities, &instructions))
            }
            "tools/list" => rpc::json(&modern::listed(&self.listing())),
            "subscriptions/listen" => {
                self.subscriptions.listen(id, params, &self.outbox)?;
                return Ok(None);
            }
            _ => match self.tool_call(id, params, false, Some(meta))? {
                None => return Ok(None),
                Some(outcome) => outcome.to_json(true),
            },
        }))
    }

    /// Notes a host that looks for the modern era where only the other is spoken.
    fn turn_away_modern(&self, params: Option<&str>) {
        if let Ok(meta) = modern::read(params)
            && self.session.client().protocol.is_empty()
        {
            let client = Client { protocol: "", ..Client::of(meta) };
            self.peer.turned_away(&client, Era::Modern);
        }
    }

    /// Notes that the client considers the handshake done.
    pub(super) fn ready(&self) {
        if self.session.set_ready() {
            self.peer.is_ready();
        }
    }

    fn initialized(&self, client: &Client) -> String {
        let (capabilities, instructions) = self.peer.welcome(client);
        rpc::json(&json!({
            "protocolVersion": client.protocol,
            "capabilities": capabilities,
            "serverInfo": modern::implementation(),
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
                listed["_meta"]["anthropic/alwaysLoad"] = true.into();
            }
            if tool.long_results {
                listed["_meta"]["anthropic/maxResultSizeChars"] = 500_000.into();
            }
            listed
        };
        self.peer.tools().iter().filter(|tool| self.peer.lists(tool)).map(describe).collect()
    }

    /// `None` where the call stays open.
    ///
    /// # Errors
    /// What makes it no call of a tool at all. Wrong arguments are an outcome that says so.
    fn tool_call(
        &self,
        id: &RpcId,
        params: Option<&str>,
        in_batch: bool,
        meta: Option<modern::Meta>,
    ) -> Result<Option<Outcome>, Refusal> {
        let params = params.ok_or_else(|| invalid("tools/call needs params with a name"))?;
        let call: ToolCall =
            serde_json::from_str(params).map_err(|e| invalid(format!("tools/call: {e}")))?;
        let tool = self.peer.tools().iter().find(|tool| tool.name == call.name);
        let tool = tool.ok_or_else(|| invalid(format!("there is no tool {:?} here", call.name)))?;
        let progress_token = match call.meta.and_then(|meta| meta.progress_token) {
            None => None,
            Some(token) => Some(RpcId::read(token).ok_or_else(|| {
                invalid("tools/call: _meta.progressToken is a string or an integer")
            })?),
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
        let modern = meta.map(|meta| Round {
            meta,
            responses: call.input_responses,
            state: call.request_state,
        });
        match self.peer.call(Call { id, name: tool.name, arguments, progress_token, modern }) {
            Answer::Done(outcome) => Ok(Some(outcome)),
            Answer::Open => Ok(None),
            Answer::Refused(refusal) => Err(refusal),
        }
    }
}
