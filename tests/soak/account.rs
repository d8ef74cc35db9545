//! Takes down what clients know of their requests and what the audit file holds of them, and joins
//! the two by the session that each request names.

use super::stage::Stage;
use super::trail::{Record, Trail};
use crate::common::PATIENCE;
use crossbeam_channel::Receiver;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// How long to wait for words of clients when nothing is in the file.
const TICK: Duration = Duration::from_millis(20);
/// How many records are read before clients are heard again.
const AT_ONCE: usize = 1000;

/// What a client knows of a request that is over for it.
#[derive(Debug, Clone)]
pub struct Said {
    pub number: u64,
    /// Whether the bridge must have taken it; else it may.
    pub must: bool,
    pub answer: Option<Answered>,
}

/// An answer that a client got.
#[derive(Debug, Clone)]
pub struct Answered {
    pub id: String,
    pub status: u16,
    /// Whether it was a stream that ended with an error.
    pub broke: bool,
}

/// What is known of one request so far.
#[derive(Debug, Default)]
struct Entry {
    said: Option<(Said, Instant)>,
    rx: Option<String>,
    tx: Option<(String, u16, bool)>,
}

/// What the audit file held.
#[derive(Debug, Default, Clone)]
pub struct Held {
    pub rx: u64,
    pub tx: u64,
    pub statuses: BTreeMap<u16, u64>,
    /// Requests of which all is known and right.
    pub settled: u64,
    /// Both of the record at the end of a run, once it came.
    pub end: Option<(u64, u64)>,
    pub bytes: u64,
    /// Number and hash of the last record.
    pub last: (u64, String),
}

pub struct Account {
    trail: Trail,
    words: Receiver<Said>,
    open: HashMap<u64, Entry>,
    pub held: Held,
}

impl Account {
    pub fn new(trail: Trail, words: Receiver<Said>) -> Account {
        Account { trail, words, open: HashMap::new(), held: Held::default() }
    }

    /// Goes on until the run of the bridge has its end in the file, which the stage's end may not be
    /// behind for longer than is patient; tells `look` how it stands.
    ///
    /// # Errors
    /// What is wrong, or missing.
    pub fn run(mut self, stage: &Stage, look: impl Fn(&Held)) -> Result<Held, String> {
        let mut aged = Instant::now();
        let mut ended = None;
        while self.held.end.is_none() {
            let read = self.step()?;
            look(&self.held);
            if stage.is_given_up() {
                return Err("it was given up".into());
            }
            if stage.has_host_ended() {
                let since = *ended.get_or_insert_with(Instant::now);
                if since.elapsed() > 2 * PATIENCE {
                    return Err("the audit file has no end".into());
                }
            }
            if aged.elapsed() > PATIENCE {
                self.find_late()?;
                aged = Instant::now();
            }
            if !read && let Ok(said) = self.words.recv_timeout(TICK) {
                self.hear(said)?;
            }
        }
        while let Ok(said) = self.words.try_recv() {
            self.hear(said)?;
        }
        look(&self.held);
        self.close()
    }

    /// Takes down what is there; whether something was.
    fn step(&mut self) -> Result<bool, String> {
        while let Ok(said) = self.words.try_recv() {
            self.hear(said)?;
        }
        for count in 0..AT_ONCE {
            let Some(record) = self.trail.advance()? else { return Ok(count > 0) };
            let taken = take(&mut self.open, &mut self.held, &record)?;
            self.held.bytes = self.trail.bytes;
            self.held.last.clone_from(&self.trail.last);
            if let Some(number) = taken {
                self.settle(number)?;
            }
        }
        Ok(true)
    }

    fn hear(&mut self, said: Said) -> Result<(), String> {
        let number = said.number;
        let entry = self.open.entry(number).or_default();
        if entry.said.replace((said, Instant::now())).is_some() {
            return Err(format!("request {number} is over twice: the test is wrong"));
        }
        self.settle(number)
    }

    /// Compares what a client and the file say, once both have said all.
    fn settle(&mut self, number: u64) -> Result<(), String> {
        let Some(entry) = self.open.get(&number) else { return Ok(()) };
        let Entry { said: Some((said, _)), rx: Some(rx), tx: Some((tx, status, failed)) } = entry
        else {
            return Ok(());
        };
        let is_right = rx == tx
            && said.answer.as_ref().is_none_or(|answer| {
                answer.id == *rx
                    && match answer.broke {
                        // Its status had left before it failed.
                        true => *status != 200 && *failed,
                        false => answer.status == *status,
                    }
            });
        if !is_right {
            return Err(format!("client and audit file say different things: {entry:?}"));
        }
        self.open.remove(&number);
        self.held.settled += 1;
        Ok(())
    }

    fn find_late(&self) -> Result<(), String> {
        let late = self.open.values().find(|entry| {
            entry.said.as_ref().is_some_and(|(said, at)| {
                (said.must || entry.rx.is_some() || entry.tx.is_some()) && at.elapsed() > PATIENCE
            })
        });
        late.map_or(Ok(()), |entry| Err(format!("the audit file lacks a record: {entry:?}")))
    }

    /// All is said: what may be missing is that which need not be there.
    fn close(self) -> Result<Held, String> {
        let need_not_be = |entry: &Entry| {
            let Entry { said, rx: None, tx: None } = entry else { return false };
            said.as_ref().is_some_and(|(said, _)| !said.must)
        };
        let missing: Vec<_> =
            self.open.iter().filter(|(_, entry)| !need_not_be(entry)).take(5).collect();
        match missing.is_empty() {
            true => Ok(self.held),
            false => Err(format!("not accounted for, such as {missing:?}")),
        }
    }
}

/// Takes down a record; the request that it is about, if it names one.
fn take(
    open: &mut HashMap<u64, Entry>,
    held: &mut Held,
    record: &Record,
) -> Result<Option<u64>, String> {
    match record.kind {
        "rx" => held.rx += 1,
        "tx" => held.tx += 1,
        "begin" | "rotate" => return Ok(None),
        "end" => {
            held.end = record.rx.zip(record.tx);
            return Ok(None);
        }
        other => return Err(format!("a record of the kind {other:?}: {record:?}")),
    }
    let number = record.session.as_ref().and_then(|session| session.strip_prefix("soak-"));
    let number: Option<u64> = number.and_then(|number| number.parse().ok());
    let (Some(number), Some(id)) = (number, record.id) else {
        return Err(format!("a record of nobody's request: {record:?}"));
    };
    let entry = open.entry(number).or_default();
    let is_first = match record.kind {
        "rx" => entry.rx.replace(id.to_owned()).is_none() && entry.tx.is_none(),
        _ => {
            let status = record.status.ok_or_else(|| format!("a TX without status: {record:?}"))?;
            *held.statuses.entry(status).or_default() += 1;
            entry.tx.replace((id.to_owned(), status, record.error.is_some())).is_none()
                && entry.rx.is_some()
        }
    };
    match is_first {
        true => Ok(Some(number)),
        false => Err(format!("request {number} is there twice, or in the wrong order: {record:?}")),
    }
}
