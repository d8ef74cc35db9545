//! Files within text: what stands for them, and where they end. Pure.

use super::super::chain::{hex, text as hex_text};
use super::{is_word, run, word_start};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::ops::Range;

/// How a file is written.
#[derive(Clone, Copy)]
pub struct Kind {
    /// From where to where its type stands, none in base64 alone.
    name: (usize, usize),
    /// Where the data begins.
    data: usize,
    base64: bool,
}

impl Kind {
    /// Base64 and nothing else.
    pub const BASE64: Kind = Kind { name: (0, 0), data: 0, base64: true };
}

/// A file in the text: `data:image/png;base64,…`.
pub fn data_uri(text: &[u8], stop: usize) -> Option<(Range<usize>, Kind)> {
    let start = stop.checked_sub(4).filter(|start| {
        text.get(*start..stop).is_some_and(|word| word.eq_ignore_ascii_case(b"data"))
    })?;
    let is_type = |b: u8| is_word(b) || b"/.+\\".contains(&b);
    let name = run(text, stop + 1, is_type);
    let comma = run(text, name, |b| is_type(b) || b";=".contains(&b));
    let has_type = text.get(stop + 1..name)?.contains(&b'/');
    if text.get(comma) != Some(&b',') || !has_type || word_start(text, stop, 10) != start {
        return None;
    }
    let base64 = text.get(name..comma)?.ends_with(b";base64");
    let end = match base64 {
        true => base64_end(text, comma + 1),
        false => run(text, comma + 1, |b| b.is_ascii_graphic() && !b"\"'\\<>()".contains(&b)),
    };
    let kind = Kind { name: (stop + 1 - start, name - start), data: comma + 1 - start, base64 };
    Some((start..end, kind))
}

/// Where base64 that begins at `at` ends. Some write each slash with a backslash before it.
pub fn base64_end(text: &[u8], at: usize) -> usize {
    let mut end = at;
    loop {
        end = run(text, end, |b| b.is_ascii_alphanumeric() || b"+/-_=".contains(&b));
        if text.get(end..end + 2) != Some(b"\\/") {
            return end;
        }
        end += 2;
    }
}

/// Tells of a file: its type, its size and its hash.
pub fn describe(out: &mut String, kind: Kind, taken: &str) {
    let name = taken.get(kind.name.0..kind.name.1).unwrap_or_default().replace('\\', "");
    let name = match name.as_str() {
        "" => "base64",
        name => &format!("data:{name}"),
    };
    let data = taken.get(kind.data..).unwrap_or_default().as_bytes();
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    if kind.base64 {
        let mut decoded = Vec::with_capacity(4096);
        let (mut bits, mut held) = (0u32, 0);
        for digit in data.iter().filter_map(|b| digit(*b)) {
            (bits, held) = (bits << 6 | digit, held + 6);
            if held >= 8 {
                held -= 8;
                decoded.push((bits >> held) as u8);
            }
            if decoded.len() == decoded.capacity() {
                hash.update(&decoded);
                bytes += decoded.len();
                decoded.clear();
            }
        }
        hash.update(&decoded);
        bytes += decoded.len();
    } else {
        hash.update(data);
        bytes = data.len();
    }
    let hash = hex(hash.finalize().into());
    // Writing to a String cannot fail.
    let _ = write!(out, "[{name}, {bytes} bytes, sha256 {}]", hex_text(&hash));
}

fn digit(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    }))
}
