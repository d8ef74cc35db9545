//! An HTTP client that can also misbehave: raw bytes out, whole answers in.

use super::PATIENCE;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    read: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decoded where it was chunked.
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("the body is not JSON ({e}): {}", self.text()))
    }

    /// The text of the first choice of a whole chat completion.
    pub fn content(&self) -> String {
        let body = self.json();
        let content = body["choices"][0]["message"]["content"].as_str();
        content.unwrap_or_else(|| panic!("no content: {} {body}", self.status)).to_owned()
    }

    /// The data of each server-sent event, comments left out.
    pub fn events(&self) -> Vec<String> {
        events_of(&self.text())
    }
}

pub fn events_of(text: &str) -> Vec<String> {
    text.split("\n\n").filter_map(|e| e.strip_prefix("data: ")).map(str::to_owned).collect()
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Client {
        Client::over(TcpStream::connect(addr).expect("the bridge accepts"))
    }

    /// On a connection that was made already.
    pub fn over(stream: TcpStream) -> Client {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream, read: Vec::new() }
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the bridge reads");
    }

    /// Sends a request with a JSON body and the given extra header lines (each with its CRLF).
    pub fn post(&mut self, path: &str, headers: &str, body: &Value) {
        let body = body.to_string();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        ));
    }

    pub fn get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }

    /// What one read brings, as text.
    pub fn one_read(&mut self) -> String {
        assert!(self.read.is_empty() && self.more(), "closed early");
        String::from_utf8(std::mem::take(&mut self.read)).expect("the bridge writes text")
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 65536];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(n) => {
                self.read.extend_from_slice(&piece[..n]);
                true
            }
            Err(e) => {
                panic!("no answer came: {e}; so far: {:?}", String::from_utf8_lossy(&self.read))
            }
        }
    }

    /// Reads up to and with `end`, which must come.
    fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|w| w == end) {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(self.more(), "closed early: {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more(), "closed early");
        }
        self.read.drain(..length).collect()
    }

    /// The head of the next answer.
    pub fn head(&mut self) -> Answer {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).expect("a head is text");
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter(|line| !line.is_empty()).map(|line| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Answer { status, headers: headers.collect(), body: Vec::new() }
    }

    /// The next chunk of a chunked answer; `None` at its end.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = String::from_utf8(self.until(b"\r\n")).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        let mut chunk = self.exactly(size + 2);
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// The next answer, to a request that was not HEAD.
    pub fn answer(&mut self) -> Answer {
        let answer = self.head();
        self.with_body(answer)
    }

    /// An answer whose head was read, with its body.
    pub fn with_body(&mut self, mut answer: Answer) -> Answer {
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk() {
                answer.body.extend(chunk);
            }
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.exactly(length);
        } else if answer.status != 204 && answer.status != 100 {
            while self.more() {}
            answer.body = std::mem::take(&mut self.read);
        }
        answer
    }

    /// Whether the bridge closes the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        self.read.is_empty()
            && !matches!(self.stream.read(&mut byte), Ok(1))
            && !matches!(self.stream.read(&mut byte), Err(e) if e.kind() == std::io::ErrorKind::WouldBlock)
    }
}

/// One request on a connection of its own.
pub fn post(addr: SocketAddr, path: &str, body: &Value) -> Answer {
    let mut client = Client::connect(addr);
    client.post(path, "Connection: close\r\n", body);
    client.answer()
}

/// One request on a connection of its own.
pub fn get(addr: SocketAddr, path: &str) -> Answer {
    let mut client = Client::connect(addr);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    client.answer()
}

/// One chat request on a connection of its own.
pub fn chat(addr: SocketAddr, text: &str) -> Answer {
    post(addr, "/v1/chat/completions", &super::chat(text))
}
