//! What is served at which path: the one implementation of the HTTP seam's [`Service`].

use crate::access::Access;
use crate::access::caller::Caller;
use crate::access::refused::Refused;
use crate::access::sites::Sites;
use crate::access::token::Scope;
use crate::api::error::{ApiError, Dialect, INVALID, SERVER};
use crate::api::openapi::OPENAPI;
use crate::api::{Route, messages, models, responses};
use crate::chat::{Failure, FailureKind};
use crate::control::Control;
use crate::exchange::CallId;
use crate::http::{Head, Headers, Refusal, Request, Responder, Response, Service};
use crate::page::Page;
use crate::record::audit::entry::{Asked, Rx, Tx};
use crate::record::log::Rows;
use crate::record::metrics::{self, AuditNow, Counted, Now};
use crate::relay::Relay;
use crate::reply::{api_error, error_response, id_headers};
use crate::visit::Visit;
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// The routes and what they need.
pub struct Routes {
    /// Carries what waits for the model.
    pub relay: Arc<Relay>,
    /// The guard.
    pub access: Arc<Access>,
    /// Where the HTTP side says how it is.
    pub control: Arc<Control>,
    /// The page that shows what the bridge is doing, unless it is switched off.
    pub page: Option<Page>,
    /// Whether `/health` tells more.
    pub health_verbose: bool,
    /// Unix time of the start.
    pub started: u64,
}

impl Routes {
    /// The models that are listed: those of the settings, and the host's where it named one.
    pub fn models(&self) -> Vec<String> {
        let mut models = self.relay.names.listed.clone();
        models.extend(self.relay.model().filter(|model| !models.contains(model)));
        models
    }

    /// An error, to a request whose head could be read or not.
    fn refused(&self, head: Option<&Head>, error: &ApiError) -> Response {
        match head {
            Some(head) => {
                let nobody = Visit::new(Caller::Anybody(0), self.access.address(head));
                self.turned_away(head, &[], &nobody, error)
            }
            None => {
                let (id, log) = (CallId::random(), &self.relay.log);
                log.tx(format_args!("{id} {} {}", error.status, error.code), |rows| {
                    rows.push("", &error.message);
                });
                self.relay.records.metrics.unread(error.status, error.code);
                error_response(error, Dialect::OpenAi, &id.to_string())
            }
        }
    }

    /// An error, to a request that asks nobody.
    fn turned_away(&self, head: &Head, body: &[u8], visit: &Visit, error: &ApiError) -> Response {
        let (Head { method, path, .. }, Visit { id, address, .. }) = (head, visit);
        let head_line = format_args!("{id} {address} {} {method} {path}", error.status);
        self.relay.log.tx(head_line, |rows: &mut Rows| rows.push("", &error.message));
        self.take_down(head, body, visit, error.status, Some(error), None);
        let mut response = error_response(error, dialect_of(head), &id.to_string());
        response.headers.extend(self.access.cors(head, false));
        response
    }

    /// Tells those who are told of each request of one that did not ask the model.
    fn take_down(
        &self,
        head: &Head,
        body: &[u8],
        visit: &Visit,
        status: u16,
        error: Option<&ApiError>,
        answer: Option<&[u8]>,
    ) {
        let records = &self.relay.records;
        let answer = answer.filter(|_| records.want_text());
        let text = answer.map(String::from_utf8_lossy);
        visit.asked(head, |asked| {
            // A scrape is no news; that somebody was refused one is.
            let is_probe = asked.is_probe || (error.is_none() && asked.endpoint == "/metrics");
            let asked = Asked { is_probe, ..asked };
            records.rx(&Rx { asked, body });
            records.tx(&Tx {
                asked,
                status,
                error: error.map(|error| error.code),
                backend: None,
                time: visit.since.elapsed(),
                first: None,
                first_piece: None,
                tokens: None,
                body: error.map(|error| &*error.message).or(text.as_deref()),
            });
        });
    }

    fn health(&self) -> Response {
        let mut health = json!({"status": "ok"});
        if self.health_verbose {
            let status = self.control.status();
            health = status.to_json(self.relay.timeout(), self.access.asks_for_keys());
            health["status"] = "ok".into();
            health["service"] = env!("CARGO_PKG_NAME").into();
            health["version"] = env!("CARGO_PKG_VERSION").into();
        }
        Response::json(200, health.to_string().into_bytes())
    }

    fn ready(&self) -> Result<Response, ApiError> {
        if self.control.is_draining() {
            return Err(ApiError::draining());
        }
        match self.relay.hosts.choose() {
            Ok(way) => {
                let ready = json!({"status": "ready", "backend": way.name()});
                Ok(Response::json(200, ready.to_string().into_bytes()))
            }
            Err(failure) => Err(ApiError::of_failure(&failure, None)),
        }
    }

    /// The figures, and how all is now.
    // What it needs of the stack must not lie below a request that waits.
    #[inline(never)]
    fn metrics(&self) -> Response {
        let Relay { hosts, places, records, .. } = &*self.relay;
        let audit = records.audit.counts();
        let now = Now {
            is_ready: !self.control.is_draining() && hosts.choose().is_ok(),
            is_draining: self.control.is_draining(),
            in_flight: places.taken(),
            on_offer: hosts.offers.len(),
            in_line: hosts.sampling.turns.in_line(),
            hooks: hosts.sampling.hooks.count() + hosts.rounds.fetching.open_calls(),
            pulls: hosts.pull.fetching.open_calls(),
            connections: self.control.connections(),
            started: self.started,
            audit: audit.map(|(records, lost)| AuditNow {
                records,
                lost,
                is_failing: self.relay.records.audit.is_failing(),
            }),
        };
        let headers = vec![("Content-Type", metrics::TYPE.into())];
        Response { status: 200, headers, body: records.metrics.write(&now).into_bytes() }
    }

    fn list(&self, head: &Head, visit: &Visit) -> Result<Response, ApiError> {
        let mut names = self.models();
        names.retain(|name| visit.caller.may_ask(name));
        let list = match dialect_of(head) {
            Dialect::OpenAi => models::list(&names, self.started),
            Dialect::Anthropic => models::page(&names, self.started, head.query)?,
        };
        Ok(Response::json(200, list))
    }

    /// Gives a stored response, or forgets it.
    fn stored(&self, method: &str, id: &str, visit: &Visit) -> Result<Response, ApiError> {
        let (store, owner, now) = (&self.relay.store, visit.caller.owner(), Instant::now());
        let body = match method {
            "DELETE" => store.remove(id, owner, now).then(|| responses::deleted(id)),
            _ => store.get(id, owner, now).map(|kept| kept.response.clone()),
        };
        body.map(|body| Response::json(200, body)).ok_or_else(|| ApiError::no_response(id))
    }

    fn stored_input(&self, id: &str, query: &str, visit: &Visit) -> Result<Response, ApiError> {
        let kept = self.relay.store.get(id, visit.caller.owner(), Instant::now());
        let kept = kept.ok_or_else(|| ApiError::no_response(id))?;
        let ascending = query.split('&').any(|pair| pair == "order=asc");
        Ok(Response::json(200, responses::input_items(&kept, ascending)))
    }

    fn model(&self, id: &str, dialect: Dialect, visit: &Visit) -> Result<Response, ApiError> {
        let id = models::decode(id).ok_or_else(|| ApiError::no_model(id))?;
        match self.models().contains(&id) {
            true if !visit.caller.may_ask(&id) => Err(api_error(&Refused::Model(id))),
            true => Ok(Response::json(200, models::one(&id, self.started, dialect))),
            false => Err(ApiError::no_model(&id)),
        }
    }

    /// Answers what does not ask the model.
    // What it needs of the stack must not lie below a request that waits.
    #[inline(never)]
    fn answer(
        &self,
        request: &Request,
        visit: &Visit,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        let head = &request.head;
        // The head was admitted, so its path is known.
        let Some(route) = Route::of(head.path) else {
            return responder.respond(&self.refused(Some(head), &ApiError::not_found(head.path)));
        };
        if head.method == "OPTIONS" {
            let headers: Headers = vec![("Allow", route.allow().into())];
            let mut response = Response { status: 204, headers, body: Vec::new() };
            response.headers.extend(self.access.cors(head, true));
            response.headers.push(("x-request-id", visit.id.to_string().into()));
            return responder.respond(&response);
        }
        let answer = match route {
            // It asks the model, and is carried by the relay before it comes here.
            Route::Ask(endpoint) => Err(ApiError::not_found(endpoint.path)),
            Route::CountTokens => messages::count_tokens(request.body)
                .map(|count| Response::json(200, count).with("x-mcp-usage", "estimated")),
            Route::Models => self.list(head, visit),
            Route::Model(id) => self.model(id, dialect_of(head), visit),
            Route::Hello => Ok(Response::json(200, br#"{"message":"hello"}"#.to_vec())),
            Route::Stored(id) => self.stored(head.method, id, visit),
            Route::StoredInput(id) => self.stored_input(id, head.query, visit),
            Route::Health => Ok(self.health()),
            Route::Ready => self.ready(),
            Route::Metrics => Ok(self.metrics()),
            Route::OpenApi => Ok(Response::json(200, OPENAPI.trim_end().into())),
            Route::Page => Ok(Page::html()),
            Route::Events => return self.events(head, visit, responder),
            Route::Exchange(id) => match &self.page {
                Some(page) => page.exchange(&self.relay, id),
                None => Err(ApiError::not_found(head.path)),
            },
        };
        let response = match answer {
            Err(error) => self.turned_away(head, request.body, visit, &error),
            Ok(mut response) => {
                let id = visit.id.to_string();
                response.headers.extend(id_headers(dialect_of(head), &id));
                response.headers.extend(self.access.cors(head, false));
                // What the page was told is in the audit file already.
                let text = Some(&*response.body).filter(|_| !route.is_of_page());
                self.take_down(head, request.body, visit, response.status, None, text);
                response
            }
        };
        responder.respond(&response)
    }

    /// Tells an open page what happens, for as long as it is open.
    #[inline(never)]
    fn events(&self, head: &Head, visit: &Visit, responder: &mut dyn Responder) -> io::Result<()> {
        let page = self.page.as_ref().ok_or_else(|| ApiError::not_found(head.path));
        let opened = page.and_then(|page| Ok((page, page.open(&self.relay)?)));
        let (page, reader) = match opened {
            Ok(opened) => opened,
            Err(error) => return responder.respond(&self.turned_away(head, &[], visit, &error)),
        };
        self.take_down(head, &[], visit, 200, None, None);
        let mut headers = id_headers(dialect_of(head), &visit.id.to_string());
        headers.extend(self.access.cors(head, false));
        page.stream(&self.relay, &reader, head, headers, responder)
    }
}

impl Service for Routes {
    // On the heap: what lies on the stack of a request that waits is paid for by the page.
    type Visit = Box<Visit>;

    // What it needs of the stack must not lie below a request that waits.
    #[inline(never)]
    fn admit(&self, head: &Head) -> Result<Box<Visit>, Response> {
        let refused = |error: ApiError| Err(self.refused(Some(head), &error));
        if let Err(why) = self.access.check_site(head) {
            return refused(api_error(&why));
        }
        let Some(route) = Route::of(head.path) else {
            return refused(ApiError::not_found(head.path));
        };
        if !route.allows(head.method) {
            let response =
                self.refused(Some(head), &ApiError::method_not_allowed(head.method, route.allow()));
            return Err(response.with("Allow", route.allow()));
        }
        if route.is_of_page() {
            if self.page.is_none() {
                return refused(ApiError::not_found(head.path));
            }
            if !matches!(route, Route::Page)
                && let Err(why) = Sites::check_own(head)
            {
                return refused(api_error(&why));
            }
        }
        let address = self.access.address(head);
        let (caller, may) = match scope_of(route) {
            Some(scope) if head.method != "OPTIONS" => self.access.identify(head, address, scope),
            _ => (Caller::Anybody(0), Ok(())),
        };
        let visit = Visit::new(caller, address);
        let turned_away = |error: ApiError| Err(self.turned_away(head, &[], &visit, &error));
        if let Err(why) = may {
            return turned_away(api_error(&why));
        }
        // Who watches needs the figures most while something is wrong.
        let is_watched = scope_of(route).is_some() && !matches!(route, Route::Metrics);
        if is_watched && self.relay.records.audit.refuses() {
            return turned_away(ApiError::no_audit());
        }
        let places = &self.relay.places;
        if route.asks() && head.method != "OPTIONS" {
            let Some(place) = places.take() else {
                let said = format!("{} requests are waiting for the model already", places.bound);
                let failure = Failure::new(FailureKind::Busy, said);
                return turned_away(ApiError::of_failure(&failure, None));
            };
            visit.takes(place);
        }
        Ok(Box::new(visit))
    }

    fn handle(
        &self,
        request: &Request,
        visit: Box<Visit>,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        let head = &request.head;
        let mut responder = Counted::new(responder);
        let handled = match Route::of(head.path) {
            Some(Route::Ask(endpoint)) if head.method != "OPTIONS" => {
                visit.tells(self.access.cors(head, false));
                self.relay.complete(endpoint, request, &visit, &mut responder)
            }
            _ => self.answer(request, &visit, &mut responder),
        };
        self.relay.records.metrics.bytes(request.body.len(), responder.bytes);
        handled
    }

    fn refuse(&self, refusal: Refusal, head: Option<&Head>) -> Response {
        let error = match refusal {
            Refusal::Malformed(what) => ApiError::new(400, INVALID, "invalid_http", what),
            Refusal::TooSlow => {
                let said = "the request took too long to arrive";
                ApiError::new(408, INVALID, "request_timeout", said)
            }
            Refusal::BodyTooLarge(limit) => {
                let said =
                    format!("the body is over {limit} bytes; MODELTAP_MAX_BODY sets the limit");
                ApiError::new(413, INVALID, "request_too_large", said)
            }
            Refusal::HeadTooLarge => {
                let said = "the headers are too large or too many";
                ApiError::new(431, INVALID, "headers_too_large", said)
            }
            Refusal::NoMemory => {
                let said = "there is no memory for this body now; MODELTAP_MAX_BODY_MEMORY bounds \
                            that of all together; try again shortly";
                ApiError::new(503, SERVER, "overloaded", said)
            }
            Refusal::Full => {
                let said = "too many connections; try again shortly";
                ApiError::new(503, SERVER, "overloaded", said)
            }
            Refusal::Stopping => ApiError::new(503, SERVER, "overloaded", "the server is stopping"),
            Refusal::Bug => {
                ApiError::new(500, SERVER, "internal_error", "an internal error occurred")
            }
        };
        self.refused(head, &error)
    }

    fn report(&self, problem: &str) {
        self.relay.log.report(problem);
    }
}

/// What a token must be for on this route; `None` where no key is asked for.
pub fn scope_of(route: Route) -> Option<Scope> {
    Some(match route {
        Route::Ask(endpoint) => match endpoint.path {
            "/v1/messages" => Scope::Messages,
            "/v1/responses" => Scope::Responses,
            _ => Scope::Chat,
        },
        Route::CountTokens => Scope::Messages,
        Route::Stored(_) | Route::StoredInput(_) => Scope::Responses,
        Route::Models | Route::Model(_) => Scope::Models,
        Route::Metrics => Scope::Metrics,
        Route::Events | Route::Exchange(_) => Scope::Admin,
        Route::Hello | Route::Health | Route::Ready | Route::OpenApi | Route::Page => return None,
    })
}

/// The dialect that a client expects on a path that is no endpoint, or that it may not use.
fn dialect_of(head: &Head) -> Dialect {
    match Route::of(head.path) {
        Some(Route::Ask(endpoint)) => endpoint.dialect,
        Some(Route::CountTokens | Route::Hello) => Dialect::Anthropic,
        None if head.path.starts_with("/v1/messages/") => Dialect::Anthropic,
        _ if head.header("anthropic-version").is_some() => Dialect::Anthropic,
        _ => Dialect::OpenAi,
    }
}
