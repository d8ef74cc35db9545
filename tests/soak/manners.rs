//! The manners of clients that are not as one would wish: wrong, gone, slow, or no clients at all.

use super::account::Said;
use super::clients::{Client, Request};
use super::deeds::Deed;
use crate::chaos::dialects::Dialect;
use crate::common::calls::{Caller, Lost};
use socket2::{Domain, SockRef, Socket, Type};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

/// From how many addresses wrong keys come, so that hardly any is slowed down.
const ADDRESSES: usize = 512;

#[derive(Debug, Clone, Copy)]
enum Manner {
    Asks,
    Refused(Refusal),
    Errs,
    LeavesWaiting,
    ResetsWaiting,
    LeavesSending,
    ResetsSending,
    LeavesStream,
    HalfCloses,
    IsGarbage,
    StallsHead,
    StallsBody,
    StallsReading,
    NeverReads,
    SaysNothing,
    Pipelines,
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    WrongKey,
    RevokedKey,
    NoKey,
    Model,
    Address,
    Path,
    Method,
    Host,
    Origin,
}

/// How often of 10,000 each is drawn; the rest just asks.
const MANNERS: [(usize, Manner); 23] = [
    (60, Manner::Refused(Refusal::WrongKey)),
    (30, Manner::Refused(Refusal::RevokedKey)),
    (30, Manner::Refused(Refusal::NoKey)),
    (30, Manner::Refused(Refusal::Model)),
    (30, Manner::Refused(Refusal::Address)),
    (60, Manner::Refused(Refusal::Path)),
    (20, Manner::Refused(Refusal::Method)),
    (20, Manner::Refused(Refusal::Host)),
    (20, Manner::Refused(Refusal::Origin)),
    (50, Manner::Errs),
    (20, Manner::LeavesWaiting),
    (15, Manner::ResetsWaiting),
    (30, Manner::LeavesSending),
    (20, Manner::ResetsSending),
    (10, Manner::LeavesStream),
    (8, Manner::HalfCloses),
    (30, Manner::IsGarbage),
    (1, Manner::StallsHead),
    (1, Manner::StallsBody),
    (2, Manner::StallsReading),
    (1, Manner::NeverReads),
    (20, Manner::SaysNothing),
    (20, Manner::Pipelines),
];

impl Client<'_> {
    /// Does one thing after another, until there is to be no more.
    pub fn live(&mut self) {
        while self.stage.waits_turn() {
            let mut drawn = self.random.of(0..10_000);
            let manner = MANNERS.iter().find(|(often, _)| {
                let is_it = drawn < *often;
                drawn = drawn.saturating_sub(*often);
                is_it
            });
            self.behave(manner.map_or(Manner::Asks, |(_, manner)| *manner));
        }
    }

    fn behave(&mut self, manner: Manner) {
        match manner {
            Manner::Asks => self.asks_something(),
            Manner::Refused(why) => self.is_refused(why),
            Manner::Errs => self.errs(),
            Manner::LeavesWaiting => self.leaves(false),
            Manner::ResetsWaiting => self.leaves(true),
            Manner::LeavesSending => self.leaves_sending(false),
            Manner::ResetsSending => self.leaves_sending(true),
            Manner::LeavesStream => self.leaves_stream(),
            Manner::HalfCloses => self.half_closes(),
            Manner::IsGarbage => self.is_garbage(),
            Manner::StallsHead => self.stalls_head(),
            Manner::StallsBody => self.stalls_body(),
            Manner::StallsReading => self.stalls_reading(),
            Manner::NeverReads => self.never_reads(),
            Manner::SaysNothing => {
                self.stage.count("said nothing");
                let quiet = self.connect();
                thread::sleep(self.random.millis(0..500));
                drop(quiet);
            }
            Manner::Pipelines => self.pipelines(),
        }
    }

    fn connect(&self) -> Option<Caller> {
        let caller = Caller::connect(self.stage.addr);
        caller.map_err(|e| self.stage.fault(format!("no connection: {e:?}"))).ok()
    }

    /// A connection from another address than the others, where the system has more of them.
    fn connect_from_elsewhere(&mut self) -> std::io::Result<Caller> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if cfg!(target_os = "linux") {
            let at = self.random.of(0..ADDRESSES);
            let from = Ipv4Addr::new(127, 1, (at / 250) as u8, (at % 250 + 1) as u8);
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        socket.connect(&self.stage.addr.into())?;
        Ok(Caller::over(socket.into()))
    }

    /// Tells the account that a request was not waited for.
    fn gave_up(&self, number: u64, must: bool) {
        self.stage.say(Said { number, must, answer: None });
    }

    fn is_refused(&mut self, why: Refusal) {
        self.stage.count("turned away");
        let dialect = *self.random.one_of(&crate::chaos::dialects::ALL);
        let keys = &self.stage.keys;
        let key = match why {
            Refusal::WrongKey => "mt_not-a-key-at-all",
            Refusal::RevokedKey => &keys.revoked,
            Refusal::NoKey => "",
            Refusal::Model => &keys.for_model,
            Refusal::Address => &keys.for_address,
            _ => &keys.plain,
        };
        let headers = match why {
            Refusal::Origin => vec!["Origin: http://elsewhere.example\r\n".to_owned()],
            _ => Vec::new(),
        };
        let request = self.request_as(dialect, false, Deed::Answer, "", key, &headers);
        let text = String::from_utf8(request.bytes).expect("text");
        let text = match why {
            Refusal::NoKey => text.replacen("Authorization: Bearer \r\n", "", 1),
            Refusal::Path => text.replacen("POST /v1/", "POST /v2/", 1),
            Refusal::Method => text.replacen("POST", "PUT", 1),
            Refusal::Host => text.replacen("Host: localhost", "Host: elsewhere.example", 1),
            _ => text,
        };
        let statuses: &[u16] = match why {
            Refusal::WrongKey | Refusal::RevokedKey | Refusal::NoKey => &[401, 429],
            // A good key that is new to an address from which too many wrong ones came.
            Refusal::Model | Refusal::Address => &[403, 429],
            Refusal::Path => &[404],
            Refusal::Method => &[405],
            _ => &[403],
        };
        let asked = self.connect_from_elsewhere().map_err(|e| format!("no connection: {e}"));
        let answer = asked.and_then(|mut caller| {
            let answer = caller.send(text.as_bytes()).and_then(|()| caller.answer());
            answer.map_err(|lost| format!("{lost:?}"))
        });
        match answer {
            Ok(answer) if statuses.contains(&answer.status) => {
                self.takes_down(request.number, &answer, false);
            }
            other => self.stage.fault(format!("{why:?}: {other:.1000?}")),
        }
    }

    /// A body that is no request.
    fn errs(&mut self) {
        self.stage.count("erred");
        let request = self.request(Deed::Fail(-32602), "", &[]);
        let at = request.bytes.iter().position(|b| *b == b'{').expect("a body");
        let mut bytes = request.bytes;
        bytes[at] = b'[';
        self.asks(Request { bytes, ..request }, false);
    }

    /// Leaves, or resets, while it is waited for an answer.
    fn leaves(&mut self, reset: bool) {
        self.stage.count("left waiting");
        let deed = match self.random.percent(50) {
            true => Deed::Late(self.random.of(20..1500) as u64),
            false => Deed::Answer,
        };
        let request = self.request(deed, "", &[]);
        let Some(mut caller) = self.connect() else { return };
        if caller.send(&request.bytes).is_err() {
            self.stage.fault(format!("request {} was not read", request.number));
        }
        thread::sleep(self.random.millis(0..300));
        if reset {
            let _ = SockRef::from(&caller.stream).set_linger(Some(Duration::ZERO));
        }
        drop(caller);
        // What had not been taken when the reset came is lost.
        self.gave_up(request.number, !reset);
    }

    fn leaves_sending(&mut self, reset: bool) {
        self.stage.count("left sending");
        let padding = "so ".repeat(self.random.of(1..20_000));
        let request = self.request(Deed::Answer, &padding, &[]);
        let Some(mut caller) = self.connect() else { return };
        let sent = self.random.of(1..request.bytes.len());
        let _ = caller.send(&request.bytes[..sent]);
        thread::sleep(self.random.millis(0..100));
        if reset {
            let _ = SockRef::from(&caller.stream).set_linger(Some(Duration::ZERO));
        }
        drop(caller);
        self.gave_up(request.number, false);
    }

    /// Leaves once the head of a stream has come.
    fn leaves_stream(&mut self) {
        self.stage.count("left a stream");
        let deed = match self.random.percent(50) {
            true => Deed::Late(self.random.of(100..2000) as u64),
            false => Deed::Long(self.random.of(50_000..500_000)),
        };
        let dialect = *self.random.one_of(&crate::chaos::dialects::ALL);
        let key = &self.stage.keys.plain;
        let request = self.request_as(dialect, true, deed, "", key, &[]);
        let Some(mut caller) = self.connect() else { return };
        let begun = caller.send(&request.bytes).and_then(|()| caller.head());
        if let Err(lost) = begun {
            self.stage.fault(format!("request {}: {lost:?}", request.number));
        }
        drop(caller);
        self.gave_up(request.number, true);
    }

    /// Sends no more, and waits for what comes: an answer, or nothing where it takes so long that it
    /// counts as gone.
    fn half_closes(&mut self) {
        self.stage.count("half closed");
        let deed = match self.random.percent(50) {
            true => Deed::Late(self.random.of(500..2500) as u64),
            false => Deed::Answer,
        };
        let request = self.request(deed, "", &[]);
        let Some(mut caller) = self.connect() else { return };
        let sent = caller.send(&request.bytes);
        if sent.is_err() || caller.stream.shutdown(Shutdown::Write).is_err() {
            self.stage.fault(format!("request {} was not read", request.number));
        }
        match caller.answer() {
            Ok(answer) => self.judge(&request, &answer),
            Err(Lost::Closed(_)) => self.gave_up(request.number, true),
            Err(Lost::Refused) => unreachable!("it is connected"),
        }
    }

    fn is_garbage(&mut self) {
        self.stage.count("sent garbage");
        let number = self.stage.number();
        let mut bytes: Vec<u8> = match self.random.of(0..4) {
            // No method begins with such a byte.
            0 => (0..self.random.of(1..300)).map(|_| self.random.next() as u8 | 0x80).collect(),
            1 => {
                let headers = self.headers(number, &self.stage.keys.plain, &[]);
                format!("POST /v1/messages HTTP/1.1\r\n{headers}Content-Length: -1").into_bytes()
            }
            2 => b"GET /v1/models HTTP/9.7\r\nHost: localhost".to_vec(),
            _ => format!("GET /{} HTTP/1.1", "x".repeat(20_000)).into_bytes(),
        };
        bytes.extend(b"\r\n\r\n");
        let Some(mut caller) = self.connect() else { return };
        if caller.send(&bytes).is_ok() {
            let rest = caller.rest();
            if !rest.starts_with(b"HTTP/1.1 4") {
                let rest = String::from_utf8_lossy(&rest);
                self.stage.fault(format!("garbage was answered with {rest:?}"));
            }
        }
        // Some of it has a head that can be read.
        self.gave_up(number, false);
    }

    fn stalls_head(&mut self) {
        self.stage.count("stalled sending");
        let Some(mut caller) = self.connect() else { return };
        let sent = caller.send(b"POST /v1/messages HTTP/1.1\r\nHost: loc");
        let rest = caller.rest();
        if sent.is_err() || !rest.starts_with(b"HTTP/1.1 408") {
            self.stage.fault(format!("a head that stalls: {:?}", String::from_utf8_lossy(&rest)));
        }
    }

    fn stalls_body(&mut self) {
        self.stage.count("stalled sending");
        let request = self.request(Deed::Answer, "", &[]);
        let Some(mut caller) = self.connect() else { return };
        let all_but_one = request.bytes.len() - 1;
        match caller.send(&request.bytes[..all_but_one]).and_then(|()| caller.answer()) {
            Ok(answer) if answer.status == 408 => self.takes_down(request.number, &answer, false),
            other => self.stage.fault(format!("a body that stalls: {other:.1000?}")),
        }
    }

    /// A connection that has room for little on its way to us.
    fn connect_narrow(&mut self) -> Option<Caller> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
        let made = socket
            .set_recv_buffer_size(8 * 1024)
            .and_then(|()| socket.connect(&self.stage.addr.into()));
        made.map_err(|e| self.stage.fault(format!("no connection: {e}"))).ok()?;
        Some(Caller::over(socket.into()))
    }

    fn stalls_reading(&mut self) {
        self.stage.count("stalled reading");
        let deed = Deed::Long(self.random.of(500_000..1_500_000));
        let request = self.request(deed, "", &[]);
        let Some(mut caller) = self.connect_narrow() else { return };
        let sent = caller.send(&request.bytes);
        thread::sleep(self.random.millis(100..1500));
        match sent.and_then(|()| caller.answer()) {
            Ok(answer) => self.judge(&request, &answer),
            Err(lost) => {
                let lost = match lost {
                    Lost::Closed(read) => format!("closed after {} bytes", read.len()),
                    Lost::Refused => "refused".into(),
                };
                self.stage.fault(format!("one that stalls a while: {lost}"));
            }
        }
    }

    /// Takes nothing of an answer that is too long to be on its way as a whole.
    fn never_reads(&mut self) {
        self.stage.count("never read");
        let (dialect, stream) = (Dialect::Chat, self.random.percent(50));
        let key = &self.stage.keys.plain;
        let deed = Deed::Long(3_000_000);
        let request = self.request_as(dialect, stream, deed, "", key, &[]);
        let Some(mut caller) = self.connect_narrow() else { return };
        if caller.send(&request.bytes).is_err() {
            self.stage.fault(format!("request {} was not read", request.number));
        }
        thread::sleep(self.random.millis(1000..9000));
        drop(caller);
        self.gave_up(request.number, true);
    }

    /// Sends a second request before the first one is answered.
    fn pipelines(&mut self) {
        self.stage.count("sent ahead");
        let requests = [(); 2].map(|()| self.request(Deed::Answer, "", &[]));
        let Some(mut caller) = self.connect() else { return };
        let sent = caller.send(&requests.iter().flat_map(|r| r.bytes.clone()).collect::<Vec<_>>());
        if sent.is_err() {
            self.stage.fault("two requests at once were not read".into());
        }
        for request in &requests {
            match caller.answer() {
                Ok(answer) => self.judge(request, &answer),
                Err(lost) => self.stage.fault(format!("request {}: {lost:?}", request.number)),
            }
        }
    }
}
