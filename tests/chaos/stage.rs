//! What hosts and clients know of each other: which bridge lives, what was said to each question,
//! and what went wrong.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// One bridge, from its start to its end.
pub struct Life {
    pub addr: SocketAddr,
    /// Its host is about to die, or has.
    pub dying: AtomicBool,
    /// When its host did not read.
    stalls: Mutex<Vec<(Instant, Option<Instant>)>>,
}

impl Life {
    pub fn new(addr: SocketAddr) -> Arc<Life> {
        Arc::new(Life { addr, dying: AtomicBool::new(false), stalls: Mutex::default() })
    }

    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::SeqCst)
    }

    pub fn stall(&self) {
        self.stalls.lock().unwrap().push((Instant::now(), None));
    }

    pub fn stall_ends(&self) {
        if let Some(last) = self.stalls.lock().unwrap().last_mut() {
            last.1 = Some(Instant::now());
        }
    }

    /// For how long the host did not read since `then`.
    pub fn stalled_for(&self, then: Instant) -> Duration {
        let stalls = self.stalls.lock().unwrap();
        let time = |(begin, end): &(Instant, Option<Instant>)| {
            let end = end.unwrap_or_else(Instant::now);
            end.saturating_duration_since(then.max(*begin))
        };
        stalls.iter().map(time).sum()
    }

    /// Whether the host did not read at some time since `begun`.
    pub fn stalled_since(&self, begun: Instant) -> bool {
        self.stalls.lock().unwrap().iter().any(|(_, end)| end.is_none_or(|end| end >= begun))
    }
}

/// What the hosts have said to one question.
#[derive(Debug, Default, Clone)]
pub struct Record {
    /// The answer that is meant for it was said to its end.
    pub answered: bool,
    /// Failures that were said: the status that each has for the client, and words of it.
    pub failures: Vec<(u16, String)>,
    /// When the first answer or failure was said to its end.
    pub ended: Option<Instant>,
    /// When a host was asked it the last time.
    pub asked: Option<Instant>,
    /// Its client waits no more.
    pub over: bool,
    /// Its client went away, which a bridge may be slow to notice.
    pub left: bool,
}

#[derive(Default)]
pub struct Stage {
    /// For how long a host has a question, where the bridge then asks again.
    pub lease: Option<Duration>,
    records: Mutex<HashMap<String, Record>>,
    life: (Mutex<Option<Arc<Life>>>, Condvar),
    faults: Mutex<Vec<String>>,
    over: AtomicBool,
    clients: AtomicUsize,
    tally: Mutex<HashMap<&'static str, usize>>,
}

impl Stage {
    pub fn new(lease: Option<Duration>) -> Stage {
        Stage { lease, ..Stage::default() }
    }

    /// The bridge that serves now; waits for one. `None` when no more is to be asked.
    pub fn life(&self) -> Option<Arc<Life>> {
        let mut life = self.life.0.lock().unwrap();
        loop {
            match life.as_ref() {
                _ if self.is_over() => return None,
                Some(life) if !life.is_dying() => return Some(life.clone()),
                _ => life = self.life.1.wait_timeout(life, Duration::from_millis(100)).unwrap().0,
            }
        }
    }

    pub fn set_life(&self, life: Arc<Life>) {
        *self.life.0.lock().unwrap() = Some(life);
        self.life.1.notify_all();
    }

    pub fn record(&self, token: &str) -> Record {
        self.records.lock().unwrap().get(token).cloned().unwrap_or_default()
    }

    /// Notes what is said to a question, before it is said.
    pub fn note(&self, token: &str, note: impl FnOnce(&mut Record)) {
        note(self.records.lock().unwrap().entry(token.to_owned()).or_default());
    }

    /// Notes that something is wrong with the bridge; the run then comes to its end.
    pub fn fault(&self, fault: String) {
        self.faults.lock().unwrap().push(fault);
        self.end();
    }

    pub fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap().clone()
    }

    /// Nobody asks any more.
    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        self.life.1.notify_all();
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// How many clients are at work.
    pub fn clients(&self) -> usize {
        self.clients.load(Ordering::SeqCst)
    }

    /// Counts what happened, for the summary.
    pub fn count(&self, what: &'static str) {
        *self.tally.lock().unwrap().entry(what).or_default() += 1;
    }

    pub fn counted(&self, what: &str) -> usize {
        self.tally.lock().unwrap().get(what).copied().unwrap_or_default()
    }

    pub fn summary(&self) -> String {
        let tally = self.tally.lock().unwrap();
        let mut all: Vec<String> = tally.iter().map(|(what, n)| format!("{what} {n}")).collect();
        all.sort();
        all.join(", ")
    }
}

/// A client at work, until it is dropped. One that panics is a fault of the run.
pub struct AtWork<'a>(&'a Stage, String);

impl<'a> AtWork<'a> {
    pub fn new(stage: &'a Stage, name: String) -> AtWork<'a> {
        stage.clients.fetch_add(1, Ordering::SeqCst);
        AtWork(stage, name)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fault(format!("{} panicked", self.1));
        }
        self.0.clients.fetch_sub(1, Ordering::SeqCst);
    }
}
