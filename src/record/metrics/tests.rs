use super::*;
use crate::exchange::CallId;
use crate::record::audit::entry::Asked;

fn tx(model: Option<&str>, status: u16) -> Tx<'_> {
    let asked = Asked {
        id: CallId::random(),
        token: None,
        key: None,
        address: None,
        client: None,
        session: None,
        method: None,
        route: "/v1/messages",
        endpoint: "/v1/messages",
        is_probe: false,
        model,
        stream: None,
    };
    Tx {
        asked,
        status,
        error: (status != 200).then_some("no_model"),
        backend: Some("sampling"),
        time: Duration::from_millis(10),
        first: None,
        first_piece: None,
        tokens: Some(Tokens { prompt: 3, completion: 4, estimated: true }),
        body: None,
    }
}

fn lines(metrics: &Metrics, name: &str) -> Vec<String> {
    let text = metrics.write(&Now::default());
    text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
}

#[test]
fn a_request_is_counted_by_what_it_was_and_what_became_of_it() {
    let metrics = Metrics::new(&["sonnet".into()]);
    metrics.tx(&tx(Some("sonnet"), 200));
    metrics.tx(&tx(Some("sonnet"), 200));
    metrics.tx(&tx(Some("sonnet"), 503));
    metrics.tx(&Tx { backend: None, tokens: None, ..tx(None, 400) });
    metrics.unread(431, "headers_too_large");
    let series = |labels: &str, count| format!("modeltap_requests_total{{{labels}}} {count}");
    assert_eq!(
        lines(&metrics, "modeltap_requests_total"),
        [
            series(r#"route="/v1/messages",model="",backend="",status="400""#, 1),
            series(r#"route="/v1/messages",model="sonnet",backend="sampling",status="200""#, 2),
            series(r#"route="/v1/messages",model="sonnet",backend="sampling",status="503""#, 1),
            series(r#"route="other",model="",backend="",status="431""#, 1),
        ]
    );
    assert_eq!(
        lines(&metrics, "modeltap_refusals_total"),
        [
            r#"modeltap_refusals_total{reason="headers_too_large"} 1"#,
            r#"modeltap_refusals_total{reason="no_model"} 2"#
        ]
    );
    assert_eq!(
        lines(&metrics, "modeltap_tokens_total{model=\"sonnet\""),
        [
            r#"modeltap_tokens_total{model="sonnet",direction="in"} 9"#,
            r#"modeltap_tokens_total{model="sonnet",direction="out"} 12"#
        ]
    );
}

#[test]
fn no_client_can_make_more_series_than_there_is_room_for() {
    let metrics = Metrics::new(&["mine".into()]);
    // Who is refused makes no label.
    for number in 0..1000 {
        metrics.tx(&tx(Some(&format!("refused-{number}")), 503));
    }
    let requests = lines(&metrics, "modeltap_requests_total");
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(requests[0].contains(r#"model="other""#), "{requests:?}");
    for number in 0..1000 {
        metrics.tx(&tx(Some(&format!("asked-{number}")), 200));
    }
    // A long name is nobody's label, nor is one that means something else.
    metrics.tx(&tx(Some(&"x".repeat(NAME + 1)), 200));
    let requests = lines(&metrics, "modeltap_requests_total");
    assert_eq!(
        requests.len(),
        MODELS + 1,
        "the named less the listed, and other with two outcomes"
    );
    // Each with every status there is.
    for status in 200..600 {
        for number in 0..MODELS {
            metrics.tx(&tx(Some(&format!("asked-{number}")), status));
        }
    }
    assert!(metrics.counts().requests.len() <= SERIES + 400);
    for number in 0..1000 {
        metrics.unread(400, &format!("code-{number}"));
    }
    assert_eq!(lines(&metrics, "modeltap_refusals_total").len(), CODES + 1);
}

#[test]
fn names_cannot_break_out_of_their_labels() {
    let metrics = Metrics::new(&[]);
    metrics.tx(&tx(Some("a\"} 1\nmodeltap_ready 7\\"), 200));
    assert!(lines(&metrics, "modeltap_ready ").iter().all(|line| line == "modeltap_ready 0"));
    let requests = lines(&metrics, "modeltap_requests_total");
    assert!(requests[0].contains(r#"model="a\"} 1\nmodeltap_ready 7\\","#), "{requests:?}");
}

#[test]
fn a_histogram_counts_up_to_each_bound() {
    let metrics = Metrics::new(&[]);
    for millis in [0, 5, 6, 300_000, 300_001] {
        let time = Duration::from_millis(millis);
        metrics.tx(&Tx { time, first_piece: Some(time), ..tx(None, 200) });
    }
    let all = r#"route="/v1/messages",backend="sampling""#;
    for name in ["modeltap_request_duration_seconds", "modeltap_time_to_first_token_seconds"] {
        let told = lines(&metrics, name);
        for (line, place) in [
            (format!("{name}_bucket{{{all},le=\"0.005\"}} 2"), 0),
            (format!("{name}_bucket{{{all},le=\"0.01\"}} 3"), 1),
            (format!("{name}_bucket{{{all},le=\"120\"}} 3"), 14),
            (format!("{name}_bucket{{{all},le=\"300\"}} 4"), 15),
            (format!("{name}_bucket{{{all},le=\"+Inf\"}} 5"), 16),
            (format!("{name}_sum{{{all}}} 600.012"), 17),
            (format!("{name}_count{{{all}}} 5"), 18),
        ] {
            assert_eq!(told[place], line);
        }
    }
    // What was never counted is not told.
    assert!(lines(&metrics, "modeltap_time_to_first_byte_seconds").is_empty());
}
