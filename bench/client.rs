//! An HTTP client: one connection, one request at a time, and when what came of its answer. It reads
//! whole and chunked answers, and checks that each is the one to its own request.

use crate::dialect::{END, Shape, TOKEN, find, next_token};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The longest that a client waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// When what came, since the request was sent.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub first_byte: Duration,
    /// When the token was there.
    pub first_text: Duration,
    pub whole: Duration,
}

/// A client and its buffers.
pub struct Client {
    addr: SocketAddr,
    /// `None` before the first request, and after an answer that closed the connection.
    stream: Option<TcpStream>,
    request: Vec<u8>,
    shape: Shape,
    /// What came of an answer, of which the first `have` bytes count.
    raw: Vec<u8>,
    have: usize,
    /// The body of a chunked answer without its framing.
    body: Vec<u8>,
    token: String,
}

/// How an answer says where it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Framing {
    Length(usize),
    Chunked,
    /// With the connection.
    Close,
}

struct Head {
    /// Where the body begins.
    body: usize,
    framing: Framing,
    closes: bool,
}

impl Client {
    pub fn new(addr: SocketAddr, shape: &Shape) -> Self {
        let raw = vec![0; 64 * 1024];
        Client { raw, ..Client::small(addr, shape) }
    }

    /// A client that takes little memory, where there are thousands.
    pub fn small(addr: SocketAddr, shape: &Shape) -> Self {
        Client {
            addr,
            stream: None,
            request: shape.bytes.clone(),
            shape: shape.clone(),
            raw: vec![0; 4096],
            have: 0,
            body: Vec::new(),
            token: String::new(),
        }
    }

    /// Sends a request and reads its answer.
    pub fn ask(&mut self) -> Result<Timing, String> {
        self.connect()?;
        let started = Instant::now();
        self.send()?;
        self.read(started)
    }

    /// Opens the connection, where it is not.
    pub fn connect(&mut self) -> Result<(), String> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.addr, PATIENCE).map_err(said)?;
            stream.set_nodelay(true).map_err(said)?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(said)?;
            stream.set_write_timeout(Some(PATIENCE)).map_err(said)?;
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// Sends the next request under a token of its own.
    pub fn send(&mut self) -> Result<(), String> {
        self.token = next_token();
        self.request[self.shape.token.clone()].copy_from_slice(self.token.as_bytes());
        let stream = self.stream.as_mut().ok_or("not connected")?;
        stream.write_all(&self.request).map_err(said)
    }

    /// Reads the answer to what was sent at `started`.
    pub fn read(&mut self, started: Instant) -> Result<Timing, String> {
        self.have = 0;
        self.body.clear();
        let (mut head, mut first_byte, mut first_text) = (None::<Head>, None, None);
        let mut chunks = Chunks::default();
        loop {
            if self.have == self.raw.len() {
                self.raw.resize(self.raw.len() * 4, 0);
            }
            let stream = self.stream.as_mut().ok_or("not connected")?;
            let n = stream.read(&mut self.raw[self.have..]).map_err(said)?;
            let now = started.elapsed();
            first_byte.get_or_insert(now);
            let came = self.have;
            self.have += n;
            let raw = &self.raw[..self.have];
            if head.is_none() {
                head = read_head(raw)?;
                chunks.at = head.as_ref().map_or(0, |head| head.body);
            }
            let Some(head) = &head else {
                if n == 0 {
                    return Err("the connection was closed without an answer".into());
                }
                continue;
            };
            let is_whole = match head.framing {
                Framing::Length(length) => self.have >= head.body + length,
                Framing::Chunked => chunks.take(raw, &mut self.body)?,
                Framing::Close => n == 0,
            };
            let body = match head.framing {
                Framing::Chunked => self.body.as_slice(),
                _ => &raw[head.body..],
            };
            if first_text.is_none() {
                // What was looked through before needs no second look.
                let from = match head.framing {
                    Framing::Chunked => 0,
                    _ => came.saturating_sub(head.body + TOKEN).min(body.len()),
                };
                if holds(&self.shape, &body[from..], &self.token) {
                    first_text = Some(now);
                }
            }
            if is_whole {
                let closes = head.closes || head.framing == Framing::Close;
                let first_text = first_text.ok_or_else(|| wrong(&self.token, body))?;
                check(&self.shape, body)?;
                if closes {
                    self.stream = None;
                }
                let first_byte = first_byte.unwrap_or(now);
                return Ok(Timing { first_byte, first_text, whole: now });
            }
            if n == 0 {
                return Err(format!("the connection was closed after {} bytes", self.have));
            }
        }
    }
}

fn said(fault: io::Error) -> String {
    match fault.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("no answer within {PATIENCE:?}")
        }
        _ => fault.to_string(),
    }
}

fn holds(shape: &Shape, body: &[u8], token: &str) -> bool {
    find(body, token.as_bytes()).is_some()
        || (shape.stream && shape.dialect.streamed_text(body).contains(token))
}

fn wrong(token: &str, body: &[u8]) -> String {
    let body = String::from_utf8_lossy(&body[..body.len().min(300)]);
    format!("an answer that is not the one to {token}: {body}")
}

/// Checks that nothing is missing at the end.
fn check(shape: &Shape, body: &[u8]) -> Result<(), String> {
    let is_end = |part: &[u8]| part == END.as_bytes();
    let has_end = body.windows(END.len()).rposition(is_end).is_some()
        || (shape.stream && shape.dialect.streamed_text(body).ends_with(END));
    if body.len() < shape.answer || !has_end {
        return Err(format!("an answer of {} bytes is cut short", body.len()));
    }
    let tail = &body[body.len().saturating_sub(4096 + 2 * shape.answer)..];
    if shape.stream && shape.checks_end && find(tail, shape.dialect.last_event()).is_none() {
        return Err(format!(
            "a stream without {}",
            String::from_utf8_lossy(shape.dialect.last_event())
        ));
    }
    Ok(())
}

/// Reads status and framing, once the head is there.
fn read_head(raw: &[u8]) -> Result<Option<Head>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let body = match response.parse(raw).map_err(|e| format!("not HTTP: {e}"))? {
        httparse::Status::Complete(body) => body,
        httparse::Status::Partial => return Ok(None),
    };
    if response.code != Some(200) {
        let told = String::from_utf8_lossy(&raw[body..]);
        return Err(format!("status {}: {told}", response.code.unwrap_or(0)));
    }
    let mut head = Head { body, framing: Framing::Close, closes: false };
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        if header.name.eq_ignore_ascii_case("content-length") {
            head.framing = Framing::Length(value.parse().map_err(|_| "a wrong Content-Length")?);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            head.framing = Framing::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.closes = value.eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(head))
}

/// How far the chunks of an answer were read.
#[derive(Default)]
struct Chunks {
    /// Where the next one begins.
    at: usize,
}

impl Chunks {
    /// Takes the chunks that are whole in `raw` to `body`; whether that was the last one.
    fn take(&mut self, raw: &[u8], body: &mut Vec<u8>) -> Result<bool, String> {
        loop {
            let rest = &raw[self.at..];
            let (start, size) = match httparse::parse_chunk_size(rest) {
                Ok(httparse::Status::Complete((start, size))) => (start, size as usize),
                Ok(httparse::Status::Partial) => return Ok(false),
                Err(_) => return Err("a wrong chunk".into()),
            };
            let Some(chunk) = rest.get(start..start + size + 2) else { return Ok(false) };
            self.at += start + size + 2;
            if size == 0 {
                return Ok(true);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
}
