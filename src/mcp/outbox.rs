//! Standard output, the one JSON-RPC writer.
//!
//! The stream itself lies in a channel of one slot: whoever takes it writes one line and puts it
//! back, so that waiting for it has a deadline. A host that does not read costs the thread that is
//! writing, and everybody else gets a clear refusal. What nobody waits for (answers to the host,
//! notifications) is written by a thread of its own, in order, so that the stdin loop never
//! waits for a host that writes before it reads.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many lines may wait for a host that does not read.
const POSTED: usize = 1024;
const DROPPED: &str = "an MCP message was dropped: the host does not read its pipe";

type Stream = Box<dyn Write + Send>;

/// Where a fault that no caller waits for is told.
pub type Report = Arc<dyn Fn(&str) + Send + Sync>;

/// Why a line was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The host does not read; the deadline passed.
    Stuck,
    /// The host has closed its end.
    Closed,
}

enum Posted {
    Line(String),
    /// Dropped when its turn comes, for whoever waits at the other end.
    Mark(#[expect(dead_code)] Sender<()>),
}

/// Standard output. Clones share it.
#[derive(Clone)]
pub struct Outbox {
    put: Sender<Stream>,
    take: Receiver<Stream>,
    post: Sender<Posted>,
    closed: Arc<AtomicBool>,
    report: Report,
}

impl Outbox {
    /// Owns `stream` from now on, and the thread that writes what is posted, which lives as long
    /// as the process.
    pub fn new(stream: impl Write + Send + 'static, report: Report) -> io::Result<Self> {
        let (put, take) = bounded(1);
        let (post, posted) = bounded(POSTED);
        // The slot is empty, so this cannot block, and the receiver is at hand.
        let _ = put.send(Box::new(stream) as Stream);
        let outbox = Outbox { put, take, post, closed: Arc::default(), report };
        let writer = outbox.clone();
        thread::Builder::new().name("mcp-out".into()).spawn(move || {
            for posted in posted {
                // However long the host does not read, it gets its answers when it does again.
                if let Posted::Line(line) = posted
                    && let Ok(stream) = writer.take.recv()
                {
                    // Nobody waits for it, and whoever asks next is told that the host is gone.
                    let _ = writer.write(stream, line.into_bytes());
                }
            }
        })?;
        Ok(outbox)
    }

    /// Writes a line, whose end is added here, now and in one write; waits for its turn until
    /// `deadline`.
    pub fn send(&self, line: Vec<u8>, deadline: Instant) -> Result<(), Unsent> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Unsent::Closed);
        }
        let stream = self.take.recv_deadline(deadline).map_err(|_| Unsent::Stuck)?;
        self.write(stream, line)
    }

    /// Writes a line and puts the stream back.
    fn write(&self, mut stream: Stream, mut line: Vec<u8>) -> Result<(), Unsent> {
        line.push(b'\n');
        let written = stream.write_all(&line).and_then(|()| stream.flush());
        // There is one stream and one slot, so this cannot block.
        let _ = self.put.send(stream);
        written.map_err(|_| {
            self.closed.store(true, Ordering::Relaxed);
            Unsent::Closed
        })
    }

    /// Writes nothing from now on: the host has gone, or needs no more news.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Queues a line that nobody waits for. Where the host has not read the last thousand, the
    /// line is dropped and the loss told on stderr.
    pub fn post(&self, line: String) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.post.try_send(Posted::Line(line)) {
            (self.report)(DROPPED);
        }
    }

    /// Waits until all that was posted before is written, but no longer than `within`.
    pub fn flush(&self, within: Duration) {
        let until = Instant::now() + within;
        let (mark, passed) = bounded(0);
        if self.post.send_deadline(Posted::Mark(mark), until).is_ok() {
            // That it is dropped is the news; there is nothing to receive.
            let _ = passed.recv_deadline(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_host_costs_others_a_refusal_and_not_their_thread() {
        struct Stuck(Receiver<()>);
        impl Write for Stuck {
            fn write(&mut self, data: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(data.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (reads, reading) = bounded::<()>(0);
        let outbox = Outbox::new(Stuck(reading), Arc::new(|_| {})).unwrap();
        let first = outbox.clone();
        let far = Instant::now() + Duration::from_secs(60);
        let writer = thread::spawn(move || first.send(b"{}".to_vec(), far));
        while !outbox.take.is_empty() {
            thread::yield_now();
        }
        assert_eq!(outbox.send(b"{}".to_vec(), Instant::now()), Err(Unsent::Stuck));
        reads.send(()).unwrap();
        assert_eq!(writer.join().unwrap(), Ok(()));
        drop(reads);
        assert_eq!(outbox.send(b"{}".to_vec(), far), Ok(()));
    }
}
