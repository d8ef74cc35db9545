//! An error of the API as a whole HTTP answer, with the headers that clients look for.

use crate::api::error::{ApiError, Dialect};
use crate::http::{Headers, Response};

/// The headers that tell a client the id of its request; Anthropic's clients know their own name
/// for it.
pub fn id_headers(dialect: Dialect, id: &str) -> Headers {
    let mut headers: Headers = vec![("x-request-id", id.to_owned().into())];
    if dialect == Dialect::Anthropic {
        headers.push(("request-id", id.to_owned().into()));
    }
    headers
}

/// An error as a whole answer to the request `id`. What is worth a second try says when.
pub fn error_response(error: &ApiError, dialect: Dialect, id: &str) -> Response {
    let mut response = Response::json(error.status, error.to_json(dialect, id));
    response.headers.extend(id_headers(dialect, id));
    let response = match (error.code, error.retry_after) {
        (_, Some(seconds)) => response.with("Retry-After", seconds.to_string()),
        ("overloaded", _) => response.with("Retry-After", "1"),
        ("no_model", _) => response.with("Retry-After", "5"),
        ("invalid_api_key", _) => response.with("WWW-Authenticate", "Bearer"),
        _ => response,
    };
    // The official SDKs try every 5xx again by themselves, and obey this header. Where a person has
    // to act first that only delays what they are told; after a timeout it asks the model again,
    // whom the first time was too short for.
    match (error.status, error.code) {
        (501 | 504, _) | (_, "no_model") => response.with("x-should-retry", "false"),
        _ => response,
    }
}
