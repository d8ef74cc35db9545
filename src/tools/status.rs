//! The tools that tell how the bridge is.

use super::{ToolBox, number, text};
use crate::clock;
use crate::exchange::Handle;
use crate::mcp::arguments::Arguments;
use crate::mcp::tool::Outcome;
use crate::record::events::Filter;
use serde_json::{Value, json};
use std::process;

impl ToolBox {
    pub(super) fn http_status(&self) -> Value {
        self.control.status().to_json(self.routes.relay.timeout(), self.access.asks_for_keys())
    }

    /// What `runtime_status` tells.
    pub(super) fn runtime_status(&self) -> Value {
        let hosts = &self.hosts;
        let client = hosts.session.client();
        let chosen = hosts.choose();
        let counts = self.exchange.counts();
        let (total, most) = self.ring.counts();
        let mut http = self.http_status();
        http["connections"] = self.control.connections().into();
        http["api_key_fingerprint"] = self.access.fingerprint().as_deref().into();
        http["tokens_listed"] = self.access.tokens().into();
        let pacing = self.routes.relay.pacing;
        json!({
            "service": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "now": humantime::format_rfc3339_millis(clock::now()).to_string(),
            "mcp": {
                "connected": client.ready,
                "transport": "stdio",
                "pid": process::id(),
                "uptime_seconds": self.started.elapsed().as_secs(),
                "protocol_version": client.protocol,
                "client": {"name": client.name, "version": client.version},
                "open_hooks": hosts.sampling.hooks.count() + hosts.rounds.fetching.open_calls(),
                "open_pulls": hosts.pull.fetching.open_calls(),
            },
            "backend": match &chosen {
                Ok(way) => json!({"ready": true, "in_use": way.name()}),
                Err(failure) => json!({"ready": false, "in_use": null, "reason": failure.message}),
            },
            "http": http,
            "openai_api": {
                "routes": crate::api::ROUTES,
                "models": self.routes.models(),
                "admitted": self.routes.relay.places.taken(),
                "in_flight": counts.waiting,
                "on_offer": hosts.offers.len(),
                "in_line": hosts.sampling.turns.in_line(),
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

    /// What `channel_debug_events` tells.
    pub(super) fn events(&self, arguments: &Arguments) -> Outcome {
        let id = match text(arguments, "request_id").map(|id| (id, Handle::parse(id))) {
            Some((id, None)) => {
                return Outcome::error(format!("request_id: {id:?} is no id of this bridge"));
            }
            Some((_, handle)) => handle.map(|handle| handle.call),
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
}
