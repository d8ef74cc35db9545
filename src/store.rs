//! What is kept of answers that later requests may refer to: bounded by number, age and bytes, and
//! gone with the process. It knows nothing of HTTP or of a dialect.

use crate::api::Kept;
use crate::exchange::Tenant;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most bytes that all that is kept may take. One that takes more by itself is not kept.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The answers that are kept. The oldest make room for the newest.
pub struct Store {
    most: usize,
    age: Duration,
    bytes: usize,
    entries: Mutex<VecDeque<Entry>>,
}

struct Entry {
    owner: Tenant,
    since: Instant,
    kept: Arc<Kept>,
}

impl Store {
    /// Keeps up to `most` answers, none where that is 0, each for as long as `age`.
    pub fn new(most: usize, age: Duration) -> Self {
        Store { most, age, bytes: MOST_BYTES, entries: Mutex::default() }
    }

    /// Keeps an answer of `owner` that came at `now`.
    pub fn put(&self, kept: Kept, owner: Tenant, now: Instant) {
        let mut entries = self.fresh(now);
        if self.most == 0 || size(&kept) > self.bytes {
            return;
        }
        entries.push_back(Entry { owner, since: now, kept: Arc::new(kept) });
        let mut bytes: usize = entries.iter().map(|entry| size(&entry.kept)).sum();
        while entries.len() > self.most || bytes > self.bytes {
            let Some(oldest) = entries.pop_front() else { return };
            bytes -= size(&oldest.kept);
        }
    }

    /// The answer `id` of `owner`, if it is still kept at `now`.
    pub fn get(&self, id: &str, owner: Tenant, now: Instant) -> Option<Arc<Kept>> {
        let entries = self.fresh(now);
        entries.iter().find(|entry| entry.is(id, owner)).map(|entry| entry.kept.clone())
    }

    /// Forgets the answer `id` of `owner`. `false` when it was not kept.
    pub fn remove(&self, id: &str, owner: Tenant, now: Instant) -> bool {
        let mut entries = self.fresh(now);
        let at = entries.iter().position(|entry| entry.is(id, owner));
        at.and_then(|at| entries.remove(at)).is_some()
    }

    /// The entries without those that are too old. They stand in the order of their times.
    fn fresh(&self, now: Instant) -> MutexGuard<'_, VecDeque<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |entry: &Entry| now.saturating_duration_since(entry.since) >= self.age;
        while entries.front().is_some_and(is_old) {
            entries.pop_front();
        }
        entries
    }
}

impl Entry {
    fn is(&self, id: &str, owner: Tenant) -> bool {
        self.owner == owner && self.kept.id == id
    }
}

fn size(kept: &Kept) -> usize {
    kept.id.len() + kept.response.len() + kept.conversation.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: &str, bytes: usize) -> Kept {
        let conversation = "x".repeat(bytes);
        Kept { id: id.into(), response: Vec::new(), conversation, inputs: 1 }
    }

    fn left(store: &Store, now: Instant) -> String {
        let ids = ["a", "b", "c", "d"].into_iter();
        ids.filter(|id| store.get(id, 0, now).is_some()).collect()
    }

    #[test]
    fn the_oldest_make_room() {
        let (store, now) = (Store::new(2, Duration::from_secs(9)), Instant::now());
        for (id, expected) in [("a", "a"), ("b", "ab"), ("c", "bc")] {
            store.put(kept(id, 0), 0, now);
            assert_eq!(left(&store, now), expected);
        }
        assert!(!store.remove("b", 1, now) && store.get("b", 1, now).is_none(), "another's");
        assert!(store.remove("b", 0, now) && !store.remove("b", 0, now));
        assert!(!store.remove("a", 0, now));
        assert_eq!(left(&store, now), "c");
    }

    #[test]
    fn bytes_are_bounded_and_what_is_too_large_costs_the_others_nothing() {
        let mut store = Store::new(9, Duration::from_secs(9));
        store.bytes = 100;
        let now = Instant::now();
        for (id, bytes, expected) in
            [("a", 49, "a"), ("b", 49, "ab"), ("c", 49, "bc"), ("d", 100, "bc"), ("d", 99, "d")]
        {
            store.put(kept(id, bytes), 0, now);
            assert_eq!(left(&store, now), expected);
        }
    }

    #[test]
    fn age_ends_all_and_none_keeps_none() {
        let (store, now) = (Store::new(9, Duration::from_secs(10)), Instant::now());
        store.put(kept("a", 0), 0, now);
        store.put(kept("b", 0), 0, now + Duration::from_secs(5));
        for (seconds, expected) in [(9, "ab"), (10, "b"), (15, "")] {
            assert_eq!(left(&store, now + Duration::from_secs(seconds)), expected);
        }
        let none = Store::new(0, Duration::from_secs(10));
        none.put(kept("a", 0), 0, now);
        assert_eq!(left(&none, now), "");
    }
}
