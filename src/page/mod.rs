//! The page at `/`, which shows what the bridge is doing, and the two routes that it reads: what happens
//! as it happens, and all that is known of one request.
//!
//! The page is one file without anything from elsewhere, and holds no data: whoever may see that is
//! asked for at the other two. What clients and models wrote is never more than text to it, for which its
//! Content-Security-Policy stands in as well.

pub mod feed;
mod one;
mod telling;

use crate::api::error::{ApiError, SERVER};
use crate::exchange::CallId;
use crate::http::{Head, Headers, Responder, Response};
use crate::record::live::Live;
use crate::relay::Relay;
use feed::{Closed, Feed, PAGES, Reader, Told};
use sha2::{Digest, Sha256};
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use telling::Telling;

/// The file.
const HTML: &str = include_str!("dashboard.html");
/// How often a silent connection is looked at.
const TICK: Duration = Duration::from_secs(1);

/// What the page may do: run what is in it, look as it says, and ask its own origin.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |tag| format!("'sha256-{}'", base64(&Sha256::digest(between(HTML, tag))));
    format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash("script"),
        hash("style")
    )
});

/// The page and what it reads.
pub struct Page {
    /// What is shown.
    pub live: Arc<Live>,
    /// The open pages.
    pub feed: Feed,
    /// When the bridge was started.
    pub started: Instant,
}

impl Page {
    /// The page itself.
    pub fn html() -> Response {
        let headers: Headers = vec![
            ("Content-Type", "text/html; charset=utf-8".into()),
            ("Content-Security-Policy", POLICY.as_str().into()),
            ("X-Content-Type-Options", "nosniff".into()),
            ("X-Frame-Options", "DENY".into()),
            ("Referrer-Policy", "no-referrer".into()),
            ("Cross-Origin-Resource-Policy", "same-origin".into()),
            ("Cache-Control", "no-cache".into()),
        ];
        Response { status: 200, headers, body: HTML.into() }
    }

    /// All that is known of one request.
    ///
    /// # Errors
    /// Nothing is.
    pub fn exchange(&self, relay: &Relay, id: &str) -> Result<Response, ApiError> {
        let found = CallId::parse(id).and_then(|id| one::tell(relay, &self.live, id));
        let told = found.ok_or_else(|| ApiError::no_exchange(id))?;
        Ok(Response::json(200, told).with("Cache-Control", "no-store"))
    }

    /// Opens a page's stream.
    ///
    /// # Errors
    /// There are too many pages already, the bridge is about to end, or there is no thread that tells
    /// them what is new.
    pub fn open(&self, relay: &Arc<Relay>) -> Result<Reader, ApiError> {
        let opened = self.feed.open(|| Telling::new(relay.clone(), self.live.clone()));
        opened.map_err(|why| {
            let said = match why {
                Closed::Full => format!("{PAGES} pages are open already; close one"),
                Closed::Ending => "this bridge is about to end".into(),
                Closed::NoThread(e) => format!("there is no thread for the page: {e}"),
            };
            ApiError::new(503, SERVER, "overloaded", said)
        })
    }

    /// Tells a page how all is, and what is new until it leaves or HTTP stops.
    ///
    /// # Errors
    /// The page has left.
    pub fn stream(
        &self,
        relay: &Relay,
        reader: &Reader,
        head: &Head,
        more: Headers,
        responder: &mut dyn Responder,
    ) -> io::Result<()> {
        let mut headers: Headers = vec![
            ("Content-Type", "text/event-stream".into()),
            ("Cache-Control", "no-store".into()),
            ("X-Accel-Buffering", "no".into()),
            ("X-Content-Type-Options", "nosniff".into()),
        ];
        headers.extend(more);
        responder.begin(200, &headers)?;
        if head.method == "HEAD" {
            return responder.end(&[]);
        }
        responder.write(&telling::snapshot(relay, &self.live, self.started))?;
        let mut written = Instant::now();
        let mut seen = written;
        loop {
            match reader.next(TICK) {
                Told::Piece(piece) => responder.write(&piece)?,
                Told::Lost(count) => {
                    let mut out = telling::lost(count);
                    out.extend(telling::snapshot(relay, &self.live, self.started));
                    responder.write(&out)?;
                }
                Told::Nothing if written.elapsed() >= relay.keep_alive => {
                    responder.write(b": keep-alive\n\n")?;
                }
                Told::Nothing => {
                    if responder.is_gone() {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    continue;
                }
                Told::End => return responder.end(&[]),
            }
            written = Instant::now();
            if seen.elapsed() >= TICK {
                if responder.is_gone() {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                seen = written;
            }
        }
    }
}

/// What stands between the tags of this name.
fn between<'h>(html: &'h str, tag: &str) -> &'h str {
    let inner = html.split_once(&format!("<{tag}>")).map(|(_, rest)| rest);
    let inner = inner.and_then(|rest| rest.split_once(&format!("</{tag}>")));
    inner.map_or("", |(inner, _)| inner)
}

/// Base64 with padding (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let at = |place: usize| three.get(place).copied().map_or(0, u32::from);
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            let known = digit <= three.len();
            let digit = DIGITS.get(index as usize).filter(|_| known);
            text.push(digit.map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, encoded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(text.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_page_is_one_file_with_nothing_from_elsewhere() {
        for tag in ["script", "style"] {
            assert_eq!(HTML.matches(&format!("<{tag}")).count(), 1, "{tag}");
            assert!(between(HTML, tag).len() > 1000, "{tag}");
        }
        let script = between(HTML, "script");
        // Attributes that the policy would refuse, ways from text to markup, and addresses elsewhere.
        for wrong in [" style=\"", " onclick", " onload", "http://", "https://", "@import", " url("]
        {
            let found = HTML.replace("http://www.w3.org/2000/svg", "").contains(wrong);
            assert!(!found, "{wrong}");
        }
        for wrong in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!script.contains(wrong), "{wrong}");
        }
    }
}
