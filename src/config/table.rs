//! The table of settings, and which field each one sets.

use super::values::{
    DAY, FROM_1_MS, fraction, millis, names, one_of, pairs, time, time_or_none, truth, whole,
};
use super::{Color, Config};
use crate::access::cidr::Cidr;
use crate::access::sites::Origins;
use crate::host::Backend;
use crate::host::forward::{Key, Url};
use crate::http::native::MOST_HEADERS;
use crate::mcp::session::Era;
use crate::record::audit::POLICIES;
use crate::record::log::Level;
use regex_lite::Regex;
use std::path::PathBuf;
use std::time::Duration;

/// Sets a field from text; an error says what is allowed.
pub type Apply = fn(&mut Config, &str) -> Result<(), String>;

/// One setting.
pub struct Setting {
    /// The flag without its dashes.
    pub flag: &'static str,
    /// What stands behind the flag in the help; empty for a switch, which may also be given `=0`.
    pub value: &'static str,
    /// Names in the environment, the strongest first. Each reads its text in its own unit.
    pub env: &'static [(&'static str, Apply)],
    /// The default as people write it.
    pub default: &'static str,
    /// What it is for, and its range.
    pub help: &'static str,
}

/// The settings, in the order in which people read about them.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    Setting { flag: "host", value: "ADDRESS", default: "127.0.0.1",
        env: &[("MODELTAP_HOST", host), ("BRIDGE_HTTP_HOST", host)],
        help: "address or name to listen on, of either family" },
    Setting { flag: "port", value: "PORT", default: "8787",
        env: &[("MODELTAP_PORT", port), ("BRIDGE_HTTP_PORT", port)],
        help: "port to listen on, 0 to 65535; 0 takes a free one" },
    Setting { flag: "http-auto-start", value: "BOOL", default: "1",
        env: &[("MODELTAP_HTTP_AUTO_START", auto_start), ("BRIDGE_HTTP_AUTO_START", auto_start)],
        help: "listen from the start; 0 leaves it to the tool http_server_start" },
    Setting { flag: "timeout", value: "TIME", default: "180s",
        env: &[("MODELTAP_TIMEOUT", |c, v| set(&mut c.timeout, time_or_none(v))),
            ("BRIDGE_CHAT_TIMEOUT_MS", |c, v| set(&mut c.timeout, millis(v, 1000, 1_800_000).map(Some))),
            ("MCPTB_HTTP_TIMEOUT", |c, v| set(&mut c.timeout, time_or_none(v)))],
        help: "wait for an answer; a stream's wait starts anew at each piece; none waits for ever" },
    Setting { flag: "drain", value: "TIME", default: "10s",
        env: &[("MODELTAP_DRAIN", |c, v| set(&mut c.drain, time(v, Duration::ZERO, DAY)))],
        help: "after SIGTERM, for requests under way to end: half of it all is served while /ready says 503, then what comes is refused with 503; 0 ends at once" },
    Setting { flag: "api-key", value: "KEY", default: "none",
        env: &[("MODELTAP_API_KEY", api_key), ("BRIDGE_API_KEY", api_key)],
        help: "ask clients for this key on /v1/* (better set in the environment, where ps does not show it)" },
    Setting { flag: "tokens", value: "FILE", default: "~/.config/modeltap/tokens.json",
        env: &[("MODELTAP_TOKENS", |c, v| set(&mut c.tokens, file(v)))],
        help: "tokens that clients are asked for if it lists any (see modeltap token --help), below $XDG_CONFIG_HOME where that is set, on Windows below %APPDATA%; none has none" },
    Setting { flag: "backend", value: "WAY", default: "auto",
        env: &[("MODELTAP_BACKEND", |c, v| set(&mut c.backend, one_of(v, BACKENDS)))],
        help: "way to the model: auto (the first that is there), sampling, pull, channel or forward" },
    Setting { flag: "era", value: "ERA", default: "auto",
        env: &[("MODELTAP_ERA", |c, v| set(&mut c.era, one_of(v, ERAS)))],
        help: "MCP era to speak: auto, legacy (up to 2025-11-25) or modern (2026-07-28)" },
    Setting { flag: "host-wait", value: "TIME", default: "0",
        env: &[("MODELTAP_HOST_WAIT", |c, v| set(&mut c.host_wait, time(v, Duration::ZERO, DAY)))],
        help: "how long a request waits for a host when none is there, before its 503" },
    Setting { flag: "lease", value: "TIME", default: "60s",
        env: &[("MODELTAP_LEASE", |c, v| set(&mut c.lease, time(v, FROM_1_MS, DAY)))],
        help: "how long a host may hold a request (an event, a pull, a round) before it is offered again, also to others" },
    Setting { flag: "announce-again", value: "N", default: "2",
        env: &[("MODELTAP_ANNOUNCE_AGAIN", |c, v| set(&mut c.announce_again, whole(v, 0, 1000)))],
        help: "how often a request is offered again that a host did not answer" },
    Setting { flag: "sampling-concurrency", value: "N", default: "256",
        env: &[("MODELTAP_SAMPLING_CONCURRENCY", |c, v| set(&mut c.sampling_concurrency, whole(v, 1, 1 << 20)))],
        help: "sampling requests that the host has at once; others wait their turn" },
    Setting { flag: "consent-hold", value: "BOOL", default: "1",
        env: &[("MODELTAP_CONSENT_HOLD", |c, v| set(&mut c.consent_hold, truth(v)))],
        help: "until a session's first sampling request has succeeded, send one at a time: hosts ask for consent at each" },
    Setting { flag: "round-requests", value: "N", default: "8",
        env: &[("MODELTAP_ROUND_REQUESTS", |c, v| set(&mut c.round_requests, whole(v, 1, 1024)))],
        help: "most requests in one round of a modern hook" },
    Setting { flag: "pull-wait", value: "TIME", default: "45s",
        env: &[("MODELTAP_PULL_WAIT", |c, v| set(&mut c.pull_wait, time(v, FROM_1_MS, DAY)))],
        help: "how long next_request, or a round of a modern hook, waits for requests" },
    Setting { flag: "forward", value: "URL", default: "none",
        env: &[("MODELTAP_FORWARD", |c, v| set(&mut c.forward.url, Url::read(v).map(Some)))],
        help: "OpenAI-compatible endpoint, such as http://127.0.0.1:11434/v1, to ask when no host has a model to lend" },
    Setting { flag: "forward-key", value: "KEY", default: "none",
        env: &[("MODELTAP_FORWARD_KEY", |c, v| set(&mut c.forward.key, Key::read(v).map(Some)))],
        help: "key for that endpoint (better set in the environment, where ps does not show it)" },
    Setting { flag: "forward-models", value: "GLOB=NAME", default: "none",
        env: &[("MODELTAP_FORWARD_MODELS", |c, v| set(&mut c.forward.models, pairs(v, "NAME")))],
        help: "that endpoint's names for models, separated by commas, such as *=llama3; others go as they are" },
    Setting { flag: "forward-timeout", value: "TIME", default: "120s",
        env: &[("MODELTAP_FORWARD_TIMEOUT", |c, v| set(&mut c.forward.silence, time(v, FROM_1_MS, DAY)))],
        help: "for that endpoint to be silent" },
    Setting { flag: "forward-connect-timeout", value: "TIME", default: "10s",
        env: &[("MODELTAP_FORWARD_CONNECT_TIMEOUT", |c, v| set(&mut c.forward.connect, time(v, FROM_1_MS, DAY)))],
        help: "for that endpoint to be reached" },
    Setting { flag: "models", value: "NAMES", default: "modeltap",
        env: &[("MODELTAP_MODELS", |c, v| set(&mut c.names.listed, names(v)))],
        help: "models that /v1/models lists, separated by commas; any other name is accepted too" },
    Setting { flag: "aliases", value: "GLOB=HINT", default: "none",
        env: &[("MODELTAP_ALIASES", |c, v| set(&mut c.names.aliases, pairs(v, "HINT")))],
        help: "what the host is told for a model, separated by commas, such as gpt-*=claude-sonnet" },
    Setting { flag: "max-tokens", value: "N", default: "16384",
        env: &[("MODELTAP_MAX_TOKENS", max_tokens), ("MCPTB_MAX_TOKENS", max_tokens)],
        help: "limit of an answer whose client set none" },
    Setting { flag: "pref-intelligence", value: "0..1", default: "0.5",
        env: &[("MODELTAP_PREF_INTELLIGENCE", intelligence), ("MCPTB_PREF_INTELLIGENCE", intelligence)],
        help: "what the host is told to weigh when it picks a model: intelligence" },
    Setting { flag: "pref-speed", value: "0..1", default: "0.5",
        env: &[("MODELTAP_PREF_SPEED", speed), ("MCPTB_PREF_SPEED", speed)],
        help: "likewise: speed" },
    Setting { flag: "pref-cost", value: "0..1", default: "0.5",
        env: &[("MODELTAP_PREF_COST", cost), ("MCPTB_PREF_COST", cost)],
        help: "likewise: cost" },
    Setting { flag: "warmup", value: "", default: "0",
        env: &[("MODELTAP_WARMUP", |c, v| set(&mut c.warm_up, truth(v)))],
        help: "serve only after a one-token sample has come through an open hook" },
    Setting { flag: "log", value: "LEVEL", default: "full",
        env: &[("MODELTAP_LOG", |c, v| set(&mut c.log, one_of(v, LEVELS)))],
        help: "requests and answers on stderr: full, brief (without their text) or off" },
    Setting { flag: "color", value: "WHEN", default: "auto",
        env: &[("MODELTAP_COLOR", |c, v| set(&mut c.color, one_of(v, COLORS))),
            ("MCPTB_FORCE_COLOR", |c, v| colored(c, v, Color::Always)),
            ("MCPTB_NO_COLOR", |c, v| colored(c, v, Color::Never)),
            ("NO_COLOR", |c, _| { c.color = Color::Never; Ok(()) })],
        help: "colours on stderr: auto (on a terminal), always or never" },
    Setting { flag: "debug-events", value: "N", default: "500",
        env: &[("MODELTAP_DEBUG_EVENTS", events), ("BRIDGE_CHANNEL_DEBUG_MAX_EVENTS", events)],
        help: "recent events kept for channel_debug_events, 1 to 100000" },
    Setting { flag: "stream-chunk-size", value: "CHARS", default: "off",
        env: &[("MODELTAP_STREAM_CHUNK_SIZE", chunk), ("BRIDGE_STREAM_EMIT_CHUNK_SIZE", chunk)],
        help: "typewriter: slice streams, 0 to 1024 characters, 0 is whole; any of the three sets the others to 3, 28ms, 90ms" },
    Setting { flag: "stream-interval", value: "TIME", default: "off",
        env: &[("MODELTAP_STREAM_INTERVAL", |c, v| set(&mut c.interval, time(v, Duration::ZERO, TEN).map(Some))),
            ("BRIDGE_STREAM_EMIT_INTERVAL_MS", |c, v| set(&mut c.interval, millis(v, 0, 10_000).map(Some)))],
        help: "typewriter: pause after each slice, up to 10s" },
    Setting { flag: "stream-punct-pause", value: "TIME", default: "off",
        env: &[("MODELTAP_STREAM_PUNCT_PAUSE", |c, v| set(&mut c.punctuation, time(v, Duration::ZERO, TEN).map(Some))),
            ("BRIDGE_STREAM_EMIT_PUNCT_PAUSE_MS", |c, v| set(&mut c.punctuation, millis(v, 0, 10_000).map(Some)))],
        help: "typewriter: more pause after a sentence, half of it after a comma, up to 10s" },
    Setting { flag: "keep-alive", value: "TIME", default: "10s",
        env: &[("MODELTAP_KEEP_ALIVE", |c, v| set(&mut c.keep_alive, time(v, FROM_1_MS, DAY)))],
        help: "comment line in a stream that is silent for so long" },
    Setting { flag: "max-message-chars", value: "CHARS", default: "none",
        env: &[("MODELTAP_MAX_MESSAGE_CHARS", chars), ("BRIDGE_MAX_MESSAGE_CHARS", chars)],
        help: "refuse longer messages with 400, 100 to 1000000 characters" },
    Setting { flag: "max-body", value: "BYTES", default: "33554432",
        env: &[("MODELTAP_MAX_BODY", |c, v| set(&mut c.limits.body_bytes, whole(v, 1024, 1 << 32))),
            ("BRIDGE_MAX_REQUEST_BYTES", |c, v| set(&mut c.limits.body_bytes, whole(v, 1024, 64 << 20)))],
        help: "largest request body, else 413" },
    Setting { flag: "max-body-memory", value: "BYTES", default: "268435456",
        env: &[("MODELTAP_MAX_BODY_MEMORY", |c, v| set(&mut c.limits.bodies_bytes, whole(v, 1024, 1 << 40)))],
        help: "request bodies over 64 KiB together, as they are read and answered, at least one of the largest; else 503" },
    Setting { flag: "max-head", value: "BYTES", default: "16384",
        env: &[("MODELTAP_MAX_HEAD", |c, v| set(&mut c.limits.head_bytes, whole(v, 256, 1 << 20)))],
        help: "largest request line and headers, else 431" },
    Setting { flag: "max-headers", value: "N", default: "100",
        env: &[("MODELTAP_MAX_HEADERS", |c, v| set(&mut c.limits.headers, whole(v, 1, MOST_HEADERS as u64)))],
        help: "most request headers, 1 to 256, else 431" },
    Setting { flag: "head-timeout", value: "TIME", default: "10s",
        env: &[("MODELTAP_HEAD_TIMEOUT", |c, v| set(&mut c.limits.head_time, time(v, FROM_1_MS, DAY)))],
        help: "for a request's headers to arrive, else 408" },
    Setting { flag: "body-timeout", value: "TIME", default: "60s",
        env: &[("MODELTAP_BODY_TIMEOUT", |c, v| set(&mut c.limits.body_time, time(v, FROM_1_MS, DAY)))],
        help: "for a request's body to arrive, else 408" },
    Setting { flag: "idle-timeout", value: "TIME", default: "75s",
        env: &[("MODELTAP_IDLE_TIMEOUT", |c, v| set(&mut c.limits.idle_time, time(v, FROM_1_MS, DAY)))],
        help: "for a kept connection without a request" },
    Setting { flag: "write-timeout", value: "TIME", default: "30s",
        env: &[("MODELTAP_WRITE_TIMEOUT", |c, v| set(&mut c.limits.write_time, time(v, FROM_1_MS, DAY)))],
        help: "for a client that takes nothing of its answer" },
    Setting { flag: "max-connections", value: "N", default: "2048",
        env: &[("MODELTAP_MAX_CONNECTIONS", |c, v| set(&mut c.limits.connections, whole(v, 1, 1 << 20)))],
        help: "open connections; then the longest idle makes room, else 503" },
    Setting { flag: "max-in-flight", value: "N", default: "1024",
        env: &[("MODELTAP_MAX_IN_FLIGHT", |c, v| set(&mut c.in_flight, whole(v, 1, 1 << 20)))],
        help: "requests that wait for the model at once, else 503" },
    Setting { flag: "responses-stored", value: "N", default: "100",
        env: &[("MODELTAP_RESPONSES_STORED", |c, v| set(&mut c.responses_stored, whole(v, 0, 100_000)))],
        help: "answers of /v1/responses kept in memory for previous_response_id, up to 64 MiB; 0 keeps none" },
    Setting { flag: "responses-age", value: "TIME", default: "1h",
        env: &[("MODELTAP_RESPONSES_AGE", |c, v| set(&mut c.responses_age, time(v, FROM_1_MS, DAY)))],
        help: "how long each is kept" },
    Setting { flag: "cors-origin", value: "ORIGIN", default: "none",
        env: &[("MODELTAP_CORS_ORIGIN", cors), ("BRIDGE_CORS_ORIGIN", cors)],
        help: "let pages of these origins, separated by commas, or of any with *, use the API" },
    Setting { flag: "allow-hosts", value: "NAMES", default: "none",
        env: &[("MODELTAP_ALLOW_HOSTS", allow_hosts)],
        help: "names, separated by commas, under which clients may ask besides localhost and loopback addresses (and, listening elsewhere, any address)" },
    Setting { flag: "trust-proxy", value: "CIDR", default: "none",
        env: &[("MODELTAP_TRUST_PROXY", |c, v| set(&mut c.access.proxies, ranges(v)))],
        help: "reverse proxies, as addresses or ranges separated by commas, whose X-Forwarded-For is believed" },
    Setting { flag: "rate-limit", value: "RATE", default: "none",
        env: &[("MODELTAP_RATE_LIMIT", |c, v| set(&mut c.access.rate, v.parse().map(Some)))],
        help: "how often each address may ask the model without a token, as 60/min, 5/s, 100/h, 1000/day or 60 (a minute), else 429" },
    Setting { flag: "wait", value: "TIME", default: "0",
        env: &[("MODELTAP_WAIT", |c, v| set(&mut c.access.wait, time(v, Duration::ZERO, DAY)))],
        help: "how long a request waits for its limit of rate or concurrency to let it in, before its 429" },
    Setting { flag: "health-verbose", value: "", default: "0",
        env: &[("MODELTAP_HEALTH_VERBOSE", health), ("BRIDGE_HEALTH_VERBOSE", health)],
        help: "/health tells service, host, port, timeout, and whether a key is set" },
    Setting { flag: "dashboard", value: "BOOL", default: "1",
        env: &[("MODELTAP_DASHBOARD", |c, v| set(&mut c.dashboard, truth(v)))],
        help: "show at / what the bridge is doing; with keys, only who may do all sees it" },
    Setting { flag: "audit", value: "FILE", default: "none",
        env: &[("MODELTAP_AUDIT", audit_file)],
        help: "write who asked what, and what came back, to this file; modeltap audit reads it" },
    Setting { flag: "audit-required", value: "", default: "0",
        env: &[("MODELTAP_AUDIT_REQUIRED", |c, v| set(&mut c.audit.required, truth(v)))],
        help: "refuse requests with 503 while that file cannot be written" },
    Setting { flag: "audit-body", value: "POLICY", default: "redacted",
        env: &[("MODELTAP_AUDIT_BODY", |c, v| set(&mut c.audit.body, one_of(v, POLICIES)))],
        help: "how much of bodies it holds: full, redacted (without keys, passwords and files), hash or none" },
    Setting { flag: "audit-redact", value: "REGEX", default: "none",
        env: &[("MODELTAP_AUDIT_REDACT", audit_redact)],
        help: "what else is redacted; each flag, and each line of the variable, adds a pattern" },
    Setting { flag: "audit-max-size", value: "BYTES", default: "104857600",
        env: &[("MODELTAP_AUDIT_MAX_SIZE", |c, v| set(&mut c.audit.max_size, whole(v, 4096, 1 << 50)))],
        help: "begin a new audit file behind so many bytes, from 4096; the full one becomes FILE.1, that FILE.2" },
    Setting { flag: "audit-max-age", value: "TIME", default: "none",
        env: &[("MODELTAP_AUDIT_MAX_AGE", audit_age)],
        help: "and behind so long a time, from 1s" },
    Setting { flag: "audit-keep", value: "N", default: "10",
        env: &[("MODELTAP_AUDIT_KEEP", |c, v| set(&mut c.audit.keep, whole(v, 0, 1 << 20)))],
        help: "full audit files that are kept; 0 keeps all" },
    Setting { flag: "state", value: "FILE", default: "~/.local/state/modeltap/last-host.json",
        env: &[("MODELTAP_STATE", |c, v| set(&mut c.state, file(v)))],
        help: "what the last host declared, written for modeltap doctor, below $XDG_STATE_HOME where that is set, on Windows below %LOCALAPPDATA%; none writes nothing" },
];

const TEN: Duration = Duration::from_secs(10);
const BACKENDS: &[(&str, Backend)] = &[
    ("auto", Backend::Auto),
    ("sampling", Backend::Sampling),
    ("pull", Backend::Pull),
    ("channel", Backend::Channel),
    ("forward", Backend::Forward),
];
const ERAS: &[(&str, Era)] =
    &[("auto", Era::Auto), ("legacy", Era::Legacy), ("modern", Era::Modern)];
const LEVELS: &[(&str, Level)] =
    &[("full", Level::Full), ("brief", Level::Brief), ("off", Level::Off)];
const COLORS: &[(&str, Color)] =
    &[("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];

/// The values that a setting takes, where these are few.
pub fn choices(flag: &str) -> Vec<&'static str> {
    fn names<T>(known: &[(&'static str, T)]) -> Vec<&'static str> {
        known.iter().map(|(name, _)| *name).collect()
    }
    match flag {
        "backend" => names(BACKENDS),
        "era" => names(ERAS),
        "log" => names(LEVELS),
        "color" => names(COLORS),
        "audit-body" => names(POLICIES),
        "http-auto-start" | "consent-hold" => vec!["1", "0"],
        _ => Vec::new(),
    }
}

fn host(config: &mut Config, value: &str) -> Result<(), String> {
    config.host = value.to_owned();
    Ok(())
}
fn port(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.port, whole(value, 0, 65535))
}
fn auto_start(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.auto_start, truth(value))
}
fn api_key(config: &mut Config, value: &str) -> Result<(), String> {
    if value.trim() != value || value.contains(char::is_control) {
        return Err("a key without blanks at its ends".into());
    }
    config.api_key = Some(value.to_owned());
    Ok(())
}
/// A file that need not be there, or none.
pub(super) fn file(value: &str) -> Result<Option<PathBuf>, String> {
    match value {
        "" => Err("a file, or none".into()),
        "none" => Ok(None),
        path => Ok(Some(path.into())),
    }
}
fn max_tokens(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.preferences.max_tokens, whole(value, 1, 1 << 53))
}
fn intelligence(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.preferences.intelligence, fraction(value))
}
fn speed(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.preferences.speed, fraction(value))
}
fn cost(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.preferences.cost, fraction(value))
}
fn colored(config: &mut Config, value: &str, color: Color) -> Result<(), String> {
    if truth(value)? {
        config.color = color;
    }
    Ok(())
}
fn events(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.events, whole(value, 1, 100_000))
}
fn chunk(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.chunk, whole(value, 0, 1024).map(Some))
}
fn chars(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.message_chars, whole(value, 100, 1_000_000).map(Some))
}
fn cors(config: &mut Config, value: &str) -> Result<(), String> {
    if value == "*" {
        config.access.sites.origins = Origins::Any;
        return Ok(());
    }
    let is_origin = |origin: &&str| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*']))
            && origin.bytes().all(|b| b.is_ascii_graphic())
    };
    // Whoever copies an address from a browser has the slash behind it.
    let origins: Vec<&str> = value.split(',').map(|o| o.trim().trim_end_matches('/')).collect();
    if !origins.iter().all(is_origin) {
        return Err("origins such as https://example.org, separated by commas, or *".into());
    }
    let listed = origins.into_iter().map(str::to_owned).collect();
    config.access.sites.origins = Origins::Listed(listed);
    Ok(())
}
fn allow_hosts(config: &mut Config, value: &str) -> Result<(), String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let names: Vec<String> =
        value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    match names.iter().all(|name| !name.is_empty() && name.chars().all(is_name)) {
        true => {
            config.access.sites.names = names;
            Ok(())
        }
        false => Err("names of hosts without ports, separated by commas".into()),
    }
}
fn ranges(value: &str) -> Result<Vec<Cidr>, String> {
    value.split(',').map(|range| range.trim().parse()).collect()
}
fn health(config: &mut Config, value: &str) -> Result<(), String> {
    set(&mut config.health_verbose, truth(value))
}

fn audit_file(config: &mut Config, value: &str) -> Result<(), String> {
    config.audit.file = Some(value.into());
    Ok(())
}
fn audit_redact(config: &mut Config, value: &str) -> Result<(), String> {
    for pattern in value.lines().filter(|line| !line.is_empty()) {
        let pattern = Regex::new(pattern).map_err(|e| format!("regular expressions; {e}"))?;
        config.audit.patterns.push(pattern);
    }
    Ok(())
}
fn audit_age(config: &mut Config, value: &str) -> Result<(), String> {
    let age = match value {
        "none" => Ok(None),
        _ => time(value, Duration::from_secs(1), 3650 * DAY).map(Some),
    };
    set(&mut config.audit.max_age, age.map_err(|allowed| format!("{allowed}; or none")))
}

fn set<T>(field: &mut T, value: Result<T, String>) -> Result<(), String> {
    *field = value?;
    Ok(())
}
