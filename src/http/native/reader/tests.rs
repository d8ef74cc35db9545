//! What is read and what is refused must not depend on the pieces in which it comes.

use super::*;
use std::cell::Cell;
use std::net::Ipv4Addr;

/// A client whose bytes come so many at a time.
struct Pieces<'a>(Cell<&'a [u8]>, usize);

impl Source for Pieces<'_> {
    fn read_once(&self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.0.get();
        let (piece, rest) = left.split_at(self.1.min(into.len()).min(left.len()));
        into[..piece.len()].copy_from_slice(piece);
        self.0.set(rest);
        Ok(piece.len())
    }

    fn set_read_timeout(&self, _: Option<Duration>) -> io::Result<()> {
        Ok(())
    }
}

fn limits() -> Limits {
    let long = Duration::from_secs(3600);
    Limits {
        head_bytes: 64,
        headers: 4,
        body_bytes: 8,
        bodies_bytes: 1024,
        head_time: long,
        body_time: long,
        idle_time: long,
        write_time: long,
        connections: 1,
    }
}

/// The body of the first request, or why there is none.
fn body_of(sent: &[u8], piece: usize) -> Result<Vec<u8>, Option<Refusal>> {
    let (source, limits) = (Pieces(Cell::new(sent), piece), limits());
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut reader = Reader::new(limits.idle_time, &Bodies::new(limits.bodies_bytes));
    let mut read = || {
        reader.wait_head(&source, &limits, peer)?;
        let facts = reader.head(&limits, peer)?.facts()?;
        let body = reader.read_body(&source, &facts, &limits)?;
        Ok(reader.body(&body).to_vec())
    };
    read().map_err(|stop| match stop {
        Stop::Quiet => None,
        Stop::Refuse(refusal) => Some(refusal),
    })
}

#[test]
fn the_pieces_in_which_bytes_come_change_nothing() {
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let far = "x".repeat(64);
    for (sent, told) in [
        ("\r\n\r\nPOST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhiGET".to_owned(), Ok("hi")),
        (format!("{chunked}2\r\nhi\r\n3;a\r\nyou\r\n0\r\nT: x\r\n\r\n"), Ok("hiyou")),
        (format!("{chunked}9\r\n"), Err("BodyTooLarge")),
        // Wrong only behind the limit: nobody looks there.
        (format!("GET / HTTP/1.1\r\nA: {far}\r\nB : c\r\n\r\n"), Err("HeadTooLarge")),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "a:b\r\n".repeat(5)), Err("HeadTooLarge")),
        (format!("GET /{far} HTTP/1.1\r\n\r\n"), Err("HeadTooLarge")),
        // Both too long and wrong.
        (format!("{chunked}1;{}\n", "x".repeat(300)), Err("too long")),
        (format!("{chunked}0\r\n{far}{far}\n"), Err("too long")),
        (format!("{chunked}0\r\nT: x\n"), Err("CRLF")),
        // Blank lines that end in half a line end.
        ("\n\r\n\r\nGET".to_owned(), Err("does not end in CRLF")),
        ("\r\n\rGET / HTTP/1.1\r\n\r\n".to_owned(), Err("does not end in CRLF")),
        ("GET / HTTP/1.1\r\nB : c\r\n\r\n".to_owned(), Err("header cannot be read")),
    ] {
        let whole = body_of(sent.as_bytes(), usize::MAX);
        match told {
            Ok(body) => assert_eq!(whole.as_deref(), Ok(body.as_bytes()), "{sent:?}"),
            Err(words) => assert!(format!("{whole:?}").contains(words), "{sent:?}: {whole:?}"),
        }
        for piece in [1, 2, 3, 7, 20, 63, 64, 65] {
            assert_eq!(body_of(sent.as_bytes(), piece), whole, "{sent:?} by {piece}");
        }
    }
}
