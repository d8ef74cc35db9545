//! Writing one answer: head and body, or head and chunks, each piece with one system call.

use super::super::{Headers, Responder, Response};
use super::head::Facts;
use super::places::Place;
use super::reader::is_gone;
use crate::clock;
use std::io::{self, IoSlice, Write};
use std::net::TcpStream;

/// A body up to this size is copied behind its head; a larger one is written from where it lies.
const COPY: usize = 16 * 1024;

/// The way back for one request on a native connection.
pub struct Writer<'a> {
    place: &'a Place,
    /// What the client sent ahead while it waited.
    ahead: &'a mut Vec<u8>,
    facts: Facts,
    /// What has not left yet: the head of a stream, or the whole of a small answer.
    out: &'a mut Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was said.
    Fresh,
    /// A stream is open.
    Open,
    /// The answer is complete.
    Complete,
    /// Writing failed; the connection is of no more use.
    Broken,
}

impl<'a> Writer<'a> {
    /// An answer to the request of `facts`. `out` is scratch space, kept between requests.
    pub fn new(
        place: &'a Place,
        ahead: &'a mut Vec<u8>,
        facts: Facts,
        out: &'a mut Vec<u8>,
    ) -> Self {
        out.clear();
        Writer { place, ahead, facts, out, state: State::Fresh }
    }

    /// Whether the answer is complete and the connection can serve another.
    pub fn can_go_on(&self) -> bool {
        self.state == State::Complete && self.facts.keep_alive
    }

    /// Whether nothing was written, so that something else can still be answered.
    pub fn is_fresh(&self) -> bool {
        self.state == State::Fresh
    }

    fn head(&mut self, status: u16, headers: &Headers) {
        // Told now, so that nobody sends another request into a connection that closes.
        self.facts.keep_alive &= !self.place.is_leaving();
        head(self.out, &self.facts, status, headers);
    }

    /// Writes what has not left yet, `body` and `tail`, with one system call where the socket
    /// takes all at once.
    fn flush(&mut self, body: &[u8], tail: &[u8]) -> io::Result<()> {
        let done = if body.len() <= COPY {
            self.out.extend_from_slice(body);
            self.out.extend_from_slice(tail);
            write_all(self.place.stream(), self.out, &[], &[])
        } else {
            write_all(self.place.stream(), self.out, body, tail)
        };
        self.out.clear();
        if done.is_err() {
            self.state = State::Broken;
        }
        done
    }

    fn piece(&mut self, data: &[u8], last: bool) -> io::Result<()> {
        if self.state != State::Open {
            return Err(io::Error::other("no stream is open"));
        }
        if self.facts.is_head {
            return if self.out.is_empty() { Ok(()) } else { self.flush(&[], &[]) };
        }
        let chunked = !self.facts.http10;
        let has_chunk = chunked && !data.is_empty();
        if has_chunk {
            let _ = write!(self.out, "{:x}\r\n", data.len());
        }
        let tail: &[u8] = match (has_chunk, chunked && last) {
            (true, true) => b"\r\n0\r\n\r\n",
            (true, false) => b"\r\n",
            (false, true) => b"0\r\n\r\n",
            (false, false) => b"",
        };
        self.flush(data, tail)
    }
}

impl Responder for Writer<'_> {
    fn respond(&mut self, response: &Response) -> io::Result<()> {
        if self.state != State::Fresh {
            return Err(io::Error::other("the answer was begun already"));
        }
        self.head(response.status, &response.headers);
        let body = response.body.as_slice();
        if response.status != 204 {
            let _ = write!(self.out, "Content-Length: {}\r\n", body.len());
        }
        self.out.extend_from_slice(b"\r\n");
        let body = if self.facts.is_head || response.status == 204 { &[] } else { body };
        self.flush(body, &[])?;
        self.state = State::Complete;
        Ok(())
    }

    fn begin(&mut self, status: u16, headers: &Headers) -> io::Result<()> {
        if self.state != State::Fresh {
            return Err(io::Error::other("the answer was begun already"));
        }
        if self.facts.http10 {
            // Without chunks only the end of the connection can end the answer.
            self.facts.keep_alive = false;
        }
        self.head(status, headers);
        if !self.facts.http10 {
            self.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
        self.state = State::Open;
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.piece(data, false)
    }

    fn end(&mut self, data: &[u8]) -> io::Result<()> {
        self.piece(data, true)?;
        self.state = State::Complete;
        Ok(())
    }

    fn is_gone(&mut self) -> bool {
        self.state == State::Broken || is_gone(self.place.stream(), self.ahead)
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // One large answer must not hold its memory for as long as the connection lives.
        if self.out.capacity() > 4 * COPY {
            *self.out = Vec::new();
        }
    }
}

/// Puts the head of an answer to the request of `facts` into `out`, but for what frames its body and
/// the blank line.
pub fn head(out: &mut Vec<u8>, facts: &Facts, status: u16, headers: &Headers) {
    out.extend_from_slice(if facts.http10 { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend([status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8));
    for text in [" ", reason(status), "\r\nDate: "] {
        out.extend_from_slice(text.as_bytes());
    }
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}\r\n", httpdate::HttpDate::from(clock::now()));
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        // A line end in a value would let it forge headers.
        out.extend(value.bytes().map(|b| if b < b' ' || b == 0x7f { b' ' } else { b }));
        out.extend_from_slice(b"\r\n");
    }
    match (facts.keep_alive, facts.http10) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, false) => {}
    }
}

/// Writes all of `a`, `b` and `c`.
fn write_all(mut stream: &TcpStream, a: &[u8], b: &[u8], c: &[u8]) -> io::Result<()> {
    let mut slices = [IoSlice::new(a), IoSlice::new(b), IoSlice::new(c)];
    let mut left = slices.as_mut_slice();
    IoSlice::advance_slices(&mut left, 0);
    while !left.is_empty() {
        match stream.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut left, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Answer",
    }
}
