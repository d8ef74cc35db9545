//! The way back: the files of a chain, oldest to newest, line by line, and what a record's members
//! say. Memory is bounded but for the longest line.

use super::chain::Line;
use super::entry::stamp;
use super::rotate;
use serde::Deserialize;
use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::SystemTime;

/// How much is read at once.
const BLOCK: usize = 1024 * 1024;

/// One file of a chain.
pub struct Source {
    /// How it is called in what is told.
    pub name: String,
    /// Its bytes.
    pub input: Box<dyn Read>,
    /// How many these were when it was opened.
    pub bytes: u64,
}

/// Opens the files of the chain that `path` ends, the oldest first.
///
/// # Errors
/// One line: there are none, or one cannot be opened.
pub fn open(path: &Path) -> Result<Vec<Source>, String> {
    let told = |name: &Path, e: io::Error| format!("{} cannot be read: {e}", name.display());
    let full = rotate::numbers(path).map_err(|e| told(path, e))?;
    let full = full.into_iter().map(|number| rotate::rotated(path, number));
    // The newest first: one that is renamed meanwhile is then met twice rather than missed.
    let mut opened = Vec::new();
    let mut seen = Vec::new();
    for name in std::iter::once(path.to_owned()).chain(full) {
        let file = match File::open(&name) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(told(&name, e)),
        };
        let about = file.metadata().map_err(|e| told(&name, e))?;
        if !about.is_file() {
            return Err(format!("{} is no file of records", name.display()));
        }
        let identity = identity(&about);
        if identity.is_some() && seen.contains(&identity) {
            continue;
        }
        seen.push(identity);
        let (name, bytes) = (name.display().to_string(), about.len());
        opened.push(Source { name, input: Box::new(file), bytes });
    }
    if opened.is_empty() {
        return Err(format!("there is no {}", path.display()));
    }
    opened.reverse();
    Ok(opened)
}

/// What tells a file from all others, where the system has it.
#[cfg(unix)]
fn identity(about: &std::fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((about.dev(), about.ino()))
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) -> Option<(u64, u64)> {
    None
}

/// The lines of some files, one after the other.
pub struct Lines {
    names: Vec<String>,
    inputs: std::vec::IntoIter<Source>,
    current: Option<BufReader<Box<dyn Read>>>,
    line: Vec<u8>,
    at: Place,
    /// Bytes so far.
    pub read: u64,
    /// Bytes of all files as they were opened.
    pub bytes: u64,
}

/// A line.
#[derive(Debug)]
pub struct Row<'a> {
    /// Without its end.
    pub text: &'a [u8],
    /// Where it stands.
    pub at: Place,
    /// Whether it has an end.
    pub is_whole: bool,
}

/// Where a line stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The index of its file, the oldest being 0.
    pub file: usize,
    /// Its number in the file, from 1.
    pub line: u64,
}

impl Lines {
    /// Goes through `sources` in order.
    pub fn new(sources: Vec<Source>) -> Self {
        Lines {
            names: sources.iter().map(|source| source.name.clone()).collect(),
            bytes: sources.iter().map(|source| source.bytes).sum(),
            inputs: sources.into_iter(),
            current: None,
            line: Vec::new(),
            at: Place { file: 0, line: 0 },
            read: 0,
        }
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.names.len()
    }

    /// The place in words.
    pub fn name(&self, at: Place) -> String {
        let name = self.names.get(at.file).map_or("", String::as_str);
        format!("{name} line {}", at.line)
    }

    /// The next line; `None` behind the last.
    ///
    /// # Errors
    /// One line: a file cannot be read.
    pub fn advance(&mut self) -> Result<Option<Row<'_>>, String> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(next) = self.inputs.next() else { return Ok(None) };
                self.at = Place { file: self.names.len() - 1 - self.inputs.len(), line: 0 };
                self.current = Some(BufReader::with_capacity(BLOCK, next.input));
                continue;
            };
            self.line.clear();
            // One line may have been large.
            self.line.shrink_to(BLOCK);
            let read = current.read_until(b'\n', &mut self.line);
            let read = read.map_err(|e| format!("{} cannot be read: {e}", self.name(self.at)))?;
            if read == 0 {
                self.current = None;
                continue;
            }
            self.read += read as u64;
            self.at.line += 1;
            let ended = self.line.strip_suffix(b"\n");
            let text = ended.unwrap_or(&self.line);
            return Ok(Some(Row { text, at: self.at, is_whole: ended.is_some() }));
        }
    }
}

/// The kind of a record, by its members as they are written: the first of them.
pub fn kind_of(fields: &[u8]) -> &[u8] {
    text_behind(fields, b"\"kind\":\"")
}

/// The time of a record as it is written, by its members: the second of them.
pub fn time_text(fields: &[u8]) -> &str {
    let behind = fields.get(kind_of(fields).len() + 9..).unwrap_or_default();
    str::from_utf8(text_behind(behind, b",\"time\":\"")).unwrap_or_default()
}

fn text_behind<'a>(text: &'a [u8], begin: &[u8]) -> &'a [u8] {
    let rest = text.strip_prefix(begin).unwrap_or_default();
    rest.split(|b| *b == b'"').next().unwrap_or_default()
}

/// The time of the record that a file begins with, by its first bytes.
pub fn time_of(file: &[u8]) -> Option<SystemTime> {
    let line = Line::read(file.split(|b| *b == b'\n').next()?)?;
    humantime::parse_rfc3339(time_text(line.head())).ok()
}

/// What the members of a record say. What it does not tell is `None`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // `entry` says what each is.
pub struct Members<'a> {
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub client: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub session: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub route: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub model: Option<Cow<'a, str>>,
    pub stream: Option<bool>,
    pub status: Option<u16>,
    #[serde(borrow)]
    pub error: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub backend: Option<Cow<'a, str>>,
    pub ms: Option<u64>,
    pub first_ms: Option<u64>,
    pub prompt_tokens: Option<u64>,
    pub completion_tokens: Option<u64>,
    pub estimated: Option<bool>,
    #[serde(borrow)]
    pub body: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub body_sha256: Option<Cow<'a, str>>,
    pub body_bytes: Option<u64>,
    #[serde(borrow)]
    pub version: Option<Cow<'a, str>>,
    pub pid: Option<u64>,
    #[serde(borrow)]
    pub policy: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub last: Option<Cow<'a, str>>,
    pub cut: Option<u64>,
    pub lost: Option<u64>,
    #[serde(borrow)]
    pub since: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    pub rx: Option<u64>,
    pub tx: Option<u64>,
}

impl Members<'_> {
    /// Whether the request was answered with an error, or its client went away.
    pub fn is_error(&self) -> bool {
        self.status.is_some_and(|status| status >= 400)
    }
}

/// The members of a record without its body, read by way of `scratch`, which they borrow.
///
/// # Errors
/// They are no JSON that a bridge would have written.
pub fn members<'s, T: Deserialize<'s>>(
    line: &Line,
    scratch: &'s mut Vec<u8>,
) -> serde_json::Result<T> {
    scratch.clear();
    scratch.push(b'{');
    scratch.extend_from_slice(line.head());
    scratch.push(b'}');
    serde_json::from_slice(scratch)
}

/// A moment that is told as a time before `now` (`1h`), as a day (`2026-01-31`) or in RFC 3339, in the
/// form of the records, so that texts can be compared.
///
/// # Errors
/// One line that says what is allowed.
pub fn since(text: &str, now: SystemTime) -> Result<String, String> {
    let ago = || humantime::parse_duration(text).ok().and_then(|time| now.checked_sub(time));
    let day = || humantime::parse_rfc3339_weak(&format!("{text} 00:00:00")).ok();
    let time = humantime::parse_rfc3339_weak(text).ok().or_else(ago).or_else(day);
    time.map(|time| stamp(time).to_string()).ok_or_else(|| {
        format!("{text:?} is no time such as 90min, 24h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_told_back_from_now_or_as_they_are() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86400 * 10);
        for (text, wanted) in [
            ("1h", Some("1970-01-10T23:00:00.000000Z")),
            ("90min", Some("1970-01-10T22:30:00.000000Z")),
            ("100years", Some("1970-01-01T00:00:00.000000Z")),
            ("1970-01-05", Some("1970-01-05T00:00:00.000000Z")),
            ("1970-01-05T06:07:08Z", Some("1970-01-05T06:07:08.000000Z")),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(since(text, now).ok().as_deref(), wanted, "{text}");
        }
    }
}
