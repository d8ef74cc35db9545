//! The text of a record, and how each holds the one before it. Pure: no files, no clocks.
//!
//! A record is one line: `{"seq":N,"prev":"…",fields,"hash":"…"}`. Its hash is the SHA-256 of the
//! line's own bytes up to the comma before `"hash"`, in hexadecimal; `prev` is the hash of the
//! record before, 64 zeros for the first of all. So nobody can change, cut out or put in a record
//! without making every hash after it anew.

use sha2::{Digest, Sha256};

/// A SHA-256 in hexadecimal.
pub type Hex = [u8; 64];

const SEQ: &[u8] = b"{\"seq\":";
const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";
const BODY: &[u8] = b",\"body\":\"";

/// The SHA-256 of `data` in hexadecimal.
pub fn sha256(data: &[u8]) -> Hex {
    hex(Sha256::digest(data).into())
}

/// 32 bytes in hexadecimal.
pub fn hex(bytes: [u8; 32]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(bytes) {
        let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
        pair.copy_from_slice(&[DIGITS[high], DIGITS[low]]);
    }
    hex
}

/// A hash as text.
pub fn text(hash: &Hex) -> &str {
    // Made of digits or checked to be.
    str::from_utf8(hash).unwrap_or_default()
}

/// Reads a hash of 64 lower-case hexadecimal digits.
pub fn parse_hex(text: &[u8]) -> Option<Hex> {
    let hash: Hex = text.try_into().ok()?;
    hash.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')).then_some(hash)
}

/// Where a chain stands: what the next record must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    /// The number of the next record, from 1.
    pub seq: u64,
    /// The hash of the record before it.
    pub prev: Hex,
}

impl Default for Chain {
    fn default() -> Self {
        Chain { seq: 1, prev: [b'0'; 64] }
    }
}

impl Chain {
    /// The chain after a record with this number and hash.
    pub fn after(seq: u64, hash: Hex) -> Self {
        Chain { seq: seq.saturating_add(1), prev: hash }
    }

    /// Appends the next record and its line end to `out`. `fields` writes its members, at least
    /// one, separated by commas.
    pub fn append(&mut self, out: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>)) {
        let start = out.len();
        out.extend_from_slice(SEQ);
        push_number(out, self.seq);
        out.extend_from_slice(PREV);
        out.extend_from_slice(&self.prev);
        out.extend_from_slice(b"\",");
        fields(out);
        let hash = sha256(out.get(start..).unwrap_or_default());
        out.extend_from_slice(HASH);
        out.extend_from_slice(&hash);
        out.extend_from_slice(END);
        out.push(b'\n');
        *self = Chain::after(self.seq, hash);
    }
}

/// Appends a whole number in decimal digits.
pub fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A line that has the form of a record; whether its hash is right is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The record's number.
    pub seq: u64,
    /// What it says the hash of the record before is.
    pub prev: Hex,
    /// What it says its own hash is.
    pub hash: Hex,
    /// What is hashed: all up to the comma before `"hash"`.
    hashed: &'a [u8],
    /// Its members between `prev` and `hash`.
    fields: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line, without its end; `None` where it has not the form of a record.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(SEQ)?;
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = rest.split_at(digits);
        let (prev, rest) = rest.strip_prefix(PREV)?.split_at_checked(64)?;
        let rest = rest.strip_prefix(b"\",")?;
        let (hashed, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
        let hash = tail.strip_prefix(HASH)?.strip_suffix(END)?;
        Some(Line {
            seq: str::from_utf8(number).ok()?.parse().ok()?,
            prev: parse_hex(prev)?,
            hash: parse_hex(hash)?,
            hashed,
            fields: rest.get(..rest.len().checked_sub(TAIL)?)?,
        })
    }

    /// Whether its hash is that of its own bytes.
    pub fn is_true(&self) -> bool {
        sha256(self.hashed) == self.hash
    }

    /// Its members between `prev` and `hash`.
    pub fn members(&self) -> &'a [u8] {
        self.fields
    }

    /// The same without the body.
    pub fn head(&self) -> &'a [u8] {
        // Within a JSON text each quote has a backslash before it, so that this can only be the
        // member itself, the last one.
        let is_body = |part: &[u8]| part.starts_with(BODY);
        let mut from = 0;
        while let Some(at) = self.fields.get(from..).and_then(find_comma) {
            let at = from + at;
            if self.fields.get(at..).is_some_and(is_body) {
                return self.fields.get(..at).unwrap_or_default();
            }
            from = at + 1;
        }
        self.fields
    }
}

/// Whether a file that begins so, with these bytes or no more than these, is one of records.
pub fn begins_record(start: &[u8]) -> bool {
    let digits = start.iter().skip(SEQ.len()).take_while(|b| b.is_ascii_digit()).count();
    let fits = |at: usize, wanted: &[u8]| {
        start.get(at..).is_none_or(|part| part.iter().zip(wanted).all(|(a, b)| a == b))
    };
    let is_seq = digits > 0 || start.len() <= SEQ.len();
    fits(0, SEQ) && is_seq && fits(SEQ.len() + digits, PREV)
}

/// The bytes of `,"hash":"…"}`.
const TAIL: usize = HASH.len() + 64 + END.len();

fn find_comma(text: &[u8]) -> Option<usize> {
    text.iter().position(|b| *b == b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_chained_by_the_hash_of_their_bytes() {
        let (mut chain, mut out) = (Chain::default(), Vec::new());
        chain.append(&mut out, |out| out.extend_from_slice(b"\"kind\":\"a\""));
        chain.append(&mut out, |out| out.extend_from_slice(b"\"kind\":\"b\""));
        // Made by hand, with sha256sum.
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (zeros, first) = ("0".repeat(64), FIRST);
        assert_eq!(
            lines[0],
            format!(r#"{{"seq":1,"prev":"{zeros}","kind":"a","hash":"{first}"}}"#)
        );
        assert!(
            lines[1].starts_with(&format!(r#"{{"seq":2,"prev":"{first}","kind":"b","hash":""#))
        );
        let read = Line::read(lines[1].as_bytes()).unwrap();
        assert!(read.is_true());
        assert_eq!((read.seq, read.head()), (2, &b"\"kind\":\"b\""[..]));
        assert_eq!(Chain::after(2, read.hash), chain);
    }

    const FIRST: &str = "0c643f5f040047d284bebe8f79e3a4e499f1e566464c9278efdfdeed1702d6be";

    #[test]
    fn a_body_is_left_out_of_the_head_and_no_other_text_is_taken_for_it() {
        let mut out = Vec::new();
        let fields = br#""kind":"rx","client":"x\",\"body\":\"y","body":"a,\"body\":\"b""#;
        Chain::default().append(&mut out, |out| out.extend_from_slice(fields));
        let line = Line::read(out.trim_ascii_end()).unwrap();
        assert_eq!(line.head(), br#""kind":"rx","client":"x\",\"body\":\"y""#);
    }

    #[test]
    fn only_a_file_of_records_begins_as_one() {
        let mut good = Vec::new();
        Chain::default().append(&mut good, |out| out.extend_from_slice(b"\"kind\":\"a\""));
        assert!((0..good.len()).all(|end| begins_record(&good[..end])));
        for bad in ["\n", "x", "{}", "{\"seq\":x", "{\"seq\":\"1\"", "{\"seq\":1,\"a\":2", "[1]"] {
            assert!(!begins_record(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn what_has_not_the_form_of_a_record_is_none() {
        let mut good = Vec::new();
        Chain::default().append(&mut good, |out| out.extend_from_slice(b"\"kind\":\"a\""));
        let good = String::from_utf8(good).unwrap();
        let good = good.trim_end();
        assert!(Line::read(good.as_bytes()).is_some());
        for bad in [
            "",
            "{}",
            &good[1..],
            &good[..good.len() - 1],
            &good.replace("{\"seq\":1", "{\"seq\":"),
            &good.replace("{\"seq\":1", "{\"seq\":99999999999999999999"),
            &good.replace("\"prev\":\"0", "\"prev\":\"g"),
            &good.replace("\"prev\":\"0", "\"prev\":\""),
            &good.replace("\"kind\":\"a\",", ""),
        ] {
            assert_eq!(Line::read(bad.as_bytes()), None, "{bad}");
        }
    }
}
