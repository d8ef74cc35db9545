//! `modeltap audit verify|show|stats`: reads what the bridge wrote; it changes nothing.

use super::{Fault, note};
use crate::record::audit::chain::{Hex, parse_hex, text};
use crate::record::audit::is_in_use;
use crate::record::audit::read::{self, Lines};
use crate::record::audit::show::{Ended, Filter, show};
use crate::record::audit::stats::Stats;
use crate::record::audit::verify::{Found, verify};
use lexopt::{Arg, Parser, ValueExt};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// What `modeltap audit --help` prints.
pub const USAGE: &str = "\
Reads the audit file, with the files that were full before it, oldest first.

Usage: modeltap audit verify [FILE] [--expect SEQ:HASH]
           tells whether anything was changed, cut or inserted, and what first; exit code 1 if so.
           SEQ:HASH is the last line of an earlier verify that was kept elsewhere
       modeltap audit show [FILE] [--request ID] [--token NAME] [--since TIME] [--errors] [--json]
           shows the records that fit, with their bodies; with --json as the lines that they are
       modeltap audit stats [FILE] [--since TIME] [--csv]
           counts requests, errors and tokens by token and model, and tells how long good answers took

FILE is also taken from --audit FILE, or from MODELTAP_AUDIT. TIME is a time before now such as 90min,
24h or 7d, or a day or time such as 2026-01-31 or 2026-01-31T12:00:00Z.
";

/// How long a verify goes on before it tells how far it is, and then between two tellings.
const SILENT: Duration = Duration::from_secs(1);
const PROGRESS: Duration = Duration::from_millis(200);

/// What was asked for.
#[derive(Default)]
struct Asked {
    command: String,
    file: Option<PathBuf>,
    expect: Option<(u64, Hex)>,
    filter: Filter,
    as_json: bool,
    as_csv: bool,
    help: bool,
}

/// Runs what the rest of the command line asks for.
///
/// # Errors
/// Why it was not done, or what is wrong with the records.
pub fn run(args: Parser) -> Result<(), Fault> {
    let asked = parse(args).map_err(Fault::Usage)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match asked.command.as_str() {
        _ if asked.help => write!(out, "{USAGE}").map_err(Ended::from),
        "verify" => run_verify(&asked, &mut out),
        "show" => run_show(&asked, &mut out),
        _ => run_stats(&asked, &mut out),
    };
    // What was found before something went wrong is told, too.
    let flushed = out.flush().map_err(Ended::from);
    match done.and(flushed) {
        Ok(()) => Ok(()),
        // A reader that wants no more, such as `head`.
        Err(Ended::Output(e)) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(Ended::Output(e)) => {
            Err(Fault::Failed(format!("standard output cannot be written: {e}")))
        }
        Err(Ended::Fault(fault)) => Err(Fault::Failed(fault)),
    }
}

fn told(e: lexopt::Error) -> String {
    format!("{e}; see modeltap audit --help")
}

fn text_of(parser: &mut Parser) -> Result<String, String> {
    parser.value().and_then(|value| value.string()).map_err(told)
}

fn parse(mut parser: Parser) -> Result<Asked, String> {
    const COMMANDS: [&str; 3] = ["verify", "show", "stats"];
    let mut asked = Asked::default();
    while let Some(arg) = parser.next().map_err(told)? {
        let belongs = match arg {
            Arg::Long("help") | Arg::Short('h') => {
                asked.help = true;
                return Ok(asked);
            }
            Arg::Long("audit") => {
                asked.file = Some(parser.value().map_err(told)?.into());
                &COMMANDS[..]
            }
            Arg::Long("expect") => {
                asked.expect = Some(expectation(&text_of(&mut parser)?)?);
                &["verify"]
            }
            Arg::Long("request") => {
                asked.filter.request = Some(text_of(&mut parser)?.to_ascii_lowercase());
                &["show"]
            }
            Arg::Long("token") => {
                asked.filter.token = Some(text_of(&mut parser)?);
                &["show"]
            }
            Arg::Long("since") => {
                let since = read::since(&text_of(&mut parser)?, SystemTime::now());
                asked.filter.since = Some(since.map_err(|e| format!("--since: {e}"))?);
                &["show", "stats"]
            }
            Arg::Long("errors") => {
                asked.filter.errors = true;
                &["show"]
            }
            Arg::Long("json") => {
                asked.as_json = true;
                &["show"]
            }
            Arg::Long("csv") => {
                asked.as_csv = true;
                &["stats"]
            }
            Arg::Value(name) if asked.command.is_empty() => {
                asked.command = name.string().map_err(told)?;
                &COMMANDS
            }
            Arg::Value(file) if asked.file.is_none() => {
                asked.file = Some(file.into());
                &COMMANDS
            }
            other => return Err(told(other.unexpected())),
        };
        let command = asked.command.as_str();
        if command.is_empty() {
            return Err(
                "modeltap audit is followed by verify, show or stats; see modeltap audit --help"
                    .into(),
            );
        }
        if !COMMANDS.contains(&command) {
            return Err(format!(
                "there is no command audit {command:?}; see modeltap audit --help"
            ));
        }
        if !belongs.contains(&command) {
            let owners = belongs.join(" and modeltap audit ");
            return Err(format!("that option belongs to modeltap audit {owners}"));
        }
    }
    if asked.command.is_empty() {
        return Err(
            "modeltap audit is followed by verify, show or stats; see modeltap audit --help".into(),
        );
    }
    Ok(asked)
}

fn expectation(text: &str) -> Result<(u64, Hex), String> {
    let read = || {
        let (seq, hash) = text.trim().split_once(':')?;
        Some((seq.parse().ok()?, parse_hex(hash.to_ascii_lowercase().as_bytes())?))
    };
    read().ok_or_else(|| {
        "--expect: SEQ:HASH is a number and 64 hexadecimal digits, as audit verify prints them"
            .into()
    })
}

impl Asked {
    fn path(&self) -> Result<PathBuf, String> {
        let named = || std::env::var_os("MODELTAP_AUDIT").filter(|name| !name.is_empty());
        self.file.clone().or_else(|| named().map(PathBuf::from)).ok_or_else(|| {
            "which audit file? Name it last, or as --audit FILE, or in MODELTAP_AUDIT".into()
        })
    }

    fn lines(&self) -> Result<Lines, String> {
        Ok(Lines::new(read::open(&self.path()?)?))
    }
}

fn run_verify(asked: &Asked, out: &mut impl Write) -> Result<(), Ended> {
    let path = asked.path()?;
    let mut lines = asked.lines()?;
    let is_watched = io::stderr().is_terminal();
    let mut next = Instant::now() + SILENT;
    let mut count: u32 = 0;
    let mut was_told = false;
    let found = verify(
        &mut lines,
        || is_in_use(&path),
        asked.expect,
        |done, all| {
            // A clock at each record would cost as much as a tenth of its hash.
            count = count.wrapping_add(1);
            if is_watched && count.is_multiple_of(64) && Instant::now() >= next {
                next = Instant::now() + PROGRESS;
                was_told = true;
                eprint!("\r{} % of {} MB", done.saturating_mul(100) / all.max(1), all / 1_000_000);
            }
        },
    );
    if was_told {
        eprint!("\r\x1b[K");
    }
    let found = found?;
    tell(&found, out)?;
    match found.fault {
        Some(fault) => Err(fault.to_string().into()),
        None => Ok(()),
    }
}

fn tell(found: &Found, out: &mut impl Write) -> io::Result<()> {
    let (Some((first, first_time)), Some((last, last_time, hash))) = (&found.first, &found.last)
    else {
        return writeln!(out, "no records");
    };
    let (count, files) = (found.count, found.files);
    let in_files = if files == 1 { "one file".into() } else { format!("{files} files") };
    writeln!(out, "{count} records in {in_files}, as they were written")?;
    writeln!(out, "first: {first_time}, seq {first}")?;
    writeln!(out, "last:  {last_time}, seq {last}")?;
    for note in &found.notes {
        writeln!(out, "note: {note}")?;
    }
    if found.more_notes > 0 {
        writeln!(out, "note: and {} notes more", found.more_notes)?;
    }
    writeln!(
        out,
        "Keep the last line below where nobody can change it; with --expect and that line a later \
         verify proves\nthat nothing up to it was changed.\n{last}:{}",
        text(hash)
    )
}

fn run_show(asked: &Asked, out: &mut impl Write) -> Result<(), Ended> {
    let shown = show(&mut asked.lines()?, &asked.filter, asked.as_json, out)?;
    out.flush()?;
    if shown.records == 0 {
        note("no record fits");
    }
    tell_damaged(shown.damaged);
    Ok(())
}

fn run_stats(asked: &Asked, out: &mut impl Write) -> Result<(), Ended> {
    let stats = Stats::read(&mut asked.lines()?, asked.filter.since.as_deref())?;
    let text = if asked.as_csv { stats.csv() } else { stats.table() };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    tell_damaged(stats.damaged);
    Ok(())
}

fn tell_damaged(damaged: u64) {
    if damaged > 0 {
        note(&format!(
            "{damaged} lines are no records and were left out; modeltap audit verify tells more"
        ));
    }
}
