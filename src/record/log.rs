//! Lines on stderr: each request as it came (RX) and as it was answered (TX), and faults.
//!
//! Lines are written by a thread of their own, which gathers what comes within a moment into one
//! write: a thread woken for each line would cost every request more than its own work. Where
//! stderr is not read, the newest lines are dropped and counted, so that nobody waits for it.

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How many bytes of lines may wait for stderr.
const WAITING: usize = 64 * 1024 * 1024;
/// Lines are gathered into one write up to this many bytes.
const LARGE: usize = 256 * 1024;
/// How long a line may wait for others to be written with it.
const GATHER: Duration = Duration::from_millis(10);

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
    lines: Vec<String>,
    /// Of the lines that wait or are being written.
    bytes: usize,
    dropped: usize,
    /// Whether somebody waits until all is written.
    hurry: bool,
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
        self.line(format!("modeltap: {}\n", one_line(problem)));
    }

    /// Tells of a request: `head` after its time and RX, and `text` below it.
    pub fn rx(&self, head: impl FnOnce() -> String, text: impl FnOnce(&mut Rows)) {
        self.exchange("RX", "\x1b[36m", head, text);
    }

    /// Tells of an answer: `head` after its time and TX, and `text` below it.
    pub fn tx(&self, head: impl FnOnce() -> String, text: impl FnOnce(&mut Rows)) {
        self.exchange("TX", "\x1b[32m", head, text);
    }

    fn exchange(
        &self,
        mark: &str,
        color: &str,
        head: impl FnOnce() -> String,
        text: impl FnOnce(&mut Rows),
    ) {
        if self.level == Level::Off {
            return;
        }
        let (on, off) = if self.color { (color, "\x1b[0m") } else { ("", "") };
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let line = format!("{on}{time} {mark} {}{off}\n", one_line(&head()));
        let mut rows = Rows { line };
        if self.level == Level::Full {
            text(&mut rows);
        }
        let line = rows.line;
        self.line(line);
    }

    fn line(&self, line: String) {
        let mut queue = self.shared.queue();
        if queue.bytes + line.len() > WAITING {
            queue.dropped += 1;
            return;
        }
        queue.bytes += line.len();
        let is_first = queue.lines.is_empty();
        queue.lines.push(line);
        drop(queue);
        if is_first {
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
pub struct Rows {
    line: String,
}

impl Rows {
    /// Adds a text, its first row behind `mark`.
    pub fn push(&mut self, mark: &str, text: &str) {
        let mut mark = mark;
        // Room for all of it, with some lines and what stands before them.
        self.line.reserve(text.len() + text.len() / 16);
        for row in text.lines() {
            for piece in ["    ", mark, &one_line(row), "\n"] {
                self.line.push_str(piece);
            }
            mark = "";
        }
    }
}

fn write_all(shared: &Shared) {
    let mut err = std::io::stderr();
    let mut gathered = Vec::new();
    loop {
        let mut queue = shared.queue();
        while queue.lines.is_empty() {
            queue = shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + GATHER;
        while !queue.hurry {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = shared.filled.wait_timeout(queue, left);
            queue = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        let lines = std::mem::take(&mut queue.lines);
        let lost = std::mem::take(&mut queue.dropped);
        drop(queue);
        let bytes: usize = lines.iter().map(String::len).sum();
        // Where stderr is closed there is nobody to tell.
        let _ = match lines.as_slice() {
            // Large texts are not copied once more.
            lines if bytes > LARGE => lines.iter().try_for_each(|l| err.write_all(l.as_bytes())),
            lines => {
                gathered.clear();
                lines.iter().for_each(|line| gathered.extend_from_slice(line.as_bytes()));
                err.write_all(&gathered)
            }
        };
        if lost > 0 {
            let _ = writeln!(err, "modeltap: {lost} lines were dropped: stderr is not read");
        }
        drop(lines);
        shared.queue().bytes -= bytes;
        shared.emptied.notify_all();
    }
}

/// The text with its control characters made visible, so that no request can forge a line or
/// steer a terminal.
fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    let is_control = |c: char| c.is_control() && c != '\t';
    // Most text has none of the bytes that control characters are made of. They are looked for
    // without an early end, which takes many bytes at a time.
    let may_be = |b: u8| (b < b' ' && b != b'\t') || b == 0x7f || b == 0xc2;
    if !text.bytes().fold(false, |found, b| found | may_be(b)) || !text.contains(is_control) {
        return text.into();
    }
    let visible =
        |c: char| if is_control(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(visible).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(one_line("a\tb 你"), "a\tb 你");
        assert_eq!(one_line("x\n\x1b[31mred\r"), "x\\n\\u{1b}[31mred\\r");
    }
}
