//! What the system knows of the process, under the names that all exporters use. What cannot be had
//! here is left out.

use super::text::Text;
use std::fs;

/// Tells it.
pub fn write(started: u64, text: &mut Text) {
    let said = "Unix time at which the process started.";
    text.family("process_start_time_seconds", "gauge", said);
    text.sample(&[], started);
    let figures = [
        ("process_open_fds", open_descriptors(), "Open file descriptors."),
        ("process_max_fds", most_descriptors(), "The most file descriptors that may be open."),
        ("process_resident_memory_bytes", status("VmRSS:").map(|kib| kib << 10), "Memory in use."),
        ("process_threads", status("Threads:"), "Threads."),
    ];
    for (name, value, said) in figures {
        if let Some(value) = value {
            text.family(name, "gauge", said);
            text.sample(&[], value);
        }
    }
}

fn open_descriptors() -> Option<u64> {
    // One of them is the folder itself.
    let open = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(open.saturating_sub(1) as u64)
}

fn most_descriptors() -> Option<u64> {
    number(&fs::read_to_string("/proc/self/limits").ok()?, "Max open files")
}

fn status(name: &str) -> Option<u64> {
    number(&fs::read_to_string("/proc/self/status").ok()?, name)
}

/// The first number behind this name at the begin of a line.
fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
