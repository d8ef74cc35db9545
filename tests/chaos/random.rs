//! Chance that can be repeated: splitmix64 from a seed.

use std::ops::Range;
use std::time::Duration;

pub struct Random(u64);

impl Random {
    /// The chance of one part of a run; each has its own, so that threads don't disturb each other.
    pub fn new(seed: u64, part: u64) -> Random {
        let mut random = Random(seed ^ part.wrapping_mul(0xd134_2543_de82_ef95));
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number of the range.
    pub fn of(&mut self, range: Range<usize>) -> usize {
        range.start + (self.next() % (range.end - range.start) as u64) as usize
    }

    /// Whether something happens that does so in so many cases of a hundred.
    pub fn percent(&mut self, cases: usize) -> bool {
        self.of(0..100) < cases
    }

    pub fn millis(&mut self, range: Range<usize>) -> Duration {
        Duration::from_millis(self.of(range) as u64)
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.of(0..all.len())]
    }
}
