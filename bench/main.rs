//! Measures modeltap as its neighbours see it: the bench plays the host at its pipes and the
//! clients at its sockets, checks that each answer is the right one, and measures in the same run
//! what the pipes and sockets alone cost, the floor. Ratios to the floor are what counts: they
//! carry over to other machines, microseconds do not.
//!
//! `cargo bench -- --help` tells the options, README.md what came out.

mod client;
mod dialect;
mod fit;
mod floor;
mod host;
mod load;
mod measures;
mod options;
mod plot;
mod promises;
mod report;
mod results;
mod sheets;
mod stats;
mod subject;
mod system;
mod vs;

use measures::Bench;
use options::Options;
use results::Results;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

/// The hidden option for the floor of a start.
const ONE_LINE: &str = "--floor-of-a-start";

fn main() -> ExitCode {
    let served = match std::env::args().nth(1).as_deref() {
        Some(vs::FLOOR_MODE) => Some(floor::run()),
        Some(ONE_LINE) => Some(floor::one_line()),
        // `cargo test --all-targets` starts benches so; it wants no figures.
        None => Some(Ok(())),
        Some(_) => None,
    };
    let done = match served {
        Some(served) => served.map_err(|e| e.to_string()),
        None => run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("bench: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let Some(options) = Options::read()? else { return Ok(()) };
    let subjects = vs::subjects(&options)?;
    let results = Results { about: about(&options), ..Results::default() };
    let mut bench = Bench {
        options: &options,
        subjects: &subjects,
        results,
        began: Instant::now(),
        out: Vec::new(),
    };
    for (name, measure) in measures::ALL {
        if options.wants(name) {
            measure(&mut bench)?;
        }
    }
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
    let mut results = bench.results;
    results.sort(&subjects.iter().map(|subject| subject.name.as_str()).collect::<Vec<_>>());
    // A reader that wants no more, such as `head`, is no fault.
    let _ = std::io::stdout().write_all(report::text(&results).as_bytes());
    if let Some(path) = &options.json {
        let text = serde_json::to_string(&results.json()).map_err(|e| e.to_string())? + "\n";
        write(path, &text)?;
    }
    if let Some(folder) = &options.svg {
        for (name, sheet) in sheets::all(&results) {
            write(&folder.join(name), &sheet)?;
        }
    }
    for path in &options.readmes {
        let fault = |e| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(path).map_err(fault)?;
        write(path, &report::renewed(&text, &results)?)?;
    }
    match results.faults.len() {
        0 => Ok(()),
        count => Err(format!("{count} faults, told above")),
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made = folder.map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text)).map_err(|e| format!("{}: {e}", path.display()))
}

/// What was measured where, when and how.
fn about(options: &Options) -> Vec<(&'static str, String)> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let mut about = vec![
        ("modeltap", env!("CARGO_PKG_VERSION").to_owned()),
        ("date", now.split('T').next().unwrap_or_default().to_owned()),
    ];
    about.extend(system::machine());
    let stderr = if options.reads_stderr { "read by the bench" } else { "to the null device" };
    about.extend([
        ("log", format!("{}, {stderr}", options.log)),
        ("rounds", options.rounds.to_string()),
        ("slice", format!("{:?}", options.slice)),
    ]);
    about
}
