//! One request as the crate gives it: looked at as `native` looks at one, admitted, its body read,
//! answered. A refusal leaves before the body is read; what has a length the crate then reads to its
//! end, so that the next request is found, for as long as the client takes.

use super::super::native::head::{Facts, Framing, Parsed, Target, split};
use super::super::{Head, Limits, Refusal, Request, Responder, Response, Service};
use super::writer::Writer;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use tiny_http::{Header, Response as Answer};

/// Serves one request, or tells its client why not, where that is certain already; and that it is to
/// close the connection then, if `closes`.
pub fn serve<S: Service>(
    mut sent: tiny_http::Request,
    refusal: Option<Refusal>,
    closes: bool,
    limits: &Limits,
    service: &S,
) {
    let kept = Kept::of(&sent);
    let (visit, body, mut facts) = match prepare(&mut sent, &kept, refusal, limits, service) {
        Ok(prepared) => prepared,
        Err(response) => return refuse(sent, &kept, &response, limits),
    };
    facts.keep_alive &= !closes;
    let request = Request { head: kept.head(), body: &body };
    let mut writer = Writer::new(sent.into_writer(), facts);
    // A bug met by one request must not take the others with it.
    let handled = catch_unwind(AssertUnwindSafe(|| service.handle(&request, visit, &mut writer)));
    if handled.is_err() && writer.is_fresh() {
        let _ = writer.respond(&service.refuse(Refusal::Bug, Some(&request.head)));
    }
}

/// The visit, the whole body and what its head says, or why there is none of it.
fn prepare<S: Service>(
    sent: &mut tiny_http::Request,
    kept: &Kept,
    refusal: Option<Refusal>,
    limits: &Limits,
    service: &S,
) -> Result<(S::Visit, Vec<u8>, Facts), Response> {
    let head = kept.head();
    let refused = |refusal| service.refuse(refusal, Some(&head));
    if let Some(refusal) = refusal {
        return Err(refused(refusal));
    }
    let facts = kept.facts(limits).map_err(refused)?;
    let visit = service.admit(&head)?;
    let body = read_body(sent, &facts, limits).map_err(refused)?;
    Ok((visit, body, facts))
}

fn read_body(
    sent: &mut tiny_http::Request,
    facts: &Facts,
    limits: &Limits,
) -> Result<Vec<u8>, Refusal> {
    let too_large = Refusal::BodyTooLarge(limits.body_bytes);
    let most = match facts.framing {
        Framing::Length(length) if length > limits.body_bytes => return Err(too_large),
        Framing::Length(length) => length,
        Framing::Chunked => limits.body_bytes.saturating_add(1),
    };
    let mut body = Vec::new();
    let read = sent.as_reader().take(most as u64).read_to_end(&mut body);
    if read.is_err() || (body.len() < most && facts.framing != Framing::Chunked) {
        return Err(Refusal::Malformed("the body ended early, or its chunks cannot be read"));
    }
    if body.len() > limits.body_bytes { Err(too_large) } else { Ok(body) }
}

/// Answers by the crate's own means, which alone write before the rest of a body is read.
fn refuse(mut sent: tiny_http::Request, kept: &Kept, response: &Response, limits: &Limits) {
    if kept.has_chunks() && !kept.is_upgrade() {
        // Chunks are not read to their end by the crate. It would take them for requests.
        let most = limits.body_bytes as u64;
        let _ = io::copy(&mut sent.as_reader().take(most), &mut io::sink());
    }
    let ours = response.headers.iter();
    let headers = ours.filter_map(|(name, value)| Header::from_bytes(*name, value.as_bytes()).ok());
    let (status, length) = (response.status.into(), response.body.len());
    let answer = Answer::new(status, headers.collect(), &*response.body, Some(length), None);
    // A client that has gone needs no answer.
    let _ = sent.respond(answer.with_chunked_threshold(usize::MAX));
}

/// What was sent, kept beyond the crate's own value, which ends when the answer begins.
struct Kept {
    method: tiny_http::Method,
    target: String,
    version: (u8, u8),
    headers: Vec<Header>,
    peer: IpAddr,
}

impl Kept {
    fn of(sent: &tiny_http::Request) -> Self {
        let version = sent.http_version();
        Kept {
            method: sent.method().clone(),
            target: sent.url().to_owned(),
            version: (version.0, version.1),
            headers: sent.headers().to_vec(),
            // The crate knows the peer of every TCP connection.
            peer: sent.remote_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |addr| addr.ip()),
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|h| (h.field.as_str().as_str(), h.value.as_str()))
    }

    fn head(&self) -> Head<'_> {
        let Target { path, query, .. } = split(&self.target);
        Head {
            method: self.method.as_str(),
            path,
            query,
            headers: self.pairs().map(|(name, value)| (name, value.as_bytes())).collect(),
            peer: self.peer,
        }
    }

    /// What the head says of its body, once it is one that `native` would serve.
    fn facts(&self, limits: &Limits) -> Result<Facts, Refusal> {
        let http10 = match self.version {
            (1, 0) => true,
            (1, 1) => false,
            _ => return Err(Refusal::Malformed("only HTTP/1.0 and HTTP/1.1 are spoken here")),
        };
        // `GET /path HTTP/1.1` has 12 bytes besides method and path, a header 4, the end 2.
        let line = self.method.as_str().len() + self.target.len() + 14;
        let length =
            self.pairs().fold(line, |sum, (name, value)| sum + name.len() + value.len() + 4);
        if length > limits.head_bytes || self.headers.len() > limits.headers {
            return Err(Refusal::HeadTooLarge);
        }
        // The crate ends a line at CRLF only, so that anything else may be within one.
        let is_control = |b: u8| (b < b' ' && b != b'\t') || b == 0x7f;
        let mut texts = self.pairs().flat_map(|(name, value)| [name, value]);
        let texts = texts.by_ref().chain([self.method.as_str(), self.target.as_str()]);
        if texts.flat_map(str::bytes).any(is_control) {
            return Err(Refusal::Malformed("the request line or a header cannot be read"));
        }
        let authority = split(&self.target).authority;
        let facts = Parsed { head: self.head(), authority, length, http10 }.facts()?;
        if self.has_chunks() && self.is_upgrade() {
            return Err(Refusal::Malformed("chunks and an upgrade exclude each other here"));
        }
        Ok(Facts { keep_alive: self.is_kept(), ..facts })
    }

    fn has_chunks(&self) -> bool {
        self.pairs().any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"))
    }

    /// Whether the crate gives the bytes of a body as they are, and does not know their end.
    fn is_upgrade(&self) -> bool {
        self.connection().contains("upgrade")
    }

    /// The first header of that name, by which alone the crate goes, in lower case.
    fn connection(&self) -> String {
        let mut pairs = self.pairs();
        let said = pairs.find(|(name, _)| name.eq_ignore_ascii_case("connection"));
        said.map(|(_, value)| value.to_ascii_lowercase()).unwrap_or_default()
    }

    /// Whether the crate will keep the connection.
    fn is_kept(&self) -> bool {
        let said = self.connection();
        !said.contains("close")
            && !self.is_upgrade()
            && (self.version != (1, 0) || said.contains("keep-alive"))
    }
}
