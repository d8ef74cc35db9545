//! JSON text as all rooms write it.

use serde::Serialize;
use std::borrow::Cow;

/// JSON text on one line. A raw line end in JSON text can only stand between tokens, and would end
/// a line of JSON-RPC early.
pub fn one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}

/// The JSON text of a value of ours that holds about `bytes` of text. Room for it is taken at once:
/// a buffer that grows copies megabytes. None of our values can fail, nor can writing to a Vec.
pub fn json_with_room(value: &impl Serialize, bytes: usize) -> Vec<u8> {
    // Of what is smaller than a kilobyte, allocators keep some for each thread.
    let mut json = Vec::with_capacity(bytes + bytes / 16 + 1024);
    let _ = serde_json::to_writer(&mut json, value);
    json
}
