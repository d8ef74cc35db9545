//! Memory at rest, and after many requests: what a bridge keeps of what it has done.

use super::Bench;
use super::latency::SMALL;
use crate::load::{self, Until};
use crate::results::Case;
use crate::subject::{Running, Subject, Way};
use crate::system;

/// Clients that ask at once.
const CLIENTS: usize = 8;

pub fn run(bench: &mut Bench) -> Result<(), String> {
    if system::size(std::process::id()).is_none() {
        bench.absent("memory: /proc is absent".into());
        return Ok(());
    }
    let most = bench.options.requests;
    let mut counts = vec![most / 100, most / 10, most / 2, most];
    counts.retain(|count| *count > 0);
    let subjects = bench.subjects.to_vec();
    for _ in 0..bench.options.rounds.min(3) {
        if !bench.has_time("memory") {
            break;
        }
        for subject in &subjects {
            let Some(&way) = subject.ways.first() else { continue };
            let Some(running) = bench.start(subject, way) else { continue };
            let seen = idle(bench, subject, way)
                .and_then(|()| after(bench, subject, way, &running, &counts));
            if let Err(fault) = seen {
                bench.failed(subject, "memory", &fault);
            }
        }
    }
    // At rest is no load: what the first requests need once is no growth.
    bench.results.grow("memory", "requests served", ("memory", "memory"), "served", &[]);
    Ok(())
}

/// After the handshake, before any request.
fn idle(bench: &mut Bench, subject: &Subject, way: Way) -> Result<(), String> {
    let mut running = subject.initialized(way, &[])?;
    running.find_port(subject)?;
    note(bench, subject, &running, "0 requests".into());
    Ok(())
}

fn after(
    bench: &mut Bench,
    subject: &Subject,
    way: Way,
    running: &Running,
    counts: &[usize],
) -> Result<(), String> {
    let dialect = *subject.dialects.first().ok_or("it serves no dialect")?;
    let shape = subject.shape(dialect, way, false, SMALL, SMALL);
    let mut done = 0;
    for &count in counts {
        bench.progress(&format!("memory, {count} requests: {}", subject.name));
        load::slice(running.addr, &shape, CLIENTS, Until::Requests(count - done))?;
        done = count;
        note(bench, subject, running, format!("{count} requests"));
    }
    Ok(())
}

fn note(bench: &mut Bench, subject: &Subject, running: &Running, served: String) {
    let case: Case = vec![("served", served)];
    let memory = system::size(running.pid()).map(|size| size.kib / 1024.0);
    bench.results.add(("memory", &case), ("memory", "MB"), &subject.name, memory);
}
