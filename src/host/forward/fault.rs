//! What went wrong at an endpoint, as a [`Failure`] that says what to do. Pure: statuses and texts
//! in, failures out.

use super::super::sampling::is_too_long;
use super::target::Target;
use crate::chat::{Failure, FailureKind};
use serde_json::Value;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};
use ureq::Timeout;

/// How much of an endpoint's words is passed on, in characters.
const TOLD: usize = 1000;
/// The longest wait before a next try that is believed, in seconds.
const LONGEST_WAIT: u64 = 24 * 60 * 60;

/// The endpoint answered with a status that is no success. `again` is its `Retry-After` or, of a
/// redirect, its `Location`.
pub fn refused(status: u16, header: Option<&str>, body: &[u8], has_key: bool) -> Failure {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let told = json.as_ref().and_then(message_of);
    match (status, &told) {
        (300..=399, _) => {
            let to = header.map_or_else(String::new, |place| format!(" to {:?}", cut(place)));
            let said = format!(
                "the forward endpoint redirects{to} ({status}), which is not followed: set \
                 --forward to where it is"
            );
            return Failure::new(FailureKind::Upstream, said);
        }
        (401 | 403, _) => return wrong_key(status, has_key),
        (404 | 405, None) => {
            let said = format!(
                "there is no chat/completions at the forward endpoint ({status}): is --forward its \
                 URL up to and with /v1?"
            );
            return Failure::new(FailureKind::Upstream, said);
        }
        _ => {}
    }
    let words = told.unwrap_or_else(|| cut(&String::from_utf8_lossy(body)));
    let code = json.as_ref().map_or("", |json| code_of(json));
    let retry_after = header.and_then(seconds).filter(|_| matches!(status, 429 | 503));
    Failure { retry_after, ..worded(status, code, &words) }
}

/// The `error` that stands within an answer whose status was good.
pub fn told(error: &Value) -> Failure {
    let status = error.get("code").or_else(|| error.get("status")).and_then(Value::as_u64);
    let status = status.and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
    let words = message_of(error).unwrap_or_else(|| cut(&error.to_string()));
    if matches!(status, 401 | 403) {
        return wrong_key(status, true);
    }
    worded(status, code_of(error), &words)
}

/// Endpoints repeat a wrong key in part, so that their own words are not passed on.
fn wrong_key(status: u16, has_key: bool) -> Failure {
    let said = match has_key {
        true => format!(
            "the forward endpoint does not take the key that it is sent ({status}): set \
             MODELTAP_FORWARD_KEY to one that may use this model"
        ),
        false => format!(
            "the forward endpoint asks for a key ({status}): set MODELTAP_FORWARD_KEY to it"
        ),
    };
    Failure::new(FailureKind::Upstream, said)
}

fn worded(status: u16, code: &str, words: &str) -> Failure {
    let kind = match status {
        400..=499 if code == "context_length_exceeded" || is_too_long(words) => {
            FailureKind::TooLong
        }
        _ if code == "context_length_exceeded" => FailureKind::TooLong,
        408 | 504 => FailureKind::Timeout,
        429 => FailureKind::Busy,
        400 | 404 | 405 | 413 | 415 | 422 => FailureKind::Invalid,
        _ => FailureKind::Upstream,
    };
    let words = if words.is_empty() { "it does not say why" } else { words };
    Failure::new(kind, format!("the forward endpoint refused: {words} ({status})"))
}

/// The sentence in an error, of the shapes that are about.
fn message_of(error: &Value) -> Option<String> {
    let inner = error.get("error").unwrap_or(error);
    let said = [inner.get("message"), inner.get("detail"), error.get("message"), Some(inner)];
    let said = said.into_iter().flatten().find_map(Value::as_str);
    said.filter(|said| !said.trim().is_empty()).map(cut)
}

fn code_of(error: &Value) -> &str {
    let inner = error.get("error").unwrap_or(error);
    inner.get("code").and_then(Value::as_str).unwrap_or_default()
}

/// The beginning of a text, on one line.
fn cut(text: &str) -> String {
    let text = text.trim().chars().take(TOLD);
    text.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `Retry-After` in seconds: a number, or a date (RFC 9110, section 10.2.3).
fn seconds(text: &str) -> Option<u64> {
    let seconds = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = httpdate::parse_http_date(text.trim()).ok()?;
            date.duration_since(SystemTime::now()).map_or(0, |wait| wait.as_secs() + 1)
        }
    };
    Some(seconds.min(LONGEST_WAIT))
}

/// The connection did not come about, or broke.
pub fn broken(error: ureq::Error, target: &Target) -> Failure {
    let origin = target.url.origin();
    let time = |time: Duration| humantime::format_duration(time).to_string();
    let (kind, said) = match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => (
            FailureKind::Timeout,
            format!(
                "{origin} cannot be reached within {}; MODELTAP_FORWARD_CONNECT_TIMEOUT sets how \
                 long to try",
                time(target.connect)
            ),
        ),
        ureq::Error::Timeout(Timeout::Global) => {
            (FailureKind::Timeout, format!("{origin} has not ended its answer in time"))
        }
        ureq::Error::Timeout(_) => (
            FailureKind::Timeout,
            format!(
                "{origin} was silent for {}; MODELTAP_FORWARD_TIMEOUT sets how long it may be",
                time(target.silence)
            ),
        ),
        ureq::Error::HostNotFound => {
            (FailureKind::Upstream, format!("{origin} cannot be reached: no such host"))
        }
        ureq::Error::Io(e) => match e.kind() {
            ErrorKind::ConnectionRefused => (
                FailureKind::Upstream,
                format!("{origin} cannot be reached: nothing listens there; is it running?"),
            ),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof => (
                FailureKind::Upstream,
                format!("{origin} closed the connection in the middle of its answer"),
            ),
            _ => (FailureKind::Upstream, format!("{origin} failed: {e}")),
        },
        e => (FailureKind::Upstream, format!("{origin} failed: {e}")),
    };
    Failure::new(kind, format!("the forward endpoint {said}"))
}

#[cfg(test)]
mod tests {
    use super::FailureKind::*;
    use super::*;
    use serde_json::json;

    #[test]
    fn each_status_has_its_kind_and_passes_on_the_words() {
        let openai = json!({"error": {"message": "Odd.", "type": "t", "code": null}}).to_string();
        let text = json!({"error": "Odd."}).to_string();
        let vllm = json!({"object": "error", "message": "Odd.", "code": 400}).to_string();
        let fastapi = json!({"detail": "Odd."}).to_string();
        for (status, kind) in [
            (400, Invalid),
            (402, Upstream),
            (404, Invalid),
            (408, Timeout),
            (413, Invalid),
            (422, Invalid),
            (429, Busy),
            (500, Upstream),
            (503, Upstream),
            (504, Timeout),
        ] {
            for body in [&openai, &text, &vllm, &fastapi] {
                let failure = refused(status, None, body.as_bytes(), true);
                let said = format!("the forward endpoint refused: Odd. ({status})");
                assert_eq!(failure, Failure::new(kind, said), "{body}");
            }
        }
        let plain = refused(500, None, b"Bad\r\ngateway", true);
        assert!(plain.message.contains("Bad  gateway"), "{}", plain.message);
        assert!(refused(500, None, b"", true).message.contains("does not say why"));
        let long = refused(400, None, "ä".repeat(5000).as_bytes(), true);
        assert!(long.message.chars().count() < TOLD + 100);
    }

    #[test]
    fn what_needs_a_person_says_what_to_do() {
        let key = json!({"error": {"message": "Incorrect API key: sk-1***9"}}).to_string();
        for (status, header, body, has_key, words) in [
            (401, None, key.as_str(), true, "does not take the key"),
            (403, None, key.as_str(), true, "does not take the key"),
            (401, None, key.as_str(), false, "asks for a key"),
            (404, None, "404 page not found", true, "no chat/completions"),
            (405, None, "", true, "no chat/completions"),
            (301, Some("https://h/v1"), "", true, "\"https://h/v1\""),
            (307, None, "", true, "not followed"),
        ] {
            let failure = refused(status, header, body.as_bytes(), has_key);
            assert_eq!(failure.kind, Upstream);
            assert!(failure.message.contains(words), "{}", failure.message);
            assert!(!failure.message.contains("sk-1"), "{}", failure.message);
        }
    }

    #[test]
    fn a_prompt_that_is_too_long_is_known_by_code_or_words() {
        for (status, error) in [
            (400, json!({"message": "Odd.", "code": "context_length_exceeded"})),
            (400, json!({"message": "This model's maximum context length is 4096 tokens."})),
            (413, json!("prompt is too long")),
        ] {
            let body = json!({"error": error}).to_string();
            assert_eq!(refused(status, None, body.as_bytes(), true).kind, TooLong);
        }
        let failure = told(&json!({"message": "Odd.", "code": "context_length_exceeded"}));
        assert_eq!(failure.kind, TooLong);
    }

    #[test]
    fn an_error_in_a_stream_may_tell_a_status() {
        for (error, kind) in [
            (json!({"message": "Odd.", "code": 429}), Busy),
            (json!({"message": "Odd.", "code": 504}), Timeout),
            (json!({"message": "Odd.", "code": "odd"}), Upstream),
            (json!({"message": "Odd.", "code": 70000}), Upstream),
            (json!("Odd."), Upstream),
            (json!({"Odd.": 1}), Upstream),
        ] {
            let failure = told(&error);
            assert_eq!(failure.kind, kind, "{error}");
            assert!(failure.message.contains("Odd."), "{}", failure.message);
        }
        assert!(told(&json!({"message": "sk-1", "code": 401})).message.contains("the key"));
    }

    #[test]
    fn a_wait_is_read_as_seconds_or_a_date() {
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let past = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH);
        let wait = |header: &str, status| refused(status, Some(header), b"", true).retry_after;
        assert_eq!(wait("7", 429), Some(7));
        assert_eq!(wait("7", 503), Some(7));
        assert_eq!(wait("7", 500), None);
        assert_eq!(wait("99999999", 429), Some(LONGEST_WAIT));
        assert_eq!(wait("soon", 429), None);
        assert_eq!(wait(&past, 429), Some(0));
        assert!((80..=91).contains(&wait(&soon, 429).unwrap()));
    }
}
