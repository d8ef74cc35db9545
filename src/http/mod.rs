//! HTTP/1.x on this machine: bytes to [`Request`]s within [`Limits`], [`Response`]s to bytes.
//!
//! This file is the seam between an engine and what it serves: an engine calls a [`Service`], and
//! the service answers through a [`Responder`]. The room knows neither chat nor MCP. The engine is
//! `native`: blocking std sockets, one thread for each connection; or, where the cargo feature of that
//! name is on, `tiny`: the same seam over the crate tiny_http, with less than is promised here.

pub mod native;
#[cfg(feature = "tiny_http")]
pub mod tiny;

#[cfg(not(feature = "tiny_http"))]
pub use native::Server;
#[cfg(feature = "tiny_http")]
pub use tiny::Server;

/// Takes the port as a server would, and lets it go.
///
/// # Errors
/// Why a server could not listen there now.
pub fn try_to_bind(host: &str, port: u16) -> io::Result<()> {
    native::bind(&(host.trim_matches(['[', ']']).to_owned(), port)).map(drop)
}

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// What a client may take of us before it is refused. Each is a setting.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the request line and headers together; more is 431.
    pub head_bytes: usize,
    /// Number of headers; more is 431.
    pub headers: usize,
    /// Bytes of a body; more is 413.
    pub body_bytes: usize,
    /// Bytes of all bodies that are being read or answered; more is 503. One body always finds room
    /// where there is no other.
    pub bodies_bytes: usize,
    /// From the first byte of a head to its end; longer is 408.
    pub head_time: Duration,
    /// From the end of a head to the end of its body; longer is 408.
    pub body_time: Duration,
    /// Without a request on a kept connection; longer closes it.
    pub idle_time: Duration,
    /// Without the client taking a byte of what we write; longer drops it.
    pub write_time: Duration,
    /// Open connections; at the bound the longest idle makes room, then 503.
    pub connections: usize,
}

/// The request line and headers, borrowed from the connection's buffer.
#[derive(Debug)]
pub struct Head<'a> {
    /// The method as sent, such as `POST`.
    pub method: &'a str,
    /// The target's path, undecoded.
    pub path: &'a str,
    /// The target's query, undecoded, without `?`; empty where there is none.
    pub query: &'a str,
    /// Names as sent, and values without surrounding blanks.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// Who is connected.
    pub peer: IpAddr,
}

impl<'a> Head<'a> {
    /// The first value of the header `name` (any case), where it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(value).ok()
    }
}

/// A whole request.
#[derive(Debug)]
pub struct Request<'a> {
    /// Its head.
    pub head: Head<'a>,
    /// Its body, decoded; empty where there is none.
    pub body: &'a [u8],
}

/// A whole answer. `Date`, `Content-Length`, `Connection` and the like are the engine's to add.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status, 200 to 599.
    pub status: u16,
    /// Headers in the order in which they are written.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
}

/// Header names and values of ours.
pub type Headers = Vec<(&'static str, Cow<'static, str>)>;

impl Response {
    /// An answer of JSON text, to which a line end is added for people at a terminal.
    pub fn json(status: u16, mut body: Vec<u8>) -> Self {
        body.push(b'\n');
        let headers = vec![("Content-Type", Cow::Borrowed("application/json"))];
        Response { status, headers, body }
    }

    /// The same answer with one header more.
    pub fn with(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// Why an engine refuses a request by itself; the service gives it the form its clients expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400: what came is not HTTP/1.x, or its framing contradicts itself; the text says where.
    Malformed(&'static str),
    /// 408: the head or the body took too long.
    TooSlow,
    /// 413: the body is over [`Limits::body_bytes`], which is given.
    BodyTooLarge(usize),
    /// 431: the head is over [`Limits::head_bytes`] or [`Limits::headers`].
    HeadTooLarge,
    /// 503: there is no memory for the body, or [`Limits::bodies_bytes`] are taken.
    NoMemory,
    /// 503: every place is taken by a connection at work.
    Full,
    /// 503: the HTTP side is stopping.
    Stopping,
    /// 500: the service failed in a way that it did not foresee.
    Bug,
}

/// What an engine serves. Called from many threads at once.
pub trait Service: Send + Sync + 'static {
    /// What the service knows of a request that it has let in. It is dropped where the body does not
    /// come.
    type Visit;
    /// Looks at a head before any of its body is read; `Err` is the answer, and the body is not read.
    fn admit(&self, head: &Head) -> Result<Self::Visit, Response>;
    /// Answers one request that was admitted.
    fn handle(
        &self,
        request: &Request,
        visit: Self::Visit,
        responder: &mut dyn Responder,
    ) -> io::Result<()>;
    /// Words an engine's own refusal; the head is given where it could be read.
    fn refuse(&self, refusal: Refusal, head: Option<&Head>) -> Response;
    /// Tells the operator of a fault that no request can be blamed for.
    fn report(&self, problem: &str);
}

/// The way back to one client for one request: either [`Responder::respond`] once, or
/// [`Responder::begin`], any number of [`Responder::write`]s and [`Responder::end`]. An error means
/// that the client is gone or takes nothing; what is written afterwards goes nowhere.
pub trait Responder {
    /// Sends a whole answer, head and body in one write.
    fn respond(&mut self, response: &Response) -> io::Result<()>;
    /// Opens an answer of unknown length. The head leaves with the first write.
    fn begin(&mut self, status: u16, headers: &Headers) -> io::Result<()>;
    /// Sends a piece, not empty, in one write.
    fn write(&mut self, data: &[u8]) -> io::Result<()>;
    /// Sends the last piece, which may be empty, and ends the answer.
    fn end(&mut self, data: &[u8]) -> io::Result<()>;
    /// Whether the client has closed its side. Looks without waiting.
    fn is_gone(&mut self) -> bool;
}
