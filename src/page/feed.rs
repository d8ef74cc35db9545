//! The open pages, each with its queue, and the thread that tells them what is new: some times a
//! second, all of it at once, in bytes that all pages share. It lives for as long as there is a page.
//!
//! Nobody waits for a page: one that does not take what is in its queue loses what comes then, and is
//! told how much that was.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many pages may be open.
pub const PAGES: usize = 100;
/// How often something is told.
const TICK: Duration = Duration::from_millis(250);
/// How often where so much happens that more than this many exchanges came in between: nobody can follow
/// that, and it should not cost those who ask.
const SLOW: Duration = Duration::from_secs(1);
/// That many.
pub const MANY: u64 = 40;
/// How long the thread goes on without a page, so that nothing is lost when one is loaded again.
const LINGER: Duration = Duration::from_secs(10);
/// How many pieces may wait for a page.
const QUEUE: usize = 16;

/// A piece of what is told, as it goes to all pages.
pub type Piece = Arc<[u8]>;

/// What is told, and to whom it matters that somebody watches.
pub trait Source: Send + 'static {
    /// What is new since this was last called, and how many exchanges it tells of; `None` where
    /// nothing is.
    fn next(&mut self) -> Option<(Piece, u64)>;
    /// Says whether anybody watches.
    fn watch(&self, is_watched: bool);
}

#[derive(Default)]
struct Pages {
    open: Vec<(Sender<Piece>, Arc<AtomicU64>)>,
    is_running: bool,
    /// Whether the process is about to end.
    is_closed: bool,
}

/// The open pages. Clones share them.
#[derive(Clone, Default)]
pub struct Feed(Arc<(Mutex<Pages>, Condvar)>);

/// Why no page can be opened.
#[derive(Debug)]
pub enum Closed {
    /// There are [`PAGES`].
    Full,
    /// The process is about to end.
    Ending,
    /// There is no thread for it.
    NoThread(io::Error),
}

/// What is told to one page.
pub struct Reader {
    pieces: Receiver<Piece>,
    lost: Arc<AtomicU64>,
}

/// What a page is told next.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// This.
    Piece(Piece),
    /// So many exchanges were lost on the way. It is to be told anew how all is.
    Lost(u64),
    /// Nothing for now.
    Nothing,
    /// No more.
    End,
}

impl Feed {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a page, and starts the thread if there is none; it gets its source by `make`.
    ///
    /// # Errors
    /// There are too many, the process is about to end, or there is no thread.
    pub fn open<S: Source>(&self, make: impl FnOnce() -> S) -> Result<Reader, Closed> {
        let mut pages = self.pages();
        if pages.is_closed {
            return Err(Closed::Ending);
        }
        if pages.open.len() >= PAGES {
            return Err(Closed::Full);
        }
        if !pages.is_running {
            let (feed, source) = (self.clone(), make());
            source.watch(true);
            let run = move || feed.run(source);
            thread::Builder::new().name("page".into()).spawn(run).map_err(Closed::NoThread)?;
            pages.is_running = true;
        }
        let (send, pieces) = bounded(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        pages.open.push((send, lost.clone()));
        self.0.1.notify_all();
        Ok(Reader { pieces, lost })
    }

    /// Ends all pages that are open now.
    pub fn end(&self) {
        self.pages().open.clear();
    }

    /// Ends all pages for good: nobody is to wait for those who only watch.
    pub fn close(&self) {
        let mut pages = self.pages();
        pages.is_closed = true;
        pages.open.clear();
    }

    /// How many pages are open, as far as that was noticed.
    pub fn count(&self) -> usize {
        self.pages().open.len()
    }

    fn run(&self, mut source: impl Source) {
        let mut pages = self.pages();
        loop {
            if pages.open.is_empty() {
                let idle = |pages: &mut Pages| pages.open.is_empty();
                let waited = self.0.1.wait_timeout_while(pages, LINGER, idle);
                pages = waited.unwrap_or_else(PoisonError::into_inner).0;
                if pages.open.is_empty() {
                    pages.is_running = false;
                    source.watch(false);
                    return;
                }
            }
            drop(pages);
            let news = source.next();
            pages = self.pages();
            pages.open.retain(|(to, lost)| match &news {
                Some((piece, weight)) => send(to, lost, piece, *weight),
                None => true,
            });
            // Nothing tells what changes elsewhere, so it is looked at now and then.
            let is_busy = news.is_some_and(|(_, weight)| weight > MANY);
            let until = Instant::now() + if is_busy { SLOW } else { TICK };
            while let Some(left) = until.checked_duration_since(Instant::now()) {
                let waited = self.0.1.wait_timeout(pages, left);
                pages = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

/// Puts a piece into a page's queue; whether the page is still there.
fn send(to: &Sender<Piece>, lost: &AtomicU64, piece: &Piece, weight: u64) -> bool {
    match to.try_send(piece.clone()) {
        Ok(()) => true,
        Err(TrySendError::Full(_)) => {
            // Even what tells of no exchange must be made up for.
            lost.fetch_add(weight.max(1), Ordering::Relaxed);
            true
        }
        Err(TrySendError::Disconnected(_)) => false,
    }
}

impl Reader {
    /// What is told next, within this time.
    pub fn next(&self, within: Duration) -> Told {
        match self.lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => {
                // It is all older than what the page is told anew.
                while self.pieces.try_recv().is_ok() {}
                return Told::Lost(lost);
            }
        }
        match self.pieces.recv_timeout(within) {
            Ok(piece) => Told::Piece(piece),
            Err(RecvTimeoutError::Timeout) => Told::Nothing,
            Err(RecvTimeoutError::Disconnected) => Told::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells a number more each time, and hands on whether somebody watches.
    struct Numbers(u64, Sender<bool>);

    impl Source for Numbers {
        fn next(&mut self) -> Option<(Piece, u64)> {
            self.0 += 1;
            Some((self.0.to_string().into_bytes().into(), 3))
        }
        fn watch(&self, is_watched: bool) {
            let _ = self.1.send(is_watched);
        }
    }

    const PATIENCE: Duration = Duration::from_secs(30);

    #[test]
    fn a_page_that_does_not_read_loses_what_has_no_room_and_learns_how_much() {
        let (to, pieces) = bounded(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let reader = Reader { pieces, lost: lost.clone() };
        let piece: Piece = b"piece".as_slice().into();
        for _ in 0..QUEUE + 5 {
            assert!(send(&to, &lost, &piece, 2));
        }
        assert_eq!(reader.next(PATIENCE), Told::Lost(10));
        assert_eq!(reader.next(Duration::ZERO), Told::Nothing);
        assert!(send(&to, &lost, &piece, 2));
        assert_eq!(reader.next(PATIENCE), Told::Piece(piece.clone()));
        drop(reader);
        assert!(!send(&to, &lost, &piece, 2));
    }

    #[test]
    fn pages_are_told_the_same_and_end_together() {
        let (watch, watched) = bounded(9);
        let feed = Feed::default();
        let one = feed.open(|| Numbers(0, watch)).unwrap();
        assert_eq!(watched.recv_timeout(PATIENCE), Ok(true));
        let Told::Piece(first) = one.next(PATIENCE) else { panic!("nothing came") };
        assert_eq!(&*first, b"1");
        let other = feed.open(|| -> Numbers { panic!("the thread is there") }).unwrap();
        let Told::Piece(second) = one.next(PATIENCE) else { panic!("nothing came") };
        assert_eq!(other.next(PATIENCE), Told::Piece(second));
        feed.end();
        let ends = |reader: &Reader| {
            while let Told::Piece(_) = reader.next(PATIENCE) {}
            reader.next(PATIENCE) == Told::End
        };
        assert!(ends(&one) && ends(&other));
        assert_eq!(feed.count(), 0);
        feed.close();
        let late = feed.open(|| -> Numbers { panic!("nobody is told any more") });
        assert!(matches!(late, Err(Closed::Ending)));
    }

    #[test]
    fn there_is_room_for_so_many_pages() {
        let (watch, _watched) = bounded(9);
        let feed = Feed::default();
        let numbers = || Numbers(0, watch.clone());
        let mut open: Vec<_> = (0..PAGES).map(|_| feed.open(numbers).unwrap()).collect();
        assert!(matches!(feed.open(numbers), Err(Closed::Full)));
        open.pop();
        // Whoever left is noticed when there is news.
        let deadline = Instant::now() + PATIENCE;
        while feed.count() == PAGES && Instant::now() < deadline {
            for reader in &open {
                reader.next(Duration::from_millis(50));
            }
        }
        assert!(feed.open(numbers).is_ok());
    }
}
