//! Latency and throughput per dialect, whole and streamed, for several numbers of clients, and with
//! one client pinned together with bridge and host to one processor, where nothing runs at the same
//! time and a request costs what it costs.

use super::{Bench, Stage};
use crate::dialect::Dialect;
use crate::load::{self, Slice, Until};
use crate::results::{Case, Distribution};
use crate::stats::percentile;
use crate::subject::Way;

/// The size of a small request's text and of its answer's, in bytes.
pub const SMALL: usize = 200;

/// The case that the plots show.
const SHOWN: (Dialect, bool) = (Dialect::ChatCompletions, false);

/// Sampling: the answer comes as one piece.
pub fn run(bench: &mut Bench) -> Result<(), String> {
    pinned(bench, "latency", Way::Sampling, &Dialect::ALL)?;
    let mut stage = Stage::new(bench, Way::Sampling);
    for &clients in bench.options.clients() {
        for dialect in Dialect::ALL {
            for stream in [false, true] {
                cell(bench, &mut stage, "latency", (dialect, stream), (clients, false));
            }
        }
    }
    let (dialect, whole) = (SHOWN.0.name(), [("stream", "whole"), ("cores", "all cores")]);
    let case = [("dialect", dialect), whole[0], whole[1]];
    bench.results.grow("latency, p50", "clients", ("latency", "p50"), "clients", &case);
    bench.results.grow("throughput", "clients", ("latency", "throughput"), "clients", &case);
    Ok(())
}

/// Channel events: a streamed answer comes in pieces, so that its first text comes before its end.
pub fn channel(bench: &mut Bench) -> Result<(), String> {
    let dialects = [Dialect::ChatCompletions];
    pinned(bench, "channel", Way::Channel, &dialects)?;
    let mut stage = Stage::new(bench, Way::Channel);
    for clients in [8, 64] {
        for stream in [false, true] {
            cell(bench, &mut stage, "channel", (dialects[0], stream), (clients, false));
        }
    }
    Ok(())
}

/// One client on one processor.
fn pinned(
    bench: &mut Bench,
    measure: &'static str,
    way: Way,
    dialects: &[Dialect],
) -> Result<(), String> {
    super::pinned(bench, measure, |bench| {
        let mut stage = Stage::new(bench, way);
        for &dialect in dialects {
            for stream in [false, true] {
                cell(bench, &mut stage, measure, (dialect, stream), (1, true));
            }
        }
    })
}

/// Who asks how, as all measures of latency name it.
pub fn case(dialect: Dialect, stream: bool, clients: usize, is_pinned: bool) -> Case {
    vec![
        ("dialect", dialect.name().to_owned()),
        ("stream", if stream { "streamed" } else { "whole" }.to_owned()),
        ("clients", format!("{clients} {}", if clients == 1 { "client" } else { "clients" })),
        ("cores", if is_pinned { "one core" } else { "all cores" }.to_owned()),
    ]
}

/// One case, all its rounds.
fn cell(
    bench: &mut Bench,
    stage: &mut Stage,
    measure: &'static str,
    (dialect, stream): (Dialect, bool),
    (clients, is_pinned): (usize, bool),
) {
    let case = case(dialect, stream, clients, is_pinned);
    let doing = format!("{measure}, {}", crate::results::words(&case));
    if !bench.has_time(&doing) {
        return;
    }
    let way = stage.way;
    let until = Until::Time(bench.options.slice);
    let mut merged: Vec<(String, Vec<u64>)> = Vec::new();
    for _ in 0..bench.options.rounds {
        stage.round(bench, &doing, |bench, subject, running| {
            if !subject.can(dialect, way) {
                return Ok(());
            }
            let shape = subject.shape(dialect, way, stream, SMALL, SMALL);
            let slice = load::slice(running.addr, &shape, clients, until);
            note(bench, (measure, &case), &subject.name, stream, slice.as_ref().ok());
            let slice = slice?;
            match merged.iter_mut().find(|(name, _)| *name == subject.name) {
                Some((_, all)) => all.extend(slice.whole),
                None => merged.push((subject.name.clone(), slice.whole)),
            }
            Ok(())
        });
    }
    if (dialect, stream) == SHOWN && measure == "latency" {
        let subjects = merged.into_iter().map(|(name, times)| (name, quantiles(times))).collect();
        bench.results.distributions.push(Distribution { case, subjects });
    }
}

/// Notes the figures of a slice, or that it failed.
fn note(
    bench: &mut Bench,
    at: (&'static str, &Case),
    subject: &str,
    stream: bool,
    slice: Option<&Slice>,
) {
    let mut add = |metric, unit, value| bench.results.add(at, (metric, unit), subject, value);
    let micros = |nanos: u64| nanos as f64 / 1e3;
    let shares = [("min", 0.0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];
    for (metric, share) in shares {
        add(metric, "µs", slice.and_then(|s| percentile(&s.whole, share)).map(micros));
    }
    add("throughput", "/s", slice.map(Slice::throughput));
    if stream {
        let first = |times: fn(&Slice) -> &Vec<u64>| {
            slice.and_then(|slice| percentile(times(slice), 0.5)).map(micros)
        };
        add("first byte", "µs", first(|slice| &slice.first_byte));
        add("first text", "µs", first(|slice| &slice.first_text));
    }
}

/// The distribution as a line: finer towards its end.
fn quantiles(mut times: Vec<u64>) -> Vec<(f64, f64)> {
    times.sort_unstable();
    // Beyond the last whole request there is nothing to tell.
    let most = (times.len() as f64).log10();
    let steps = (0..=80).map(|step| f64::from(step) / 20.0).take_while(|nines| *nines <= most);
    let shares = steps.map(|nines| 1.0 - 10f64.powf(-nines));
    shares.filter_map(|share| Some((share, percentile(&times, share)? as f64 / 1e3))).collect()
}
