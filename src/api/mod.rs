//! The dialects of HTTP: bytes to [`crate::chat::Ask`], [`crate::chat::Event`]s to bytes.
//!
//! Everything here is pure: no socket, no clock, no global. Times and ids are handed in.

pub mod body;
pub mod chat_completions;
pub mod completions;
pub mod error;
pub mod messages;
pub mod models;
pub mod openapi;
pub mod responses;

use crate::chat::{Ask, Choice, Event, Usage};
use error::{ApiError, Dialect};
use std::sync::Arc;

/// What a request is read with.
pub struct Context<'c> {
    /// The request's id, 32 hexadecimal digits; the ids of objects are made from it.
    pub id: String,
    /// Unix time in seconds.
    pub created: u64,
    /// The most characters that one message may have.
    pub message_chars: Option<usize>,
    /// Looks up a stored response by its id.
    pub stored: &'c dyn Fn(&str) -> Option<Arc<Kept>>,
}

/// What is kept of an answer for later requests that refer to it.
#[derive(Debug)]
pub struct Kept {
    /// The answer's id.
    pub id: String,
    /// The answer as it was sent, JSON text.
    pub response: Vec<u8>,
    /// The conversation up to and with the answer: a JSON array of items.
    pub conversation: String,
    /// How many of these items went in; those behind them are the answer.
    pub inputs: usize,
}

/// A route that asks the model, and how its bodies are read.
pub struct Endpoint {
    /// Its path.
    pub path: &'static str,
    /// Whose envelope its errors have.
    pub dialect: Dialect,
    /// Reads a body.
    pub parse: for<'a> fn(&'a [u8], &Context) -> Result<Parsed<'a>, ApiError>,
}

/// The endpoints.
pub static ENDPOINTS: [Endpoint; 4] = [
    Endpoint {
        path: "/v1/chat/completions",
        dialect: Dialect::OpenAi,
        parse: chat_completions::parse,
    },
    Endpoint { path: "/v1/messages", dialect: Dialect::Anthropic, parse: messages::parse },
    Endpoint { path: "/v1/responses", dialect: Dialect::OpenAi, parse: responses::parse },
    Endpoint { path: "/v1/completions", dialect: Dialect::OpenAi, parse: completions::parse },
];

/// A request, understood, and the one who can word its answer.
pub struct Parsed<'a> {
    /// What is asked of the model.
    pub ask: Ask<'a>,
    /// How many answers are wanted, 1 to 8.
    pub choices: usize,
    /// Words the answer in the request's dialect.
    pub encoder: Box<dyn Encoder + 'a>,
}

/// Words an answer in one dialect: either [`Encoder::whole`], or [`Encoder::open`], events and
/// [`Encoder::close`]. The methods of a stream append whole server-sent events to `out`.
pub trait Encoder {
    /// The whole answer as JSON text.
    fn whole(&mut self, choices: &[Choice], usage: Usage) -> Vec<u8>;
    /// What begins a stream; of the usage only the prompt is known.
    fn open(&mut self, usage: Usage, out: &mut Vec<u8>);
    /// An event of one choice. [`Event::Failed`] has none: see [`Encoder::error`].
    fn event(&mut self, choice: usize, event: &Event, out: &mut Vec<u8>);
    /// What ends a stream whose choices have all come to their end.
    fn close(&mut self, choices: &[Choice], usage: Usage, out: &mut Vec<u8>);
    /// What ends a stream that cannot be completed.
    fn error(&mut self, error: &ApiError, out: &mut Vec<u8>);
    /// What keeps a silent stream open.
    fn keep_alive(&self) -> &'static [u8] {
        b": keep-alive\n\n"
    }
    /// What is to be kept for later requests that refer to this answer. Asked once the answer is
    /// whole.
    fn to_store(&mut self) -> Option<Kept> {
        None
    }
}

/// Where a request goes.
#[derive(Clone, Copy)]
pub enum Route<'a> {
    /// `POST` to one of [`ENDPOINTS`]
    Ask(&'static Endpoint),
    /// `POST /v1/messages/count_tokens`, which asks nobody
    CountTokens,
    /// `GET` and `DELETE /v1/responses/{id}`
    Stored(&'a str),
    /// `GET /v1/responses/{id}/input_items`
    StoredInput(&'a str),
    /// `GET /v1/models`
    Models,
    /// `GET /v1/models/{id}`, the id still percent-encoded
    Model(&'a str),
    /// `GET /api/hello`: is this Anthropic's API?
    Hello,
    /// `GET /health`: is the process alive?
    Health,
    /// `GET /ready`: is there a model behind it?
    Ready,
    /// `GET /metrics`: figures for Prometheus
    Metrics,
    /// `GET /openapi.json`: what is all this?
    OpenApi,
    /// `GET /`: the page that shows what the bridge is doing
    Page,
    /// `GET /v1/events`: what that page shows, as it happens
    Events,
    /// `GET /v1/exchanges/{id}`: all that is known of one request
    Exchange(&'a str),
}

/// The routes as people write them, in the order of [`Route`].
pub const ROUTES: [&str; 18] = [
    "POST /v1/chat/completions",
    "POST /v1/messages",
    "POST /v1/messages/count_tokens",
    "POST /v1/responses",
    "POST /v1/completions",
    "GET /v1/responses/{id}",
    "DELETE /v1/responses/{id}",
    "GET /v1/responses/{id}/input_items",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "GET /api/hello",
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "GET /openapi.json",
    "GET /",
    "GET /v1/events",
    "GET /v1/exchanges/{id}",
];

impl<'a> Route<'a> {
    /// The route of a path; `None` for a path that is not served.
    pub fn of(path: &'a str) -> Option<Self> {
        if let Some(endpoint) = ENDPOINTS.iter().find(|endpoint| endpoint.path == path) {
            return Some(Route::Ask(endpoint));
        }
        if let Some(id) = path.strip_prefix("/v1/responses/") {
            return match id.split_once('/') {
                None if !id.is_empty() => Some(Route::Stored(id)),
                Some((id, "input_items")) if !id.is_empty() => Some(Route::StoredInput(id)),
                _ => None,
            };
        }
        Some(match path {
            "/v1/messages/count_tokens" => Route::CountTokens,
            "/v1/models" => Route::Models,
            "/api/hello" => Route::Hello,
            "/health" => Route::Health,
            "/ready" => Route::Ready,
            "/metrics" => Route::Metrics,
            "/openapi.json" => Route::OpenApi,
            "/" => Route::Page,
            "/v1/events" => Route::Events,
            _ => {
                let below = |folder| path.strip_prefix(folder).filter(|id| !id.is_empty());
                match (below("/v1/models/"), below("/v1/exchanges/")) {
                    (Some(id), _) => Route::Model(id),
                    (_, Some(id)) => Route::Exchange(id),
                    _ => return None,
                }
            }
        })
    }

    /// The methods it takes, as the header `Allow` has them.
    pub fn allow(self) -> &'static str {
        match self {
            Route::Ask(_) | Route::CountTokens => "POST, OPTIONS",
            Route::Stored(_) => "GET, HEAD, DELETE, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// Whether it takes `method`.
    pub fn allows(self, method: &str) -> bool {
        self.allow().split(", ").any(|allowed| allowed == method)
    }

    /// Its path as [`ROUTES`] has it.
    pub fn path(self) -> &'static str {
        match self {
            Route::Ask(endpoint) => endpoint.path,
            Route::CountTokens => "/v1/messages/count_tokens",
            Route::Stored(_) => "/v1/responses/{id}",
            Route::StoredInput(_) => "/v1/responses/{id}/input_items",
            Route::Models => "/v1/models",
            Route::Model(_) => "/v1/models/{id}",
            Route::Hello => "/api/hello",
            Route::Health => "/health",
            Route::Ready => "/ready",
            Route::Metrics => "/metrics",
            Route::OpenApi => "/openapi.json",
            Route::Page => "/",
            Route::Events => "/v1/events",
            Route::Exchange(_) => "/v1/exchanges/{id}",
        }
    }

    /// Whether it only tells whether and what we are.
    pub fn is_probe(self) -> bool {
        matches!(self, Route::Hello | Route::Health | Route::Ready | Route::OpenApi | Route::Page)
    }

    /// Whether it is part of the page that shows what the bridge is doing.
    pub fn is_of_page(self) -> bool {
        matches!(self, Route::Page | Route::Events | Route::Exchange(_))
    }

    /// Whether a request on it waits for the model.
    pub fn asks(self) -> bool {
        matches!(self, Route::Ask(_))
    }
}
