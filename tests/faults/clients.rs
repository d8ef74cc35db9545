//! Clients that take their time, or go halfway.

use crate::common::calls::{Caller, Lost};
use crate::common::http::{self, Client};
use crate::common::{Bridge, PATIENCE, chat, sampled};
use crate::stage::{PATH, Stage, number, request};
use crate::table::Told;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Instant;

/// Sends a byte from each client in rounds until all are cut off; how many read `told` before. An
/// honest client is served in each round.
fn dribble(stage: &mut Stage, mut clients: Vec<Client>, told: &[u8]) -> usize {
    for client in &mut clients {
        client.stream.set_nonblocking(true).unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    let mut count = 0;
    while !clients.is_empty() {
        clients.retain_mut(|client| {
            let mut answer = [0; 12];
            match client.stream.read(&mut answer) {
                Ok(12) => {
                    assert_eq!(answer, told);
                    count += 1;
                    return false;
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                _ => return false,
            }
            // Who was cut off sees it at its next read.
            let _ = client.stream.write(b"x");
            true
        });
        stage.serves();
        assert!(Instant::now() < deadline, "{} are still there", clients.len());
    }
    count
}

pub fn slow_heads() -> Told {
    const MANY: usize = 2000;
    let may_open = rlimit::increase_nofile_limit(MANY as u64 + 1000);
    assert!(may_open.is_ok_and(|most| most >= MANY as u64 + 200), "ulimit -Hn is too low");
    let mut stage = Stage::new(&[("MODELTAP_HEAD_TIMEOUT", "1s"), ("MODELTAP_LOG", "off")]);
    let mut clients: Vec<Client> = (0..MANY).map(|_| stage.client()).collect();
    for client in &mut clients {
        client.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX: ");
    }
    let told = dribble(&mut stage, clients, b"HTTP/1.1 408");
    assert!(told > MANY / 2, "only {told} were told why");
    // One never reads its 408, and goes on sending: it is cut off all the same.
    let mut client = stage.client();
    client.send("GET /health HTTP/1.1\r\nX: ");
    let deadline = Instant::now() + PATIENCE;
    while client.stream.write_all(b"x").is_ok() {
        assert!(Instant::now() < deadline, "it is still there");
        thread::yield_now();
    }
    stage.settle(
        format!(
            "{} clients send their head byte by byte, --head-timeout 1s; one goes on for ever",
            number(MANY)
        ),
        "408 and cut off; others were served in between",
        32,
    )
}

pub fn slow_bodies() -> Told {
    let mut stage = Stage::new(&[("MODELTAP_BODY_TIMEOUT", "1s"), ("MODELTAP_LOG", "off")]);
    let mut clients: Vec<Client> = (0..200).map(|_| stage.client()).collect();
    for (at, client) in clients.iter_mut().enumerate() {
        let framing =
            ["Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nfffff\r\n"];
        client.send(format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\n{}", framing[at % 2]));
    }
    let told = dribble(&mut stage, clients, b"HTTP/1.1 408");
    assert!(told > 100, "only {told} were told why");
    stage.settle(
        "200 clients send a body of 1 MB byte by byte, --body-timeout 1s, half of them in chunks",
        "408 and cut off; others were served in between",
        16,
    )
}

pub fn slow_readers() -> Told {
    let env = [("MODELTAP_WRITE_TIMEOUT", "100ms"), ("MODELTAP_LOG", "off")];
    let mut stage = Stage::of(Bridge::sampling(&env));
    // More than the buffers of both sides hold.
    let huge = "x".repeat(16 << 20);
    for stream in [false, true, false, true] {
        let mut client = stage.client();
        let mut body = chat("Hello");
        body["stream"] = stream.into();
        client.post(PATH, "", &body);
        let asked = stage.asked();
        stage.bridge.send(&sampled(&asked, &huge));
        stage.bridge.call_until("runtime_status", |status| status["http"]["connections"] == 0);
        let mut got = Vec::new();
        // It may end with a reset, which is as good an end.
        let _ = client.stream.read_to_end(&mut got);
        assert!(got.len() < huge.len(), "{}", got.len());
    }
    stage.settle(
        "4 clients take nothing of an answer of 16 MiB, --write-timeout 100ms, 2 of them of a stream",
        "cut off",
        64,
    )
}

pub fn half_closed() -> Told {
    let mut stage = Stage::of(Bridge::sampling(&[]));
    let connect = |bytes: &[u8]| {
        let mut caller = Caller::connect(stage.addr).unwrap();
        caller.send(bytes).unwrap();
        caller.stream.shutdown(Shutdown::Write).unwrap();
        caller
    };
    let whole = request("Hello");
    let at_once = connect(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").answer();
    assert_eq!(at_once.map(|answer| answer.status), Ok(200));
    for end in 1..whole.len() {
        assert_eq!(connect(&whole[..end]).answer(), Err(Lost::Closed(Vec::new())), "{end} bytes");
    }
    // What a client has that closes both sides looks the same from here.
    let mut left = connect(&whole);
    let asked = stage.asked();
    let cancelled = stage.bridge.recv_method("notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    assert_eq!(left.answer(), Err(Lost::Closed(Vec::new())));
    assert_eq!(http::get(stage.addr, "/health").status, 200);
    stage.settle(
        format!("the sending side closed behind a whole request, and after each of {} bytes of one", whole.len() - 1),
        "what needs no model is answered; else the host is told within a second that its client left; a \
         part is dropped without a word",
        16,
    )
}
