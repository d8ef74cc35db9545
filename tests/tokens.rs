//! How far the estimate of tokens is from what `o200k_base` counts, on samples of many kinds.

use modeltap::chat::estimate_tokens;
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Sample {
    kind: String,
    text: String,
    tokens: u64,
}

/// Errors of some samples, added up.
#[derive(Default)]
struct Errors {
    samples: u32,
    /// The sum of their absolute relative errors.
    relative: f64,
    estimated: u64,
    counted: u64,
}

impl Errors {
    fn add(&mut self, estimated: u64, counted: u64) {
        self.samples += 1;
        self.relative += estimated.abs_diff(counted) as f64 / counted as f64;
        self.estimated += estimated;
        self.counted += counted;
    }

    /// The mean absolute relative error, in percent.
    fn mean(&self) -> f64 {
        100.0 * self.relative / f64::from(self.samples)
    }

    /// The relative error of the sum of all counts, in percent.
    fn sum(&self) -> f64 {
        100.0 * (self.estimated as f64 / self.counted as f64 - 1.0)
    }
}

fn samples() -> Vec<Sample> {
    serde_json::from_str(include_str!("data/tokens.json")).unwrap()
}

#[test]
fn a_large_text_counts_as_much_as_what_it_is_made_of() {
    let samples = samples();
    for times in [10, 50] {
        let times_over = |sample: &Sample| sample.text.repeat(times);
        let text: String = samples.iter().map(times_over).collect();
        assert!(text.len() > 500_000, "it is not large");
        let (whole, pieces) = (estimate_tokens(&text), samples.iter().map(times_over));
        let pieces: u64 = pieces.map(|text| estimate_tokens(&text)).sum();
        assert!(whole.abs_diff(pieces) * 50 < pieces, "{whole} of {pieces}");
    }
    // No piece of it may begin or end within a character.
    assert!(estimate_tokens(&"xé你🎉".repeat(50_000)) > 0);
}

#[test]
fn the_estimate_is_near_the_count() {
    let samples = samples();
    assert!(samples.len() >= 200);
    let mut kinds = BTreeMap::<&str, Errors>::new();
    let (mut all, mut fitted, mut checked) = Default::default();
    for (at, Sample { kind, text, tokens }) in samples.iter().enumerate() {
        let estimate = estimate_tokens(text);
        // The constants of the estimate are fitted on one half of the samples.
        let half: &mut Errors = if at % 2 == 0 { &mut fitted } else { &mut checked };
        let all: &mut Errors = &mut all;
        for errors in [half, all, kinds.entry(kind).or_default()] {
            errors.add(estimate, *tokens);
        }
    }
    println!("{:22} samples  mean error  error of the sum", "");
    let halves = [("fitted half", &fitted), ("checked half", &checked), ("all", &all)];
    for (name, errors) in kinds.iter().map(|(name, errors)| (*name, errors)).chain(halves) {
        println!("{name:22} {:7} {:9.1} % {:15.1} %", errors.samples, errors.mean(), errors.sum());
    }
    assert!(all.mean() < 10.0, "mean error {:.1} %", all.mean());
    assert!(checked.mean() < 10.0, "mean error of the checked half {:.1} %", checked.mean());
    assert!(all.sum().abs() < 3.0, "error of the sum {:.1} %", all.sum());
    for (kind, errors) in kinds {
        assert!(errors.mean() < 15.0, "mean error of {kind} {:.1} %", errors.mean());
    }
}
