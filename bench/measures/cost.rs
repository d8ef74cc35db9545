//! What a request costs the bridge itself: processor time, and system calls.

use super::latency::SMALL;
use super::{Bench, Stage};
use crate::load::{self, Until};
use crate::results::Case;
use crate::subject::{Subject, Way};
use crate::system;
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

/// System calls, counted by strace in two runs of different length, whose difference is that of
/// the requests alone.
fn calls(bench: &mut Bench) {
    if !system::has("strace") {
        bench.absent("system calls: strace is absent".into());
        return;
    }
    const FEW: usize = 50;
    const MANY: usize = 550;
    let subjects = bench.subjects.to_vec();
    for subject in &subjects {
        if !bench.has_time("system calls") {
            return;
        }
        if shape(subject).is_none() {
            continue;
        }
        bench.progress(&format!("system calls: {}", subject.name));
        let counted = traced(subject, FEW).and_then(|few| Ok((few, traced(subject, MANY)?)));
        let (few, many) = match counted {
            Ok(counted) => counted,
            Err(fault) => {
                bench.absent(format!("system calls of {}: {fault}", subject.name));
                continue;
            }
        };
        let each = |name: &str| {
            let of = |run: &Counts| {
                run.iter()
                    .filter(|(n, _)| name.is_empty() || *n == name)
                    .map(|(_, c)| *c)
                    .sum::<u64>() as f64
            };
            (of(&many) - of(&few)) / (MANY - FEW) as f64
        };
        let at = |name: &str| -> Case { vec![("call", name.to_owned())] };
        bench.results.add(
            ("cost", &at("all")),
            ("system calls", ""),
            &subject.name,
            Some(each("")),
        );
        let mut names: Vec<_> = many.iter().map(|(name, _)| name).collect();
        names.sort();
        for name in names {
            // What is rarer has nothing to do with the single request.
            if each(name) >= 0.05 {
                let at = ("cost", &at(name));
                bench.results.add(at, ("system calls", ""), &subject.name, Some(each(name)));
            }
        }
    }
}

type Counts = Vec<(String, u64)>;

/// The system calls of a subject that serves so many requests.
fn traced(subject: &Subject, requests: usize) -> Result<Counts, String> {
    let file = std::env::temp_dir().join(format!("bench-strace-{}", std::process::id()));
    let name = file.to_string_lossy().into_owned();
    let wrap = ["strace", "-f", "-c", "-qq", "-o", &name].map(str::to_owned);
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
    Ok(counts.into_iter().collect())
}
