//! Which plots a run gives: the distribution of latency, and growth.

use crate::plot::{self, Panel, Scale};
use crate::results::{Results, words};

/// The plots of a run, by file name; none for what was not measured.
pub fn all(results: &Results) -> Vec<(&'static str, String)> {
    let sheets = [("latency.svg", latency(results)), ("growth.svg", growth(results))];
    let drawn = sheets.into_iter().filter(|(_, panels)| !panels.is_empty());
    drawn.map(|(name, panels)| (name, plot::sheet(&panels))).collect()
}

fn latency(results: &Results) -> Vec<Panel> {
    let panels = results.distributions.iter().map(|of| {
        // The dialect and how it is asked are the same in all of them.
        let shown = |(name, _): &&(&'static str, String)| ["clients", "cores"].contains(name);
        let case = of.case.iter().filter(shown).cloned().collect();
        Panel {
            title: words(&case),
            x: ("share of the requests".into(), Scale::Nines),
            y: ("µs".into(), Scale::Log),
            lines: of.subjects.clone(),
        }
    });
    panels.collect()
}

fn growth(results: &Results) -> Vec<Panel> {
    let panels = results.growths.iter().map(|growth| {
        // Loads go over powers of ten, and so do times; memory and threads are seen better straight.
        let is_time = ["µs", "ms", "/s"].contains(&growth.unit);
        let (x, y) = match is_time {
            true => (Scale::Log, Scale::Log),
            false => (Scale::Linear, Scale::Linear),
        };
        Panel {
            title: growth.title.to_owned(),
            x: (growth.x.to_owned(), x),
            y: (growth.unit.to_owned(), y),
            lines: growth.subjects.clone(),
        }
    });
    panels.collect()
}
