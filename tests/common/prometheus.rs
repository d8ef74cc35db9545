//! Reads Prometheus' text form, version 0.0.4, and holds it to its rules: each family has its help and
//! its type before its samples and stands in one piece, no series comes twice, names and labels are
//! such, and histograms add up.

use std::collections::{BTreeMap, BTreeSet};

/// Samples by name and labels, as they are written.
pub type Samples = BTreeMap<String, f64>;

/// All samples of a scrape.
pub fn read(text: &str) -> Samples {
    let mut samples = Samples::new();
    let (mut helped, mut done) = (String::new(), BTreeSet::new());
    let mut family = (String::new(), String::new());
    assert!(text.ends_with('\n'), "the last line has no end");
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(!help.trim().is_empty(), "{line}");
            helped = name.into();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, helped, "the help comes before the type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(done.insert(name.to_owned()), "{name} comes in two pieces");
            family = (name.into(), kind.into());
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            let (name, labels) = parts(series);
            let suffix = name.strip_prefix(&*family.0).unwrap_or_else(|| panic!("stray: {line}"));
            let allowed: &[&str] = match &*family.1 {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            assert!(allowed.contains(&suffix), "{line}");
            let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), labels.len(), "a label comes twice: {line}");
            assert!(samples.insert(series.into(), value).is_none(), "twice: {line}");
        }
    }
    adds_up(&samples);
    samples
}

/// The sum of the samples of this name that have all of these labels.
pub fn sum(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let found = samples.iter().filter(|(series, _)| {
        let (own, all) = parts(series);
        let has = |(name, value): &(&str, &str)| all.iter().any(|(n, v)| n == name && v == value);
        own == name && labels.iter().all(has)
    });
    found.map(|(_, value)| value).sum()
}

/// A series' name and labels.
fn parts(series: &str) -> (&str, Vec<(String, String)>) {
    let (name, mut rest) = match series.split_once('{') {
        None => (series, ""),
        Some((name, rest)) => (name, rest.strip_suffix('}').expect("the labels end")),
    };
    let is_name = |text: &str| {
        let mut chars = text.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    assert!(is_name(name), "{series}");
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, text) = rest.split_once("=\"").expect("a label");
        assert!(is_name(label), "{series}");
        let (mut value, mut chars) = (String::new(), text.chars());
        loop {
            match chars.next().expect("a label's value ends") {
                '"' => break,
                '\\' => value.push(match chars.next() {
                    Some('n') => '\n',
                    Some(c @ ('\\' | '"')) => c,
                    other => panic!("\\{other:?} in {series}"),
                }),
                c => value.push(c),
            }
        }
        labels.push((label.to_owned(), value));
        rest = chars.as_str();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    (name, labels)
}

/// Each bucket holds those below it, and the last one all.
fn adds_up(samples: &Samples) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, count) in samples.iter().filter(|(series, _)| series.contains("_bucket{")) {
        let (name, mut labels) = parts(series);
        let (_, bound) = labels.pop().filter(|(name, _)| name == "le").expect("a bound");
        let labels: Vec<_> = labels.iter().map(|(n, v)| format!("{n}={v:?}")).collect();
        let name = name.replace("_bucket", "_count");
        let whole = format!("{name}{{{}}}", labels.join(","));
        buckets.entry(whole).or_default().push((bound.parse().expect("a bound"), *count));
    }
    for (whole, mut counts) in buckets {
        counts.sort_by(|one, other| one.0.total_cmp(&other.0));
        assert!(counts.is_sorted_by(|one, other| one.1 <= other.1), "{whole}: {counts:?}");
        let (bound, all) = counts.last().unwrap();
        assert!(bound.is_infinite(), "{whole} has no last bucket");
        assert_eq!(samples.get(&whole), Some(all), "{whole}");
        assert!(samples.contains_key(&whole.replace("_count", "_sum")), "{whole} has no sum");
    }
}
