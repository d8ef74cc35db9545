//! Carries one request from its client to the model and the answer back: the room where the waiting
//! is done. It knows the dialect's functions and the exchange, and neither sockets nor JSON-RPC.

mod answer;
mod pace;
mod placing;
mod reading;
mod sending;
mod told;
mod waiting;

use crate::access::Access;
use crate::access::gate::Barred;
use crate::access::refused::Refused;
use crate::api::error::ApiError;
use crate::api::{Context, Encoder, Endpoint, Parsed};
use crate::chat::{Ask, Choice, Failure, FailureKind, Format, Usage};
use crate::clock;
use crate::config::Pacing;
use crate::exchange::{CallId, Ended, Exchange, Tenant};
use crate::host::schema::{self, Misfit};
use crate::host::{Hosts, Way};
use crate::http::{Headers, Request, Responder};
use crate::names::Names;
use crate::record::Records;
use crate::record::events::{Kind, Ring};
use crate::record::log::Log;
use crate::reply::{api_error, error_response, id_headers, standing_headers};
use crate::store::Store;
use crate::visit::{Places, Visit};
use answer::Answer;
use placing::Asked;
use std::cell::{Cell, RefCell};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What carrying a request needs.
pub struct Relay {
    /// What callers may.
    pub access: Arc<Access>,
    /// The places of those that wait for the model.
    pub places: Places,
    /// Where requests and answers meet.
    pub exchange: Exchange,
    /// The ways to a model.
    pub hosts: Arc<Hosts>,
    /// Lines on stderr.
    pub log: Log,
    /// Who is told of each request.
    pub records: Records,
    /// Recent events.
    pub ring: Arc<Ring>,
    /// How long to wait for an answer; a tool may change it.
    pub timeout: Mutex<Option<Duration>>,
    /// How long a request may wait for a host.
    pub host_wait: Duration,
    /// How long a host that may never answer has for it.
    pub lease: Duration,
    /// How often a request is offered again that a host did not answer.
    pub announce_again: u32,
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

/// What stands for the model of a request that cannot be read.
const NO_MODEL: &str = "-";

/// One request on its way.
struct Trip<'a> {
    relay: &'a Relay,
    endpoint: &'static Endpoint,
    request: &'a Request<'a>,
    visit: &'a Visit,
    started: Instant,
    model: String,
    stream: bool,
    /// The way that the first choice goes by.
    way: Cell<Option<&'static str>>,
    /// What that way cannot carry of the request, for a header.
    ignored: RefCell<String>,
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
    fn keep(&self, encoder: &mut dyn Encoder, owner: Tenant) {
        if let Some(kept) = encoder.to_store() {
            self.store.put(kept, owner, Instant::now());
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
        visit: &Visit,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        let mut trip = Trip {
            relay: self,
            endpoint,
            request,
            visit,
            started: Instant::now(),
            model: NO_MODEL.into(),
            stream: false,
            way: Cell::new(None),
            ignored: RefCell::default(),
            seen: Cell::new(Instant::now()),
        };
        let context = Context {
            id: visit.id.to_string(),
            created: clock::unix_time(),
            message_chars: self.message_chars,
            stored: &|id| self.store.get(id, visit.caller.owner(), Instant::now()),
        };
        let mut parsed = (endpoint.parse)(request.body, &context);
        let parsed = match &mut parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                trip.rx(|rows| rows.push("", &String::from_utf8_lossy(request.body)));
                return trip.fail(error, responder);
            }
        };
        trip.model = parsed.ask.model.clone().into_owned();
        trip.stream = parsed.ask.stream;
        trip.make(parsed, responder)
    }
}

impl<'a> Trip<'a> {
    /// Goes all the way with a request that was read.
    // Reading a request needs the stack that this would take below it.
    #[inline(never)]
    fn make(&self, parsed: &mut Parsed, responder: &mut dyn Responder) -> io::Result<()> {
        self.received(&parsed.ask);
        if !self.enters(parsed, responder)? {
            return Ok(());
        }
        match self.ask(parsed, responder) {
            Ok(mut asked) => self.carry(parsed, &mut asked, responder),
            Err(Broken::Failed(failure)) => {
                let error = ApiError::of_failure(&failure, self.way.get());
                self.fail(&error, responder)
            }
            Err(Broken::Gone(e)) => {
                self.visit.ends(Usage::default(), true);
                self.left(&self.nothing(parsed));
                Err(e)
            }
        }
    }

    /// Lets the request go on to the model where its caller may ask that now, and answers it otherwise;
    /// whether it goes on.
    // What refusals need of the stack must not lie below a request that waits.
    #[inline(never)]
    fn enters(&self, parsed: &Parsed, responder: &mut dyn Responder) -> io::Result<bool> {
        let refused = if self.visit.caller.may_ask(&self.model) {
            match self.enter(responder) {
                Ok(()) => return Ok(true),
                Err(Barred::Over(over)) => Refused::Over(over),
                Err(Barred::Gone) => {
                    self.left(&self.nothing(parsed));
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        } else {
            Refused::Model(self.model.clone())
        };
        self.fail(&api_error(&refused), responder)?;
        Ok(false)
    }

    /// Passes the limits of the caller, waiting for that if it is wanted; how he stands to them is
    /// for the headers of the answer, whatever it is.
    fn enter(&self, responder: &mut dyn Responder) -> Result<(), Barred> {
        let (relay, visit) = (self.relay, self.visit);
        let stands_in_line = |is_so| {
            if let Some(live) = &relay.records.live {
                live.at_limit(visit.id, is_so);
            }
        };
        let waits = Cell::new(false);
        let has_room = |mine| {
            waits.set(true);
            stands_in_line(true);
            // Whoever has many waiting leaves as much room for others.
            mine < relay.places.free()
        };
        let entered = relay
            .access
            .enter(&visit.caller, visit.address, &has_room, &mut || responder.is_gone());
        if waits.get() {
            stands_in_line(false);
        }
        let standing = match &entered {
            Ok(Some((_, standing))) => Some(standing),
            Err(Barred::Over(over)) => Some(&over.standing),
            _ => None,
        };
        if let Some(standing) = standing {
            visit.tells(standing_headers(self.endpoint.dialect, standing));
        }
        visit.enters(entered?.map(|(inside, _)| inside));
        Ok(())
    }

    /// Puts the question to a host, and waits for one if that is wanted.
    fn ask<'t>(
        &'t self,
        parsed: &mut Parsed,
        responder: &mut dyn Responder,
    ) -> Result<Asked<'t, 'a>, Broken> {
        let relay = self.relay;
        if let Some(Format::JsonSchema { schema, .. }) = &parsed.ask.format
            && let Err(Misfit::Schema(why)) = schema::usable(schema)
        {
            return Err(Failure::new(FailureKind::Invalid, why).into());
        }
        if let Some(hint) = relay.names.hint(&parsed.ask.model) {
            parsed.ask.model = hint.to_owned().into();
        }
        let mut ids = vec![self.visit.id];
        ids.resize_with(parsed.choices, CallId::random);
        let ticket = relay.exchange.open(ids, self.stream);
        let answer = self.nothing(parsed);
        let asked = Asked::new(self, &mut parsed.ask, ticket, answer);
        let mut asked = asked?;
        // While the host is at work.
        asked.count_prompt(&parsed.ask);
        while asked.is_homeless() {
            let woken = self.wait(&asked.ticket, self.deadline(), asked.look(), responder);
            asked.wake(woken, &mut parsed.ask)?;
        }
        Ok(asked)
    }

    /// An answer of which nothing has come.
    fn nothing(&self, parsed: &Parsed) -> Answer {
        Answer {
            choices: vec![Choice::default(); parsed.choices],
            prompt: 0,
            host_model: None,
            begun: None,
            first_piece: None,
        }
    }

    /// Notes the way that a request takes.
    fn goes_by(&self, way: &dyn Way, ask: &Ask) {
        if self.way.replace(Some(way.name())) != Some(way.name()) {
            *self.ignored.borrow_mut() =
                [ask.ignored.clone(), way.ignores(ask)].concat().join(", ");
            self.note(Kind::Publish, "", &[("backend", way.name()), ("model", &self.model)]);
        }
    }

    /// Waits for the answer and passes it on.
    fn carry(
        &self,
        parsed: &mut Parsed,
        asked: &mut Asked,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        let ended = match self.stream {
            false => self.whole(parsed, asked, responder),
            true => self.streamed(parsed, asked, responder),
        };
        let answer = &asked.answer;
        match ended {
            Ok(usage) => {
                self.sent(answer, usage);
                Ok(())
            }
            Err(Broken::Failed(failure)) => {
                let how = match failure.kind {
                    FailureKind::Timeout => Ended::Expired,
                    _ => Ended::Failed,
                };
                asked.close(how, &failure.message);
                let error = ApiError::of_failure(&failure, self.way.get());
                if answer.begun.is_none() {
                    self.visit.ends(answer.usage(), true);
                    return self.fail(&error, responder);
                }
                self.failed(&error, Some(answer));
                let mut out = Vec::new();
                parsed.encoder.error(&error, &mut out);
                self.visit.ends(answer.usage(), true);
                responder.end(&out)
            }
            Err(Broken::Gone(e)) => {
                asked.close(Ended::Cancelled, "the client went away");
                self.visit.ends(answer.usage(), true);
                self.left(answer);
                Err(e)
            }
        }
    }

    /// The headers of every answer to this request.
    fn headers(&self, host_model: Option<&str>) -> Headers {
        let mut headers = self.visit.headers();
        headers.extend(id_headers(self.endpoint.dialect, &self.visit.id.to_string()));
        if let Some(way) = self.way.get() {
            headers.push(("x-mcp-backend", way.into()));
        }
        if let Some(model) = host_model {
            headers.push(("x-mcp-model", model.to_owned().into()));
        }
        headers.push(("x-mcp-usage", "estimated".into()));
        let ignored = self.ignored.borrow();
        if !ignored.is_empty() {
            headers.push(("x-mcp-ignored", ignored.clone().into()));
        }
        headers
    }

    /// Answers with an error, nothing having been sent yet.
    fn fail(&self, error: &ApiError, responder: &mut dyn Responder) -> io::Result<()> {
        self.failed(error, None);
        let mut response = error_response(error, self.endpoint.dialect, &self.visit.id.to_string());
        response.headers.extend(self.visit.headers());
        if let Some(way) = self.way.get() {
            response.headers.push(("x-mcp-backend", way.into()));
        }
        self.visit.ends(Usage::default(), true);
        responder.respond(&response)
    }
}

/// How a trip ends when it is not answered.
enum Broken {
    /// With a failure.
    Failed(Failure),
    /// The client is gone.
    Gone(io::Error),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Broken::Failed(failure)
    }
}
