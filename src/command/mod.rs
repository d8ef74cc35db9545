//! The commands that work on files and end, by the first word of the command line. What was asked
//! for goes to standard output, all words around it to standard error.

pub mod audit;
pub mod snippet;
pub mod token;
mod token_words;

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
}

/// Runs the command whose name is the first of `args`; `None` where that is none of these.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut args = args.into_iter();
    let done = match args.next()?.to_str()? {
        "audit" => audit::run(lexopt::Parser::from_args(args)),
        "snippet" => snippet::run(lexopt::Parser::from_args(args)),
        "token" => token::run(lexopt::Parser::from_args(args)),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Usage(said)) => {
            note(&said);
            ExitCode::from(2)
        }
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

/// Prints what was asked for.
fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}
