//! A small text file that several processes read and change: who changes it holds a lock, and
//! replaces the whole file, so that nobody ever reads half of it and no crash leaves half of it.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The most that is read of a file, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;
/// Links on the way to a file that are followed, as many as Linux follows.
const LINKS: usize = 40;
/// Between two looks at a lock that another process has: std has no lock with a deadline, and
/// nothing portable tells of its end.
const AGAIN: Duration = Duration::from_millis(5);
/// The most bytes that the number of a process takes, with the end of its line.
const HOLDER: u64 = 11;

/// What can be wrong with such a file.
#[derive(Debug)]
pub enum Fault {
    /// The system refuses, in its own words.
    System {
        /// What could not be done: `read`, `written`, …
        done: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another process has been changing the file for the whole time that one could wait.
    Locked {
        /// The file.
        path: PathBuf,
        /// The other process, where it is known.
        holder: Option<u32>,
    },
    /// It does not hold what it should.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where and why.
        why: String,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::System { done, path, error } => {
                write!(f, "{} cannot be {done}: {error}", path.display())
            }
            Fault::Locked { path, holder: Some(holder) } => {
                write!(f, "{} is being changed by process {holder}; wait for it", path.display())
            }
            Fault::Locked { path, holder: None } => {
                write!(f, "{} is being changed by another process; wait for it", path.display())
            }
            Fault::Damaged { path, why } => write!(f, "{} is damaged: {why}", path.display()),
        }
    }
}

impl std::error::Error for Fault {}

/// What tells two states of a file apart without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Which file it is, and when its mode or name changed last; zeros where the system has none.
    inode: (u64, i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        #[cfg(not(unix))]
        let inode = (0, 0, 0);
        Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode }
    }
}

/// What was read of a file.
pub struct Content {
    /// All of it.
    pub text: String,
    /// The state it was in; if it changed while it was read, an older one.
    pub stamp: Stamp,
    /// Whether other users of the machine can read it; always false where modes are unknown.
    pub open_to_others: bool,
}

/// The file by its name. A link is followed, also to a file that is yet to be made.
#[derive(Debug, Clone)]
pub struct SharedFile {
    path: PathBuf,
}

impl SharedFile {
    /// The file at `path`, which need not be there.
    pub fn new(path: PathBuf) -> Self {
        SharedFile { path }
    }

    /// Where it is in truth.
    pub fn path(&self) -> PathBuf {
        let mut path = self.path.clone();
        for _ in 0..LINKS {
            match fs::read_link(&path) {
                Ok(to) => path = path.parent().unwrap_or(Path::new("")).join(to),
                Err(_) => break,
            }
        }
        path
    }

    /// The state it is in.
    ///
    /// # Errors
    /// What keeps it from being seen, [`io::ErrorKind::NotFound`] where there is none.
    pub fn stamp(&self) -> Result<Stamp, io::ErrorKind> {
        fs::metadata(&self.path).map(|metadata| Stamp::of(&metadata)).map_err(|e| match is_absence(
            &e,
        ) {
            true => io::ErrorKind::NotFound,
            false => e.kind(),
        })
    }

    /// Reads all of it; `None` where there is no file.
    ///
    /// # Errors
    /// It cannot be read, is no plain file, too large, or not UTF-8.
    pub fn read(&self) -> Result<Option<Content>, Fault> {
        let path = self.path();
        match read(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if is_absence(&error) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(Fault::Damaged { path, why: error.to_string() })
            }
            Err(error) => Err(Fault::System { done: "read", path, error }),
        }
    }

    /// Changes it, while no other process does: `change` gets what is there and gives what it shall
    /// be, or nothing if it shall stay. Waits for others no longer than `within`. The file is then
    /// readable by its owner alone.
    ///
    /// # Errors
    /// What `change` says, or why the file cannot be read or written; it is then as it was.
    pub fn change<T, E: From<Fault>>(
        &self,
        within: Duration,
        change: impl FnOnce(Option<Content>) -> Result<(Option<String>, T), E>,
    ) -> Result<T, E> {
        let path = self.path();
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_folder(folder).map_err(|error| Fault::System {
                done: "made",
                path: folder.to_owned(),
                error,
            })?;
        }
        // Dropped, and by that let go, when all is done. The end of the process lets it go, too.
        let _lock = lock(&path, within)?;
        let (text, told) = change(self.read()?)?;
        if let Some(text) = text {
            replace(&path, &text).map_err(|error| Fault::System {
                done: "written",
                path,
                error,
            })?;
        }
        Ok(told)
    }
}

/// Whether this says that there is no such file: also below what is no folder, since services are
/// given homes such as `/dev/null`.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The file's name with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn read(path: &Path) -> io::Result<Content> {
    // Opening a pipe could take for ever.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it has more than 64 MiB"));
    }
    Ok(Content { text, stamp: Stamp::of(&metadata), open_to_others: is_open_to_others(&metadata) })
}

#[cfg(unix)]
fn is_open_to_others(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Metadata) -> bool {
    false
}

fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)
}

/// Options that make a file for its owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.read(true).write(true);
    options
}

/// The lock lies on a file of its own, which stays: the file itself is another one after each change.
fn lock(path: &Path, within: Duration) -> Result<File, Fault> {
    let until = Instant::now() + within;
    let name = beside(path, ".lock");
    let fault = |error| Fault::System { done: "locked", path: name.clone(), error };
    let mut file = private().create(true).truncate(false).open(&name).map_err(fault)?;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(fault(error)),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(AGAIN),
            Err(TryLockError::WouldBlock) => {
                let holder = fs::read_to_string(&name).ok();
                let holder = holder.and_then(|text| text.trim().parse().ok());
                return Err(Fault::Locked { path: path.to_owned(), holder });
            }
        }
    }
    // For whoever waits; the lock holds without it. In a folder that is open to others, the name may
    // lead to something else, which stays as it is.
    if file.metadata().is_ok_and(|metadata| metadata.len() <= HOLDER) {
        let told = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
        told.map_err(fault)?;
    }
    Ok(file)
}

/// Only under the lock, so that the other name is nobody else's.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = beside(path, ".tmp");
    // A process that was killed may have left one.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let write = || {
        let mut file = private().create_new(true).open(&new)?;
        keep_owner(path, &file)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        fs::rename(&new, path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&new)))?;
    // Makes the new name outlive a power failure. All is done without it, so that a failure is none.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

/// Gives the new file the owner of that at `path`. The superuser who changes somebody's file leaves
/// it theirs: their bridge could not read it else.
///
/// # Errors
/// The system refuses.
#[cfg(unix)]
pub fn keep_owner(path: &Path, new: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, fchown};
    let Ok(old) = fs::metadata(path) else { return Ok(()) };
    match old.uid() == new.metadata()?.uid() {
        true => Ok(()),
        false => fchown(new, Some(old.uid()), Some(old.gid())),
    }
}

/// Owners are not known here.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn keep_owner(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(in crate::access) mod tests;
