//! The files of the bridge: whether they can be read and written, who else may read them, and the newest
//! time in them.

use super::Patient;
use super::finding::Finding;
use crate::access::shared_file::SharedFile;
use crate::access::token::{State, Token};
use crate::access::token_file::TokenFile;
use crate::record::audit;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The newest time in our files, and where it is.
pub type Newest = Option<(SystemTime, PathBuf)>;

/// What is said of the files. `state` is what is wrong with the one that tells of the last host.
pub fn check(patient: &Patient, state: Option<&str>) -> (Vec<Finding>, Newest) {
    let config = &patient.config;
    let mut newest: Newest = None;
    let mut note = |time: Option<SystemTime>, path: &Path| {
        if let Some(time) = time
            && newest.as_ref().is_none_or(|(known, _)| *known < time)
        {
            newest = Some((time, path.to_owned()));
        }
    };
    let mut findings = Vec::new();
    match &config.tokens {
        Some(path) => {
            findings.push(tokens(path, patient.now, &mut note));
            findings.extend(usage(path, patient.all, &mut note));
        }
        None if patient.all => findings.push(Finding::ok("tokens", "none are to be read")),
        None => {}
    }
    match &config.audit.file {
        Some(path) => findings.push(audit(path, &mut note)),
        None if patient.all => findings.push(Finding::ok("audit", "none is written")),
        None => {}
    }
    let paths =
        [("tokens", &config.tokens), ("audit", &config.audit.file), ("state", &config.state)];
    for (check, path) in paths {
        findings.extend(path.as_ref().filter(|path| path.is_relative()).map(|path| {
            Finding::warning(
                check,
                format!(
                    "{} depends on the folder in which the host starts the bridge",
                    path.display()
                ),
                "name the whole path, from the root on",
            )
        }));
    }
    if let Some(path) = &config.tokens {
        findings.extend(open_folder("tokens", path));
    }
    if let Some(path) = &config.audit.file {
        findings.extend(open_folder("audit", path));
        findings.extend(open_file("audit", path));
    }
    findings.extend(self::state(patient, state));
    if let (Some(last), Some(path)) = (&patient.last, &config.state) {
        note(humantime::parse_rfc3339(&last.time).ok(), path);
    }
    (findings, newest)
}

fn tokens(
    path: &Path,
    now: SystemTime,
    note: &mut dyn FnMut(Option<SystemTime>, &Path),
) -> Finding {
    let file = TokenFile::new(path.to_owned());
    let shown = path.display();
    let finding = match file.read() {
        Ok(None) => Finding::ok("tokens", format!("{shown} is not there, so nobody needs a token")),
        Err(fault) => Finding::problem(
            "tokens",
            format!("{fault}; every client is refused"),
            "mend it, put back a copy, or move it away and make tokens anew with \"modeltap token add NAME\"",
        ),
        Ok(Some(listed)) => {
            let times = |token: &Token| [Some(token.created), token.revoked];
            listed.tokens.iter().flat_map(times).for_each(|time| note(time, path));
            let said = format!("{shown} lists {}", count(&listed.tokens, now));
            match listed.warning {
                Some(warning) => {
                    let remedy = warning.split_once("; ").map_or("", |(_, remedy)| remedy);
                    Finding::warning(
                        "tokens",
                        format!("{said}, and is open to other users of this machine"),
                        remedy,
                    )
                }
                None => Finding::ok("tokens", said),
            }
        }
    };
    finding.with(shown)
}

/// How many tokens there are, and of which state.
fn count(tokens: &[Token], now: SystemTime) -> String {
    let (mut good, mut expired, mut revoked) = (0, 0, 0);
    for token in tokens {
        match token.state(now) {
            State::Good => good += 1,
            State::Expired(_) => expired += 1,
            State::Revoked(_) => revoked += 1,
        }
    }
    if tokens.is_empty() {
        return "no tokens, so nobody needs one".into();
    }
    format!("{good} good, {expired} expired and {revoked} revoked tokens")
}

/// What tokens have used; nothing is said where there is nothing to say.
fn usage(
    path: &Path,
    all: bool,
    note: &mut dyn FnMut(Option<SystemTime>, &Path),
) -> Option<Finding> {
    let file = TokenFile::new(path.to_owned());
    let place = file.usage_file().path();
    let finding = match file.usage() {
        Ok(usages) => {
            usages.values().for_each(|usage| note(usage.last_used, &place));
            all.then(|| Finding::ok("usage", format!("{} can be read", place.display())))
        }
        Err(fault) => Some(Finding::problem(
            "usage",
            format!("{fault}; what tokens have used is not counted on"),
            format!("remove {} to count from nothing", place.display()),
        )),
    };
    finding.map(|finding| finding.with(place.display()))
}

fn audit(path: &Path, note: &mut dyn FnMut(Option<SystemTime>, &Path)) -> Finding {
    let shown = path.display();
    let real = SharedFile::new(path.to_owned()).path();
    let finding = match audit::look(&real) {
        Ok(_) if audit::is_in_use(path) => {
            Finding::ok("audit", format!("a bridge is writing {shown}; another would wait for it"))
        }
        Ok(None) => Finding::ok("audit", format!("{shown} will be made")),
        Ok(last) => {
            note(last, path);
            Finding::ok("audit", format!("{shown} can be written"))
        }
        Err(why) => Finding::problem(
            "audit",
            format!("{shown} cannot be written: {why}"),
            "make its folder, or name another file with --audit or MODELTAP_AUDIT",
        ),
    };
    finding.with(shown)
}

/// A folder in which other users can put another file in the place of ours.
#[cfg(unix)]
fn open_folder(check: &str, path: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;
    const STICKY: u32 = 0o1000;
    let real = SharedFile::new(path.to_owned()).path();
    let folder = real.parent().filter(|folder| !folder.as_os_str().is_empty())?;
    let mode = std::fs::metadata(folder).ok()?.permissions().mode();
    let shown = folder.display();
    (mode & 0o022 != 0 && mode & STICKY == 0).then(|| {
        Finding::warning(
            check,
            format!("other users of this machine can replace files in {shown}"),
            format!("close it with chmod go-w {shown}"),
        )
    })
}

/// A file that others can read. Of the tokens this is told where they are read.
#[cfg(unix)]
fn open_file(check: &str, path: &Path) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let shown = path.display();
    (found.permissions().mode() & 0o077 != 0).then(|| {
        Finding::warning(
            check,
            format!(
                "{shown} is open to other users of this machine, and may hold what clients asked"
            ),
            format!("close it with chmod 600 {shown}"),
        )
    })
}

#[cfg(not(unix))]
fn open_folder(_: &str, _: &Path) -> Option<Finding> {
    None
}

#[cfg(not(unix))]
fn open_file(_: &str, _: &Path) -> Option<Finding> {
    None
}

/// The file that tells of the last host.
fn state(patient: &Patient, fault: Option<&str>) -> Option<Finding> {
    let Some(path) = &patient.config.state else {
        return Some(Finding::warning(
            "state",
            "what hosts declare is not written down, so that nothing is known of the last one",
            "unset MODELTAP_STATE, or set HOME",
        ));
    };
    let shown = path.display();
    if let Some(fault) = fault {
        let remedy = "remove it; the next host makes it anew";
        return Some(Finding::warning("state", fault, remedy).with(shown));
    }
    let folder = path.ancestors().skip(1).find(|folder| folder.exists());
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.is_dir()) {
        let said = format!("{shown} cannot be written: a part of its path is no folder");
        return Some(
            Finding::warning("state", said, "name another with --state or MODELTAP_STATE")
                .with(shown),
        );
    }
    patient.all.then(|| Finding::ok("state", format!("{shown} tells of the last host")).with(shown))
}
