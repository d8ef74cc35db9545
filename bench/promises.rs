//! What the project promises of its speed, and which figure keeps it.

use crate::results::{self, Figure, MODELTAP, Results};

/// A promise, and what was measured.
#[derive(Debug, Clone)]
pub struct Kept {
    pub promise: &'static str,
    pub limit: String,
    /// The worst of the cases that it is about; `None` where none was measured.
    pub worst: Option<Worst>,
    pub is_kept: Option<bool>,
}

#[derive(Debug, Clone)]
pub struct Worst {
    pub value: f64,
    /// The quartiles of its rounds.
    pub low: f64,
    pub high: f64,
    pub case: String,
}

/// Which figures a promise is about: measure, metric, and what their case must have.
type About = (&'static str, &'static str, &'static [&'static [(&'static str, &'static str)]]);

struct Promise {
    words: &'static str,
    about: About,
    of: Of,
}

/// What is promised of a figure.
enum Of {
    /// At most so many times the floor's.
    OverFloor(f64),
    /// At least this share of the floor's.
    ShareOfFloor(f64),
    /// At most so much, in the figure's unit.
    Most(f64, &'static str),
    /// At least so much.
    Least(f64, &'static str),
}

const ONE: &[(&str, &str)] = &[("clients", "1 client"), ("cores", "one core")];
const EIGHT: &[(&str, &str)] = &[("clients", "8 clients"), ("cores", "all cores")];
const SIXTY_FOUR: &[(&str, &str)] = &[("clients", "64 clients"), ("cores", "all cores")];

const PROMISES: [Promise; 17] = [
    Promise {
        words: "p50 over the floor, 1 client pinned, whole and streamed, each dialect",
        about: ("latency", "p50", &[ONE]),
        of: Of::OverFloor(1.25),
    },
    Promise {
        words: "p50 over the floor, 8 and 64 clients",
        about: ("latency", "p50", &[EIGHT, SIXTY_FOUR]),
        of: Of::OverFloor(1.6),
    },
    Promise {
        words: "throughput as a share of the floor's, 64 clients",
        about: ("latency", "throughput", &[SIXTY_FOUR]),
        of: Of::ShareOfFloor(0.65),
    },
    Promise {
        words: "p99 over the floor's p99, 64 clients",
        about: ("latency", "p99", &[SIXTY_FOUR]),
        of: Of::OverFloor(2.0),
    },
    Promise {
        words: "1 MB body, p50 over the floor",
        about: ("sizes", "p50", &[&[("what", "body"), ("size", "1 MB")]]),
        of: Of::OverFloor(1.3),
    },
    Promise {
        words: "1 MB answer, p50 over the floor",
        about: ("sizes", "p50", &[&[("what", "answer"), ("size", "1 MB")]]),
        of: Of::OverFloor(2.0),
    },
    Promise {
        words: "memory with 1,000 waiting",
        about: ("waiting", "memory", &[&[("waiting", "1000 waiting")]]),
        of: Of::Most(22.0, "MB"),
    },
    Promise {
        words: "memory with 4,000 waiting",
        about: ("waiting", "memory", &[&[("waiting", "4000 waiting")]]),
        of: Of::Most(80.0, "MB"),
    },
    Promise {
        words: "idle memory",
        about: ("memory", "memory", &[&[("served", "0 requests")]]),
        of: Of::Most(3.0, "MB"),
    },
    Promise {
        words: "memory after 100,000 requests",
        about: ("memory", "memory", &[&[("served", "100000 requests")]]),
        of: Of::Most(6.0, "MB"),
    },
    Promise {
        words: "initialize answered after the spawn, over the floor's",
        about: ("start", "initialize", &[&[]]),
        of: Of::OverFloor(1.5),
    },
    Promise {
        words: "release binary, default features",
        about: ("size", "binary", &[&[]]),
        of: Of::Most(1.6, "MB"),
    },
    Promise {
        words: "p50 with the audit file (redacted) over that without, 1 (pinned), 8 and 64 clients",
        about: ("audit", "p50 over that without", &[&[]]),
        of: Of::Most(1.15, "×"),
    },
    Promise {
        words: "throughput with 50 pages open over that with none, 8 and 64 clients",
        about: ("page", "throughput over that without", &[&[]]),
        of: Of::Least(0.95, "×"),
    },
    Promise {
        words: "what each request does for the page while nobody looks",
        about: ("page", "taken down", &[&[]]),
        of: Of::Most(0.3, "µs"),
    },
    Promise {
        words: "p95 of a request's check among 1,000 tokens, each with limits",
        about: ("access", "p95", &[&[("tokens", "1000 tokens")]]),
        of: Of::Most(5.0, "µs"),
    },
    Promise {
        words: "audit stats over a million records",
        about: ("records", "stats", &[&[("records", "1000000 records")]]),
        of: Of::Most(5000.0, "ms"),
    },
];

/// Each promise with what was measured. Where a promise is about several cases, its worst decides.
pub fn kept(results: &Results) -> Vec<Kept> {
    PROMISES.iter().map(|promise| check(promise, results)).collect()
}

fn check(promise: &Promise, results: &Results) -> Kept {
    let (measure, metric, cases) = promise.about;
    let about = results.figures.iter().filter(|figure| {
        (figure.measure, figure.metric) == (measure, metric)
            && cases.iter().any(|case| figure.fits(case))
    });
    let mut found: Vec<_> = about.filter_map(|figure| worst(promise, figure)).collect();
    found.sort_by(|a, b| a.value.total_cmp(&b.value));
    let (limit, worst) = match promise.of {
        Of::OverFloor(most) => (format!("{most} ×"), found.pop()),
        Of::ShareOfFloor(least) => (format!("{least} × or more"), found.into_iter().next()),
        Of::Most(most, unit) => (format!("{most} {unit}"), found.pop()),
        Of::Least(least, unit) => (format!("{least} {unit} or more"), found.into_iter().next()),
    };
    let is_kept = worst.as_ref().map(|worst| match promise.of {
        Of::OverFloor(most) | Of::Most(most, _) => worst.value <= most,
        Of::ShareOfFloor(least) | Of::Least(least, _) => worst.value >= least,
    });
    Kept { promise: promise.words, limit, worst, is_kept }
}

fn worst(promise: &Promise, figure: &Figure) -> Option<Worst> {
    let spread = match promise.of {
        Of::OverFloor(_) | Of::ShareOfFloor(_) => figure.ratio(MODELTAP)?,
        Of::Most(..) | Of::Least(..) => figure.spread(MODELTAP)?,
    };
    let case = results::words(&figure.case);
    Some(Worst { value: spread.median, low: spread.low, high: spread.high, case })
}
