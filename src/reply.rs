//! An error of the API as a whole HTTP answer, with the headers that clients look for.

use crate::access::limits::{Budget, Standing};
use crate::access::refused::Refused;
use crate::api::error::{ApiError, Dialect};
use crate::clock;
use crate::http::{Headers, Response};
use std::time::Duration;

/// The headers that tell a client the id of its request; Anthropic's clients know their own name
/// for it.
pub fn id_headers(dialect: Dialect, id: &str) -> Headers {
    let mut headers: Headers = vec![("x-request-id", id.to_owned().into())];
    if dialect == Dialect::Anthropic {
        headers.push(("request-id", id.to_owned().into()));
    }
    headers
}

/// What the guard says, as an error of the API.
pub fn api_error(refused: &Refused) -> ApiError {
    let (kind, code) = refused.kind_and_code();
    let seconds = refused.retry_after().map(seconds);
    let param = matches!(refused, Refused::Model(_)).then(|| "model".into());
    let error = ApiError::new(refused.status(), kind, code, refused.to_string());
    ApiError { param, retry_after: seconds, ..error }
}

/// Whole seconds, at least one, that are not too short.
fn seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

/// How a caller stands to his limits, in the headers of each API. OpenAI's tell how long it takes
/// until a limit is whole again, Anthropic's at what time it is.
pub fn standing_headers(dialect: Dialect, standing: &Standing) -> Headers {
    let names = match dialect {
        Dialect::OpenAi => [
            [
                "x-ratelimit-limit-requests",
                "x-ratelimit-remaining-requests",
                "x-ratelimit-reset-requests",
            ],
            [
                "x-ratelimit-limit-tokens",
                "x-ratelimit-remaining-tokens",
                "x-ratelimit-reset-tokens",
            ],
        ],
        Dialect::Anthropic => [
            [
                "anthropic-ratelimit-requests-limit",
                "anthropic-ratelimit-requests-remaining",
                "anthropic-ratelimit-requests-reset",
            ],
            [
                "anthropic-ratelimit-tokens-limit",
                "anthropic-ratelimit-tokens-remaining",
                "anthropic-ratelimit-tokens-reset",
            ],
        ],
    };
    let mut headers = Headers::new();
    for (budget, [limit, remaining, reset]) in
        [standing.requests, standing.tokens].into_iter().zip(names)
    {
        let Some(Budget { limit: all, remaining: left, reset: time }) = budget else { continue };
        headers.push((limit, all.to_string().into()));
        headers.push((remaining, left.to_string().into()));
        let Some(time) = time else { continue };
        let text = match dialect {
            Dialect::OpenAi => openai_time(time),
            Dialect::Anthropic => {
                let at = clock::within(clock::now() + Duration::from_secs(seconds(time)));
                humantime::format_rfc3339_seconds(at).to_string()
            }
        };
        headers.push((reset, text.into()));
    }
    headers
}

/// A time as OpenAI's headers have it: `20ms`, `1.5s`, `6m0s`, `23h59m59s`.
fn openai_time(time: Duration) -> String {
    let (all, millis) = (time.as_secs(), time.subsec_millis());
    let (hours, minutes, seconds) = (all / 3600, all / 60 % 60, all % 60);
    match (hours, minutes, seconds, millis) {
        (0, 0, 0, _) => format!("{millis}ms"),
        (0, 0, _, 0) => format!("{seconds}s"),
        (0, 0, ..) => format!("{:.3}s", time.as_secs_f64()),
        (0, ..) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// An error as a whole answer to the request `id`. What is worth a second try says when.
pub fn error_response(error: &ApiError, dialect: Dialect, id: &str) -> Response {
    let mut response = Response::json(error.status, error.to_json(dialect, id));
    response.headers.extend(id_headers(dialect, id));
    let response = match (error.code, error.retry_after) {
        (_, Some(seconds)) => response.with("Retry-After", seconds.to_string()),
        ("overloaded", _) => response.with("Retry-After", "1"),
        ("no_model", _) => response.with("Retry-After", "5"),
        _ if error.status == 401 => response.with("WWW-Authenticate", "Bearer"),
        _ => response,
    };
    // The official SDKs try every 5xx again by themselves, and obey this header. Where a person has
    // to act first that only delays what they are told; after a timeout it asks the model again,
    // whom the first time was too short for.
    match (error.status, error.code) {
        (501 | 504, _) | (_, "no_model" | "insufficient_quota") => {
            response.with("x-should-retry", "false")
        }
        _ => response,
    }
}
