//! Plays an OpenAI-compatible endpoint that requests are forwarded to. The test gets each request
//! with its connection, and answers by hand.

use super::http::{self, Answer, Client, events_of};
use super::{Aside, Bridge, PATIENCE, aside, chat};
use crossbeam_channel::{Receiver, unbounded};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

pub const CHAT: &str = "/v1/chat/completions";

pub struct Endpoint {
    pub addr: SocketAddr,
    asked: Receiver<Asked>,
}

/// One request, and its connection.
pub struct Asked {
    stream: TcpStream,
    /// Request line and headers, names in lower case.
    pub head: String,
    pub body: Value,
}

impl Endpoint {
    pub fn start() -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (deliver, asked) = unbounded();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let deliver = deliver.clone();
                thread::spawn(move || deliver.send(Asked::read(stream.unwrap())));
            }
        });
        Endpoint { addr, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1", self.addr)
    }

    /// The next request.
    pub fn asked(&self) -> Asked {
        self.asked.recv_timeout(PATIENCE).expect("the bridge asks the endpoint")
    }

    /// Whether nothing was asked so far.
    pub fn is_idle(&self) -> bool {
        self.asked.is_empty()
    }

    /// Answers all requests from now on with the text of their last message.
    pub fn echo(self) {
        thread::spawn(move || {
            for asked in self.asked {
                let text = asked.text();
                asked.whole(&format!("echo: {text}"));
            }
        });
    }
}

impl Asked {
    fn read(stream: TcpStream) -> Asked {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a head");
            if line.trim().is_empty() {
                break;
            }
            let line = match line.split_once(": ") {
                Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
                None => line,
            };
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        Asked { stream, head, body: serde_json::from_slice(&body).expect("a JSON body") }
    }

    /// The text of the last message.
    pub fn text(&self) -> String {
        let messages = self.body["messages"].as_array().unwrap();
        messages.last().unwrap()["content"].as_str().unwrap_or_default().to_owned()
    }

    /// Writes bytes; a connection that was closed meanwhile is no fault of the test.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Answers with a status, header lines (each with its CRLF) and a body.
    pub fn answer(mut self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        self.send(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"));
    }

    /// Answers with a whole completion.
    pub fn whole(self, text: &str) {
        let choice = json!({"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": text}});
        let body = json!({"object": "chat.completion", "model": "far-1", "choices": [choice]});
        self.answer("200 OK", "Content-Type: application/json\r\n", &body.to_string());
    }

    /// Begins a stream, which ends with its connection.
    pub fn begin(&mut self) {
        self.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    }

    /// Sends a chunk whose choice has this delta.
    pub fn delta(&mut self, delta: &Value, finish: Option<&str>) {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        let chunk = json!({"model": "far-1", "choices": [choice]});
        self.send(format!("data: {chunk}\n\n"));
    }

    /// Sends a piece of text.
    pub fn piece(&mut self, text: &str) {
        self.delta(&json!({"content": text}), None);
    }

    /// Ends the stream.
    pub fn done(mut self) {
        self.delta(&json!({}), Some("stop"));
        self.send("data: [DONE]\n\n");
    }

    /// Waits until the bridge has closed the connection.
    pub fn wait_closed(mut self) {
        match self.stream.read(&mut [0]) {
            Ok(0) => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the connection is open: {other:?}"),
        }
    }
}

/// A bridge that forwards, without a host; where it listens, and the endpoint.
pub fn forwarding(env: &[(&str, &str)]) -> (Bridge, SocketAddr, Endpoint) {
    let endpoint = Endpoint::start();
    let url = endpoint.url();
    let env: Vec<_> = env.iter().copied().chain([("MODELTAP_FORWARD", url.as_str())]).collect();
    let mut bridge = Bridge::spawn(&env);
    let addr = bridge.addr();
    (bridge, addr, endpoint)
}

/// One request on a connection of its own, aside.
pub fn ask(addr: SocketAddr, path: &'static str, body: Value) -> Aside<Answer> {
    aside(move || http::post(addr, path, &body))
}

/// Asks for a stream; the client, its request sent.
pub fn streaming(addr: SocketAddr, text: &str) -> Client {
    let mut body = chat(text);
    body["stream"] = true.into();
    let mut client = Client::connect(addr);
    client.post(CHAT, "", &body);
    client
}

/// The text that the next chunk with text brings.
pub fn next_text(client: &mut Client) -> String {
    loop {
        let chunk = String::from_utf8(client.chunk().expect("the stream goes on")).unwrap();
        let texts = events_of(&chunk).into_iter().filter_map(|event| {
            let event: Value = serde_json::from_str(&event).ok()?;
            event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
        });
        let text: String = texts.collect();
        if !text.is_empty() {
            return text;
        }
    }
}
