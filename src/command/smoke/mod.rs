//! `modeltap smoke`: every route of a running bridge, asked as clients ask, with its times and whether
//! what came is what the route promises.

mod client;
mod judge;
mod trials;

use super::{Fault, setting, shown};
use crate::config;
use client::{Client, Key, Until};
use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;
use trials::{Outcome, Row};

const USAGE: &str = "\
Asks every route of a running bridge, whole and streamed, and tells what came and how long it took.

Usage: modeltap smoke [URL] [--key KEY] [--model NAME] [--timeout TIME] [--json]

  URL             the bridge, such as http://127.0.0.1:8787 [by --host and --port, as modeltap serve has them]
  --key KEY       the key or token to ask with (better in MODELTAP_API_KEY, where ps does not show it)
  --model NAME    the model to ask for [the first that is listed]
  --timeout TIME  the longest that one request may take [180s]
  --json          the same as one JSON document

The model is asked eight small questions. The exit code is 0 where all is as it must be, 1 where it is not.
";

/// The settings that say where the bridge is.
const PLACE: [&str; 2] = ["host", "port"];
const TIMEOUT: Duration = Duration::from_secs(180);

/// What was asked for.
struct Asked {
    base: String,
    key: Option<String>,
    model: Option<String>,
    timeout: Duration,
    json: bool,
}

/// Runs it.
///
/// # Errors
/// Something is not as it must be, or the command line says what cannot be.
pub fn run(args: Parser) -> Result<(), Fault> {
    let Some(asked) = parse(args)? else { return shown(USAGE) };
    let client = Client::new(asked.base.clone(), asked.key, asked.timeout);
    let found = client.send("GET", "/openapi.json", None, Key::Given, Until::End);
    let answer = found.map_err(|why| {
        Fault::Failed(format!(
            "nothing answers at {}: {why}; modeltap doctor tells why not, modeltap demo --stay starts \
             one with a model that is a script",
            asked.base
        ))
    })?;
    if judge::openapi(&answer.body).is_err() {
        return Err(Fault::Failed(format!(
            "what answers at {} is no modeltap: its /openapi.json (HTTP {}) does not say so; name the \
             URL of the bridge, or its --port",
            asked.base, answer.status
        )));
    }
    let mut rows = Vec::new();
    if asked.json {
        trials::run(&client, asked.model.as_deref(), &mut |row| rows.push(row));
        shown(&document(&asked.base, &rows))?;
    } else {
        shown(&line(["", "ROUTE", "HOW", "STATUS", "FIRST", "TOTAL", "WHAT CAME"]))?;
        let mut unprinted = Ok(());
        trials::run(&client, asked.model.as_deref(), &mut |row| {
            // Each as it comes: a model may take its time.
            if unprinted.is_ok() {
                unprinted = shown(&text(&row));
            }
            rows.push(row);
        });
        unprinted?;
        shown(&format!("\n{}\n", summary(&rows)))?;
    }
    match count(&rows, Outcome::Failed) {
        0 => Ok(()),
        _ => Err(Fault::Told),
    }
}

fn parse(mut args: Parser) -> Result<Option<Asked>, Fault> {
    let usage = |said: String| Fault::Usage(format!("smoke: {said}"));
    let unread = |e: lexopt::Error| usage(format!("{e}; see modeltap smoke --help"));
    let (mut url, mut key, mut model, mut json) = (None, None, None, false);
    let (mut timeout, mut flags) = (TIMEOUT, Vec::new());
    while let Some(arg) = args.next().map_err(unread)? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("json") => json = true,
            Arg::Long("key") => key = Some(args.value().and_then(|v| v.string()).map_err(unread)?),
            Arg::Long("model") => {
                model = Some(args.value().and_then(|v| v.string()).map_err(unread)?);
            }
            Arg::Long("timeout") => {
                let text = args.value().and_then(|v| v.string()).map_err(unread)?;
                timeout = config::time(&text, Duration::from_millis(1), Duration::from_secs(86400))
                    .map_err(|allowed| usage(format!("--timeout: {text:?}: {allowed}")))?;
            }
            Arg::Long(flag) if PLACE.contains(&flag) => {
                let flag = flag.to_owned();
                flags.push(setting(&mut args, &flag).map_err(usage)?);
            }
            Arg::Value(text) if url.is_none() => url = Some(text.string().map_err(unread)?),
            other => return Err(unread(other.unexpected())),
        }
    }
    let config = config::read(&flags, |name| std::env::var(name).ok()).map_err(usage)?;
    let base = match url {
        Some(url) => client::base(&url)?,
        None if config.port == 0 => {
            return Err(usage(
                "port 0 is a free one: name the URL that http_server_status tells".into(),
            ));
        }
        None => format!("http://{}:{}", reachable(&config.host), config.port),
    };
    Ok(Some(Asked { base, key: key.or(config.api_key), model, timeout, json }))
}

/// The host to ask where a bridge listens at this one.
fn reachable(host: &str) -> String {
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip.is_unspecified() => "127.0.0.1".into(),
        Ok(IpAddr::V6(ip)) if ip.is_unspecified() => "[::1]".into(),
        Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
        _ => host.to_owned(),
    }
}

fn count(rows: &[Row], outcome: Outcome) -> usize {
    rows.iter().filter(|row| row.outcome == outcome).count()
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Good => "ok",
        Outcome::Skipped => "-",
        Outcome::Failed => "failed",
    }
}

fn line([outcome, route, how, status, first, total, said]: [&str; 7]) -> String {
    format!("{outcome:<6}  {route:<34}  {how:<11}  {status:>6}  {first:>9}  {total:>9}  {said}\n")
}

fn text(row: &Row) -> String {
    let time = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let (first, total) = match row.times {
        Some((first, total)) => (time(first), time(total)),
        None => Default::default(),
    };
    let status = if row.status == 0 { String::new() } else { row.status.to_string() };
    let said: String = row.said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line([word(row.outcome), row.route, row.how, &status, &first, &total, &said])
}

fn summary(rows: &[Row]) -> String {
    let (good, skipped) = (count(rows, Outcome::Good), count(rows, Outcome::Skipped));
    match count(rows, Outcome::Failed) {
        0 => format!("{good} as they must be, {skipped} not tried"),
        failed => format!("{failed} failed, {good} as they must be, {skipped} not tried"),
    }
}

fn document(base: &str, rows: &[Row]) -> String {
    let millis = |time: Duration| time.as_secs_f64() * 1000.0;
    let trials: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "route": row.route,
                "how": row.how,
                "outcome": if row.outcome == Outcome::Skipped { "skipped" } else { word(row.outcome) },
                "status": row.status,
                "first_ms": row.times.map(|(first, _)| millis(first)),
                "total_ms": row.times.map(|(_, total)| millis(total)),
                "said": row.said,
            })
        })
        .collect();
    let failed = count(rows, Outcome::Failed);
    let document = json!({"url": base, "ok": failed == 0, "failed": failed, "trials": trials});
    format!("{document:#}\n")
}
