//! What is printed of a run.

use super::account::Held;
use super::stage::Stage;
use crate::chaos::pipes::Pipes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What was seen at one moment.
#[derive(Debug)]
pub struct Sample {
    /// Since the beginning.
    pub time: Duration,
    pub requests: u64,
    /// With 200, 4xx and 5xx.
    pub answered: [u64; 3],
    pub settled: u64,
    pub records: u64,
    pub bytes: u64,
    /// In KiB.
    pub memory: Option<u64>,
    pub held: Option<(usize, usize)>,
}

impl Sample {
    pub fn take(time: Duration, stage: &Stage, pipes: &Pipes, held: &Held) -> Sample {
        let mut answered = [0; 3];
        for (status, count) in stage.statuses() {
            answered[match status {
                200 => 0,
                400..500 => 1,
                _ => 2,
            }] += count;
        }
        Sample {
            time,
            requests: stage.numbers(),
            answered,
            settled: held.settled,
            records: held.rx + held.tx,
            bytes: held.bytes,
            memory: pipes.memory_kib(),
            held: pipes.held(),
        }
    }

    /// One row, with the rate since that earlier one.
    pub fn print(&self, since: Option<&Sample>) {
        let (time, requests) = since.map_or((Duration::ZERO, 0), |s| (s.time, s.requests));
        let seconds = (self.time - time).as_secs_f64().max(0.001);
        let rate = (self.requests - requests) as f64 / seconds;
        let (threads, descriptors) = self.held.unwrap_or_default();
        let [good, client, server] = self.answered;
        println!(
            "{:>6} {:>10} {rate:>6.0} {good:>10} {client:>8} {server:>8} {:>10} {:>6.1} {threads:>7} \
             {descriptors:>6} {:>10} {:>8.1}",
            self.time.as_secs(),
            self.requests,
            self.settled,
            self.memory.unwrap_or_default() as f64 / 1024.0,
            self.records,
            self.bytes as f64 / 1e6,
        );
    }
}

pub fn print_head() {
    println!(
        "{:>6} {:>10} {:>6} {:>10} {:>8} {:>8} {:>10} {:>6} {:>7} {:>6} {:>10} {:>8}",
        "second",
        "requests",
        "each s",
        "200",
        "4xx",
        "5xx",
        "accounted",
        "MiB",
        "threads",
        "descr.",
        "records",
        "MB"
    );
}

/// How memory was over the whole run, and how it is once all have gone.
pub fn print_end(samples: &[Sample], memory: Option<u64>) {
    let all = samples.iter().filter_map(|sample| sample.memory);
    let (least, most) = (all.clone().min(), all.max());
    println!("memory in KiB: {least:?} to {most:?} while asked, {memory:?} after all have gone");
}

/// What clients saw, beside what the audit file holds.
pub fn print_account(stage: &Stage, held: &Held) {
    let seen = stage.statuses();
    println!("{:>6} {:>12} {:>12}", "status", "clients saw", "audit holds");
    let all: BTreeSet<u16> = seen.keys().chain(held.statuses.keys()).copied().collect();
    for status in all {
        let of = |counts: &BTreeMap<u16, u64>| counts.get(&status).copied().unwrap_or_default();
        println!("{status:>6} {:>12} {:>12}", of(&seen), of(&held.statuses));
    }
    for (outcome, count) in stage.outcomes() {
        println!("{count:>12} {outcome}");
    }
    println!(
        "{} requests in the audit file ({} MB), {} of them compared with what their clients saw",
        held.rx,
        held.bytes / 1_000_000,
        held.settled
    );
}
