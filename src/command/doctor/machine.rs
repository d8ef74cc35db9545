//! The machine: its clock and its limit of descriptors.

use super::Patient;
use super::files::Newest;
use super::finding::Finding;
use crate::clock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first second of 2020: no clock of today shows less.
const FIRST: Duration = Duration::from_secs(1_577_836_800);
/// By how much two clocks may differ without anybody noticing.
const SLACK: Duration = Duration::from_secs(60);

/// What is said of the machine.
pub fn check(patient: &Patient, newest: Newest) -> Vec<Finding> {
    let mut findings = vec![clock(patient.now, newest)];
    findings.extend(descriptors(patient));
    findings
}

fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(clock::within(time)).to_string()
}

fn clock(now: SystemTime, newest: Newest) -> Finding {
    const REMEDY: &str =
        "set the clock, and keep it set (timedatectl set-ntp true); tokens expire by it";
    let shown = moment(now);
    let finding = match newest {
        _ if now < UNIX_EPOCH + FIRST => {
            Finding::problem("clock", format!("it says {shown}, which is long past"), REMEDY)
        }
        Some((time, path)) if time > now + SLACK => Finding::problem(
            "clock",
            format!("it says {shown}, but {} holds the time {}", path.display(), moment(time)),
            REMEDY,
        ),
        _ => {
            Finding::ok("clock", format!("it says {shown}, and no file of ours holds a later time"))
        }
    };
    finding.with(shown)
}

/// The fewest clients at once that a bridge is of use with.
#[cfg(unix)]
const FEW: u64 = 64;

#[cfg(unix)]
fn descriptors(patient: &Patient) -> Option<Finding> {
    use crate::bridge::{DESCRIPTORS, descriptors_for};
    let connections = patient.config.limits.connections;
    let wanted = descriptors_for(connections);
    let (soft, hard) = match rlimit::getrlimit(rlimit::Resource::NOFILE) {
        Ok(limits) => limits,
        Err(e) => {
            let said = format!("the limit of descriptors cannot be read: {e}");
            return Some(Finding::warning("descriptors", said, "see ulimit -n"));
        }
    };
    let shown = format!("soft {}, hard {}", limit(soft), limit(hard));
    let remedy = format!(
        "raise it to {wanted} (ulimit -Hn, or LimitNOFILE= of systemd), or lower MODELTAP_MAX_CONNECTIONS"
    );
    let left = hard.saturating_sub(DESCRIPTORS) / crate::http::Server::DESCRIPTORS;
    let finding = match hard {
        _ if hard >= wanted => {
            Finding::ok("descriptors", format!("{wanted} are wanted at most ({shown})"))
        }
        _ if left < FEW => Finding::problem(
            "descriptors",
            format!("{wanted} are wanted, and {hard} allowed ({shown}), too few to serve with"),
            remedy,
        ),
        _ => Finding::warning(
            "descriptors",
            format!(
                "{wanted} are wanted, and {hard} allowed ({shown}), enough for about {left} of {connections} connections"
            ),
            remedy,
        ),
    };
    Some(finding.with(shown))
}

#[cfg(unix)]
fn limit(limit: u64) -> String {
    if limit == rlimit::INFINITY { "without end".into() } else { limit.to_string() }
}

#[cfg(not(unix))]
fn descriptors(_: &Patient) -> Option<Finding> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::Status;

    #[test]
    fn a_clock_that_is_behind_is_told() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let file = |seconds| Some((at(seconds), "f".into()));
        for (now, newest, status) in [
            (0, None, Status::Problem),
            (1_577_836_799, None, Status::Problem),
            (1_700_000_000, None, Status::Ok),
            (1_700_000_000, file(1_700_000_060), Status::Ok),
            (1_700_000_000, file(1_700_000_061), Status::Problem),
            (1_700_000_000, file(5), Status::Ok),
        ] {
            assert_eq!(clock(at(now), newest.clone()).status, status, "{now} {newest:?}");
        }
    }
}
