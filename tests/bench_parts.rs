//! The parts of the bench that compute and draw: what they say of known numbers. The bench itself has
//! no test harness, so its pure files are taken in here.

#[path = "../bench/fit.rs"]
#[allow(dead_code)]
mod fit;
#[path = "../bench/plot.rs"]
mod plot;
#[path = "../bench/stats.rs"]
#[allow(dead_code)]
mod stats;

use fit::{Law, fit, short};
use plot::{Panel, Scale, escape, sheet};
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
