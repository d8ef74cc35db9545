//! The clients: each does one thing after another as chance will have it, and knows what must come
//! of it.

use super::account::{Answered, Said};
use super::deeds::{CODES, Deed};
use super::stage::Stage;
use crate::chaos::dialects::{self, Dialect, Said as Read};
use crate::chaos::random::Random;
use crate::common::calls::{Caller, Lost, request};
use crate::common::http::Answer;
use serde_json::Value;
use std::time::{Duration, Instant};

/// How many bytes a large question has.
const LARGE: usize = 1_000_000;
/// A connection that was idle for so long may be closed by the bridge while it is used.
const IDLE: Duration = Duration::from_secs(3);

/// One client.
pub struct Client<'a> {
    pub stage: &'a Stage,
    pub random: Random,
    /// Its connection, and when it was used last.
    kept: Option<(Caller, Instant)>,
}

/// A request that a client makes.
pub struct Request {
    pub number: u64,
    pub dialect: Dialect,
    pub stream: bool,
    pub deed: Deed,
    pub bytes: Vec<u8>,
    /// Statuses that are right besides that of the deed.
    pub also: &'static [u16],
}

impl<'a> Client<'a> {
    pub fn new(stage: &'a Stage, random: Random) -> Client<'a> {
        Client { stage, random, kept: None }
    }

    /// Asks small questions that are answered at once, until there are to be no more.
    pub fn ask_simply(&mut self) {
        while self.stage.waits_turn() {
            let request = self.request(Deed::Answer, "", &[]);
            self.asks(request, false);
        }
    }

    /// A question to a way that is drawn, with the key for all.
    pub fn request(&mut self, deed: Deed, padding: &str, headers: &[String]) -> Request {
        let dialect = *self.random.one_of(&dialects::ALL);
        let stream = self.random.percent(50);
        self.request_as(dialect, stream, deed, padding, &self.stage.keys.plain, headers)
    }

    /// A question with a key and further header lines.
    pub fn request_as(
        &self,
        dialect: Dialect,
        stream: bool,
        deed: Deed,
        padding: &str,
        key: &str,
        headers: &[String],
    ) -> Request {
        let number = self.stage.number();
        let mut body = dialect.body(&deed.question(number, padding), stream);
        if padding == KEPT {
            body["store"] = Value::Bool(true);
        }
        let bytes = request(dialect.path(), &self.headers(number, key, headers), &body);
        Request { number, dialect, stream, deed, bytes, also: &[] }
    }

    /// The header lines of a request: who asks, in a session of its own.
    pub fn headers(&self, number: u64, key: &str, more: &[String]) -> String {
        let more = more.concat();
        format!("Authorization: Bearer {key}\r\nx-claude-code-session-id: soak-{number}\r\n{more}")
    }

    /// Asks one question that must be answered as it wants, or by one of the other statuses.
    pub fn asks(&mut self, request: Request, close: bool) {
        let kept = self.kept.take();
        let idle = kept.as_ref().map(|(_, since)| since.elapsed());
        let asked = kept.map_or_else(|| Caller::connect(self.stage.addr), |(caller, _)| Ok(caller));
        let asked = asked.and_then(|mut caller| {
            caller.send(&request.bytes)?;
            let answer = caller.answer()?;
            Ok((caller, answer))
        });
        let (caller, answer) = match asked {
            Ok(asked) => asked,
            Err(lost) => return self.lost(request.number, &lost, idle),
        };
        self.judge(&request, &answer);
        if !close && answer.header("connection") != Some("close") {
            self.kept = Some((caller, Instant::now()));
        }
    }

    /// A connection that ends without an answer is explained by its having been idle alone.
    fn lost(&self, number: u64, lost: &Lost, idle: Option<Duration>) {
        match idle.is_some_and(|idle| idle + Duration::from_secs(1) > IDLE) {
            true => self.stage.count("closed, being idle"),
            false => self.stage.fault(format!("request {number}: {lost:?}, idle for {idle:?}")),
        }
        self.stage.say(Said { number, must: false, answer: None });
    }

    /// Looks whether this is the answer to that request, and takes it down.
    pub fn judge(&self, request: &Request, answer: &Answer) {
        let Request { number, dialect, deed, also, .. } = request;
        let read = dialect.read(answer);
        let (is_right, broke) = match &read {
            Ok(Read::Text(text)) => (deed.status() == 200 && *text == deed.answer(*number), false),
            Ok(Read::Failure { status: Some(status), message }) => {
                let is_slow = *status == 504 && message.contains("no answer within");
                let is_right = *status == deed.status() || also.contains(status) || is_slow;
                (is_right && (*status != 429 || answer.header("retry-after").is_some()), false)
            }
            Ok(Read::Failure { status: None, message }) => {
                (deed.status() != 200 || message.contains("no answer within"), true)
            }
            Err(_) => (false, false),
        };
        if !is_right {
            let stream = request.stream;
            let what = format!("request {number} ({dialect:?}, stream {stream}, {deed})");
            let status = answer.status;
            self.stage.fault(format!("{what} was answered with {status}: {read:.1000?}"));
        }
        self.stage.count(match (answer.status, broke) {
            (_, true) => "streams that failed",
            (200, _) => "answers",
            _ => "errors",
        });
        self.takes_down(*number, answer, broke);
    }

    /// Tells the account of a whole answer.
    pub fn takes_down(&self, number: u64, answer: &Answer, broke: bool) {
        let Some(id) = answer.header("x-request-id") else {
            return self.stage.fault(format!("an answer without an id: {answer:.1000?}"));
        };
        let answered = Answered { id: id.to_owned(), status: answer.status, broke };
        self.stage.say(Said { number, must: true, answer: Some(answered) });
    }

    /// A question as most are, with now and then something special about it.
    pub fn asks_something(&mut self) {
        let special = self.random.of(0..10_000);
        let (deed, close) = match special {
            0..20 => (Deed::Late(self.random.of(20..1000) as u64), false),
            20..120 => (Deed::Fail(self.random.one_of(&CODES).0), false),
            120..140 => (Deed::Long(self.random.of(50_000..300_000)), false),
            140..160 => (Deed::Twice, false),
            160..170 => (Deed::Misform, false),
            170..172 => (Deed::Never, false),
            172..372 => (Deed::Answer, true),
            _ => (Deed::Answer, false),
        };
        let keys = &self.stage.keys;
        let (key, also): (_, &[u16]) = match self.random.of(0..100) {
            0..4 => (&keys.by_rate, &[429]),
            4..10 => (&keys.by_concurrency, &[429]),
            _ => (&keys.plain, &[]),
        };
        let padding = match self.random.of(0..3000) {
            0 => "so ".repeat(LARGE / 3),
            1..60 => "so ".repeat(self.random.of(100..6000)),
            60..200 => KEPT.into(),
            _ => String::new(),
        };
        let (dialect, stream) = (*self.random.one_of(&dialects::ALL), self.random.percent(50));
        let close_line = close.then(|| "Connection: close\r\n".to_owned());
        let headers = close_line.as_slice();
        let request = self.request_as(dialect, stream, deed, &padding, key, headers);
        self.asks(Request { also, ..request }, close);
    }
}

/// Behind a question whose answer is to be kept for later ones.
const KEPT: &str = "and keep it";
