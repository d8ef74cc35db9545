//! What the audit file costs: the same bridge with it and without, in the same rounds, and in this
//! process the two steps that a record goes by, redaction and the way into the queue; and what it takes
//! to count a request for `/metrics`.

use super::latency::{self, SMALL};
use super::{Bench, Stage, median_of, pinned, records};
use crate::dialect::Dialect;
use crate::load::{self, Until};
use crate::results::{Case, MODELTAP};
use crate::stats::percentile;
use crate::subject::{Subject, Way};
use crate::system::Scratch;
use modeltap::record::audit::entry::Rx;
use modeltap::record::audit::redact::redact;
use modeltap::record::audit::{Audit, Settings};
use modeltap::record::metrics::{MODELS, Metrics};
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the bridge without the file is called beside the one with it.
const WITHOUT: &str = "without audit";
/// How often each step is timed in a round.
const TIMES: usize = 2_000;

pub fn run(bench: &mut Bench) -> Result<(), String> {
    let scratch = Scratch::new("audit")?;
    let file = scratch.file("audit.jsonl");
    in_bridge(bench, &file)?;
    redaction(bench);
    figures(bench);
    queue(bench, &scratch)
}

/// One client on one processor, then many on all.
fn in_bridge(bench: &mut Bench, file: &Path) -> Result<(), String> {
    let known = bench.subjects.iter().find(|subject| subject.name == MODELTAP);
    let Some(with) = known.cloned() else { return Ok(()) };
    let mut without = Subject { name: WITHOUT.into(), ..with.clone() };
    without.binary = None;
    let mut with = with;
    with.env.push(("MODELTAP_AUDIT".into(), file.to_string_lossy().into_owned()));
    // Some are enough to be written and to be turned over.
    with.env.push(("MODELTAP_AUDIT_KEEP".into(), "2".into()));
    let subjects = [without, with];
    pinned(bench, "audit", |bench| {
        let mut stage = Stage::of(&subjects, Way::Sampling);
        for dialect in Dialect::ALL {
            for stream in [false, true] {
                cell(bench, &mut stage, (dialect, stream), (1, true));
            }
        }
    })?;
    let mut stage = Stage::of(&subjects, Way::Sampling);
    for clients in [8, 64] {
        for dialect in Dialect::ALL {
            for stream in [false, true] {
                cell(bench, &mut stage, (dialect, stream), (clients, false));
            }
        }
    }
    drop(stage);
    match std::fs::metadata(file) {
        Ok(found) if found.len() > 0 => {}
        _ => bench.results.faults.push("audit: nothing was written into the file".into()),
    }
    Ok(())
}

/// One case, all its rounds.
fn cell(
    bench: &mut Bench,
    stage: &mut Stage,
    (dialect, stream): (Dialect, bool),
    (clients, is_pinned): (usize, bool),
) {
    let case = latency::case(dialect, stream, clients, is_pinned);
    let doing = format!("audit, {}", crate::results::words(&case));
    if !bench.has_time(&doing) {
        return;
    }
    let until = Until::Time(bench.options.slice);
    for _ in 0..bench.options.rounds {
        let (mut with, mut without) = (None, None);
        stage.round(bench, &doing, |bench, subject, running| {
            let shape = subject.shape(dialect, Way::Sampling, stream, SMALL, SMALL);
            let slice = load::slice(running.addr, &shape, clients, until)?;
            let micros = |share| percentile(&slice.whole, share).map(|nanos| nanos as f64 / 1e3);
            let at = ("audit", &case);
            for (metric, share) in [("p50", 0.5), ("p99", 0.99)] {
                bench.results.add(at, (metric, "µs"), &subject.name, micros(share));
            }
            let one = if subject.name == WITHOUT { &mut without } else { &mut with };
            *one = micros(0.5);
            Ok(())
        });
        let ratio = with.zip(without).map(|(with, without): (f64, f64)| with / without);
        bench.results.add(("audit", &case), ("p50 over that without", ""), MODELTAP, ratio);
    }
}

/// A request as an SDK sends it.
pub fn body() -> String {
    let text = "Please explain, in plain words, how the borrow checker of Rust decides that this \
                function's well-known argument outlives the call; I have read the book. ";
    serde_json::json!({"model": "gpt-4o", "stream": false, "max_tokens": 1000, "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": text.repeat(2)}]})
    .to_string()
}

/// How long it takes to look for secrets, by what the text is.
fn redaction(bench: &mut Bench) {
    let code = include_str!("audit.rs");
    let texts = [
        ("a request", body()),
        ("source code", serde_json::json!({"content": code}).to_string()),
        ("prose", "the quick brown fox jumps over a lazy dog. ".repeat(100)),
    ];
    for (what, text) in texts {
        let case: Case = vec![("redacted", what.to_owned())];
        for _ in 0..bench.options.rounds {
            let nanos = median_of(TIMES, || drop(black_box(redact(black_box(&text), &[]))));
            let each = nanos.map(|nanos| nanos * 1e3 / text.len() as f64);
            bench.results.add(("audit", &case), ("redaction", "ns/kB"), MODELTAP, each);
        }
    }
}

/// How long it takes to count a request for `/metrics`, with one model and with as many as are told
/// apart, the last of them asked for.
fn figures(bench: &mut Bench) {
    let names: Vec<String> = (0..MODELS).map(|number| format!("model-{number:02}")).collect();
    for (what, listed) in [("1", names.get(..1)), ("64", Some(&*names))] {
        let (Some(listed), case): (_, Case) = (listed, vec![("models", what.to_owned())]) else {
            continue;
        };
        let metrics = Metrics::new(listed);
        let asked = records::asked("alice", listed.last().map_or("", |name| name));
        let tx = records::answered(asked, 200, Duration::from_millis(12), "");
        for _ in 0..bench.options.rounds {
            // One by itself is hardly longer than the look at the clock.
            let nanos = median_of(TIMES, || (0..100).for_each(|_| metrics.tx(black_box(&tx))));
            let each = nanos.map(|nanos| nanos / 100.0);
            bench.results.add(("audit", &case), ("counted", "ns"), MODELTAP, each);
        }
    }
}

/// What a request itself has to do for both of its records. They are few enough at a time to find
/// room; the writer is at work meanwhile, as it is in a bridge.
fn queue(bench: &mut Bench, scratch: &Scratch) -> Result<(), String> {
    let settings = Settings { file: Some(scratch.file("queue.jsonl")), ..Settings::default() };
    let report = Arc::new(|fault: &str| eprintln!("bench: {fault}"));
    let audit = Audit::start(settings, report).map_err(|e| format!("audit: {e}"))?;
    let body = body();
    let case: Case = vec![("queue", "rx and tx".to_owned())];
    for _ in 0..bench.options.rounds {
        let nanos = median_of(TIMES, || {
            let asked = records::asked("alice", "gpt-4o");
            audit.rx(&Rx { asked, body: body.as_bytes() });
            audit.tx(&records::answered(asked, 200, Duration::from_millis(12), &body));
        });
        let each = nanos.map(|nanos| nanos / 1e3);
        bench.results.add(("audit", &case), ("queued", "µs"), MODELTAP, each);
    }
    audit.close(Duration::from_secs(10));
    Ok(())
}
