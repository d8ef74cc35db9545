//! Follows the audit file while it grows and is rotated, and checks its chain record by record: what
//! is dropped later was read before.

use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The bytes of `,"hash":"…"}`.
const TAIL: usize = 9 + 64 + 2;

/// What the account needs of a record.
#[derive(Debug, Deserialize)]
pub struct Record<'a> {
    pub seq: u64,
    prev: &'a str,
    pub kind: &'a str,
    pub id: Option<&'a str>,
    #[serde(borrow)]
    pub session: Option<Cow<'a, str>>,
    pub status: Option<u16>,
    #[serde(borrow)]
    pub error: Option<Cow<'a, str>>,
    /// Of the record at the end of a run.
    pub rx: Option<u64>,
    pub tx: Option<u64>,
    hash: &'a str,
}

pub struct Trail {
    path: PathBuf,
    /// How many full files may be there.
    keep: usize,
    open: Option<(BufReader<File>, u64)>,
    line: Vec<u8>,
    is_read: bool,
    /// Number and hash of the last record.
    pub last: (u64, String),
    pub bytes: u64,
}

impl Trail {
    pub fn new(path: &Path, keep: usize) -> Trail {
        let (path, last) = (path.to_owned(), (0, "0".repeat(64)));
        Trail { path, keep, open: None, line: Vec::new(), is_read: false, last, bytes: 0 }
    }

    /// The next record; `None` where no more is written.
    ///
    /// # Errors
    /// The chain is broken, or a file went before it was read.
    pub fn advance(&mut self) -> Result<Option<Record<'_>>, String> {
        if !self.read_line().map_err(|e| format!("the audit file cannot be read: {e}"))? {
            return Ok(None);
        }
        let line = self.line.trim_ascii_end();
        let record: Record = serde_json::from_slice(line)
            .map_err(|e| format!("no record: {e}: {}", String::from_utf8_lossy(line)))?;
        let (seq, hash) = &self.last;
        if record.seq != seq + 1 || record.prev != hash {
            return Err(format!("record {} follows record {seq}, or not its hash", record.seq));
        }
        let digest = Sha256::digest(&line[..line.len().saturating_sub(TAIL)]);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if digest != record.hash {
            return Err(format!("record {} has not its own hash", record.seq));
        }
        self.bytes += self.line.len() as u64;
        self.last = (record.seq, digest);
        self.is_read = true;
        Ok(Some(record))
    }

    /// Whether a whole line was read; a part of one stays for the next time.
    fn read_line(&mut self) -> io::Result<bool> {
        if std::mem::take(&mut self.is_read) {
            self.line.clear();
            self.line.shrink_to(64 * 1024);
        }
        if self.open.is_none() {
            self.open = open(&self.path)?;
        }
        let Some((reader, inode)) = &mut self.open else { return Ok(false) };
        reader.read_until(b'\n', &mut self.line)?;
        if self.line.ends_with(b"\n") {
            return Ok(true);
        }
        if inode_of(&self.path)? == Some(*inode) {
            return Ok(false);
        }
        // Renamed: nothing is written to it any more, and what was is there.
        reader.read_until(b'\n', &mut self.line)?;
        if self.line.ends_with(b"\n") {
            return Ok(true);
        }
        assert!(self.line.is_empty(), "a full file ends in the middle of a record");
        let inode = *inode;
        self.open_behind(inode)
    }

    /// Opens the file that was begun behind this one, and reads its first line.
    fn open_behind(&mut self, inode: u64) -> io::Result<bool> {
        let name = |number: usize| match number {
            0 => self.path.clone(),
            _ => PathBuf::from(format!("{}.{number}", self.path.display())),
        };
        for number in 1..=self.keep {
            if inode_of(&name(number))? != Some(inode) {
                continue;
            }
            let Some((mut reader, next)) = open(&name(number - 1))? else { return Ok(false) };
            reader.read_until(b'\n', &mut self.line)?;
            // Files may have been renamed in between; then it is looked for anew.
            let wanted = format!("{{\"seq\":{},", self.last.0 + 1);
            if self.line.ends_with(b"\n") && self.line.starts_with(wanted.as_bytes()) {
                self.open = Some((reader, next));
                return Ok(true);
            }
            self.line.clear();
            return Ok(false);
        }
        let said = format!("the file behind record {} went before it was read", self.last.0);
        match inode_of(&name(self.keep))? {
            Some(_) => Err(io::Error::other(said)),
            // They are being renamed now.
            None => Ok(false),
        }
    }
}

fn open(path: &Path) -> io::Result<Option<(BufReader<File>, u64)>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some((BufReader::with_capacity(256 * 1024, file), inode)))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn inode_of(path: &Path) -> io::Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(about) => Ok(Some(about.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}
