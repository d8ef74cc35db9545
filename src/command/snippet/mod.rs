//! `modeltap snippet`: ready settings for hosts and clients, printed or put into their files.

mod code;
mod diff;
mod edit;
mod given;
mod install;
mod json_edit;
mod jsonc;
mod places;
mod table;
mod toml;
mod tree;
mod yaml;

use super::{Fault, note, shown};
use crate::config;
use given::Given;
use install::{Change, Target};
use lexopt::{Arg, Parser, ValueExt};
use places::Os;
use std::io::{IsTerminal, Write, stderr, stdin};
use std::path::{Path, PathBuf};
use table::{File, Key, Role, Snippet, TABLE};

const USAGE: &str = "\
Ready settings for a host (which starts modeltap and lends its model) or a client (which asks it).

Usage: modeltap snippet NAME [OPTIONS]             print it
       modeltap snippet NAME --install [OPTIONS]   put it where that host or client keeps it
       modeltap snippet NAME --remove [OPTIONS]    take it out again
       modeltap snippet --list                     all names, and their files

What is printed goes to standard output, and what to do with it to standard error. --install shows the
change and asks first; it keeps all else in the file, and a copy of it beside. --remove brings back
what was there, byte for byte unless somebody else has changed the file meanwhile.

  --project    the project's file, in this folder, instead of the user's own
  --file PATH  another file
  --yes        do not ask
  --force      replace, or take out, also what is not of modeltap

All options of modeltap itself are taken, too (see modeltap --help): what they or the environment set
goes into the settings of a host, so that it starts the bridge with it; clients are told the address.
Keys are named by their variables (MODELTAP_API_KEY), and never written.
";

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Print,
    List,
    Install,
    Remove,
}

/// What the command line says.
struct Asked {
    snippet: Option<&'static Snippet>,
    action: Action,
    project: bool,
    file: Option<PathBuf>,
    yes: bool,
    force: bool,
    flags: Vec<(String, String)>,
}

/// The names, for shells.
pub const NAMES: [&str; TABLE.len()] = {
    let mut names = [""; TABLE.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = TABLE[at].name;
        at += 1;
    }
    names
};

/// Runs what the rest of the command line asks for.
///
/// # Errors
/// Why it was not done.
pub fn run(args: Parser) -> Result<(), Fault> {
    let Some(asked) = read(args)? else { return shown(USAGE) };
    let snippet = match asked.snippet {
        _ if asked.action == Action::List => return shown(&list()),
        Some(snippet) => snippet,
        None => return Err(usage(format!("which one? {}", names()))),
    };
    let binary = std::env::current_exe()
        .map_err(|e| Fault::Failed(format!("where modeltap is, is not known: {e}")))?;
    let binary =
        binary.to_str().ok_or_else(|| Fault::Failed("the path of modeltap is not UTF-8".into()))?;
    let given = Given::read(binary.to_owned(), &asked.flags, env).map_err(usage)?;
    if snippet.role == Role::Client && !given.has_address() {
        return Err(usage(
            "port 0 takes a free one, which no client knows: set --port, or MODELTAP_PORT".into(),
        ));
    }
    match asked.action {
        Action::Install | Action::Remove => change(&asked, snippet, &given),
        _ => show(snippet, &given),
    }
}

/// `None` where help is asked for.
fn read(mut args: Parser) -> Result<Option<Asked>, Fault> {
    let unread = |e: lexopt::Error| usage(format!("{e}; see modeltap snippet --help"));
    let mut asked = Asked {
        snippet: None,
        action: Action::Print,
        project: false,
        file: None,
        yes: false,
        force: false,
        flags: Vec::new(),
    };
    let act = |asked: &mut Asked, action| match asked.action {
        Action::Print => {
            asked.action = action;
            Ok(())
        }
        _ => Err(usage("one of --list, --install and --remove is enough".into())),
    };
    while let Some(arg) = args.next().map_err(unread)? {
        match arg {
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long("list") => act(&mut asked, Action::List)?,
            Arg::Long("install") => act(&mut asked, Action::Install)?,
            Arg::Long("remove") => act(&mut asked, Action::Remove)?,
            Arg::Long("project") => asked.project = true,
            Arg::Long("file") => asked.file = Some(args.value().map_err(unread)?.into()),
            Arg::Long("yes") | Arg::Short('y') => asked.yes = true,
            Arg::Long("force") => asked.force = true,
            Arg::Long(flag) => {
                let flag = flag.to_owned();
                let value = match config::is_switch(&flag) {
                    None => {
                        return Err(usage(format!(
                            "there is no option --{flag}; see modeltap snippet --help"
                        )));
                    }
                    Some(true) => args.optional_value().unwrap_or_else(|| "1".into()),
                    Some(false) => args.value().map_err(unread)?,
                };
                asked.flags.push((flag, value.string().map_err(unread)?));
            }
            Arg::Value(name) if asked.snippet.is_none() => {
                let name = name.string().map_err(unread)?;
                let snippet = table::named(&name.to_ascii_lowercase());
                asked.snippet =
                    Some(snippet.ok_or_else(|| {
                        usage(format!("there is none for {name:?}; {}", names()))
                    })?);
            }
            other => return Err(unread(other.unexpected())),
        }
    }
    let writes = matches!(asked.action, Action::Install | Action::Remove);
    if !writes && (asked.project || asked.file.is_some() || asked.yes || asked.force) {
        return Err(usage(
            "--project, --file, --yes and --force belong to --install or --remove".into(),
        ));
    }
    if asked.project && asked.file.is_some() {
        return Err(usage("--project or --file, not both".into()));
    }
    Ok(Some(asked))
}

fn usage(said: String) -> Fault {
    Fault::Usage(format!("snippet: {said}"))
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn names() -> String {
    let of = |role| {
        let names = TABLE.iter().filter(|snippet| snippet.role == role).map(|snippet| snippet.name);
        names.collect::<Vec<_>>().join(", ")
    };
    format!("hosts: {}; clients: {}", of(Role::Host), of(Role::Client))
}

fn list() -> String {
    let mut text = format!("{:<19} {:<7} {:<31} {}\n", "NAME", "KIND", "FOR", "FILES OF --install");
    for snippet in TABLE {
        let kind = match snippet.role {
            Role::Host => "host",
            Role::Client => "client",
        };
        let files = snippet.files.iter().map(|file| match file.place.user(Os::here(), env) {
            Some(path) => path.display().to_string(),
            None => "--file PATH".into(),
        });
        let files = match snippet.files {
            [] => "(code)".to_owned(),
            _ => files.collect::<Vec<_>>().join(", "),
        };
        text += &format!("{:<19} {kind:<7} {:<31} {files}\n", snippet.name, snippet.who);
    }
    text
}

/// Prints it, and what to do with it.
fn show(snippet: &Snippet, given: &Given) -> Result<(), Fault> {
    let text = match (snippet.code, snippet.files.first()) {
        (Some(code), _) => given.fill(code),
        (None, Some(file)) => whole(snippet, file, given)?,
        (None, None) => String::new(),
    };
    note(&given.fill(snippet.paste));
    tell_keys(snippet, given);
    shown(&text)
}

/// A file as it would be if there was nothing else in it.
fn whole(snippet: &Snippet, file: &File, given: &Given) -> Result<String, Fault> {
    given.puts(snippet, file).iter().try_fold(String::new(), |text, put| {
        edit::put(file.format, &text, put).map_err(|fault| Fault::Failed(fault.to_string()))
    })
}

/// Tells what a host needs so that the bridge has its keys.
fn tell_keys(snippet: &Snippet, given: &Given) {
    if snippet.role == Role::Client || given.secrets().is_empty() {
        return;
    }
    let names = given.secrets().join(" and ");
    note(&match snippet.key {
        Key::Nowhere => format!(
            "{} hands no variables on, and a key does not belong into its file: use modeltap token add \
             instead of {names}.",
            snippet.who
        ),
        _ => format!("Start {} where {names} is set: the bridge has it from there.", snippet.who),
    });
}

fn change(asked: &Asked, snippet: &Snippet, given: &Given) -> Result<(), Fault> {
    let remove = asked.action == Action::Remove;
    let targets = targets(asked, snippet, given)?;
    let mut changes = Vec::<Change>::new();
    for target in &targets {
        let change = if remove { target.remove(asked.force) } else { target.install(asked.force) };
        changes.extend(change.map_err(Fault::Failed)?);
    }
    if changes.is_empty() {
        let files: Vec<_> =
            targets.iter().map(|target| target.path.display().to_string()).collect();
        let files = files.join(" and ");
        note(&match remove {
            true => format!("{files}: there is nothing of modeltap to take out"),
            false => format!("{files}: it is there already"),
        });
        return Ok(());
    }
    for change in &changes {
        let _ = stderr().write_all(change.shown().as_bytes());
    }
    confirm(asked, if remove { "Remove?" } else { "Install?" })?;
    for change in &changes {
        let copy = change.write().map_err(Fault::Failed)?;
        let copy = copy.map(|copy| format!("; a copy of what was there is {}", copy.display()));
        let done = match remove {
            true if change.ends_file() => "held nothing else, and is removed",
            true => "holds nothing of it any more",
            false => "is written",
        };
        note(&format!("{} {done}{}", change.path().display(), copy.unwrap_or_default()));
    }
    if !remove {
        note(&given.fill(snippet.then));
        if asked.file.is_some() && snippet.files.len() > 1 {
            note(
                "Only that file was written; modeltap snippet, without --install, shows what else there is to say.",
            );
        }
        tell_keys(snippet, given);
    }
    Ok(())
}

/// The files, with what belongs into each.
fn targets(asked: &Asked, snippet: &Snippet, given: &Given) -> Result<Vec<Target>, Fault> {
    if snippet.files.is_empty() {
        return Err(usage(format!("{} {}", snippet.name, snippet.then)));
    }
    let target = |file: &File, path: PathBuf| Target {
        path,
        format: file.format,
        puts: given.puts(snippet, file),
        private: !asked.project,
    };
    if let (Some(path), Some(file)) = (&asked.file, snippet.files.first()) {
        return Ok(vec![target(file, path.clone())]);
    }
    let place = |file: &File| match asked.project {
        true => file.place.project.map(|path| Path::new(".").join(path)).ok_or_else(|| {
            usage(format!(
                "{} has no file of a project; leave --project out, or give --file PATH",
                snippet.who
            ))
        }),
        false => file.place.user(Os::here(), env).ok_or_else(|| {
            let why = match file.place.words(Os::here()) {
                "" => "has no usual file",
                _ => "keeps its file below your home, which the environment does not name",
            };
            usage(format!("{} {why}; give --file PATH", snippet.who))
        }),
    };
    snippet.files.iter().map(|file| Ok(target(file, place(file)?))).collect()
}

/// Lets somebody who can be asked say no.
fn confirm(asked: &Asked, question: &str) -> Result<(), Fault> {
    if asked.yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(usage(
            "nobody can be asked here, so that nothing was changed; give --yes".into(),
        ));
    }
    let _ = write!(stderr(), "{question} [y/N] ").and_then(|()| stderr().flush());
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" if read.is_ok() => Ok(()),
        _ => Err(Fault::Failed("nothing was changed".into())),
    }
}
