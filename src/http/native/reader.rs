//! Reading one connection: a buffer, the head, and the body by either framing, within limits and
//! deadlines. What is wrong with a request is said as a [`Refusal`]; nothing here writes.

use super::super::{Limits, Refusal};
use super::bodies::{Bodies, Claim, FREE};
use super::head::{Facts, Framing, Parsed, parse};
use std::io::{self, Read};
use std::net::{IpAddr, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

/// What is asked for at a time, where it is not known how much comes.
const STEP: usize = 2048;
/// A buffer that grew beyond this is given back after the request.
const KEEP: usize = FREE;
/// The longest chunk-size line: 16 digits, and room for extensions that nobody uses.
const CHUNK_LINE: usize = 256;

/// Why reading ended without a request.
#[derive(Debug)]
pub enum Stop {
    /// The client closed, reset, or sat idle too long: nothing is to be said.
    Quiet,
    /// Answer this and close.
    Refuse(Refusal),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refuse(refusal)
    }
}

/// What a [`Reader`] reads from: a socket, or whoever plays one.
pub trait Source {
    /// Reads once; 0 bytes are the end.
    fn read_once(&self, into: &mut [u8]) -> io::Result<usize>;
    /// How long a read may wait from now on.
    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()>;
}

impl Source for TcpStream {
    fn read_once(&self, into: &mut [u8]) -> io::Result<usize> {
        let mut stream = self;
        stream.read(into)
    }

    fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        TcpStream::set_read_timeout(self, timeout)
    }
}

/// The bytes of one connection that were read and not yet used.
pub struct Reader {
    /// Always initialised in full; `start..end` is what was read.
    data: Vec<u8>,
    start: usize,
    end: usize,
    timeout: Duration,
    claim: Claim,
}

impl Reader {
    /// An empty buffer over a stream whose read timeout is `timeout`, which grows within `bodies`.
    pub fn new(timeout: Duration, bodies: &Bodies) -> Self {
        Reader { data: Vec::new(), start: 0, end: 0, timeout, claim: bodies.claim() }
    }

    /// Whether nothing of a next request has come.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn bytes(&self) -> &[u8] {
        self.data.get(self.start..self.end).unwrap_or_default()
    }

    /// Makes room for at least one byte and at most `want`, growing by doubling.
    fn room(&mut self, want: usize) -> Result<&mut [u8], Refusal> {
        if self.end == self.data.len() {
            self.move_up();
        }
        if self.end == self.data.len() {
            let more = want.clamp(STEP, self.data.len().max(STEP));
            self.reserve(more)?;
            self.data.resize(self.data.len() + more, 0);
        }
        Ok(&mut self.data[self.end..])
    }

    /// Makes the buffer take `more` bytes than it has, as far as there is memory for it.
    fn reserve(&mut self, more: usize) -> Result<(), Refusal> {
        let wanted = self.data.len().saturating_add(more);
        if wanted > self.data.capacity()
            && (!self.claim.hold(wanted) || self.data.try_reserve_exact(more).is_err())
        {
            return Err(Refusal::NoMemory);
        }
        Ok(())
    }

    /// Moves what was read up to the beginning.
    fn move_up(&mut self) {
        if self.start > 0 {
            self.data.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Reads once, waiting until `deadline` at most.
    fn fill(&mut self, stream: &dyn Source, deadline: Instant, want: usize) -> Result<(), Stop> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Refusal::TooSlow.into());
            }
            // In whole seconds but for the last, so that a body in many pieces costs one system
            // call a second for it.
            let whole = Duration::from_secs(left.as_secs());
            self.set_timeout(stream, if whole.is_zero() { left } else { whole })?;
            if self.read(stream, want)? {
                return Ok(());
            }
        }
    }

    fn set_timeout(&mut self, stream: &dyn Source, timeout: Duration) -> Result<(), Stop> {
        if self.timeout != timeout {
            stream.set_read_timeout(Some(timeout)).map_err(|_| Stop::Quiet)?;
            self.timeout = timeout;
        }
        Ok(())
    }

    /// One read; `false` when it ran into the socket's timeout.
    // A little comes by way of the stack, so that what is kept while a request waits is as large as
    // the request. That space must then be off the stack again.
    #[inline(never)]
    fn read(&mut self, stream: &dyn Source, want: usize) -> Result<bool, Stop> {
        let mut little = [0; STEP];
        loop {
            let read = match want <= STEP {
                true => stream.read_once(&mut little),
                false => stream.read_once(self.room(want)?),
            };
            match read {
                Ok(0) => return Err(Stop::Quiet),
                Ok(n) => {
                    if want <= STEP {
                        self.move_up();
                        self.data.truncate(self.end);
                        if n > self.data.capacity() - self.data.len() {
                            self.reserve(n.max(self.data.len()))?;
                        }
                        self.data.extend_from_slice(&little[..n]);
                    }
                    self.end += n;
                    return Ok(true);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_timeout(&e) => return Ok(false),
                Err(_) => return Err(Stop::Quiet),
            }
        }
    }

    /// Takes over what came while a request was being answered.
    pub fn append(&mut self, ahead: &mut Vec<u8>) {
        if ahead.is_empty() {
            return;
        }
        self.data.truncate(self.end);
        self.data.append(ahead);
        self.end = self.data.len();
    }

    /// Waits for a whole head: up to the idle time for its first byte, then as the limits say. What
    /// cannot become one is refused before its end.
    pub fn wait_head(
        &mut self,
        stream: &dyn Source,
        limits: &Limits,
        peer: IpAddr,
    ) -> Result<(), Stop> {
        let mut deadline = Instant::now() + limits.head_time;
        loop {
            // Blank lines before a request are to be ignored (RFC 9112 §2.2), and begin none.
            while self.bytes().starts_with(b"\r\n") {
                self.start += 2;
            }
            // Half of one, as likely.
            if self.is_empty() || self.bytes() == b"\r" {
                self.set_timeout(stream, limits.idle_time)?;
                if !self.read(stream, STEP)? {
                    return Err(Stop::Quiet);
                }
                deadline = Instant::now() + limits.head_time;
                continue;
            }
            // Half of one before a head would be skipped by the parser, and hide where the head ends.
            if self.bytes().first().is_some_and(|b| matches!(b, b'\r' | b'\n')) {
                return Err(Refusal::Malformed("a line of the head does not end in CRLF").into());
            }
            // Most come in one piece, and are then parsed once, by whoever asked.
            let ends = self.bytes().windows(4).any(|four| four == b"\r\n\r\n");
            if ends || parse(self.bytes(), limits, peer)?.is_some() {
                return Ok(());
            }
            self.fill(stream, deadline, STEP)?;
        }
    }

    /// The head that [`Reader::wait_head`] found.
    pub fn head(&self, limits: &Limits, peer: IpAddr) -> Result<Parsed<'_>, Refusal> {
        parse(self.bytes(), limits, peer)?.ok_or(Refusal::Malformed("the head ended early"))
    }

    /// The body, where all of it came with its head, in one piece.
    pub fn whole_body(&self, facts: &Facts) -> Option<Body> {
        let Framing::Length(length) = facts.framing else { return None };
        let whole = facts.head.checked_add(length)?;
        (whole <= self.end - self.start)
            .then_some(Body { range: facts.head..whole, raw_end: whole })
    }

    /// Refuses a body that says beforehand that it is too large, or larger than there is room for now.
    pub fn check_length(&self, facts: &Facts, limits: &Limits) -> Result<(), Refusal> {
        match facts.framing {
            Framing::Length(length) if length > limits.body_bytes => {
                Err(Refusal::BodyTooLarge(limits.body_bytes))
            }
            Framing::Length(length) if !self.claim.has_room(facts.head.saturating_add(length)) => {
                Err(Refusal::NoMemory)
            }
            _ => Ok(()),
        }
    }

    /// Reads what is missing of the body. Afterwards [`Reader::body`] has it, and the head is still
    /// in place.
    pub fn read_body(
        &mut self,
        stream: &dyn Source,
        facts: &Facts,
        limits: &Limits,
    ) -> Result<Body, Stop> {
        self.check_length(facts, limits)?;
        let deadline = Instant::now() + limits.body_time;
        match facts.framing {
            Framing::Length(length) => {
                let whole = facts.head + length;
                while self.end - self.start < whole {
                    self.fill(stream, deadline, whole - (self.end - self.start))?;
                }
                Ok(Body { range: facts.head..whole, raw_end: whole })
            }
            Framing::Chunked => self.read_chunks(stream, facts.head, limits, deadline),
        }
    }

    /// Decodes chunks where they lie: each one's data is moved up to the end of the one before.
    fn read_chunks(
        &mut self,
        stream: &dyn Source,
        head: usize,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Body, Stop> {
        let limit = limits.body_bytes;
        let (mut raw, mut decoded) = (head, head);
        loop {
            let line = self.line(stream, raw, CHUNK_LINE, deadline)?;
            let size = chunk_size(&self.bytes()[raw..line - 2])?;
            raw = line;
            if size == 0 {
                break;
            }
            if size > limit - (decoded - head) {
                return Err(Refusal::BodyTooLarge(limit).into());
            }
            while self.end - self.start < raw + size + 2 {
                self.fill(stream, deadline, raw + size + 2 - (self.end - self.start))?;
            }
            if &self.bytes()[raw + size..raw + size + 2] != b"\r\n" {
                return Err(Refusal::Malformed("a chunk is longer than it says").into());
            }
            let at = self.start + raw;
            self.data.copy_within(at..at + size, self.start + decoded);
            decoded += size;
            raw += size + 2;
            // What many small chunks cost in framing must not pile up in the buffer.
            if raw - decoded > KEEP {
                self.data.copy_within(self.start + raw..self.end, self.start + decoded);
                self.end -= raw - decoded;
                raw = decoded;
            }
        }
        // Trailers, to be read and forgotten; together they may be as long as a head.
        let most = raw + limits.head_bytes;
        loop {
            let line = self.line(stream, raw, most.saturating_sub(raw), deadline)?;
            let trailer = &self.bytes()[raw..line - 2];
            raw = line;
            if trailer.is_empty() {
                return Ok(Body { range: head..decoded, raw_end: raw });
            }
            if !is_field(trailer) {
                return Err(Refusal::Malformed("a trailer is no header").into());
            }
        }
    }

    /// The end of the CRLF-ended line that begins at `from` and is at most `most` bytes long.
    fn line(
        &mut self,
        stream: &dyn Source,
        from: usize,
        most: usize,
        deadline: Instant,
    ) -> Result<usize, Stop> {
        let too_long = || Refusal::Malformed("a chunk's size line or the trailers are too long");
        let mut seen = from;
        loop {
            let bytes = self.bytes();
            if let Some(at) = bytes[seen..].iter().position(|b| *b == b'\n') {
                let end = seen + at + 1;
                return match bytes[from..end].ends_with(b"\r\n") {
                    _ if end - from > most => Err(too_long().into()),
                    true => Ok(end),
                    false => Err(Refusal::Malformed("a chunk line does not end in CRLF").into()),
                };
            }
            seen = bytes.len();
            if seen - from > most {
                return Err(too_long().into());
            }
            self.fill(stream, deadline, STEP)?;
        }
    }

    /// The body that [`Reader::read_body`] found.
    pub fn body(&self, body: &Body) -> &[u8] {
        self.bytes().get(body.range.clone()).unwrap_or_default()
    }

    /// Forgets a request that was answered, and gives back a large buffer.
    pub fn consume(&mut self, body: &Body) {
        self.start = (self.start + body.raw_end).min(self.end);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
        if self.data.capacity() > KEEP {
            // What was sent ahead of its time is little, and need not lie in what held the body.
            self.data = self.bytes().to_vec();
            self.start = 0;
            self.end = self.data.len();
            self.claim.hold(self.data.capacity());
        }
    }

    /// Forgets all that was read, and gives its memory back.
    pub fn clear(&mut self) {
        self.data = Vec::new();
        self.start = 0;
        self.end = 0;
        self.claim.hold(0);
    }
}

/// Whether the client closed its side. Takes in what it sent meanwhile, up to a bound, since the
/// end of a stream can only be seen behind all that came before it.
pub fn is_gone(mut stream: &TcpStream, ahead: &mut Vec<u8>) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return true;
    }
    let mut piece = [0; 1024];
    let gone = loop {
        if ahead.len() >= KEEP {
            break false;
        }
        match stream.read(&mut piece) {
            Ok(0) => break true,
            Ok(n) => ahead.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break !is_timeout(&e),
        }
    };
    stream.set_nonblocking(false).is_err() || gone
}

/// Where a decoded body lies, and where its framing ends.
#[derive(Debug, Clone)]
pub struct Body {
    range: Range<usize>,
    raw_end: usize,
}

/// Whether a read or write ended because the socket's timeout passed.
pub fn is_timeout(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// The size that a chunk's line gives, which comes without its end: hexadecimal digits, and behind
/// semicolons what nobody here knows (RFC 9112 §7.1).
fn chunk_size(line: &[u8]) -> Result<usize, Refusal> {
    if line.iter().any(is_control) {
        return Err(Refusal::Malformed("a chunk's size line holds a control character"));
    }
    let mut parts = line.split(|b| *b == b';');
    let size = parts.next().unwrap_or_default();
    // Blanks may only lead to an extension.
    let size = if size.len() == line.len() { size } else { size.trim_ascii_end() };
    let text = std::str::from_utf8(size).unwrap_or_default();
    if text.is_empty() || text.len() > 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Refusal::Malformed("a chunk size is not a hexadecimal number"));
    }
    if parts.any(|extension| extension.trim_ascii().is_empty()) {
        return Err(Refusal::Malformed("a chunk's extension has no name"));
    }
    Ok(usize::from_str_radix(text, 16).unwrap_or(usize::MAX))
}

/// Whether the line, which comes without its end, is a header: a name, a colon, and text.
fn is_field(line: &[u8]) -> bool {
    let may_be_in_name = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let name = line.split(|b| *b == b':').next().unwrap_or_default();
    let is_name = !name.is_empty() && name.len() < line.len() && name.iter().all(may_be_in_name);
    is_name && !line.iter().any(is_control)
}

fn is_control(byte: &u8) -> bool {
    (*byte < b' ' && *byte != b'\t') || *byte == 0x7f
}

#[cfg(test)]
mod tests;
