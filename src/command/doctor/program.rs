//! Other processes: what a program says of itself, and what the system tells of one that runs.

use crossbeam_channel::bounded;
use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// The most that is read of a program.
const MOST: u64 = 4096;

/// The first line that a program on the path prints; `None` where there is no such program.
///
/// # Errors
/// It could not be started, said nothing, or took longer than `within`, and was ended.
pub fn first_line(
    program: &str,
    args: &[&str],
    within: Duration,
) -> Option<Result<String, String>> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return None;
        }
        Err(e) => return Some(Err(e.to_string())),
    };
    let stdout = child.stdout.take()?;
    let (tell, told) = bounded(1);
    // It ends with the pipe, or with us.
    let reader = thread::Builder::new().name("version".into()).spawn(move || {
        let mut text = Vec::new();
        // What came of it is all there is.
        let _ = stdout.take(MOST).read_to_end(&mut text);
        let _ = tell.send(text);
    });
    let text = reader.ok().and_then(|_| told.recv_timeout(within).ok());
    let _ = child.kill();
    let _ = child.wait();
    let Some(text) = text else {
        return Some(Err(format!("no answer within {}", humantime::format_duration(within))));
    };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().map(str::trim).filter(|line| !line.is_empty());
    Some(line.map(str::to_owned).ok_or_else(|| "it said nothing".into()))
}

/// Whether a process runs; `None` where the system does not tell.
pub fn is_alive(pid: u32) -> Option<bool> {
    let place = std::path::Path::new("/proc");
    place.join("self").exists().then(|| place.join(pid.to_string()).exists())
}

/// The words of a process's command line.
#[cfg(target_os = "linux")]
pub fn command_line(pid: u32) -> Option<Vec<String>> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    Some(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
}

/// The process that started a process.
#[cfg(target_os = "linux")]
pub fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    parent.trim().parse().ok().filter(|pid| *pid > 1)
}

#[cfg(not(target_os = "linux"))]
pub fn command_line(_: u32) -> Option<Vec<String>> {
    None
}

#[cfg(not(target_os = "linux"))]
pub fn parent(_: u32) -> Option<u32> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_heard_waited_for_no_longer_than_said_or_not_there() {
        let long = Duration::from_secs(60);
        let run = |script: &str, within| first_line("/bin/sh", &["-c", script], within);
        assert_eq!(run("echo ' 1.2 (x)'; echo more", long), Some(Ok("1.2 (x)".into())));
        assert!(run("exit 3", long).unwrap().unwrap_err().contains("nothing"));
        let slow = run("exec sleep 600", Duration::from_millis(50));
        assert!(slow.unwrap().unwrap_err().contains("50ms"));
        assert_eq!(first_line("/no/such/program", &[], long), None);
        assert_ne!(is_alive(std::process::id()), Some(false));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_tells_its_words_and_its_parent() {
        let own = std::process::id();
        let words: Vec<String> = std::env::args().collect();
        assert_eq!(command_line(own), Some(words));
        assert_eq!(parent(own), Some(std::os::unix::process::parent_id()).filter(|pid| *pid > 1));
        assert!(command_line(u32::MAX).is_none() && parent(u32::MAX).is_none());
    }
}
