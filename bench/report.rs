//! The report for people: the promises beside what was measured, then every figure, then growth.

use crate::fit::{self, short};
use crate::promises::{self, Kept};
use crate::results::{Case, FLOOR, Figure, MODELTAP, Results, words};
use std::fmt::Write;

/// The text for a terminal.
pub fn text(results: &Results) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    for (name, value) in &results.about {
        let _ = writeln!(out, "{name}: {value}");
    }
    out.push_str("\nPromises: the worst of their cases, as the median of rounds [quartiles]\n\n");
    let rows = promises::kept(results).iter().map(promise_row).collect();
    table(&mut out, &["promise", "at most", "measured", "", "worst case"], rows);

    let mut figures = results.figures.as_slice();
    while let Some(first) = figures.first() {
        let count = figures.iter().take_while(|figure| figure.measure == first.measure).count();
        let (measure, rest) = figures.split_at(count);
        let _ = writeln!(
            out,
            "\n{}: medians of the rounds, and over the floor [quartiles]\n",
            first.measure
        );
        measure_table(&mut out, measure);
        figures = rest;
    }

    let mut rows = Vec::new();
    for growth in &results.growths {
        for (name, points) in &growth.subjects {
            let Some(fit) = fit::fit(points) else { continue };
            let title = format!("{} by {}", growth.title, growth.x);
            let law = match fit.is_clear() {
                true => format!("{} {}", fit.law, growth.unit),
                false => "none that is clear".to_owned(),
            };
            rows.push([title, name.clone(), law, format!("R² {:.3}", fit.r2)].into());
        }
    }
    if !rows.is_empty() {
        out.push_str("\nGrowth, fitted by least squares\n\n");
        table(&mut out, &["what", "of", "law", "fit"], rows);
    }
    for absent in &results.absent {
        let _ = writeln!(out, "\nnot measured: {absent}");
    }
    for fault in &results.faults {
        let _ = writeln!(out, "\nFAULT: {fault}");
    }
    out
}

/// A measure: a column for each metric, and for each case a row for each subject, and one for what
/// each is over the floor.
fn measure_table(out: &mut String, figures: &[Figure]) {
    let mut metrics: Vec<(&str, &str)> = Vec::new();
    let mut cases: Vec<&Case> = Vec::new();
    for figure in figures {
        if !metrics.contains(&(figure.metric, figure.unit)) {
            metrics.push((figure.metric, figure.unit));
        }
        if !cases.contains(&&figure.case) {
            cases.push(&figure.case);
        }
    }
    let heads = metrics.iter().map(|(metric, unit)| format!("{metric} {unit}").trim().to_owned());
    let head: Vec<_> = ["case".into(), "of".into()].into_iter().chain(heads).collect();
    let mut rows = Vec::new();
    for case in cases {
        let of_case: Vec<_> = metrics
            .iter()
            .map(|(metric, _)| figures.iter().find(|f| f.metric == *metric && f.case == *case))
            .collect();
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in of_case.iter().flatten().flat_map(|figure| &figure.rounds) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let cells = |of: &dyn Fn(&Figure) -> Option<String>| -> Vec<String> {
            of_case.iter().map(|figure| figure.and_then(of).unwrap_or_default()).collect()
        };
        let mut row = |of: String, cells: Vec<String>| {
            rows.push([vec![words(case), of], cells].concat());
        };
        for name in &names {
            row((*name).to_owned(), cells(&|f| Some(short(f.spread(name)?.median))));
        }
        for name in names.iter().filter(|name| **name != FLOOR) {
            let ratios = cells(&|figure| {
                let ratio = figure.ratio(name)?;
                Some(format!("{:.2} [{:.2}–{:.2}]", ratio.median, ratio.low, ratio.high))
            });
            if ratios.iter().any(|cell| !cell.is_empty()) {
                row(format!("{name} / floor"), ratios);
            }
        }
    }
    table(out, &head.iter().map(String::as_str).collect::<Vec<_>>(), rows);
}

fn promise_row(kept: &Kept) -> Vec<String> {
    let (value, case) = match &kept.worst {
        None => ("not measured".into(), String::new()),
        Some(worst) => (
            format!("{} [{}–{}]", short(worst.value), short(worst.low), short(worst.high)),
            worst.case.clone(),
        ),
    };
    vec![kept.promise.into(), kept.limit.clone(), value, verdict(kept).into(), case]
}

fn verdict(kept: &Kept) -> &'static str {
    match kept.is_kept {
        Some(true) => "kept",
        Some(false) => "missed",
        None => "",
    }
}

/// Writes rows in columns.
fn table(out: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    let head = head.iter().map(|word| (*word).to_owned()).collect();
    let all: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    for row in &all {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(line, " {cell:<0$} ", width(column).unwrap_or(0));
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

const BEGIN: &str = "<!-- begin: cargo bench -- --renew -->";
const END: &str = "<!-- end: cargo bench -- --renew -->";

/// Puts the table of promises and ratios between the markers of a Markdown text.
///
/// # Errors
/// The markers are missing.
pub fn renewed(markdown: &str, results: &Results) -> Result<String, String> {
    let missing = || format!("the lines {BEGIN} and {END} are missing");
    let (before, rest) = markdown.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    let mut table = String::new();
    let about = |name: &str| {
        let found = results.about.iter().find(|(n, _)| *n == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let _ = writeln!(
        table,
        "Measured {} with modeltap {} on {} × {}, {}, load {} at the start, {} rounds.\n",
        about("date"),
        about("modeltap"),
        about("processors"),
        about("processor"),
        about("system"),
        about("load"),
        about("rounds"),
    );
    table.push_str("| worst of its cases, median of rounds (quartiles) | at most | measured |\n");
    table.push_str("| --- | --- | --- |\n");
    for kept in promises::kept(results) {
        let measured = kept.worst.as_ref().map_or("not measured".into(), |worst| {
            let (low, high) = (short(worst.low), short(worst.high));
            format!("{} ({low}–{high}) {}", short(worst.value), verdict(&kept))
        });
        let _ = writeln!(table, "| {} | {} | {measured} |", kept.promise, kept.limit);
    }
    let _ =
        writeln!(table, "\n| p50 in µs, chat_completions | floor | modeltap | over the floor |");
    table.push_str("| --- | --- | --- | --- |\n");
    let shown = results.figures.iter().filter(|figure| {
        (figure.measure, figure.metric) == ("latency", "p50")
            && figure.fits(&[("dialect", "chat_completions")])
    });
    for figure in shown {
        let median = |name| figure.spread(name).map_or("-".into(), |spread| short(spread.median));
        let ratio = figure.ratio(MODELTAP);
        let ratio =
            ratio.map_or("-".into(), |r| format!("{:.2} ({:.2}–{:.2})", r.median, r.low, r.high));
        let case: Vec<_> = figure.case.iter().skip(1).map(|(_, value)| value.as_str()).collect();
        let (floor, own) = (median(FLOOR), median(MODELTAP));
        let _ = writeln!(table, "| {} | {floor} | {own} | {ratio} |", case.join(", "));
    }
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}
