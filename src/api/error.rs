//! What a client is told when it gets no answer, in the envelope of its API.

use crate::chat::{Failure, FailureKind};
use serde::Serialize;
use serde_json::json;
use std::borrow::Cow;

/// Whose envelope an error is worded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `{"error":{message,type,param,code}}`
    OpenAi,
    /// `{"type":"error","error":{type,message},"request_id"}`
    Anthropic,
}

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// `error.type`
    pub kind: &'static str,
    /// `error.code`
    pub code: &'static str,
    /// `error.param`: the field of the request that is wrong.
    pub param: Option<String>,
    /// `error.message`
    pub message: String,
    /// `Retry-After` in seconds, where it is known better than by the code.
    pub retry_after: Option<u64>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Body<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// `error.type` of what the client did wrong.
pub const INVALID: &str = "invalid_request_error";
/// `error.code` of a prompt that is longer than the model, or this bridge, takes.
pub const TOO_LONG: &str = "context_length_exceeded";
/// `error.code`, and Anthropic's `error.details.error_code`, of a request that is to be sent again
/// with the whole conversation; its official clients then do so.
const NO_THREAD: &str = "thread_not_found";
/// `error.type` of what went wrong behind it.
pub const SERVER: &str = "server_error";

impl ApiError {
    /// An error about no field in particular.
    pub fn new(
        status: u16,
        kind: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        ApiError { status, kind, code, param: None, message: message.into(), retry_after: None }
    }

    /// 400: the field `param` is wrong.
    pub fn field(param: impl Into<String>, message: impl Into<String>) -> Self {
        let error = ApiError::new(400, INVALID, "invalid_request", message);
        ApiError { param: Some(param.into()), ..error }
    }

    /// 400: the field `param` asks for what this bridge does not do.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        ApiError { code: "unsupported_parameter", ..ApiError::field(param, message) }
    }

    /// 404: no such conversation; the messages API's clients then send theirs whole.
    pub fn no_thread() -> Self {
        let said = "this bridge holds no threads: send the full conversation";
        ApiError {
            param: Some("thread.previous_message_id".into()),
            ..ApiError::new(404, INVALID, NO_THREAD, said)
        }
    }

    /// 400: the body is not JSON.
    pub fn invalid_json(message: impl Into<String>) -> Self {
        ApiError::new(400, INVALID, "invalid_json", message)
    }

    /// 503: the audit file cannot be written, and nothing may go unrecorded.
    pub fn no_audit() -> Self {
        let said = "the audit file cannot be written, and nothing is served without it \
                    (MODELTAP_AUDIT_REQUIRED); whoever runs this bridge is told why on its stderr";
        let error = ApiError::new(503, SERVER, "audit_unavailable", said);
        ApiError { retry_after: Some(5), ..error }
    }

    /// 503: it is going.
    pub fn draining() -> Self {
        let said = "this bridge was told to end: ask another one";
        let error = ApiError::new(503, SERVER, "draining", said);
        ApiError { retry_after: Some(1), ..error }
    }

    /// 404: no such path.
    pub fn not_found(path: &str) -> Self {
        let message = format!("there is nothing at {path}; the API is under /v1");
        ApiError::new(404, INVALID, "not_found", message)
    }

    /// 404: no such model.
    pub fn no_model(id: &str) -> Self {
        let message = format!("the model {id:?} is not listed; GET /v1/models lists what is");
        ApiError {
            param: Some("model".into()),
            ..ApiError::new(404, INVALID, "model_not_found", message)
        }
    }

    /// 404: no such response is kept.
    pub fn no_response(id: &str) -> Self {
        let message = format!("the response {id:?} is not kept here, or not any more");
        ApiError {
            param: Some("response_id".into()),
            ..ApiError::new(404, INVALID, "response_not_found", message)
        }
    }

    /// 404: nothing is known of such a request.
    pub fn no_exchange(id: &str) -> Self {
        let message = format!("nothing is known of the request {id:?} here, or not any more");
        ApiError::new(404, INVALID, "exchange_not_found", message)
    }

    /// 405: the path does not take the method.
    pub fn method_not_allowed(method: &str, allow: &str) -> Self {
        let message = format!("{method} is not allowed here; allowed: {allow}");
        ApiError::new(405, INVALID, "method_not_allowed", message)
    }

    /// What became of a request on its way through `way`.
    pub fn of_failure(failure: &Failure, way: Option<&str>) -> Self {
        // The codes of one ancestor, for whoever matches on them.
        let channel = way == Some("channel");
        let (status, kind, code) = match failure.kind {
            FailureKind::Invalid => (400, INVALID, "invalid_request"),
            FailureKind::Denied => (403, "permission_error", "host_denied"),
            FailureKind::Unsupported => (501, SERVER, "host_unsupported"),
            FailureKind::Upstream | FailureKind::Stopped if channel => {
                (502, "upstream_error", "claude_channel_error")
            }
            FailureKind::Upstream | FailureKind::Stopped => (502, "upstream_error", "host_error"),
            FailureKind::Unavailable => (503, SERVER, "no_model"),
            FailureKind::Busy => (503, SERVER, "overloaded"),
            FailureKind::TooLong => (400, INVALID, TOO_LONG),
            FailureKind::Misformed => (502, "upstream_error", "answer_misformed"),
            FailureKind::Timeout if channel => (504, "timeout_error", "claude_reply_timeout"),
            FailureKind::Timeout => (504, "timeout_error", "host_timeout"),
        };
        let error = ApiError::new(status, kind, code, failure.message.clone());
        ApiError { retry_after: failure.retry_after, ..error }
    }

    /// The envelope as JSON text; `id` is the request's, which only Anthropic's repeats.
    pub fn to_json(&self, dialect: Dialect, id: &str) -> Vec<u8> {
        match dialect {
            Dialect::OpenAi => {
                let (kind, code) = (self.kind, self.code);
                let message = &self.openai_message();
                let error = Body { message, kind, param: self.param.as_deref(), code };
                serde_json::to_vec(&Envelope { error })
            }
            Dialect::Anthropic => {
                let mut error =
                    json!({"type": self.anthropic_type(), "message": self.anthropic_message()});
                if self.code == NO_THREAD {
                    error["details"] = json!({"error_code": NO_THREAD});
                }
                serde_json::to_vec(&json!({"type": "error", "error": error, "request_id": id}))
            }
        }
        .unwrap_or_default()
    }

    /// The message; of an over-long prompt with the words by which LiteLLM, and in a stream LangChain,
    /// tell it from other errors, since they don't look at the code.
    fn openai_message(&self) -> Cow<'_, str> {
        let message = &self.message;
        match self.code {
            TOO_LONG => {
                let words = "this exceeds the context window, the model's maximum context limit";
                format!("{message} ({words})").into()
            }
            _ => message.into(),
        }
    }

    /// The message, and what OpenAI's envelope has fields for: the path of the wrong field in front,
    /// as `messages.0.content.1`, and of an over-long prompt the words that agents look for.
    fn anthropic_message(&self) -> String {
        let mut message = self.message.clone();
        if self.code == TOO_LONG {
            if !message.contains("prompt is too long") {
                message.insert_str(0, "prompt is too long: ");
            }
            message.push_str(" (capability_rejected: prompt_too_long)");
        }
        match self.param.as_deref() {
            Some(param) if !param.is_empty() => {
                format!("{}: {message}", param.replace('[', ".").replace(']', ""))
            }
            _ => message,
        }
    }

    fn anthropic_type(&self) -> &'static str {
        match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            504 => "timeout_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FailureKind::*;
    use super::*;
    use serde_json::Value;

    #[test]
    fn each_kind_of_failure_has_a_status_and_anthropics_type() {
        for (kind, status, expected) in [
            (Invalid, 400, "invalid_request_error"),
            (Denied, 403, "permission_error"),
            (Unsupported, 501, "api_error"),
            (Upstream, 502, "api_error"),
            (Stopped, 502, "api_error"),
            (Unavailable, 503, "overloaded_error"),
            (Busy, 503, "overloaded_error"),
            (TooLong, 400, "invalid_request_error"),
            (Misformed, 502, "api_error"),
            (Timeout, 504, "timeout_error"),
        ] {
            let error = ApiError::of_failure(&Failure::new(kind, "why"), None);
            let body: Value =
                serde_json::from_slice(&error.to_json(Dialect::Anthropic, "7")).unwrap();
            assert_eq!((error.status, &body["error"]["type"]), (status, &json!(expected)));
            assert_eq!((&body["type"], &body["request_id"]), (&json!("error"), &json!("7")));
            let said = body["error"]["message"].as_str().unwrap();
            match kind {
                TooLong => assert_eq!(
                    said,
                    "prompt is too long: why (capability_rejected: prompt_too_long)"
                ),
                _ => assert_eq!(said, "why"),
            }
        }
    }

    #[test]
    fn an_over_long_prompt_is_told_to_openais_clients_in_their_words() {
        let error = ApiError::of_failure(&Failure::new(TooLong, "why"), None);
        let body: Value = serde_json::from_slice(&error.to_json(Dialect::OpenAi, "7")).unwrap();
        assert_eq!(body["error"]["code"], "context_length_exceeded");
        let said = body["error"]["message"].as_str().unwrap();
        for words in ["why", "exceeds the context window", "model's maximum context limit"] {
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn anthropics_message_begins_with_the_path() {
        for (param, message) in [
            ("", "wrong"),
            ("top_k", "top_k: wrong"),
            ("messages[0].content[12].source", "messages.0.content.12.source: wrong"),
        ] {
            assert_eq!(ApiError::field(param, "wrong").anthropic_message(), message);
        }
    }
}
