//! A host that misbehaves at random, whatever its kind: it answers late, twice, out of order, under
//! wrong ids, with failures and garbage, stops to read, dies, and is started anew.

use super::garbage::garbage;
use super::kind::{Asked, Deed, Kind, Mood, answer_to};
use super::pipes::Pipes;
use super::random::Random;
use super::stage::{Life, Stage};
use crate::TIMEOUT;
use crate::common::PATIENCE;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// The longest that a host looks at nothing.
const TICK: Duration = Duration::from_millis(20);

pub struct Host<'a> {
    stage: &'a Stage,
    kind: Box<dyn Kind>,
    pipes: Pipes,
    random: Random,
    pub mood: Mood,
    /// How many threads and descriptors the bridge had before it was asked anything.
    held: Option<(usize, usize)>,
    /// What it will do, and when.
    planned: BTreeMap<(Instant, u64), (Asked, Deed)>,
    /// What it will do once the client waits no more.
    late: Vec<(Asked, Deed)>,
    /// The second half of a line whose first half is written.
    rest: Vec<u8>,
    /// The last questions.
    past: VecDeque<Asked>,
    life: Option<Arc<Life>>,
    reads_again: Option<Instant>,
    stalls_at: Instant,
    steps: u64,
}

impl<'a> Host<'a> {
    /// Starts a bridge, shakes hands, and answers one question well, as every host does that is to
    /// be believed; `ask` sends that one to the address it is given. Then clients learn of it.
    pub fn start(
        stage: &'a Stage,
        mut kind: Box<dyn Kind>,
        mut random: Random,
        ask: impl FnOnce(std::net::SocketAddr),
    ) -> Host<'a> {
        let mut settings = vec![("MODELTAP_TIMEOUT", TIMEOUT.1)];
        settings.extend(kind.settings());
        let pipes = Pipes::new(&settings);
        let mut opening = kind.opening();
        opening.push(kind.call("chaos-status", "http_server_status", json!({})));
        let stalls_at = Instant::now() + random.millis(100..2500);
        let mut host = Host {
            stage,
            kind,
            pipes,
            random,
            mood: Mood::Quiet,
            held: None,
            planned: BTreeMap::new(),
            late: Vec::new(),
            rest: Vec::new(),
            past: VecDeque::new(),
            life: None,
            reads_again: None,
            stalls_at,
            steps: 0,
        };
        host.write(&opening);
        let status = host.answer_to("chaos-status");
        let url = status["listen_url"].as_str().unwrap_or_else(|| panic!("no address: {status}"));
        let addr = url.strip_prefix("http://").unwrap().parse().unwrap();
        let before = host.pipes.held();
        host.mood = Mood::Calm;
        ask(addr);
        let deadline = Instant::now() + PATIENCE;
        while !host.stage.record("tok-0-0-x").over {
            host.step();
            assert!(Instant::now() < deadline, "the first question: {}", host.pipes.told());
        }
        host.stage.note("tok-0-0-x", |record| record.over = false);
        // Who listens has all its descriptors once it has served somebody.
        while host.call("runtime_status", json!({}))["http"]["connections"] != 0 {
            assert!(Instant::now() < deadline, "the first connection stays: {}", host.pipes.told());
        }
        let after = host.pipes.held();
        host.held =
            before.zip(after).map(|((threads, _), (_, descriptors))| (threads, descriptors));
        let life = Life::new(addr);
        host.life = Some(life.clone());
        host.stage.set_life(life);
        host.mood = Mood::Wild;
        host
    }

    /// Lives for a moment: hears, plans, does what is due.
    pub fn step(&mut self) {
        let now = Instant::now();
        let due = self.planned.keys().next().map_or(TICK, |(due, _)| due.duration_since(now));
        let mut heard = self.pipes.hear(due.min(TICK));
        for _ in 0..100 {
            let Some(message) = heard else { break };
            self.hear(&message);
            heard = self.pipes.hear(Duration::ZERO);
        }
        let mut lines = self.kind.tick(self.mood);
        for (asked, deed) in std::mem::take(&mut self.late) {
            match self.stage.record(&asked.token).over {
                true => lines.extend(self.act(&asked, &deed)),
                false => self.late.push((asked, deed)),
            }
        }
        while let Some(due) = self.planned.first_entry().filter(|due| due.key().0 <= Instant::now())
        {
            let (asked, deed) = due.remove();
            lines.extend(self.act(&asked, &deed));
        }
        self.write(&lines);
        self.stall();
    }

    fn hear(&mut self, message: &Value) {
        match self.kind.hear(message) {
            Ok(questions) => {
                for asked in questions {
                    let now = Some(Instant::now());
                    self.stage.note(&asked.token, |record| record.asked = now);
                    self.plan(asked);
                }
            }
            Err(fault) => self.stage.fault(fault),
        }
    }

    /// Some time from `from` on: mostly soon, and never the order in which the questions came.
    fn after(&mut self, from: Instant) -> Instant {
        let most = match self.stage.lease {
            None => *self.random.one_of(&[1, 20, 100, 600]),
            // At times so late that somebody else may have the question.
            Some(_) => *self.random.one_of(&[1, 20, 100, 600, 2500]),
        };
        from + self.random.millis(0..most)
    }

    fn plan(&mut self, asked: Asked) {
        let now = Instant::now();
        if self.mood != Mood::Wild {
            return self.will(now, &asked, Deed::Answer);
        }
        if self.stage.lease.is_some() && self.random.percent(8) {
            self.past.push_back(asked);
            return self.stage.count("forgotten");
        }
        let (soon, code) = (self.after(now), self.random.one_of(self.kind.codes()).0);
        let then = self.after(soon);
        match self.random.of(0..100) {
            0..25 => self.will(soon, &asked, Deed::Answer),
            25..45 if asked.stream && self.kind.takes_pieces() => {
                let last = self.pieces(soon, &asked, 1.0);
                self.will(last, &asked, Deed::Second);
            }
            25..50 => {
                self.will(soon, &asked, Deed::Answer);
                self.will(then, &asked, Deed::Second);
                self.will(then, &asked, Deed::Answer);
            }
            50..60 => {
                self.will(soon, &asked, Deed::Fail(code));
                self.will(then, &asked, Deed::Second);
            }
            60..65 => {
                self.will(soon, &asked, Deed::Misform);
                // Either it is over now, or this is its answer.
                let deed =
                    if self.kind.misformed().is_none() { Deed::Answer } else { Deed::Second };
                self.will(then, &asked, deed);
            }
            65..85 => {
                for _ in 0..self.random.of(1..4) {
                    let (at, id) = (self.after(now), self.wrong_id(&asked.id));
                    self.will(at, &asked, Deed::Stray(id));
                }
                self.will(then, &asked, Deed::Answer);
            }
            85..90 if asked.stream && self.kind.takes_pieces() => {
                let last = self.pieces(soon, &asked, 0.5);
                match self.random.percent(50) {
                    true => self.will(last, &asked, Deed::Fail(code)),
                    false => self.late.push((asked.clone(), Deed::Second)),
                }
            }
            85..94 => self.will(then, &asked, Deed::Answer),
            94..98 => {
                self.late.push((asked.clone(), Deed::Second));
                self.late.push((asked.clone(), Deed::Answer));
            }
            _ => self.stage.count("ignored"),
        }
        if self.past.len() >= 200 {
            self.past.pop_front();
        }
        self.past.push_back(asked);
    }

    fn will(&mut self, at: Instant, asked: &Asked, deed: Deed) {
        self.steps += 1;
        self.planned.insert((at, self.steps), (asked.clone(), deed));
    }

    /// Plans this share of the answer in pieces; when the last of them is sent.
    fn pieces(&mut self, from: Instant, asked: &Asked, share: f64) -> Instant {
        let answer = answer_to(&asked.token);
        let end = (answer.len() as f64 * share) as usize;
        let (mut at, mut sent) = (from, 0);
        while sent < end {
            let next = (sent + self.random.of(1..answer.len())).min(end);
            let text = answer[sent..next].to_owned();
            self.will(at, asked, Deed::Piece { text, last: next == answer.len() });
            (sent, at) = (next, self.after(at));
        }
        at
    }

    /// An id under which nobody waits: made up, broken, or of a question that has had its answer.
    fn wrong_id(&mut self, id: &str) -> Value {
        // Where questions are leased, a reply may have come too late to end one.
        let is_over = |past: &&Asked| {
            let record = self.stage.record(&past.token);
            match self.stage.lease {
                None => record.ended.is_some(),
                Some(_) => record.over && !record.left,
            }
        };
        let ended = self.past.iter().find(is_over).map(|past| past.id.clone());
        let shorter = id.get(..id.len().saturating_sub(1)).unwrap_or_default();
        match (self.random.of(0..6), ended) {
            (0, Some(ended)) => json!(ended),
            (1, _) => json!(shorter),
            (2, _) => json!(self.random.next() >> 12),
            (3, _) => Value::Null,
            (4, _) => json!(""),
            _ => json!(format!("{:016x}{:016x}", self.random.next(), self.random.next())),
        }
    }

    /// Does it: notes it first, so that no client can know of it before.
    fn act(&mut self, asked: &Asked, deed: &Deed) -> Vec<Value> {
        let (codes, misformed) = (self.kind.codes(), self.kind.misformed());
        let failure = match deed {
            Deed::Fail(code) => {
                let status = codes.iter().find(|(known, _)| known == code).expect("a known code").1;
                Some((status, asked.token.clone()))
            }
            Deed::Misform => misformed.map(|(status, words)| (status, words.to_owned())),
            _ => None,
        };
        let answers = matches!(deed, Deed::Answer | Deed::Piece { last: true, .. });
        if answers || failure.is_some() {
            self.stage.note(&asked.token, |record| {
                record.answered |= answers;
                record.failures.extend(failure);
                record.ended.get_or_insert_with(Instant::now);
            });
        }
        self.stage.count(match deed {
            Deed::Answer => "answers",
            Deed::Piece { .. } => "pieces",
            Deed::Second => "second answers",
            Deed::Fail(_) => "failures",
            Deed::Misform => "misformed",
            Deed::Stray(_) => "strays",
        });
        self.kind.say(asked, deed)
    }

    /// Writes lines, garbage between them; sometimes the last line's end waits for the next time.
    fn write(&mut self, lines: &[Value]) {
        let mut out = std::mem::take(&mut self.rest);
        for line in lines {
            if self.mood == Mood::Wild && self.random.percent(5) {
                self.stage.count("garbage lines");
                out.extend(garbage(&mut self.random));
            }
            out.extend(line.to_string().bytes());
            out.push(b'\n');
        }
        if !lines.is_empty() && self.mood == Mood::Wild && self.random.percent(10) {
            self.stage.count("halved lines");
            self.rest = out.split_off(self.random.of(0..out.len()));
        }
        if !out.is_empty() {
            self.pipes.write(&out);
        }
    }

    /// Stops to read now and then, once in a while for longer than a client waits.
    fn stall(&mut self) {
        let now = Instant::now();
        let Some(life) = &self.life else { return };
        if self.reads_again.is_some_and(|then| now >= then || self.mood != Mood::Wild) {
            self.pipes.stall(false);
            life.stall_ends();
            self.reads_again = None;
            self.stalls_at = now + self.random.millis(500..4000);
        } else if self.reads_again.is_none() && self.mood == Mood::Wild && now >= self.stalls_at {
            self.stage.count("stalls");
            life.stall();
            self.pipes.stall(true);
            // A host that fetches what it is asked is never written to for long.
            let time = match self.stage.lease.is_none() && self.random.percent(25) {
                true => TIMEOUT.0 + self.random.millis(500..1500),
                false => self.random.millis(50..1000),
            };
            self.reads_again = Some(now + time);
        }
    }

    /// Dies one way or another; the bridge has to end by itself.
    pub fn die(mut self) {
        if let Some(life) = &self.life {
            life.dying.store(true, Ordering::SeqCst);
        }
        self.pipes.stall(false);
        if self.random.percent(50) {
            self.pipes.write(b"{\"jsonrpc\":\"2.0\",\"id\":\"ha");
        }
        match self.random.percent(50) {
            true => {
                self.stage.count("ends");
                self.pipes.end();
            }
            false => {
                self.stage.count("kills");
                self.pipes.kill();
            }
        }
        match self.pipes.ended() {
            Some(status) if status.success() => {}
            Some(status) => {
                self.stage.fault(format!("the bridge ended with {status}:\n{}", self.pipes.told()));
            }
            None => self.stage.fault("the bridge does not end when its host is gone".into()),
        }
    }

    /// Goes on without mischief until all that was planned is done, and then until the bridge says
    /// that nothing is left in it.
    pub fn finish(&mut self) {
        self.mood = Mood::Calm;
        let deadline = Instant::now() + PATIENCE;
        self.step();
        while !(self.planned.is_empty() && self.late.is_empty()) {
            assert!(Instant::now() < deadline, "what was planned is never due");
            self.step();
        }
        self.mood = Mood::Quiet;
        loop {
            let status = self.call("runtime_status", json!({}));
            let (http, channel) = (&status["openai_api"], &status["channel"]);
            let left = [
                &http["in_flight"],
                &channel["pending_requests"],
                &channel["pending_stream_requests"],
                &status["http"]["connections"],
                &status["openai_api"]["on_offer"],
                &status["openai_api"]["in_line"],
                &status["mcp"]["open_hooks"],
                &status["mcp"]["open_pulls"],
            ];
            let held = self.pipes.held();
            let no_more = |(now, before): ((usize, usize), (usize, usize))| {
                now.0 <= before.0 && now.1 <= before.1
            };
            if left.iter().all(|left| **left == 0) && held.zip(self.held).is_none_or(no_more) {
                break;
            }
            if Instant::now() >= deadline {
                let (before, said) = (self.held, "(threads, descriptors)");
                let held = format!("{said} {held:?}, and {before:?} before it was asked anything");
                return self.stage.fault(format!("the bridge is never empty: {held}; {status}"));
            }
        }
        self.look_back();
    }

    /// Looks at what the bridge noted of its last questions: each was answered by its host once at
    /// most, and its client was answered, told or missed exactly once.
    fn look_back(&mut self) {
        let noted = self.call("channel_debug_events", json!({"limit": 500}));
        let mut of: HashMap<&str, (bool, usize, usize)> = HashMap::new();
        for event in noted["events"].as_array().into_iter().flatten() {
            let Some(id) = event["meta"]["request_id"].as_str() else { continue };
            let (asked, replies, ends) = of.entry(id).or_default();
            match event["kind"].as_str().unwrap_or_default() {
                "request" => *asked = true,
                "reply" | "stream_done" => *replies += 1,
                "response" | "response_done" | "response_error" => *ends += 1,
                _ => {}
            }
        }
        assert!(!of.is_empty(), "nothing was noted: {noted}");
        for (id, (asked, replies, ends)) in of {
            if replies > 1 || ends > 1 || (asked && ends == 0) {
                let said = format!("{id} was replied to {replies} times, and ended {ends} times");
                self.stage.fault(said);
            }
        }
    }

    /// The structured result of a tool.
    fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.steps += 1;
        let id = format!("chaos-{}", self.steps);
        let call = self.kind.call(&id, tool, arguments);
        self.write(&[call]);
        self.answer_to(&id)
    }

    /// The structured result of a call of ours; what else comes is heard meanwhile.
    fn answer_to(&mut self, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.kind.tick(self.mood);
            self.write(&lines);
            if let Some(message) = self.pipes.hear(TICK) {
                if message["id"] == id && message.get("method").is_none() {
                    return message["result"]["structuredContent"].clone();
                }
                self.hear(&message);
            }
            assert!(Instant::now() < deadline, "{id}: no answer:\n{}", self.pipes.told());
        }
    }

    pub fn told(&self) -> String {
        self.pipes.told()
    }
}
