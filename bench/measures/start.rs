//! The start, as a host sees it: from the spawn to the answer to `initialize`, and to the first
//! chat. And the size of the binary.

use super::Bench;
use crate::results::{Case, FLOOR};
use crate::subject::Subject;
use std::path::Path;
use std::time::Duration;

pub fn run(bench: &mut Bench) -> Result<(), String> {
    let subjects = bench.subjects.to_vec();
    let rounds = bench.options.rounds * if bench.options.quick { 4 } else { 10 };
    for _ in 0..rounds {
        if !bench.has_time("start") {
            break;
        }
        for subject in &subjects {
            if bench.is_out(subject) {
                continue;
            }
            bench.progress(&format!("start: {}", subject.name));
            match start(subject) {
                Ok((initialized, first)) => note(bench, &subject.name, initialized, first),
                Err(fault) => bench.leave_out(subject, &fault),
            }
        }
    }
    Ok(())
}

fn note(bench: &mut Bench, subject: &str, initialized: Duration, first: Duration) {
    let case = Case::new();
    for (metric, time) in [("initialize", initialized), ("first chat", first)] {
        let millis = Some(time.as_secs_f64() * 1e3);
        bench.results.add(("start", &case), (metric, "ms"), subject, millis);
    }
}

/// Starts a subject once; when `initialize` was answered, and when the first chat.
fn start(subject: &Subject) -> Result<(Duration, Duration), String> {
    let way = *subject.ways.first().ok_or("no way is set")?;
    let mut running = subject.initialized(way, &[])?;
    running.find_port(subject)?;
    running.first_answer(subject, way)?;
    let first = running.started.elapsed();
    if subject.name != FLOOR {
        return Ok((running.initialized, first));
    }
    // The floor of a start opens no port: it is a program that answers a line.
    let mut smallest = subject.clone();
    smallest.command.pop();
    smallest.command.push(crate::ONE_LINE.to_owned());
    Ok((smallest.initialized(way, &[])?.initialized, first))
}

/// How large the binaries are.
pub fn binary(bench: &mut Bench) -> Result<(), String> {
    let case = Case::new();
    for subject in bench.subjects.iter().filter(|subject| !subject.is_floor()) {
        let size = subject.binary.as_deref().and_then(megabytes);
        bench.results.add(("size", &case), ("binary", "MB"), &subject.name, size);
    }
    Ok(())
}

fn megabytes(path: &Path) -> Option<f64> {
    Some(std::fs::metadata(path).ok()?.len() as f64 / 1e6)
}
