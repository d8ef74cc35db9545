//! Connections that are reset, at every byte of what passes over them.

use crate::common::calls::Caller;
use crate::common::chat;
use crate::stage::{PATH, Stage, number, request};
use crate::table::Told;
use socket2::SockRef;
use std::io::Read;
use std::time::Duration;

/// Ends the connection with a reset, whatever is on its way.
fn reset(caller: Caller) {
    SockRef::from(&caller.stream).set_linger(Some(Duration::ZERO)).expect("the option is known");
}

fn connect(stage: &Stage) -> Caller {
    Caller::connect(stage.addr).expect("the bridge accepts")
}

pub fn of_requests() -> Told {
    let mut stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    let chunks =
        format!("{:x}\r\n{}\r\n0\r\nA: b\r\n\r\n", chat("Hi").to_string().len(), chat("Hi"));
    let chunked = format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
    );
    let mut count = 0;
    for whole in [request("Hello"), chunked.into_bytes()] {
        for end in 0..=whole.len() {
            let mut caller = connect(&stage);
            caller.send(&whole[..end]).expect("the bridge reads");
            reset(caller);
            count += 1;
        }
    }
    for _ in 0..5000 {
        reset(connect(&stage));
    }
    stage.serves();
    stage.settle(
        format!("{} resets, one after each byte of a request with a length and of one in chunks; 5,000 of fresh connections", number(count)),
        "dropped without a word",
        16,
    )
}

pub fn of_answers() -> Told {
    let mut stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    let mut count = 0;
    for stream in [false, true] {
        let mut body = chat("Hello");
        body["stream"] = stream.into();
        let mut caller = connect(&stage);
        caller.post(PATH, "Connection: close\r\n", &body).unwrap();
        let length = caller.rest().len();
        assert!(length > 300, "{length}");
        // Ids and times in an answer differ in length by a byte or two.
        let length = length - 8;
        for end in 0..length {
            let mut caller = connect(&stage);
            caller.post(PATH, "Connection: close\r\n", &body).unwrap();
            caller.stream.read_exact(&mut vec![0; end]).expect("an answer comes");
            reset(caller);
        }
        count += length / 100 * 100;
    }
    // And of answers that the socket's buffers cannot hold.
    let body = chat(&"x".repeat(4 << 20));
    for part in 0..16 {
        let mut caller = connect(&stage);
        caller.post(PATH, "", &body).unwrap();
        caller.stream.read_exact(&mut vec![0; part << 18]).expect("an answer comes");
        reset(caller);
    }
    stage.serves();
    stage.settle(
        format!("over {} resets, one after each byte of an answer and of a stream; 16 within answers of 4 MiB", number(count)),
        "the connection is given up, nothing else",
        64,
    )
}
