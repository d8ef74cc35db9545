//! The settings: one table gives each its flag, its names in the environment (ours, then those of
//! the two ancestors), its default and its help. `--help` and the table in the README are made from
//! it. Nothing else reads the environment.

mod sources;
mod table;
mod values;

use crate::access;
use crate::access::token_file::usual_path;
use crate::chat::OWN_MODEL;
use crate::host::Backend;
use crate::host::create_message::Preferences;
use crate::host::forward;
use crate::http::Limits;
use crate::last_host;
use crate::mcp::session::Era;
use crate::names::Names;
use crate::record::audit;
use crate::record::log::Level;
pub use sources::{Given, Source, given};
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;
pub use table::{SETTINGS, Setting, choices};
pub use values::time;

/// When stderr is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// The typewriter: streams leave in small slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// Characters in a slice; 0 leaves pieces whole.
    pub chunk: usize,
    /// Pause after each slice.
    pub interval: Duration,
    /// More pause after the end of a sentence; half of it after a comma.
    pub punctuation: Duration,
}

/// All settings.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // The table below says what each is.
pub struct Config {
    pub host: String,
    pub port: u16,
    pub auto_start: bool,
    pub timeout: Option<Duration>,
    pub drain: Duration,
    pub api_key: Option<String>,
    pub tokens: Option<PathBuf>,
    pub backend: Backend,
    pub era: Era,
    pub host_wait: Duration,
    pub lease: Duration,
    pub announce_again: u32,
    pub sampling_concurrency: usize,
    pub consent_hold: bool,
    pub round_requests: usize,
    pub pull_wait: Duration,
    pub forward: forward::Settings,
    pub names: Names,
    pub preferences: Preferences,
    pub warm_up: bool,
    pub log: Level,
    pub color: Color,
    pub events: usize,
    pub limits: Limits,
    pub in_flight: usize,
    pub message_chars: Option<usize>,
    pub keep_alive: Duration,
    pub responses_stored: usize,
    pub responses_age: Duration,
    pub access: access::Settings,
    pub health_verbose: bool,
    pub dashboard: bool,
    pub audit: audit::Settings,
    pub state: Option<PathBuf>,
    /// Claude Code says so of the processes that it starts.
    pub in_claude_code: bool,
    /// Variables that are set and keep Claude Code from having channels.
    pub hindrances: Vec<String>,
    chunk: Option<usize>,
    interval: Option<Duration>,
    punctuation: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            host: "127.0.0.1".into(),
            port: 8787,
            auto_start: true,
            timeout: Some(Duration::from_secs(180)),
            drain: Duration::from_secs(10),
            api_key: None,
            tokens: None,
            backend: Backend::Auto,
            era: Era::Auto,
            host_wait: Duration::ZERO,
            lease: Duration::from_secs(60),
            announce_again: 2,
            sampling_concurrency: 256,
            consent_hold: true,
            round_requests: 8,
            pull_wait: Duration::from_secs(45),
            forward: forward::Settings::default(),
            names: Names { listed: vec![OWN_MODEL.to_owned()], aliases: Vec::new() },
            preferences: Preferences {
                max_tokens: 16384,
                intelligence: 0.5,
                speed: 0.5,
                cost: 0.5,
            },
            warm_up: false,
            log: Level::Full,
            color: Color::Auto,
            events: 500,
            limits: Limits {
                head_bytes: 16 * 1024,
                headers: 100,
                body_bytes: 32 * 1024 * 1024,
                bodies_bytes: 256 * 1024 * 1024,
                head_time: Duration::from_secs(10),
                body_time: Duration::from_secs(60),
                idle_time: Duration::from_secs(75),
                write_time: Duration::from_secs(30),
                connections: 2048,
            },
            in_flight: 1024,
            message_chars: None,
            keep_alive: Duration::from_secs(10),
            responses_stored: 100,
            responses_age: Duration::from_secs(60 * 60),
            access: access::Settings::default(),
            health_verbose: false,
            dashboard: true,
            audit: audit::Settings::default(),
            state: None,
            in_claude_code: false,
            hindrances: Vec::new(),
            chunk: None,
            interval: None,
            punctuation: None,
        }
    }
}

impl Config {
    /// The typewriter, if any of its settings is set; the others are then as its inventor had them.
    pub fn pacing(&self) -> Option<Pacing> {
        let set = self.chunk.is_some() || self.interval.is_some() || self.punctuation.is_some();
        let chunk = self.chunk.unwrap_or(3);
        (set && chunk > 0).then(|| Pacing {
            chunk,
            interval: self.interval.unwrap_or(Duration::from_millis(28)),
            punctuation: self.punctuation.unwrap_or(Duration::from_millis(90)),
        })
    }
}

/// What keeps Claude Code from having channels: each of the first two stops the question whether they
/// are switched on (ollama/ollama#17210), with the others it does not ask Anthropic for its model.
const HINDRANCES: [&str; 5] = [
    "DISABLE_TELEMETRY",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
];

/// The settings that `flags` (name and value) and the environment give, the flags first.
///
/// # Errors
/// One line that names what cannot be understood, and what is allowed.
pub fn read(
    flags: &[(String, String)],
    env: impl Fn(&str) -> Option<String>,
) -> Result<Config, String> {
    let (config, faults) = read_all(flags, env);
    faults.into_iter().next().map_or(Ok(config), |fault| Err(fault.said))
}

/// A value that cannot be understood.
pub struct NotUnderstood {
    /// Where it was given; none where settings do not fit each other.
    pub source: Option<Source>,
    /// One line that names it, and what is allowed. No secret is in it.
    pub said: String,
}

/// The same as [`read`], going on past what cannot be understood, which has its default then.
pub fn read_all(
    flags: &[(String, String)],
    env: impl Fn(&str) -> Option<String>,
) -> (Config, Vec<NotUnderstood>) {
    let is_set =
        |name: &&&str| env(name).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"));
    let mut config = Config {
        in_claude_code: env("CLAUDECODE").is_some_and(|value| value == "1"),
        hindrances: HINDRANCES.iter().filter(is_set).map(|name| (*name).to_owned()).collect(),
        tokens: usual_path(&env),
        state: last_host::usual_path(&env),
        ..Config::default()
    };
    let mut faults = Vec::new();
    for given in given(flags, env) {
        if let Err(allowed) = (given.apply)(&mut config, &given.text) {
            let (source, text) = (given.source, &given.text);
            let said = match given.setting.is_secret() {
                true => format!("{source} is not understood; allowed: {allowed}"),
                false => format!("{source}: {text:?} is not understood; allowed: {allowed}"),
            };
            faults.push(NotUnderstood { source: Some(source), said });
        }
    }
    if config.backend == Backend::Forward && config.forward.url.is_none() {
        let said = format!("--backend forward: {}", forward::UNSET);
        faults.push(NotUnderstood { source: None, said });
    }
    (config, faults)
}

/// Where the tokens are, by the flag and the environment alone; `None`: there are to be none.
///
/// # Errors
/// What is allowed.
pub fn tokens(
    flag: Option<&str>,
    env: impl Fn(&str) -> Option<String>,
) -> Result<Option<PathBuf>, String> {
    let set = env("MODELTAP_TOKENS").filter(|value| !value.is_empty());
    match flag.or(set.as_deref()) {
        None => Ok(usual_path(env)),
        Some(value) => table::file(value).map_err(|allowed| {
            format!("--tokens: {value:?} is not understood; allowed: {allowed}")
        }),
    }
}

/// Whether the flag takes no value.
pub fn is_switch(flag: &str) -> Option<bool> {
    SETTINGS.iter().find(|setting| setting.flag == flag).map(|setting| setting.value.is_empty())
}

impl Setting {
    fn names(&self, separator: &str) -> String {
        self.env.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(separator)
    }

    fn with_value(&self) -> String {
        match self.value {
            "" => format!("--{}", self.flag),
            value => format!("--{} {value}", self.flag),
        }
    }
}

/// The settings as `--help` shows them.
pub fn help() -> String {
    let mut text = String::new();
    for setting in SETTINGS {
        let (flag, help, default) = (setting.with_value(), setting.help, setting.default);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {flag:<26} {help} [{default}]\n{:29}{}", "", setting.names(", "));
    }
    text
}

/// The settings as the README's table.
pub fn markdown() -> String {
    let mut text =
        String::from("| flag | environment | default | meaning |\n| --- | --- | --- | --- |\n");
    for setting in SETTINGS {
        let names = setting.names("`, `");
        let (flag, default, help) = (setting.with_value(), setting.default, setting.help);
        let _ = writeln!(text, "| `{flag}` | `{names}` | {default} | {help} |");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_env(pairs: &[(&str, &str)]) -> Result<Config, String> {
        read(&[], |name| {
            pairs.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn flags_go_before_our_names_and_those_before_the_ancestors() {
        let env = |name: &str| match name {
            "BRIDGE_HTTP_PORT" => Some("1".into()),
            "MODELTAP_PORT" => Some("2".into()),
            "MODELTAP_HOST" => Some(String::new()),
            _ => None,
        };
        let config = read(&[], env).unwrap();
        assert_eq!((config.port, config.host.as_str()), (2, "127.0.0.1"));
        assert_eq!(read(&[("port".into(), "3".into())], env).unwrap().port, 3);
    }

    #[test]
    fn times_are_read_in_each_names_own_unit() {
        for (name, value, seconds) in [
            ("MODELTAP_TIMEOUT", "500ms", Some(0.5)),
            ("MODELTAP_TIMEOUT", "2m", Some(120.0)),
            ("MODELTAP_TIMEOUT", "1.5", Some(1.5)),
            ("MODELTAP_TIMEOUT", "none", None),
            ("BRIDGE_CHAT_TIMEOUT_MS", "2500", Some(2.5)),
            ("MCPTB_HTTP_TIMEOUT", "30", Some(30.0)),
            ("MCPTB_HTTP_TIMEOUT", "0", None),
            ("MCPTB_HTTP_TIMEOUT", "INF", None),
        ] {
            let timeout = read_env(&[(name, value)]).unwrap().timeout;
            assert_eq!(timeout.map(|t| t.as_secs_f64()), seconds, "{name}={value}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_what_is_allowed() {
        for (name, value, allowed) in [
            ("MODELTAP_PORT", "65536", "0 to 65535"),
            ("BRIDGE_CHAT_TIMEOUT_MS", "999", "1000 to 1800000"),
            ("MODELTAP_TIMEOUT", "soon", "none"),
            ("MODELTAP_BACKEND", "magic", "auto, sampling, pull, channel, forward"),
            ("MODELTAP_FORWARD_MODELS", "gpt-4o", "GLOB=NAME"),
            ("MODELTAP_FORWARD_TIMEOUT", "0", "1ms"),
            ("MCPTB_PREF_SPEED", "1.1", "0 to 1"),
            ("BRIDGE_CORS_ORIGIN", "example.org", "https://"),
            ("BRIDGE_HTTP_AUTO_START", "maybe", "true"),
            ("MODELTAP_MAX_HEADERS", "257", "1 to 256"),
            ("MODELTAP_AUDIT_BODY", "some", "full, redacted, hash, none"),
            ("MODELTAP_AUDIT_REDACT", "a\n(b", "regular expressions"),
            ("MODELTAP_AUDIT_MAX_AGE", "0", "1s"),
        ] {
            let said = read_env(&[(name, value)]).unwrap_err();
            assert!(said.contains(name) && said.contains(allowed), "{said}");
        }
        for name in ["MODELTAP_API_KEY", "MODELTAP_FORWARD_KEY", "MODELTAP_FORWARD"] {
            let said = read_env(&[(name, " my secret")]).unwrap_err();
            assert!(said.contains(name) && !said.contains("my secret"), "{said}");
        }
    }

    #[test]
    #[cfg(not(windows))]
    fn the_tokens_are_where_the_strongest_name_says() {
        let home = ("HOME", "/h");
        for (flag, env, path) in [
            (None, &[home][..], Some("/h/.config/modeltap/tokens.json")),
            (None, &[home, ("MODELTAP_TOKENS", "")], Some("/h/.config/modeltap/tokens.json")),
            (None, &[home, ("MODELTAP_TOKENS", "/t")], Some("/t")),
            (None, &[home, ("MODELTAP_TOKENS", "none")], None),
            (Some("f"), &[home, ("MODELTAP_TOKENS", "none")], Some("f")),
            (Some("none"), &[home, ("MODELTAP_TOKENS", "/t")], None),
            (None, &[], None),
        ] {
            let path = path.map(PathBuf::from);
            let get = |name: &str| {
                env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(tokens(flag, get).unwrap(), path, "{flag:?} {env:?}");
            let flags: Vec<_> = flag.map(|f| ("tokens".into(), f.to_owned())).into_iter().collect();
            assert_eq!(read(&flags, get).unwrap().tokens, path, "{flag:?} {env:?}");
        }
        assert!(tokens(Some(""), |_| None).unwrap_err().contains("none"));
    }

    #[test]
    fn each_value_that_shells_offer_is_taken() {
        for setting in SETTINGS {
            for value in choices(setting.flag) {
                let flags = [(setting.flag.to_owned(), value.to_owned())];
                let (_, faults) = read_all(&flags, |_| None);
                let fault = faults.into_iter().find(|fault| fault.source.is_some());
                assert!(fault.is_none(), "--{} {value}", setting.flag);
            }
        }
    }

    #[test]
    fn the_typewriter_is_off_unless_set() {
        assert_eq!(read_env(&[]).unwrap().pacing(), None);
        assert_eq!(read_env(&[("BRIDGE_STREAM_EMIT_CHUNK_SIZE", "0")]).unwrap().pacing(), None);
        let paced = read_env(&[("BRIDGE_STREAM_EMIT_INTERVAL_MS", "5")]).unwrap().pacing().unwrap();
        assert_eq!((paced.chunk, paced.interval.as_millis()), (3, 5));
    }
}
