//! What a request costs the bridge itself: processor time, and system calls.

use super::latency::SMALL;
use super::{Bench, Stage};
use crate::load::{self, Until};
use crate::results::Case;
use crate::subject::{Subject, Way};
use crate::system;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

pub fn run(bench: &mut Bench) -> Result<(), String> {
    processor(bench);
    calls(bench);
    Ok(())
}

/// Processor time, with slices long enough for the steps in which it is told.
fn processor(bench: &mut Bench) {
    let Some(tick) = system::cpu_seconds(std::process::id()).and(system::tick()) else {
        bench.absent("processor time: /proc or getconf is absent".into());
        return;
    };
    let time = Duration::from_secs_f64((100.0 * tick).max(bench.options.slice.as_secs_f64()));
    let time = if bench.options.quick { time / 4 } else { time };
    let mut stage = Stage::new(bench, Way::Sampling);
    for clients in [1, 64] {
        let case: Case = vec![("clients", named(clients))];
        for _ in 0..bench.options.rounds {
            if !bench.has_time("processor time") {
                return;
            }
            stage.round(bench, "processor time", |bench, subject, running| {
                let Some(shape) = shape(subject) else { return Ok(()) };
                let before = system::cpu_seconds(running.pid());
                let slice = load::slice(running.addr, &shape, clients, Until::Time(time))?;
                let after = system::cpu_seconds(running.pid());
                let used = before.zip(after).map(|(before, after)| after - before);
                let each = used.map(|used| used * 1e6 / slice.whole.len() as f64);
                bench.results.add(("cost", &case), ("processor", "µs"), &subject.name, each);
                Ok(())
            });
        }
    }
}

fn named(clients: usize) -> String {
    format!("{clients} {}", if clients == 1 { "client" } else { "clients" })
}

fn shape(subject: &Subject) -> Option<crate::dialect::Shape> {
    let dialect = subject.dialects.iter().find(|dialect| subject.can(**dialect, Way::Sampling))?;
    Some(subject.shape(*dialect, Way::Sampling, false, SMALL, SMALL))
}

/// System calls, where strace can count them.
fn calls(bench: &mut Bench) {
    if !system::has("strace") {
        bench.absent("system calls: strace is absent".into());
        return;
    }
    for subject in &bench.subjects.to_vec() {
        if shape(subject).is_none() || bench.is_out(subject) || !bench.has_time("system calls") {
            continue;
        }
        bench.progress(&format!("system calls: {}", subject.name));
        let each = match counted(subject) {
            Ok(each) => each,
            Err(fault) => {
                // Where processes may not be traced this is no fault of theirs.
                bench.absent(format!("system calls of {}: {fault}", subject.name));
                continue;
            }
        };
        let all = ("all".to_owned(), each.values().sum());
        // What is rarer has nothing to do with the single request.
        let often = each.into_iter().filter(|(_, calls)| *calls >= 0.05);
        for (name, calls) in std::iter::once(all).chain(often) {
            let case: Case = vec![("call", name)];
            let (at, metric) = (("cost", &case), ("system calls", ""));
            bench.results.add(at, metric, &subject.name, Some(calls));
        }
    }
}

/// System calls of a request, by name: the difference of two runs of different length is that of the
/// requests alone.
fn counted(subject: &Subject) -> Result<BTreeMap<String, f64>, String> {
    const FEW: usize = 50;
    const MANY: usize = 550;
    let (few, many) = (traced(subject, FEW)?, traced(subject, MANY)?);
    let each = many.into_iter().map(|(name, calls)| {
        let before = few.get(&name).copied().unwrap_or(0);
        (name, (calls as f64 - before as f64) / (MANY - FEW) as f64)
    });
    Ok(each.collect())
}

/// The system calls of a subject that serves so many requests.
fn traced(subject: &Subject, requests: usize) -> Result<BTreeMap<String, u64>, String> {
    // A folder below cargo's own, which nobody else writes to.
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-strace");
    let wrap = ["strace", "-f", "-c", "-qq", "-o", &file.to_string_lossy()].map(str::to_owned);
    let running = subject.start_under(Way::Sampling, &wrap)?;
    let shape = shape(subject).ok_or("it cannot be asked")?;
    let done = load::slice(running.addr, &shape, 1, Until::Requests(requests));
    running.finish();
    let text = std::fs::read_to_string(&file);
    let _ = std::fs::remove_file(&file);
    done?;
    let counts = system::read_strace(&text.map_err(|e| format!("strace wrote nothing: {e}"))?);
    if counts.is_empty() {
        return Err("strace counted nothing".into());
    }
    Ok(counts)
}
