//! What shells and man are given: it is made from the same tables as the help, and they take it.

mod common;

use common::{aside, command};
use modeltap::command::table::COMMANDS;
use modeltap::config::SETTINGS;
use std::io::Write;
use std::process::{Command, Output, Stdio};

fn printed(args: &[&str]) -> String {
    let ran = command().args(args).output().unwrap();
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Runs a program with this on its standard input; `None`, and a line that says so, where it is not
/// installed, which in CI must not be.
fn through(program: &str, args: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => {
            assert!(std::env::var_os("CI").is_none(), "{program} is not installed: {e}");
            eprintln!("skipped: {program} is not installed ({e})");
            return None;
        }
    };
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_owned();
    std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    Some(aside(move || child.wait_with_output().unwrap()).get())
}

fn good(ran: &Output, what: &str) -> String {
    let told = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && told.is_empty(), "{what}: {told}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[test]
fn each_shell_and_the_manual_know_every_command_option_and_setting() {
    let man = printed(&["man"]).replace("\\-", "-");
    let texts = [
        ("bash", printed(&["completions", "bash"])),
        ("zsh", printed(&["completions", "zsh"])),
        // It has options without their dashes.
        ("fish", printed(&["completions", "fish"]).replace("-l ", "--")),
        ("powershell", printed(&["completions", "powershell"])),
        ("man", man),
    ];
    for (shell, text) in &texts {
        for command in COMMANDS {
            assert!(text.contains(command.name), "{shell} does not know {}", command.name);
            let own = command.options.iter().map(|option| option.flag);
            for flag in own.chain(SETTINGS.iter().map(|setting| setting.flag)) {
                assert!(text.contains(&format!("--{flag}")), "{shell} does not know --{flag}");
            }
            for word in command.words {
                assert!(text.contains(word), "{shell} does not know {} {word}", command.name);
            }
        }
    }
}

/// What bash completes at the end of these words, of which the last may be begun.
fn in_bash(words: &[&str]) -> Vec<String> {
    let script = format!(
        "{}\nCOMP_WORDS=({}); COMP_CWORD={}; _modeltap; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        printed(&["completions", "bash"]),
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        words.len() - 1
    );
    let Some(ran) = through("bash", &["--norc", "-s"], &script) else { return Vec::new() };
    let out = good(&ran, "bash");
    out.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_options_and_values() {
    if through("bash", &["--version"], "").is_none() {
        return;
    }
    let syntax = through("bash", &["-n"], &printed(&["completions", "bash"])).unwrap();
    good(&syntax, "bash -n");
    for (words, expected) in [
        (&["modeltap", "doc"][..], &["doctor"][..]),
        (&["modeltap", "token", "r"], &["revoke", "remove", "rotate"]),
        (&["modeltap", "--back"], &["--backend"]),
        (&["modeltap", "serve", "--era", ""], &["auto", "legacy", "modern"]),
        (&["modeltap", "--backend", "f"], &["forward"]),
        (&["modeltap", "demo", "--via", "s"], &["sampling"]),
        (&["modeltap", "--port", "80", "demo", "--st"], &["--stay", "--stream-chunk-size"]),
        (&["modeltap", "completions", "z"], &["zsh"]),
        // Any file may follow: that is left to bash.
        (&["modeltap", "--audit", ""], &[]),
        // What is another command's is not offered.
        (&["modeltap", "audit", "--back"], &[]),
    ] {
        let found = in_bash(words);
        let fits = expected.iter().all(|word| found.iter().any(|f| f == word));
        let count = if words.contains(&"--st") { found.len() } else { expected.len() };
        assert!(fits && found.len() == count, "{words:?}: {found:?}");
    }
}

#[test]
fn zsh_and_fish_take_theirs() {
    let zsh = printed(&["completions", "zsh"]);
    if let Some(ran) = through("zsh", &["-n"], &zsh) {
        good(&ran, "zsh -n");
        let load = format!("autoload -Uz compinit; compinit -u -D\n{zsh}\nprint $_comps[modeltap]");
        let ran = through("zsh", &["-f", "-s"], &load).unwrap();
        assert_eq!(good(&ran, "zsh").trim(), "_modeltap");
    }
    let fish = printed(&["completions", "fish"]);
    if let Some(ran) = through("fish", &["--no-execute"], &fish) {
        good(&ran, "fish --no-execute");
        let ask = |line: &str| {
            let script = format!("{fish}\ncomplete -C '{line}'");
            let out = good(&through("fish", &["--no-config"], &script).unwrap(), "fish");
            out.lines().map(|l| l.split('\t').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(ask("modeltap doc"), ["doctor"]);
        assert_eq!(ask("modeltap --backend f"), ["forward"]);
        assert_eq!(ask("modeltap token rev"), ["revoke"]);
    }
}

#[test]
fn the_manual_page_is_good_roff() {
    let page = printed(&["man"]);
    assert!(page.is_ascii() && page.lines().any(|line| line.starts_with(".SH NAME")));
    if let Some(ran) = through("groff", &["-man", "-Tutf8", "-ww", "-rLL=100n"], &page) {
        let shown = good(&ran, "groff -ww");
        // Without what makes it bold: escapes, or each letter twice.
        let mut plain = String::new();
        let mut rest = shown.chars();
        while let Some(c) = rest.next() {
            match c {
                '\x08' => drop(plain.pop()),
                '\x1b' => drop(rest.by_ref().find(|c| c.is_ascii_alphabetic())),
                c => plain.push(c),
            }
        }
        for said in
            ["modeltap doctor [--all] [--json] [OPTIONS]", "--max-connections N", "MODELTAP_PORT"]
        {
            assert!(plain.contains(said), "no {said:?} in:\n{plain}");
        }
    }
}

#[test]
fn an_unknown_shell_ends_with_2_and_says_which_are_known() {
    for args in [
        &["completions"][..],
        &["completions", "tcsh"],
        &["completions", "bash", "x"],
        &["man", "x"],
    ] {
        let ran = command().args(args).output().unwrap();
        let told = String::from_utf8(ran.stderr).unwrap();
        assert!(ran.status.code() == Some(2) && told.lines().count() == 1, "{told}");
        assert!(ran.stdout.is_empty());
    }
    for command_name in ["completions", "man"] {
        assert!(printed(&[command_name, "--help"]).contains("Usage"));
    }
}
