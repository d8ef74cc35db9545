//! What the bridge learns of its host, written down for `modeltap doctor`: that runs beside the bridge, or
//! when it is gone. Of several bridges that share the file the last writer wins; it says who it is.
//!
//! Nobody ever waits for the disk here: whoever learns something changes the facts in memory, and a
//! thread of its own writes them.

mod facts;

pub use facts::{Channel, Consent, Facts, Refusal, VERSION, read, usual_path};

use crate::access::shared_file::{Fault, SharedFile};
use crate::clock;
use crate::mcp::outbox::Report;
use crate::mcp::session::{Client, Era};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The longest wait for another bridge that writes the file.
const LOCK: Duration = Duration::from_millis(500);
/// Between two writings, so that a host that fails at each request costs no more than this.
const PAUSE: Duration = Duration::from_millis(200);
/// The most characters that are kept of what a host says.
const WORDS: usize = 300;
const STACK: usize = 128 * 1024;

/// What is written of the host of this process. Clones share it; the default one writes nothing.
#[derive(Clone, Default)]
pub struct LastHost(Option<Arc<Shared>>);

struct Shared {
    facts: Mutex<Facts>,
    /// The consent as it is in `facts`, to be looked at with each answer.
    consent: AtomicU8,
    /// Tells the thread of news, and, by being dropped, that it is to end.
    news: Mutex<Option<(Sender<()>, Sender<()>)>>,
    thread: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> String {
    humantime::format_rfc3339_seconds(clock::now()).to_string()
}

/// What a host says, in one short line.
fn words(said: &str) -> String {
    said.chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl LastHost {
    /// Writes to `path` from the first host on; nothing where there is no path. That it cannot be
    /// written is told once.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(path: Option<PathBuf>, first: Facts, report: Report) -> io::Result<Self> {
        let Some(path) = path else { return Ok(LastHost(None)) };
        let (news, changed) = bounded(1);
        let (going, gone) = bounded(0);
        let (ended, end) = bounded::<()>(0);
        let shared = Arc::new(Shared {
            facts: Mutex::new(Facts {
                version: VERSION,
                pid: std::process::id(),
                host_pid: parent(),
                ..first
            }),
            consent: AtomicU8::new(Consent::Unknown as u8),
            news: Mutex::new(Some((news, going))),
            thread: Mutex::default(),
        });
        let writer = shared.clone();
        let run = move || {
            // Told by being dropped.
            let _ended = ended;
            writer.write(&SharedFile::new(path), &changed, &gone, &report);
        };
        let builder = thread::Builder::new().name("last-host".into()).stack_size(STACK);
        *lock(&shared.thread) = Some((builder.spawn(run)?, end));
        Ok(LastHost(Some(shared)))
    }

    fn change(&self, change: impl FnOnce(&mut Facts)) {
        let Some(shared) = &self.0 else { return };
        let mut facts = lock(&shared.facts);
        let before = facts.clone();
        change(&mut facts);
        if *facts == before {
            return;
        }
        facts.time = now();
        shared.consent.store(facts.consent as u8, Ordering::Relaxed);
        drop(facts);
        if let Some((news, _)) = &*lock(&shared.news) {
            // Where news wait already, these go with them.
            let _ = news.try_send(());
        }
    }

    /// Notes who has shaken hands, or sent a first modern request. What was learnt of another
    /// session goes.
    pub fn met(&self, client: &Client, channel_offered: bool) {
        self.change(|facts| {
            let is_same = facts.turned_away.is_none()
                && (facts.name.as_str(), facts.release.as_str(), facts.protocol.as_str())
                    == (
                        words(&client.name).as_str(),
                        words(&client.version).as_str(),
                        client.protocol,
                    )
                && client.ready;
            if !is_same {
                facts.consent = Consent::Unknown;
                facts.refusal = None;
                facts.channel = Channel::default();
            }
            introduce(facts, client);
            facts.turned_away = None;
            facts.channel.offered = channel_offered;
        });
    }

    /// Notes who could not be served, since the settings have the other era than this one.
    pub fn turned_away(&self, client: &Client, spoke: Era) {
        self.change(|facts| {
            introduce(facts, client);
            facts.turned_away = Some(if spoke == Era::Modern { "modern" } else { "legacy" }.into());
        });
    }

    /// Notes the way that requests go, or why there is none, and where clients reach the bridge.
    pub fn goes(&self, way: Result<&str, String>, listens: Option<String>) {
        self.change(|facts| {
            (facts.way, facts.why_none) = match way {
                Ok(way) => (Some(way.to_owned()), None),
                Err(why) => (None, Some(why)),
            };
            facts.listens = listens;
        });
    }

    /// Whether requests are known to go by this way, or nobody wants to know.
    pub fn knows_way(&self, way: &str) -> bool {
        let Some(shared) = &self.0 else { return true };
        lock(&shared.facts).way.as_deref() == Some(way)
    }

    /// Notes that the host's model has answered.
    pub fn granted(&self) {
        let known = self.0.as_ref().map(|shared| shared.consent.load(Ordering::Relaxed));
        if known.is_some_and(|known| known != Consent::Granted as u8) {
            self.change(|facts| facts.consent = Consent::Granted);
        }
    }

    /// Notes that the host has refused a request, and whether that was a denial.
    pub fn refused(&self, code: i64, message: &str, is_denial: bool) {
        let message = words(message);
        self.change(|facts| {
            if is_denial {
                facts.consent = Consent::Denied;
            }
            let is_known = facts.refusal.as_ref();
            if is_known.is_none_or(|known| (known.code, &known.message) != (code, &message)) {
                facts.refusal = Some(Refusal { time: now(), code, message });
            }
        });
    }

    /// Notes that channel events reach the host.
    pub fn channel_answered(&self) {
        self.change(|facts| facts.channel.answered = true);
    }

    /// Notes that a request went by a channel event and was not answered in time.
    pub fn channel_unanswered(&self) {
        self.change(|facts| facts.channel.unanswered = facts.channel.unanswered.saturating_add(1));
    }

    /// Notes the end of the bridge, writes it, and waits for that no longer than `within`.
    pub fn close(&self, within: Duration) {
        let Some(shared) = &self.0 else { return };
        self.change(|facts| facts.ended = Some(now()));
        lock(&shared.news).take();
        let thread = lock(&shared.thread).take();
        // It ends by itself where the disk is slower than that.
        let _ = thread.map(|(_, end)| end.recv_timeout(within));
    }
}

fn introduce(facts: &mut Facts, client: &Client) {
    facts.name = words(&client.name);
    facts.release = words(&client.version);
    facts.protocol = client.protocol.to_owned();
    facts.capabilities.clone_from(&client.capabilities);
    facts.ready = client.ready;
}

impl Shared {
    /// Writes at each news until there can be no more.
    fn write(
        &self,
        file: &SharedFile,
        changed: &Receiver<()>,
        gone: &Receiver<()>,
        report: &Report,
    ) {
        let mut is_told = false;
        while changed.recv().is_ok() {
            let facts = lock(&self.facts).clone();
            // Until there is a host, the one before is the last.
            if facts.protocol.is_empty() && facts.turned_away.is_none() {
                continue;
            }
            // Nothing in these types can fail to become JSON.
            let text = serde_json::to_string_pretty(&facts).unwrap_or_default();
            let written: Result<(), Fault> = file.change(LOCK, |_| Ok((Some(text), ())));
            if let Err(fault) = written
                && !is_told
            {
                is_told = true;
                report(&format!(
                    "what modeltap doctor should know of the host is not written: {fault}; set \
                     MODELTAP_STATE to another file, or to none"
                ));
            }
            // Nothing is ever sent on it: this ends with the time, or with the bridge.
            let _ = gone.recv_timeout(PAUSE);
        }
    }
}

#[cfg(unix)]
fn parent() -> Option<u32> {
    Some(std::os::unix::process::parent_id())
}

#[cfg(not(unix))]
fn parent() -> Option<u32> {
    None
}

#[cfg(test)]
mod tests;
