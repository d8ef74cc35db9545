//! What the system tells of a process: memory, threads, processor time, system calls. Linux has it
//! in /proc and in strace; elsewhere it is said to be absent.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Memory in KiB and threads of a process and all that it started.
#[derive(Debug, Clone, Copy, Default)]
pub struct Size {
    /// Resident memory (VmRSS).
    pub kib: f64,
    pub threads: f64,
}

/// How large a process is with all that it started; `None` where the system does not tell.
pub fn size(pid: u32) -> Option<Size> {
    let mut size = Size::default();
    for pid in family(pid)? {
        // One of them may have ended meanwhile.
        let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let number = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        size.kib += number("VmRSS:").unwrap_or(0.0);
        size.threads += number("Threads:").unwrap_or(0.0);
    }
    Some(size)
}

/// Processor time in seconds that a process and all that it started have used, in steps of
/// [`tick`].
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let mut ticks = 0.0;
    for pid in family(pid)? {
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name in brackets may hold blanks; utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        ticks += fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>();
    }
    Some(ticks * tick()?)
}

/// The steps in which processor time is told, in seconds.
pub fn tick() -> Option<f64> {
    static TICK: std::sync::OnceLock<Option<f64>> = std::sync::OnceLock::new();
    *TICK.get_or_init(|| {
        let output = Command::new("getconf").arg("CLK_TCK").output().ok()?;
        let hertz: f64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
        Some(1.0 / hertz)
    })
}

/// A process and all that it started, and that they started.
fn family(pid: u32) -> Option<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit_once(')').and_then(|rest| rest.1.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|parent| parent.parse().ok()) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at) {
        all.extend(children.remove(parent).unwrap_or_default());
        at += 1;
    }
    Path::new(&format!("/proc/{pid}/stat")).exists().then_some(all)
}

/// Sends a signal, such as `TERM`, to all that a process started.
pub fn signal_children(pid: u32, signal: &str) {
    for child in family(pid).unwrap_or_default().iter().skip(1) {
        let mut kill = Command::new("kill");
        let kill = kill.args(["-s", signal, &child.to_string()]).stderr(Stdio::null()).status();
        // It may have ended by itself.
        drop(kill);
    }
}

/// Whether a program can be started.
pub fn has(program: &str) -> bool {
    Command::new(program).arg("-V").output().is_ok_and(|output| output.status.success())
}

/// Binds this thread, and what it starts from now on, to a set of processors such as `1` or `0-3`.
pub fn bind(processors: &str) -> Result<(), String> {
    let own = std::process::id().to_string();
    let output = Command::new("taskset").args(["-cp", processors, &own]).output();
    let output = output.map_err(|_| "taskset is absent".to_owned())?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("taskset: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// The processors that this process may use, such as `0-3`.
pub fn processors() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// The last of these processors: the first ones have more of the system's own work.
pub fn last_of(processors: &str) -> &str {
    processors.rsplit([',', '-']).next().unwrap_or(processors)
}

/// System calls by name from the file that `strace -c` writes.
pub fn read_strace(text: &str) -> BTreeMap<String, u64> {
    let rows = text.lines().filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        // % time, seconds, usecs/call, calls, errors where there are some, syscall
        let (name, calls) = (fields.last()?, fields.get(3)?.parse().ok()?);
        (*name != "total").then(|| ((*name).to_owned(), calls))
    });
    rows.collect()
}

/// A folder for files of one measure, gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// An empty one below cargo's own, which nobody else writes to.
    pub fn new(name: &str) -> Result<Self, String> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}"));
        let scratch = Scratch(folder);
        // Of a run that was cut short.
        let _ = std::fs::remove_dir_all(&scratch.0);
        let made = std::fs::create_dir_all(&scratch.0);
        made.map_err(|e| format!("{}: {e}", scratch.0.display()))?;
        Ok(scratch)
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The machine, for who reads the figures: processor, how many, system, and how busy it was.
pub fn machine() -> Vec<(&'static str, String)> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    let release = read("/proc/sys/kernel/osrelease");
    let release = release.split('-').next().unwrap_or_default();
    let load = read("/proc/loadavg");
    vec![
        ("processor", model.to_owned()),
        ("processors", count.to_string()),
        ("system", format!("{} {}", std::env::consts::OS, release.trim())),
        ("architecture", std::env::consts::ARCH.to_owned()),
        ("load", load.split(' ').next().unwrap_or_default().to_owned()),
    ]
}
