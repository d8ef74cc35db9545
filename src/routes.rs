//! What is served at which path: the one implementation of the HTTP seam's [`Service`].

use crate::access::Access;
use crate::api::error::{ApiError, Dialect, INVALID, SERVER};
use crate::api::{Route, messages, models, responses};
use crate::chat::{Failure, FailureKind};
use crate::control::Control;
use crate::exchange::CallId;
use crate::http::{Head, Headers, Permit, Refusal, Request, Responder, Response, Service};
use crate::record::log::Rows;
use crate::relay::Relay;
use crate::reply::{error_response, id_headers};
use serde_json::json;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

/// The routes and what they need.
pub struct Routes {
    /// Carries what waits for the model.
    pub relay: Arc<Relay>,
    /// The guard.
    pub access: Arc<Access>,
    /// Where the HTTP side says how it is.
    pub control: Arc<Control>,
    /// How many requests wait for the model, and how many may.
    pub in_flight: (Arc<AtomicUsize>, usize),
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
        let id = CallId::random();
        let (log, status) = (&self.relay.log, error.status);
        let text = |rows: &mut Rows| rows.push("", &error.message);
        match head {
            Some(Head { peer, method, path, .. }) => {
                log.tx(format_args!("{id} {peer} {status} {method} {path}"), text);
            }
            None => log.tx(format_args!("{id} {status} {}", error.code), text),
        }
        let mut response =
            error_response(error, head.map_or(Dialect::OpenAi, dialect_of), &id.to_string());
        response.headers.extend(self.access.cors(false));
        response
    }

    fn health(&self) -> Response {
        let mut health = json!({"status": "ok"});
        if self.health_verbose {
            let status = self.control.status();
            health = status.to_json(self.relay.timeout(), self.access.has_key());
            health["status"] = "ok".into();
            health["service"] = env!("CARGO_PKG_NAME").into();
            health["version"] = env!("CARGO_PKG_VERSION").into();
        }
        Response::json(200, health.to_string().into_bytes())
    }

    fn ready(&self) -> Result<Response, ApiError> {
        match self.relay.hosts.choose() {
            Ok(way) => {
                let ready = json!({"status": "ready", "backend": way.name()});
                Ok(Response::json(200, ready.to_string().into_bytes()))
            }
            Err(failure) => Err(ApiError::of_failure(&failure, None)),
        }
    }

    fn list(&self, head: &Head) -> Result<Response, ApiError> {
        let names = self.models();
        let list = match dialect_of(head) {
            Dialect::OpenAi => models::list(&names, self.started),
            Dialect::Anthropic => models::page(&names, self.started, head.query)?,
        };
        Ok(Response::json(200, list))
    }

    /// Gives a stored response, or forgets it.
    fn stored(&self, method: &str, id: &str) -> Result<Response, ApiError> {
        let (store, now) = (&self.relay.store, Instant::now());
        let body = match method {
            "DELETE" => store.remove(id, now).then(|| responses::deleted(id)),
            _ => store.get(id, now).map(|kept| kept.response.clone()),
        };
        body.map(|body| Response::json(200, body)).ok_or_else(|| ApiError::no_response(id))
    }

    fn stored_input(&self, id: &str, query: &str) -> Result<Response, ApiError> {
        let kept = self.relay.store.get(id, Instant::now());
        let kept = kept.ok_or_else(|| ApiError::no_response(id))?;
        let ascending = query.split('&').any(|pair| pair == "order=asc");
        Ok(Response::json(200, responses::input_items(&kept, ascending)))
    }

    fn model(&self, id: &str, dialect: Dialect) -> Result<Response, ApiError> {
        let id = models::decode(id).ok_or_else(|| ApiError::no_model(id))?;
        match self.models().contains(&id) {
            true => Ok(Response::json(200, models::one(&id, self.started, dialect))),
            false => Err(ApiError::no_model(&id)),
        }
    }

    /// Answers what does not ask the model.
    // What it needs of the stack must not lie below a request that waits.
    #[inline(never)]
    fn answer(
        &self,
        route: Route,
        request: &Request,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        let head = &request.head;
        let answer = match route {
            // It asks the model, and is carried by the relay before it comes here.
            Route::Ask(endpoint) => Err(ApiError::not_found(endpoint.path)),
            Route::CountTokens => messages::count_tokens(request.body)
                .map(|count| Response::json(200, count).with("x-mcp-usage", "estimated")),
            Route::Models => self.list(head),
            Route::Model(id) => self.model(id, dialect_of(head)),
            Route::Hello => Ok(Response::json(200, br#"{"message":"hello"}"#.to_vec())),
            Route::Stored(id) => self.stored(head.method, id),
            Route::StoredInput(id) => self.stored_input(id, head.query),
            Route::Health => Ok(self.health()),
            Route::Ready => self.ready(),
        };
        let mut response = match answer {
            Ok(response) => response,
            Err(error) => return responder.respond(&self.refused(Some(head), &error)),
        };
        response.headers.extend(id_headers(dialect_of(head), &CallId::random().to_string()));
        response.headers.extend(self.access.cors(false));
        responder.respond(&response)
    }
}

impl Service for Routes {
    fn admit(&self, head: &Head) -> Result<Permit, Response> {
        let refused = |error: ApiError| Err(self.refused(Some(head), &error));
        let Some(route) = Route::of(head.path) else {
            return refused(ApiError::not_found(head.path));
        };
        if !route.allows(head.method) {
            let response =
                self.refused(Some(head), &ApiError::method_not_allowed(head.method, route.allow()));
            return Err(response.with("Allow", route.allow()));
        }
        if head.method == "OPTIONS" {
            return Ok(Permit::default());
        }
        if route.is_guarded()
            && let Err(why) = self.access.check(head)
        {
            return refused(ApiError::unauthorized(why));
        }
        if !route.asks() {
            return Ok(Permit::default());
        }
        let (taken, bound) = &self.in_flight;
        Permit::take(taken, *bound).ok_or_else(|| {
            let said = format!("{bound} requests are waiting for the model already");
            let failure = Failure::new(FailureKind::Busy, said);
            self.refused(Some(head), &ApiError::of_failure(&failure, None))
        })
    }

    fn handle(&self, request: &Request, responder: &mut dyn Responder) -> io::Result<()> {
        let head = &request.head;
        // The head was admitted, so its path is known.
        let Some(route) = Route::of(head.path) else {
            return responder.respond(&self.refused(Some(head), &ApiError::not_found(head.path)));
        };
        if head.method == "OPTIONS" {
            let headers: Headers = vec![("Allow", route.allow().into())];
            let mut response = Response { status: 204, headers, body: Vec::new() };
            response.headers.extend(self.access.cors(true));
            response.headers.push(("x-request-id", CallId::random().to_string().into()));
            return responder.respond(&response);
        }
        if let Route::Ask(endpoint) = route {
            let (tenant, cors) = (self.access.tenant(head), self.access.cors(false));
            return self.relay.complete(endpoint, request, tenant, cors, responder);
        }
        self.answer(route, request, responder)
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
