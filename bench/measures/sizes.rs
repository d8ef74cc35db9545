//! Large bodies and large answers: one client, whole, and how their time grows with their size.

use super::latency::SMALL;
use super::{Bench, Stage};
use crate::dialect::Dialect;
use crate::load::{self, Until};
use crate::results::Case;
use crate::stats::percentile;
use crate::subject::Way;

const SIZES: [(&str, usize); 5] = [
    ("1 kB", 1_000),
    ("10 kB", 10_000),
    ("100 kB", 100_000),
    ("1 MB", 1_000_000),
    ("10 MB", 10_000_000),
];

pub fn run(bench: &mut Bench) -> Result<(), String> {
    for what in ["body", "answer"] {
        // Buffers that grew with large bodies are not what the answers are measured with.
        let mut stage = Stage::new(bench, Way::Sampling);
        for (name, size) in SIZES {
            let case: Case = vec![("what", what.to_owned()), ("size", name.to_owned())];
            let doing = format!("sizes, {what} of {name}");
            if !bench.has_time(&doing) {
                continue;
            }
            let (body, answer) = if what == "body" { (size, SMALL) } else { (SMALL, size) };
            for _ in 0..bench.options.rounds {
                stage.round(bench, &doing, |bench, subject, running| {
                    let dialect = Dialect::ChatCompletions;
                    if !subject.can(dialect, Way::Sampling) {
                        return Ok(());
                    }
                    let shape = subject.shape(dialect, Way::Sampling, false, body, answer);
                    running.host.answer_with(answer);
                    let slice =
                        load::slice(running.addr, &shape, 1, Until::Time(bench.options.slice));
                    let p50 = slice.as_ref().ok().and_then(|s| percentile(&s.whole, 0.5));
                    let p50 = p50.map(|nanos| nanos as f64 / 1e3);
                    let at = ("sizes", &case);
                    bench.results.add(at, ("p50", "µs"), &subject.name, p50);
                    slice.map(drop)
                });
            }
        }
    }
    let by = ("sizes", "p50");
    bench.results.grow("time of a large request", "bytes", by, "size", &[("what", "body")]);
    bench.results.grow("time of a large answer", "bytes", by, "size", &[("what", "answer")]);
    Ok(())
}
