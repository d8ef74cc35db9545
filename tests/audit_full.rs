//! A disk that is full: the limit of this process for the size of a file stands for it, so that this
//! test has a binary of its own.
#![cfg(unix)]

mod common;

use common::PATIENCE;
use common::audit::{Directory, answered, asked, of_kind, records, told};
use modeltap::record::audit::entry::Rx;
use modeltap::record::audit::{Audit, Policy, Settings};
use rlimit::Resource;
use std::fs;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// So many bytes go into a file.
const ROOM: u64 = 64 * 1024;
/// More than may wait.
const BODIES: usize = 80;

#[test]
fn a_full_disk_stops_nobody_and_what_was_lost_is_told_when_there_is_room_again() {
    // Else the kernel ends the process at the limit.
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)))
        .unwrap();
    let (_, most) = rlimit::getrlimit(Resource::FSIZE).unwrap();
    let directory = Directory::new();
    let path = directory.file();
    let reports = Arc::new(Mutex::new(Vec::new()));
    let kept = reports.clone();
    let report = Arc::new(move |fault: &str| kept.lock().unwrap().push(fault.to_owned()));
    let settings = Settings {
        file: Some(path.clone()),
        body: Policy::Full,
        required: true,
        ..Settings::default()
    };
    let audit = Audit::start(settings, report).unwrap();
    assert!(!audit.is_failing());

    rlimit::setrlimit(Resource::FSIZE, ROOM, most).unwrap();
    let asked = asked("alice", "m");
    let body = "x".repeat(1000);
    for _ in 0..100 {
        audit.rx(&Rx { asked, body: body.as_bytes() });
    }
    let until = Instant::now() + PATIENCE;
    while !audit.is_failing() {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    assert!(audit.refuses());
    let length = fs::metadata(&path).unwrap().len();
    assert!(length <= ROOM, "{length}");
    assert!(fs::read(&path).unwrap().ends_with(b"\n"), "only whole records stay");
    let before = records(&path).len();
    assert!(before > 10);
    // Nobody waits: what has room is kept, the rest is counted.
    let large = "y".repeat(1024 * 1024);
    for _ in 0..BODIES {
        audit.rx(&Rx { asked, body: large.as_bytes() });
    }
    rlimit::setrlimit(Resource::FSIZE, most, most).unwrap();
    while audit.is_failing() {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
    audit.tx(&answered(asked, 200, "after"));
    audit.close(PATIENCE);

    let found = records(&path);
    let gaps = of_kind(&found, "gap");
    let [gap] = gaps[..] else { panic!("{} gaps", gaps.len()) };
    let lost = gap["lost"].as_u64().unwrap();
    assert!(lost > 10, "{gap}");
    assert_eq!(gap["reason"], "the file could not be written");
    assert!(gap["since"].as_str() < gap["time"].as_str());
    assert_eq!(of_kind(&found, "rx").len() as u64, 100 + BODIES as u64 - lost);
    assert_eq!(of_kind(&found, "tx").len(), 1);
    let (code, out, err) = told(&["verify", path.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains(&format!("{lost} records were lost")), "{out}");
    let reports = reports.lock().unwrap();
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports[0].contains("CANNOT BE WRITTEN") && reports[1].contains("is written now"));
}
