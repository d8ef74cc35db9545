//! Who is measured: the floor, modeltap, and other bridges, of which three are known by name.

use crate::dialect::Dialect;
use crate::options::Options;
use crate::results::{FLOOR, MODELTAP};
use crate::subject::{Port, Subject, Way};
use std::path::PathBuf;

/// The hidden option that makes the bench its own floor.
pub const FLOOR_MODE: &str = "--floor";

/// A build of modeltap with the other engine.
const TINY: &str = "tiny_http";

/// All subjects of a run, the floor first.
///
/// # Errors
/// The bench does not find itself.
pub fn subjects(options: &Options) -> Result<Vec<Subject>, String> {
    let own = std::env::current_exe().map_err(|e| format!("the bench's own path: {e}"))?;
    let mut floor = blank(FLOOR);
    floor.command = vec![own.to_string_lossy().into_owned(), FLOOR_MODE.into()];
    floor.port = Port::Told;
    floor.ours = true;
    let mut bridge = blank(MODELTAP);
    bridge.command = vec![env!("CARGO_BIN_EXE_modeltap").into()];
    // Limits as a user sets them who has thousands of clients; the rest is as it comes.
    let settings: Vec<_> = [
        ("MODELTAP_PORT", "0"),
        ("MODELTAP_TOKENS", "none"),
        ("MODELTAP_STATE", "none"),
        ("MODELTAP_AUDIT", ""),
        ("MODELTAP_CONSENT_HOLD", "0"),
        ("MODELTAP_SAMPLING_CONCURRENCY", "8192"),
        ("MODELTAP_MAX_IN_FLIGHT", "8192"),
        ("MODELTAP_MAX_CONNECTIONS", "8192"),
        ("MODELTAP_LOG", &options.log),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    bridge.env = settings.clone();
    bridge.binary = Some(env!("CARGO_BIN_EXE_modeltap").into());
    bridge.ours = true;
    let mut all = vec![floor, bridge];
    all.extend(options.vs.iter().cloned());
    for subject in &mut all {
        if subject.name == TINY {
            subject.env.splice(..0, settings.iter().cloned());
        }
        subject.reads_stderr = options.reads_stderr;
        if subject.ways.is_empty() {
            subject.ways = match subject.ours {
                true => vec![Way::Sampling, Way::Channel],
                false => vec![Way::Sampling],
            };
        }
        if subject.dialects.is_empty() {
            subject.dialects = Dialect::ALL.into();
        }
    }
    Ok(all)
}

fn blank(name: &str) -> Subject {
    Subject {
        name: name.to_owned(),
        command: Vec::new(),
        env: Vec::new(),
        ways: Vec::new(),
        port: Port::Tool,
        dialects: Vec::new(),
        paths: Vec::new(),
        hook: None,
        waiting: 4_000,
        binary: None,
        ours: false,
        reads_stderr: false,
    }
}

/// Reads `--vs NAME=CMD`. A shell reads the command, so that it may hold quotes.
///
/// # Errors
/// What is allowed.
pub fn peer(value: &str) -> Result<Subject, String> {
    let allowed = || format!("--vs: {value:?}; allowed: NAME=CMD");
    let (name, command) = value.split_once('=').ok_or_else(allowed)?;
    if name.is_empty() || command.is_empty() || [FLOOR, MODELTAP].contains(&name) {
        return Err(allowed());
    }
    let mut peer = blank(name);
    let mut command = command.to_owned();
    match name {
        // The typewriter is off, as it is with modeltap; without that a stream takes seconds.
        "claude-channel" => {
            for (name, value) in [
                ("BRIDGE_HTTP_AUTO_START", "1"),
                ("BRIDGE_HTTP_PORT", "{port}"),
                ("BRIDGE_STREAM_EMIT_CHUNK_SIZE", "0"),
                ("BRIDGE_STREAM_EMIT_INTERVAL_MS", "0"),
                ("BRIDGE_STREAM_EMIT_PUNCT_PAUSE_MS", "0"),
            ] {
                set_env(&mut peer, name, value);
            }
            peer.ways = vec![Way::Channel];
            peer.dialects = vec![Dialect::ChatCompletions];
        }
        // It serves one request at a time, so that no thousand of them can wait at its host.
        "mcptokenbridge" => {
            command.push_str(" --host 127.0.0.1 --port {port}");
            peer.hook = Some("hook".into());
            peer.dialects = vec![Dialect::ChatCompletions, Dialect::Messages];
            peer.waiting = 1;
        }
        // Of many connections that come at once it leaves most unanswered.
        TINY => {
            peer.ways = vec![Way::Sampling, Way::Channel];
            peer.waiting = 1;
        }
        _ => {}
    }
    let first = command.split_whitespace().next().unwrap_or_default();
    peer.binary = Some(PathBuf::from(first)).filter(|path| path.is_file());
    if command.contains("{port}") {
        peer.port = Port::Given;
    }
    peer.command = match cfg!(windows) {
        true => vec!["cmd".into(), "/C".into(), command],
        false => vec!["sh".into(), "-c".into(), format!("exec {command}")],
    };
    Ok(peer)
}

fn set_env(peer: &mut Subject, name: &str, value: &str) {
    if value.contains("{port}") {
        peer.port = Port::Given;
    }
    peer.env.push((name.to_owned(), value.to_owned()));
}

/// Reads one of the options that go with a `--vs`.
///
/// # Errors
/// What is allowed.
pub fn set(peer: &mut Subject, option: &str, value: &str) -> Result<(), String> {
    let wrong = |allowed: &str| Err(format!("--{option}: {value:?}; allowed: {allowed}"));
    match option {
        "vs-env" => match value.split_once('=') {
            Some((name, value)) => set_env(peer, name, value),
            None => return wrong("K=V"),
        },
        "vs-way" => match value {
            "sampling" => peer.ways.push(Way::Sampling),
            "channel" => peer.ways.push(Way::Channel),
            _ => return wrong("sampling, channel"),
        },
        "vs-dialect" => {
            let (name, path) = value.split_once('=').unwrap_or((value, ""));
            let dialect = Dialect::ALL.into_iter().find(|dialect| dialect.name() == name);
            let Some(dialect) = dialect else {
                return wrong(&Dialect::ALL.map(Dialect::name).join(", "));
            };
            peer.dialects.push(dialect);
            if !path.is_empty() {
                peer.paths.push((dialect, path.to_owned()));
            }
        }
        "vs-hook" => peer.hook = Some(value.to_owned()),
        "vs-waiting" => match value.parse() {
            Ok(most) => peer.waiting = most,
            Err(_) => return wrong("a number"),
        },
        _ => return Err(format!("there is no option --{option}; see --help")),
    }
    Ok(())
}
