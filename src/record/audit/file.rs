//! Opening the audit file: one bridge at a time, only what is an audit file, and from where the last
//! run left it.

use super::chain::{Chain, Line, begins_record};
use super::{read, rotate};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

/// How much is read at once on the way back from the end of a file.
const STEP: u64 = 64 * 1024;
/// The first record of a file is shorter than this.
const FIRST: u64 = 4096;

/// The open file.
pub struct Open {
    /// Where the next byte goes is at `length`.
    pub file: File,
    /// Bytes of whole records.
    pub length: u64,
    /// When the file was begun, as its first record says.
    pub since: Option<SystemTime>,
    /// The last record, here or in the file before.
    pub last: Option<Last>,
    /// How many bytes of a record that was not written to its end were cut off.
    pub cut: u64,
}

/// The last record of the chain.
#[derive(Debug, Clone, Copy)]
pub struct Last {
    /// How the chain goes on.
    pub chain: Chain,
    /// Whether it is the clean end of a run.
    pub is_end: bool,
}

/// Takes the lock that one bridge has while it writes to `path`; `None` when another has it.
///
/// # Errors
/// One line that says what to do.
pub fn lock(path: &Path) -> Result<Option<File>, String> {
    let name = rotate::lock_file(path);
    let told = |e: io::Error| format!("its lock {} cannot be had: {e}", name.display());
    let file = options().open(&name).map_err(told)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(told(e)),
    }
}

/// Whether a bridge writes to `path` now, as far as can be seen.
pub fn is_in_use(path: &Path) -> bool {
    let Ok(file) = File::open(rotate::lock_file(path)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Opens the file at the end of its last whole record; makes it where it is not there.
///
/// # Errors
/// One line that says what is wrong. A file that is no audit file is left as it is.
pub fn open(path: &Path) -> Result<Open, String> {
    let told = |e: io::Error| e.to_string();
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err("it is no file that records could be kept in".into());
    }
    let mut file = options().open(path).map_err(told)?;
    let all = file.metadata().map_err(told)?.len();
    let mut first = Vec::new();
    (&file).take(FIRST).read_to_end(&mut first).map_err(told)?;
    if !begins_record(&first) {
        return Err(
            "it holds something else than audit records; name another, or move it away".into()
        );
    }
    let (line, length) = last_line(&mut file, all).map_err(told)?;
    let last = match line {
        Some(line) => Some(last(&line)?),
        None => before(path)?,
    };
    if length < all {
        file.set_len(length).map_err(told)?;
    }
    file.seek(SeekFrom::Start(length)).map_err(told)?;
    let since = read::time_of(&first);
    Ok(Open { file, length, since, last, cut: all - length })
}

/// Looks whether the file could be written, and changes nothing; when its last record was written,
/// where there is one.
///
/// # Errors
/// What is wrong, in words.
pub fn look(path: &Path) -> Result<Option<SystemTime>, String> {
    let told = |e: io::Error| e.to_string();
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err("it is no file that records could be kept in".into());
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return room(path).map(|()| None),
        Err(e) => return Err(e.to_string()),
        Ok(_) => {}
    }
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(told)?;
    let length = file.metadata().map_err(told)?.len();
    let mut first = Vec::new();
    (&file).take(FIRST).read_to_end(&mut first).map_err(told)?;
    if !begins_record(&first) {
        return Err("it holds something else than audit records".into());
    }
    let (line, _) = last_line(&mut file, length).map_err(told)?;
    Ok(line.and_then(|line| read::time_of(&line)))
}

/// Whether a file could be made there: one of another name is, and removed.
fn room(path: &Path) -> Result<(), String> {
    let name = rotate::probe_file(path);
    let made = OpenOptions::new().write(true).create_new(true).open(&name);
    made.map_err(|e| format!("no file can be made in its folder: {e}"))?;
    fs::remove_file(&name).map_err(|e| format!("{} stays: {e}", name.display()))
}

/// The last record of the newest full file, where there is one.
fn before(path: &Path) -> Result<Option<Last>, String> {
    let numbers = rotate::numbers(path).map_err(|e| e.to_string())?;
    let Some(newest) = numbers.first().map(|number| rotate::rotated(path, *number)) else {
        return Ok(None);
    };
    let told = |e: io::Error| format!("{} cannot be read: {e}", newest.display());
    let mut file = File::open(&newest).map_err(told)?;
    let length = file.metadata().map_err(told)?.len();
    let (line, _) = last_line(&mut file, length).map_err(told)?;
    line.map(|line| last(&line).map_err(|e| format!("{}: {e}", newest.display()))).transpose()
}

fn last(line: &[u8]) -> Result<Last, String> {
    let line = Line::read(line).ok_or(
        "its last line is no audit record; modeltap audit verify tells more; move it away",
    )?;
    let is_end = line.head().starts_with(b"\"kind\":\"end\"");
    Ok(Last { chain: Chain::after(line.seq, line.hash), is_end })
}

/// The last whole line of a file of `length` bytes, without its end, and where that end is.
fn last_line(file: &mut File, length: u64) -> io::Result<(Option<Vec<u8>>, u64)> {
    let end = behind_line_end(file, length)?;
    if end == 0 {
        return Ok((None, 0));
    }
    let start = behind_line_end(file, end - 1)?;
    file.seek(SeekFrom::Start(start))?;
    let mut line = Vec::new();
    file.take(end - 1 - start).read_to_end(&mut line)?;
    Ok((Some(line), end))
}

/// The place behind the last line end before `until`, 0 where there is none.
fn behind_line_end(file: &mut File, until: u64) -> io::Result<u64> {
    let mut until = until;
    let mut piece = Vec::new();
    while until > 0 {
        let from = until.saturating_sub(STEP);
        file.seek(SeekFrom::Start(from))?;
        piece.clear();
        Read::by_ref(file).take(until - from).read_to_end(&mut piece)?;
        if let Some(at) = piece.iter().rposition(|b| *b == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        until = from;
    }
    Ok(0)
}

/// Whether the file that is open is still the one that has the name.
#[cfg(unix)]
pub fn is_there(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        (_, Err(e)) => e.kind() != io::ErrorKind::NotFound,
        // It cannot be told; writing will.
        (Err(_), _) => true,
    }
}

/// Elsewhere a file that is open keeps its name.
#[cfg(not(unix))]
pub fn is_there(_: &File, _: &Path) -> bool {
    true
}
