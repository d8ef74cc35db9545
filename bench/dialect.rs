//! The three dialects as a client speaks them: requests of a wanted size with a place for the
//! token, and where the text is in a stream.

use serde_json::{Value, json};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// How a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    ChatCompletions,
    Messages,
    Responses,
}

impl Dialect {
    pub const ALL: [Dialect; 3] = [Dialect::ChatCompletions, Dialect::Messages, Dialect::Responses];

    pub fn name(self) -> &'static str {
        match self {
            Dialect::ChatCompletions => "chat_completions",
            Dialect::Messages => "messages",
            Dialect::Responses => "responses",
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Dialect::ChatCompletions => "/v1/chat/completions",
            Dialect::Messages => "/v1/messages",
            Dialect::Responses => "/v1/responses",
        }
    }

    fn body(self, text: &str, stream: bool) -> Value {
        let messages = json!([{"role": "user", "content": text}]);
        match self {
            Dialect::ChatCompletions => {
                json!({"model": "bench", "messages": messages, "stream": stream})
            }
            Dialect::Messages => {
                json!({"model": "bench", "max_tokens": 1000, "messages": messages, "stream": stream})
            }
            Dialect::Responses => json!({"model": "bench", "input": text, "stream": stream}),
        }
    }

    /// What the end of a stream holds.
    pub fn last_event(self) -> &'static [u8] {
        match self {
            Dialect::ChatCompletions => b"data: [DONE]",
            Dialect::Messages => b"\"message_stop\"",
            Dialect::Responses => b"\"response.completed\"",
        }
    }

    /// The text of a stream as far as it has come: for bridges that cut the token into pieces.
    pub fn streamed_text(self, events: &[u8]) -> String {
        let events = String::from_utf8_lossy(events);
        let data = events.lines().filter_map(|line| line.strip_prefix("data:"));
        let data = data.filter_map(|data| serde_json::from_str::<Value>(data.trim()).ok());
        data.filter_map(|data| {
            let text = match self {
                Dialect::ChatCompletions => &data["choices"][0]["delta"]["content"],
                Dialect::Messages => &data["delta"]["text"],
                Dialect::Responses => &data["delta"],
            };
            text.as_str().map(str::to_owned)
        })
        .collect()
    }
}

/// A request as bytes, in which only the token changes.
#[derive(Debug, Clone)]
pub struct Shape {
    pub dialect: Dialect,
    pub stream: bool,
    /// The request, head and body.
    pub bytes: Vec<u8>,
    /// Where the token is in it.
    pub token: Range<usize>,
    /// The size of the answer's text in bytes, which its body must have at least.
    pub answer: usize,
    /// Whether a stream ends as the dialect says; the floor's just ends.
    pub checks_end: bool,
}

impl Shape {
    /// A request to `path` whose text has `size` bytes, and whose answer's text has `answer`.
    pub fn new(dialect: Dialect, path: &str, stream: bool, size: usize, answer: usize) -> Self {
        let first = token(0);
        let text = first.clone() + &filler(size.saturating_sub(first.len()));
        let body = dialect.body(&text, stream).to_string();
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let at = bytes.find(&first).expect("the token is in the body");
        Shape {
            dialect,
            stream,
            bytes: bytes.into(),
            token: at..at + first.len(),
            answer,
            checks_end: true,
        }
    }
}

const MARK: &[u8] = b"tok-";
/// The length of a token in bytes.
pub const TOKEN: usize = 4 + 8 + 1 + 8 + 1;

/// What an answer's text ends with, so that a cut one is noticed.
pub const END: &str = " #end";

/// The token of a request; no two are alike within a run.
pub fn token(number: u32) -> String {
    format!("tok-{:08x}-{number:08x}.", std::process::id())
}

/// The next token that nobody has used.
pub fn next_token() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    token(NEXT.fetch_add(1, Ordering::Relaxed))
}

/// The first token in `bytes`.
pub fn find_token(bytes: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..)?, MARK) {
        let found = bytes.get(from + at..from + at + TOKEN);
        if let Some(found) = found.filter(|found| found.ends_with(b".")) {
            return Some(found);
        }
        from += at + MARK.len();
    }
    None
}

/// Where `what` begins in `bytes`.
pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = bytes.get(from..)?.iter().position(|b| *b == first) {
        if bytes[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// `size` bytes of text as people and models write it, with a line end and quotes in every 160.
pub fn filler(size: usize) -> String {
    const TEXT: &str = " A bridge is a way across: \"it carries what others send\", asks for no \
                        more than it needs, and it is there\nwhen somebody comes. What goes over it \
                        is not its own.";
    let mut text = TEXT.repeat(size / TEXT.len() + 1);
    text.truncate(size);
    text
}
