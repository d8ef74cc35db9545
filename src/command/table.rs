//! The commands: one table. The help, the completions and the man page are made from it, and a
//! command is found by it.

use super::{Fault, audit, completions, doctor, man, smoke, snippet, token};
use lexopt::Parser;
use std::fmt::Write;

/// One command, the first word of the command line.
pub struct Command {
    /// Its name.
    pub name: &'static str,
    /// The name and what stands behind it, as the help has it.
    pub usage: &'static str,
    /// What it does, in half a line.
    pub help: &'static str,
    /// Words one of which stands behind the name; none where the first word is anybody's own.
    pub words: &'static [&'static str],
    /// Options of its own.
    pub options: &'static [Choice],
    /// Whether it takes the settings as options, too.
    pub takes_settings: bool,
    /// Runs it with what stands behind the name; `None` for those that `main` runs, whose name may
    /// stand anywhere between the options.
    pub run: Option<fn(Parser) -> Result<(), Fault>>,
}

/// An option of a command's own.
pub struct Choice {
    /// Without its dashes.
    pub flag: &'static str,
    /// What stands behind it in the help; empty where it takes no value.
    pub value: &'static str,
    /// The values that it takes, where these are few.
    pub choices: &'static [&'static str],
    /// What it is for.
    pub help: &'static str,
}

/// An option without a value.
pub(super) const fn switch(flag: &'static str, help: &'static str) -> Choice {
    option(flag, "", help)
}

/// An option with a value.
pub(super) const fn option(flag: &'static str, value: &'static str, help: &'static str) -> Choice {
    Choice { flag, value, choices: &[], help }
}

/// The commands, in the order in which people read about them.
pub const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        usage: "[serve] [OPTIONS]",
        help: "speak MCP on stdin and stdout, and serve HTTP; a host starts it",
        words: &[],
        options: &[],
        takes_settings: true,
        run: None,
    },
    Command {
        name: "demo",
        usage: "demo [--stay] [--via sampling|channel] [OPTIONS]",
        help: "show it working with an embedded host, without a subscription",
        words: &[],
        options: &[
            switch("stay", "stay up for requests of your own"),
            Choice {
                flag: "via",
                value: "WAY",
                choices: &["sampling", "channel"],
                help: "the way that the embedded host offers",
            },
        ],
        takes_settings: true,
        run: None,
    },
    Command {
        name: "token",
        usage: "token add|list|show|revoke|remove|rotate|extend …",
        help: "let others ask, each with a token and limits of its own (token --help)",
        words: &["add", "list", "show", "revoke", "remove", "rotate", "extend"],
        options: &[
            option("tokens", "FILE", "the file of tokens"),
            switch("json", "list, show: as JSON"),
            option("expires", "WHEN", "add, extend: a time from now, a moment, or never"),
            option("models", "GLOB,…", "add: models that it may ask for"),
            Choice {
                flag: "routes",
                value: "NAME,…",
                choices: &["chat", "messages", "responses", "models", "metrics", "admin"],
                help: "add: routes that it may use",
            },
            option("rate", "RATE", "add: requests, such as 60/min"),
            option("concurrent", "N", "add: requests at work at once"),
            option("requests", "N", "add, extend: requests in all its life"),
            option("tokens-per-day", "N", "add: tokens in a UTC day"),
            option("from", "CIDR,…", "add: addresses that it may come from"),
        ],
        takes_settings: false,
        run: Some(token::run),
    },
    Command {
        name: "audit",
        usage: "audit verify|show|stats [FILE]",
        help: "read what was asked and answered, and prove it (audit --help)",
        words: &["verify", "show", "stats"],
        options: &[
            option("audit", "FILE", "the audit file"),
            option("expect", "SEQ:HASH", "verify: the last line of an earlier verify"),
            option("request", "ID", "show: records of this request"),
            option("token", "NAME", "show: records of this token"),
            option("since", "TIME", "show, stats: records from this time on"),
            switch("errors", "show: records of errors"),
            switch("json", "show: the records as the lines that they are"),
            switch("csv", "stats: as CSV"),
        ],
        takes_settings: false,
        run: Some(audit::run),
    },
    Command {
        name: "doctor",
        usage: "doctor [--all] [--json] [OPTIONS]",
        help: "tell what is wrong with a set-up, and what to do about it",
        words: &[],
        options: &[
            switch("all", "settings at their defaults, too"),
            switch("json", "as one JSON document"),
        ],
        takes_settings: true,
        run: Some(doctor::run),
    },
    Command {
        name: "smoke",
        usage: "smoke [URL] [--key KEY] [--model NAME] [--timeout TIME] [--json]",
        help: "ask every route of a running bridge, and tell what came and how fast",
        words: &[],
        options: &[
            option("key", "KEY", "the key or token to ask with"),
            option("model", "NAME", "the model to ask for"),
            option("timeout", "TIME", "the longest that one request may take"),
            option("host", "ADDRESS", "where the bridge listens"),
            option("port", "PORT", "where the bridge listens"),
            switch("json", "as one JSON document"),
        ],
        takes_settings: false,
        run: Some(smoke::run),
    },
    Command {
        name: "snippet",
        usage: "snippet NAME [--install|--remove] | --list",
        help: "ready settings for a host or a client, with this path and port (snippet --help)",
        words: &snippet::NAMES,
        options: &[
            switch("list", "all names, and their files"),
            switch("install", "put it where that host or client keeps it"),
            switch("remove", "take it out again"),
            switch("project", "the project's file instead of the user's own"),
            option("file", "PATH", "another file"),
            switch("yes", "do not ask"),
            switch("force", "replace, or take out, also what is not of modeltap"),
        ],
        takes_settings: true,
        run: Some(snippet::run),
    },
    Command {
        name: "completions",
        usage: "completions bash|zsh|fish|powershell",
        help: "print what a shell needs to complete all this",
        words: completions::SHELLS,
        options: &[],
        takes_settings: false,
        run: Some(completions::run),
    },
    Command {
        name: "man",
        usage: "man",
        help: "print the manual page",
        words: &[],
        options: &[],
        takes_settings: false,
        run: Some(man::run),
    },
];

/// The command of this name.
pub fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// How far right the help says what a command does.
const COLUMN: usize = 37;

/// The commands as `--help` shows them.
pub fn usage() -> String {
    let mut text = String::new();
    let all = COMMANDS.iter().map(|command| (command.usage, command.help));
    for (at, (usage, help)) in all.chain([("--help | --version", "")]).enumerate() {
        let begin = if at == 0 { "Usage:" } else { "" };
        let line = format!("{begin:<6} modeltap {usage}");
        // Writing to a String cannot fail.
        let _ = match line.chars().count() {
            _ if help.is_empty() => writeln!(text, "{line}"),
            n if n + 2 <= COLUMN => writeln!(text, "{line:<COLUMN$}{help}"),
            _ => writeln!(text, "{line}\n{:COLUMN$}{help}", ""),
        };
    }
    text
}
