//! Who is connected: a bounded set of places, of which the longest idle one can be taken back, and a
//! few past the bound for those who are to be told that there is no room.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many connections past the bound are still told 503, rather than dropped without a word.
const OVER: usize = 64;
/// A place that is at work.
const BUSY: u64 = u64::MAX;
/// For how long nobody may have come, where new requests are refused, before one may close: whoever is
/// told to go elsewhere does so for a while.
const QUIET: Duration = Duration::from_millis(200);

/// How far the HTTP side is on its way to its end: each answer closes its connection from
/// [`LEAVING`] on, what comes is refused from [`REFUSING`] on, and who falls idle is cut off at
/// [`ENDING`].
const OPEN: u8 = 0;
const LEAVING: u8 = 1;
const REFUSING: u8 = 2;
const ENDING: u8 = 3;

#[derive(Debug)]
struct Seat {
    stream: TcpStream,
    /// Whether it is past the bound, and here only to be told so.
    over: AtomicBool,
    /// Nanoseconds since the start at which it fell idle or was opened, or [`BUSY`].
    idle_since: AtomicU64,
    /// Whether it was told to leave.
    evicted: AtomicBool,
}

/// All places. Clones share them.
#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bound: usize,
    start: Instant,
    end: AtomicU8,
    /// Nanoseconds since the start at which a request was refused because of that.
    refused: AtomicU64,
    taken: Mutex<Taken>,
    /// Told at each place that falls free.
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
}

impl Places {
    /// `bound` places, all free.
    pub fn new(bound: usize) -> Self {
        Places(Arc::new(Shared {
            bound,
            start: Instant::now(),
            end: AtomicU8::new(OPEN),
            refused: AtomicU64::new(0),
            taken: Mutex::default(),
            freed: Condvar::new(),
        }))
    }

    // Held for a look-up, never across I/O but for `shutdown`, which does not wait.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a new connection, or one of a few past the bound from which it can only be
    /// told that there is no room. `None` when those few are all talking too.
    /// With `full` it is one of those few in any case.
    pub fn take(&self, stream: TcpStream, full: bool) -> Option<Place> {
        let mut taken = self.taken();
        let over = full || !taken.has_room(self.0.bound, false);
        if over && !taken.has_room(OVER, true) {
            return None;
        }
        let id = taken.next;
        taken.next += 1;
        let seat = Arc::new(Seat {
            stream,
            over: AtomicBool::new(over),
            idle_since: AtomicU64::new(self.now()),
            evicted: AtomicBool::new(false),
        });
        taken.seats.insert(id, seat.clone());
        Some(Place { places: self.clone(), id, seat, full })
    }

    /// Sends the longest idle connection away, those past the bound first, and waits until one has
    /// left, `wait` at most. `false` when none is idle.
    pub fn make_room(&self, wait: Duration) -> bool {
        let taken = self.taken();
        (taken.evict(true) || taken.evict(false)) && self.has_left(taken, wait)
    }

    /// Waits until somebody leaves, `wait` at most; then sends one past the bound away.
    pub fn wait_for_room(&self, wait: Duration) {
        if !self.has_left(self.taken(), wait) {
            self.taken().evict(true);
        }
    }

    fn has_left(&self, taken: MutexGuard<'_, Taken>, wait: Duration) -> bool {
        let before = taken.seats.len();
        let left = self.0.freed.wait_timeout_while(taken, wait, |t| t.seats.len() >= before);
        left.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.taken().seats.len()
    }

    /// Lets everybody finish what is being answered, until `deadline` at most, and has each
    /// connection closed by its next answer. What comes up to `notice` is served, so that nothing fails
    /// before whoever sends it has noticed; then it is refused. Returns at once where nobody is
    /// connected.
    pub fn drain(&self, notice: Instant, deadline: Instant) {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        let mut taken = self.taken();
        if taken.seats.is_empty() {
            return;
        }
        self.0.end.fetch_max(LEAVING, Ordering::SeqCst);
        let noticed = self.0.freed.wait_timeout_while(taken, left(notice), |t| !t.seats.is_empty());
        taken = noticed.unwrap_or_else(PoisonError::into_inner).0;
        self.0.end.fetch_max(REFUSING, Ordering::SeqCst);
        self.0.refused.fetch_max(self.now(), Ordering::SeqCst);
        loop {
            let refused = Duration::from_nanos(self.0.refused.load(Ordering::SeqCst));
            let until = match taken.is_at_work() {
                true => deadline,
                false => (self.0.start + refused + QUIET).min(deadline),
            };
            let wait = left(until);
            if wait.is_zero() {
                return;
            }
            let woken = self.0.freed.wait_timeout(taken, wait);
            taken = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets everybody finish what is being answered, until `deadline`; then cuts them off.
    pub fn stop(&self, deadline: Instant) {
        self.0.end.store(ENDING, Ordering::SeqCst);
        let mut taken = self.taken();
        for seat in taken.seats.values() {
            if seat.idle_since.load(Ordering::SeqCst) != BUSY {
                // A connection that is closed already needs no closing.
                let _ = seat.stream.shutdown(Shutdown::Both);
            }
        }
        let wait = deadline.saturating_duration_since(Instant::now());
        let left = self.0.freed.wait_timeout_while(taken, wait, |t| !t.seats.is_empty());
        taken = left.unwrap_or_else(PoisonError::into_inner).0;
        for seat in taken.seats.values() {
            let _ = seat.stream.shutdown(Shutdown::Both);
        }
    }

    fn now(&self) -> u64 {
        self.0.start.elapsed().as_nanos() as u64
    }
}

impl Taken {
    fn is_at_work(&self) -> bool {
        self.seats.values().any(|seat| seat.idle_since.load(Ordering::SeqCst) == BUSY)
    }

    /// Those who are to stay, past the bound or within it.
    fn staying(&self, over: bool) -> impl Iterator<Item = &Arc<Seat>> {
        let seats = self.seats.values();
        let staying = seats.filter(|seat| !seat.evicted.load(Ordering::SeqCst));
        staying.filter(move |seat| seat.over.load(Ordering::Relaxed) == over)
    }

    /// Whether one of `bound` places is free, the longest idle connection being sent away for it.
    fn has_room(&self, bound: usize, over: bool) -> bool {
        self.staying(over).count() < bound || self.evict(over)
    }

    /// Tells the longest idle connection to leave; `false` when none is idle.
    fn evict(&self, over: bool) -> bool {
        let idle = self.staying(over).map(|seat| (seat.idle_since.load(Ordering::SeqCst), seat));
        let longest = idle.filter(|(since, _)| *since != BUSY).min_by_key(|(since, _)| *since);
        let Some((_, seat)) = longest else { return false };
        seat.evicted.store(true, Ordering::SeqCst);
        // A connection that is closed already makes room all the same.
        let _ = seat.stream.shutdown(Shutdown::Both);
        true
    }
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    id: u64,
    seat: Arc<Seat>,
    /// Whether its descriptor is the spare one, which is needed back at once.
    full: bool,
}

impl Place {
    /// The connection.
    pub fn stream(&self) -> &TcpStream {
        &self.seat.stream
    }

    /// Nothing, or no whole head, has come since the last answer: may be sent away.
    pub fn set_idle(&self) {
        self.seat.idle_since.store(self.places.now(), Ordering::SeqCst);
        if self.is_leaving() {
            // Somebody may wait for that. He looks while he has the lock.
            drop(self.places.taken());
            self.places.0.freed.notify_all();
        }
    }

    /// A request is at work: may not be sent away.
    pub fn set_busy(&self) {
        self.seat.idle_since.store(BUSY, Ordering::SeqCst);
    }

    /// Whether a request that has come whole can be served. Who came past the bound can be, if there
    /// is room by now.
    pub fn is_within_bound(&self) -> bool {
        let taken = self.places.taken();
        let over = &self.seat.over;
        if over.load(Ordering::Relaxed) && !self.full && taken.has_room(self.places.0.bound, false)
        {
            over.store(false, Ordering::Relaxed);
        }
        !over.load(Ordering::Relaxed)
    }

    /// Whether it was sent away to make room.
    pub fn is_evicted(&self) -> bool {
        self.seat.evicted.load(Ordering::SeqCst)
    }

    /// Whether the connection is to be closed by its next answer.
    pub fn is_leaving(&self) -> bool {
        self.places.0.end.load(Ordering::SeqCst) >= LEAVING
    }

    /// Whether a request that has come is to be refused.
    pub fn is_refusing(&self) -> bool {
        let is_refusing = self.places.0.end.load(Ordering::SeqCst) >= REFUSING;
        if is_refusing {
            self.places.0.refused.fetch_max(self.places.now(), Ordering::SeqCst);
        }
        is_refusing
    }

    /// Whether whoever is idle is cut off.
    pub fn is_ending(&self) -> bool {
        self.places.0.end.load(Ordering::SeqCst) >= ENDING
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().seats.remove(&self.id);
        self.places.0.freed.notify_all();
    }
}
