//! The tokens of a running bridge: who presents which, and what each has used. A thread of its own
//! sees each change of the file within a second, and writes the usage.
//!
//! Whatever happens to the file, it never opens the door: while it is damaged, unreadable or gone,
//! what it listed last stays good and is asked for; if it never was good, nobody's token is.

use super::shared_file::{Fault, Stamp};
use super::token::{self, Token};
use super::token_file::{Listed, TokenFile};
use super::usage::{Meter, Usages};
use crate::mcp::outbox::Report;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Between two looks at the files; nothing portable tells of their changes.
const LOOK: Duration = Duration::from_millis(500);
/// Between two writings of usage.
const WRITE: Duration = Duration::from_secs(2);
/// The longest wait for another bridge that writes its usage, short so that the next look is in time.
const LOCK: Duration = Duration::from_millis(300);
/// What is longer is no token; hashing it would only cost time.
const LONGEST: usize = 256;

/// A token, and what it has used.
#[derive(Debug)]
pub struct Holder {
    /// The token as the file tells it. When it expires is for who asks to compare with the clock.
    pub token: Token,
    /// What may be told of it, in every line about one of its requests.
    pub fingerprint: String,
    /// Its meter, which is the same after each change of the file.
    pub meter: Arc<Meter>,
}

impl Holder {
    /// The number of its id.
    pub fn number(&self) -> u64 {
        // The file's reader takes no other ids. Two to 32, so that it is nobody's without a token.
        1 << 32 | u64::from_str_radix(&self.token.id, 16).unwrap_or_default()
    }
}

/// The live table.
pub struct Tokens {
    shared: Arc<Shared>,
    /// To the thread: write the usage and end. What it gets it drops when that is done.
    end: Option<Sender<Sender<()>>>,
}

#[derive(Default)]
struct Shared {
    /// By the first half of the hash. The map stops comparing at the first difference; the whole
    /// hash is compared here, in constant time.
    holders: RwLock<HashMap<u128, Arc<Holder>>>,
    asked_for: AtomicBool,
}

impl Tokens {
    /// Reads the file and watches it until [`Tokens::close`] or the drop of this. Without a path
    /// there are no tokens. Faults are told to `report`.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(path: Option<PathBuf>, report: Report) -> io::Result<Arc<Self>> {
        let shared = Arc::<Shared>::default();
        let Some(path) = path else { return Ok(Arc::new(Tokens { shared, end: None })) };
        let mut watcher = Watcher::new(TokenFile::new(path), shared.clone(), report);
        watcher.look();
        // Without room: what the thread does not take before its end is refused and not waited for.
        let (end, ended) = bounded(0);
        thread::Builder::new().name("tokens".into()).spawn(move || watcher.run(&ended))?;
        Ok(Arc::new(Tokens { shared, end: Some(end) }))
    }

    /// Whether clients are asked for a token: the file lists any, be it revoked, or is damaged or
    /// unreadable.
    pub fn are_asked_for(&self) -> bool {
        self.shared.asked_for.load(Ordering::Relaxed)
    }

    /// How many are listed, whatever their state.
    pub fn count(&self) -> usize {
        self.shared.holders.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The token that `presented` is the text of, also where it is expired or revoked. How long this
    /// takes tells nothing of any token.
    pub fn find(&self, presented: &str) -> Option<Arc<Holder>> {
        if presented.len() > LONGEST {
            return None;
        }
        let hash = token::hash(presented);
        let holders = self.shared.holders.read().unwrap_or_else(PoisonError::into_inner);
        let holder = holders.get(&first_half(&hash))?;
        is_same(&holder.token.hash, &hash).then(|| holder.clone())
    }

    /// Writes what was used and ends the thread, but waits no longer than `within`. What is counted
    /// later is not written.
    pub fn close(&self, within: Duration) {
        let Some(end) = &self.end else { return };
        let until = Instant::now() + within;
        let (mark, written) = bounded(0);
        if end.send_deadline(mark, until).is_ok() {
            // That it is dropped is the news; there is nothing to receive.
            let _ = written.recv_deadline(until);
        }
    }
}

fn first_half(hash: &[u8; 32]) -> u128 {
    hash.iter().take(16).fold(0, |half, byte| half << 8 | u128::from(*byte))
}

fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let differing = one.iter().zip(other).fold(0, |bits, (a, b)| bits | (a ^ b));
    std::hint::black_box(differing) == 0
}

/// A fault that is told once.
#[derive(Default)]
struct Trouble(Option<String>);

impl Trouble {
    fn tell(&mut self, said: String, report: &Report) {
        if self.0.as_ref() != Some(&said) {
            report(&said);
            self.0 = Some(said);
        }
    }

    /// Whether there was one that is over now.
    fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

/// What the thread knows.
struct Watcher {
    file: TokenFile,
    shared: Arc<Shared>,
    report: Report,
    /// By id, of all tokens that are listed.
    meters: HashMap<String, Arc<Meter>>,
    /// As the usage file told it last.
    usage: Usages,
    /// The states that were read last, or that could not be.
    seen: Option<Result<Stamp, io::ErrorKind>>,
    usage_seen: Option<Result<Stamp, io::ErrorKind>>,
    /// Whether the system refused the last reading. It may grant the next, and nothing would show it.
    refused: bool,
    trouble: Trouble,
    read_trouble: Trouble,
    write_trouble: Trouble,
    warned: bool,
    next_write: Instant,
}

impl Watcher {
    fn new(file: TokenFile, shared: Arc<Shared>, report: Report) -> Self {
        Watcher {
            file,
            shared,
            report,
            meters: HashMap::new(),
            usage: Usages::new(),
            seen: None,
            usage_seen: None,
            refused: false,
            trouble: Trouble::default(),
            read_trouble: Trouble::default(),
            write_trouble: Trouble::default(),
            warned: false,
            next_write: Instant::now(),
        }
    }

    fn run(mut self, ended: &Receiver<Sender<()>>) {
        loop {
            match ended.recv_timeout(LOOK) {
                Err(RecvTimeoutError::Timeout) => {
                    self.look();
                    if Instant::now() >= self.next_write {
                        self.write_usage();
                    }
                }
                // The mark, if there is one, lives until this function returns.
                Ok(_) | Err(RecvTimeoutError::Disconnected) => return self.write_usage(),
            }
        }
    }

    /// Reads what has changed since the last look.
    fn look(&mut self) {
        self.look_at_usage();
        let stamp = Some(self.file.stamp());
        let is_new = self.seen != stamp;
        if !is_new && !self.refused {
            return;
        }
        let was_there = self.seen.is_some_and(|seen| seen != Err(io::ErrorKind::NotFound));
        let read = self.file.read();
        self.refused = matches!(read, Err(Fault::System { .. }));
        if is_new {
            // Said once for each change, be it the same again.
            self.trouble.0.take_if(|_| read.is_err());
        }
        self.seen = stamp;
        match read {
            Ok(Some(listed)) => {
                self.seen = Some(Ok(listed.stamp));
                self.list(listed);
            }
            Ok(None) if was_there && self.shared.asked_for.load(Ordering::Relaxed) => {
                let path = self.file.path();
                let said = format!(
                    "{} is gone: its tokens stay as they were until it is back or this bridge ends",
                    path.display()
                );
                self.trouble.tell(said, &self.report);
            }
            Ok(None) => {}
            Err(fault) => {
                self.shared.asked_for.store(true, Ordering::Relaxed);
                let said = match self.meters.is_empty() {
                    true => format!("no token is good until this is mended: {fault}"),
                    false => format!("the tokens stay as they were until this is mended: {fault}"),
                };
                self.trouble.tell(said, &self.report);
            }
        }
    }

    /// Goes by a new list.
    fn list(&mut self, listed: Listed) {
        let count = listed.tokens.len();
        let holder = |token: Token| {
            let meter = self.meters.get(&token.id).cloned().unwrap_or_else(|| {
                let meter = Meter::default();
                meter.told(self.usage.get(&token.id).cloned().unwrap_or_default());
                Arc::new(meter)
            });
            let (key, fingerprint) = (first_half(&token.hash), token.fingerprint());
            (key, Arc::new(Holder { token, fingerprint, meter }))
        };
        let holders: HashMap<_, _> = listed.tokens.into_iter().map(holder).collect();
        self.meters = holders
            .values()
            .map(|holder| (holder.token.id.clone(), holder.meter.clone()))
            .collect();
        *self.shared.holders.write().unwrap_or_else(PoisonError::into_inner) = holders;
        self.shared.asked_for.store(count > 0, Ordering::Relaxed);
        if self.trouble.is_over() {
            let path = self.file.path();
            (self.report)(&format!("{} is good again: tokens listed: {count}", path.display()));
        }
        if let Some(warning) = listed.warning.as_ref().filter(|_| !self.warned) {
            (self.report)(warning);
        }
        self.warned = listed.warning.is_some();
    }

    /// Takes in what other bridges have written.
    fn look_at_usage(&mut self) {
        let stamp = Some(self.file.usage_file().stamp());
        if self.usage_seen == stamp {
            return;
        }
        match self.file.usage() {
            Ok(usage) => {
                self.usage_seen = stamp;
                self.read_trouble.is_over();
                for (id, meter) in &self.meters {
                    meter.told(usage.get(id).cloned().unwrap_or_default());
                }
                self.usage = usage;
            }
            Err(fault) => self.tell_unread(&fault),
        }
    }

    fn tell_unread(&mut self, fault: &Fault) {
        let said = format!("the use of tokens counts from where it is known: {fault}");
        self.read_trouble.tell(said, &self.report);
    }

    fn write_usage(&mut self) {
        self.next_write = Instant::now() + WRITE;
        let used =
            |(id, meter): (&String, &Arc<Meter>)| meter.take().map(|more| (id.clone(), more));
        let more: Usages = self.meters.iter().filter_map(used).collect();
        if more.is_empty() {
            return;
        }
        let now = SystemTime::now();
        let written = self.file.add_usage(&more, LOCK, now);
        let meters = more.keys().filter_map(|id| Some((id, self.meters.get(id)?)));
        match written {
            Ok(usage) => {
                for (id, meter) in meters {
                    meter.written(usage.get(id).cloned().unwrap_or_default());
                }
                self.usage = usage;
                if self.write_trouble.is_over() {
                    (self.report)("the use of tokens is written again");
                }
            }
            Err(fault) => {
                meters.for_each(|(_, meter)| meter.unwritten(now));
                // A damaged file was told of when it was read.
                if !matches!(fault, Fault::Damaged { .. }) {
                    let said = format!("the use of tokens is kept in memory for now: {fault}");
                    self.write_trouble.tell(said, &self.report);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
