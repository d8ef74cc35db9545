//! The parts of the bench that compute and draw: what they say of known numbers. The bench itself has
//! no test harness, so its pure files are taken in here.
#![allow(dead_code)] // The bench uses what these tests do not.

#[path = "../bench/dialect.rs"]
mod dialect;
#[path = "../bench/fit.rs"]
mod fit;
#[path = "../bench/plot.rs"]
mod plot;
#[path = "../bench/promises.rs"]
mod promises;
#[path = "../bench/report.rs"]
mod report;
#[path = "../bench/results.rs"]
mod results;
#[path = "../bench/stats.rs"]
mod stats;
#[path = "../bench/system.rs"]
mod system;

use dialect::{Dialect, Shape, find_token, next_token};
use fit::{Law, fit, short};
use plot::{Panel, Scale, escape, sheet};
use results::{Case, FLOOR, MODELTAP, Results};
use stats::{percentile, ratios, spread};

#[test]
fn a_percentile_is_one_of_the_values() {
    let values: Vec<u64> = (1..=100).collect();
    let shares = [(0.0, 1), (0.5, 50), (0.9, 90), (0.99, 99), (0.999, 100), (1.0, 100)];
    for (share, value) in shares {
        assert_eq!(percentile(&values, share), Some(value), "{share}");
    }
    assert_eq!(percentile(&[7], 0.5), Some(7));
    assert_eq!(percentile::<u64>(&[], 0.5), None);
}

#[test]
fn a_spread_takes_values_in_any_order() {
    let spread = spread(&[5.0, 1.0, 4.0, 2.0, 3.0]).unwrap();
    assert_eq!((spread.min, spread.low, spread.median), (1.0, 2.0, 3.0));
    assert_eq!((spread.high, spread.max), (4.0, 5.0));
    assert_eq!(stats::spread(&[1.0, 2.0]).unwrap().median, 1.5);
    assert_eq!(stats::spread(&[]), None);
}

#[test]
fn ratios_are_of_the_same_round_and_leave_out_what_failed() {
    let floor = [Some(2.0), None, Some(0.0), Some(4.0)];
    assert_eq!(ratios(&[Some(3.0), Some(9.0), Some(9.0), Some(8.0)], &floor), [1.5, 2.0]);
    assert_eq!(ratios(&[None, Some(1.0)], &floor), [0.0; 0]);
    assert_eq!(ratios(&[Some(1.0)], &[]), [0.0; 0]);
}

#[test]
fn a_line_is_found_to_be_linear() {
    let points: Vec<_> = [1.0, 250.0, 1000.0, 4000.0].map(|x| (x, 2.5 + 0.02 * x)).into();
    let fit = fit(&points).unwrap();
    let Law::Linear { start, slope } = fit.law else { panic!("{fit:?}") };
    assert!((start - 2.5).abs() < 1e-9 && (slope - 0.02).abs() < 1e-9, "{fit:?}");
    assert!(fit.r2 > 0.999_999);
}

#[test]
fn a_square_root_is_found_to_be_a_power() {
    let points: Vec<_> = [1.0, 8.0, 64.0, 256.0].map(|x: f64| (x, 30.0 * x.sqrt())).into();
    let fit = fit(&points).unwrap();
    let Law::Power { factor, exponent } = fit.law else { panic!("{fit:?}") };
    assert!((factor - 30.0).abs() < 1e-6 && (exponent - 0.5).abs() < 1e-9, "{fit:?}");
}

#[test]
fn what_hardly_changes_is_constant() {
    let fit = fit(&[(1.0, 3.0), (10.0, 3.1), (100.0, 3.05)]).unwrap();
    assert!(matches!(fit.law, Law::Constant { at } if (at - 3.05).abs() < 1e-9), "{fit:?}");
}

#[test]
fn zeros_and_too_few_points_are_borne() {
    assert_eq!(fit(&[(1.0, 1.0), (2.0, 2.0)]), None);
    assert_eq!(fit(&[(2.0, 1.0), (2.0, 2.0), (2.0, 3.0)]), None);
    let with_zero = fit(&[(0.0, 0.0), (1.0, 2.0), (2.0, 4.0)]).unwrap();
    assert!(matches!(with_zero.law, Law::Linear { .. }), "{with_zero:?}");
    let zeros = fit(&[(0.0, 0.0), (1.0, 0.0), (2.0, 0.0)]).unwrap();
    assert_eq!(zeros.law, Law::Constant { at: 0.0 });
}

#[test]
fn numbers_have_three_digits_that_count() {
    let told = [0.0, 0.012_34, 0.5, 1.234, 12.34, 123.4, 123_456.0].map(short);
    assert_eq!(told, ["0", "0.0123", "0.500", "1.23", "12.3", "123", "123456"]);
    assert_eq!(short(f64::NAN), "-");
}

#[test]
fn names_cannot_break_out_of_a_plot() {
    assert_eq!(escape("a<b>&\"c'\u{0}"), "a&lt;b&gt;&amp;&quot;c&#39;\u{fffd}");
    let hostile = "</text><script>alert(1)</script>";
    let axis = || (hostile.to_owned(), Scale::Log);
    let lines = vec![(hostile.to_owned(), vec![(1.0, 1.0), (10.0, 2.0)])];
    let svg = sheet(&[Panel { title: hostile.into(), x: axis(), y: axis(), lines }]);
    assert!(!svg.contains("<script"), "{svg}");
    assert!(svg.contains("&lt;script&gt;"));
}

#[test]
fn no_values_make_a_plot_without_numbers_that_are_none() {
    let values = [vec![], vec![(0.0, 0.0)], vec![(5.0, 5.0)], vec![(1.0, f64::NAN), (0.99, 3.0)]];
    for points in values {
        for scale in [Scale::Linear, Scale::Log, Scale::Nines] {
            let axis = |scale| ("axis".to_owned(), scale);
            let lines = vec![("line".to_owned(), points.clone())];
            let panel = Panel { title: "t".into(), x: axis(scale), y: axis(Scale::Log), lines };
            let svg = sheet(&[panel]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?} {scale:?}: {svg}");
        }
    }
}

/// Results with the throughput of two cases: in each of three rounds these shares of the floor's.
fn measured(shares: [(&str, [f64; 3]); 2]) -> Results {
    let mut results = Results::default();
    for (dialect, rounds) in shares {
        let case: Case = [("dialect", dialect), ("clients", "64 clients"), ("cores", "all cores")]
            .map(|(name, value)| (name, value.to_owned()))
            .into();
        for (floor, share) in [1000.0, 2000.0, 4000.0].into_iter().zip(rounds) {
            let (at, metric) = (("latency", &case), ("throughput", "/s"));
            results.add(at, metric, FLOOR, Some(floor));
            results.add(at, metric, MODELTAP, Some(floor * share));
        }
    }
    results
}

#[test]
fn a_promise_is_decided_by_its_worst_case_and_by_ratios_within_rounds() {
    let of_throughput = |results: &Results| {
        let kept = promises::kept(results);
        let found = kept.into_iter().find(|kept| kept.promise.starts_with("throughput"));
        found.expect("there is a promise about throughput")
    };
    let missed = of_throughput(&measured([("a", [0.9, 0.9, 0.9]), ("b", [0.5, 0.7, 0.6])]));
    let worst = missed.worst.expect("it was measured");
    assert!((worst.value - 0.6).abs() < 1e-9 && worst.case.starts_with('b'), "{worst:?}");
    assert_eq!(missed.is_kept, Some(false));
    let kept = of_throughput(&measured([("a", [0.9, 0.9, 0.9]), ("b", [0.5, 0.7, 0.8])]));
    assert_eq!(kept.is_kept, Some(true));
    let absent = of_throughput(&Results::default());
    assert_eq!((absent.is_kept, absent.worst.is_none()), (None, true));
}

#[test]
fn figures_of_one_subject_keep_promises_of_their_own() {
    let one = |name, value: &str| -> Case { vec![(name, value.to_owned())] };
    let cases = [
        ("audit", "p50 over that without", "", one("clients", "8 clients"), 1.1),
        ("audit", "p50 over that without", "", one("clients", "64 clients"), 1.2),
        ("access", "p95", "µs", one("tokens", "no tokens"), 9.0),
        ("access", "p95", "µs", one("tokens", "1000 tokens"), 4.9),
        ("records", "stats", "ms", one("records", "10000 records"), 6000.0),
        ("records", "stats", "ms", one("records", "1000000 records"), 4000.0),
    ];
    let mut results = Results::default();
    for (measure, metric, unit, case, value) in cases {
        results.add((measure, &case), (metric, unit), MODELTAP, Some(value));
    }
    let kept = promises::kept(&results);
    let of = |words: &str| {
        let found = kept.iter().find(|kept| kept.promise.contains(words)).unwrap();
        (found.limit.as_str(), found.worst.as_ref().unwrap().value, found.is_kept)
    };
    assert_eq!(of("audit file"), ("1.15 ×", 1.2, Some(false)));
    assert_eq!(of("request's check"), ("5 µs", 4.9, Some(true)));
    assert_eq!(of("a million records"), ("5000 ms", 4000.0, Some(true)));
    let marked = "<!-- begin: cargo bench -- --renew -->\n<!-- end: cargo bench -- --renew -->\n";
    let renewed = report::renewed(marked, &results).unwrap();
    assert!(renewed.contains("| 1.15 × | 1.20 (1.20–1.20) missed |"), "{renewed}");
}

#[test]
fn a_folder_for_files_is_empty_and_goes_with_its_owner() {
    let first = system::Scratch::new("parts").unwrap();
    let file = first.file("left");
    std::fs::write(&file, "x").unwrap();
    std::mem::forget(first);
    let again = system::Scratch::new("parts").unwrap();
    assert!(!file.exists() && file.parent().unwrap().is_dir());
    drop(again);
    assert!(!file.parent().unwrap().exists());
}

#[test]
fn only_what_is_between_the_markers_is_renewed() {
    let results = measured([("a", [0.9, 0.9, 0.9]), ("b", [0.5, 0.7, 0.6])]);
    let marked = "before\n<!-- begin: cargo bench -- --renew -->\nold\n\
                  <!-- end: cargo bench -- --renew -->\nafter\n";
    let renewed = report::renewed(marked, &results).unwrap();
    assert!(renewed.starts_with("before\n<!-- begin") && renewed.ends_with("-->\nafter\n"));
    assert!(!renewed.contains("old") && renewed.contains("0.600"), "{renewed}");
    assert_eq!(report::renewed(&renewed, &results).unwrap(), renewed);
    assert!(report::renewed("nothing is marked", &results).is_err());
}

#[test]
fn what_grows_is_told_by_the_number_in_its_case() {
    let mut results = Results::default();
    for (size, time) in [("1 kB", 2.0), ("1 MB", 1001.0), ("10 MB", 10_001.0)] {
        let case: Case = vec![("size", size.to_owned())];
        results.add(("sizes", &case), ("p50", "µs"), FLOOR, Some(time));
    }
    results.grow("a body", "bytes", ("sizes", "p50"), "size", &[]);
    let points = &results.growths[0].subjects[0].1;
    assert_eq!(*points, [(1e3, 2.0), (1e6, 1001.0), (1e7, 10_001.0)]);
    assert!(report::text(&results).contains("linear, 1.00 + 0.00100 x µs"));
}

#[test]
fn a_request_has_the_size_asked_for_and_a_token_of_its_own() {
    for dialect in Dialect::ALL {
        let shape = Shape::new(dialect, dialect.path(), false, 200, 200);
        let token = &shape.bytes[shape.token.clone()];
        assert_eq!(find_token(&shape.bytes), Some(token));
        let head = shape.bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        let body: serde_json::Value = serde_json::from_slice(&shape.bytes[head..]).unwrap();
        let text = body["messages"][0]["content"].as_str().or(body["input"].as_str()).unwrap();
        assert_eq!(text.len(), 200);
    }
    let (one, other) = (next_token(), next_token());
    assert_ne!(one, other);
    assert_eq!(find_token(format!("tok-, tok-x {one}{other}").as_bytes()), Some(one.as_bytes()));
    assert_eq!(find_token(b"tok-0000"), None);
}

#[test]
fn a_text_that_came_in_pieces_is_read_as_one() {
    let events = b"event: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"to\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"k-\"}}]}\n\ndata: [DONE]\n\n";
    assert_eq!(Dialect::ChatCompletions.streamed_text(events), "tok-");
}

#[test]
fn calls_are_read_from_what_strace_writes() {
    let text = "% time     seconds  usecs/call     calls    errors syscall\n\
        ------ ----------- ----------- --------- --------- ----------------\n \
        70.00    0.000700           1       551        50 futex\n \
        30.00    0.000300           2       300           write\n\
        ------ ----------- ----------- --------- --------- ----------------\n\
        100.00    0.001000           1       851        50 total\n";
    let counts: Vec<_> = system::read_strace(text).into_iter().collect();
    assert_eq!(counts, [("futex".to_owned(), 551), ("write".to_owned(), 300)]);
}

#[test]
fn the_last_processor_is_found_in_a_list() {
    let lists = [("0", "0"), ("0-3", "3"), ("0-3,8", "8"), ("1,3", "3")];
    for (list, last) in lists {
        assert_eq!(system::last_of(list), last);
    }
}
