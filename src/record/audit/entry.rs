//! What is told of a request: the members of its records, as JSON text. Pure.

use super::Policy;
use super::chain::push_number;
use crate::clock;
use crate::exchange::CallId;
use crate::record::address::Address;
use humantime::Rfc3339Timestamp;
use std::borrow::Cow;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Who asks for what. What is `None` is not written.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The request, in both of its records.
    pub id: CallId,
    /// The name of the token that let it in.
    pub token: Option<&'a str>,
    /// The fingerprint of the key that came, never the key.
    pub key: Option<&'a str>,
    /// Where the client is.
    pub address: Option<IpAddr>,
    /// How the client calls itself: `user-agent`.
    pub client: Option<&'a str>,
    /// `x-claude-code-session-id`.
    pub session: Option<&'a str>,
    /// Such as `POST`.
    pub method: Option<&'a str>,
    /// The path.
    pub route: &'a str,
    /// The path as the list of routes has it, such as `/v1/models/{id}`; of what is not served, `other`.
    pub endpoint: &'static str,
    /// Whether somebody only looks whether we are there, which is no news, and happens often.
    pub is_probe: bool,
    /// The model, as the client named it.
    pub model: Option<&'a str>,
    /// Whether a stream is wanted.
    pub stream: Option<bool>,
}

/// A request as it came.
#[derive(Debug, Clone, Copy)]
pub struct Rx<'a> {
    /// Who asks for what.
    pub asked: Asked<'a>,
    /// The raw body.
    pub body: &'a [u8],
}

/// How a request was answered. `asked` repeats what statistics need (token, model, route); what only
/// the RX needs to hold may be `None`.
#[derive(Debug, Clone, Copy)]
pub struct Tx<'a> {
    /// Who asked for what.
    pub asked: Asked<'a>,
    /// The HTTP status; 499 where the client went away.
    pub status: u16,
    /// The code of the error that it got.
    pub error: Option<&'a str>,
    /// The way that the request went by.
    pub backend: Option<&'a str>,
    /// From the request to the end of its answer.
    pub time: Duration,
    /// From the request to the first byte of a stream.
    pub first: Option<Duration>,
    /// From the request to the first piece of the answer in a stream.
    pub first_piece: Option<Duration>,
    /// Tokens of the request and of the answer.
    pub tokens: Option<Tokens>,
    /// The text of the answer.
    pub body: Option<&'a str>,
}

/// Counts of tokens.
#[derive(Debug, Clone, Copy)]
pub struct Tokens {
    /// Of the request.
    pub prompt: u64,
    /// Of the answer.
    pub completion: u64,
    /// Whether we counted, and no model.
    pub estimated: bool,
}

/// The members of a record in the making.
pub struct Fields<'a>(&'a mut Vec<u8>);

impl<'a> Fields<'a> {
    /// Begins a record of this kind with its time.
    pub fn new(out: &'a mut Vec<u8>, kind: &str, time: SystemTime) -> Self {
        // Writing to memory cannot fail, here and below.
        let time = stamp(time);
        let _ = write!(out, "\"kind\":\"{kind}\",\"time\":\"{time}\"");
        Fields(out)
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// Adds a text.
    pub fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.name(name);
        push_json(self.0, text);
        self
    }

    /// Adds a text where there is one.
    pub fn some(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(name, text),
            None => self,
        }
    }

    /// Adds a whole number.
    pub fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.name(name);
        push_number(self.0, number);
        self
    }

    /// Adds `true` or `false`.
    pub fn truth(&mut self, name: &str, is_so: bool) -> &mut Self {
        self.name(name);
        self.0.extend_from_slice(if is_so { b"true" } else { b"false" });
        self
    }

    fn asked(&mut self, asked: &Asked) {
        self.name("id");
        let _ = write!(self.0, "\"{}\"", asked.id);
        self.some("token", asked.token).some("key", asked.key);
        if let Some(address) = asked.address {
            self.name("address");
            let _ = write!(self.0, "\"{}\"", Address(address));
        }
        self.some("client", asked.client).some("session", asked.session);
        self.some("method", asked.method).text("route", asked.route).some("model", asked.model);
        if let Some(stream) = asked.stream {
            self.truth("stream", stream);
        }
    }

    /// Adds a request without its body.
    pub fn rx(&mut self, rx: &Rx) {
        self.asked(&rx.asked);
    }

    /// Adds an answer without its body.
    pub fn tx(&mut self, tx: &Tx) {
        self.asked(&tx.asked);
        self.number("status", tx.status.into());
        self.some("error", tx.error).some("backend", tx.backend);
        self.number("ms", millis(tx.time));
        if let Some(first) = tx.first {
            self.number("first_ms", millis(first));
        }
        if let Some(tokens) = tx.tokens {
            self.number("prompt_tokens", tokens.prompt);
            self.number("completion_tokens", tokens.completion);
            self.truth("estimated", tokens.estimated);
        }
    }
}

/// A time as records hold it: RFC 3339, UTC, microseconds. A clock that is before 1970 or behind the
/// year 9999 tells that much.
pub fn stamp(time: SystemTime) -> Rfc3339Timestamp {
    humantime::format_rfc3339_micros(clock::within(time))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Appends a text as a JSON string.
pub fn push_json(out: &mut Vec<u8>, text: &str) {
    let _ = serde_json::to_writer(out, text);
}

/// Appends the member, after a comma, that holds a body by `policy`.
pub fn push_body(
    out: &mut Vec<u8>,
    body: &[u8],
    policy: Policy,
    redact: impl for<'a> Fn(&'a str) -> Cow<'a, str>,
) {
    match policy {
        Policy::Full | Policy::Redacted => {
            // Almost all is UTF-8, which this tells sooner.
            let text = str::from_utf8(body);
            let text = text.map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
            out.extend_from_slice(b",\"body\":");
            match policy {
                Policy::Full => push_json(out, &text),
                _ => push_json(out, &redact(&text)),
            }
        }
        Policy::Hash => {
            out.extend_from_slice(b",\"body_sha256\":\"");
            out.extend_from_slice(&super::chain::sha256(body));
            out.push(b'"');
            push_size(out, body.len());
        }
        Policy::None => push_size(out, body.len()),
    }
}

/// Appends the member, after a comma, that tells how large a body is.
pub fn push_size(out: &mut Vec<u8>, bytes: usize) {
    let _ = write!(out, ",\"body_bytes\":{bytes}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn members_are_written_where_they_are_known() {
        let id = CallId::parse("0123456789abcdef0123456789abcdef").unwrap();
        let mut asked = Asked {
            id,
            token: None,
            key: None,
            address: None,
            client: None,
            session: None,
            method: None,
            route: "/v1/models",
            endpoint: "/v1/models",
            is_probe: false,
            model: None,
            stream: None,
        };
        let parse = |out: Vec<u8>| -> Value {
            serde_json::from_str(&format!("{{{}}}", String::from_utf8(out).unwrap())).unwrap()
        };
        let mut out = Vec::new();
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1);
        Fields::new(&mut out, "rx", time).rx(&Rx { asked, body: b"" });
        assert_eq!(
            parse(out),
            json!({"kind": "rx", "time": "1970-01-01T00:00:00.000001Z", "id": id.to_string(),
                "route": "/v1/models"})
        );
        asked.token = Some("a\"b\n");
        asked.address = Some(IpAddr::from([127, 0, 0, 1]));
        asked.stream = Some(true);
        let tx = Tx {
            asked,
            status: 200,
            error: Some("e"),
            backend: Some("pull"),
            time: Duration::from_micros(1999),
            first: Some(Duration::ZERO),
            first_piece: Some(Duration::ZERO),
            tokens: Some(Tokens { prompt: 1, completion: u64::MAX, estimated: true }),
            body: None,
        };
        let mut out = Vec::new();
        Fields::new(&mut out, "tx", time).tx(&tx);
        assert_eq!(
            parse(out),
            json!({"kind": "tx", "time": "1970-01-01T00:00:00.000001Z", "id": id.to_string(),
                "token": "a\"b\n", "address": "127.0.0.1", "route": "/v1/models", "stream": true,
                "status": 200, "error": "e", "backend": "pull", "ms": 1, "first_ms": 0,
                "prompt_tokens": 1, "completion_tokens": u64::MAX, "estimated": true})
        );
    }

    #[test]
    fn a_clock_that_is_far_off_is_no_fault() {
        let epoch = SystemTime::UNIX_EPOCH;
        let early = epoch.checked_sub(Duration::from_secs(1)).unwrap_or(epoch);
        assert_eq!(stamp(early).to_string(), "1970-01-01T00:00:00.000000Z");
        let late = epoch.checked_add(Duration::from_secs(300_000_000_000)).unwrap();
        assert_eq!(stamp(late).to_string(), "9999-12-31T23:59:59.000000Z");
    }

    #[test]
    fn a_body_is_held_by_policy() {
        for (policy, wanted) in [
            (Policy::Full, r#","body":"a\"sk\" �""#),
            (Policy::Redacted, r#","body":"a\"--\" �""#),
            (
                Policy::Hash,
                concat!(
                    r#","body_sha256":""#,
                    "ab7c31b0eea0cd2c0391b929dce007b9bdbeb3632dd5fc4914c8c0092a9eeefc",
                    r#"","body_bytes":7"#
                ),
            ),
            (Policy::None, r#","body_bytes":7"#),
        ] {
            let mut out = Vec::new();
            push_body(&mut out, b"a\"sk\" \xff", policy, |text| text.replace("sk", "--").into());
            assert_eq!(String::from_utf8(out).unwrap(), wanted, "{policy:?}");
        }
    }
}
