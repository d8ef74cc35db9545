//! A bridge at the ends of two socket pairs, as some hosts start their servers: they are closed
//! from any thread, at once, which a pipe that somebody reads is not.

use crate::common::{PATIENCE, command, memory_kib};
use crossbeam_channel::{Receiver, unbounded};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub struct Pipes {
    child: Child,
    stdin: UnixStream,
    stdout: UnixStream,
    lines: Receiver<String>,
    /// The host reads no more while this is true.
    stalled: Arc<(Mutex<bool>, std::sync::Condvar)>,
    stderr: Arc<Mutex<String>>,
}

impl Pipes {
    pub fn new(settings: &[(&str, &str)]) -> Pipes {
        let (stdin, its_stdin) = UnixStream::pair().unwrap();
        let (stdout, its_stdout) = UnixStream::pair().unwrap();
        let mut command = command();
        command.env("MODELTAP_PORT", "0").env("MODELTAP_LOG", "brief");
        command.envs(settings.iter().copied());
        command.stdin(OwnedFd::from(its_stdin)).stdout(OwnedFd::from(its_stdout));
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary starts");
        // The command holds the bridge's ends until it is dropped.
        drop(command);
        stdin.set_write_timeout(Some(PATIENCE)).unwrap();
        let stalled = Arc::<(Mutex<bool>, std::sync::Condvar)>::default();
        let (deliver, lines) = unbounded();
        let (reader, gate) = (BufReader::new(stdout.try_clone().unwrap()), stalled.clone());
        thread::spawn(move || {
            for line in reader.lines() {
                let closed = gate.1.wait_while(gate.0.lock().unwrap(), |stalled| *stalled);
                drop(closed);
                let Ok(line) = line else { return };
                if deliver.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::<Mutex<String>>::default();
        let (kept, mut told) = (stderr.clone(), child.stderr.take().unwrap());
        thread::spawn(move || {
            let mut piece = [0; 65536];
            while let Ok(n @ 1..) = told.read(&mut piece) {
                let mut kept = kept.lock().unwrap();
                if kept.len() > 1_000_000 {
                    kept.clear();
                }
                kept.push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        Pipes { child, stdin, stdout, lines, stalled, stderr }
    }

    /// The next message, or `None` when none comes within the time.
    pub fn hear(&self, within: Duration) -> Option<Value> {
        let line = self.lines.recv_timeout(within).ok()?;
        Some(serde_json::from_str(&line).expect("the bridge writes JSON"))
    }

    /// Writes bytes; what a bridge that ends does not take any more is lost.
    pub fn write(&self, bytes: &[u8]) {
        let _ = (&self.stdin).write_all(bytes);
    }

    /// Stops to read, or reads on.
    pub fn stall(&self, stalled: bool) {
        *self.stalled.0.lock().unwrap() = stalled;
        self.stalled.1.notify_all();
    }

    /// Closes the bridge's standard input only, and reads on what it writes.
    pub fn end(&self) {
        let _ = self.stdin.shutdown(Shutdown::Both);
    }

    /// Closes all at once, as the system does for a host that is killed.
    pub fn kill(&self) {
        let _ = self.stdout.shutdown(Shutdown::Both);
        self.end();
    }

    /// How many threads and descriptors the bridge has, where the system tells.
    pub fn held(&self) -> Option<(usize, usize)> {
        let count = |what| {
            let entries = std::fs::read_dir(format!("/proc/{}/{what}", self.child.id())).ok()?;
            Some(entries.count())
        };
        Some((count("task")?, count("fd")?))
    }

    /// Resident memory of the bridge in KiB, where the system tells.
    pub fn memory_kib(&self) -> Option<u64> {
        memory_kib(self.child.id(), "VmRSS:")
    }

    /// Waits for the bridge to end by itself; `None` when it does not.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            // Its last lines make room for what it still writes.
            let _ = self.lines.recv_timeout(Duration::from_millis(5));
        }
        None
    }

    /// The last lines that the bridge told on stderr.
    pub fn told(&self) -> String {
        let stderr = self.stderr.lock().unwrap();
        let lines: Vec<&str> = stderr.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        self.stall(false);
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
