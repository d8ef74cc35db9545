//! A host with legacy sampling.

use super::kind::{Asked, Deed, Kind, answer_to, handshake, token_in, wrong_answer};
use crate::common::sampled;
use serde_json::{Value, json};

pub struct Sampling;

impl Kind for Sampling {
    fn settings(&self) -> &'static [(&'static str, &'static str)] {
        // All are sent at once from the start.
        &[("MODELTAP_CONSENT_HOLD", "0")]
    }

    fn opening(&mut self) -> Vec<Value> {
        handshake("chaos-host", json!({"sampling": {}}))
    }

    fn hear(&mut self, message: &Value) -> Result<Vec<Asked>, String> {
        if message["method"] != "sampling/createMessage" {
            return Ok(Vec::new());
        }
        let messages = message["params"]["messages"].to_string();
        let token = token_in(&messages).ok_or_else(|| format!("no token in {messages}"))?;
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        Ok(vec![Asked { id, token, stream: false }])
    }

    fn say(&mut self, asked: &Asked, deed: &Deed) -> Vec<Value> {
        let id = json!({"id": asked.id});
        let error = |code, message: String| {
            let error = json!({"code": code, "message": message});
            json!({"jsonrpc": "2.0", "id": asked.id, "error": error})
        };
        vec![match deed {
            Deed::Answer => sampled(&id, &answer_to(&asked.token)),
            Deed::Second => sampled(&id, &wrong_answer(&asked.token)),
            Deed::Stray(id) => sampled(&json!({"id": id}), &wrong_answer(&asked.token)),
            Deed::Fail(code) => error(*code, format!("no answer to {}", asked.token)),
            Deed::Misform => json!({"jsonrpc": "2.0", "id": asked.id, "result": {"text": "?"}}),
            Deed::Piece { .. } => return Vec::new(),
        }]
    }

    fn codes(&self) -> &'static [(i64, u16)] {
        &[(-1, 403), (-32000, 403), (-32601, 501), (-32602, 400), (-32603, 502), (0, 502), (7, 502)]
    }

    fn misformed(&self) -> Option<(u16, &'static str)> {
        Some((502, "not a sampling result"))
    }
}
