//! The clients: each asks one question after another with a word of its own in it, may leave in the
//! middle, and takes nothing but its own answer, or a failure that a fault of the host explains.

use super::dialects::{self, Dialect, Said};
use super::kind::{answer_to, token};
use super::random::Random;
use super::stage::{AtWork, Life, Stage};
use crate::TIMEOUT;
use crate::common::calls::{Caller, Lost, request};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A bridge that is given an answer may be slow to pass it on, on a machine that has other work;
/// so much of the time that a client waits is left for that.
const SLOW: Duration = Duration::from_secs(5);

/// Asks until the run is over.
pub fn run(stage: &Stage, number: usize, mut random: Random) {
    let _at_work = AtWork::new(stage, format!("client {number}"));
    let mut kept: Option<(SocketAddr, Caller)> = None;
    for question in 0.. {
        let Some(life) = stage.life() else { return };
        let token = token(number, question);
        let (dialect, stream) = (*random.one_of(&dialects::ALL), random.percent(50));
        // Some questions are long enough to fill the pipe of a host that does not read.
        let padding = "so ".repeat(*random.one_of(&[1, 1, 1, 1, 1, 1, 1, 3000, 20_000, 60_000]));
        let text = format!("{padding}{token} is my word");
        let question = Question { stage, life: &life, dialect, stream, token: &token, text: &text };
        if random.percent(10) {
            stage.count("clients left");
            stage.note(&token, |record| record.left = true);
            question.leave(&mut random);
        } else {
            let keep = random.percent(90);
            let caller = kept.take().filter(|(addr, _)| *addr == life.addr);
            let (caller, fault) = question.ask(caller.map(|(_, caller)| caller), keep);
            kept = caller.map(|caller| (life.addr, caller));
            if let Some(fault) = fault {
                stage.fault(format!("{token} ({dialect:?}, stream {stream}): {fault}"));
            }
        }
        stage.note(&token, |record| record.over = true);
    }
}

/// Asks one question that must be answered, before there are others.
pub fn first(stage: &Stage, addr: SocketAddr) {
    let _at_work = AtWork::new(stage, "the first client".into());
    let (life, token) = (Life::new(addr), token(0, 0));
    let (dialect, stream, text) = (Dialect::Chat, false, token.as_str());
    let question = Question { stage, life: &life, dialect, stream, token: text, text };
    if let (_, Some(fault)) = question.ask(None, false) {
        stage.fault(format!("the first question: {fault}"));
    }
    stage.note(&token, |record| record.over = true);
}

struct Question<'a> {
    stage: &'a Stage,
    life: &'a Life,
    dialect: Dialect,
    stream: bool,
    token: &'a str,
    text: &'a str,
}

impl Question<'_> {
    /// Asks, and judges what comes; the connection where it can be used again, and the fault.
    fn ask(&self, kept: Option<Caller>, keep: bool) -> (Option<Caller>, Option<String>) {
        let begun = Instant::now();
        let caller = kept.map_or_else(|| Caller::connect(self.life.addr), Ok);
        let asked = caller.and_then(|mut caller| {
            let headers = if keep { "" } else { "Connection: close\r\n" };
            let body = self.dialect.body(self.text, self.stream);
            caller.post(self.dialect.path(), headers, &body)?;
            let answer = caller.answer()?;
            Ok((caller, answer))
        });
        let (mut caller, answer) = match asked {
            Ok(asked) => asked,
            Err(lost) => return (None, self.judge_loss(&lost)),
        };
        let unasked = caller.unasked();
        if !unasked.is_empty() {
            let unasked = String::from_utf8_lossy(&unasked);
            return (None, Some(format!("something came after the answer: {unasked:?}")));
        }
        let is_kept = keep && answer.header("connection") != Some("close");
        let fault = match self.dialect.read(&answer) {
            Ok(said) => self.judge(&said, begun),
            Err(fault) => Some(fault),
        };
        (is_kept.then_some(caller), fault)
    }

    /// A connection that ends without an answer is explained by the bridge's end only.
    fn judge_loss(&self, lost: &Lost) -> Option<String> {
        self.stage.count("lost");
        (!self.life.is_dying()).then(|| format!("the bridge lives, and yet {lost:?}"))
    }

    fn judge(&self, said: &Said, begun: Instant) -> Option<String> {
        let record = self.stage.record(self.token);
        let (status, message) = match said {
            Said::Text(text) if *text == answer_to(self.token) && record.answered => {
                self.stage.count("own answers");
                return None;
            }
            Said::Text(text) => return Some(format!("a foreign answer: {text:?}; {record:?}")),
            Said::Failure { status, message } => (*status, message),
        };
        let is = |expected: u16| status.is_none_or(|status| status == expected);
        let said_so = |(status, words): &(u16, String)| is(*status) && message.contains(words);
        let is_explained = if record.failures.iter().any(said_so) {
            self.stage.count("own failures");
            true
        } else if is(504) && message.contains("no answer within") {
            self.stage.count("timeouts");
            let is_late = match self.stage.lease {
                None => record.ended.is_none_or(|ended| ended.elapsed() < SLOW),
                // Whatever was not answered is to be asked again by a host that reads.
                Some(lease) => {
                    let last = record.asked.max(record.ended);
                    // One that was never fetched had others before it, at a slow host.
                    last.is_none_or(|last| {
                        last.elapsed().saturating_sub(self.life.stalled_for(last)) < lease + SLOW
                    })
                }
            };
            is_late && begun.elapsed() >= TIMEOUT.0
        } else if (is(502) || is(503))
            && ["has gone", "server is stopping"].iter().any(|said| message.contains(said))
        {
            self.stage.count("told that the host has gone");
            self.life.is_dying()
        } else if is(503) && message.contains("does not read") {
            self.stage.count("told that the host does not read");
            self.life.stalled_since(begun)
        } else {
            false
        };
        (!is_explained).then(|| format!("no fault explains {said:?}; {record:?}"))
    }

    /// Leaves in the middle: of the question, of the wait, or of the answer.
    fn leave(&self, random: &mut Random) {
        let Ok(mut caller) = Caller::connect(self.life.addr) else { return };
        let body = self.dialect.body(self.text, self.stream);
        let request = request(self.dialect.path(), "", &body);
        let sent = match random.percent(30) {
            true => random.of(0..request.len()),
            false => request.len(),
        };
        // A bridge that is gone has nobody to leave.
        if caller.stream.write_all(&request[..sent]).is_err() || random.percent(20) {
            return;
        }
        let _ = caller.stream.set_read_timeout(Some(random.millis(1..300)));
        let _ = caller.stream.read(&mut [0; 100]);
    }
}
