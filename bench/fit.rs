//! Which law a growth follows: least squares, and the law that is named is the one that leaves
//! least unexplained. Pure.

use std::fmt;

/// A law, with its constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Law {
    /// `y = at`: it does not grow.
    Constant { at: f64 },
    /// `y = start + slope · x`.
    Linear { start: f64, slope: f64 },
    /// `y = factor · x ^ exponent`.
    Power { factor: f64, exponent: f64 },
}

/// A law, and how well it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    pub law: Law,
    /// The share of the variation that the law explains, 1 at best; 1 of a constant.
    pub r2: f64,
}

impl Fit {
    /// Whether the law says anything: it explains half of the variation.
    pub fn is_clear(&self) -> bool {
        self.r2 >= 0.5
    }
}

/// Values whose largest and smallest differ by no more than this share do not grow.
const FLAT: f64 = 0.1;

impl Law {
    pub fn at(&self, x: f64) -> f64 {
        match *self {
            Law::Constant { at } => at,
            Law::Linear { start, slope } => start + slope * x,
            Law::Power { factor, exponent } => factor * x.powf(exponent),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Law::Constant { .. } => "constant",
            Law::Linear { .. } => "linear",
            Law::Power { .. } => "power",
        }
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Law::Constant { at } => write!(f, "constant, {}", short(at)),
            Law::Linear { start, slope } => {
                let sign = if slope < 0.0 { '-' } else { '+' };
                write!(f, "linear, {} {sign} {} x", short(start), short(slope.abs()))
            }
            Law::Power { factor, exponent } => {
                write!(f, "power, {} x^{exponent:.2}", short(factor))
            }
        }
    }
}

/// A number with three digits that count.
pub fn short(value: f64) -> String {
    // Rounded first, so that 0.000999… is told as the 0.001 it becomes.
    let size = format!("{:.2e}", value.abs()).parse::<f64>().unwrap_or(f64::NAN);
    match size {
        _ if !value.is_finite() => "-".into(),
        _ if size == 0.0 => "0".into(),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 1.0 => format!("{value:.2}"),
        _ if size >= 0.001 => {
            let digits = 2 - size.log10().floor() as i32;
            format!("{value:.*}", usize::try_from(digits).unwrap_or(3))
        }
        _ => format!("{value:.1e}"),
    }
}

/// The law of these points `(x, y)`; `None` of fewer than three, or where all have one `x`. Errors
/// are weighed against the value, so that a point that is large does not decide alone.
pub fn fit(points: &[(f64, f64)]) -> Option<Fit> {
    if points.len() < 3 {
        return None;
    }
    let low = points.iter().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = points.iter().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    if high - low <= FLAT * high.abs() {
        let at = points.iter().map(|p| p.1).sum::<f64>() / points.len() as f64;
        return Some(Fit { law: Law::Constant { at }, r2: 1.0 });
    }
    let positive = points.iter().all(|p| p.0 > 0.0 && p.1 > 0.0);
    let weigh = |y: f64| if positive { 1.0 / (y * y) } else { 1.0 };
    let weighed: Vec<_> = points.iter().map(|&(x, y)| (x, y, weigh(y))).collect();
    let (start, slope) = line(&weighed)?;
    let mut laws = vec![Law::Linear { start, slope }];
    if positive {
        let logs: Vec<_> = points.iter().map(|&(x, y)| (x.ln(), y.ln(), 1.0)).collect();
        let (start, exponent) = line(&logs)?;
        laws.push(Law::Power { factor: start.exp(), exponent });
    }
    let mean =
        weighed.iter().map(|p| p.1 * p.2).sum::<f64>() / weighed.iter().map(|p| p.2).sum::<f64>();
    let all: f64 = weighed.iter().map(|&(_, y, w)| w * (y - mean).powi(2)).sum();
    let fits = laws.into_iter().map(|law| {
        let left: f64 = weighed.iter().map(|&(x, y, w)| w * (y - law.at(x)).powi(2)).sum();
        Fit { law, r2: 1.0 - left / all }
    });
    fits.max_by(|a, b| a.r2.total_cmp(&b.r2))
}

/// The straight line through weighed points `(x, y, weight)`: its start and slope.
fn line(points: &[(f64, f64, f64)]) -> Option<(f64, f64)> {
    let sum = |of: &dyn Fn(&(f64, f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let weight = sum(&|p| p.2);
    let (x, y) = (sum(&|p| p.2 * p.0) / weight, sum(&|p| p.2 * p.1) / weight);
    let across = sum(&|p| p.2 * (p.0 - x).powi(2));
    if across == 0.0 {
        return None;
    }
    let slope = sum(&|p| p.2 * (p.0 - x) * (p.1 - y)) / across;
    Some((y - slope * x, slope))
}
