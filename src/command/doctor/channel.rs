//! Whether Claude Code's channels can work here: its version, its flag, its environment, and whether events
//! have ever reached it. Nothing acknowledges an event (FACTS §3), so that most of it is told by signs.

use super::Patient;
use super::finding::Finding;
use super::program;
use crate::host::Backend;
use crate::last_host::Facts;
use std::time::Duration;

/// The first version with channels (code.claude.com, channels.md).
const FIRST: [u64; 3] = [2, 1, 80];
/// The longest that `claude --version` may take.
const ANSWER: Duration = Duration::from_secs(5);
const FLAG: &str = "--dangerously-load-development-channels";
const START: &str = "start it with: claude --dangerously-load-development-channels server:modeltap";

/// What is said of channels; nothing where they are not the way.
pub fn check(patient: &Patient) -> Vec<Finding> {
    let config = &patient.config;
    let last = patient.last.as_ref().filter(|last| last.turned_away.is_none());
    let is_claude = |last: &Facts| last.in_claude_code || last.name.starts_with("claude-code");
    let is_wanted = config.backend == Backend::Channel;
    let may_be = matches!(config.backend, Backend::Auto | Backend::Channel);
    let is_it = last.map_or(config.in_claude_code, is_claude);
    if !(is_wanted || may_be && is_it || patient.all) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    findings.extend(versions(last.filter(|last| is_claude(last)), patient.all));
    let mut names: Vec<&str> = config.hindrances.iter().map(String::as_str).collect();
    names.extend(last.iter().flat_map(|last| last.hindrances.iter().map(String::as_str)));
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        findings.push(Finding::warning(
            "channel.environment",
            format!("with {} Claude Code has no channels", names.join(", ")),
            "unset it where you start claude",
        ));
    }
    match last {
        Some(last) if is_wanted || is_claude(last) => findings.push(loaded(last)),
        _ if is_it || is_wanted => findings.push(Finding::warning(
            "channel",
            "Claude Code has not connected yet, so that nothing is known of its channels",
            START,
        )),
        _ => {}
    }
    findings
}

/// Whether events reach the last host.
fn loaded(last: &Facts) -> Finding {
    let host = last.host();
    let flag = last.host_pid.filter(|_| last.ended.is_none()).and_then(flag_of);
    let channel = &last.channel;
    let problem = |said: String, remedy: &str| Finding::problem("channel", said, remedy);
    if last.is_modern() {
        let said = format!("{host} speaks the modern era of MCP, which has no channels");
        return problem(said, "set MODELTAP_ERA to legacy where the host starts the bridge");
    }
    if !channel.offered {
        let said = format!("no channel was offered to {host}");
        return problem(said, "set MODELTAP_BACKEND to channel, or to auto under Claude Code");
    }
    if channel.answered {
        return Finding::ok("channel", format!("events reach {host}"));
    }
    let without = match flag {
        Some(false) => format!("; it runs without {FLAG}"),
        _ => String::new(),
    };
    match (channel.unanswered, flag) {
        (1.., _) => problem(
            format!(
                "the channel is not loaded: {host} has answered no event, and left {} unanswered{without}",
                channel.unanswered
            ),
            START,
        ),
        (0, Some(false)) => {
            problem(format!("the channel is not loaded: {host} runs without {FLAG}"), START)
        }
        (0, Some(true)) => {
            Finding::ok("channel", format!("{host} runs with {FLAG}; no event has gone to it yet"))
        }
        (0, None) => Finding::warning(
            "channel",
            format!(
                "it is not known whether {host} listens to events: it was sent none, or has yet to answer"
            ),
            START,
        ),
    }
}

/// Whether Claude Code was started with its flag, by the command lines of the process that started the
/// bridge and of those above it; `None` where none of them shows to be it.
fn flag_of(pid: u32) -> Option<bool> {
    let mut pid = Some(pid);
    // A shell or a starter may stand between.
    for _ in 0..4 {
        let words = program::command_line(pid?)?;
        let is_claude = words.iter().take(2).any(|word| {
            let name = word.rsplit(['/', '\\']).next().unwrap_or_default();
            name == "claude" || name == "claude.exe" || word.contains("claude-code")
        });
        if is_claude {
            return Some(words.iter().any(|word| word.starts_with(FLAG)));
        }
        pid = program::parent(pid?);
    }
    None
}

/// What is said of the versions of Claude Code: of the one that connected, and of the one on the path.
fn versions(last: Option<&Facts>, all: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let installed = program::first_line("claude", &["--version"], ANSWER);
    let connected = last.map(|last| (last.release.clone(), "that connected last"));
    let installed = match installed {
        Some(Ok(said)) => Some((said, "on your PATH")),
        Some(Err(why)) => {
            let said = format!("claude --version does not tell its version: {why}");
            findings.push(Finding::warning("channel.version", said, "run it yourself, and see"));
            None
        }
        None => {
            if all || last.is_none() {
                findings.push(Finding::ok("channel.version", "there is no claude on your PATH"));
            }
            None
        }
    };
    for (text, which) in connected.into_iter().chain(installed) {
        let shown = text.split_whitespace().next().unwrap_or_default().to_owned();
        let finding = match version(&shown) {
            None => continue,
            Some(found) if found < FIRST => Finding::problem(
                "channel.version",
                format!("the Claude Code {which} is {shown}; it has channels from 2.1.80 on"),
                "claude update",
            ),
            Some(_) => Finding::ok(
                "channel.version",
                format!("the Claude Code {which} is {shown}, which has channels"),
            ),
        };
        findings.push(finding.with(shown));
    }
    findings
}

fn version(text: &str) -> Option<[u64; 3]> {
    let mut parts = text.split('.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part.get(..digits)?.parse().ok()
    });
    Some([parts.next()??, parts.next()??, parts.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (text, has_channels) in [
            ("2.1.80", Some(true)),
            ("2.1.79", Some(false)),
            ("2.1.280", Some(true)),
            ("10.0.0-beta.1", Some(true)),
            ("1.99.999", Some(false)),
            ("2.1", None),
            ("unknown", None),
        ] {
            assert_eq!(version(text).map(|found| found >= FIRST), has_channels, "{text}");
        }
    }
}
