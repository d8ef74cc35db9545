//! `modeltap completions SHELL`: what shells need to complete our command line, made from the tables of
//! commands and of settings. A value that is none of a few is completed as the name of a file.

use super::table::{COMMANDS, Command};
use super::{Fault, shown};
use crate::config::{self, SETTINGS};
use lexopt::{Arg, Parser, ValueExt};
use std::fmt::Write;

const USAGE: &str = "\
Prints what a shell needs to complete modeltap's commands and options.

Usage: modeltap completions bash|zsh|fish|powershell

  bash        modeltap completions bash > ~/.local/share/bash-completion/completions/modeltap
  zsh         modeltap completions zsh > a folder of your $fpath/_modeltap
  fish        modeltap completions fish > ~/.config/fish/completions/modeltap.fish
  powershell  modeltap completions powershell >> $PROFILE
";

/// The shells.
pub const SHELLS: &[&str] = &["bash", "zsh", "fish", "powershell"];

/// Runs it.
///
/// # Errors
/// No such shell is known.
pub fn run(mut args: Parser) -> Result<(), Fault> {
    let usage = |said: String| {
        Fault::Usage(format!("completions: {said}; see modeltap completions --help"))
    };
    let unread = |e: lexopt::Error| usage(e.to_string());
    let shell = match args.next().map_err(unread)? {
        None => return Err(usage(format!("which shell? One of {}", SHELLS.join(", ")))),
        Some(Arg::Long("help") | Arg::Short('h')) => return shown(USAGE),
        Some(Arg::Value(shell)) => shell.string().map_err(unread)?,
        Some(other) => return Err(unread(other.unexpected())),
    };
    if let Some(other) = args.next().map_err(unread)? {
        return Err(unread(other.unexpected()));
    }
    shown(&match shell.as_str() {
        "bash" => bash(),
        "zsh" => zsh(),
        "fish" => fish(),
        "powershell" => powershell(),
        other => return Err(usage(format!("{other:?} is none of {}", SHELLS.join(", ")))),
    })
}

/// An option as shells are told of it.
struct Flag {
    name: &'static str,
    /// What its value is; empty where it takes none.
    value: &'static str,
    choices: Vec<&'static str>,
    help: &'static str,
}

/// The options of a command: its own, then the settings where it takes them.
fn flags(command: &Command) -> Vec<Flag> {
    let own = command.options.iter().map(|option| Flag {
        name: option.flag,
        value: option.value,
        choices: option.choices.to_vec(),
        help: option.help,
    });
    let help = Flag { name: "help", value: "", choices: Vec::new(), help: "what it does, and how" };
    let mut flags: Vec<Flag> = own.chain([help]).collect();
    let settings = SETTINGS.iter().filter(|_| command.takes_settings).map(|setting| Flag {
        name: setting.flag,
        value: setting.value,
        choices: config::choices(setting.flag),
        help: setting.help,
    });
    flags.extend(settings);
    flags
}

/// Whoever names no command serves.
fn serve() -> &'static [Command] {
    COMMANDS.get(..1).unwrap_or_default()
}

fn names(separator: &str) -> String {
    COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>().join(separator)
}

fn bash() -> String {
    let mut text = format!(
        "# modeltap completions bash\n_modeltap() {{\n    local current=${{COMP_WORDS[COMP_CWORD]}} \
         previous=${{COMP_WORDS[COMP_CWORD-1]}} command= words= i\n    \
         for ((i = 1; i < COMP_CWORD; i++)); do\n        case ${{COMP_WORDS[i]}} in\n            \
         {}) command=${{COMP_WORDS[i]}}; break ;;\n        esac\n    done\n    COMPREPLY=()\n    \
         case $command:$previous in\n",
        names("|")
    );
    let all =
        || serve().iter().map(|command| ("", command)).chain(COMMANDS.iter().map(|c| (c.name, c)));
    // Writing to a String cannot fail.
    for (name, command) in all() {
        for Flag { name: flag, value, choices, .. } in flags(command) {
            let _ = match (value, choices.is_empty()) {
                ("", _) => Ok(()),
                // Nothing is offered here, so that readline offers files.
                (_, true) => writeln!(text, "        {name}:--{flag}) return ;;"),
                (_, false) => {
                    writeln!(text, "        {name}:--{flag}) words='{}' ;;", choices.join(" "))
                }
            };
        }
    }
    text.push_str("    esac\n    [[ $words ]] || case $command in\n");
    for (name, command) in all() {
        let flags = flags(command).into_iter().map(|flag| format!("--{}", flag.name));
        let mut words: Vec<String> = command.words.iter().map(|word| (*word).to_owned()).collect();
        if name.is_empty() {
            words.extend([names(" "), "--version".into()]);
        }
        let words = words.into_iter().chain(flags).collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "        '{name}') words='{words}' ;;");
    }
    text.push_str(
        "    esac\n    local IFS=$' \\t\\n'\n    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n\
         complete -o default -F _modeltap modeltap\n",
    );
    text
}

/// For a text between single quotes, in shells of Bourne's kind.
fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

/// An option as `_arguments` of zsh has it.
fn zsh_flag(flag: &Flag) -> String {
    let mut help = flag.help.replace('[', "(").replace(']', ")");
    help = help.replace(':', "\\:");
    let value = flag.value.replace(':', "\\:");
    let tail = match (flag.value, flag.choices.is_empty()) {
        ("", _) => String::new(),
        (_, true) => format!(":{value}:_files"),
        (_, false) => format!(":{value}:({})", flag.choices.join(" ")),
    };
    let equals = if flag.value.is_empty() { "" } else { "=" };
    quoted(&format!("--{}{equals}[{help}]{tail}", flag.name))
}

fn zsh() -> String {
    let mut text = String::from(
        "#compdef modeltap\n_modeltap() {\n    local curcontext=$curcontext state line\n    \
         local -a commands=(\n",
    );
    for command in COMMANDS {
        let help = quoted(&command.help.replace(':', "\\:"));
        let _ = writeln!(text, "        '{}:{help}'", command.name);
    }
    text.push_str("    )\n    _arguments -C \\\n");
    for flag in serve().iter().flat_map(flags) {
        let _ = writeln!(text, "        '{}' \\", zsh_flag(&flag));
    }
    text.push_str(
        "        '--version[the version]' '1: :->command' '*:: :->rest'\n    case $state in\n        \
         command) _describe command commands ;;\n        rest) case $words[1] in\n",
    );
    for command in COMMANDS {
        let _ = write!(text, "            {}) _arguments", command.name);
        for flag in flags(command) {
            let _ = write!(text, " \\\n                '{}'", zsh_flag(&flag));
        }
        if !command.words.is_empty() {
            let _ = write!(text, " \\\n                '1: :({})'", command.words.join(" "));
        }
        text.push_str(" \\\n                '*: :_files' ;;\n");
    }
    text.push_str(
        "        esac ;;\n    esac\n}\n\
         if [[ $funcstack[1] == _modeltap ]]; then _modeltap \"$@\"; else compdef _modeltap modeltap; fi\n",
    );
    text
}

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let others: Vec<&str> = COMMANDS.iter().skip(1).map(|command| command.name).collect();
    let mut text = String::from("# modeltap completions fish\ncomplete -c modeltap -f\n");
    let none = format!("not __fish_seen_subcommand_from {}", names(" "));
    for command in COMMANDS {
        let (name, help) = (command.name, quoted(command.help));
        let _ = writeln!(text, "complete -c modeltap -n '{none}' -a {name} -d '{help}'");
    }
    let _ = writeln!(text, "complete -c modeltap -n '{none}' -l version -d 'the version'");
    for command in COMMANDS {
        let seen = match command.name {
            // Whoever names no command serves.
            "serve" => format!("not __fish_seen_subcommand_from {}", others.join(" ")),
            name => format!("__fish_seen_subcommand_from {name}"),
        };
        if !command.words.is_empty() {
            let words = command.words.join(" ");
            let _ = writeln!(text, "complete -c modeltap -n '{seen}' -a '{words}'");
        }
        for Flag { name, value, choices, help } in flags(command) {
            let takes = match (value, choices.is_empty()) {
                ("", _) => String::new(),
                (_, true) => " -r -F".into(),
                (_, false) => format!(" -x -a '{}'", choices.join(" ")),
            };
            let help = quoted(help);
            let _ = writeln!(text, "complete -c modeltap -n '{seen}' -l {name}{takes} -d '{help}'");
        }
    }
    text
}

fn powershell() -> String {
    let quoted = |text: &str| text.replace('\'', "''");
    let list = |words: &mut dyn Iterator<Item = String>| {
        words.map(|word| format!("'{}'", quoted(&word))).collect::<Vec<_>>().join(", ")
    };
    let mut text = String::from(
        "# modeltap completions powershell\nRegister-ArgumentCompleter -Native -CommandName modeltap \
         -ScriptBlock {\n    param($word, $ast, $position)\n    $words = @{\n",
    );
    let all =
        || serve().iter().map(|command| ("", command)).chain(COMMANDS.iter().map(|c| (c.name, c)));
    for (name, command) in all() {
        let own = command.words.iter().map(|word| (*word).to_owned());
        let commands = COMMANDS.iter().filter(|_| name.is_empty()).map(|c| c.name.to_owned());
        let flags = flags(command).into_iter().map(|flag| format!("--{}", flag.name));
        let _ =
            writeln!(text, "        '{name}' = @({})", list(&mut own.chain(commands).chain(flags)));
    }
    text.push_str("    }\n    $values = @{\n");
    for (name, command) in all() {
        for Flag { name: flag, choices, .. } in flags(command) {
            if !choices.is_empty() {
                let choices = list(&mut choices.iter().map(|choice| (*choice).to_owned()));
                let _ = writeln!(text, "        '{name}:--{flag}' = @({choices})");
            }
        }
    }
    text.push_str(
        "    }\n    $said = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { \"$_\" })\n    \
         if ($word -and $said.Count) { $said = @($said | Select-Object -SkipLast 1) }\n    \
         $command = \"$($said | Where-Object { $words.ContainsKey($_) } | Select-Object -First 1)\"\n    \
         $last = if ($said.Count) { $said[-1] } else { '' }\n    \
         $fits = if ($values.ContainsKey(\"${command}:$last\")) { $values[\"${command}:$last\"] } \
         else { $words[$command] }\n    \
         $fits | Where-Object { $_ -like \"$word*\" } | ForEach-Object {\n        \
         [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)\n    }\n}\n",
    );
    text
}
