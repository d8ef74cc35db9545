//! The last host: what it declared, in which era, which way requests went, and whether its user lets its
//! model be used.

use super::Patient;
use super::finding::Finding;
use super::program;
use crate::last_host::{Consent, Facts};
use crate::mcp::session::Era;

const NOBODY: &str = "no MCP host has ever connected";
const REGISTER: &str = "register modeltap as an MCP server in your host, which modeltap snippet NAME --install \
    does for those that modeltap snippet --list names, and let the host start it; modeltap demo shows it \
    working without one";

/// What is said of the last host. `is_unreadable`: what is known of it could not be read, which is told
/// elsewhere.
pub fn check(patient: &Patient, is_unreadable: bool) -> Vec<Finding> {
    let Some(last) = &patient.last else {
        // Where nothing is written, nothing can be missed.
        let is_known = patient.config.state.is_some() && !is_unreadable;
        let has_forward = patient.config.forward.url.is_some();
        return match (is_known, has_forward) {
            (false, _) => Vec::new(),
            (true, false) => vec![Finding::problem("host", NOBODY, REGISTER)],
            // There is a model all the same.
            (true, true) => vec![Finding::warning("host", NOBODY, REGISTER)],
        };
    };
    let mut findings = vec![who(last)];
    match era(patient.config.era, last) {
        Some(problem) => findings.push(problem),
        None => {
            if patient.all {
                let said = format!("the settings let hosts of {} connect", last.protocol);
                findings.push(Finding::ok("era", said));
            }
            findings.push(way(last));
            findings.extend(consent(last));
        }
    }
    findings
}

fn who(last: &Facts) -> Finding {
    let host = last.host();
    let protocol = match last.protocol.as_str() {
        "" => String::new(),
        version => format!(" (MCP {version})"),
    };
    let declared = match last.capabilities.is_empty() {
        true => "declared nothing".into(),
        false => format!("declared {}", last.capabilities.join(", ")),
    };
    let (pid, time) = (last.pid, &last.time);
    let when = match (&last.ended, program::is_alive(pid)) {
        (Some(ended), _) => format!("its bridge ended at {ended}"),
        (None, Some(true)) => format!("its bridge runs as process {pid}"),
        (None, Some(false)) => format!("its bridge, process {pid}, was killed after {time}"),
        (None, None) => format!("its bridge was process {pid} at {time}"),
    };
    let listens = last.listens.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
    Finding::ok("host", format!("{host}{protocol} connected last and {declared}; {when}{listens}"))
        .with(host)
}

fn era(set: Era, last: &Facts) -> Option<Finding> {
    let spoke = match (&last.turned_away, last.is_modern()) {
        (Some(era), _) if era == "modern" => Era::Modern,
        (Some(_), _) => Era::Legacy,
        (None, true) => Era::Modern,
        (None, false) => Era::Legacy,
    };
    let names = |era| if era == Era::Modern { "modern" } else { "legacy" };
    let is_now = set != Era::Auto && set != spoke;
    if !is_now && last.turned_away.is_none() {
        return None;
    }
    let host = last.host();
    let other = if spoke == Era::Modern { Era::Legacy } else { Era::Modern };
    let (spoke, set) = (names(spoke), names(other));
    let said = match is_now {
        true => format!(
            "{host} speaks the {spoke} era of MCP, and the settings allow the {set} one only"
        ),
        false => format!(
            "{host} was turned away: it speaks the {spoke} era of MCP, and the bridge that it started has \
             --era {set}"
        ),
    };
    Some(Finding::problem(
        "era",
        said,
        "set MODELTAP_ERA to auto, or leave it out, where the host starts the bridge",
    ))
}

fn way(last: &Facts) -> Finding {
    match (&last.way, &last.why_none) {
        (Some(way), _) => Finding::ok("way", format!("requests go by {way}")).with(way),
        (None, why) => {
            let unknown = ("no way to the model is open", "see what runtime_status tells");
            let parts = why.as_deref().and_then(|why| why.split_once(": "));
            let (said, remedy) = parts.unwrap_or(unknown);
            Finding::warning("way", format!("with {}, {said}", last.host()), remedy)
        }
    }
}

fn consent(last: &Facts) -> Option<Finding> {
    let samples = matches!(last.way.as_deref(), Some("sampling" | "hook"));
    let host = last.host();
    let refusal = last.refusal.as_ref();
    let words = refusal
        .map(|refusal| format!("at {}: {:?} ({})", refusal.time, refusal.message, refusal.code));
    Some(match (last.consent, words) {
        (Consent::Denied, words) => Finding::problem(
            "consent",
            format!("{host} refused to sample {}", words.unwrap_or_default()),
            "allow it there, in VS Code by MCP: List Servers, modeltap, Configure Model Access; elsewhere by \
             saying yes when it asks",
        )
        .with("denied"),
        (consent, Some(words)) => Finding::warning(
            "consent",
            format!("{host} refused a request {words}"),
            match consent {
                Consent::Granted => "it has answered others since, or before; look at that request",
                _ => "see what it says about it, and ask again",
            },
        )
        .with(if consent == Consent::Granted { "granted" } else { "unknown" }),
        (Consent::Granted, None) => {
            Finding::ok("consent", format!("{host} lets its model be used")).with("granted")
        }
        (Consent::Unknown, None) if samples => {
            let said = format!("{host} was not asked yet; its user may have to say yes to the first request");
            Finding::ok("consent", said).with("unknown")
        }
        (Consent::Unknown, None) => return None,
    })
}
