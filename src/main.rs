//! The command line.

use lexopt::{Arg, Parser, ValueExt};
use modeltap::{allocator, bridge, command, config, demo};
use std::io::Write;
use std::process::ExitCode;

const ABOUT: &str = "\
modeltap lends the model inside an MCP host to every OpenAI or Anthropic client on this machine.

";

const OPTIONS: &str = "
Options, with the names they have in the environment and their [default]; a flag goes before the
environment, and a name further left before one further right:
";

enum Command {
    Serve,
    Demo(demo::Options),
}

fn main() -> ExitCode {
    if let Some(code) = command::run(std::env::args_os().skip(1)) {
        return code;
    }
    let done = match parse() {
        Ok(Some((Command::Serve, config))) => {
            allocator::settle();
            bridge::serve(config).map_err(|e| e.to_string())
        }
        Ok(Some((Command::Demo(options), config))) => demo::run(&options, &config),
        Ok(None) => Ok(()),
        Err(fault) => {
            eprintln!("modeltap: {fault}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("modeltap: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// Prints; a reader that wants no more, such as `head`, is no fault.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The command and the settings; `None` when all that was asked for is printed.
fn parse() -> Result<Option<(Command, config::Config)>, String> {
    let mut parser = Parser::from_env();
    let mut flags = Vec::new();
    let mut command = None;
    let mut demo = demo::Options::default();
    let mut demo_only = None;
    let text = |e: lexopt::Error| e.to_string();
    while let Some(arg) = parser.next().map_err(text)? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => {
                let usage = command::table::usage();
                say(&format!("{ABOUT}{usage}{OPTIONS}{}", config::help()));
                return Ok(None);
            }
            Arg::Long("version") | Arg::Short('V') => {
                say(&format!("modeltap {}\n", env!("CARGO_PKG_VERSION")));
                return Ok(None);
            }
            Arg::Long("stay") => {
                demo.stay = true;
                demo_only = Some("--stay");
            }
            Arg::Long("via") => {
                let value = parser.value().and_then(|value| value.string()).map_err(text)?;
                demo.via = demo::Via::read(&value)?;
                demo_only = Some("--via");
            }
            Arg::Long(flag) => {
                let flag = flag.to_owned();
                flags.push(command::setting(&mut parser, &flag)?);
            }
            Arg::Value(name) if command.is_none() => command = Some(name.string().map_err(text)?),
            other => return Err(format!("{}; see modeltap --help", other.unexpected())),
        }
    }
    let command = match (command.as_deref(), demo_only) {
        (Some("demo"), _) => Command::Demo(demo),
        (None | Some("serve"), None) => Command::Serve,
        (None | Some("serve"), Some(flag)) => {
            return Err(format!("{flag} belongs to modeltap demo"));
        }
        (Some(other), _) if command::table::find(other).is_some() => {
            return Err(format!("{other} must be the first word: modeltap {other} [OPTIONS]"));
        }
        (Some(other), _) => {
            return Err(format!("there is no command {other:?}; see modeltap --help"));
        }
    };
    let config = config::read(&flags, |name| std::env::var(name).ok())?;
    Ok(Some((command, config)))
}
