//! The tools that a host can call: what each takes, and which room does the deed.

mod table;
mod words;

pub use table::TOOLS;

use crate::access::Access;
use crate::chat::{Failure, FailureKind};
use crate::control::Control;
use crate::exchange::{CallId, Exchange, Handle, Taken};
use crate::host::Hosts;
use crate::host::channel::CAPABILITY;
use crate::host::pull::Next;
use crate::http::Service;
use crate::mcp::arguments::Arguments;
use crate::mcp::modern::Meta;
use crate::mcp::rpc::{self, RpcError, RpcId};
use crate::mcp::session::Client;
use crate::mcp::tool::{Answer, Call, Outcome, Peer, Tool};
use crate::record::events::{self, Event, Filter, Ring};
use crate::routes::Routes;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::process;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

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

    fn is_ready(&self) {
        self.exchange.host_appeared();
    }

    fn prefers_legacy(&self, meta: &Meta) -> bool {
        let client = Client { name: meta.name.clone(), ..Client::default() };
        self.hosts.offers_channel(&client)
    }

    fn tools(&self) -> &[Tool] {
        TOOLS
    }

    fn call(&self, call: Call) -> Answer {
        let arguments = &call.arguments;
        Answer::Done(match call.name {
            "http_server_start" => self.start(arguments),
            "http_server_stop" => {
                let said = "the HTTP server was stopped by the tool http_server_stop";
                self.control.stop(&Failure::new(FailureKind::Stopped, said));
                Outcome::ok(self.http_status())
            }
            "http_server_status" => Outcome::ok(self.http_status()),
            "runtime_status" => Outcome::ok(self.runtime_status()),
            "channel_debug_events" => self.events(arguments),
            "channel_reply" => {
                let taken = self.hosts.replies.reply(arguments);
                self.replied("channel_reply", events::Kind::Reply, arguments, taken)
            }
            "channel_reply_stream" => {
                let done = arguments.get("done") == Some(&Value::Bool(true));
                let kind = if done { events::Kind::StreamDone } else { events::Kind::StreamDelta };
                let taken = self.hosts.replies.reply_stream(arguments);
                self.replied("channel_reply_stream", kind, arguments, taken)
            }
            "channel_publish" => self.publish(arguments),
            "next_request" => return self.next_request(call),
            _ => return self.hook(call),
        })
    }

    fn cancelled(&self, id: &RpcId) {
        self.hosts.sampling.hooks.close(id);
        self.hosts.rounds.fetching.cancelled(id);
        self.hosts.pull.fetching.cancelled(id);
    }

    fn answered(&self, id: &str, answer: Result<&RawValue, RpcError>) {
        let taken = self.hosts.sampling.answered(id, answer.map(RawValue::get));
        if let (Ok(taken), Some(handle)) = (taken, Handle::parse(id)) {
            self.sampled(handle.call, taken, "sampling/createMessage");
        }
    }
}

fn text<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(Value::as_str)
}

fn number(arguments: &Arguments, name: &str) -> Option<u64> {
    arguments.get(name).and_then(Value::as_u64)
}

impl ToolBox {
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
        let service: Arc<dyn Service> = self.routes.clone();
        match self.control.start(service, text(arguments, "host"), port) {
            Ok(_) => Outcome::ok(self.http_status()),
            Err(e) => Outcome::error(format!("the HTTP server could not be started: {e}")),
        }
    }

    fn http_status(&self) -> Value {
        self.control.status().to_json(self.routes.relay.timeout(), self.access.has_key())
    }

    fn runtime_status(&self) -> Value {
        let client = self.hosts.session.client();
        let chosen = self.hosts.choose();
        let counts = self.exchange.counts();
        let (total, most) = self.ring.counts();
        let mut http = self.http_status();
        http["connections"] = self.control.connections().into();
        let pacing = self.routes.relay.pacing;
        json!({
            "service": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "now": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            "mcp": {
                "connected": client.ready,
                "transport": "stdio",
                "pid": process::id(),
                "uptime_seconds": self.started.elapsed().as_secs(),
                "protocol_version": client.protocol,
                "client": {"name": client.name, "version": client.version},
                "open_hooks": self.hosts.sampling.hooks.count(),
            },
            "backend": match &chosen {
                Ok(way) => json!({"ready": true, "in_use": way.name()}),
                Err(failure) => json!({"ready": false, "in_use": null, "reason": failure.message}),
            },
            "http": http,
            "openai_api": {
                "routes": crate::api::ROUTES,
                "models": self.routes.models(),
                "in_flight": counts.waiting,
                "to_fetch": self.hosts.offers.len(),
                "stream_emit_chunk_size": pacing.map_or(0, |pacing| pacing.chunk),
                "stream_emit_interval_ms": pacing.map_or(0, |p| p.interval.as_millis() as u64),
                "stream_emit_punct_pause_ms":
                    pacing.map_or(0, |pacing| pacing.punctuation.as_millis() as u64),
            },
            "channel": {
                "pending_requests": counts.waiting,
                "pending_stream_requests": counts.streaming,
                "total_events": total,
                "max_events": most,
            },
        })
    }

    fn events(&self, arguments: &Arguments) -> Outcome {
        let id = match text(arguments, "request_id").map(|id| (id, CallId::parse(id))) {
            Some((id, None)) => {
                return Outcome::error(format!("request_id: {id:?} is no id of this bridge"));
            }
            Some((_, id)) => id,
            None => None,
        };
        let filter = Filter {
            id,
            kind: text(arguments, "kind"),
            source: text(arguments, "source_type"),
            stream: arguments.get("stream").and_then(Value::as_bool),
            limit: number(arguments, "limit").unwrap_or(50) as usize,
        };
        let found = self.ring.list(&filter);
        let counts = self.exchange.counts();
        Outcome::ok(json!({
            "count": found.len(),
            "pending_requests": counts.waiting,
            "pending_stream_requests": counts.streaming,
            "filters": arguments,
            "events": found,
        }))
    }

    /// The tool that serves by sampling, in the era of the call.
    fn hook(&self, call: Call) -> Answer {
        let sampling = &self.hosts.sampling;
        match &call.modern {
            Some(round) => {
                let rounds = &self.hosts.rounds;
                let (answered, answer) = rounds.hook(call.id, call.progress_token, round);
                for (id, taken) in answered {
                    self.sampled(id, taken, "hook");
                }
                answer
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
        let Call { id, arguments, progress_token, modern, .. } = call;
        let replies = match arguments.get("reply") {
            None => Vec::new(),
            Some(Value::Array(replies)) => replies.iter().collect(),
            Some(reply) => vec![reply],
        };
        let mut replied = Vec::new();
        for reply in replies.into_iter().filter_map(Value::as_object) {
            let taken = self.hosts.replies.reply(reply);
            let outcome = self.replied("next_request", events::Kind::Reply, reply, taken);
            let mut said = outcome.structured;
            said["request_id"] = reply.get("request_id").cloned().unwrap_or_default();
            replied.push(said);
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
        match self.hosts.pull.next(next) {
            Ok(()) => Answer::Open,
            Err(why) => Answer::Done(Outcome::error(why)),
        }
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

    /// The outcome of a reply, and its event.
    fn replied(
        &self,
        tool: &'static str,
        kind: events::Kind,
        arguments: &Arguments,
        taken: Result<Taken, String>,
    ) -> Outcome {
        let taken = match taken {
            Ok(taken) => taken,
            Err(why) => return Outcome::error(why),
        };
        let said = ["content", "delta", "error"].into_iter().find_map(|name| arguments.get(name));
        // Content blocks and errors are kept as the JSON that they came as.
        let content = match said {
            Some(Value::String(text)) => text.clone(),
            Some(other) => rpc::json(other),
            None => String::new(),
        };
        self.ring.push(&Event {
            kind,
            id: text(arguments, "request_id").and_then(Handle::parse).map(|handle| handle.call),
            stream: Some(taken.stream),
            source: "tool",
            input: tool,
            content: &content,
            meta: &[],
        });
        let mut outcome = json!({
            "ok": true,
            "message": "delivered",
            "latency_ms": taken.age.as_millis() as u64,
        });
        let waiting = self.hosts.offers.len();
        if tool != "next_request" && waiting > 0 {
            outcome["message"] =
                format!("delivered; {waiting} more wait: call next_request to get them").into();
        }
        Outcome::ok(outcome)
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
