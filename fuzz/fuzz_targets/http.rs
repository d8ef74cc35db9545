//! Any bytes as what a client sends on one connection, in one piece and in many. The first byte
//! chooses the limits, the second how the rest is cut and whether a part of it is repeated, the next
//! eight hold the lengths of the pieces.
#![no_main]

use modeltap::http::native::bodies::Bodies;
use modeltap::http::native::head::Framing;
use modeltap::http::native::reader::{Reader, Source, Stop};
use modeltap::http::{Limits, Refusal};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A client whose bytes come in pieces; a piece of no length is a read that was interrupted.
struct Script<'a> {
    left: Cell<&'a [u8]>,
    lengths: RefCell<Vec<usize>>,
    next: Cell<usize>,
}

impl<'a> Script<'a> {
    fn new(bytes: &'a [u8], lengths: Vec<usize>) -> Self {
        Script { left: Cell::new(bytes), lengths: RefCell::new(lengths), next: Cell::new(0) }
    }

    /// The next piece, at most `most` bytes; `None` where it has no length.
    fn take(&self, most: usize) -> Option<&'a [u8]> {
        let lengths = self.lengths.borrow();
        let length = match lengths.len() {
            0 => usize::MAX,
            count => lengths[self.next.replace(self.next.get() + 1) % count],
        };
        let left = self.left.get();
        let (piece, rest) = left.split_at(length.min(most).min(left.len()));
        self.left.set(rest);
        (length > 0).then_some(piece)
    }
}

impl Source for Script<'_> {
    fn read_once(&self, into: &mut [u8]) -> io::Result<usize> {
        assert!(!into.is_empty(), "nothing was asked for");
        let piece = self.take(into.len()).ok_or(io::ErrorKind::Interrupted)?;
        into[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        assert!(timeout.is_some_and(|time| !time.is_zero()), "a read may wait for ever");
        Ok(())
    }
}

/// One request as the service gets it, and how long its head is.
#[derive(Debug, PartialEq, Eq)]
struct Got {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, Vec<u8>)>,
    http10: bool,
    framing: Framing,
    head: usize,
    body: Vec<u8>,
}

/// How a connection ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With the end of what the client sends, or after a request that asked for it.
    Closed,
    Refused(Refusal),
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Quiet => End::Closed,
            Stop::Refuse(refusal) => End::Refused(refusal),
        }
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        End::Refused(refusal)
    }
}

/// Reads a connection as it is read that serves one.
fn serve(script: &Script, limits: &Limits, sends_ahead: bool) -> (Vec<Got>, End) {
    let mut reader = Reader::new(limits.idle_time, &Bodies::new(limits.bodies_bytes));
    let mut all = Vec::new();
    loop {
        match one(script, &mut reader, limits) {
            Ok((got, keep_alive)) => {
                all.push(got);
                if !keep_alive {
                    return (all, End::Closed);
                }
            }
            Err(end) => return (all, end),
        }
        if sends_ahead {
            // What came while the request was answered.
            let mut ahead = script.take(usize::MAX).unwrap_or_default().to_vec();
            reader.append(&mut ahead);
        }
    }
}

fn one(script: &Script, reader: &mut Reader, limits: &Limits) -> Result<(Got, bool), End> {
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    reader.wait_head(script, limits, peer)?;
    let parsed = reader.head(limits, peer)?;
    let (facts, head) = (parsed.facts()?, parsed.head);
    let mut got = Got {
        method: head.method.to_owned(),
        path: head.path.to_owned(),
        query: head.query.to_owned(),
        headers: head.headers.iter().map(|(n, v)| (n.to_string(), v.to_vec())).collect(),
        http10: facts.http10,
        framing: facts.framing,
        head: facts.head,
        body: Vec::new(),
    };
    assert!(facts.head <= limits.head_bytes && got.headers.len() <= limits.headers);
    reader.check_length(&facts, limits)?;
    let body = match reader.whole_body(&facts) {
        Some(body) => body,
        None => reader.read_body(script, &facts, limits)?,
    };
    // The head is still there behind the body, and says the same.
    let again = reader.head(limits, peer)?.head;
    assert_eq!((again.method, again.path), (got.method.as_str(), got.path.as_str()));
    got.body = reader.body(&body).to_vec();
    assert!(got.body.len() <= limits.body_bytes, "a body over its limit");
    reader.consume(&body);
    Ok((got, facts.keep_alive))
}

/// Holds each request against the bytes that were sent.
fn check(sent: &[u8], all: &[Got]) {
    let mut rest = sent;
    for got in all {
        let blank = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let (head, behind) = rest[blank..].split_at(got.head);
        check_head(head, got);
        let (body, used) = match got.framing {
            Framing::Length(length) => (behind[..length].to_vec(), length),
            Framing::Chunked => chunks(behind).expect("the chunks are whole"),
        };
        assert_eq!(got.body, body, "the body is not what was sent");
        rest = &behind[used..];
    }
}

/// A head that is accepted says one thing only about its body.
fn check_head(head: &[u8], got: &Got) {
    let mut lines =
        head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = lines.next().expect("a request line");
    assert!(first.starts_with(got.method.as_bytes()) && got.path.len() <= first.len());
    let (mut lengths, mut encodings, mut hosts) = (Vec::new(), Vec::new(), 0);
    let mut count = 0;
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let at = line.iter().position(|b| *b == b':').expect("a header has a colon");
        let (name, value) = (line[..at].to_ascii_lowercase(), line[at + 1..].trim_ascii());
        assert!(!name.is_empty() && !name.iter().any(|b| b.is_ascii_whitespace() || *b < b'!'));
        assert!(!value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')), "a line in a value");
        assert_eq!(got.headers[count].1, value);
        count += 1;
        match name.as_slice() {
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => encodings.push(value),
            b"host" => hosts += 1,
            _ => {}
        }
    }
    assert_eq!(count, got.headers.len(), "headers");
    assert!(hosts == 1 || hosts == 0 && got.http10, "hosts");
    match got.framing {
        Framing::Chunked => {
            assert!(lengths.is_empty() && !got.http10, "two framings");
            assert!(encodings.len() == 1 && encodings[0].eq_ignore_ascii_case(b"chunked"));
        }
        Framing::Length(length) => {
            assert!(encodings.is_empty(), "two framings");
            for said in lengths.iter() {
                assert!(said.iter().all(u8::is_ascii_digit));
                assert_eq!(std::str::from_utf8(said).unwrap().parse(), Ok(length));
            }
            assert!(!lengths.is_empty() || length == 0);
        }
    }
}

/// Decodes a chunked body, and tells how long it was.
fn chunks(sent: &[u8]) -> Option<(Vec<u8>, usize)> {
    let line = |from: usize| {
        let end = from + sent[from..].windows(2).position(|two| two == b"\r\n")?;
        Some((&sent[from..end], end + 2))
    };
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let (size, data) = line(at)?;
        let digits = size.split(|b| *b == b';').next()?.trim_ascii_end();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        at = data;
        if size == 0 {
            break;
        }
        body.extend_from_slice(sent.get(at..at + size)?);
        assert_eq!(&sent[at + size..at + size + 2], b"\r\n", "what ends a chunk");
        at += size + 2;
    }
    loop {
        let (trailer, next) = line(at)?;
        at = next;
        if trailer.is_empty() {
            return Some((body, at));
        }
    }
}

fn limits(choice: u8) -> Limits {
    let long = Duration::from_secs(3600);
    Limits {
        head_bytes: [64, 256, 4096, 16 * 1024][usize::from(choice & 3)],
        headers: [3, 64, 100, 256][usize::from(choice >> 2 & 3)],
        body_bytes: [4, 40, 1000, 1 << 20][usize::from(choice >> 4 & 3)],
        bodies_bytes: 1 << 22,
        head_time: long,
        body_time: long,
        idle_time: long,
        write_time: long,
        connections: 1,
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&[choice, cut, ref lengths @ ..], sent)) = input.split_first_chunk::<10>() else {
        return;
    };
    let limits = limits(choice);
    let scale = [1, 1, 16, 512][usize::from(cut & 3)];
    let lengths: Vec<usize> = lengths.iter().map(|length| usize::from(*length) * scale).collect();
    // All of no length would be interrupted for ever.
    let lengths = if lengths.iter().all(|length| *length == 0) { vec![1] } else { lengths };
    let mut repeated;
    let sent = match cut & 0x6c {
        // Floods of small chunks and long bodies, which are more than an input has.
        0x6c => {
            let (from, to) = (sent.len() / 4, sent.len() * 3 / 4);
            repeated = sent[..from].to_vec();
            while to > from && repeated.len() < 150_000 {
                repeated.extend_from_slice(&sent[from..to]);
            }
            repeated.extend_from_slice(&sent[to..]);
            &repeated[..]
        }
        _ => sent,
    };
    let whole = serve(&Script::new(sent, Vec::new()), &limits, false);
    check(sent, &whole.0);
    let pieces = serve(&Script::new(sent, lengths), &limits, cut & 0x10 != 0);
    assert_eq!(whole, pieces, "in one piece, and in many");
});
