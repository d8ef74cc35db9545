//! Hosts that misbehave at random behind 64 clients: every client gets its own answer, or a clear
//! failure that a fault of the host explains; nothing is answered twice; and in the end the bridge
//! says that nothing is left in it.
//!
//! `MODELTAP_CHAOS_SECONDS` says for how long (else 10; where `CI` is `true`, 60 for sampling and 20
//! for each of the others, so that two cores need less than two minutes for all of them), and
//! `MODELTAP_CHAOS_SEED` repeats the choices of an earlier run; threads still race.
#![cfg(unix)]

mod common;

mod chaos {
    pub mod channel;
    pub mod clients;
    pub mod dialects;
    pub mod garbage;
    pub mod hook;
    pub mod host;
    pub mod kind;
    #[allow(dead_code)] // The soak uses the rest of it.
    pub mod pipes;
    pub mod pull;
    pub mod random;
    pub mod sampling;
    pub mod stage;
}

use chaos::channel::Channel;
use chaos::clients;
use chaos::hook::Hook;
use chaos::host::Host;
use chaos::kind::{Kind, Mood};
use chaos::pull::Pull;
use chaos::random::Random;
use chaos::sampling::Sampling;
use chaos::stage::Stage;
use common::PATIENCE;
use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: usize = 64;
/// For how long the bridge waits for a host's answer, as a time and as the setting.
const TIMEOUT: (Duration, &str) = (Duration::from_secs(8), "8s");
/// For how long a host has what it fetched, as a time and as the setting.
const LEASE: (Duration, &str) = (Duration::from_secs(1), "1s");

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// Lets the clients come to their end, also where the test panics.
struct End<'a>(&'a Stage);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Runs hosts of a kind that is made with chance of its own, where `CI` is `true` for `long` seconds.
fn run(long: u64, lease: Option<Duration>, kind: impl Fn(Random) -> Box<dyn Kind>) {
    // Each of a process's hashers has keys of its own.
    let seed = variable("MODELTAP_CHAOS_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let usual = if std::env::var("CI").is_ok_and(|ci| ci == "true") { long } else { 10 };
    let time = Duration::from_secs(variable("MODELTAP_CHAOS_SECONDS").unwrap_or(usual));
    println!("MODELTAP_CHAOS_SEED={seed}");
    let stage = Stage::new(lease);
    let mut random = Random::new(seed, 0);
    let told = thread::scope(|scope| {
        let stage = &stage;
        let _end = End(stage);
        let mut lives = 0;
        let mut start = || {
            lives += 1;
            // The parts after those of the clients.
            let random = |part| Random::new(seed, CLIENTS as u64 + 2 * lives + part);
            let first = |addr| drop(scope.spawn(move || clients::first(stage, addr)));
            Host::start(stage, kind(random(0)), random(1), first)
        };
        let end = Instant::now() + time;
        let mut host = start();
        for number in 1..=CLIENTS {
            let random = Random::new(seed, number as u64);
            scope.spawn(move || clients::run(stage, number, random));
        }
        let mut dies_at = Instant::now() + random.millis(2000..12_000);
        while Instant::now() < end && !stage.is_over() {
            host.step();
            if Instant::now() >= dies_at {
                host.die();
                host = start();
                dies_at = Instant::now() + random.millis(2000..12_000);
            }
        }
        stage.end();
        host.mood = Mood::Calm;
        let deadline = Instant::now() + PATIENCE;
        while stage.clients() > 0 && Instant::now() < deadline {
            host.step();
        }
        if stage.faults().is_empty() {
            assert_eq!(stage.clients(), 0, "these still wait");
            host.finish();
        }
        host.told()
    });
    println!("{}", stage.summary());
    let faults = stage.faults();
    let few: Vec<&str> =
        faults.iter().take(5).map(|fault| &fault[..fault.floor_char_boundary(2000)]).collect();
    assert!(
        faults.is_empty(),
        "MODELTAP_CHAOS_SEED={seed}: {} faults:\n{}\n\nstderr:\n{told}",
        faults.len(),
        few.join("\n")
    );
    assert!(stage.counted("own answers") > 0, "nobody was answered");
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_wild_host_with_sampling_costs_no_client_more_than_its_own_faults() {
    run(60, None, |_| Box::new(Sampling));
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_wild_host_with_channels_costs_no_client_more_than_its_own_faults() {
    run(20, None, |_| Box::new(Channel::default()));
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_wild_host_that_pulls_costs_no_client_more_than_its_own_faults() {
    run(20, Some(LEASE.0), |random| Box::new(Pull::new(random)));
}

#[test]
#[cfg_attr(feature = "tiny_http", ignore = "tiny_http: a client that leaves is not noticed")]
fn a_wild_host_with_modern_hooks_costs_no_client_more_than_its_own_faults() {
    run(20, Some(LEASE.0), |random| Box::new(Hook::new(random)));
}
