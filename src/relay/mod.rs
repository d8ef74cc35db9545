//! Carries one request from its client to the model and the answer back: the room where the waiting
//! is done. It knows the dialect's functions and the exchange, and neither sockets nor JSON-RPC.

mod answer;
mod pace;
mod reading;
mod told;
mod waiting;

use crate::api::error::ApiError;
use crate::api::{Context, Encoder, Endpoint, Parsed};
use crate::chat::{Choice, Event, Failure, FailureKind};
use crate::config::Pacing;
use crate::exchange::{CallId, Ended, Exchange, Ticket};
use crate::host::{Hosts, Way};
use crate::http::{Headers, Request, Responder, Response};
use crate::names::Names;
use crate::record::events::{Kind, Ring};
use crate::record::log::Log;
use crate::reply::{error_response, id_headers};
use crate::store::Store;
use answer::Answer;
use pace::Pacer;
use reading::Reading;
use std::cell::Cell;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use waiting::Woken;

/// How long a stream's head waits for the first event, to leave with it.
const HEAD_WAIT: Duration = Duration::from_millis(20);

/// What is written at once rather than gathered with what follows it, in bytes.
const LARGE: usize = 64 * 1024;

/// What carrying a request needs.
pub struct Relay {
    /// Where requests and answers meet.
    pub exchange: Exchange,
    /// The ways to a model.
    pub hosts: Arc<Hosts>,
    /// Lines on stderr.
    pub log: Log,
    /// Recent events.
    pub ring: Arc<Ring>,
    /// How long to wait for an answer; a tool may change it.
    pub timeout: Mutex<Option<Duration>>,
    /// Between two comments in a silent stream.
    pub keep_alive: Duration,
    /// The typewriter.
    pub pacing: Option<Pacing>,
    /// The most characters of a message.
    pub message_chars: Option<usize>,
    /// The models that are listed, and the hints that stand for others.
    pub names: Names,
    /// Answers that later requests may refer to.
    pub store: Store,
    /// The model that the host named last.
    pub model: Mutex<Option<String>>,
}

/// One request on its way.
struct Trip<'a> {
    relay: &'a Relay,
    endpoint: &'static Endpoint,
    id: CallId,
    client: String,
    started: Instant,
    model: String,
    stream: bool,
    way: Option<&'static str>,
    /// What the way cannot carry of the request, for a header.
    ignored: String,
    /// When the client was last seen.
    seen: Cell<Instant>,
}

impl Relay {
    /// The wait for an answer, now.
    pub fn timeout(&self) -> Option<Duration> {
        *self.timeout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The model that the host named last.
    pub fn model(&self) -> Option<String> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Remembers the model that the host named, before the client can ask for it.
    fn learn(&self, answer: &Answer) {
        let mut known = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        if answer.host_model.is_some() && *known != answer.host_model {
            known.clone_from(&answer.host_model);
        }
    }

    /// Keeps what the client wants kept, before it can refer to it.
    fn keep(&self, encoder: &mut dyn Encoder) {
        if let Some(kept) = encoder.to_store() {
            self.store.put(kept, Instant::now());
        }
    }

    /// Serves a request to one of the endpoints that ask the model.
    ///
    /// # Errors
    /// The client is gone.
    pub fn complete(
        &self,
        endpoint: &'static Endpoint,
        request: &Request,
        common: Headers,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        let agent = request.head.header("user-agent").unwrap_or("-");
        let mut trip = Trip {
            relay: self,
            endpoint,
            id: CallId::random(),
            client: format!("{} {agent:?}", request.head.peer),
            started: Instant::now(),
            model: "-".into(),
            stream: false,
            way: None,
            ignored: String::new(),
            seen: Cell::new(Instant::now()),
        };
        let context = Context {
            id: trip.id.to_string(),
            created: unix_time(SystemTime::now()),
            message_chars: self.message_chars,
            stored: &|id| self.store.get(id, Instant::now()),
        };
        let mut parsed = match (endpoint.parse)(request.body, &context) {
            Ok(parsed) => parsed,
            Err(error) => {
                let body = String::from_utf8_lossy(request.body);
                self.log.rx(|| trip.head_line(), |rows| rows.push("", &body));
                return trip.fail(&error, common, responder);
            }
        };
        trip.model = parsed.ask.model.clone().into_owned();
        trip.stream = parsed.ask.stream;
        trip.received(&parsed.ask);
        match trip.ask(&mut parsed) {
            Err(failure) => {
                let error = ApiError::of_failure(&failure, trip.way);
                trip.fail(&error, common, responder)
            }
            Ok(mut asked) => trip.carry(&mut parsed, &mut asked, common, responder),
        }
    }
}

/// A request that is with the host.
struct Asked<'a> {
    way: &'a dyn Way,
    ticket: Ticket,
    reading: Reading<'a>,
    answer: Answer,
}

impl<'a> Trip<'a> {
    /// Puts the question to the host.
    fn ask(&mut self, parsed: &mut Parsed) -> Result<Asked<'a>, Failure> {
        let relay = self.relay;
        let way = relay.hosts.choose()?;
        self.way = Some(way.name());
        let ignored = [parsed.ask.ignored.clone(), way.ignores(&parsed.ask)].concat();
        self.ignored = ignored.join(", ");
        let answer = Answer {
            choices: vec![Choice::default(); parsed.choices],
            prompt: parsed.ask.estimate_tokens(),
            host_model: None,
            begun: false,
        };
        if let Some(hint) = relay.names.hint(&parsed.ask.model) {
            parsed.ask.model = hint.to_owned().into();
        }
        let reading = Reading::new(way, &mut parsed.ask, parsed.choices);
        let mut ids = vec![self.id];
        ids.resize_with(parsed.choices, CallId::random);
        let ticket = relay.exchange.open(ids, way.name(), self.stream);
        // Told first: the host may have answered before the way returns.
        self.note(Kind::Publish, "", &[("backend", way.name()), ("model", &self.model)]);
        if let Err(failure) = way.ask(&parsed.ask, ticket.ids(), self.deadline()) {
            ticket.close(Ended::Failed);
            return Err(failure);
        }
        Ok(Asked { way, ticket, reading, answer })
    }

    /// Waits for the answer and passes it on.
    fn carry(
        &self,
        parsed: &mut Parsed,
        asked: &mut Asked,
        common: Headers,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        let ended = match self.stream {
            false => self.whole(parsed, asked, &common, responder),
            true => self.streamed(parsed, asked, &common, responder),
        };
        // What is still open now is waited for by nobody.
        let (way, ticket, answer) = (asked.way, &asked.ticket, &asked.answer);
        match ended {
            Ok(()) => {
                self.sent(answer);
                Ok(())
            }
            Err(Broken::Failed(failure)) => {
                let how = match failure.kind {
                    FailureKind::Timeout => Ended::Expired,
                    _ => Ended::Failed,
                };
                way.withdraw(&ticket.close(how), &failure.message);
                let error = ApiError::of_failure(&failure, self.way);
                if !answer.begun {
                    return self.fail(&error, common, responder);
                }
                self.failed(&error);
                let mut out = Vec::new();
                parsed.encoder.error(&error, &mut out);
                responder.end(&out)
            }
            Err(Broken::Gone(e)) => {
                way.withdraw(&ticket.close(Ended::Cancelled), "the client went away");
                self.left(answer);
                Err(e)
            }
        }
    }

    fn whole(
        &self,
        parsed: &mut Parsed,
        asked: &mut Asked,
        common: &Headers,
        responder: &mut dyn Responder,
    ) -> Result<(), Broken> {
        let deadline = self.deadline();
        while !asked.answer.is_whole() {
            match self.wait(&asked.ticket, deadline, None, responder) {
                Woken::Events(choice, events) => {
                    for event in asked.read(choice, events, parsed, deadline)? {
                        asked.answer.take(choice, event);
                    }
                }
                Woken::Due => {}
                Woken::Gone => return Err(Broken::Gone(gone())),
                Woken::Expired => return Err(Broken::Failed(self.expired())),
            }
        }
        let answer = &asked.answer;
        self.relay.learn(answer);
        let body = parsed.encoder.whole(&answer.choices, answer.usage());
        self.relay.keep(&mut *parsed.encoder);
        let mut response = Response::json(200, body);
        response.headers.extend(self.headers(common, answer.host_model.as_deref()));
        responder.respond(&response).map_err(Broken::Gone)?;
        let text = answer.choices.first().map_or("", |choice| choice.text.as_str());
        self.note(Kind::Response, text, &[("backend", self.way.unwrap_or_default())]);
        Ok(())
    }

    fn streamed(
        &self,
        parsed: &mut Parsed,
        asked: &mut Asked,
        common: &Headers,
        responder: &mut dyn Responder,
    ) -> Result<(), Broken> {
        let mut pacer = Pacer::new(self.relay.pacing);
        let mut out = Vec::new();
        let mut deadline = self.deadline();
        // When something must be written though nothing came.
        let mut silent_until = Instant::now() + HEAD_WAIT;
        loop {
            let until = pacer.due().unwrap_or(silent_until).min(silent_until);
            match self.wait(&asked.ticket, deadline, Some(until), responder) {
                Woken::Events(choice, events) => {
                    deadline = self.deadline();
                    for event in asked.read(choice, events, parsed, deadline)? {
                        if matches!(event, Event::Delta(_) | Event::ToolCall(_)) {
                            self.chunk_note(&event);
                        }
                        pacer.push(choice, event);
                    }
                }
                Woken::Due => {}
                Woken::Gone => return Err(Broken::Gone(gone())),
                Woken::Expired => return Err(Broken::Failed(self.expired())),
            }
            let now = Instant::now();
            let (encoder, answer) = (&mut *parsed.encoder, &mut asked.answer);
            out.clear();
            if !answer.begun && (pacer.is_due(now) || now >= silent_until) {
                let mut headers: Headers = vec![
                    ("Content-Type", "text/event-stream".into()),
                    ("Cache-Control", "no-cache".into()),
                    ("X-Accel-Buffering", "no".into()),
                ];
                headers.extend(self.headers(common, answer.host_model.as_deref()));
                responder.begin(200, &headers).map_err(Broken::Gone)?;
                encoder.open(answer.usage(), &mut out);
                answer.begun = true;
                silent_until = now + self.relay.keep_alive;
            }
            while let Some((choice, event)) = pacer.pop(now) {
                encoder.event(choice, &event, &mut out);
                answer.take(choice, event);
                if out.len() >= LARGE {
                    responder.write(&out).map_err(Broken::Gone)?;
                    out = Vec::new();
                }
            }
            if answer.is_whole() && pacer.is_empty() {
                self.relay.learn(answer);
                encoder.close(&answer.choices, answer.usage(), &mut out);
                self.relay.keep(encoder);
                responder.end(&out).map_err(Broken::Gone)?;
                self.note(Kind::ResponseDone, "", &[("backend", self.way.unwrap_or_default())]);
                return Ok(());
            }
            if out.is_empty() && now >= silent_until {
                out.extend_from_slice(encoder.keep_alive());
            }
            if !out.is_empty() {
                responder.write(&out).map_err(Broken::Gone)?;
                silent_until = Instant::now() + self.relay.keep_alive;
            }
        }
    }

    /// The headers of every answer to this request.
    fn headers(&self, common: &Headers, host_model: Option<&str>) -> Headers {
        let mut headers = common.clone();
        headers.extend(id_headers(self.endpoint.dialect, &self.id.to_string()));
        if let Some(way) = self.way {
            headers.push(("x-mcp-backend", way.into()));
        }
        if let Some(model) = host_model {
            headers.push(("x-mcp-model", model.to_owned().into()));
        }
        headers.push(("x-mcp-usage", "estimated".into()));
        if !self.ignored.is_empty() {
            headers.push(("x-mcp-ignored", self.ignored.clone().into()));
        }
        headers
    }

    /// Answers with an error, nothing having been sent yet.
    fn fail(
        &self,
        error: &ApiError,
        common: Headers,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        self.failed(error);
        let mut response = error_response(error, self.endpoint.dialect, &self.id.to_string());
        response.headers.extend(common);
        if let Some(way) = self.way {
            response.headers.push(("x-mcp-backend", way.into()));
        }
        responder.respond(&response)
    }
}

impl Asked<'_> {
    /// Reads the host's events of one choice; what of them the client gets now.
    fn read(
        &mut self,
        choice: usize,
        events: Vec<Event>,
        parsed: &mut Parsed,
        deadline: Option<Instant>,
    ) -> Result<Vec<Event>, Broken> {
        let (ask, ticket) = (&mut parsed.ask, &mut self.ticket);
        self.reading.take(choice, events, ask, ticket, deadline).map_err(Broken::Failed)
    }
}

/// How a trip ends when it is not answered.
enum Broken {
    /// With a failure.
    Failed(Failure),
    /// The client is gone.
    Gone(io::Error),
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionAborted.into()
}

/// Seconds since 1970; 0 on a machine whose clock is before that.
pub fn unix_time(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
