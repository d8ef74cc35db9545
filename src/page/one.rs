//! All that is known of one request: its exchange, its texts, and its events. Without secrets, as the
//! audit file has them.

use super::telling::states;
use crate::exchange::CallId;
use crate::record::events::Filter;
use crate::record::live::{Body, Live};
use crate::relay::Relay;
use serde_json::{Value, json};

/// How many events are told.
const EVENTS: usize = 200;

/// It as JSON text; `None` where nothing is known of it.
pub fn tell(relay: &Relay, live: &Live, id: CallId) -> Option<Vec<u8>> {
    let entry = live.find(id);
    let filter = Filter { id: Some(id), limit: EVENTS, ..Filter::default() };
    let mut events = relay.ring.list(&filter);
    if entry.is_none() && events.is_empty() {
        return None;
    }
    for event in &mut events {
        if let Some(Value::String(text)) = event.get_mut("content") {
            *text = live.redacted(text).into_owned();
        }
    }
    let mut told = json!({"id": id.to_string(), "events": events});
    if let Some(entry) = entry {
        told["exchange"] = serde_json::to_value(&*entry).ok()?;
        let body = |body: &Body| {
            let text = String::from_utf8_lossy(&body.kept);
            json!({"text": live.redacted(&text), "bytes": body.length, "whole": body.is_whole()})
        };
        told["request"] = entry.request.as_deref().map(body).into();
        told["answer"] = entry.answer.as_deref().map(body).into();
        if entry.status == 0
            && let Some((state, backend)) = states(relay, std::slice::from_ref(&entry)).first()
        {
            told["exchange"]["state"] = (*state).into();
            told["exchange"]["backend"] = (*backend).into();
        }
    }
    serde_json::to_vec(&told).ok()
}
