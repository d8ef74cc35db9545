//! What was measured, in one shape for all measures: a figure is a number for each subject and
//! round. Table, JSON, promises and plots are all made of these.

use crate::fit::{self, Fit};
use crate::stats::{self, Spread};
use serde_json::{Value, json};

/// The first subject of every run.
pub const FLOOR: &str = "floor";
/// The second one.
pub const MODELTAP: &str = "modeltap";

/// The circumstances of a figure, as names and values, such as `("clients", "64")`.
pub type Case = Vec<(&'static str, String)>;

/// One number of each round for each subject.
#[derive(Debug, Clone)]
pub struct Figure {
    pub measure: &'static str,
    pub case: Case,
    pub metric: &'static str,
    pub unit: &'static str,
    /// By subject; `None` where a round failed. Rounds of the same place were taken together.
    pub rounds: Vec<(String, Vec<Option<f64>>)>,
}

/// How a number grows with a load.
#[derive(Debug, Clone)]
pub struct Growth {
    pub title: &'static str,
    /// What the load is counted in.
    pub x: &'static str,
    pub unit: &'static str,
    pub subjects: Vec<(String, Vec<(f64, f64)>)>,
}

/// The latencies of all rounds of a case.
#[derive(Debug, Clone)]
pub struct Distribution {
    pub case: Case,
    /// By subject: share of the requests (0 to 1), and the microseconds they did not exceed.
    pub subjects: Vec<(String, Vec<(f64, f64)>)>,
}

/// All of a run.
#[derive(Debug, Default)]
pub struct Results {
    pub about: Vec<(&'static str, String)>,
    pub figures: Vec<Figure>,
    pub growths: Vec<Growth>,
    pub distributions: Vec<Distribution>,
    /// What could not be measured, and why.
    pub absent: Vec<String>,
    /// Faults of what is ours, which fail the run.
    pub faults: Vec<String>,
}

/// A case as words.
pub fn words(case: &Case) -> String {
    case.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(", ")
}

impl Figure {
    pub fn of(&self, subject: &str) -> &[Option<f64>] {
        let found = self.rounds.iter().find(|(name, _)| name == subject);
        found.map_or(&[], |(_, rounds)| rounds)
    }

    pub fn spread(&self, subject: &str) -> Option<Spread> {
        stats::spread(&self.of(subject).iter().copied().flatten().collect::<Vec<_>>())
    }

    /// What the subject is over the floor, round by round.
    pub fn ratio(&self, subject: &str) -> Option<Spread> {
        stats::spread(&stats::ratios(self.of(subject), self.of(FLOOR)))
    }

    /// Whether its case has all of these values.
    pub fn fits(&self, case: &[(&str, &str)]) -> bool {
        case.iter().all(|(name, value)| self.case.iter().any(|(n, v)| n == name && v == value))
    }
}

impl Results {
    /// Adds the number of one round.
    pub fn add(
        &mut self,
        (measure, case): (&'static str, &Case),
        (metric, unit): (&'static str, &'static str),
        subject: &str,
        value: Option<f64>,
    ) {
        let same = |figure: &Figure| {
            (figure.measure, figure.metric) == (measure, metric) && figure.case == *case
        };
        let figure = match self.figures.iter().position(same) {
            Some(at) => &mut self.figures[at],
            None => {
                let case = case.clone();
                self.figures.push(Figure { measure, case, metric, unit, rounds: Vec::new() });
                self.figures.last_mut().expect("it was pushed")
            }
        };
        match figure.rounds.iter_mut().find(|(name, _)| name == subject) {
            Some((_, rounds)) => rounds.push(value),
            None => figure.rounds.push((subject.to_owned(), vec![value])),
        }
    }

    /// Adds what grows with the number above zero that the case has as `by`, of the figures of this
    /// measure and metric that fit.
    pub fn grow(
        &mut self,
        title: &'static str,
        x: &'static str,
        (measure, metric): (&str, &str),
        by: &str,
        case: &[(&str, &str)],
    ) {
        let figures = self.figures.iter().filter(|figure| {
            (figure.measure, figure.metric) == (measure, metric) && figure.fits(case)
        });
        let mut growth = Growth { title, x, unit: "", subjects: Vec::new() };
        for figure in figures {
            let at = figure.case.iter().find(|(name, _)| *name == by);
            let at = at.and_then(|(_, value)| number(value)).filter(|at| *at > 0.0);
            let Some(at) = at else { continue };
            growth.unit = figure.unit;
            for (name, _) in &figure.rounds {
                let Some(spread) = figure.spread(name) else { continue };
                let points = match growth.subjects.iter_mut().position(|(n, _)| n == name) {
                    Some(at) => &mut growth.subjects[at].1,
                    None => {
                        growth.subjects.push((name.clone(), Vec::new()));
                        &mut growth.subjects.last_mut().expect("it was pushed").1
                    }
                };
                points.push((at, spread.median));
            }
        }
        if growth.subjects.iter().any(|(_, points)| points.len() > 1) {
            self.growths.push(growth);
        }
    }

    /// Puts the subjects of each figure in this order; who was measured first changes by the round.
    pub fn sort(&mut self, names: &[&str]) {
        let place = |name: &str| names.iter().position(|known| *known == name);
        for figure in &mut self.figures {
            figure.rounds.sort_by_key(|(name, _)| place(name));
        }
        for growth in &mut self.growths {
            growth.subjects.sort_by_key(|(name, _)| place(name));
        }
        for distribution in &mut self.distributions {
            distribution.subjects.sort_by_key(|(name, _)| place(name));
        }
    }

    pub fn json(&self) -> Value {
        let about: serde_json::Map<_, _> =
            self.about.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        json!({
            "about": about,
            "figures": self.figures.iter().map(figure_json).collect::<Vec<_>>(),
            "growths": self.growths.iter().map(growth_json).collect::<Vec<_>>(),
            "distributions": self.distributions.iter().map(|of| json!({
                "case": case_json(&of.case),
                "subjects": by_name(&of.subjects, |points| json!(points)),
            })).collect::<Vec<_>>(),
            "absent": self.absent,
            "faults": self.faults,
        })
    }
}

/// The number that a value of a case begins with; sizes such as `10 kB` count in bytes.
fn number(value: &str) -> Option<f64> {
    let mut words = value.split(' ');
    let number: f64 = words.next()?.parse().ok()?;
    Some(match words.next() {
        Some("kB") => number * 1e3,
        Some("MB") => number * 1e6,
        _ => number,
    })
}

fn by_name<T>(subjects: &[(String, T)], json: impl Fn(&T) -> Value) -> Value {
    subjects
        .iter()
        .map(|(name, value)| (name.clone(), json(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn case_json(case: &Case) -> Value {
    case.iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn spread_json(spread: Option<Spread>) -> Value {
    spread.map_or(
        Value::Null,
        |s| json!({"min": s.min, "low": s.low, "median": s.median, "high": s.high, "max": s.max}),
    )
}

fn figure_json(figure: &Figure) -> Value {
    let subjects = figure.rounds.iter().map(|(name, rounds)| {
        let told = json!({"rounds": rounds, "spread": spread_json(figure.spread(name)),
            "over_floor": spread_json(figure.ratio(name))});
        (name.clone(), told)
    });
    json!({"measure": figure.measure, "case": case_json(&figure.case), "metric": figure.metric,
        "unit": figure.unit, "subjects": subjects.collect::<serde_json::Map<_, _>>()})
}

fn growth_json(growth: &Growth) -> Value {
    let told = |points: &Vec<(f64, f64)>| {
        let fit = fit::fit(points);
        json!({"points": points, "law": fit.map(|f: Fit| f.law.name()),
            "formula": fit.map(|f| f.law.to_string()), "r2": fit.map(|f| f.r2)})
    };
    json!({"title": growth.title, "x": growth.x, "unit": growth.unit,
        "subjects": by_name(&growth.subjects, told)})
}
