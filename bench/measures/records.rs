//! What `modeltap audit` takes over large files: how long the binary needs to count records and to
//! verify their chain, and how that grows with their number.

use super::Bench;
use crate::results::{Case, MODELTAP};
use crate::system::Scratch;
use modeltap::exchange::CallId;
use modeltap::record::audit::chain::Chain;
use modeltap::record::audit::entry::{Asked, Fields, Rx, Tokens, Tx};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// Bytes that are gathered before they are written.
const PIECE: usize = 1 << 20;

pub fn run(bench: &mut Bench) -> Result<(), String> {
    let counts: &[usize] = match bench.options.quick {
        true => &[10_000],
        false => &[10_000, 100_000, 1_000_000],
    };
    for &count in counts {
        let doing = format!("records, {count}");
        if !bench.has_time(&doing) {
            break;
        }
        bench.progress(&format!("{doing}: being made"));
        let scratch = Scratch::new("records")?;
        let file = scratch.file("audit.jsonl");
        make(&file, count).map_err(|e| format!("{}: {e}", file.display()))?;
        let case: Case = vec![("records", format!("{count} records"))];
        for _ in 0..bench.options.rounds.min(3) {
            for command in ["stats", "verify"] {
                bench.progress(&format!("{doing}: {command}"));
                let time = timed(command, &file, count);
                let millis = time.as_ref().ok().map(|time| time.as_secs_f64() * 1e3);
                bench.results.add(("records", &case), (command, "ms"), MODELTAP, millis);
                if let Err(fault) = time {
                    bench.results.faults.push(format!("audit {command}: {fault}"));
                }
            }
        }
    }
    for (title, metric) in [("audit stats", "stats"), ("audit verify", "verify")] {
        bench.results.grow(title, "records", ("records", metric), "records", &[]);
    }
    Ok(())
}

/// How long `modeltap audit COMMAND FILE` takes.
fn timed(command: &str, file: &Path, count: usize) -> Result<Duration, String> {
    let mut process = Command::new(env!("CARGO_BIN_EXE_modeltap"));
    process.args(["audit", command]).arg(file).stdin(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let output = process.output().map_err(|e| e.to_string())?;
    let time = start.elapsed();
    let told = String::from_utf8_lossy(&output.stdout);
    let wanted = match command {
        // What it counts are requests, which have two records each.
        "stats" => count / 2 - 1,
        _ => count,
    };
    match output.status.success() && told.contains(&wanted.to_string()) {
        true => Ok(time),
        false => Err(format!("{}, without {wanted}: {told}", output.status)),
    }
}

/// Writes so many records, as a bridge would have that serves four people for a long time: the first
/// and the last are its own.
fn make(path: &Path, records: usize) -> io::Result<()> {
    let body = super::audit::body();
    let answer = body.get(..300).unwrap_or(&body);
    let mut file = File::create(path)?;
    let (mut chain, mut out) = (Chain::default(), Vec::with_capacity(2 * PIECE));
    let mut time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let names = ["alice", "bob", "carol", "dave"];
    let own = |chain: &mut Chain, out: &mut Vec<u8>, kind, time| {
        chain.append(out, |out| {
            Fields::new(out, kind, time);
        });
    };
    own(&mut chain, &mut out, "begin", time);
    for (number, token) in (1..records as u64 / 2).zip(names.into_iter().cycle()) {
        let asked = asked(token, if number % 3 == 0 { "gpt-4o" } else { "sonnet" });
        time += Duration::from_millis(1);
        chain.append(&mut out, |out| {
            let mut fields = Fields::new(out, "rx", time);
            fields.rx(&Rx { asked, body: body.as_bytes() });
            fields.text("body", &body);
        });
        let status = if number % 100 == 0 { 503 } else { 200 };
        let took = Duration::from_millis(number * 7919 % 5000);
        chain.append(&mut out, |out| {
            let mut fields = Fields::new(out, "tx", time);
            fields.tx(&answered(asked, status, took, answer));
            fields.text("body", answer);
        });
        if out.len() >= PIECE {
            file.write_all(&out)?;
            out.clear();
        }
    }
    own(&mut chain, &mut out, "end", time);
    file.write_all(&out)
}

/// A request of a token, for a model.
pub fn asked<'a>(token: &'a str, model: &'a str) -> Asked<'a> {
    Asked {
        id: CallId::random(),
        token: Some(token),
        key: Some("0f0f0f0f"),
        address: Some([127, 0, 0, 1].into()),
        client: Some("OpenAI/Python 2.0.0"),
        session: None,
        method: Some("POST"),
        route: "/v1/chat/completions",
        endpoint: "/v1/chat/completions",
        is_probe: false,
        model: Some(model),
        stream: Some(false),
    }
}

/// How it was answered.
pub fn answered<'a>(asked: Asked<'a>, status: u16, time: Duration, body: &'a str) -> Tx<'a> {
    Tx {
        asked,
        status,
        error: (status >= 400).then_some("no_model"),
        backend: Some("sampling"),
        time,
        first: None,
        first_piece: None,
        tokens: Some(Tokens { prompt: 90, completion: 60, estimated: true }),
        body: Some(body),
    }
}
