//! A histogram of times, with bounds fit for answers of a model: from what needs no model to what
//! takes minutes.

use super::seconds;
use super::text::Text;
use std::time::Duration;

/// The upper bounds, with their labels in seconds.
const BOUNDS: [(Duration, &str); 16] = [
    (Duration::from_millis(5), "0.005"),
    (Duration::from_millis(10), "0.01"),
    (Duration::from_millis(25), "0.025"),
    (Duration::from_millis(50), "0.05"),
    (Duration::from_millis(100), "0.1"),
    (Duration::from_millis(250), "0.25"),
    (Duration::from_millis(500), "0.5"),
    (Duration::from_secs(1), "1"),
    (Duration::from_millis(2500), "2.5"),
    (Duration::from_secs(5), "5"),
    (Duration::from_secs(10), "10"),
    (Duration::from_secs(20), "20"),
    (Duration::from_secs(30), "30"),
    (Duration::from_secs(60), "60"),
    (Duration::from_secs(120), "120"),
    (Duration::from_secs(300), "300"),
];

/// Counts of times.
#[derive(Clone, Default)]
pub struct Histogram {
    /// Of those up to each bound, and above the one before it.
    counts: [u64; BOUNDS.len()],
    /// Of all.
    all: u64,
    sum: Duration,
}

impl Histogram {
    /// Counts one.
    pub fn count(&mut self, time: Duration) {
        let place = BOUNDS.partition_point(|(bound, _)| *bound < time);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.all += 1;
        self.sum = self.sum.saturating_add(time);
    }

    /// Tells it as a series of the family that was begun, if anything was counted.
    pub fn write(&self, labels: &[(&str, &str)], text: &mut Text) {
        if self.all == 0 {
            return;
        }
        let mut so_far = 0;
        let bounds = BOUNDS.iter().zip(self.counts).map(|((_, bound), count)| {
            so_far += count;
            (*bound, so_far)
        });
        for (bound, count) in bounds.chain([("+Inf", self.all)]) {
            text.part("_bucket", labels, Some(("le", bound)), count);
        }
        text.part("_sum", labels, None, seconds(self.sum));
        text.part("_count", labels, None, self.all);
    }
}
