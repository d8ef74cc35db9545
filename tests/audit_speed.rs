//! What the audit file costs, measured: `cargo test --release --test audit_speed -- --ignored
//! --nocapture`. It asserts nothing about time, which is the machine's.

mod common;

use common::PATIENCE;
use common::audit::{Book, Directory, answered, asked, told};
use modeltap::record::audit::entry::Rx;
use modeltap::record::audit::redact::redact;
use modeltap::record::audit::{Audit, Settings};
use std::fs::File;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time that this thread had a processor, so that others on the machine are not measured.
fn busy() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// Time that all threads of this process had processors.
fn process_busy() -> Duration {
    let told = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = told.split(' ').skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// A request as an SDK sends it, with a question of some length.
fn body() -> String {
    let text = "Please explain, in plain words, how the borrow checker of Rust decides that this \
                function's well-known argument outlives the call; I have read the book. ";
    serde_json::json!({"model": "gpt-4o", "stream": false, "max_tokens": 1000, "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": text.repeat(2)}]})
    .to_string()
}

fn code() -> String {
    let code = include_str!("../src/record/audit/writer.rs");
    serde_json::json!({"messages": [{"role": "user", "content": code}]}).to_string()
}

#[test]
#[ignore = "measures"]
fn a_million_records_are_counted_and_verified() {
    let directory = Directory::new();
    let path = directory.file();
    let mut file = File::create(&path).unwrap();
    let mut book = Book::new();
    let body = body();
    let names = ["alice", "bob", "carol", "dave"];
    let start = Instant::now();
    for number in 0..500_000 {
        let asked = asked(names[number % 4], if number % 3 == 0 { "gpt-4o" } else { "sonnet" });
        book.time += Duration::from_millis(1);
        book.rx(asked, &body);
        let status = if number % 100 == 0 { 503 } else { 200 };
        let mut tx = answered(asked, status, &body[..300]);
        tx.time = Duration::from_millis((number as u64 * 7919) % 5000);
        book.tx(&tx);
        if book.text.len() > 1 << 20 {
            file.write_all(&book.text).unwrap();
            book.text.clear();
        }
    }
    book.mark("end");
    file.write_all(&book.text).unwrap();
    let bytes = file.metadata().unwrap().len();
    println!("1,000,000 records, {} MB, made in {:?}", bytes / 1_000_000, start.elapsed());
    let name = path.to_str().unwrap();
    for args in [
        &["stats", name][..],
        &["stats", name],
        &["verify", name],
        &["show", name, "--errors", "--token", "eve"],
    ] {
        let start = Instant::now();
        let (code, out, _) = told(args);
        println!("audit {}: {:?}\n{out}", args[0], start.elapsed());
        assert_eq!(code, Some(0));
    }
}

#[test]
#[ignore = "measures"]
fn redaction_and_the_way_into_the_queue() {
    for (what, text) in [
        ("a request", body()),
        ("source code", code()),
        ("prose", "the quick brown fox jumps over a lazy dog. ".repeat(100)),
    ] {
        let rounds = 50_000_000 / text.len();
        let start = busy();
        for _ in 0..rounds {
            black_box(redact(black_box(&text), &[]));
        }
        let each = (busy() - start).as_nanos() as f64 / rounds as f64;
        println!(
            "redact {what}: {:.0} ns a KB, {each:.0} ns for {} bytes",
            each * 1000.0 / text.len() as f64,
            text.len()
        );
    }
    let body = body();
    let asked = asked("alice", "gpt-4o");
    const ROUNDS: u32 = 20_000;
    let (mut put, all) = (Duration::ZERO, process_busy());
    for _ in 0..10 {
        let directory = Directory::new();
        let settings = Settings { file: Some(directory.file()), ..Settings::default() };
        let audit = Audit::start(settings, Arc::new(|fault| println!("{fault}"))).unwrap();
        let start = busy();
        for _ in 0..ROUNDS {
            audit.rx(&Rx { asked, body: body.as_bytes() });
            audit.tx(&answered(asked, 200, &body[..300]));
        }
        put += busy() - start;
        audit.close(PATIENCE);
    }
    let all = process_busy() - all;
    println!(
        "rx and tx: {:?} a request; with the writing {:?}",
        put / ROUNDS / 10,
        all / ROUNDS / 10
    );
}
