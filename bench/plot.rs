//! Plots as SVG: panels of lines over two axes, with colours for light and dark pages. Pure.

use std::fmt::Write;

/// How an axis is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    /// By powers of ten; only values above zero have a place.
    Log,
    /// Shares from 0 to 1, spread towards 1: 50 %, 90 %, 99 %, 99.9 %.
    Nines,
}

/// One plot.
#[derive(Debug, Clone)]
pub struct Panel {
    pub title: String,
    pub x: (String, Scale),
    pub y: (String, Scale),
    /// Points `(x, y)` by name.
    pub lines: Vec<(String, Vec<(f64, f64)>)>,
}

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 270.0;
/// Around the plot itself: left, right, top, bottom.
const MARGIN: (f64, f64, f64, f64) = (58.0, 16.0, 34.0, 44.0);
/// The row of names above the panels.
const LEGEND: f64 = 30.0;

/// Colours that can be told apart on both grounds, also by who does not see red or green.
const STYLE: &str = "\
.ground{fill:#fff}.text{fill:#24292f}.dim{fill:#57606a}.grid{stroke:#d0d7de}\
.c0{stroke:#6e7781}.c1{stroke:#0969da}.c2{stroke:#bc4c00}.c3{stroke:#1a7f37}.c4{stroke:#8250df}\
@media(prefers-color-scheme:dark){.ground{fill:#0d1117}.text{fill:#e6edf3}.dim{fill:#9198a1}\
.grid{stroke:#30363d}.c0{stroke:#9198a1}.c1{stroke:#58a6ff}.c2{stroke:#f0883e}.c3{stroke:#3fb950}\
.c4{stroke:#bc8cff}}";

/// Text as it may stand in SVG.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // XML has no place for these, not even escaped.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// The panels in rows of two, with the names of their lines above.
pub fn sheet(panels: &[Panel]) -> String {
    let rows = panels.len().div_ceil(2);
    let columns = panels.len().min(2);
    let (width, height) = (WIDTH * columns as f64, LEGEND + HEIGHT * rows as f64);
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"system-ui,sans-serif\" font-size=\"11\" role=\"img\">\n\
         <style>{STYLE}</style>\n<rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>"
    );
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in panels.iter().flat_map(|panel| &panel.lines) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut at = MARGIN.0;
    for (number, name) in names.iter().enumerate() {
        let _ = writeln!(
            out,
            "<path class=\"c{}\" stroke-width=\"2.5\" d=\"M{at:.0} 16h22\"/>\
             <text class=\"text\" x=\"{:.0}\" y=\"20\">{}</text>",
            number % 5,
            at + 28.0,
            escape(name)
        );
        at += 48.0 + 7.0 * name.chars().count() as f64;
    }
    for (number, panel) in panels.iter().enumerate() {
        let (x, y) = ((number % 2) as f64 * WIDTH, LEGEND + (number / 2) as f64 * HEIGHT);
        let _ = writeln!(out, "<g transform=\"translate({x},{y})\">");
        draw(&mut out, panel, &names);
        out.push_str("</g>\n");
    }
    out.push_str("</svg>\n");
    out
}

impl Scale {
    /// Where a value is on the axis, in the axis's own measure; `None` where it has no place.
    fn place(self, value: f64) -> Option<f64> {
        let place = match self {
            Scale::Linear => value,
            Scale::Log => value.log10(),
            Scale::Nines => -(1.0 - value).log10(),
        };
        place.is_finite().then_some(place)
    }

    /// From where to where the axis goes, so that these places are on it.
    fn range(self, places: &[f64]) -> (f64, f64) {
        let low = places.iter().copied().fold(f64::INFINITY, f64::min);
        let high = places.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match (self, low.is_finite()) {
            (_, false) => (0.0, 1.0),
            (Scale::Linear, _) => (low.min(0.0), if high > 0.0 { high * 1.05 } else { 1.0 }),
            // With space around, so that there is a range where all is the same.
            (Scale::Log, _) => (low - 0.08, high + 0.08),
            (Scale::Nines, _) => (0.0, high.max(1.0)),
        }
    }

    /// Where lines of the grid are in a range, with what they stand for.
    fn ticks(self, low: f64, high: f64) -> Vec<(f64, String)> {
        match self {
            Scale::Linear => {
                let rough = (high - low) / 4.0;
                let power = 10f64.powf(rough.log10().floor());
                let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
                let step = steps.into_iter().find(|step| *step >= rough).unwrap_or(rough);
                let first = (low / step).ceil() as i64;
                let places = (first..).map(|n| n as f64 * step).take_while(|at| *at <= high);
                places.map(|at| (at, tick(at))).collect()
            }
            Scale::Log => {
                let few = high - low < 1.6;
                let steps: &[f64] = if few { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let powers = low.floor() as i32..=high.ceil() as i32;
                let all = powers.flat_map(|power| steps.iter().map(move |s| s * 10f64.powi(power)));
                let all = all.map(|value| (value.log10(), tick(value)));
                all.filter(|(at, _)| (low..=high).contains(at)).collect()
            }
            Scale::Nines => {
                let all = [(0.0, "0"), (0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9")];
                let all = all.iter().map(|(share, name)| (-(1.0f64 - share).log10(), name));
                all.filter(|(at, _)| *at <= high)
                    .map(|(at, name)| (at, format!("{name} %")))
                    .collect()
            }
        }
    }
}

/// A round number of an axis, thousands and millions by a letter.
fn tick(value: f64) -> String {
    // What computing it has added far behind the point is no part of it.
    let round = |value: f64| (value * 1e6).round() / 1e6;
    match value {
        v if v >= 1e6 => format!("{}M", round(v / 1e6)),
        v if v >= 1e3 => format!("{}k", round(v / 1e3)),
        v => round(v).to_string(),
    }
}

fn draw(out: &mut String, panel: &Panel, names: &[&str]) {
    let (left, right, top, bottom) = MARGIN;
    let (width, height) = (WIDTH - left - right, HEIGHT - top - bottom);
    let lines: Vec<(usize, Vec<(f64, f64)>)> = panel
        .lines
        .iter()
        .map(|(name, points)| {
            let placed = points
                .iter()
                .filter_map(|(x, y)| Some((panel.x.1.place(*x)?, panel.y.1.place(*y)?)));
            (names.iter().position(|n| n == name).unwrap_or(0), placed.collect())
        })
        .collect();
    let all = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        lines.iter().flat_map(|(_, points)| points.iter().map(of)).collect()
    };
    let (x_low, x_high) = panel.x.1.range(&all(|p| p.0));
    let (y_low, y_high) = panel.y.1.range(&all(|p| p.1));
    let x_at = |x: f64| left + (x - x_low) / (x_high - x_low) * width;
    let y_at = |y: f64| top + height - (y - y_low) / (y_high - y_low) * height;

    let _ = writeln!(
        out,
        "<text class=\"text\" x=\"{left}\" y=\"{:.0}\" font-weight=\"600\">{}</text>\
         <text class=\"dim\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
         <text class=\"dim\" x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
        top - 14.0,
        escape(&panel.title),
        WIDTH - right,
        HEIGHT - 12.0,
        escape(&panel.x.0),
        WIDTH - right,
        top - 14.0,
        escape(&panel.y.0)
    );
    for (place, name) in panel.x.1.ticks(x_low, x_high) {
        let at = x_at(place);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{at:.1} {top}v{height}\"/><text class=\"dim\" x=\"{at:.1}\" \
             y=\"{:.0}\" text-anchor=\"middle\">{}</text>",
            top + height + 15.0,
            escape(&name)
        );
    }
    for (place, name) in panel.y.1.ticks(y_low, y_high) {
        let at = y_at(place);
        let _ = writeln!(
            out,
            "<path class=\"grid\" d=\"M{left} {at:.1}h{width}\"/><text class=\"dim\" x=\"{:.0}\" \
             y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 6.0,
            at + 4.0,
            escape(&name)
        );
    }
    for (number, points) in &lines {
        let mut path = String::new();
        for (at, (x, y)) in points.iter().enumerate() {
            let _ =
                write!(path, "{}{:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, x_at(*x), y_at(*y));
        }
        let class = number % 5;
        let _ = writeln!(
            out,
            "<path class=\"c{class}\" fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\" d=\"{path}\"/>"
        );
    }
}
