//! The thread that owns the audit file. It goes on by steps; a step that fails is told, and tried
//! again a second later, while what waits is kept.

use super::chain::Chain;
use super::entry::{self, Fields};
use super::file::{self, Open};
use super::queue::{Lost, Queue, Record, record};
use super::{Settings, read, redact, rotate};
use crate::mcp::outbox::Report;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Between two tries.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two tries to begin a new file.
const ROTATE_AGAIN: Duration = Duration::from_secs(60);
/// Records are written in pieces of about so many bytes.
const PIECE: usize = 1024 * 1024;

pub struct Writer {
    queue: Arc<Queue>,
    settings: Settings,
    path: PathBuf,
    report: Report,
    /// Held as long as the thread lives, once had.
    lock: Option<File>,
    open: Option<Open>,
    /// Whether the file got more than what stands at its beginning, since it was opened.
    has_news: bool,
    /// Whether the file may hold a part of a record behind `open.length`.
    is_torn: bool,
    chain: Option<Chain>,
    /// Records that are chained and not written.
    out: Vec<u8>,
    /// Those that are not chained yet, and how far the first block of them is.
    blocks: VecDeque<Vec<u8>>,
    at: usize,
    lost: Option<Lost>,
    /// Requests and answers of this run.
    counts: [u64; 2],
    is_last: bool,
    has_ended: bool,
    /// Why the last step failed.
    failing: Option<String>,
    /// What the requests were told last: whether it fails.
    said: Option<bool>,
    /// Whether a step has failed since records were lost last.
    has_failed: bool,
    rotate_failed: Option<Instant>,
}

impl Writer {
    pub fn new(queue: Arc<Queue>, settings: Settings, path: PathBuf, report: Report) -> Self {
        Writer {
            queue,
            settings,
            path,
            report,
            lock: None,
            open: None,
            has_news: false,
            is_torn: false,
            chain: None,
            out: Vec::new(),
            blocks: VecDeque::new(),
            at: 0,
            lost: None,
            counts: [0; 2],
            is_last: false,
            has_ended: false,
            failing: None,
            said: None,
            has_failed: false,
            rotate_failed: None,
        }
    }

    /// Writes until the end is wanted.
    pub fn run(mut self) {
        let mut is_last_try = false;
        loop {
            match self.step() {
                Ok(true) => break,
                Ok(false) => {}
                Err(why) => {
                    self.failed(why);
                    if is_last_try {
                        self.give_up();
                        break;
                    }
                    is_last_try = self.queue.wait_closed(AGAIN);
                }
            }
        }
        drop(self.open);
        drop(self.lock);
        self.queue.end();
    }

    /// Does what is to be done next; whether all is done for ever.
    fn step(&mut self) -> Result<bool, String> {
        if self.lock.is_none() {
            let lock = file::lock(&self.path)?;
            self.lock = Some(lock.ok_or("another bridge writes to it")?);
        }
        if self.open.is_none() {
            self.open()?;
        }
        if !self.out.is_empty() {
            self.save().map_err(|e| e.to_string())?;
            self.succeeded();
            self.rotate();
            return Ok(false);
        }
        self.succeeded();
        if self.compose() {
            return Ok(false);
        }
        if self.is_last {
            if !self.has_ended {
                self.has_ended = true;
                let [rx, tx] = self.counts;
                self.append("end", |fields| {
                    fields.number("rx", rx).number("tx", tx);
                });
                return Ok(false);
            }
            if let Some(open) = &self.open {
                open.file.sync_data().map_err(|e| e.to_string())?;
            }
            return Ok(true);
        }
        let taken = self.queue.take();
        self.blocks.extend(taken.blocks);
        self.lost = taken.lost;
        self.is_last = taken.is_last;
        if self.open.as_ref().is_some_and(|open| !file::is_there(&open.file, &self.path)) {
            (self.report)(&format!(
                "the audit file {} was moved or removed; a new one is begun",
                self.path.display()
            ));
            self.open = None;
        }
        Ok(false)
    }

    /// Opens the file and composes the records that stand at the beginning of a file and of a run.
    fn open(&mut self) -> Result<(), String> {
        let open = file::open(&self.path)?;
        let is_first = self.chain.is_none();
        // Once it is known how the chain stands, no file is asked.
        let chain = self.chain.or(open.last.map(|last| last.chain)).unwrap_or_default();
        self.chain = Some(chain);
        if open.length == 0 && chain != Chain::default() {
            self.append("rotate", |_| {});
        }
        if is_first {
            let last = open.last.map_or("none", |last| if last.is_end { "end" } else { "killed" });
            let (cut, policy) = (open.cut, self.settings.body.name());
            self.append("begin", |fields| {
                fields.text("version", env!("CARGO_PKG_VERSION"));
                fields.number("pid", std::process::id().into());
                fields.text("policy", policy).text("last", last);
                if cut > 0 {
                    fields.number("cut", cut);
                }
            });
        }
        let since = Some(open.since.unwrap_or_else(SystemTime::now));
        self.open = Some(Open { since, ..open });
        self.is_torn = false;
        self.has_news = false;
        Ok(())
    }

    /// Chains a record of ours.
    fn append(&mut self, kind: &str, more: impl FnOnce(&mut Fields)) {
        let chain = self.chain.get_or_insert_default();
        chain.append(&mut self.out, |out| more(&mut Fields::new(out, kind, SystemTime::now())));
    }

    /// Chains some of the records that wait; whether there were any.
    fn compose(&mut self) -> bool {
        let (policy, patterns) = (self.settings.body, &self.settings.patterns);
        let chain = self.chain.get_or_insert_default();
        while let Some(block) = self.blocks.front() {
            while let Some(Record { fields, body, next }) = record(block, self.at) {
                self.at = next;
                chain.append(&mut self.out, |out| {
                    out.extend_from_slice(fields);
                    if let Some(body) = body {
                        entry::push_body(out, body, policy, |text| redact::redact(text, patterns));
                    }
                });
                self.counts[usize::from(read::kind_of(fields) == b"tx")] += 1;
                if self.out.len() >= PIECE {
                    self.has_news = true;
                    return true;
                }
            }
            self.at = 0;
            if let Some(block) = self.blocks.pop_front() {
                self.queue.give_back(block);
            }
        }
        if let Some(Lost { count, since }) = self.lost.take() {
            let why = match std::mem::take(&mut self.has_failed) {
                true => "the file could not be written",
                false => "more came than could be written",
            };
            let since = entry::stamp(since).to_string();
            self.append("gap", |fields| {
                fields.number("lost", count).text("since", &since).text("reason", why);
            });
        }
        self.has_news |= !self.out.is_empty();
        !self.out.is_empty()
    }

    /// Writes what is chained. Where that fails, what was written of it in whole records stays.
    fn save(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if self.is_torn {
            mend(open)?;
            self.is_torn = false;
        }
        let (mut done, mut result) = (0, Ok(()));
        while let Some(rest @ [_, ..]) = self.out.get(done..)
            && result.is_ok()
        {
            match open.file.write(rest) {
                Ok(0) => result = Err(ErrorKind::WriteZero.into()),
                Ok(written) => done += written,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => result = Err(e),
            }
        }
        let written = self.out.get(..done).unwrap_or_default();
        let whole = written.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        open.length += whole as u64;
        self.out.drain(..whole);
        if self.out.is_empty() {
            self.out.shrink_to(2 * PIECE);
        }
        if result.is_err() {
            // Where even that fails it comes before the next try.
            self.is_torn = mend(open).is_err();
        }
        result
    }

    /// Begins a new file where this one is large or old enough.
    fn rotate(&mut self) {
        let Some(open) = &self.open else { return };
        // The end stands last, where it is looked for.
        if self.has_ended {
            return;
        }
        let age = open.since.and_then(|since| since.elapsed().ok());
        let is_old = self.settings.max_age.zip(age).is_some_and(|(most, age)| age >= most);
        let is_full = open.length >= self.settings.max_size;
        let was_tried = self.rotate_failed.is_some_and(|at| at.elapsed() < ROTATE_AGAIN);
        // On a disk that is slow a file may be old before its first record is written; to go on to
        // the next for that would push out all that is kept.
        if !(is_full || is_old) || !self.has_news || was_tried {
            return;
        }
        let done = open.file.sync_data().and_then(|()| {
            // Not everywhere can a file be renamed that is open.
            self.open = None;
            rotate::rotate(&self.path, self.settings.keep)
        });
        if let Err(e) = &done
            && self.rotate_failed.is_none()
        {
            (self.report)(&format!(
                "no new audit file can be begun, {} grows on: {e}",
                self.path.display()
            ));
        }
        self.rotate_failed = done.err().map(|_| Instant::now());
    }

    fn succeeded(&mut self) {
        if self.failing.take().is_some() {
            (self.report)(&format!("the audit file {} is written now", self.path.display()));
        }
        self.say(false);
    }

    fn failed(&mut self, why: String) {
        self.has_failed = true;
        if self.failing.as_ref() != Some(&why) {
            let then = match self.settings.required {
                true => "requests are refused until it can be, since it is required",
                false => "up to 64 MiB of records wait for it, and requests are answered",
            };
            (self.report)(&format!(
                "THE AUDIT FILE {} CANNOT BE WRITTEN: {why}. It is tried again each second; {then}",
                self.path.display()
            ));
        }
        self.failing = Some(why);
        self.say(true);
    }

    fn say(&mut self, failing: bool) {
        if self.said.replace(failing) != Some(failing) {
            self.queue.set_failing(failing);
        }
    }

    /// Tells of what will never be written.
    fn give_up(&mut self) {
        let taken = self.queue.take();
        let waiting = self.blocks.iter().chain(&taken.blocks).any(|block| !block.is_empty());
        let lost = self.lost.or(taken.lost).is_some();
        if waiting || lost || !self.out.is_empty() {
            (self.report)("audit records are lost: the process ends, and they cannot be written");
        }
    }
}

/// Cuts off what is left of a record that was not written to its end.
fn mend(open: &mut Open) -> io::Result<()> {
    open.file.set_len(open.length)?;
    open.file.seek(SeekFrom::Start(open.length)).map(drop)
}
