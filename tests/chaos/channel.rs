//! A host that listens to channel events and answers with the reply tools, as Claude Code does. It
//! looks at what became of each reply: one end for each question is taken, and no stray at all.

use super::kind::{Asked, Deed, Kind, answer_to, handshake, request, token_in, wrong_answer};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

#[derive(Default)]
pub struct Channel {
    calls: u64,
    /// What each call of a tool said that the bridge has not answered yet.
    said: HashMap<String, Said>,
    /// Questions whose end was taken.
    ended: HashSet<String>,
}

enum Said {
    /// Part of an answer to this question, or the end of it.
    Reply { question: String, ends: bool },
    /// What must be refused.
    Refusable,
}

impl Channel {
    fn reply(&mut self, tool: &str, said: Said, arguments: Value) -> Vec<Value> {
        self.calls += 1;
        let id = format!("reply-{}", self.calls);
        let call = request(&id, "tools/call", json!({"name": tool, "arguments": arguments}));
        self.said.insert(id, said);
        vec![call]
    }

    /// Looks at the bridge's answer to a call.
    fn replied(&mut self, message: &Value) -> Result<(), String> {
        let Some(said) = message["id"].as_str().and_then(|id| self.said.remove(id)) else {
            return Ok(());
        };
        if message["result"]["isError"] != false {
            return Ok(());
        }
        match said {
            Said::Refusable => Err(format!("a stray reply was taken: {message}")),
            Said::Reply { question, .. } if self.ended.contains(&question) => {
                Err(format!("a reply to {question} was taken after its end: {message}"))
            }
            Said::Reply { question, ends } => {
                if ends {
                    self.ended.insert(question);
                }
                Ok(())
            }
        }
    }
}

impl Kind for Channel {
    fn settings(&self) -> &'static [(&'static str, &'static str)] {
        &[("MODELTAP_BACKEND", "channel")]
    }

    fn opening(&mut self) -> Vec<Value> {
        handshake("claude-code", json!({"roots": {}}))
    }

    fn hear(&mut self, message: &Value) -> Result<Vec<Asked>, String> {
        if message["method"] != "notifications/claude/channel" {
            return self.replied(message).map(|()| Vec::new());
        }
        let (content, meta) = (&message["params"]["content"], &message["params"]["meta"]);
        let token = content.as_str().and_then(token_in);
        let token = token.ok_or_else(|| format!("no token in {content}"))?;
        let id = meta["request_id"].as_str().unwrap_or_default().to_owned();
        Ok(vec![Asked { id, token, stream: meta["stream"] == "true" }])
    }

    fn say(&mut self, asked: &Asked, deed: &Deed) -> Vec<Value> {
        let id = asked.id.as_str();
        let reply = |ends| Said::Reply { question: asked.id.clone(), ends };
        let (whole, stream) = ("channel_reply", "channel_reply_stream");
        let wrong = wrong_answer(&asked.token);
        match deed {
            Deed::Answer => {
                let content = answer_to(&asked.token);
                self.reply(whole, reply(true), json!({"request_id": id, "content": content}))
            }
            Deed::Piece { text, last } => {
                let arguments = json!({"request_id": id, "delta": text, "done": last});
                self.reply(stream, reply(*last), arguments)
            }
            Deed::Second if asked.stream => {
                let arguments = json!({"request_id": id, "delta": wrong, "done": true});
                self.reply(stream, reply(true), arguments)
            }
            Deed::Second => {
                self.reply(whole, reply(true), json!({"request_id": id, "content": wrong}))
            }
            Deed::Fail(_) => {
                let error = json!({"message": format!("no answer to {}", asked.token)});
                self.reply(whole, reply(true), json!({"request_id": id, "error": error}))
            }
            Deed::Misform => {
                let error = json!({"message": "?"});
                let both = json!({"request_id": id, "content": wrong, "error": error});
                self.reply(whole, Said::Refusable, both)
            }
            Deed::Stray(id) => {
                let arguments = json!({"request_id": id, "content": wrong});
                self.reply(whole, Said::Refusable, arguments)
            }
        }
    }

    fn takes_pieces(&self) -> bool {
        true
    }

    fn codes(&self) -> &'static [(i64, u16)] {
        &[(0, 502)]
    }

    fn misformed(&self) -> Option<(u16, &'static str)> {
        None
    }
}
