//! Lines on stderr: each request as it came (RX) and as it was answered (TX), and faults.
//!
//! Lines are written by a thread of their own. Where stderr is not read, the newest are dropped and
//! counted, so that nobody waits for it.

use crossbeam_channel::{Receiver, Sender, unbounded};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How many bytes of lines may wait for stderr.
const WAITING: usize = 64 * 1024 * 1024;

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

enum Item {
    Line(String),
    /// Answered once all lines before it are written.
    Flush(Sender<()>),
}

/// The way to stderr. Clones share it.
#[derive(Clone)]
pub struct Log {
    level: Level,
    color: bool,
    lines: Sender<Item>,
    waiting: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
}

impl Log {
    /// Starts the thread that writes, which lives as long as the process.
    pub fn new(level: Level, color: bool) -> std::io::Result<Self> {
        let (lines, queue) = unbounded();
        let (waiting, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let log = Log { level, color, lines, waiting: waiting.clone(), dropped: dropped.clone() };
        let run = move || write_all(&queue, &waiting, &dropped);
        thread::Builder::new().name("log".into()).spawn(run)?;
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
        let length = line.len();
        if self.waiting.fetch_add(length, Ordering::Relaxed) + length > WAITING {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // The thread lives as long as the process.
        let _ = self.lines.send(Item::Line(line));
    }

    /// Waits until all lines so far are written, `most` at most.
    pub fn flush(&self, most: Duration) {
        let (done, wait) = crossbeam_channel::bounded(1);
        if self.lines.send(Item::Flush(done)).is_ok() {
            // Late is as good as never here: the process is ending.
            let _ = wait.recv_deadline(Instant::now() + most);
        }
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
        for row in text.lines() {
            // Writing to a String cannot fail.
            let _ = writeln!(self.line, "    {mark}{}", one_line(row));
            mark = "";
        }
    }
}

fn write_all(queue: &Receiver<Item>, waiting: &AtomicUsize, dropped: &AtomicUsize) {
    let mut err = std::io::stderr();
    for item in queue {
        match item {
            Item::Line(line) => {
                // Where stderr is closed there is nobody to tell.
                let _ = err.write_all(line.as_bytes());
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
                let lost = dropped.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    let _ =
                        writeln!(err, "modeltap: {lost} lines were dropped: stderr is not read");
                }
            }
            Item::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

/// The text with its control characters made visible, so that no request can forge a line or
/// steer a terminal.
fn one_line(text: &str) -> std::borrow::Cow<'_, str> {
    let is_control = |c: char| c.is_control() && c != '\t';
    if !text.contains(is_control) {
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
