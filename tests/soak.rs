//! A long run at half of full speed, with clients that come, leave, stall and err at random: memory
//! does not grow, no thread and no descriptor is left over, and every request is accounted for in
//! the audit file, which verifies.
//!
//! `MODELTAP_SOAK` says for how long, such as `1h` (else 10s, which is too short to judge memory):
//! `MODELTAP_SOAK=1h cargo test --release --test soak -- --nocapture`. `MODELTAP_SOAK_SEED` repeats
//! the choices of an earlier run; threads still race.
#![cfg(unix)]

mod common;

#[allow(dead_code)] // The chaos uses more of them.
#[path = "chaos"]
mod chaos {
    pub mod dialects;
    pub mod kind;
    pub mod pipes;
    pub mod random;
}

mod soak {
    pub mod account;
    pub mod clients;
    pub mod deeds;
    pub mod host;
    pub mod manners;
    pub mod stage;
    pub mod table;
    pub mod trail;
}

use chaos::pipes::Pipes;
use chaos::random::Random;
use common::tokens::Tokens;
use common::{PATIENCE, command, http};
use soak::account::{Account, Held};
use soak::clients::Client;
use soak::host;
use soak::stage::{AtWork, Keys, Stage};
use soak::table::{self, Sample};
use soak::trail::Trail;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Clients that measure full speed.
const FEW: usize = 16;
/// Clients that go at half of it; enough that those who stall hold nobody up.
const MANY: usize = 96;
/// How long full speed takes to be reached, and how long it is measured.
const MEASURE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// Full audit files that are kept, and how large each is: what is dropped was read before.
const FILES: (usize, &str) = (16, "67108864");
const MINUTE: Duration = Duration::from_secs(60);
/// How much more memory there may be at the end than after the first minute.
const GROWTH: f64 = 1.05;

/// Lets a part of the run come to its end, also where the test panics.
struct End<'a>(&'a Stage, fn(&Stage));

impl Drop for End<'_> {
    fn drop(&mut self) {
        (self.1)(self.0);
    }
}

fn keys(tokens: &Tokens) -> Keys {
    let keys = Keys {
        plain: tokens.add("plain", &[]),
        by_rate: tokens.add("by-rate", &["--rate", "20/s"]),
        by_concurrency: tokens.add("by-concurrency", &["--concurrent", "2"]),
        revoked: tokens.add("revoked", &[]),
        for_model: tokens.add("for-model", &["--models", "other"]),
        for_address: tokens.add("for-address", &["--from", "10.0.0.0/8"]),
    };
    tokens.run(&["revoke", "revoked"]);
    keys
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: it has no times for reading")]
fn at_half_speed_nothing_grows_nothing_is_left_and_every_request_is_accounted_for() {
    let time = std::env::var("MODELTAP_SOAK").unwrap_or("10s".into());
    let time = humantime::parse_duration(&time).expect("MODELTAP_SOAK is a time such as 1h");
    let seed = std::env::var("MODELTAP_SOAK_SEED").ok().map(|seed| seed.parse().expect("a seed"));
    // Each of a process's hashers has keys of its own.
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("MODELTAP_SOAK_SEED={seed}");
    let limit = rlimit::increase_nofile_limit(1000);
    assert!(limit.is_ok_and(|limit| limit >= 1000), "ulimit -Hn is too low");
    let tokens = Tokens::new();
    let keys = keys(&tokens);
    let audit = Path::new(&tokens.path()).with_file_name("audit.jsonl");
    let tokens_path = tokens.path();
    let keep = FILES.0.to_string();
    let settings = [
        ("MODELTAP_CONSENT_HOLD", "0"),
        ("MODELTAP_TIMEOUT", "3s"),
        ("MODELTAP_KEEP_ALIVE", "200ms"),
        ("MODELTAP_HEAD_TIMEOUT", "4s"),
        ("MODELTAP_BODY_TIMEOUT", "6s"),
        ("MODELTAP_IDLE_TIMEOUT", "3s"),
        ("MODELTAP_WRITE_TIMEOUT", "5s"),
        ("MODELTAP_TOKENS", &tokens_path),
        ("MODELTAP_AUDIT", audit.to_str().unwrap()),
        ("MODELTAP_AUDIT_MAX_SIZE", FILES.1),
        ("MODELTAP_AUDIT_KEEP", &keep),
    ];
    let mut pipes = Pipes::new(&settings);
    let addr = host::open(&pipes);
    let before = held_before(&pipes, addr);
    let (stage, words) = Stage::new(addr, keys);
    let account = Account::new(Trail::new(&audit, FILES.0), words);
    let known = Mutex::new(Held::default());
    let (samples, held) = thread::scope(|scope| {
        let (stage, pipes, known) = (&stage, &pipes, &known);
        let end = End(stage, Stage::give_up);
        scope.spawn(move || {
            let _at_work = AtWork(stage);
            host::serve(pipes, stage);
        });
        let accounting = scope.spawn(move || {
            let _at_work = AtWork(stage);
            let held = account.run(stage, |held| known.lock().unwrap().clone_from(held));
            if let Err(fault) = &held {
                stage.fault(format!("the account: {fault}"));
            }
            held
        });
        let full = full_speed(stage, seed);
        println!("full speed with {FEW} clients: {full:.0} requests a second");
        stage.set_pace(Duration::from_secs_f64(2.0 / full));
        let samples = soak(stage, pipes, known, time, seed);
        settle(pipes, before);
        table::print_end(&samples, pipes.memory_kib());
        stage.end_host();
        pipes.end();
        let held = accounting.join().expect("the account is settled");
        drop(end);
        (samples, held.unwrap_or_else(|fault| panic!("the account: {fault}")))
    });
    assert!(pipes.ended().is_some_and(|status| status.success()), "{}", pipes.told());
    table::print_account(&stage, &held);
    assert_eq!(held.end, Some((held.rx, held.tx)), "the end of the audit file");
    assert_eq!(held.rx, held.tx);
    judge_file(&audit, &held);
    judge_memory(&samples);
}

/// How many threads and descriptors the bridge has before it is asked anything of weight.
fn held_before(pipes: &Pipes, addr: std::net::SocketAddr) -> Option<(usize, usize)> {
    let before = pipes.held();
    // Who listens has all its descriptors once it has served somebody.
    assert_eq!(http::get(addr, "/health").status, 200);
    let deadline = Instant::now() + PATIENCE;
    while host::call(pipes, "runtime_status")["http"]["connections"] != 0 {
        assert!(Instant::now() < deadline, "the first connection stays:\n{}", pipes.told());
    }
    before.zip(pipes.held()).map(|((threads, _), (_, descriptors))| (threads, descriptors))
}

/// Requests a second of a few clients that do nothing but ask and be answered.
fn full_speed(stage: &Stage, seed: u64) -> f64 {
    thread::scope(|scope| {
        for number in 0..FEW {
            let random = Random::new(seed, number as u64);
            scope.spawn(move || {
                let _at_work = AtWork(stage);
                Client::new(stage, random).ask_simply();
            });
        }
        let end = End(stage, Stage::end);
        let [reach, measure] = MEASURE;
        no_fault_for(stage, reach);
        let (begun, first) = (Instant::now(), stage.numbers());
        no_fault_for(stage, measure);
        let rate = (stage.numbers() - first) as f64 / begun.elapsed().as_secs_f64();
        drop(end);
        rate
    })
}

fn no_fault_for(stage: &Stage, time: Duration) {
    if let Some(fault) = stage.fault_until(Instant::now() + time) {
        stage.end();
        panic!("{fault}");
    }
}

/// The run itself: what was seen of it each second.
fn soak(
    stage: &Stage,
    pipes: &Pipes,
    known: &Mutex<Held>,
    time: Duration,
    seed: u64,
) -> Vec<Sample> {
    thread::scope(|scope| {
        let end = End(stage, Stage::end);
        for number in 0..MANY {
            let random = Random::new(seed, (FEW + number) as u64);
            let client = thread::Builder::new().stack_size(512 * 1024);
            let spawned = client.spawn_scoped(scope, move || {
                let _at_work = AtWork(stage);
                Client::new(stage, random).live();
            });
            spawned.expect("a thread");
        }
        table::print_head();
        let begun = Instant::now();
        let mut samples: Vec<Sample> = Vec::new();
        while begun.elapsed() < time {
            no_fault_for(stage, Duration::from_secs(1).min(time));
            let held = known.lock().unwrap().clone();
            let minute = |time: Duration| time.as_secs() / MINUTE.as_secs();
            let sample = Sample::take(begun.elapsed(), stage, pipes, &held);
            let last = samples.last().map_or(0, |last| minute(last.time));
            if minute(sample.time) > last {
                sample.print(samples.iter().rev().find(|s| minute(s.time) < last));
            }
            samples.push(sample);
        }
        if let Some(last) = samples.last() {
            last.print(samples.first());
        }
        drop(end);
        samples
    })
}

/// Waits until threads and descriptors are as few as before.
fn settle(pipes: &Pipes, before: Option<(usize, usize)>) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let held = pipes.held();
        let no_more = |(now, before): ((usize, usize), (usize, usize))| {
            now.0 <= before.0 && now.1 <= before.1
        };
        if held.zip(before).is_none_or(no_more) {
            println!("threads and descriptors: {before:?} before, {held:?} after all have gone");
            return;
        }
        assert!(
            Instant::now() < deadline,
            "left over: {held:?} threads and descriptors, {before:?} before"
        );
        // Nothing tells when a thread of another process ends.
        thread::sleep(Duration::from_millis(100));
    }
}

/// Compares memory while it is asked, in the last minute and in the one after the first: what a
/// quarter of the moments stays below, since any moment may hold large requests or not.
fn judge_memory(samples: &[Sample]) {
    let total = samples.last().map_or(Duration::ZERO, |last| last.time);
    if total < 3 * MINUTE {
        println!("memory: not judged, since the run is shorter than three minutes");
        return;
    }
    let quarter = |from: Duration, to: Duration| {
        let within = samples.iter().filter(|s| s.time >= from && s.time < to);
        let mut kib: Vec<u64> = within.filter_map(|sample| sample.memory).collect();
        kib.sort_unstable();
        kib.get(kib.len() / 4).copied()
    };
    let first = quarter(MINUTE, 2 * MINUTE);
    let last = quarter(total - MINUTE, total);
    let Some((first, last)) = first.zip(last) else { return };
    let share = last as f64 / first as f64;
    println!("memory: {first} KiB after the first minute, {last} KiB at the end: {share:.3}");
    assert!(share <= GROWTH, "memory grew from {first} to {last} KiB");
}

/// What is kept of the file must verify up to the very record that was read last.
fn judge_file(audit: &Path, held: &Held) {
    let run = |words: &[&str]| {
        let ran = command().arg("audit").args(words).arg(audit).output().unwrap();
        let told = String::from_utf8_lossy(&ran.stdout).into_owned();
        let fault = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "audit {words:?}: {told}{fault}");
        told
    };
    let (seq, hash) = &held.last;
    println!("{}", run(&["verify", "--expect", &format!("{seq}:{hash}")]));
    println!("{}", run(&["stats"]));
}
