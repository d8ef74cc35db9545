//! One connection from its first byte to its last: read a request, have it admitted, read its body,
//! have it answered, and again. Requests sent ahead are answered in the order in which they came.

use super::super::{Limits, Refusal, Request, Responder, Response, Service};
use super::bodies::{Bodies, FREE};
use super::head::Facts;
use super::places::Place;
use super::reader::{Reader, Stop};
use super::writer::Writer;
use crate::memory;
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// For how long, and how much, a refused client may go on sending before it is cut off. Closing
/// at once would reset the connection and take the answer away with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 64 * 1024 * 1024;
/// How many times its own size a body takes at most while it is handled: its text, the line to the
/// host, and the lines of the log.
const HANDLING: usize = 4;

/// Serves one connection to its end.
pub fn serve<S: Service>(place: &Place, limits: &Limits, bodies: &Bodies, service: &S) {
    let stream = place.stream();
    let Ok(peer) = stream.peer_addr() else { return };
    let ready = stream
        .set_nodelay(true)
        .and_then(|()| stream.set_write_timeout(Some(limits.write_time)))
        .and_then(|()| stream.set_read_timeout(Some(limits.idle_time)));
    if ready.is_err() {
        return;
    }
    let mut reader = Reader::new(limits.idle_time, bodies);
    let mut out = Vec::new();
    loop {
        match one(place, stream, &mut reader, &mut out, limits, service, peer.ip()) {
            Ok(true) => place.set_idle(),
            Ok(false) | Err(Stop::Quiet) => return,
            Err(Stop::Refuse(refusal)) => {
                let response = worded(refusal, &reader, limits, service, peer.ip());
                reader.clear();
                return refuse(place, &mut out, &response, LINGER);
            }
        }
        // Whoever stops the server cuts off what is idle by then; who falls idle later leaves here.
        if place.is_ending() {
            return;
        }
    }
}

/// A refusal in the words of the service, for the head that it is about.
// What this needs of the stack must not lie below a request that waits.
#[inline(never)]
fn worded<S: Service>(
    refusal: Refusal,
    reader: &Reader,
    limits: &Limits,
    service: &S,
    peer: IpAddr,
) -> Response {
    let head = reader.head(limits, peer).ok().map(|parsed| parsed.head);
    service.refuse(refusal, head.as_ref())
}

/// Serves one request; `Ok(false)` when the connection is to be closed after it.
fn one<S: Service>(
    place: &Place,
    stream: &TcpStream,
    reader: &mut Reader,
    out: &mut Vec<u8>,
    limits: &Limits,
    service: &S,
    peer: IpAddr,
) -> Result<bool, Stop> {
    reader.wait_head(stream, limits, peer)?;
    let parsed = reader.head(limits, peer)?;
    let (facts, mut head) = (parsed.facts()?, parsed.head);
    place.set_busy();
    if place.is_evicted() {
        return Err(Stop::Quiet);
    }
    if !place.is_within_bound() {
        return Err(Refusal::Full.into());
    }
    if place.is_refusing() {
        return Err(Refusal::Stopping.into());
    }
    let visit = match service.admit(&head) {
        Ok(visit) => visit,
        Err(response) => {
            drop(head);
            return Ok(decline(place, reader, out, facts, &response));
        }
    };
    reader.check_length(&facts, limits)?;
    let body = match reader.whole_body(&facts) {
        Some(body) => body,
        None => {
            // It moves while more is read.
            drop(head);
            if facts.expects_continue {
                let mut stream = stream;
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").map_err(|_| Stop::Quiet)?;
            }
            let body = reader.read_body(stream, &facts, limits)?;
            let length = reader.body(&body).len();
            if length > FREE && !memory::is_there(length.saturating_mul(HANDLING)) {
                return Err(Refusal::NoMemory.into());
            }
            head = reader.head(limits, peer)?.head;
            body
        }
    };

    let request = Request { head, body: reader.body(&body) };
    let mut ahead = Vec::new();
    let mut writer = Writer::new(place, &mut ahead, facts, out);
    // A bug met by one request must not take the other connections with it.
    let handled = catch_unwind(AssertUnwindSafe(|| service.handle(&request, visit, &mut writer)));
    if handled.is_err() && writer.is_fresh() {
        // Should even this fail, the connection is closed below.
        let _ = writer.respond(&service.refuse(Refusal::Bug, Some(&request.head)));
    }
    let go_on = matches!(handled, Ok(Ok(()))) && writer.can_go_on();
    drop(writer);
    drop(request);
    reader.consume(&body);
    reader.append(&mut ahead);
    Ok(go_on)
}

/// Answers a request that was not admitted; whether the connection can go on.
// What this needs of the stack must not lie below a request that waits.
#[inline(never)]
fn decline(
    place: &Place,
    reader: &mut Reader,
    out: &mut Vec<u8>,
    facts: Facts,
    response: &Response,
) -> bool {
    // An answer now, and a body nobody reads: only closing keeps the two apart.
    let Some(body) = reader.whole_body(&facts) else {
        reader.clear();
        refuse(place, out, response, LINGER);
        return false;
    };
    reader.consume(&body);
    let mut ahead = Vec::new();
    let mut writer = Writer::new(place, &mut ahead, facts, out);
    writer.respond(response).is_ok() && writer.can_go_on()
}

/// Tells a client that it cannot be served, within `time`, on the thread that is there.
pub fn turn_away(place: &Place, service: &impl Service, time: Duration) {
    // A client whose connection takes no such setting is dropped without a word.
    if place.stream().set_write_timeout(Some(time)).is_ok() {
        refuse(place, &mut Vec::new(), &service.refuse(Refusal::Full, None), time);
    }
}

/// Answers, says that nothing more is read, and lets the client finish sending into the void for as
/// long as `linger`.
#[inline(never)]
fn refuse(place: &Place, out: &mut Vec<u8>, response: &Response, linger: Duration) {
    let stream = place.stream();
    let mut ahead = Vec::new();
    let answered = Writer::new(place, &mut ahead, Facts::closing(), out).respond(response);
    if answered.is_err() || stream.shutdown(Shutdown::Write).is_err() {
        return;
    }
    // All is said, so that it may be sent away for somebody else.
    place.set_idle();
    let until = Instant::now() + linger;
    let mut stream = stream;
    let mut void = [0; 4096];
    let mut left = LINGER_BYTES;
    loop {
        let time = until.saturating_duration_since(Instant::now());
        if time.is_zero() || stream.set_read_timeout(Some(time)).is_err() {
            return;
        }
        match stream.read(&mut void) {
            Ok(0) | Err(_) => return,
            Ok(n) if n > left => return,
            Ok(n) => left -= n,
        }
    }
}
