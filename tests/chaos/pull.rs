//! A host whose model pulls: it calls `next_request`, often several times at once, and gives its
//! answers with later calls, in any order; it cancels calls that wait, and calls that were just
//! answered. What it was handed twice it may answer under the newer name only.

use super::kind::{Asked, Deed, Kind, Mood, Names, answer_to, cancelled, handshake, parts};
use super::kind::{token_in, wrong_answer};
use super::random::Random;
use crate::LEASE;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::time::Instant;

pub struct Pull {
    random: Random,
    calls: u64,
    /// The calls that the bridge has not answered.
    open: HashMap<String, Call>,
    /// Replies that a later call takes along.
    replies: Vec<Reply>,
    names: Names,
    /// Questions with a reply that was taken.
    ended: HashSet<String>,
    cancels: Vec<(Instant, String)>,
    /// Calls nothing before.
    calls_at: Instant,
}

struct Call {
    said: Vec<Said>,
    most: usize,
    is_cancelled: bool,
}

enum Said {
    /// An answer to this question.
    Reply(String),
    /// What must be refused.
    Refusable,
}

struct Reply {
    question: String,
    said: Said,
    reply: Value,
}

impl Pull {
    pub fn new(random: Random) -> Pull {
        Pull {
            random,
            calls: 0,
            open: HashMap::new(),
            replies: Vec::new(),
            names: Names::default(),
            ended: HashSet::new(),
            cancels: Vec::new(),
            calls_at: Instant::now(),
        }
    }

    fn next_request(&mut self, mood: Mood, wait: u64, most: usize, replies: Vec<Reply>) -> Value {
        self.calls += 1;
        let id = format!("pull-{}", self.calls);
        let mut arguments = json!({"wait_seconds": wait});
        if most > 1 || self.random.percent(50) {
            arguments["max"] = most.into();
        }
        let (said, mut told): (Vec<Said>, Vec<Value>) =
            replies.into_iter().map(|reply| (reply.said, reply.reply)).unzip();
        arguments["reply"] = match told.len() {
            1 if self.random.percent(50) => told.remove(0),
            _ => told.into(),
        };
        if said.is_empty() && self.random.percent(50) {
            arguments.as_object_mut().unwrap().remove("reply");
        }
        if mood == Mood::Wild && self.random.percent(10) {
            let at = Instant::now() + self.random.millis(0..1500);
            self.cancels.push((at, id.clone()));
        }
        self.open.insert(id.clone(), Call { said, most, is_cancelled: false });
        self.call(&id, "next_request", arguments)
    }

    /// Some of the replies in any order, but those to one question in theirs.
    fn some_replies(&mut self) -> Vec<Reply> {
        let mut some = Vec::new();
        for _ in 0..self.random.of(0..8).min(self.replies.len()) {
            let question = &self.replies[self.random.of(0..self.replies.len())].question;
            let first = self.replies.iter().position(|reply| reply.question == *question).unwrap();
            some.push(self.replies.remove(first));
        }
        some
    }

    /// Replies with a call of its own, since one misformed reply refuses its whole call.
    fn alone(&mut self, reply: Value) -> Vec<Value> {
        let reply = Reply { question: String::new(), said: Said::Refusable, reply };
        vec![self.next_request(Mood::Calm, 0, 1, vec![reply])]
    }

    fn judge(&mut self, said: Said, verdict: &Value) -> Result<(), String> {
        if verdict["ok"] != true {
            return Ok(());
        }
        match said {
            Said::Refusable => Err(format!("a reply that is none was taken: {verdict}")),
            Said::Reply(question) => match self.ended.insert(question) {
                true => Ok(()),
                false => Err(format!("two replies were taken: {verdict}")),
            },
        }
    }
}

impl Kind for Pull {
    fn settings(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("MODELTAP_LEASE", LEASE.1),
            ("MODELTAP_ANNOUNCE_AGAIN", "100"),
            ("MODELTAP_HOST_WAIT", "10s"),
        ]
    }

    fn opening(&mut self) -> Vec<Value> {
        handshake("chaos-host", json!({}))
    }

    fn hear(&mut self, message: &Value) -> Result<Vec<Asked>, String> {
        let call = message["id"].as_str().and_then(|id| self.open.remove(id));
        let Some(call) = call else { return Ok(Vec::new()) };
        let told = &message["result"]["structuredContent"];
        let said = told["message"].as_str().unwrap_or_default();
        // Too many are open, which says nothing of the replies.
        let is_one_too_many = said.contains("are open");
        let is_error = message["result"]["isError"] != false;
        if is_error && !is_one_too_many && told["replied"].is_null() {
            // The call was refused for the form of its reply.
            let is_due = call.said.iter().all(|said| matches!(said, Said::Refusable));
            return match is_due && !call.said.is_empty() {
                true => Ok(Vec::new()),
                false => Err(format!("a good call was refused: {message}")),
            };
        }
        let verdicts = told["replied"].as_array().map_or(&[][..], Vec::as_slice);
        if verdicts.len() != call.said.len() {
            return Err(format!("{} replies were made: {message}", call.said.len()));
        }
        for (said, verdict) in call.said.into_iter().zip(verdicts) {
            self.judge(said, verdict)?;
        }
        if told["pending"] != true {
            return Ok(Vec::new());
        }
        let more = told["more"].as_array().into_iter().flatten();
        let mut questions = Vec::new();
        for request in std::iter::once(told).chain(more) {
            let id = request["request_id"].as_str().ok_or_else(|| format!("no id: {request}"))?;
            self.names.note(id)?;
            let prompt = request["prompt"].as_str().unwrap_or_default();
            let token = token_in(prompt).ok_or_else(|| format!("no token in {request}"))?;
            questions.push(Asked { id: id.to_owned(), token, stream: false });
        }
        match questions.len() <= call.most {
            true => Ok(questions),
            false => Err(format!("{} were wanted at most: {message}", call.most)),
        }
    }

    fn tick(&mut self, mood: Mood) -> Vec<Value> {
        let (now, mut lines) = (Instant::now(), Vec::new());
        let (due, later) =
            std::mem::take(&mut self.cancels).into_iter().partition(|(at, _)| *at <= now);
        self.cancels = later;
        for (_, id) in due {
            if let Some(call) = self.open.get_mut(&id) {
                call.is_cancelled = true;
            }
            lines.push(cancelled(&id));
        }
        let is_wild = mood == Mood::Wild;
        if is_wild && now < self.calls_at {
            return lines;
        }
        let most_open = match mood {
            Mood::Quiet => 0,
            Mood::Calm => 2,
            Mood::Wild => self.random.of(1..7),
        };
        let open = self.open.values().filter(|call| !call.is_cancelled).count();
        for _ in open..most_open {
            let (replies, wait) = (self.some_replies(), *self.random.one_of(&[0, 1, 1, 2]));
            let most = *self.random.one_of(&[1, 1, 2, 5, 16]);
            lines.push(self.next_request(mood, wait, most, replies));
        }
        // With all calls open a reply still needs one, as when a model answers out of turn.
        while open >= most_open && !self.replies.is_empty() && (!is_wild || self.random.percent(20))
        {
            let replies = vec![self.replies.remove(0)];
            lines.push(self.next_request(mood, 0, 1, replies));
        }
        if is_wild && self.random.percent(3) {
            self.calls_at = now + self.random.millis(0..400);
        }
        lines
    }

    fn say(&mut self, asked: &Asked, deed: &Deed) -> Vec<Value> {
        let id = asked.id.as_str();
        let wrong = wrong_answer(&asked.token);
        let is_former = self.names.is_former(id);
        let reply = match deed {
            Deed::Answer if !is_former => {
                json!({"request_id": id, "content": answer_to(&asked.token)})
            }
            Deed::Answer | Deed::Second => json!({"request_id": id, "content": wrong}),
            Deed::Fail(_) => {
                let error = json!({"message": format!("no answer to {}", asked.token)});
                json!({"request_id": id, "error": error})
            }
            Deed::Misform => {
                let all = [
                    json!({"request_id": id, "content": wrong, "error": {"message": "?"}}),
                    json!({"request_id": id}),
                    json!({"request_id": id, "content": 5}),
                    json!({"request_id": id, "content": wrong, "answer": wrong}),
                    json!([id, wrong]),
                ];
                let misformed = self.random.one_of(&all).clone();
                return self.alone(misformed);
            }
            Deed::Stray(id) => return self.alone(json!({"request_id": id, "content": wrong})),
            Deed::Piece { .. } => return Vec::new(),
        };
        let question = parts(id).0.to_owned();
        let said = if is_former { Said::Refusable } else { Said::Reply(question.clone()) };
        self.replies.push(Reply { question, said, reply });
        Vec::new()
    }

    fn codes(&self) -> &'static [(i64, u16)] {
        &[(0, 502)]
    }

    fn misformed(&self) -> Option<(u16, &'static str)> {
        None
    }
}
