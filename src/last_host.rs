//! What the bridge learns of its host, written down for `modeltap doctor`: that runs beside the bridge, or
//! when it is gone. Of several bridges that share the file the last writer wins; it says who it is.
//!
//! Nobody ever waits for the disk here: whoever learns something changes the facts in memory, and a
//! thread of its own writes them.

use crate::access::shared_file::{Fault, SharedFile};
use crate::clock;
use crate::mcp::outbox::Report;
use crate::mcp::session::{Client, Era, MODERN};
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The form of the file.
pub const VERSION: u32 = 1;
/// The longest wait for another bridge that writes the file.
const LOCK: Duration = Duration::from_millis(500);
/// Between two writings, so that a host that fails at each request costs no more than this.
const PAUSE: Duration = Duration::from_millis(200);
/// The most characters that are kept of what a host says.
const WORDS: usize = 300;
const STACK: usize = 128 * 1024;

/// Where the file is unless a setting says it, by the environment; `None` where that names no home:
/// `XDG_STATE_HOME` or `HOME` (XDG Base Directory Specification), on Windows `LOCALAPPDATA`.
pub fn usual_path(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = |name| env(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let state = match cfg!(windows) {
        true => folder("LOCALAPPDATA"),
        false => {
            folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|h| h.join(".local/state")))
        }
    };
    state.map(|folder| folder.join("modeltap").join("last-host.json"))
}

/// Whether the host's user lets its model be used, as far as answers tell.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// Nothing was asked, or nothing answered yet.
    #[default]
    Unknown,
    /// The last answer was good.
    Granted,
    /// The last answer was a denial (-1 or -32000, FACTS §2).
    Denied,
}

/// A refusal by the host.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// When, RFC 3339.
    pub time: String,
    /// The code of JSON-RPC.
    pub code: i64,
    /// The host's words, 300 characters of them at most.
    pub message: String,
}

/// Whether channel events reach the host.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// Whether the capability was declared to it.
    pub offered: bool,
    /// Whether it has answered an event.
    pub answered: bool,
    /// How many requests it has left unanswered for the whole of their lease.
    pub unanswered: u64,
}

/// What is known of a host.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The form of the file, [`VERSION`].
    pub version: u32,
    /// When this was written, RFC 3339.
    pub time: String,
    /// The bridge's process.
    pub pid: u32,
    /// The process that started the bridge, where the system tells.
    pub host_pid: Option<u32>,
    /// `clientInfo.name`.
    pub name: String,
    /// `clientInfo.version`.
    pub release: String,
    /// The protocol version that was agreed; empty where none was.
    pub protocol: String,
    /// The capabilities that it declared, those within them as `sampling.tools`.
    pub capabilities: Vec<String>,
    /// Whether the handshake is over.
    pub ready: bool,
    /// The era that it tried in vain: `legacy` or `modern`.
    pub turned_away: Option<String>,
    /// Whether the environment says that Claude Code started the bridge.
    pub in_claude_code: bool,
    /// Variables in the bridge's environment that keep Claude Code from having channels.
    pub hindrances: Vec<String>,
    /// The way that requests go.
    pub way: Option<String>,
    /// Why there is none.
    pub why_none: Option<String>,
    /// Where clients reach the bridge.
    pub listens: Option<String>,
    /// Whether the host's model may be used.
    pub consent: Consent,
    /// The last refusal of a session.
    pub refusal: Option<Refusal>,
    /// Whether channel events reach the host.
    pub channel: Channel,
    /// When the bridge ended, RFC 3339; none while it runs, or where it was killed.
    pub ended: Option<String>,
}

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

/// Reads the file; `None` where there is none.
///
/// # Errors
/// It cannot be read, or is damaged, or of another version.
pub fn read(path: PathBuf) -> Result<Option<Facts>, Fault> {
    let file = SharedFile::new(path);
    let Some(content) = file.read()? else { return Ok(None) };
    let damaged = |why: String| Fault::Damaged { path: file.path(), why };
    let facts: Facts = serde_json::from_str(&content.text).map_err(|e| damaged(e.to_string()))?;
    match facts.version {
        VERSION => Ok(Some(facts)),
        other => Err(damaged(format!("version {other} is not known here, only {VERSION}"))),
    }
}

impl Facts {
    /// The host's name and version, as people say it.
    pub fn host(&self) -> String {
        let name = if self.name.is_empty() { "a host without a name" } else { &self.name };
        format!("{name} {}", self.release).trim_end().to_owned()
    }

    /// Whether it spoke the modern era.
    pub fn is_modern(&self) -> bool {
        self.protocol == MODERN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    /// A place for the file, removed at the end.
    struct Place(PathBuf);

    impl Place {
        fn new() -> Self {
            Place(std::env::temp_dir().join(format!("modeltap-host-{}", uuid::Uuid::new_v4())))
        }

        fn file(&self) -> PathBuf {
            self.0.join("last-host.json")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn silent() -> Report {
        Arc::new(|said: &str| panic!("{said}"))
    }

    fn client(name: &str) -> Client {
        Client { name: name.into(), protocol: "2025-11-25", ready: true, ..Client::default() }
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_is_learnt_is_written_and_belongs_to_its_session() {
        let place = Place::new();
        let host = LastHost::start(Some(place.file()), Facts::default(), silent()).unwrap();
        host.met(&client("first"), true);
        host.refused(-1, "no\n\x1bway", true);
        host.channel_unanswered();
        let deadline = Instant::now() + LONG;
        let facts = loop {
            match read(place.file()).unwrap() {
                Some(facts) if facts.channel.unanswered == 1 => break facts,
                _ => assert!(Instant::now() < deadline),
            }
            thread::yield_now();
        };
        assert_eq!((facts.name.as_str(), facts.pid), ("first", std::process::id()));
        assert_eq!(facts.consent, Consent::Denied);
        assert_eq!(facts.refusal.unwrap().message, "no  way");
        // A good answer after all, and then somebody else.
        host.granted();
        host.met(&client("second"), false);
        host.goes(Ok("sampling"), None);
        assert!(host.knows_way("sampling") && !host.knows_way("pull"));
        host.close(LONG);
        let facts = read(place.file()).unwrap().unwrap();
        assert_eq!((facts.name.as_str(), facts.consent), ("second", Consent::Unknown));
        assert!(
            facts.refusal.is_none() && facts.ended.is_some() && facts.channel == Channel::default()
        );
        assert_eq!(facts.way.as_deref(), Some("sampling"));
    }

    #[test]
    fn without_a_host_or_a_path_nothing_is_written() {
        let place = Place::new();
        let host = LastHost::start(Some(place.file()), Facts::default(), silent()).unwrap();
        host.goes(Err("nobody".into()), None);
        host.close(LONG);
        assert!(read(place.file()).unwrap().is_none());
        let host = LastHost::default();
        host.met(&client("any"), true);
        host.close(LONG);
    }

    #[test]
    fn what_cannot_be_written_is_told_once_and_nobody_waits_for_it() {
        let place = Place::new();
        std::fs::write(&place.0, "no folder").unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let report: Report = Arc::new(move |said: &str| lock(&heard).push(said.to_owned()));
        let host = LastHost::start(Some(place.file()), Facts::default(), report).unwrap();
        host.met(&client("first"), false);
        host.met(&client("second"), false);
        host.close(LONG);
        let told = lock(&told).clone();
        assert!(told.len() == 1 && told[0].contains("MODELTAP_STATE"), "{told:?}");
        let _ = std::fs::remove_file(&place.0);
    }

    #[test]
    #[cfg(not(windows))]
    fn the_usual_place_follows_the_environment() {
        for (xdg, home, path) in [
            (Some("/x"), Some("/h"), Some("/x/modeltap/last-host.json")),
            (None, Some("/h"), Some("/h/.local/state/modeltap/last-host.json")),
            (Some("relative"), Some("/h"), Some("/h/.local/state/modeltap/last-host.json")),
            (Some(""), None, None),
        ] {
            let env = |name: &str| match name {
                "XDG_STATE_HOME" => xdg.map(str::to_owned),
                "HOME" => home.map(str::to_owned),
                _ => None,
            };
            assert_eq!(usual_path(env), path.map(PathBuf::from));
        }
    }

    #[test]
    fn a_file_of_another_form_is_damaged() {
        let place = Place::new();
        std::fs::create_dir(&place.0).unwrap();
        for text in ["{", "{\"version\": 2}", "[]"] {
            std::fs::write(place.file(), text).unwrap();
            assert!(matches!(read(place.file()), Err(Fault::Damaged { .. })), "{text}");
        }
    }
}
