//! The cases of request smuggling: what one is, and all of them in one list.

#![allow(dead_code)] // Each test file uses its own part.

use crate::{chunks, framing, heads};

/// What must become of a case.
#[derive(Clone, Copy)]
pub enum Holds {
    /// One 400, and the end of the connection.
    Refused,
    /// Exactly these answers, and the end of the connection.
    Ends(&'static [u16]),
    /// Exactly these answers, and then that to the next honest request.
    Answers(&'static [u16]),
    /// Exactly this refusal, and then either; who has its body still coming is cut off.
    RefusedAlone(u16),
    /// The answers, where what looks hidden is by all rules a request of its own.
    Ahead(&'static [u16]),
    /// A 400 of either kind; what counts is that nothing hidden is answered.
    Unseen,
}

/// One case.
pub struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub holds: Holds,
}

/// A request that must never be answered: an answer to it names its path.
pub const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// A good body of 45 bytes for [`post`].
pub const GOOD: &str = r#"{"messages":[{"role":"user","content":"ask"}]}"#;

pub fn case(name: &str, bytes: impl Into<Vec<u8>>, holds: Holds) -> Case {
    Case { name: name.to_owned(), bytes: bytes.into(), holds }
}

/// A request that is answered without a model, with these header lines.
pub fn post(headers: &str, body: &str) -> String {
    format!("POST /v1/messages/count_tokens HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}")
}

pub fn chunked(chunks: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", chunks)
}

/// The good body with this line above its one chunk, and this behind it.
pub fn one_chunk(line: &str, rest: &str) -> String {
    chunked(&format!("{line}{GOOD}{rest}"))
}

/// All cases but [`obfuscations`].
pub fn all() -> Vec<Case> {
    let families = [
        framing::two_framings,
        framing::encodings,
        framing::lengths,
        framing::bodies_of_bodiless,
        chunks::chunk_sizes,
        chunks::chunk_lines,
        chunks::trailers,
        heads::names,
        heads::line_ends,
        heads::versions,
        heads::request_lines,
        heads::hosts,
        heads::switches,
        heads::expectations,
    ];
    families.into_iter().flat_map(|family| family()).collect()
}

/// A Transfer-Encoding with each odd byte before, within and behind its parts; by Content-Length the
/// hidden request is body, by chunks it is not.
pub fn obfuscations() -> Vec<Case> {
    let body = format!("0\r\n\r\n{HIDDEN}");
    let head = format!(
        "POST /v1/messages/count_tokens HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n",
        body.len()
    );
    let mut cases = Vec::new();
    for byte in (0..=0x20).chain(b'!'..=b'/').chain(0x7f..=0xff) {
        for (before, behind) in [
            ("", "Transfer-Encoding: chunked"),
            ("Transfer-Encoding", ": chunked"),
            ("Transfer-Encoding:", "chunked"),
            ("Transfer-Encoding: chunked", ""),
            ("Transfer", "Encoding: chunked"),
            ("Transfer-Encoding: chun", "ked"),
            ("X: y", "Transfer-Encoding: chunked"),
        ] {
            let line = [before.as_bytes(), &[byte], behind.as_bytes()].concat();
            let bytes = [head.as_bytes(), &line, b"\r\n\r\n", body.as_bytes()].concat();
            cases.push(case(&format!("byte {byte:#x}"), bytes, Holds::Unseen));
        }
    }
    cases
}
