//! The HTTP client of the smoke test: one request at a time, its times, and no more of its answer than
//! can be looked at.

use super::Fault;
use serde_json::Value;
use std::io::Read;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::Request;

/// The most that is read of an answer, in bytes.
const MOST: usize = 16 * 1024 * 1024;
const PIECE: usize = 16 * 1024;

/// Which key goes along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The one that was given, if one was.
    Given,
    /// None.
    None,
    /// One that nobody has.
    Wrong,
}

/// How much of an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// All of it.
    End,
    /// Its first piece, of a stream that does not end by itself.
    First,
}

/// One answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its HTTP status.
    pub status: u16,
    /// Its media type; empty where it has none.
    pub media: String,
    /// `x-request-id`; empty where it has none.
    pub id: String,
    /// Its body.
    pub body: String,
    /// How long its first byte took.
    pub first: Duration,
    /// How long all of it took.
    pub total: Duration,
}

/// Asks one bridge.
pub struct Client {
    base: String,
    key: Option<String>,
    agent: Agent,
}

impl Client {
    /// For the bridge at `base`, such as `http://127.0.0.1:8787`; no request takes longer than `timeout`.
    pub fn new(base: String, key: Option<String>, timeout: Duration) -> Self {
        let agent = Agent::config_builder()
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .build()
            .into();
        Client { base, key, agent }
    }

    /// Sends one request, with `body` as JSON if there is one.
    ///
    /// # Errors
    /// No whole answer came; why.
    pub fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        key: Key,
        until: Until,
    ) -> Result<Answer, String> {
        let begun = Instant::now();
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let key = match key {
            Key::Given => self.key.as_deref(),
            Key::None => None,
            Key::Wrong => Some("mt_wrong"),
        };
        if let Some(key) = key {
            request = request.header("Authorization", format!("Bearer {key}"));
        }
        let answer = match body {
            Some(body) => {
                let request = request.header("Content-Type", "application/json");
                self.agent.run(request.body(body.to_string()).map_err(|e| e.to_string())?)
            }
            None => self.agent.run(request.body(()).map_err(|e| e.to_string())?),
        };
        let answer = answer.map_err(|e| self.hide(e.to_string()))?;
        let header = |name: &str| {
            let value = answer.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (media, id) = (header("content-type"), header("x-request-id"));
        let mut told = Answer { status: answer.status().as_u16(), media, id, ..Answer::default() };
        let mut reader = answer.into_body().into_reader();
        let mut read = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            let n = reader.read(&mut piece).map_err(|e| {
                self.hide(format!("the answer broke off after {} bytes: {e}", read.len()))
            })?;
            if told.first.is_zero() {
                told.first = begun.elapsed();
            }
            read.extend_from_slice(piece.get(..n).unwrap_or_default());
            if n == 0 || until == Until::First {
                break;
            }
            if read.len() > MOST {
                return Err("the answer does not end within 16 MiB".into());
            }
        }
        told.total = begun.elapsed();
        told.body = self.hide(String::from_utf8_lossy(&read).into_owned());
        Ok(told)
    }

    /// `text` without the key, should somebody repeat it.
    fn hide(&self, text: String) -> String {
        match self.key.as_deref().filter(|key| !key.is_empty() && text.contains(key)) {
            Some(key) => text.replace(key, "(the key)"),
            None => text,
        }
    }
}

/// The base of a bridge's URL: without a slash at its end, and without the `/v1` that many clients want.
///
/// # Errors
/// It is no URL of a bridge.
pub fn base(text: &str) -> Result<String, Fault> {
    let base = text.trim_end_matches('/');
    let base = base.strip_suffix("/v1").unwrap_or(base);
    let (scheme, rest) = base.split_once("://").unwrap_or_default();
    let fits = scheme == "http" || scheme == "https" && cfg!(feature = "tls");
    let is_url = base.parse::<ureq::http::Uri>().is_ok_and(|uri| uri.host().is_some());
    match fits && is_url && !rest.is_empty() && !rest.contains(['@', '?', '#']) {
        true => Ok(base.to_owned()),
        false => {
            let https = match cfg!(feature = "tls") {
                true => "",
                false => "; for https build modeltap with --features tls",
            };
            Err(Fault::Usage(format!(
                "smoke {text:?}: a URL such as http://127.0.0.1:8787 is needed{https}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::base;

    #[test]
    fn a_url_is_taken_as_clients_have_it() {
        for (text, expected) in [
            ("http://h:1", Some("http://h:1")),
            ("http://h:1/", Some("http://h:1")),
            ("http://h:1/v1", Some("http://h:1")),
            ("http://h:1/v1/", Some("http://h:1")),
            ("http://h/below", Some("http://h/below")),
            ("http://[::1]:8787", Some("http://[::1]:8787")),
            ("h:1", None),
            ("http://", None),
            ("ftp://h", None),
            ("http://user:pass@h", None),
            ("http://a b", None),
        ] {
            assert_eq!(base(text).ok().as_deref(), expected, "{text}");
        }
    }
}
