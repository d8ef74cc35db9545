//! One head: what the service sees of it, and what the connection itself must know: how the body is
//! framed, and whether the connection is kept. A head that says two things about that is refused.

use super::super::{Head, Limits, Refusal};
use httparse::Status;
use std::mem::MaybeUninit;
use std::net::IpAddr;

/// The most headers that the setting may allow.
pub const MOST: usize = 256;
/// More than almost all clients send. The space for [`MOST`] takes two pages of the stack, which a
/// thread keeps from then on.
const FEW: usize = 64;

/// How a head says that its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(usize),
    /// With a chunk of no length.
    Chunked,
}

/// What of a head the connection itself must know.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Bytes of the head in the buffer.
    pub head: usize,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the client keeps the connection open for more.
    pub keep_alive: bool,
    /// Whether it speaks HTTP/1.0, which knows no chunks.
    pub http10: bool,
    /// Whether the request is `HEAD`.
    pub is_head: bool,
    /// Whether it waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
}

impl Facts {
    /// Of a connection that is closed after the next answer.
    pub fn closing() -> Self {
        Facts {
            head: 0,
            framing: Framing::Length(0),
            keep_alive: false,
            http10: false,
            is_head: false,
            expects_continue: false,
        }
    }
}

/// A head and what is said of it.
pub struct Parsed<'a> {
    /// For the service.
    pub head: Head<'a>,
    /// The authority, where the target is in a proxy's absolute form.
    pub authority: Option<&'a str>,
    /// Its bytes, with the blank line that ends it.
    pub length: usize,
    /// Whether it says HTTP/1.0.
    pub http10: bool,
}

/// Parses a head at the start of `bytes`; `None` while it is not whole.
pub fn parse<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    peer: IpAddr,
) -> Result<Option<Parsed<'a>>, Refusal> {
    // What lies beyond the limit is not looked at: else what a head is refused for would depend on
    // the pieces in which it came.
    let within = bytes.get(..limits.head_bytes).unwrap_or(bytes);
    let parsed = match parse_within::<FEW>(within, limits, peer) {
        Err(Refusal::HeadTooLarge) if limits.headers > FEW => {
            parse_within::<MOST>(within, limits, peer)
        }
        parsed => parsed,
    };
    match parsed {
        Ok(None) if bytes.len() >= limits.head_bytes => Err(Refusal::HeadTooLarge),
        parsed => parsed,
    }
}

/// Parses a head of `N` headers at most.
// Its space for headers must be off the stack again while the request waits.
#[inline(never)]
fn parse_within<'a, const N: usize>(
    bytes: &'a [u8],
    limits: &Limits,
    peer: IpAddr,
) -> Result<Option<Parsed<'a>>, Refusal> {
    let mut slots = [const { MaybeUninit::uninit() }; N];
    let slots = &mut slots[..limits.headers.min(N)];
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, slots) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(_) if bytes.first() == Some(&0x16) => {
            return Err(Refusal::Malformed("this port speaks http://, and TLS was tried"));
        }
        Err(httparse::Error::Version) => {
            return Err(Refusal::Malformed("only HTTP/1.0 and HTTP/1.1 are spoken here"));
        }
        Err(_) => return Err(Refusal::Malformed("the request line or a header cannot be read")),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Refusal::Malformed("the request line cannot be read"));
    };
    if !ends_lines_properly(bytes.get(..length).unwrap_or_default()) {
        return Err(Refusal::Malformed("a line of the head does not end in CRLF"));
    }
    let Target { authority, path, query } = split(target);
    let headers = request.headers.iter().map(|h| (h.name, h.value.trim_ascii())).collect();
    let http10 = request.version == Some(0);
    let head = Head { method, path, query, headers, peer };
    Ok(Some(Parsed { head, authority, length, http10 }))
}

impl Parsed<'_> {
    /// What the connection must know.
    pub fn facts(&self) -> Result<Facts, Refusal> {
        let Parsed { head, authority, length, http10 } = self;
        let http10 = *http10;
        let mut content_length: Option<usize> = None;
        let mut chunked = false;
        let mut host = None;
        let (mut close, mut keep) = (false, false);
        let mut expects_continue = false;
        for (name, value) in &head.headers {
            let has = |token: &str| {
                let parts = value.split(|b| *b == b',');
                parts
                    .into_iter()
                    .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
            };
            if name.eq_ignore_ascii_case("content-length") {
                let said =
                    digits(value).ok_or(Refusal::Malformed("Content-Length is not a number"))?;
                if content_length.is_some_and(|before| before != said) {
                    return Err(Refusal::Malformed("two Content-Lengths contradict each other"));
                }
                content_length = Some(said);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if chunked || http10 || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::Malformed(
                        "the only Transfer-Encoding known here is chunked",
                    ));
                }
                chunked = true;
            } else if name.eq_ignore_ascii_case("host") {
                if host.replace(*value).is_some() {
                    return Err(Refusal::Malformed("there are two Host headers"));
                }
            } else if name.eq_ignore_ascii_case("connection") {
                close |= has("close");
                keep |= has("keep-alive");
            } else if name.eq_ignore_ascii_case("expect") {
                expects_continue = !http10 && has("100-continue");
            }
        }
        match (host, authority) {
            (None, None) if http10 => {}
            (None, _) => return Err(Refusal::Malformed("there is no Host header")),
            (Some(host), _) if !host.iter().all(may_be_in_host) => {
                return Err(Refusal::Malformed("the Host header is no host and port"));
            }
            // The target's would be the one that counts (RFC 9112 §3.2.2); whoever else looked at the
            // request may have gone by the other.
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority.as_bytes()) => {
                return Err(Refusal::Malformed(
                    "the target and the Host header contradict each other",
                ));
            }
            _ => {}
        }
        let framing = match (chunked, content_length) {
            (true, Some(_)) => {
                return Err(Refusal::Malformed("Content-Length and chunks exclude each other"));
            }
            (true, None) => Framing::Chunked,
            (false, length) => Framing::Length(length.unwrap_or(0)),
        };
        Ok(Facts {
            head: *length,
            framing,
            keep_alive: !close && (keep || !http10),
            http10,
            is_head: head.method == "HEAD",
            expects_continue,
        })
    }
}

/// A request's target in its parts.
pub struct Target<'a> {
    /// Host and port, where it is in a proxy's absolute form.
    pub authority: Option<&'a str>,
    /// The path, undecoded.
    pub path: &'a str,
    /// The query, undecoded, without `?`; empty where there is none.
    pub query: &'a str,
}

/// Takes a target apart. A proxy's absolute form, http://host/path, is served like the path (RFC 9112
/// §3.2.2).
pub fn split(target: &str) -> Target<'_> {
    let is_http = |scheme: &str| ["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s));
    let (authority, rest) = match target.split_once("://") {
        Some((scheme, rest)) if is_http(scheme) => {
            let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            (Some(authority), rest)
        }
        _ => (None, target),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // An empty path stands for the root (RFC 9110 §4.2.3).
    let path = if path.is_empty() { "/" } else { path };
    Target { authority, path, query }
}

/// Whether every line ends in CRLF. The parser lets no CR stand anywhere else, but would take a bare LF
/// for the end of a line, which RFC 9112 §2.2 allows and other readers of the same bytes do not.
fn ends_lines_properly(head: &[u8]) -> bool {
    let more = |byte: u8| i8::from(byte == b'\r') - i8::from(byte == b'\n');
    // In sums that fit a byte, which processors form many at a time.
    let parts = head.chunks(64).map(|part| part.iter().map(|byte| more(*byte)).sum::<i8>());
    parts.map(i32::from).sum::<i32>() == 0
}

/// Whether the byte may stand in a host with its port (RFC 3986 §3.2); a list of them has commas, and
/// who names a user there means to deceive.
fn may_be_in_host(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+;=".contains(byte)
}

/// Digits and nothing else; a number past all bounds is the largest one.
fn digits(value: &[u8]) -> Option<usize> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = std::str::from_utf8(value).ok()?;
    Some(value.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::{Target, split};

    #[test]
    fn targets_are_taken_apart() {
        for (target, authority, path, query) in [
            ("/a/b?c=d?e", None, "/a/b", "c=d?e"),
            ("/http://a/b", None, "/http://a/b", ""),
            ("*", None, "*", ""),
            ("http://a:1/b?c", Some("a:1"), "/b", "c"),
            ("HTTPS://a/b", Some("a"), "/b", ""),
            ("http://a", Some("a"), "/", ""),
            // What stands behind the host is a query, whatever it looks like.
            ("http://a?/b", Some("a"), "/", "/b"),
            ("http://a#/b", Some("a"), "#/b", ""),
            ("http:///b", Some(""), "/b", ""),
            ("ftp://a/b", None, "ftp://a/b", ""),
        ] {
            let Target { authority: found, path: at, query: behind } = split(target);
            assert_eq!((found, at, behind), (authority, path, query), "{target}");
        }
    }
}
