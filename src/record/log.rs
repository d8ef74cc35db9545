//! Lines on stderr: each request as it came (RX) and as it was answered (TX), and faults.
//!
//! Lines are written by a thread of their own, which gathers what comes within a moment into one
//! write: a thread woken for each line would cost every request more than its own work. Where
//! stderr is not read, the newest lines are dropped and counted, so that nobody waits for it.

use crate::clock;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes of lines may wait for stderr.
const WAITING: usize = 64 * 1024 * 1024;
/// Lines are gathered into one write up to this many bytes, which then do not wait for more.
const LARGE: usize = 32 * 1024;
/// How long a line may wait for others to be written with it.
const GATHER: Duration = Duration::from_millis(10);
/// Room for the lines of a short request.
const SHORT: usize = 512;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Requests with their text, and faults.
    Full,
    /// Requests without their text, and faults.
    Brief,
    /// Faults only.
    Off,
}

/// The way to stderr. Clones share it.
#[derive(Clone)]
pub struct Log {
    level: Level,
    color: bool,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Told when there is something to write, and at once when somebody waits for that.
    filled: Condvar,
    /// Told when all was written.
    emptied: Condvar,
}

#[derive(Default)]
struct Queue {
    /// Lines, gathered as far as one write takes them.
    blocks: Vec<String>,
    /// What the next block is gathered in, empty: kept, since memory that goes from thread to
    /// thread comes back in pieces.
    spare: String,
    /// Of the lines that wait or are being written.
    bytes: usize,
    dropped: usize,
    /// Whether somebody waits until all is written.
    hurry: bool,
}

impl Queue {
    fn put(&mut self, line: String) {
        self.bytes += line.len();
        match self.blocks.last_mut() {
            Some(block) if block.len() + line.len() <= LARGE => block.push_str(&line),
            // Large texts are not copied once more.
            _ if line.len() > LARGE => self.blocks.push(line),
            _ => {
                let mut block = std::mem::take(&mut self.spare);
                // At once: growing by doubling takes three times as much.
                block.reserve(LARGE);
                block.push_str(&line);
                self.blocks.push(block);
            }
        }
    }

    /// Whether what waits is worth a write of its own.
    fn is_large(&self) -> bool {
        self.blocks.len() > 1
    }
}

impl Shared {
    // Held to take or put lines, never while they are written.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    /// Starts the thread that writes, which lives as long as the process.
    pub fn new(level: Level, color: bool) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let log = Log { level, color, shared: shared.clone() };
        thread::Builder::new().name("log".into()).spawn(move || write_all(&shared))?;
        Ok(log)
    }

    /// How much is told.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Tells a fault, at every level.
    pub fn report(&self, problem: &str) {
        let mut line = String::from("modeltap: ");
        push_visible(&mut line, problem);
        line.push('\n');
        self.line(line);
    }

    /// Tells of a request: `head` after its time and RX, and `text` below it.
    pub fn rx(&self, head: fmt::Arguments, text: impl FnOnce(&mut Rows)) {
        self.exchange("RX", "\x1b[36m", head, text);
    }

    /// Tells of an answer: `head` after its time and TX, and `text` below it.
    pub fn tx(&self, head: fmt::Arguments, text: impl FnOnce(&mut Rows)) {
        self.exchange("TX", "\x1b[32m", head, text);
    }

    fn exchange(
        &self,
        mark: &str,
        color: &str,
        head: fmt::Arguments,
        text: impl FnOnce(&mut Rows),
    ) {
        if self.level == Level::Off {
            return;
        }
        let (on, off) = if self.color { (color, "\x1b[0m") } else { ("", "") };
        let time = humantime::format_rfc3339_millis(clock::now());
        let mut rows = Rows { line: String::with_capacity(SHORT) };
        // Writing to a String cannot fail.
        let _ = write!(rows.line, "{on}{time} {mark} ");
        let start = rows.line.len();
        let _ = write!(rows.line, "{head}");
        if !is_plain(&rows.line[start..]) {
            let head = rows.line.split_off(start);
            push_visible(&mut rows.line, &head);
        }
        rows.line.push_str(off);
        rows.line.push('\n');
        if self.level == Level::Full {
            text(&mut rows);
        }
        self.line(rows.line);
    }

    fn line(&self, line: String) {
        let mut queue = self.shared.queue();
        if queue.bytes + line.len() > WAITING {
            queue.dropped += 1;
            return;
        }
        let before = queue.blocks.len();
        queue.put(line);
        let has_new = queue.blocks.len() > before;
        drop(queue);
        if has_new {
            self.shared.filled.notify_one();
        }
    }

    /// Waits until all lines so far are written, `most` at most.
    pub fn flush(&self, most: Duration) {
        let mut queue = self.shared.queue();
        queue.hurry = true;
        self.shared.filled.notify_one();
        // Late is as good as never here: the process is ending.
        let _ = self.shared.emptied.wait_timeout_while(queue, most, |queue| queue.bytes > 0);
    }
}

/// The text below a line, written where it will leave from: texts may be large.
#[derive(Default)]
pub struct Rows {
    pub(super) line: String,
}

impl Rows {
    /// Adds a text, its first row behind `mark`.
    pub fn push(&mut self, mark: &str, text: &str) {
        let mut mark = mark;
        // Room for all of it, with some lines and what stands before them.
        self.line.reserve(text.len() + text.len() / 16);
        for row in text.lines() {
            self.line.push_str("    ");
            self.line.push_str(mark);
            push_visible(&mut self.line, row);
            self.line.push('\n');
            mark = "";
        }
    }
}

fn write_all(shared: &Shared) {
    let mut err = std::io::stderr();
    loop {
        let mut queue = shared.queue();
        while queue.blocks.is_empty() {
            queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + GATHER;
        while !queue.hurry && !queue.is_large() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = shared.filled.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut blocks = std::mem::take(&mut queue.blocks);
        let lost = std::mem::take(&mut queue.dropped);
        drop(queue);
        let bytes: usize = blocks.iter().map(String::len).sum();
        // Where stderr is closed there is nobody to tell.
        let _ = blocks.iter().try_for_each(|block| err.write_all(block.as_bytes()));
        if lost > 0 {
            let _ = writeln!(err, "modeltap: {lost} lines were dropped: stderr is not read");
        }
        let spare = blocks.drain(..).find(|block| block.capacity() <= 2 * LARGE);
        let mut queue = shared.queue();
        queue.bytes -= bytes;
        if let Some(mut spare) = spare {
            spare.clear();
            queue.spare = spare;
        }
        drop(queue);
        shared.emptied.notify_all();
    }
}

/// Appends the text with its control characters made visible, so that no request can forge a line
/// or steer a terminal.
pub(super) fn push_visible(line: &mut String, text: &str) {
    let is_control = |c: char| c.is_control() && c != '\t';
    if is_plain(text) || !text.contains(is_control) {
        return line.push_str(text);
    }
    for c in text.chars() {
        match is_control(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
}

/// Whether no byte is one of a control character's, as in most texts; U+0080 to U+009F begin with C2.
/// Without an exit the loop takes many bytes a step.
fn is_plain(text: &str) -> bool {
    let plain = |b: u8| (b >= b' ' && b != 0x7f && b != 0xc2) || b == b'\t';
    text.bytes().fold(true, |all, b| all & plain(b))
}

#[cfg(test)]
mod tests {
    use super::push_visible;

    #[test]
    fn control_characters_become_visible() {
        for (text, visible) in [
            ("a\tb 你", "a\tb 你"),
            ("x\n\x1b[31mred\r你", "x\\n\\u{1b}[31mred\\r你"),
            ("§\u{9b}\u{7f}", "§\\u{9b}\\u{7f}"),
        ] {
            let mut line = String::new();
            push_visible(&mut line, text);
            assert_eq!(line, visible);
        }
    }
}
