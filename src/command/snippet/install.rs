//! Changes the files of hosts and clients: first the plan, which is shown, then the writing, which
//! keeps a copy of what was there and replaces a file whole.
//!
//! The copy's name ends in the time and in the hash of what was then written: by that `--remove`
//! knows that nobody else changed the file meanwhile, and brings back what was there byte for byte.

use super::diff;
use super::edit::{self, Format, Found, Put};
use crate::access::shared_file::{self, SharedFile};
use crate::clock;
use crate::record::audit::redact::redact;
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// One file that is to be changed.
pub struct Change {
    /// Where it is in truth: links are followed.
    path: PathBuf,
    before: Option<String>,
    after: Option<String>,
    /// Copies that are of no use once what they hold is back.
    copies: Vec<PathBuf>,
    /// Whether a new file is for its owner alone.
    private: bool,
    /// What is put in or taken out, so that its lines are shown as they are.
    ours: String,
}

/// A file and what belongs into it.
pub struct Target {
    /// By its name.
    pub path: PathBuf,
    /// Its language.
    pub format: Format,
    /// What belongs into it.
    pub puts: Vec<Put>,
    /// Whether it is the user's own.
    pub private: bool,
}

impl Target {
    /// What must be changed so that all of it is there; `None` if it is.
    ///
    /// # Errors
    /// Why it cannot be, in words for people.
    pub fn install(&self, force: bool) -> Result<Option<Change>, String> {
        let (path, before) = self.read()?;
        let mut text = before.clone().unwrap_or_default();
        for put in &self.puts {
            match self.look(&path, &text, put)? {
                Found::Same => continue,
                Found::Foreign(line) if !force => {
                    return Err(format!(
                        "{}, line {line}: {} is there already, and it is not of modeltap; rename it, or \
                         replace it with --force (--remove brings it back)",
                        path.display(),
                        put.path.join("."),
                    ));
                }
                _ => {}
            }
            text = edit::put(self.format, &text, put).map_err(|fault| refused(&path, &fault))?;
            // What would not be found again is not written.
            if self.look(&path, &text, put)? != Found::Same {
                return Err(format!(
                    "{}: no way was found to put it in; do it by hand",
                    path.display()
                ));
            }
        }
        let unchanged = before.as_ref() == Some(&text);
        Ok((!unchanged).then(|| self.change(path, before, Some(text), Vec::new())))
    }

    /// What must be changed so that nothing of it is there any more; `None` if nothing is.
    ///
    /// # Errors
    /// Why it cannot be, in words for people.
    pub fn remove(&self, force: bool) -> Result<Option<Change>, String> {
        let (path, Some(before)) = self.read()? else { return Ok(None) };
        let mut found = false;
        for put in &self.puts {
            match self.look(&path, &before, put)? {
                Found::Nothing => {}
                Found::Foreign(line) if !force => {
                    return Err(format!(
                        "{}, line {line}: {} is not what these settings put there; give the settings that \
                         it was installed with, or take it out with --force",
                        path.display(),
                        put.path.join("."),
                    ));
                }
                _ => found = true,
            }
        }
        if !found {
            return Ok(None);
        }
        let copies = copies(&path);
        let (mut text, mut used) = (before.clone(), Vec::new());
        // Each installation's copy leads to the state before it.
        while let Some((copy, content)) = copies.iter().find_map(|copy| {
            let fresh = !used.contains(copy) && copy.to_str()?.ends_with(&hash(&text));
            fresh.then(|| Some((copy, fs::read_to_string(copy).ok()?)))?
        }) {
            used.push(copy.clone());
            text = content;
        }
        let restored = !used.is_empty();
        for put in &self.puts {
            // A foreign entry that was there before stays.
            if !restored || matches!(self.look(&path, &text, put)?, Found::Ours) {
                text =
                    edit::take(self.format, &text, put).map_err(|fault| refused(&path, &fault))?;
            }
        }
        let gone = !restored && edit::is_hollow(self.format, &text, &self.puts);
        Ok(Some(self.change(path, Some(before), (!gone).then_some(text), used)))
    }

    fn change(
        &self,
        path: PathBuf,
        before: Option<String>,
        after: Option<String>,
        copies: Vec<PathBuf>,
    ) -> Change {
        let new = |text: String, put| edit::put(self.format, &text, put).unwrap_or(text);
        let ours = self.puts.iter().fold(String::new(), new);
        Change { path, before, after, copies, private: self.private, ours }
    }

    fn look(&self, path: &Path, text: &str, put: &Put) -> Result<Found, String> {
        edit::look(self.format, text, put).map_err(|fault| refused(path, &fault))
    }

    fn read(&self) -> Result<(PathBuf, Option<String>), String> {
        let file = SharedFile::new(self.path.clone());
        let content = file.read().map_err(|fault| fault.to_string())?;
        Ok((file.path(), content.map(|content| content.text)))
    }
}

fn refused(path: &Path, fault: &edit::Syntax) -> String {
    format!("{}, {fault}; nothing was changed", path.display())
}

impl Change {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether no file is left.
    pub fn ends_file(&self) -> bool {
        self.after.is_none()
    }

    /// What it does, as a diff in which what looks like somebody's secret is left out.
    pub fn shown(&self) -> String {
        let ours: Vec<&str> = self.ours.lines().map(plain).collect();
        diff::unified(
            &self.path.display().to_string(),
            self.before.as_deref(),
            self.after.as_deref(),
            |line| {
                if ours.contains(&plain(line)) {
                    line.to_owned()
                } else {
                    redact(line, &[]).into_owned()
                }
            },
        )
    }

    /// Does it. Gives where the copy of what was there is, if one was made.
    ///
    /// # Errors
    /// Why it was not done, in words for people.
    pub fn write(&self) -> Result<Option<PathBuf>, String> {
        let told = |done: &str, error: io::Error| {
            format!("{} cannot be {done}: {error}", self.path.display())
        };
        let now = SharedFile::new(self.path.clone()).read().map_err(|fault| fault.to_string())?;
        if now.map(|content| content.text) != self.before {
            return Err(format!("{} was changed meanwhile; try again", self.path.display()));
        }
        // What a used copy holds is back in the file itself, and a file that goes held nothing else.
        let kept = match (&self.before, &self.after) {
            (Some(before), Some(after)) if self.copies.is_empty() => {
                Some(self.copy(before, after).map_err(|error| told("copied", error))?)
            }
            _ => None,
        };
        match &self.after {
            Some(text) => self.replace(text).map_err(|error| told("written", error))?,
            None => fs::remove_file(&self.path).map_err(|error| told("removed", error))?,
        }
        for copy in &self.copies {
            fs::remove_file(copy)
                .map_err(|error| format!("{} cannot be removed: {error}", copy.display()))?;
        }
        Ok(kept)
    }

    /// Keeps what was there beside the file.
    fn copy(&self, before: &str, after: &str) -> io::Result<PathBuf> {
        let stamp = humantime::format_rfc3339_millis(clock::now()).to_string();
        let stamp = stamp.replace(['-', ':'], "");
        for number in 1..1000 {
            let number = if number == 1 { String::new() } else { format!("{number}-") };
            let mut name = self.path.clone().into_os_string();
            name.push(format!("{COPY}{stamp}-{number}{}", hash(after)));
            let path = PathBuf::from(name);
            match create(&path, &self.path, self.private, before) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done.map(|()| path),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut new = self.path.clone().into_os_string();
        new.push(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
        let new = PathBuf::from(new);
        let written = create(&new, &self.path, self.private, text)
            .and_then(|()| fs::rename(&new, &self.path));
        written.inspect_err(|_| drop(fs::remove_file(&new)))
    }
}

/// What stands between a file's name and the time in the name of its copy.
const COPY: &str = ".modeltap-backup-";

/// A line without the comma that it may or may not have.
fn plain(line: &str) -> &str {
    line.trim().trim_end_matches(',')
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The copies of a file.
fn copies(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let begins = format!("{name}{COPY}");
    let Ok(entries) = fs::read_dir(folder.unwrap_or(Path::new("."))) else { return Vec::new() };
    let mut copies: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(&begins))
        })
        .collect();
    // The newest first.
    copies.sort_unstable_by(|a, b| b.cmp(a));
    copies
}

/// Makes a new file with the mode and the owner of that which it is to replace or to keep.
fn create(path: &Path, like: &Path, private: bool, text: &str) -> io::Result<()> {
    use std::io::Write;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if private || like.exists() {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = private;
    let mut file = options.open(path)?;
    let mut write = || {
        file.write_all(text.as_bytes())?;
        if let Ok(metadata) = fs::metadata(like) {
            shared_file::keep_owner(like, &file)?;
            file.set_permissions(metadata.permissions())?;
        }
        file.sync_all()
    };
    write().inspect_err(|_| drop(fs::remove_file(path)))
}
