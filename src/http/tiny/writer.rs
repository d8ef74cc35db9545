//! Writing one answer by hand through the crate's writer, which then may say what it is and end a
//! stream's pieces: each piece with one system call, chunks included.

use super::super::native::head::Facts;
use super::super::native::writer::head;
use super::super::{Headers, Responder, Response};
use std::io::{self, Write};

/// The way back for one request.
pub struct Writer {
    sink: Box<dyn Write + Send>,
    facts: Facts,
    /// What has not left yet.
    out: Vec<u8>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing was said.
    Fresh,
    /// A stream is open.
    Open,
    /// A stream is open that must leave whole: HTTP/1.0 knows no chunks, and the end of the
    /// connection, which could end it, is not ours to make.
    Held(Response),
    /// The answer is complete.
    Complete,
    /// Writing failed.
    Broken,
}

impl Writer {
    /// An answer to the request of `facts`.
    pub fn new(sink: Box<dyn Write + Send>, facts: Facts) -> Self {
        Writer { sink, facts, out: Vec::new(), state: State::Fresh }
    }

    /// Whether nothing was written, so that something else can still be answered.
    pub fn is_fresh(&self) -> bool {
        matches!(self.state, State::Fresh | State::Held(_))
    }

    /// Sends all that is in `out`. The crate's buffer passes on what is larger than itself as it is.
    fn flush(&mut self, then: State) -> io::Result<()> {
        let done = self.sink.write_all(&self.out).and_then(|()| self.sink.flush());
        self.out.clear();
        self.state = if done.is_ok() { then } else { State::Broken };
        done
    }

    fn piece(&mut self, data: &[u8], last: bool) -> io::Result<()> {
        match std::mem::replace(&mut self.state, State::Fresh) {
            State::Open => {}
            State::Held(mut response) => {
                response.body.extend_from_slice(data);
                if last {
                    return self.respond(&response);
                }
                self.state = State::Held(response);
                return Ok(());
            }
            other => {
                self.state = other;
                return Err(io::Error::other("no stream is open"));
            }
        }
        if !data.is_empty() {
            // Writing to a Vec cannot fail.
            let _ = write!(self.out, "{:x}\r\n", data.len());
            self.out.extend_from_slice(data);
            self.out.extend_from_slice(b"\r\n");
        }
        if last {
            self.out.extend_from_slice(b"0\r\n\r\n");
        }
        self.flush(if last { State::Complete } else { State::Open })
    }
}

impl Responder for Writer {
    fn respond(&mut self, response: &Response) -> io::Result<()> {
        if !self.is_fresh() {
            return Err(io::Error::other("the answer was begun already"));
        }
        head(&mut self.out, &self.facts, response.status, &response.headers);
        if response.status != 204 {
            let _ = write!(self.out, "Content-Length: {}\r\n", response.body.len());
        }
        self.out.extend_from_slice(b"\r\n");
        if !self.facts.is_head && response.status != 204 {
            self.out.extend_from_slice(&response.body);
        }
        self.flush(State::Complete)
    }

    fn begin(&mut self, status: u16, headers: &Headers) -> io::Result<()> {
        if !matches!(self.state, State::Fresh) {
            return Err(io::Error::other("the answer was begun already"));
        }
        if self.facts.http10 || self.facts.is_head {
            let response = Response { status, headers: headers.clone(), body: Vec::new() };
            self.state = State::Held(response);
            return Ok(());
        }
        head(&mut self.out, &self.facts, status, headers);
        self.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        self.state = State::Open;
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.piece(data, false)
    }

    fn end(&mut self, data: &[u8]) -> io::Result<()> {
        self.piece(data, true)
    }

    /// Known only from a write that failed: the crate shows nothing of the connection.
    fn is_gone(&mut self) -> bool {
        matches!(self.state, State::Broken)
    }
}
