//! Percentiles, medians and ratios: what a row of numbers says. Pure.

/// Where the values of several rounds lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    pub min: f64,
    /// The lower quartile.
    pub low: f64,
    pub median: f64,
    /// The upper quartile.
    pub high: f64,
    pub max: f64,
}

/// The value that a share `q` (0 to 1) of the sorted values does not exceed, by nearest rank; `None`
/// of nothing.
pub fn percentile<T: Copy>(sorted: &[T], q: f64) -> Option<T> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1).min(sorted.len()).wrapping_sub(1)).copied()
}

/// The quantile `q` of sorted values, between two of them where it falls there, so that the median
/// of two is their mean.
fn between(sorted: &[f64], q: f64) -> Option<f64> {
    let at = q * sorted.len().checked_sub(1)? as f64;
    let (low, high) = (sorted.get(at.floor() as usize)?, sorted.get(at.ceil() as usize)?);
    Some(low + (high - low) * at.fract())
}

/// The spread of the values, in any order; `None` of nothing.
pub fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(Spread {
        min: *sorted.first()?,
        low: between(&sorted, 0.25)?,
        median: between(&sorted, 0.5)?,
        high: between(&sorted, 0.75)?,
        max: *sorted.last()?,
    })
}

/// What `values` are over `floor`, round by round; a round that one of them lacks is left out, as is
/// one in which the floor is zero.
pub fn ratios(values: &[Option<f64>], floor: &[Option<f64>]) -> Vec<f64> {
    let pairs = values.iter().zip(floor);
    pairs
        .filter_map(|(value, floor)| match (value, floor) {
            (Some(value), Some(floor)) if *floor != 0.0 => Some(value / floor),
            _ => None,
        })
        .collect()
}
