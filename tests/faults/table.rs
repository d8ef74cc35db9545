//! Runs the rows, some at a time since most of their time is waiting, and prints the table.

use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many rows run at once.
const AT_ONCE: usize = 8;
const BEGIN: &str = "<!-- begin: RENEW=1 cargo test --test faults -->\n";
const END: &str = "<!-- end: RENEW=1 cargo test --test faults -->";

/// One fault.
pub struct Row {
    pub name: &'static str,
    pub run: fn() -> Told,
}

/// What came of a fault.
pub enum Told {
    /// It was done, and the bridge lives.
    Done {
        /// What was done to the bridge, with numbers.
        done: String,
        /// What it did.
        did: &'static str,
        /// By how many MiB its memory may have grown in the end.
        kept: u64,
    },
    /// This machine cannot do it, for this reason.
    Skipped(String),
}

impl Row {
    /// The row as the table has it.
    fn line(&self, told: &Told) -> String {
        match told {
            Told::Done { done, did, kept } => {
                format!("| {} | {done} | {did} | yes; {kept} MiB |", self.name)
            }
            Told::Skipped(why) => format!("| {} | *skipped: {why}* | | |", self.name),
        }
    }
}

pub fn main(rows: &[Row]) {
    let mut words: Vec<String> = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => return rows.iter().for_each(|row| println!("{}: test", row.name)),
            "--ignored" => return,
            "--test-threads" | "--skip" | "--format" | "--color" => drop(args.next()),
            _ if arg.starts_with('-') => {}
            _ => words.push(arg),
        }
    }
    let is_wanted = |row: &&Row| words.is_empty() || words.iter().any(|w| row.name.contains(&**w));
    let wanted: Vec<&Row> = rows.iter().filter(is_wanted).collect();
    if wanted.is_empty() {
        return;
    }
    let started = Instant::now();
    let told = run(&wanted);
    let lines: Vec<Option<String>> = wanted
        .iter()
        .zip(&told)
        .map(|(row, told)| told.as_ref().map(|told| row.line(told)))
        .collect();
    let head = "| fault | done to it | what the bridge did | next request served; memory kept, at most |\n\
                | --- | --- | --- | --- |\n";
    let table: String = lines.iter().flatten().map(|line| format!("{line}\n")).collect();
    println!("{head}{table}");
    println!("{} faults in {} s", told.len(), started.elapsed().as_secs());

    let mut failed = false;
    for (row, told) in wanted.iter().zip(&told) {
        let is_skipped = matches!(told, Some(Told::Skipped(_)));
        if told.is_none() || (is_skipped && std::env::var_os("CI").is_some()) {
            println!("FAILED: {}", row.name);
            failed = true;
        }
    }
    if words.is_empty() && !failed {
        failed = !matches_readme(rows, &told, &format!("{head}{table}"));
    }
    if failed {
        std::process::exit(i32::from(failed));
    }
}

/// What came of each; `None` where the row panicked.
fn run(rows: &[&Row]) -> Vec<Option<Told>> {
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..rows.len()).collect());
    let told: Vec<Mutex<Option<Told>>> = rows.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        while let Some(at) = { queue.lock().unwrap().pop_front() } {
            let started = Instant::now();
            let done = catch_unwind(rows[at].run).ok();
            eprintln!("{}: {:.1} s", rows[at].name, started.elapsed().as_secs_f32());
            *told[at].lock().unwrap_or_else(PoisonError::into_inner) = done;
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    told.into_iter().map(|told| told.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
}

/// Whether README.md holds the table; written into it where `RENEW` says so. A row that was skipped
/// here need only be there.
fn matches_readme(rows: &[Row], told: &[Option<Told>], table: &str) -> bool {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).expect("README.md is there");
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has the place for the table");
    let (held, after) = rest.split_once(END).expect("README.md has the end of the table");
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}")).expect("it is written");
        return true;
    }
    let held: Vec<&str> = held.lines().skip(2).collect();
    let fits = held.len() == rows.len()
        && rows.iter().zip(told).zip(&held).all(|((row, told), held)| match told {
            Some(told @ Told::Done { .. }) => row.line(told) == *held,
            _ => held.starts_with(&format!("| {} | ", row.name)),
        });
    if !fits {
        println!(
            "FAILED: README.md holds another table; RENEW=1 cargo test --test faults renews it"
        );
    }
    fits
}
