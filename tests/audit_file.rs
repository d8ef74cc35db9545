//! The audit file as the bridge writes it: opened, locked, carried on, rotated.

mod common;

use common::PATIENCE;
use common::audit::{Directory, answered, asked, of_kind, records, records_when, told};
use modeltap::record::audit::entry::Rx;
use modeltap::record::audit::{Audit, Policy, Settings};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What was reported.
type Told = Arc<Mutex<Vec<String>>>;

fn settings(path: &Path) -> Settings {
    Settings { file: Some(path.to_owned()), ..Settings::default() }
}

fn start(settings: Settings) -> (Audit, Told) {
    let told = Told::default();
    let kept = told.clone();
    let report = Arc::new(move |fault: &str| kept.lock().unwrap().push(fault.to_owned()));
    (Audit::start(settings, report).unwrap(), told)
}

fn chat(audit: &Audit, body: &str) {
    let asked = asked("alice", "m");
    audit.rx(&Rx { asked, body: body.as_bytes() });
    audit.tx(&answered(asked, 200, body));
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} does not come");
        std::thread::yield_now();
    }
}

fn verifies(path: &Path) -> String {
    let (code, out, err) = told(&["verify", path.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    out
}

fn kinds(path: &Path) -> Vec<String> {
    records(path).iter().map(|record| record["kind"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_run_is_written_from_its_begin_to_its_end() {
    let directory = Directory::new();
    let path = directory.file();
    let (audit, reports) = start(settings(&path));
    assert!(audit.is_on() && !audit.is_failing() && !audit.refuses());
    chat(&audit, "my key is sk-0123456789abcdef");
    audit.close(PATIENCE);
    chat(&audit, "too late");
    assert_eq!(kinds(&path), ["begin", "rx", "tx", "end"]);
    let found = records(&path);
    assert_eq!((&found[0]["last"], &found[0]["policy"]), (&"none".into(), &"redacted".into()));
    assert_eq!(found[1]["body"], "my key is [redacted]");
    assert_eq!((&found[1]["id"], &found[1]["client"]), (&found[2]["id"], &"tester/1".into()));
    assert_eq!((&found[3]["rx"], &found[3]["tx"]), (&1.into(), &1.into()));
    assert!(found.iter().enumerate().all(|(at, record)| record["seq"] == at + 1));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert!(verifies(&path).starts_with("4 records in one file"));
    assert!(reports.lock().unwrap().is_empty());
}

#[test]
fn bodies_are_written_by_policy() {
    for (policy, member, wanted) in [
        (Policy::Full, "body", "sk-0123456789abcdef\n你".into()),
        (Policy::Redacted, "body", "[redacted]\n你".into()),
        (
            Policy::Hash,
            "body_sha256",
            "2a4a90d561426984d21c9e0237ea73ec00011a67d060357c12f011db9ee3e245".into(),
        ),
        (Policy::Hash, "body_bytes", 23.into()),
        (Policy::None, "body_bytes", serde_json::Value::from(23)),
    ] {
        let directory = Directory::new();
        let path = directory.file();
        let (audit, _) = start(Settings { body: policy, ..settings(&path) });
        chat(&audit, "sk-0123456789abcdef\n你");
        audit.close(PATIENCE);
        let found = records(&path);
        for record in &found[1..3] {
            assert_eq!(record[member], wanted, "{policy:?}");
            assert_eq!(record.get("body").is_some(), member == "body");
        }
        verifies(&path);
    }
}

#[test]
fn the_next_run_carries_the_chain_on_and_tells_how_the_last_ended() {
    let directory = Directory::new();
    let path = directory.file();
    let run = |body: &str| {
        let (audit, _) = start(settings(&path));
        chat(&audit, body);
        audit.close(PATIENCE);
    };
    run("one");
    run("two");
    assert_eq!(kinds(&path), ["begin", "rx", "tx", "end", "begin", "rx", "tx", "end"]);
    assert_eq!(records(&path)[4]["last"], "end");
    // As if killed while it wrote the last record.
    let text = fs::read(&path).unwrap();
    fs::write(&path, &text[..text.len() - 10]).unwrap();
    run("three");
    let found = records(&path);
    let begin = &found[7];
    assert_eq!((&begin["kind"], &begin["last"]), (&"begin".into(), &"killed".into()));
    let end = text.split_inclusive(|b| *b == b'\n').next_back().unwrap();
    assert_eq!(begin["cut"], end.len() - 10);
    assert!(verifies(&path).contains("has no end: its bridge was killed"));
    // As if killed while it wrote the first record of all.
    fs::write(&path, &text[..20]).unwrap();
    run("four");
    assert_eq!((&records(&path)[0]["seq"], &records(&path)[0]["cut"]), (&1.into(), &20.into()));
    verifies(&path);
}

#[test]
fn what_is_no_audit_file_is_left_alone_until_it_is_moved_away() {
    let directory = Directory::new();
    let path = directory.file();
    fs::write(&path, "my diary\n").unwrap();
    let (audit, reports) = start(Settings { required: true, ..settings(&path) });
    assert!(audit.is_failing() && audit.refuses());
    chat(&audit, "kept meanwhile");
    assert_eq!(fs::read_to_string(&path).unwrap(), "my diary\n");
    let said = reports.lock().unwrap().join("\n");
    assert!(said.contains("something else") && said.contains("refused"), "{said}");
    fs::rename(&path, directory.0.join("diary")).unwrap();
    wait_until("writing", || !audit.is_failing());
    audit.close(PATIENCE);
    assert_eq!(kinds(&path), ["begin", "rx", "tx", "end"]);
    assert_eq!(reports.lock().unwrap().len(), 2, "{reports:?}");
}

#[test]
fn a_file_that_cannot_be_opened_fails_without_being_required_to_refuse() {
    let directory = Directory::new();
    let (audit, reports) = start(settings(&directory.0.join("none/audit.jsonl")));
    assert!(audit.is_failing() && !audit.refuses());
    chat(&audit, "lost");
    audit.close(PATIENCE);
    let said = reports.lock().unwrap().join("\n");
    assert!(said.contains("are answered") && said.contains("records are lost"), "{said}");
    let (audit, _) = start(settings(&directory.0));
    assert!(audit.is_failing());
    audit.close(PATIENCE);
}

#[test]
fn one_bridge_writes_and_the_next_keeps_its_records_until_it_may() {
    let directory = Directory::new();
    let path = directory.file();
    let (first, _) = start(settings(&path));
    let (second, reports) = start(settings(&path));
    assert!(second.is_failing() && !first.is_failing());
    assert!(reports.lock().unwrap()[0].contains("another bridge"));
    chat(&second, "of the second");
    chat(&first, "of the first");
    assert!(records_when(&path, |found| found.len() == 3).len() == 3);
    let (code, out, _) = told(&["verify", path.to_str().unwrap()]);
    assert_eq!(code, Some(0));
    assert!(out.contains("a bridge is writing to it"), "{out}");
    first.close(PATIENCE);
    wait_until("the turn of the second", || !second.is_failing());
    second.close(PATIENCE);
    let found = records(&path);
    let bodies: Vec<_> = of_kind(&found, "rx").iter().map(|rx| rx["body"].clone()).collect();
    assert_eq!(bodies, ["of the first", "of the second"]);
    verifies(&path);
}

#[test]
fn full_files_are_rotated_and_the_oldest_go() {
    let directory = Directory::new();
    let path = directory.file();
    let small = || Settings { max_size: 4096, keep: 3, ..settings(&path) };
    let (audit, reports) = start(small());
    for number in 0..12 {
        let body = format!("{number} {}", "x".repeat(1500));
        chat(&audit, &body);
        // One at a time, since what comes together is written together.
        wait_until("the answer", || {
            let files = [path.clone()].into_iter().chain((1..9).map(|n| numbered(&path, n)));
            let all: Vec<_> = files.flat_map(|file| records(&file)).collect();
            of_kind(&all, "tx").iter().any(|tx| tx["body"] == body)
        });
    }
    audit.close(PATIENCE);
    assert!(reports.lock().unwrap().is_empty(), "{reports:?}");
    assert!(!numbered(&path, 4).exists());
    for number in 1..=3 {
        assert_eq!(kinds(&numbered(&path, number))[0], "rotate");
    }
    let out = verifies(&path);
    assert!(out.contains("in 4 files") && out.contains("--audit-keep"), "{out}");
    // A file that is missing where it should go on is made, and the chain carried on.
    fs::remove_file(numbered(&path, 3)).unwrap();
    fs::rename(&path, numbered(&path, 9)).unwrap();
    for number in [2, 1] {
        fs::rename(numbered(&path, number), numbered(&path, number + 9)).unwrap();
    }
    let (audit, _) = start(Settings { keep: 0, ..small() });
    audit.close(PATIENCE);
    assert_eq!(kinds(&path), ["rotate", "begin", "end"]);
    verifies(&path);
}

fn numbered(path: &Path, number: u64) -> std::path::PathBuf {
    format!("{}.{number}", path.display()).into()
}

#[test]
fn old_files_are_rotated() {
    let directory = Directory::new();
    let path = directory.file();
    let (audit, _) = start(settings(&path));
    chat(&audit, "yesterday");
    audit.close(PATIENCE);
    let first = records(&path)[0]["time"].as_str().unwrap().to_owned();
    wait_until("the next millisecond", || {
        let age = humantime::parse_rfc3339(&first).unwrap().elapsed();
        age.is_ok_and(|age| age.as_millis() > 1)
    });
    let age = Some(std::time::Duration::from_millis(1));
    let (audit, _) = start(Settings { max_age: age, ..settings(&path) });
    audit.rx(&Rx { asked: asked("alice", "m"), body: b"today" });
    // What was composed with it stays with it, and nothing else ends the new file.
    wait_until("the new file", || kinds(&path).first().is_some_and(|kind| kind == "rotate"));
    audit.close(PATIENCE);
    assert_eq!(kinds(&path), ["rotate", "end"]);
    assert_eq!(kinds(&numbered(&path, 1)), ["begin", "rx", "tx", "end", "begin", "rx"]);
    verifies(&path);
}

#[cfg(unix)]
#[test]
fn a_file_that_is_taken_away_is_begun_anew_with_its_chain() {
    let directory = Directory::new();
    let path = directory.file();
    let (audit, reports) = start(settings(&path));
    chat(&audit, "one");
    records_when(&path, |found| found.len() == 3);
    fs::rename(&path, numbered(&path, 1)).unwrap();
    chat(&audit, "two");
    audit.close(PATIENCE);
    assert_eq!(kinds(&path), ["rotate", "rx", "tx", "end"]);
    assert!(reports.lock().unwrap()[0].contains("moved or removed"));
    verifies(&path);
}
