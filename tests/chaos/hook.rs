//! A host of the modern era: it calls `hook`, at times twice at once, and answers its rounds late,
//! in part, with keys that nobody asked for and with results that are none; it gives rounds up and
//! begins anew, sends a state twice, alters one, and cancels its calls.

use super::kind::{Asked, Deed, Kind, Mood, Names, answer_to, cancelled, request};
use super::kind::{token_in, wrong_answer};
use super::random::Random;
use crate::LEASE;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::time::Instant;

/// The most requests of a round.
const MOST: usize = 8;

pub struct Hook {
    random: Random,
    calls: u64,
    /// The legs that the bridge has not answered.
    legs: HashMap<String, Leg>,
    rounds: Vec<Round>,
    /// In which round each name came.
    of: HashMap<String, usize>,
    names: Names,
    cancels: Vec<(Instant, String)>,
}

struct Leg {
    state: State,
    is_cancelled: bool,
}

/// What a leg's state is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none: a call that begins.
    None,
    /// It came with the round before, which the bridge may have given up meanwhile.
    Fresh,
    /// It was used before, or altered.
    Refusable,
}

struct Round {
    state: String,
    /// Each with the client's word in it.
    keys: Vec<(String, String)>,
    responses: Map<String, Value>,
    stage: Stage,
    /// When it is sent, whatever has been answered.
    due: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In hand.
    Held,
    /// Answered.
    Sent,
    /// Given up.
    Dropped,
}

impl Hook {
    pub fn new(random: Random) -> Hook {
        Hook {
            random,
            calls: 0,
            legs: HashMap::new(),
            rounds: Vec::new(),
            of: HashMap::new(),
            names: Names::default(),
            cancels: Vec::new(),
        }
    }

    fn leg(&mut self, state: State, more: Value) -> Value {
        self.calls += 1;
        let id = format!("hook-{}", self.calls);
        self.legs.insert(id.clone(), Leg { state, is_cancelled: false });
        let mut leg = self.call(&id, "hook", json!({}));
        if let (Some(params), Value::Object(more)) = (leg["params"].as_object_mut(), more) {
            params.extend(more);
        }
        leg
    }

    /// Answers a round for the first time.
    fn send(&mut self, at: usize) -> Value {
        let round = &mut self.rounds[at];
        round.stage = Stage::Sent;
        let mut responses = std::mem::take(&mut round.responses);
        for (key, token) in &round.keys {
            // Somebody else has it now, so that no answer of this round is to be taken.
            if self.names.is_former(key) {
                responses.insert(key.clone(), sampled(&wrong_answer(token)));
            }
        }
        let state = round.state.clone();
        self.leg(State::Fresh, json!({"requestState": state, "inputResponses": responses}))
    }

    /// Answers a round with what must be refused.
    fn refusable(&mut self, state: String, key: &str, response: Value) -> Vec<Value> {
        let more = json!({"requestState": state, "inputResponses": {key: response}});
        vec![self.leg(State::Refusable, more)]
    }

    /// Says something to the question of this name.
    fn respond(&mut self, key: &str, response: Value) -> Vec<Value> {
        let Some(at) = self.of.get(key).copied() else { return Vec::new() };
        let round = &mut self.rounds[at];
        if round.stage == Stage::Sent {
            let state = round.state.clone();
            return self.refusable(state, key, response);
        }
        round.responses.insert(key.to_owned(), response);
        match round.stage {
            // Given up or not, it is answered after all.
            Stage::Dropped => vec![self.send(at)],
            _ => Vec::new(),
        }
    }

    /// Says something under a key that a round did not ask for.
    fn stray(&mut self, key: &str, response: Value) {
        let others = |round: &&mut Round| {
            round.stage == Stage::Held && !round.keys.iter().any(|(known, _)| known == key)
        };
        if let Some(round) = self.rounds.iter_mut().rev().take(20).find(others) {
            round.responses.insert(key.to_owned(), response);
        }
    }

    /// Answers a round in hand under a state with one digit changed.
    fn tamper(&mut self, response: &Value) -> Vec<Value> {
        let held = |round: &&Round| round.stage == Stage::Held && !round.keys.is_empty();
        let Some(round) = self.rounds.iter().rev().take(20).find(held) else { return Vec::new() };
        let (mut state, key) = (round.state.clone(), round.keys[0].0.clone());
        let at = self.random.of(0..state.len());
        let other = if state.as_bytes()[at] == b'0' { "1" } else { "0" };
        state.replace_range(at..=at, other);
        self.refusable(state, &key, response.clone())
    }

    /// Takes a round.
    fn round(&mut self, result: &Value) -> Result<Vec<Asked>, String> {
        let state = result["requestState"].as_str().ok_or_else(|| format!("no state: {result}"))?;
        let mut questions = Vec::new();
        for (key, wanted) in result["inputRequests"].as_object().into_iter().flatten() {
            self.names.note(key)?;
            let messages = wanted["params"]["messages"].to_string();
            let token = token_in(&messages).ok_or_else(|| format!("no token in {wanted}"))?;
            self.of.insert(key.clone(), self.rounds.len());
            questions.push(Asked { id: key.clone(), token, stream: false });
        }
        if questions.len() > MOST {
            return Err(format!("too many at once: {result}"));
        }
        // Some are kept until others have their questions.
        let most = *self.random.one_of(&[300, 300, 800, 2500]);
        self.rounds.push(Round {
            state: state.to_owned(),
            keys: questions.iter().map(|asked| (asked.id.clone(), asked.token.clone())).collect(),
            responses: Map::new(),
            stage: Stage::Held,
            due: Instant::now() + self.random.millis(0..most),
        });
        Ok(questions)
    }
}

/// A sampling result without its envelope.
fn sampled(text: &str) -> Value {
    json!({"role": "assistant", "content": {"type": "text", "text": text}, "model": "chaos"})
}

impl Kind for Hook {
    fn settings(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("MODELTAP_LEASE", LEASE.1),
            ("MODELTAP_ANNOUNCE_AGAIN", "100"),
            ("MODELTAP_HOST_WAIT", "10s"),
            // Also for how long a leg waits.
            ("MODELTAP_PULL_WAIT", "1s"),
        ]
    }

    fn opening(&mut self) -> Vec<Value> {
        Vec::new()
    }

    fn call(&mut self, id: &str, tool: &str, arguments: Value) -> Value {
        let meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "chaos-host", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {"sampling": {}},
        });
        let params = json!({"name": tool, "arguments": arguments, "_meta": meta});
        request(id, "tools/call", params)
    }

    fn hear(&mut self, message: &Value) -> Result<Vec<Asked>, String> {
        let leg = message["id"].as_str().and_then(|id| self.legs.remove(id));
        let Some(leg) = leg else { return Ok(Vec::new()) };
        let result = &message["result"];
        match (leg.state, result["resultType"].as_str()) {
            (State::Refusable, Some("complete")) if result["isError"] == true => Ok(Vec::new()),
            (State::Refusable, _) => Err(format!("a state was good that is not: {message}")),
            (_, Some("input_required")) => self.round(result),
            // After some legs the call is to be made anew, and rounds are given up.
            (State::Fresh, Some("complete")) => Ok(Vec::new()),
            _ => Err(format!("a good call was refused: {message}")),
        }
    }

    fn tick(&mut self, mood: Mood) -> Vec<Value> {
        let (now, mut lines) = (Instant::now(), Vec::new());
        let (due, later) =
            std::mem::take(&mut self.cancels).into_iter().partition(|(at, _)| *at <= now);
        self.cancels = later;
        for (_, id) in due {
            if let Some(leg) = self.legs.get_mut(&id) {
                leg.is_cancelled = true;
            }
            lines.push(cancelled(&id));
        }
        if mood == Mood::Quiet {
            return lines;
        }
        let mut open = self.legs.values();
        let mut open =
            open.by_ref().filter(|leg| leg.state != State::Refusable && !leg.is_cancelled).count();
        for at in self.rounds.len().saturating_sub(20)..self.rounds.len() {
            let round = &mut self.rounds[at];
            if round.stage != Stage::Held {
                continue;
            }
            let is_whole = round.keys.iter().all(|(key, _)| round.responses.contains_key(key));
            if mood == Mood::Wild && self.random.percent(1) {
                round.stage = Stage::Dropped;
                continue;
            }
            open += 1;
            if is_whole || now >= round.due {
                lines.push(self.send(at));
            }
        }
        let most = match mood {
            Mood::Wild => *self.random.one_of(&[1, 2, 3, 4, 6]),
            _ => 1,
        };
        if open < most {
            lines.push(self.leg(State::None, json!({})));
        }
        if mood == Mood::Wild && self.random.percent(1) && self.calls > 0 {
            let at = now + self.random.millis(0..500);
            self.cancels.push((at, format!("hook-{}", self.calls)));
        }
        lines
    }

    fn say(&mut self, asked: &Asked, deed: &Deed) -> Vec<Value> {
        let id = asked.id.as_str();
        let wrong = sampled(&wrong_answer(&asked.token));
        match deed {
            Deed::Answer if self.names.is_former(id) => self.respond(id, wrong),
            Deed::Answer => self.respond(id, sampled(&answer_to(&asked.token))),
            // What is said to it in a round that is still in hand would replace the first.
            Deed::Second => match self.of.get(id).map(|at| self.rounds[*at].stage) {
                Some(Stage::Sent) => self.respond(id, wrong),
                _ => {
                    self.stray(id, wrong);
                    Vec::new()
                }
            },
            // A failure has no form of its own in a round.
            Deed::Fail(_) => self.respond(id, json!(format!("no answer to {}", asked.token))),
            Deed::Misform => self.respond(id, json!({"text": "?"})),
            Deed::Stray(_) if self.random.percent(50) => self.tamper(&wrong),
            Deed::Stray(id) => {
                let key = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
                self.stray(&key, wrong);
                Vec::new()
            }
            Deed::Piece { .. } => Vec::new(),
        }
    }

    fn codes(&self) -> &'static [(i64, u16)] {
        &[(0, 502)]
    }

    fn misformed(&self) -> Option<(u16, &'static str)> {
        Some((502, "not a sampling result"))
    }
}
