//! Takes secrets out of text: keys by their shape, what stands behind names such as `password`, and
//! data that is no text. Pure.
//!
//! The text may be JSON, also JSON within JSON, so that quotes and line ends may come escaped. One
//! walk over the bytes stops at the few that stand in every such place (`-` in `sk-`, `:` behind a
//! name) and looks around there. In doubt it takes out too much.

mod files;
#[cfg(test)]
mod tests;

use files::{Kind, base64_end, data_uri, describe};
use regex_lite::Regex;
use std::borrow::Cow;
use std::ops::Range;

/// What stands where a secret was.
pub const MARK: &str = "[redacted]";

/// Keys by how they begin, up to the first byte that is looked for; what must come next; and how
/// long a run of what must follow in all.
const SHAPES: &[(&[u8], &[u8], usize, Of)] = &[
    (b"sk-", b"", 16, Of::Words),
    (b"mt_", b"", 32, Of::Words),
    (b"ghp_", b"", 20, Of::Letters),
    (b"gho_", b"", 20, Of::Letters),
    (b"ghu_", b"", 20, Of::Letters),
    (b"ghs_", b"", 20, Of::Letters),
    (b"ghr_", b"", 20, Of::Letters),
    (b"github_", b"pat_", 24, Of::Words),
    (b"AKI", b"A", 17, Of::Letters),
    (b"ASI", b"A", 17, Of::Letters),
    (b"AI", b"za", 32, Of::Words),
    (b"xoxa-", b"", 10, Of::Words),
    (b"xoxb-", b"", 10, Of::Words),
    (b"xoxc-", b"", 10, Of::Words),
    (b"xoxd-", b"", 10, Of::Words),
    (b"xoxe-", b"", 10, Of::Words),
    (b"xoxo-", b"", 10, Of::Words),
    (b"xoxp-", b"", 10, Of::Words),
    (b"xoxr-", b"", 10, Of::Words),
    (b"xoxs-", b"", 10, Of::Words),
    (b"xapp-", b"", 10, Of::Words),
    (b"glpat-", b"", 16, Of::Words),
    (b"pypi-", b"", 32, Of::Words),
    (b"hf_", b"", 20, Of::Letters),
    (b"npm_", b"", 20, Of::Letters),
    (b"sk_", b"live_", 16, Of::Words),
    (b"sk_", b"test_", 16, Of::Words),
    (b"rk_", b"live_", 16, Of::Words),
    (b"rk_", b"test_", 16, Of::Words),
];

/// The longest of these beginnings, without its last byte.
const LONGEST_SHAPE: usize = 6;

/// The least of these lengths.
const LEAST_SHAPE: usize = 10;

/// What the rest of a key is made of.
#[derive(Clone, Copy, PartialEq)]
enum Of {
    /// Letters and digits.
    Letters,
    /// These, `-` and `_`.
    Words,
}

/// Names behind which a secret stands, as they end, without `_` and `-`, in small letters.
const NAMES: &[&str] = &[
    "apikey",
    "authorization",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "secretkey",
    "accesskey",
    "privatekey",
    "credentials",
];

/// What stands before the secret itself behind the name `authorization`.
const SCHEMES: &[&str] = &["bearer", "basic", "token", "digest", "negotiate", "apikey"];

/// How long the data of a JSON member `data` is at least, to be taken for a file in base64.
const FILE: usize = 256;
/// The longest private key.
const LONGEST_KEY: usize = 16 * 1024;
/// The longest name that is looked at.
const LONGEST_NAME: usize = 64;

/// The text without its secrets, those that `patterns` match among them.
pub fn redact<'a>(text: &'a str, patterns: &[Regex]) -> Cow<'a, str> {
    let mut redacted = known(text);
    for pattern in patterns {
        if let Cow::Owned(text) = pattern.replace_all(&redacted, regex_lite::NoExpand(MARK)) {
            redacted = text.into();
        }
    }
    redacted
}

fn known(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut out = String::new();
    // Up to where the text is in `out`, and where to look on.
    let (mut done, mut at) = (0, 0);
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|b| is_stop(*b))) {
        let stop = at + found;
        at = stop + 1;
        // What was taken out is not looked at again.
        let Some((range, stands)) = around(bytes, stop).filter(|(range, _)| range.start >= done)
        else {
            continue;
        };
        // All that ends a secret is ASCII, so these are at characters.
        let (Some(before), Some(taken)) = (text.get(done..range.start), text.get(range.clone()))
        else {
            continue;
        };
        out.push_str(before);
        match stands {
            Stands::Mark => out.push_str(MARK),
            Stands::Data(kind) => describe(&mut out, kind, taken),
        }
        (done, at) = (range.end, range.end.max(at));
    }
    if done == 0 {
        return text.into();
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out.into()
}

/// What is put in the place of something.
enum Stands {
    Mark,
    /// Its type, size and hash.
    Data(Kind),
}

const STOPS: [bool; 256] = {
    let mut stops = [false; 256];
    let bytes = b"-_:=IJbB";
    let mut at = 0;
    while at < bytes.len() {
        stops[bytes[at] as usize] = true;
        at += 1;
    }
    stops
};

fn is_stop(byte: u8) -> bool {
    STOPS[usize::from(byte)]
}

/// The secret around a stop, where there is one.
fn around(text: &[u8], stop: usize) -> Option<(Range<usize>, Stands)> {
    let mark = |range| (range, Stands::Mark);
    match text.get(stop)? {
        b'-' => shape(text, stop).or_else(|| private_key(text, stop)).map(mark),
        b'_' | b'I' => shape(text, stop).map(mark),
        b'J' => web_token(text, stop).map(mark),
        b'b' | b'B' => bearer(text, stop).map(mark),
        b':' => match data_uri(text, stop) {
            Some((range, kind)) => Some((range, Stands::Data(kind))),
            None => named(text, stop),
        },
        _ => named(text, stop),
    }
}

/// Where the run of letters and digits that ends before `end` begins, as far as `most` back. What is
/// left of an escape, such as the n of a line end, is none of it.
fn word_start(text: &[u8], end: usize, most: usize) -> usize {
    let from = end.saturating_sub(most);
    let before = text.get(from..end).unwrap_or_default();
    let length = before.iter().rev().take_while(|b| b.is_ascii_alphanumeric()).count();
    let start = end - length;
    match (start.checked_sub(1).and_then(|at| text.get(at)), text.get(start)) {
        (Some(b'\\'), Some(b'n' | b'r' | b't' | b'b' | b'f')) => start + 1,
        (Some(b'\\'), Some(b'u')) if length >= 5 => start + 5,
        _ => start,
    }
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

/// The end of the run of bytes from `at` on that are `of` a kind.
fn run(text: &[u8], at: usize, of: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| !of(*b)).unwrap_or(rest.len())
}

/// A key whose beginning tells what it is.
fn shape(text: &[u8], stop: usize) -> Option<Range<usize>> {
    // Most words with a dash in them end here.
    if !text.get(stop + 1..=stop + LEAST_SHAPE)?.iter().all(|b| is_word(*b)) {
        return None;
    }
    // As far back as an escape before the longest may be.
    let start = word_start(text, stop, LONGEST_SHAPE + 5);
    let begins = text.get(start..=stop)?;
    let rest = text.get(stop + 1..)?;
    let fits = |(shape, next, least, of): &&(&[u8], &[u8], usize, Of)| {
        *shape == begins && rest.starts_with(next) && {
            let length =
                run(rest, 0, |b| is_word(b) && (*of == Of::Words || b.is_ascii_alphanumeric()));
            length >= *least
        }
    };
    SHAPES.iter().find(fits)?;
    Some(start..run(text, stop + 1, is_word))
}

/// A JSON Web Token: three parts in base64, the first of which is a JSON object.
fn web_token(text: &[u8], stop: usize) -> Option<Range<usize>> {
    let start = stop.checked_sub(2).filter(|start| text.get(*start..stop) == Some(b"ey"))?;
    let first = run(text, stop + 1, is_word);
    if first < start + 12 || text.get(first) != Some(&b'.') || word_start(text, stop, 8) != start {
        return None;
    }
    let end = run(text, first + 1, |b| is_word(b) || b == b'.');
    (end > first + 8).then_some(start..end)
}

/// A private key in the form that begins with `-----BEGIN`: what stands between its two lines.
fn private_key(text: &[u8], stop: usize) -> Option<Range<usize>> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const END: &[u8] = b"-----END";
    let rest = text.get(stop..)?.strip_prefix(BEGIN)?;
    let name = run(rest, 0, |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ');
    if !rest.get(..name)?.ends_with(b"PRIVATE KEY") || !rest.get(name..)?.starts_with(b"-----") {
        return None;
    }
    let start = stop + BEGIN.len() + name + 5;
    let near = text.get(start..text.len().min(start + LONGEST_KEY))?;
    let end = match near.windows(END.len()).position(|part| part == END) {
        Some(length) => start + length,
        // Cut off: what such a key is written with.
        None => run(text, start, |b| b.is_ascii_alphanumeric() || b"+/=\\ \r\n\t:,.".contains(&b)),
    };
    (end > start).then_some(start..end)
}

/// What stands behind `Bearer`.
fn bearer(text: &[u8], stop: usize) -> Option<Range<usize>> {
    let word = text.get(stop..stop + 6)?;
    if !word.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    let start = run(text, stop + 6, |b| b == b' ');
    let end = run(text, start, |b| is_word(b) || b"._~+/=".contains(&b));
    (start > stop + 6 && end >= start + 6).then_some(start..end)
}

/// What stands behind a name and `:` or `=`.
fn named(text: &[u8], stop: usize) -> Option<(Range<usize>, Stands)> {
    let (name, is_quoted) = name_before(text, stop)?;
    let is_file = is_quoted && name.eq_ignore_ascii_case(b"data");
    if !is_file && !NAMES.iter().any(|secret| ends_with_name(name, secret)) {
        return None;
    }
    let behind = match text.get(stop + 1)? {
        // `::`, `:=` and `==` are code; the second byte of `:=` comes by here, too.
        b':' | b'=' => return None,
        // As in `=>`.
        b'>' => stop + 2,
        _ => stop + 1,
    };
    let at = run(text, behind, |b| b == b' ' || b == b'\t');
    let escapes = run(text, at, |b| b == b'\\') - at;
    let (start, end) = match text.get(at + escapes) {
        Some(b'"') => {
            let start = at + escapes + 1;
            (start, quoted_end(text, start, escapes))
        }
        Some(b'\'') => {
            let start = at + escapes + 1;
            (start, run(text, start, |b| !b"'\"\\\n".contains(&b)))
        }
        _ if is_file => return None,
        _ => {
            let start = behind_scheme(text, at, text.len());
            (start, run(text, start, is_unquoted))
        }
    };
    if is_file {
        let is_long = end >= start + FILE && base64_end(text, start) == end;
        return is_long.then_some((start..end, Stands::Data(Kind::BASE64)));
    }
    let is_quoted = start > at && text.get(start - 1).is_some_and(|b| b"\"'".contains(b));
    let start = if is_quoted { behind_scheme(text, start, end) } else { start };
    let secret = text.get(start..end)?;
    let is_none = [&b""[..], b"null", b"true", b"false", b"None"].contains(&secret);
    let is_begun = !is_quoted && (secret.starts_with(b"{") || secret.starts_with(b"["));
    (!is_none && !is_begun).then_some((start..end, Stands::Mark))
}

/// The name that ends before `stop`, and whether it is in quotes.
fn name_before(text: &[u8], stop: usize) -> Option<(&[u8], bool)> {
    let until = text.get(stop.saturating_sub(LONGEST_NAME)..stop)?;
    let until = match text.get(stop)? {
        b'=' => until.strip_suffix(b":").unwrap_or(until),
        _ => until,
    };
    let until = until.trim_ascii_end();
    let unquoted = until.strip_suffix(b"\"").or_else(|| until.strip_suffix(b"'"));
    let until = unquoted.map_or(until, without_escapes);
    // How the names end: most of what has a colon behind it ends otherwise.
    if !b"ynedtsa".contains(&until.last()?.to_ascii_lowercase()) {
        return None;
    }
    let length = until.iter().rev().take_while(|b| is_word(**b)).count();
    Some((until.get(until.len() - length..)?, unquoted.is_some()))
}

/// Whether a name ends so, whatever its case, its `_` and its `-`.
fn ends_with_name(name: &[u8], secret: &str) -> bool {
    let mut letters =
        name.iter().rev().filter(|b| b.is_ascii_alphanumeric()).map(u8::to_ascii_lowercase);
    secret.bytes().rev().all(|b| letters.next() == Some(b))
}

/// The text without the backslashes at its end.
fn without_escapes(text: &[u8]) -> &[u8] {
    let kept = text.iter().rposition(|b| *b != b'\\').map_or(0, |at| at + 1);
    text.get(..kept).unwrap_or_default()
}

/// What an unquoted secret is made of.
fn is_unquoted(b: u8) -> bool {
    !b.is_ascii_whitespace() && !b"\"'`\\,;&<>()}]".contains(&b)
}

/// Where a text ends whose first quote has so many `escapes` before it. Each JSON that it is
/// wrapped in doubles the backslashes, and adds one at the quotes.
fn quoted_end(text: &[u8], start: usize, escapes: usize) -> usize {
    let mut at = start;
    loop {
        at = run(text, at, |b| b != b'"' && b != b'\n');
        if text.get(at) != Some(&b'"') {
            return at;
        }
        let before = text.get(start..at).unwrap_or_default();
        let backslashes = before.len() - without_escapes(before).len();
        // What is over are backslashes of the text, by pairs, or one before a quote of the text.
        if (backslashes.saturating_sub(escapes) / (escapes + 1)).is_multiple_of(2) {
            return at - backslashes.min(escapes);
        }
        at += 1;
    }
}

/// Behind `authorization` a word may tell what follows; the secret begins behind that.
fn behind_scheme(text: &[u8], start: usize, end: usize) -> usize {
    let word = run(text, start, |b| b.is_ascii_alphabetic());
    let known = text.get(start..word).unwrap_or_default();
    let behind = run(text, word, |b| b == b' ');
    let is_scheme = SCHEMES.iter().any(|scheme| known.eq_ignore_ascii_case(scheme.as_bytes()));
    if is_scheme && behind > word && behind < end { behind } else { start }
}
