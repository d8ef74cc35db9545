//! What all bodies that are being read or answered take together, within a bound.
//!
//! A connection's buffer is free of charge up to [`FREE`], so that no crowd of large bodies keeps a
//! small one out; what it grows beyond that is claimed here first, as it grows, so that who only says
//! that much will come takes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a connection's buffer that nobody counts.
pub const FREE: usize = 64 * 1024;

/// The bound and what is taken of it. Clones share it.
#[derive(Debug, Clone)]
pub struct Bodies {
    bound: usize,
    taken: Arc<AtomicUsize>,
}

impl Bodies {
    /// `bound` bytes, none of them taken.
    pub fn new(bound: usize) -> Self {
        Bodies { bound, taken: Arc::default() }
    }

    /// A connection's claim, of nothing yet.
    pub fn claim(&self) -> Claim {
        Claim { bodies: self.clone(), held: 0 }
    }
}

/// What one connection's buffer takes; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    bodies: Bodies,
    held: usize,
}

impl Claim {
    /// Whether a buffer of `bytes` would find room now.
    pub fn has_room(&self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(FREE).saturating_sub(self.held);
        more <= self.bodies.bound.saturating_sub(self.bodies.taken.load(Ordering::Relaxed))
    }

    /// Claims for a buffer of `bytes`, in place of what was claimed before; `false` where there is no
    /// room for it, and then nothing changes. A smaller buffer always finds room.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let (wanted, bodies) = (bytes.saturating_sub(FREE), &self.bodies);
        if let Some(more) = wanted.checked_sub(self.held) {
            let add = |taken: usize| taken.checked_add(more).filter(|taken| *taken <= bodies.bound);
            if bodies.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_err() {
                return false;
            }
        } else {
            bodies.taken.fetch_sub(self.held - wanted, Ordering::Relaxed);
        }
        self.held = wanted;
        true
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.hold(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_share_the_bound_and_give_back_what_they_held() {
        let bodies = Bodies::new(1000);
        let (mut one, mut two) = (bodies.claim(), bodies.claim());
        assert!(one.hold(FREE + 600) && !two.has_room(FREE + 401) && !two.hold(FREE + 401));
        assert!(two.has_room(FREE + 400) && two.hold(FREE + 400));
        // A small one is never kept out, and one's own claim counts once.
        assert!(one.has_room(FREE + 600) && one.hold(FREE + 600) && bodies.claim().hold(FREE));
        assert!(one.hold(FREE + 100) && two.hold(FREE + 900));
        drop(two);
        assert!(one.hold(FREE + 1000) && !one.hold(usize::MAX) && one.hold(0));
        assert_eq!(bodies.taken.load(Ordering::Relaxed), 0);
    }
}
