//! Requests that say falsely how long they are, or say it in two ways.

use crate::cases::{self, Holds};
use crate::common::calls::Caller;
use crate::common::http::Client;
use crate::stage::{PATH, Stage, number};
use crate::table::Told;

pub fn false_lengths() -> Told {
    let stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    let status = |path: &str, framing: &str| {
        let mut client = Client::connect(stage.addr);
        client.send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}some of it"));
        let answer = client.answer();
        assert_eq!(answer.header("connection"), Some("close"), "{framing}: {answer:?}");
        answer.status
    };
    let huge = ["100000000000", "18446744073709551615", "18446744073709551616", &"9".repeat(40)];
    let wrong = ["1e11", "-1", "+5", "0x10", "", "5,5", "5,6", "5 5", "5.0", "5_0"];
    for (lengths, expected) in [(&huge[..], 413), (&wrong[..], 400)] {
        for length in lengths {
            let framing = format!("Content-Length: {length}\r\n\r\n");
            assert_eq!(status(PATH, &framing), expected, "{length}");
            // Who is refused for another reason is told that first, and costs no more.
            let elsewhere = if expected == 413 { 404 } else { 400 };
            assert_eq!(status("/nothing", &framing), elsewhere, "{length}");
        }
    }
    for size in ["fffffffff", "ffffffffffffffff"] {
        let framing = format!("Transfer-Encoding: chunked\r\n\r\n{size}\r\n");
        assert_eq!(status(PATH, &framing), 413, "{size}");
    }
    assert!(stage.peak() < 8, "{} MiB", stage.peak());
    stage.settle(
        "Content-Length 1e11, 100000000000, -1, 2^64, 2^64-1, +5, 0x10, an empty one, \"5,5\", \"5,6\" …; chunks of 2^36 and 2^64 bytes",
        "413 where it is a number, else 400, at once and without memory for it",
        8,
    )
}

/// The cases of `tests/smuggling` that must be refused, in one row.
pub fn conflicts() -> Told {
    let stage = Stage::new(&[("MODELTAP_LOG", "off")]);
    let cases = cases::all();
    let refused = cases.iter().filter(|case| matches!(case.holds, Holds::Refused));
    let mut count = 0;
    for case in refused {
        let mut caller = Caller::connect(stage.addr).expect("the bridge accepts");
        // A bridge that has refused may have closed already.
        let next = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let _ = caller.send(&[&case.bytes[..], next].concat());
        let answers = String::from_utf8_lossy(&caller.rest()).into_owned();
        let shown = format!("{}: {:?}", case.name, String::from_utf8_lossy(&case.bytes));
        assert!(answers.starts_with("HTTP/1.1 400 "), "{shown}: {answers}");
        assert_eq!(answers.matches("\r\nDate: ").count(), 1, "{shown}: {answers}");
        count += 1;
    }
    stage.settle(
        format!(
            "{} heads and bodies that say two things: two lengths, a length and chunks, two or odd \
             Transfer-Encodings, folded headers, bare LF or CR, blanks before a colon, NUL … (tests/smuggling.rs)",
            number(count)
        ),
        "400 and closed; what stands behind is not read",
        8,
    )
}
