//! What a kind of host must be able to do, and what any of them may do to a question.
//!
//! A new kind is one file that implements [`Kind`], and a test in `tests/chaos.rs` that runs it.

use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// A question that a host was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The name under which the host answers it.
    pub id: String,
    /// The client's own word in it.
    pub token: String,
    /// Whether pieces of the answer may be sent.
    pub stream: bool,
}

/// What a host does to a question.
#[derive(Debug, Clone)]
pub enum Deed {
    /// Says the right answer, whole.
    Answer,
    /// Says a piece of the right answer; the last one ends it. Only of kinds that take pieces.
    Piece { text: String, last: bool },
    /// Says another answer, though it has said the first, or a failure.
    Second,
    /// Says a failure, with one of the kind's codes, and the client's token in its message.
    Fail(i64),
    /// Says what is no answer, though it has the question's id. The bridge fails the question with
    /// [`Kind::misformed`], or refuses it and goes on waiting.
    Misform,
    /// Says an answer under this id, which is nobody's.
    Stray(Value),
}

/// How a host behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It misbehaves.
    Wild,
    /// It answers all that it is asked, soon.
    Calm,
    /// It lets its open calls of tools end, and opens none.
    Quiet,
}

/// A kind of host: one session with one bridge.
pub trait Kind: Send {
    /// The bridge's settings beyond those of every run.
    fn settings(&self) -> &'static [(&'static str, &'static str)];

    /// What it says first. A request's id must not begin with `chaos-`.
    fn opening(&mut self) -> Vec<Value>;

    /// Takes a message of the bridge: the questions in it, none in most.
    ///
    /// # Errors
    /// What the bridge did wrong, such as taking a second answer.
    fn hear(&mut self, message: &Value) -> Result<Vec<Asked>, String>;

    /// What it says by itself now, such as the next call of a tool that waits, or the answers that
    /// it has gathered. Called after every message and at least every 20 ms.
    fn tick(&mut self, _: Mood) -> Vec<Value> {
        Vec::new()
    }

    /// How it says this; maybe not at once, see [`Kind::tick`].
    fn say(&mut self, asked: &Asked, deed: &Deed) -> Vec<Value>;

    /// Whether it can answer streamed questions in pieces.
    fn takes_pieces(&self) -> bool {
        false
    }

    /// The codes of its failures, and the status that each has for a client.
    fn codes(&self) -> &'static [(i64, u16)];

    /// The status and the words that a client gets for [`Deed::Misform`]; `None` where the bridge
    /// refuses it.
    fn misformed(&self) -> Option<(u16, &'static str)>;

    /// A call of a tool.
    fn call(&mut self, id: &str, tool: &str, arguments: Value) -> Value {
        request(id, "tools/call", json!({"name": tool, "arguments": arguments}))
    }
}

/// The names under which a host was handed questions, where each handing-out has one of its own.
#[derive(Default)]
pub struct Names {
    seen: HashSet<String>,
    newest: HashMap<String, u64>,
}

impl Names {
    /// Notes a name.
    ///
    /// # Errors
    /// It came before.
    pub fn note(&mut self, name: &str) -> Result<(), String> {
        if !self.seen.insert(name.to_owned()) {
            return Err(format!("{name} was handed out twice under this name"));
        }
        let (question, turn) = parts(name);
        let newest = self.newest.entry(question.to_owned()).or_default();
        *newest = turn.max(*newest);
        Ok(())
    }

    /// Whether its question was handed out once more since, so that no answer under this name is
    /// to be taken.
    pub fn is_former(&self, name: &str) -> bool {
        let (question, turn) = parts(name);
        self.newest.get(question).is_some_and(|newest| *newest > turn)
    }
}

/// A name as its question and which handing-out it is.
pub fn parts(name: &str) -> (&str, u64) {
    let (question, turn) = name.split_once('-').unwrap_or((name, "1"));
    (question, turn.parse().expect("a name ends with a number"))
}

/// The host gives up its call of this id.
pub fn cancelled(id: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}})
}

/// A request to the bridge.
pub fn request(id: &str, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The legacy handshake.
pub fn handshake(name: &str, capabilities: Value) -> Vec<Value> {
    let params = json!({"protocolVersion": crate::common::LATEST, "capabilities": capabilities,
        "clientInfo": {"name": name, "version": "1"}});
    vec![
        request("opening", "initialize", params),
        json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
    ]
}

/// A client's own word, as it stands in its question.
pub fn token(client: usize, question: usize) -> String {
    format!("tok-{client}-{question}-x")
}

/// The client's own word in a question.
pub fn token_in(text: &str) -> Option<String> {
    let from = &text[text.find("tok-")?..];
    Some(from[..from.find("-x")? + 2].to_owned())
}

/// The one right answer to a question. Some are long.
pub fn answer_to(token: &str) -> String {
    let long = token.bytes().map(usize::from).sum::<usize>() % 16 == 0;
    format!("answer to {token}{}", " and so on".repeat(if long { 3000 } else { 1 }))
}

/// An answer that no client may see.
pub fn wrong_answer(token: &str) -> String {
    format!("WRONG answer to {token}")
}
