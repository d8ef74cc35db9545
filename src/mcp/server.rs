//! What is done with each line from the host: requests are answered, notifications noted, and
//! answers to our own requests handed on.

use super::modern::Subscriptions;
use super::outbox::{Outbox, Report};
use super::rpc::{self, Incoming, RpcError, RpcId};
use super::session::{BATCHES, Era, Session};
use super::stdin::{Line, Lines};
use super::tool::Peer;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::io::{self, BufRead};
use std::sync::atomic::AtomicBool;

/// Why a batch, or what is in it, is refused.
pub(super) const NO_BATCHES: &str = "this version has no batches";

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
    /// Which era is spoken.
    pub era: Era,
    /// Whether a probe for the modern era was declined, and no handshake has followed yet.
    pub declined: AtomicBool,
    /// The open subscriptions.
    pub subscriptions: Subscriptions,
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
                Line::NoMemory => {
                    (self.report)("a line from the host was skipped: there is no memory for it");
                    self.outbox.post(rpc::error(
                        None,
                        rpc::INTERNAL_ERROR,
                        "no memory for this line",
                    ));
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
                false => recovered_id(message.get().as_bytes())
                    .map(|id| rpc::error(Some(&id), rpc::INVALID_REQUEST, NO_BATCHES)),
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
            "notifications/initialized" => self.ready(),
            "notifications/cancelled" => {
                let params = params.and_then(|p| serde_json::from_str::<Cancelled>(p.get()).ok());
                if let Some(id) = params.and_then(|params| RpcId::read(params.request_id)) {
                    self.subscriptions.cancelled(&id);
                    self.peer.cancelled(&id);
                }
            }
            _ => {}
        }
    }
}

/// The id of a message that is JSON, but not as it should be.
fn recovered_id(line: &[u8]) -> Option<RpcId> {
    let message: Map<String, Value> = serde_json::from_slice(line).ok()?;
    message.contains_key("method").then_some(())?;
    let id = serde_json::value::to_raw_value(message.get("id")?).ok()?;
    RpcId::read(&id)
}
