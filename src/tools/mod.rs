//! The tools that a host can call: what each takes, and which room does the deed.

mod status;
mod table;
mod words;

pub use table::TOOLS;

use crate::access::Access;
use crate::chat::{Failure, FailureKind};
use crate::control::Control;
use crate::exchange::{CallId, Exchange, Handle, Taken};
use crate::host::Hosts;
use crate::host::channel::CAPABILITY;
use crate::host::forward;
use crate::host::pull::{Next, Replied};
use crate::host::replies::NotTaken;
use crate::host::rounds::Leg;
use crate::last_host::LastHost;
use crate::mcp::arguments::Arguments;
use crate::mcp::modern::Meta;
use crate::mcp::rpc::{self, RpcError, RpcId};
use crate::mcp::session::{Client, Era};
use crate::mcp::tool::{Answer, Call, Outcome, Peer, Tool};
use crate::record::events::{self, Event, Ring};
use crate::routes::Routes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// The side of the pipe that is ours.
pub struct ToolBox {
    /// The ways to a model.
    pub hosts: Arc<Hosts>,
    /// The HTTP side.
    pub control: Arc<Control>,
    /// What it serves.
    pub routes: Arc<Routes>,
    /// The guard.
    pub access: Arc<Access>,
    /// Waiting requests.
    pub exchange: Exchange,
    /// Recent events.
    pub ring: Arc<Ring>,
    /// What `modeltap doctor` is told of the host.
    pub last_host: LastHost,
    /// When the process started.
    pub started: Instant,
}

impl Peer for ToolBox {
    fn welcome(&self, client: &Client) -> (Value, String) {
        let mut capabilities = json!({"tools": {}});
        let is_channel = self.hosts.offers_channel(client);
        if is_channel {
            capabilities["experimental"] = json!({CAPABILITY: {}});
        }
        (capabilities, words::instructions(client, is_channel))
    }

    fn begins(&self) {
        self.hosts.begin();
    }

    fn met(&self) {
        let client = self.hosts.session.client();
        self.last_host.met(&client, self.hosts.offers_channel(&client));
        self.note_way();
    }

    fn turned_away(&self, client: &Client, spoke: Era) {
        self.last_host.turned_away(client, spoke);
    }

    fn is_ready(&self) {
        self.met();
        // Whoever had something before this session began will not answer it.
        self.exchange.give_back_all();
        self.exchange.host_appeared();
    }

    fn prefers_legacy(&self, meta: &Meta) -> bool {
        let client = Client { name: meta.name.clone(), ..Client::default() };
        self.hosts.offers_channel(&client)
    }

    fn tools(&self) -> &[Tool] {
        TOOLS
    }

    fn lists(&self, tool: &Tool) -> bool {
        tool.name != "forward_chat" || self.hosts.forward.is_some()
    }

    fn call(&self, call: Call) -> Answer {
        let arguments = &call.arguments;
        Answer::Done(match call.name {
            "http_server_start" => {
                let started = self.start(arguments);
                self.note_way();
                started
            }
            "http_server_stop" => {
                let said = "the HTTP server was stopped by the tool http_server_stop";
                self.control.stop(&Failure::new(FailureKind::Stopped, said));
                Outcome::ok(self.http_status())
            }
            "http_server_status" => Outcome::ok(self.http_status()),
            "runtime_status" => Outcome::ok(self.runtime_status()),
            "channel_debug_events" => self.events(arguments),
            "channel_reply" => {
                let note = self.reply_note("channel_reply", events::Kind::Reply, arguments);
                self.replied(self.hosts.replies.reply(arguments, note))
            }
            "channel_reply_stream" => {
                let done = arguments.get("done") == Some(&Value::Bool(true));
                let kind = if done { events::Kind::StreamDone } else { events::Kind::StreamDelta };
                let note = self.reply_note("channel_reply_stream", kind, arguments);
                self.replied(self.hosts.replies.reply_stream(arguments, note))
            }
            "channel_publish" => self.publish(arguments),
            "next_request" => return self.then_noted(self.next_request(call)),
            "forward_chat" => match &self.hosts.forward {
                Some(forward) => return forward.chat(call.id, arguments, call.modern.is_some()),
                None => Outcome::error(forward::UNSET),
            },
            _ => return self.then_noted(self.hook(call)),
        })
    }

    fn cancelled(&self, id: &RpcId) {
        self.hosts.sampling.hooks.close(id);
        self.hosts.rounds.fetching.cancelled(id);
        self.hosts.pull.fetching.cancelled(id);
        self.hosts.forward.iter().for_each(|forward| forward.cancelled(id));
    }

    fn answered(&self, id: &str, answer: Result<&RawValue, RpcError>) {
        let Some(handle) = Handle::parse(id) else { return };
        let note = |taken| self.sampled(handle.call, taken, "sampling/createMessage");
        // A refusal is normal after a cancellation: both may cross in the pipe.
        let _ = self.hosts.sampling.answered(handle, answer.map(RawValue::get), note);
    }
}

/// What is told of a reply that was taken.
fn delivered(taken: Taken, message: &str) -> Value {
    json!({"ok": true, "message": message, "latency_ms": taken.age.as_millis() as u64})
}

fn text<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

fn number(arguments: &Arguments, name: &str) -> Option<u64> {
    arguments.get(name).and_then(Value::as_u64)
}

impl ToolBox {
    /// Tells for `modeltap doctor` which way requests go now.
    fn note_way(&self) {
        let chosen = self.hosts.choose();
        let way = chosen.map(|way| way.name()).map_err(|failure| failure.message);
        self.last_host.goes(way, self.control.status().listen_url);
    }

    /// An open call may be another way. It is called at each round of such a call, so that what is
    /// known already must cost nothing.
    fn then_noted(&self, answer: Answer) -> Answer {
        let is_known = self.hosts.choose().is_ok_and(|way| self.last_host.knows_way(way.name()));
        if !is_known {
            self.note_way();
        }
        answer
    }

    fn start(&self, arguments: &Arguments) -> Outcome {
        if !self.control.status().running {
            if let Some(key) = text(arguments, "api_key") {
                self.access.set_key(Some(key));
            }
            if let Some(millis) = number(arguments, "timeout_ms") {
                let mut timeout =
                    self.routes.relay.timeout.lock().unwrap_or_else(PoisonError::into_inner);
                *timeout = Some(Duration::from_millis(millis));
            }
        }
        // The schema bounds the port.
        let port = number(arguments, "port").and_then(|port| u16::try_from(port).ok());
        match self.control.start(self.routes.clone(), text(arguments, "host"), port) {
            Ok(_) => Outcome::ok(self.http_status()),
            // It says itself what is wrong.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Outcome::error(e.to_string()),
            Err(e) => Outcome::error(format!("the HTTP server could not be started: {e}")),
        }
    }

    /// The tool that serves by sampling, in the era of the call.
    fn hook(&self, call: Call) -> Answer {
        let sampling = &self.hosts.sampling;
        match &call.modern {
            Some(round) => {
                let rounds = &self.hosts.rounds;
                if let Err(why) = self.hosts.allows(rounds) {
                    return Answer::Done(Outcome::error(why));
                }
                let leg = Leg {
                    id: call.id.clone(),
                    progress_token: call.progress_token,
                    limit: self.hosts.longest_call(&self.hosts.session.client()),
                };
                rounds.hook(leg, round, &|id, taken| self.sampled(id, taken, "hook"))
            }
            None if self.hosts.session.client().sampling => {
                match sampling.hooks.open(call.id, call.progress_token) {
                    Some(outcome) => Answer::Done(outcome),
                    None => {
                        self.exchange.host_appeared();
                        Answer::Open
                    }
                }
            }
            None => Answer::Done(Outcome::error(
                "this host did not declare the capability `sampling`, so a hook cannot serve its \
                 model: call next_request instead, which serves with any model that calls tools",
            )),
        }
    }

    /// The tool `next_request`.
    fn next_request(&self, call: Call) -> Answer {
        if let Err(why) = self.hosts.allows(&self.hosts.pull) {
            return Answer::Done(Outcome::error(why));
        }
        let Call { id, arguments, progress_token, modern, .. } = call;
        let replies = match arguments.get("reply") {
            None => Vec::new(),
            Some(Value::Array(replies)) => replies.iter().collect(),
            Some(reply) => vec![reply],
        };
        let mut replied = Replied::default();
        for reply in replies.into_iter().filter_map(Value::as_object) {
            let note = self.reply_note("next_request", events::Kind::Reply, reply);
            let mut said = match self.hosts.replies.reply(reply, note) {
                Ok(taken) => delivered(taken, "delivered"),
                Err(NotTaken { message, is_wrong }) => {
                    if is_wrong {
                        replied.fault.get_or_insert(message.clone());
                    }
                    json!({"ok": false, "message": message})
                }
            };
            said["request_id"] = reply.get("request_id").cloned().unwrap_or_default();
            replied.each.push(said);
        }
        let client = self.hosts.session.client();
        let next = Next {
            id: id.clone(),
            progress_token,
            modern: modern.is_some(),
            wait: number(&arguments, "wait_seconds").map(Duration::from_secs),
            limit: self.hosts.longest_call(&client),
            most: number(&arguments, "max").unwrap_or(1) as usize,
            replied,
        };
        self.hosts.pull.next(next)
    }

    /// The event of an answer by sampling.
    fn sampled(&self, id: CallId, taken: Taken, input: &'static str) {
        self.ring.push(&Event {
            kind: events::Kind::Reply,
            id: Some(id),
            stream: Some(taken.stream),
            source: "sampling",
            input,
            content: "",
            meta: &[],
        });
    }

    /// Adds the event of a reply that is taken.
    fn reply_note(
        &self,
        tool: &'static str,
        kind: events::Kind,
        arguments: &Arguments,
    ) -> impl FnOnce(Taken) {
        move |taken| {
            let said =
                ["content", "delta", "error"].into_iter().find_map(|name| arguments.get(name));
            // Content blocks and errors are kept as the JSON that they came as.
            let content = match said {
                Some(Value::String(text)) => text.clone(),
                Some(other) => rpc::json(other),
                None => String::new(),
            };
            self.ring.push(&Event {
                kind,
                id: text(arguments, "request_id").and_then(Handle::parse).map(|h| h.call),
                stream: Some(taken.stream),
                source: "tool",
                input: tool,
                content: &content,
                meta: &[],
            });
        }
    }

    /// The outcome of a reply, and a word of what else waits.
    fn replied(&self, taken: Result<Taken, NotTaken>) -> Outcome {
        let taken = match taken {
            Ok(taken) => taken,
            Err(NotTaken { message, .. }) => return Outcome::error(message),
        };
        Outcome::ok(match self.hosts.offers.len() {
            0 => delivered(taken, "delivered"),
            waiting => {
                let said = format!("delivered; {waiting} more wait: call next_request to get them");
                delivered(taken, &said)
            }
        })
    }

    fn publish(&self, arguments: &Arguments) -> Outcome {
        if !self.hosts.offers_channel(&self.hosts.session.client()) {
            return Outcome::error("this host does not listen to channel events");
        }
        self.hosts.channel.publish(arguments);
        self.ring.push(&Event {
            kind: events::Kind::Publish,
            id: None,
            stream: None,
            source: "tool",
            input: "channel_publish",
            content: text(arguments, "content").unwrap_or_default(),
            meta: &[],
        });
        Outcome::ok(json!({"ok": true, "message": "published"}))
    }
}
