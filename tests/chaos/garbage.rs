//! Lines that mean nothing: cut off, of wrong types, blank, very deep, or no text at all.

use super::random::Random;

/// One of them, with its end.
pub fn garbage(random: &mut Random) -> Vec<u8> {
    let fixed: [&[u8]; 8] = [
        b"{\"jsonrpc\":\"2.0\",\"id\":\"",
        b"[]",
        b"null",
        b"{\"jsonrpc\":\"2.0\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\":{}}",
        b"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":1,\"message\":\"?\"}}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/nothing\",\"params\":7}",
        b"\r",
    ];
    let mut line = match random.of(0..10) {
        at @ 0..8 => fixed[at].to_vec(),
        8 => vec![b'['; random.of(1..50_000)],
        _ => (0..random.of(0..300)).map(|_| random.next() as u8).collect(),
    };
    line.retain(|byte| *byte != b'\n');
    line.push(b'\n');
    line
}
