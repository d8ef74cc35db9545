//! Many requests that wait for the model at once: what they hold in memory and threads, and how long
//! it takes until all have their answers once the host gives them.

use super::Bench;
use super::latency::SMALL;
use crate::client::Client;
use crate::dialect::Dialect;
use crate::results::Case;
use crate::subject::{Running, Subject, Way};
use crate::system::{self, Size};
use std::time::{Duration, Instant};

/// How long no further request may reach the host before it is taken that none will.
const SILENCE: Duration = Duration::from_secs(10);

pub fn run(bench: &mut Bench) -> Result<(), String> {
    let counts: &[usize] = match bench.options.quick {
        true => &[1, 1_000],
        false => &[1, 250, 1_000, 2_000, 4_000],
    };
    let subjects = bench.subjects.to_vec();
    for &count in counts {
        let case: Case = vec![("waiting", format!("{count} waiting"))];
        let doing = format!("waiting, {count} at once");
        if !bench.has_time(&doing) {
            break;
        }
        if !may_open(count) {
            bench.absent(format!("{doing}: the limit of open files (ulimit -Hn) is too low"));
            break;
        }
        // Memory does not shrink, so each round has a process of its own.
        for _ in 0..bench.options.rounds.min(3) {
            for subject in &subjects {
                let dialect = Dialect::ChatCompletions;
                if !subject.can(dialect, Way::Sampling) || subject.waiting < count {
                    continue;
                }
                bench.progress(&format!("{doing}: {}", subject.name));
                let Some(mut running) = bench.start(subject, Way::Sampling) else { continue };
                let seen = wait(subject, &mut running, count);
                let (size, drain) = match seen {
                    Ok((size, drain)) => (size, Some(drain)),
                    Err(fault) => {
                        bench.failed(subject, &doing, &fault);
                        (None, None)
                    }
                };
                let at = ("waiting", &case);
                let mut add = |metric, value| bench.results.add(at, metric, &subject.name, value);
                add(("memory", "MB"), size.map(|size| size.kib / 1024.0));
                add(("threads", ""), size.map(|size| size.threads));
                add(("drain", "ms"), drain.map(|drain| drain.as_secs_f64() * 1e3));
            }
        }
    }
    if system::size(std::process::id()).is_none() {
        bench.absent("memory and threads: /proc is absent".into());
    }
    for (title, metric) in
        [("memory", "memory"), ("threads", "threads"), ("time to drain", "drain")]
    {
        bench.results.grow(title, "requests waiting", ("waiting", metric), "waiting", &[]);
    }
    Ok(())
}

/// Lets `count` requests wait; how large that makes the subject, and how long they take to drain.
fn wait(
    subject: &Subject,
    running: &mut Running,
    count: usize,
) -> Result<(Option<Size>, Duration), String> {
    let shape = subject.shape(Dialect::ChatCompletions, Way::Sampling, false, SMALL, SMALL);
    running.host.hold();
    let mut clients: Vec<_> = (0..count).map(|_| Client::small(running.addr, &shape)).collect();
    for client in &mut clients {
        client.connect()?;
        client.send()?;
    }
    let have = running.host.wait_held(count, SILENCE);
    if have < count {
        return Err(format!("only {have} of them reached the host"));
    }
    let size = system::size(running.pid());
    let released = Instant::now();
    running.host.release();
    for client in &mut clients {
        client.read(released)?;
    }
    Ok((size, released.elapsed()))
}

/// Whether this process may have that many connections besides its other files.
fn may_open(count: usize) -> bool {
    let wanted = count as u64 + 200;
    #[cfg(unix)]
    return rlimit::increase_nofile_limit(wanted).is_ok_and(|limit| limit >= wanted);
    #[cfg(not(unix))]
    return wanted < 10_000;
}
