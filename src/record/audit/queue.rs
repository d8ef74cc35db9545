//! The records on their way to the thread that writes them: bounded, and gathered in blocks, since
//! memory that goes from thread to thread by small pieces is dear.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How many bytes of records may wait. One that is larger waits alone.
const WAITING: usize = 64 * 1024 * 1024;
/// Records are gathered up to so many bytes.
const LARGE: usize = 32 * 1024;
/// How long a record may wait for others to be written with it.
const GATHER: Duration = Duration::from_millis(10);
/// Before each record in a block: the length of its members and of its body, eight bytes each.
const HEAD: usize = 16;
/// The length of a body that is not there.
const ABSENT: u64 = u64::MAX;

/// The queue, shared by the requests and the writer.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
    /// Told when a block was begun, and when all must be written at once.
    filled: Condvar,
    /// Told when the file was tried for the first time, and when the writer has ended.
    written: Condvar,
    failing: AtomicBool,
    /// Records that were taken, and those that found no room.
    taken: AtomicU64,
    lost: AtomicU64,
}

#[derive(Default)]
struct State {
    blocks: Vec<Vec<u8>>,
    /// What the next block is gathered in.
    spare: Vec<u8>,
    /// Of the records that wait or are being written.
    bytes: usize,
    lost: Option<Lost>,
    is_closed: bool,
    was_tried: bool,
    has_ended: bool,
}

/// Records that found no room.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// How many.
    pub count: u64,
    /// When the first was lost.
    pub since: SystemTime,
}

/// What the writer gets.
#[derive(Default)]
pub struct Taken {
    /// Blocks of records, in order.
    pub blocks: Vec<Vec<u8>>,
    /// What was lost after them.
    pub lost: Option<Lost>,
    /// Whether nothing will come any more.
    pub is_last: bool,
}

impl Queue {
    // Held to take or put records, never while they are written.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a record in, or counts it as lost where there is no room.
    pub fn put(&self, fields: &[u8], body: Option<&[u8]>) {
        let size = HEAD + fields.len() + body.map_or(0, <[u8]>::len);
        // Large bodies are copied before the lock is taken.
        let own = (size > LARGE).then(|| {
            let mut block = Vec::with_capacity(size);
            push(&mut block, fields, body);
            block
        });
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        if state.bytes > 0 && state.bytes + size > WAITING {
            let new = Lost { count: 0, since: SystemTime::now() };
            state.lost.get_or_insert(new).count += 1;
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        state.bytes += size;
        match (own, state.blocks.last_mut()) {
            (Some(block), _) => state.blocks.push(block),
            (None, Some(last)) if last.len() + size <= LARGE => {
                push(last, fields, body);
                return;
            }
            (None, _) => {
                let mut block = std::mem::take(&mut state.spare);
                // At once: growing by doubling takes three times as much.
                block.reserve(LARGE);
                push(&mut block, fields, body);
                state.blocks.push(block);
            }
        }
        drop(state);
        self.filled.notify_one();
    }

    /// How many records were taken, and how many found no room.
    pub fn counts(&self) -> (u64, u64) {
        (self.taken.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }

    /// Waits for records, and for others that come right behind them.
    pub fn take(&self) -> Taken {
        let mut state = self.state();
        while state.blocks.is_empty() && state.lost.is_none() && !state.is_closed {
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + GATHER;
        while !state.is_closed && state.blocks.len() < 2 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let woken = self.filled.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        Taken {
            blocks: std::mem::take(&mut state.blocks),
            lost: state.lost.take(),
            is_last: state.is_closed,
        }
    }

    /// Gives back a block whose records are written.
    pub fn give_back(&self, mut block: Vec<u8>) {
        let mut state = self.state();
        state.bytes = state.bytes.saturating_sub(block.len());
        if block.capacity() <= 2 * LARGE {
            block.clear();
            state.spare = block;
        }
    }

    /// Waits `time`, or until the end is wanted; whether it is.
    pub fn wait_closed(&self, time: Duration) -> bool {
        let state = self.state();
        let woken = self.filled.wait_timeout_while(state, time, |state| !state.is_closed);
        woken.unwrap_or_else(PoisonError::into_inner).0.is_closed
    }

    /// Says whether the file can be written now.
    pub fn set_failing(&self, failing: bool) {
        self.failing.store(failing, Ordering::Relaxed);
        self.state().was_tried = true;
        self.written.notify_all();
    }

    /// What was said last; `false` before.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Waits until the file was tried, `most` at most.
    pub fn wait_tried(&self, most: Duration) {
        let state = self.state();
        // Where it takes longer the first records wait for it.
        let _ = self.written.wait_timeout_while(state, most, |state| !state.was_tried);
    }

    /// Takes nothing more, and waits until all is written, `most` at most.
    pub fn close(&self, most: Duration) {
        let mut state = self.state();
        state.is_closed = true;
        self.filled.notify_all();
        // Late is as good as never here: the process is ending.
        let _ = self.written.wait_timeout_while(state, most, |state| !state.has_ended);
    }

    /// Says that the writer has ended.
    pub fn end(&self) {
        self.state().has_ended = true;
        self.written.notify_all();
    }
}

fn push(block: &mut Vec<u8>, fields: &[u8], body: Option<&[u8]>) {
    let body_length = body.map_or(ABSENT, |body| body.len() as u64);
    block.extend_from_slice(&(fields.len() as u64).to_le_bytes());
    block.extend_from_slice(&body_length.to_le_bytes());
    block.extend_from_slice(fields);
    block.extend_from_slice(body.unwrap_or_default());
}

/// A record in a block.
#[derive(Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its members as JSON text.
    pub fields: &'a [u8],
    /// Its body, as it came.
    pub body: Option<&'a [u8]>,
    /// Where the next one begins.
    pub next: usize,
}

/// The record of a block that begins at `at`; `None` at the end.
pub fn record(block: &[u8], at: usize) -> Option<Record<'_>> {
    let (fields_length, rest) = block.get(at..)?.split_first_chunk::<8>()?;
    let (body_length, rest) = rest.split_first_chunk::<8>()?;
    let fields_length = usize::try_from(u64::from_le_bytes(*fields_length)).ok()?;
    let (fields, rest) = rest.split_at_checked(fields_length)?;
    let next = at + HEAD + fields_length;
    match u64::from_le_bytes(*body_length) {
        ABSENT => Some(Record { fields, body: None, next }),
        length => {
            let length = usize::try_from(length).ok()?;
            Some(Record { fields, body: Some(rest.get(..length)?), next: next + length })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_as_they_went_in() {
        let queue = Queue::default();
        let large = vec![b'x'; LARGE];
        let put: [(&[u8], Option<&[u8]>); 4] =
            [(b"a", None), (b"b", Some(b"")), (b"c", Some(&large)), (b"d", Some(b"body"))];
        for (fields, body) in put {
            queue.put(fields, body);
        }
        let taken = queue.take();
        let mut found = Vec::new();
        for block in &taken.blocks {
            let mut at = 0;
            while let Some(record) = record(block, at) {
                found.push((record.fields, record.body));
                at = record.next;
            }
            assert_eq!(at, block.len());
        }
        assert_eq!(found, put);
        assert!(!taken.is_last && taken.lost.is_none());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_room_comes_back() {
        let queue = Queue::default();
        let half = vec![0; WAITING / 2];
        for _ in 0..4 {
            queue.put(b"x", Some(&half));
        }
        let taken = queue.take();
        assert_eq!((taken.blocks.len(), taken.lost.unwrap().count), (1, 3));
        queue.put(b"x", Some(&half));
        for block in taken.blocks {
            queue.give_back(block);
        }
        queue.put(b"x", Some(&half));
        let taken = queue.take();
        assert_eq!((taken.blocks.len(), taken.lost.unwrap().count), (1, 1));
        for block in taken.blocks {
            queue.give_back(block);
        }
        // However large it is, one record has room.
        queue.put(b"x", Some(&vec![0; WAITING + 1]));
        queue.close(Duration::ZERO);
        queue.put(b"x", None);
        let taken = queue.take();
        assert!(taken.blocks.len() == 1 && taken.is_last);
    }
}
