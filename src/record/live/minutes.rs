//! The last hour by minutes: how many requests for the model there were, how many failed, and how long
//! the others took.

use serde::Serialize;
use std::time::Duration;

/// How many minutes are kept.
pub const KEPT: usize = 60;
/// Steps of the histogram between a time and its double, which makes them a fifth apart.
const STEPS: u32 = 4;
/// Times below this many microseconds are one, and so are those from about an hour on.
const LEAST: u32 = 6;
const BUCKETS: usize = 104;

/// One minute.
#[derive(Debug, Clone)]
struct Minute {
    /// Minutes since 1970.
    at: u64,
    requests: u32,
    errors: u32,
    times: [u32; BUCKETS],
}

/// The minutes, each in the place that its time has in the hour.
#[derive(Debug)]
pub struct Minutes(Vec<Minute>);

/// What is told of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Minutes since 1970.
    pub at: u64,
    /// Requests for the model that ended in it.
    pub requests: u32,
    /// Those of them that failed.
    pub errors: u32,
    /// Half of the others took no longer, in milliseconds, to a tenth of itself.
    pub p50: Option<f64>,
    /// 95 of 100 took no longer.
    pub p95: Option<f64>,
}

impl Default for Minutes {
    fn default() -> Self {
        let none = Minute { at: 0, requests: 0, errors: 0, times: [0; BUCKETS] };
        Minutes(vec![none; KEPT])
    }
}

impl Minutes {
    /// Counts a request that ended at this minute since 1970.
    pub fn count(&mut self, at: u64, took: Duration, failed: bool) {
        let place = usize::try_from(at % KEPT as u64).unwrap_or_default();
        let Some(minute) = self.0.get_mut(place) else { return };
        if minute.at != at {
            *minute = Minute { at, requests: 0, errors: 0, times: [0; BUCKETS] };
        }
        minute.requests = minute.requests.saturating_add(1);
        if failed {
            minute.errors = minute.errors.saturating_add(1);
        } else if let Some(count) = minute.times.get_mut(bucket(took)) {
            *count = count.saturating_add(1);
        }
    }

    /// Those of the hour up to the minute `now` that had requests, from `from` on, oldest first.
    pub fn points(&self, from: u64, now: u64) -> Vec<Point> {
        let is_recent = |minute: &&Minute| {
            minute.requests > 0
                && minute.at >= from
                && minute.at <= now
                && now - minute.at < KEPT as u64
        };
        let mut points: Vec<Point> = self.0.iter().filter(is_recent).map(Minute::point).collect();
        points.sort_by_key(|point| point.at);
        points
    }
}

impl Minute {
    fn point(&self) -> Point {
        let Minute { at, requests, errors, .. } = *self;
        Point { at, requests, errors, p50: self.share(0.5), p95: self.share(0.95) }
    }

    /// The time in milliseconds that this share took at most.
    fn share(&self, share: f64) -> Option<f64> {
        let all: u64 = self.times.iter().copied().map(u64::from).sum();
        let wanted = (all as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        let found = self.times.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        let micros = middle(found?);
        Some(if micros < 10_000.0 {
            (micros / 10.0).round() / 100.0
        } else {
            (micros / 1e3).round()
        })
    }
}

fn bucket(took: Duration) -> usize {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1 << LEAST);
    let log = micros.ilog2();
    let step = (micros - (1 << log)) >> (log - STEPS.ilog2());
    usize::try_from((log - LEAST) * STEPS + step).unwrap_or_default().min(BUCKETS - 1)
}

/// The middle of a bucket in microseconds.
fn middle(bucket: usize) -> f64 {
    let (log, step) = (bucket as u32 / STEPS + LEAST, bucket as u32 % STEPS);
    f64::from(log).exp2() * (1.0 + (f64::from(step) + 0.5) / f64::from(STEPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_no_further_from_a_time_than_an_eighth() {
        for micros in [64, 100, 999, 1_000, 12_345, 1_000_000, 59_000_000, 3_000_000_000] {
            let told = middle(bucket(Duration::from_micros(micros)));
            let off = (told / micros as f64 - 1.0).abs();
            assert!(off <= 0.126, "{micros} µs is told as {told}");
        }
        assert_eq!(bucket(Duration::ZERO), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn shares_are_those_of_the_answered_ones() {
        let mut minutes = Minutes::default();
        for millis in 1..=100 {
            minutes.count(7, Duration::from_millis(millis), false);
        }
        minutes.count(7, Duration::from_secs(600), true);
        let points = minutes.points(0, 7);
        let [Point { at: 7, requests: 101, errors: 1, p50: Some(p50), p95: Some(p95) }] =
            points[..]
        else {
            panic!("{points:?}")
        };
        assert!((44.0..57.0).contains(&p50) && (83.0..108.0).contains(&p95), "{p50} {p95}");
    }

    #[test]
    fn an_hour_is_kept_and_a_clock_that_goes_back_spoils_nothing() {
        let mut minutes = Minutes::default();
        let second = Duration::from_secs(1);
        for at in 100..200 {
            minutes.count(at, second, at % 2 == 0);
        }
        let at = |minutes: &Minutes, from, now| -> Vec<u64> {
            minutes.points(from, now).iter().map(|point| point.at).collect()
        };
        assert_eq!(at(&minutes, 0, 199), (140..200).collect::<Vec<_>>());
        assert_eq!(at(&minutes, 198, 199), [198, 199]);
        assert_eq!(at(&minutes, 0, 230), (171..200).collect::<Vec<_>>());
        minutes.count(150, second, true);
        assert_eq!(at(&minutes, 0, 150), (140..=150).collect::<Vec<_>>());
        let only_failed = minutes.points(150, 150);
        assert_eq!((only_failed[0].requests, only_failed[0].p50), (2, None));
        assert_eq!(at(&minutes, 0, 0), [0; 0]);
    }
}
