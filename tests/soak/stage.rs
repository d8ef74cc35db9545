//! What everybody in a run shares: where the bridge is, whose turn it is, what became of requests,
//! and what is wrong.

use super::account::Said;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How much of its time a schedule may make up for when the machine was busy with something else.
const BURST: Duration = Duration::from_millis(100);
/// How many words of clients may wait to be taken down.
const WAITING: usize = 100_000;

/// Keys of every kind.
pub struct Keys {
    pub plain: String,
    /// So many requests a second.
    pub by_rate: String,
    /// So many at once.
    pub by_concurrency: String,
    pub revoked: String,
    /// For one model that nobody asks for.
    pub for_model: String,
    /// For addresses that nobody has.
    pub for_address: String,
}

pub struct Stage {
    pub addr: SocketAddr,
    pub keys: Keys,
    over: AtomicBool,
    host_ended: AtomicBool,
    given_up: AtomicBool,
    numbers: AtomicU64,
    /// When the next request is due, and how long after it the one behind it.
    pace: Mutex<(Instant, Duration)>,
    outcomes: Mutex<BTreeMap<&'static str, u64>>,
    statuses: Mutex<BTreeMap<u16, u64>>,
    said: Sender<Said>,
    faults: (Sender<String>, Receiver<String>),
}

impl Stage {
    /// A stage without a schedule, and the words of its clients.
    pub fn new(addr: SocketAddr, keys: Keys) -> (Stage, Receiver<Said>) {
        let (said, words) = bounded(WAITING);
        let stage = Stage {
            addr,
            keys,
            over: AtomicBool::new(false),
            host_ended: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            numbers: AtomicU64::new(0),
            pace: Mutex::new((Instant::now(), Duration::ZERO)),
            outcomes: Mutex::default(),
            statuses: Mutex::default(),
            said,
            faults: unbounded(),
        };
        (stage, words)
    }

    /// From now on each request is due so long after the one before, over all clients.
    pub fn set_pace(&self, interval: Duration) {
        *self.pace.lock().unwrap() = (Instant::now(), interval);
        self.over.store(false, Ordering::SeqCst);
    }

    /// Waits until one more request is due; `false` when there are to be no more.
    pub fn waits_turn(&self) -> bool {
        let now = Instant::now();
        let due = {
            let mut pace = self.pace.lock().unwrap();
            let due = pace.0.max(now.checked_sub(BURST).unwrap_or(now));
            pace.0 = due + pace.1;
            due
        };
        thread::sleep(due.saturating_duration_since(now));
        !self.is_over()
    }

    /// The number of a new request.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many requests there were.
    pub fn numbers(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed)
    }

    /// Nobody asks any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// The host has nobody to serve.
    pub fn end_host(&self) {
        self.host_ended.store(true, Ordering::SeqCst);
    }

    pub fn has_host_ended(&self) -> bool {
        self.host_ended.load(Ordering::SeqCst)
    }

    /// Nothing more is wanted of anybody.
    pub fn give_up(&self) {
        self.end();
        self.end_host();
        self.given_up.store(true, Ordering::SeqCst);
    }

    pub fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::SeqCst)
    }

    /// Tells what a client knows of a request that must or may be in the audit file.
    pub fn say(&self, said: Said) {
        if let Some(answer) = &said.answer {
            *self.statuses.lock().unwrap().entry(answer.status).or_default() += 1;
        }
        // Whoever takes it down has panicked, and the run ends.
        let _ = self.said.send(said);
    }

    /// Counts what became of a request, or what a client did in place of one.
    pub fn count(&self, what: &'static str) {
        *self.outcomes.lock().unwrap().entry(what).or_default() += 1;
    }

    pub fn statuses(&self) -> BTreeMap<u16, u64> {
        self.statuses.lock().unwrap().clone()
    }

    pub fn outcomes(&self) -> BTreeMap<&'static str, u64> {
        self.outcomes.lock().unwrap().clone()
    }

    /// Notes that something is wrong with the bridge.
    pub fn fault(&self, fault: String) {
        let _ = self.faults.0.send(fault);
    }

    /// The next fault, waited for until then.
    pub fn fault_until(&self, deadline: Instant) -> Option<String> {
        self.faults.1.recv_deadline(deadline).ok()
    }
}

/// Somebody at work, until it is dropped. A panic of his is a fault of the run.
pub struct AtWork<'a>(pub &'a Stage);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fault("somebody panicked; see above".into());
        }
    }
}
