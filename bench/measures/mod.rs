//! The measures, and what they share: the subjects that run, in turn and round by round.

pub mod access;
pub mod audit;
pub mod cost;
pub mod latency;
pub mod memory;
pub mod page;
pub mod records;
pub mod sizes;
pub mod start;
pub mod waiting;

use crate::options::Options;
use crate::results::Results;
use crate::stats::percentile;
use crate::subject::{Running, Subject, Way};
use crate::system;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What every measure is given.
pub struct Bench<'a> {
    pub options: &'a Options,
    pub subjects: &'a [Subject],
    pub results: Results,
    /// When the run began.
    pub began: Instant,
    /// Subjects that do not start, and are left out from then on.
    pub out: Vec<String>,
}

/// A measure by the name that `--only` has for it.
pub type Measure = fn(&mut Bench) -> Result<(), String>;

/// All of them, in the order of a run.
pub const ALL: [(&str, Measure); 12] = [
    ("start", start::run),
    ("size", start::binary),
    ("latency", latency::run),
    ("channel", latency::channel),
    ("access", access::run),
    ("audit", audit::run),
    ("page", page::run),
    ("cost", cost::run),
    ("waiting", waiting::run),
    ("memory", memory::run),
    ("sizes", sizes::run),
    ("records", records::run),
];

/// A quick run begins nothing new after this time, so that it ends within a minute.
const QUICK: Duration = Duration::from_secs(42);

impl Bench<'_> {
    /// Whether there is time for more; notes what is left out otherwise.
    pub fn has_time(&mut self, what: &str) -> bool {
        let has = !self.options.quick || self.began.elapsed() < QUICK;
        if !has {
            self.absent(format!("{what}: a quick run has no time left"));
        }
        has
    }

    /// Tells on a terminal what is being done.
    pub fn progress(&self, what: &str) {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            let _ = write!(stderr, "\r\x1b[K{:4.0} s  {what}", self.began.elapsed().as_secs_f64());
            let _ = stderr.flush();
        }
    }

    /// Notes that something was not measured.
    pub fn absent(&mut self, why: String) {
        if !self.results.absent.contains(&why) {
            self.results.absent.push(why);
        }
    }

    /// Starts a subject; `None`, and noted, if it does not start. That is tried once in a run.
    pub fn start(&mut self, subject: &Subject, way: Way) -> Option<Running> {
        if self.is_out(subject) {
            return None;
        }
        let started = subject.start(way);
        started.map_err(|fault| self.leave_out(subject, &fault)).ok()
    }

    pub fn is_out(&self, subject: &Subject) -> bool {
        self.out.contains(&subject.name)
    }

    /// Notes that a subject does not start.
    pub fn leave_out(&mut self, subject: &Subject, fault: &str) {
        self.failed(subject, "it does not start, and is left out", fault);
        self.out.push(subject.name.clone());
    }

    /// Notes that a subject failed; with ours the run has failed, with others only their figure.
    pub fn failed(&mut self, subject: &Subject, doing: &str, fault: &str) {
        let told = format!("{}: {doing}: {fault}", subject.name);
        match subject.ours {
            true => self.results.faults.push(told),
            false => self.absent(told),
        }
    }
}

/// The median of how many nanoseconds each of so many times takes, which others on the machine do not
/// change much.
pub fn median_of(times: usize, mut work: impl FnMut()) -> Option<f64> {
    let timed = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_nanos()
    };
    let mut nanos: Vec<_> = (0..times).map(timed).collect();
    nanos.sort_unstable();
    percentile(&nanos, 0.5).map(|nanos| nanos as f64)
}

/// Does `work` on one processor, with all that it starts; what it starts must end with it.
pub fn pinned(
    bench: &mut Bench,
    measure: &str,
    work: impl FnOnce(&mut Bench),
) -> Result<(), String> {
    let bound = system::processors().ok_or_else(|| "/proc is absent".to_owned());
    let bound = bound.and_then(|all| system::bind(system::last_of(&all)).map(|()| all));
    match bound {
        Ok(all) => {
            work(bench);
            system::bind(&all)
        }
        Err(why) => {
            bench.absent(format!("{measure} with one client pinned: {why}"));
            Ok(())
        }
    }
}

struct Actor {
    subject: Subject,
    running: Option<Running>,
    /// What it failed in last.
    failed: String,
}

/// The subjects of a measure, each running. One that failed is started anew when its turn comes.
pub struct Stage {
    way: Way,
    running: Vec<Actor>,
    turns: usize,
}

impl Stage {
    /// All subjects that know this way; none is started yet.
    pub fn new(bench: &Bench, way: Way) -> Self {
        Stage::of(bench.subjects, way)
    }

    /// Those of these subjects.
    pub fn of(subjects: &[Subject], way: Way) -> Self {
        let fitting = subjects.iter().filter(|subject| subject.ways.contains(&way));
        let actor = |subject: &Subject| Actor {
            subject: subject.clone(),
            running: None,
            failed: String::new(),
        };
        Stage { way, running: fitting.map(actor).collect(), turns: 0 }
    }

    /// Does `work` with each subject in turn; who is first changes from round to round. A fault is
    /// noted, ends that subject's process, and what it was `doing` is not tried again.
    pub fn round(
        &mut self,
        bench: &mut Bench,
        doing: &str,
        mut work: impl FnMut(&mut Bench, &Subject, &mut Running) -> Result<(), String>,
    ) {
        let count = self.running.len();
        for turn in 0..count {
            let Some(actor) = self.running.get_mut((turn + self.turns) % count) else { continue };
            let subject = &actor.subject;
            if actor.failed == doing {
                continue;
            }
            bench.progress(&format!("{doing}: {}", subject.name));
            let running = match actor.running.take() {
                Some(running) => Some(running),
                None => bench.start(subject, self.way),
            };
            let Some(mut running) = running else { continue };
            match work(bench, subject, &mut running) {
                Ok(()) => actor.running = Some(running),
                Err(fault) => {
                    bench.failed(subject, doing, &fault);
                    actor.failed = doing.to_owned();
                }
            }
        }
        self.turns += 1;
    }
}
