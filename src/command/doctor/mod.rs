//! `modeltap doctor`: what is set, what is there and what is not, each in one line with its remedy. It
//! takes the settings of `serve`, looks from outside, and changes nothing.

mod channel;
mod files;
mod finding;
mod host;
mod listener;
mod machine;
mod port;
mod program;
mod settings;

use super::{Fault, setting, shown};
use crate::config::{self, Color, Config};
use crate::last_host::{self, Facts};
use finding::{Finding, Report};
use lexopt::{Arg, Parser};
use std::io::IsTerminal;
use std::time::SystemTime;

const USAGE: &str = "\
Tells what is set, what is there and what is not: each line ok, warning or problem, with the remedy.

Usage: modeltap doctor [--all] [--json] [OPTIONS]

  --all     the settings at their defaults, too, and what need not be looked at
  --json    the same as one JSON document

OPTIONS are those of modeltap serve (modeltap --help); what the host sets in the bridge's environment is to be
given here, too. The exit code is 0 where there is nothing worse than warnings, 1 where there are problems.
";

/// What a finding may be made from.
struct Patient {
    config: Config,
    /// What is known of the last host, where that could be read.
    last: Option<Facts>,
    all: bool,
    now: SystemTime,
}

/// Runs it.
///
/// # Errors
/// There are problems, or the command line says what cannot be.
pub fn run(mut args: Parser) -> Result<(), Fault> {
    let (mut all, mut json, mut flags) = (false, false, Vec::new());
    let usage = |said: String| Fault::Usage(format!("doctor: {said}"));
    let unread = |e: lexopt::Error| usage(format!("{e}; see modeltap doctor --help"));
    while let Some(arg) = args.next().map_err(unread)? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return shown(USAGE),
            Arg::Long("all") => all = true,
            Arg::Long("json") => json = true,
            Arg::Long(flag) => {
                let flag = flag.to_owned();
                flags.push(setting(&mut args, &flag).map_err(usage)?);
            }
            other => return Err(unread(other.unexpected())),
        }
    }
    let report = examine(&flags, all)?;
    let color = match report.color {
        Color::Auto => std::io::stdout().is_terminal(),
        Color::Always => true,
        Color::Never => false,
    };
    shown(&if json { report.json() } else { report.text(color) })?;
    match report.problems() {
        0 => Ok(()),
        _ => Err(Fault::Told),
    }
}

fn examine(flags: &[(String, String)], all: bool) -> Result<Report, Fault> {
    let env = |name: &str| std::env::var(name).ok();
    let given = config::given(flags, env);
    let (config, faults) = config::read_all(flags, env);
    let wrong = faults.iter().find(|f| matches!(f.source, Some(config::Source::Flag(_))));
    if let Some(wrong) = wrong {
        return Err(Fault::Usage(format!("doctor: {}", wrong.said)));
    }
    let mut findings: Vec<Finding> = settings::check(&given, &faults, &config, all);
    let color = config.color;
    let read = config.state.clone().map(last_host::read);
    let state = match &read {
        Some(Err(fault)) => Some(fault.to_string()),
        _ => None,
    };
    let last = read.and_then(Result::ok).flatten();
    let patient = Patient { config, last, all, now: SystemTime::now() };
    findings.extend(port::check(&patient));
    let (found, newest) = files::check(&patient, state.as_deref());
    findings.extend(found);
    findings.extend(machine::check(&patient, newest));
    findings.extend(host::check(&patient, state.is_some()));
    findings.extend(channel::check(&patient));
    Ok(Report { findings, color })
}
