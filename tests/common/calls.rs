//! HTTP calls that may go wrong: what becomes of each is a value, where `http::Client` would panic.
//! Silence is no outcome: nothing for [`PATIENCE`] is a hang, and panics.

use super::PATIENCE;
use super::http::Answer;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A connection that ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// Nobody listens there.
    Refused,
    /// It was closed after these bytes of an answer.
    Closed(Vec<u8>),
}

/// One connection, kept from call to call.
pub struct Caller {
    pub stream: TcpStream,
    read: Vec<u8>,
}

impl Caller {
    pub fn connect(addr: SocketAddr) -> Result<Caller, Lost> {
        let stream = TcpStream::connect(addr).map_err(|e| match e.kind() {
            ErrorKind::ConnectionRefused => Lost::Refused,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Lost::Closed(Vec::new()),
            _ => panic!("no connection to {addr}: {e}"),
        })?;
        if stream.local_addr().ok() == Some(addr) {
            // Where nobody listens, the kernel may pick that very port for the caller, and the two
            // ends of one socket meet.
            return Err(Lost::Refused);
        }
        Ok(Caller::over(stream))
    }

    /// On a connection that was made already.
    pub fn over(stream: TcpStream) -> Caller {
        // A connection that is closed already has no options any more; the call will tell.
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.set_write_timeout(Some(PATIENCE));
        Caller { stream, read: Vec::new() }
    }

    /// Sends a request.
    pub fn post(&mut self, path: &str, headers: &str, body: &Value) -> Result<(), Lost> {
        self.send(&request(path, headers, body))
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        self.stream.write_all(bytes).map_err(|e| self.lost(&e))
    }

    /// Waits for the whole answer.
    pub fn answer(&mut self) -> Result<Answer, Lost> {
        loop {
            if let Some((answer, length)) = parse(&self.read) {
                self.read.drain(..length);
                return Ok(answer);
            }
            self.more()?;
        }
    }

    /// Waits for the head of an answer whose body may never end.
    pub fn head(&mut self) -> Result<(), Lost> {
        while !self.read.windows(4).any(|w| w == b"\r\n\r\n") {
            self.more()?;
        }
        Ok(())
    }

    /// What comes until the connection is closed.
    pub fn rest(&mut self) -> Vec<u8> {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(Lost::Closed(rest)) => return rest,
                Err(Lost::Refused) => unreachable!("it is connected"),
            }
        }
    }

    /// What has come that belongs to no answer.
    pub fn unasked(&mut self) -> Vec<u8> {
        let mut piece = [0; 4096];
        self.stream.set_nonblocking(true).unwrap();
        if let Ok(n) = self.stream.read(&mut piece) {
            self.read.extend_from_slice(&piece[..n]);
        }
        self.stream.set_nonblocking(false).unwrap();
        std::mem::take(&mut self.read)
    }

    fn more(&mut self) -> Result<(), Lost> {
        let mut piece = [0; 65536];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(Lost::Closed(std::mem::take(&mut self.read))),
            Ok(n) => {
                self.read.extend_from_slice(&piece[..n]);
                Ok(())
            }
            Err(e) => Err(self.lost(&e)),
        }
    }

    fn lost(&mut self, e: &std::io::Error) -> Lost {
        let read = std::mem::take(&mut self.read);
        assert!(
            !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "a call hangs; so far: {:?}",
            String::from_utf8_lossy(&read)
        );
        Lost::Closed(read)
    }
}

/// A request with a JSON body and the given extra header lines (each with its CRLF), as bytes.
pub fn request(path: &str, headers: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The answer at the head of `read`, and its length there; `None` while it is not whole.
fn parse(read: &[u8]) -> Option<(Answer, usize)> {
    let head = find(read, b"\r\n\r\n")?;
    let text = std::str::from_utf8(&read[..head]).expect("a head is text");
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).expect("a status").parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").expect("a header");
        (name.to_ascii_lowercase(), value.to_owned())
    });
    let mut answer = Answer { status, headers: headers.collect(), body: Vec::new() };
    let mut at = head + 4;
    if let Some(length) = answer.header("content-length") {
        let end = at + length.parse::<usize>().expect("a length");
        answer.body = read.get(at..end)?.to_vec();
        return Some((answer, end));
    }
    assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{text}");
    loop {
        let line = find(&read[at..], b"\r\n")?;
        let size = std::str::from_utf8(&read[at..at + line]).unwrap();
        let size = usize::from_str_radix(size, 16).expect("a chunk size");
        at += line + 2;
        answer.body.extend_from_slice(read.get(at..at + size)?);
        at += size + 2;
        // The last chunk is empty, and so is the trailer behind it.
        if size == 0 {
            return (read.len() >= at).then_some((answer, at));
        }
        read.get(..at)?;
    }
}

fn find(read: &[u8], what: &[u8]) -> Option<usize> {
    read.windows(what.len()).position(|w| w == what)
}
