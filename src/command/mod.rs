//! The commands that do their work and end, by the first word of the command line. What was asked
//! for goes to standard output, all words around it to standard error. A new one gets its line in
//! `table`.

pub mod audit;
pub mod completions;
pub mod doctor;
pub mod man;
pub mod smoke;
pub mod snippet;
pub mod table;
pub mod token;
mod token_words;

use crate::config;
use lexopt::{Parser, ValueExt};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Fault {
    /// The command line says what cannot be; the process ends with 2.
    Usage(String),
    /// It could not be done; the process ends with 1.
    Failed(String),
    /// The same, where what was printed says it all.
    Told,
}

/// Runs the command whose name is the first of `args`; `None` where that is none of these.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter();
    let run = table::find(args.next()?.to_str()?)?.run?;
    Some(match run(Parser::from_args(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Usage(said)) => {
            note(&said);
            ExitCode::from(2)
        }
        Err(Fault::Told) => ExitCode::FAILURE,
        Err(Fault::Failed(said)) => {
            note(&said);
            ExitCode::FAILURE
        }
    })
}

/// Tells something beside what was asked for; where nobody can hear it, there is nobody to tell.
fn note(said: &str) {
    let _ = writeln!(std::io::stderr(), "modeltap: {said}");
}

/// Prints what was asked for; a reader that wants no more, such as `head`, is no fault.
fn shown(text: &str) -> Result<(), Fault> {
    match print(text) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Fault::Failed(format!("standard output cannot be written: {e}")))
        }
        _ => Ok(()),
    }
}

/// Prints what was asked for.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Reads the value of an option that is a setting; its flag and text.
///
/// # Errors
/// There is no such setting, or its value is missing.
pub fn setting(parser: &mut Parser, flag: &str) -> Result<(String, String), String> {
    let told = |e: lexopt::Error| e.to_string();
    let flag = flag.to_owned();
    let value = match config::is_switch(&flag) {
        None => return Err(format!("there is no option --{flag}; see modeltap --help")),
        Some(true) => parser.optional_value().unwrap_or_else(|| "1".into()),
        Some(false) => parser.value().map_err(told)?,
    };
    Ok((flag, value.string().map_err(told)?))
}
