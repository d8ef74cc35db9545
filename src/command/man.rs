//! `modeltap man`: the manual page, in the language of man(7), made from the tables of commands and of
//! settings.

use super::table::{COMMANDS, Choice};
use super::{Fault, shown};
use crate::config::SETTINGS;
use lexopt::{Arg, Parser};
use std::fmt::Write;

const USAGE: &str = "\
Prints the manual page.

Usage: modeltap man > ~/.local/share/man/man1/modeltap.1
       modeltap man | man -l -
";

/// Runs it.
///
/// # Errors
/// There is no such option.
pub fn run(mut args: Parser) -> Result<(), Fault> {
    let unread = |e: lexopt::Error| Fault::Usage(format!("man: {e}; see modeltap man --help"));
    match args.next().map_err(unread)? {
        None => shown(&page()),
        Some(Arg::Long("help") | Arg::Short('h')) => shown(USAGE),
        Some(other) => Err(unread(other.unexpected())),
    }
}

const DESCRIPTION: &str = "An MCP host (VS Code with Copilot, Claude Code, any host with tools) starts modeltap \
    over its standard input and output. modeltap then serves the HTTP APIs of OpenAI and of Anthropic on this \
    machine, and asks the host's model for each request.";

const FILES: &[(&str, &str)] = &[
    ("~/.config/modeltap/tokens.json", "the tokens that clients are asked for (--tokens)"),
    ("~/.config/modeltap/tokens.usage.json", "what each has used, written by running bridges"),
    (
        "~/.local/state/modeltap/last-host.json",
        "what the last host declared, for modeltap doctor (--state)",
    ),
];

const CODES: &[(&str, &str)] = &[
    ("0", "All went well; for doctor, nothing is worse than a warning."),
    ("1", "It did not, or something is wrong, which is told."),
    ("2", "The command line or a setting says what cannot be."),
];

const EXAMPLES: &[(&str, &str)] = &[
    ("modeltap demo", "show it working with a model that is a script"),
    ("modeltap doctor", "tell what is wrong with a set-up"),
    ("modeltap smoke http://127.0.0.1:8787", "ask every route of a running bridge"),
    ("modeltap token add ann --expires 30days --rate 60/min", "let somebody ask"),
    ("modeltap audit stats --since 24h", "count who asked what"),
];

/// A text in which nothing is a command of roff: no backslash, no line that begins with a dot or a quote,
/// and nothing that the machine's own character set may lack.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    if text.starts_with(['.', '\'']) {
        plain.push_str("\\&");
    }
    for c in text.chars() {
        match c {
            '\\' => plain.push_str("\\e"),
            '-' => plain.push_str("\\-"),
            '~' => plain.push_str("\\(ti"),
            '^' => plain.push_str("\\(ha"),
            '`' => plain.push_str("\\(ga"),
            '\'' => plain.push_str("\\(aq"),
            '"' => plain.push_str("\\(dq"),
            '\n' => plain.push(' '),
            ' '..='}' => plain.push(c),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(plain, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
    plain
}

/// A paragraph under a name.
fn entry(page: &mut String, name: &str, text: &str) {
    let _ = writeln!(page, ".TP\n.B {}\n{}", plain(name), plain(text));
}

fn options(page: &mut String, options: &[Choice]) {
    for option in options {
        let value = match option.choices {
            [] => option.value.to_owned(),
            choices => choices.join("|"),
        };
        entry(page, format!("--{} {value}", option.flag).trim_end(), option.help);
    }
}

/// The page.
fn page() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".\\\" made by modeltap man\n.TH MODELTAP 1 \"\" \"modeltap {version}\" \"User Commands\"\n.SH NAME\n\
         modeltap \\- lends the model inside an MCP host to every OpenAI or Anthropic client on this \
         machine\n.SH SYNOPSIS\n"
    );
    for (at, command) in COMMANDS.iter().enumerate() {
        let end = if at == 0 { "" } else { ".br\n" };
        let _ = writeln!(page, "{end}.B modeltap\n{}", plain(command.usage));
    }
    let _ = writeln!(page, ".SH DESCRIPTION\n{}\n.SH COMMANDS", plain(DESCRIPTION));
    for command in COMMANDS {
        let settings = match command.takes_settings {
            true => " It takes the OPTIONS below.",
            false => "",
        };
        let help = format!("{}.{settings}", command.help);
        let _ = writeln!(page, ".SS {}\n{}", plain(command.name), plain(&help));
        // The usage names them where they are few.
        if !command.words.iter().all(|word| command.usage.contains(word)) {
            let _ = writeln!(page, "NAME is one of {}.", plain(&command.words.join(", ")));
        }
        options(&mut page, command.options);
    }
    page.push_str(
        ".SH OPTIONS\nEach has its names in the environment and its default behind it. A flag goes \
        before the environment, and a name further left before one further right.\n",
    );
    for setting in SETTINGS {
        let names: Vec<&str> = setting.env.iter().map(|(name, _)| *name).collect();
        let name = format!("--{} {}", setting.flag, setting.value);
        entry(&mut page, name.trim_end(), setting.help);
        let _ = writeln!(page, ".br\n{} [{}]", plain(&names.join(", ")), plain(setting.default));
    }
    for (title, entries) in [("FILES", FILES), ("EXIT STATUS", CODES), ("EXAMPLES", EXAMPLES)] {
        let _ = writeln!(page, ".SH \"{title}\"");
        entries.iter().for_each(|(name, text)| entry(&mut page, name, text));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_command_of_roff() {
        for (text, expected) in [
            (".TH", "\\&.TH"),
            ("'x", "\\&\\(aqx"),
            ("a\\b", "a\\eb"),
            ("--x ~/y", "\\-\\-x \\(ti/y"),
            ("a…", "a\\[u2026]"),
            ("a\n.b", "a .b"),
        ] {
            assert_eq!(plain(text), expected);
        }
    }
}
