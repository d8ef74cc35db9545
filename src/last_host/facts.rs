//! What is known of a host, as it stands in the file.

use crate::access::shared_file::{Fault, SharedFile};
use crate::mcp::session::MODERN;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The form of the file.
pub const VERSION: u32 = 1;

/// Where the file is unless a setting says it, by the environment; `None` where that names no home:
/// `XDG_STATE_HOME` or `HOME` (XDG Base Directory Specification), on Windows `LOCALAPPDATA`.
pub fn usual_path(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = |name| env(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let state = match cfg!(windows) {
        true => folder("LOCALAPPDATA"),
        false => {
            folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|h| h.join(".local/state")))
        }
    };
    state.map(|folder| folder.join("modeltap").join("last-host.json"))
}

/// Whether the host's user lets its model be used, as far as answers tell.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// Nothing was asked, or nothing answered yet.
    #[default]
    Unknown,
    /// The last answer was good.
    Granted,
    /// The last answer was a denial (-1 or -32000, FACTS §2).
    Denied,
}

/// A refusal by the host.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusal {
    /// When, RFC 3339.
    pub time: String,
    /// The code of JSON-RPC.
    pub code: i64,
    /// The host's words, 300 characters of them at most.
    pub message: String,
}

/// Whether channel events reach the host.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// Whether the capability was declared to it.
    pub offered: bool,
    /// Whether it has answered an event.
    pub answered: bool,
    /// How many requests it has left unanswered for the whole of their lease.
    pub unanswered: u64,
}

/// What is known of a host.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// The form of the file, [`VERSION`].
    pub version: u32,
    /// When this was written, RFC 3339.
    pub time: String,
    /// The bridge's process.
    pub pid: u32,
    /// The process that started the bridge, where the system tells.
    pub host_pid: Option<u32>,
    /// `clientInfo.name`.
    pub name: String,
    /// `clientInfo.version`.
    pub release: String,
    /// The protocol version that was agreed; empty where none was.
    pub protocol: String,
    /// The capabilities that it declared, those within them as `sampling.tools`.
    pub capabilities: Vec<String>,
    /// Whether the handshake is over.
    pub ready: bool,
    /// The era that it tried in vain: `legacy` or `modern`.
    pub turned_away: Option<String>,
    /// Whether the environment says that Claude Code started the bridge.
    pub in_claude_code: bool,
    /// Variables in the bridge's environment that keep Claude Code from having channels.
    pub hindrances: Vec<String>,
    /// The way that requests go.
    pub way: Option<String>,
    /// Why there is none.
    pub why_none: Option<String>,
    /// Where clients reach the bridge.
    pub listens: Option<String>,
    /// Whether the host's model may be used.
    pub consent: Consent,
    /// The last refusal of a session.
    pub refusal: Option<Refusal>,
    /// Whether channel events reach the host.
    pub channel: Channel,
    /// When the bridge ended, RFC 3339; none while it runs, or where it was killed.
    pub ended: Option<String>,
}

/// Reads the file; `None` where there is none.
///
/// # Errors
/// It cannot be read, or is damaged, or of another version.
pub fn read(path: PathBuf) -> Result<Option<Facts>, Fault> {
    let file = SharedFile::new(path);
    let Some(content) = file.read()? else { return Ok(None) };
    let damaged = |why: String| Fault::Damaged { path: file.path(), why };
    let facts: Facts = serde_json::from_str(&content.text).map_err(|e| damaged(e.to_string()))?;
    match facts.version {
        VERSION => Ok(Some(facts)),
        other => Err(damaged(format!("version {other} is not known here, only {VERSION}"))),
    }
}

impl Facts {
    /// The host's name and version, as people say it.
    pub fn host(&self) -> String {
        let name = if self.name.is_empty() { "a host without a name" } else { &self.name };
        format!("{name} {}", self.release).trim_end().to_owned()
    }

    /// Whether it spoke the modern era.
    pub fn is_modern(&self) -> bool {
        self.protocol == MODERN
    }
}
