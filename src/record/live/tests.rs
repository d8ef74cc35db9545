//! What is kept, for how long, and what it is told as.

use super::entry::BODY;
use super::*;
use crate::record::audit::entry::Asked;
use serde_json::{Value, json};
use std::time::Duration;

const CHAT: &str = "/v1/chat/completions";

fn asked<'a>(token: Option<&'a str>, model: &'a str) -> Asked<'a> {
    Asked {
        id: CallId::random(),
        token,
        key: token.map(|_| "0f0f0f0f"),
        address: Some([127, 0, 0, 1].into()),
        client: Some("client/1"),
        session: None,
        method: Some("POST"),
        route: CHAT,
        endpoint: CHAT,
        is_probe: false,
        model: Some(model),
        stream: Some(false),
    }
}

fn tx<'a>(asked: Asked<'a>, status: u16, body: &'a str) -> Tx<'a> {
    Tx {
        asked,
        status,
        error: (status >= 400).then_some(if status == 429 { "rate_limit_exceeded" } else { "bad" }),
        backend: Some("sampling"),
        time: Duration::from_millis(12),
        first: None,
        first_piece: None,
        tokens: Some(Tokens { prompt: 3, completion: 2, estimated: true }),
        body: Some(body),
    }
}

fn exchange(live: &Live, asked: Asked, status: u16, body: &str, answer: &str) {
    live.rx(&Rx { asked, body: body.as_bytes() });
    live.tx(&tx(asked, status, answer));
}

fn rows(entries: &[Arc<Entry>]) -> Vec<Value> {
    entries.iter().map(|entry| serde_json::to_value(&**entry).unwrap()).collect()
}

#[test]
fn a_request_is_in_flight_until_it_is_over() {
    let live = Live::new(Vec::new());
    let asked = asked(Some("ann"), "gpt-x");
    live.rx(&Rx { asked, body: b"{}" });
    let news = live.news(None, 9, 9);
    assert_eq!((news.in_flight, news.open.len(), news.over.len()), (1, 1, 0));
    let row = rows(&news.open).remove(0);
    assert!(row["time"].as_u64() > Some(1_600_000_000_000) && row.get("status").is_none());
    live.at_limit(asked.id, true);
    assert!(live.find(asked.id).unwrap().at_limit);
    live.tx(&tx(asked, 200, "answer"));
    let news = live.news(None, 9, 9);
    assert_eq!((news.last, news.in_flight, news.over.len()), (1, 0, 1));
    let row = rows(&news.over).remove(0);
    let told = json!({"id": asked.id.to_string(), "n": 1, "time": row["time"], "method": "POST",
        "route": CHAT, "model": "gpt-x", "token": "ann", "key": "0f0f0f0f",
        "address": "127.0.0.1", "client": "client/1", "backend": "sampling", "status": 200,
        "ms": 12.0, "prompt_tokens": 3, "completion_tokens": 2});
    assert_eq!(row, told);
    let user = serde_json::to_value(&news.users).unwrap();
    assert_eq!((&user[0]["token"], &user[0]["requests"]), (&json!("ann"), &json!(1)));
    assert_eq!(news.minutes.iter().map(|minute| minute.requests).sum::<u32>(), 1);
    assert!(live.find(CallId::random()).is_none());
}

#[test]
fn news_is_what_came_since_and_tells_how_much_was_left_out() {
    let live = Live::new(Vec::new());
    for _ in 0..5 {
        exchange(&live, asked(None, "m"), 200, "", "");
    }
    exchange(&live, asked(Some("bob"), "m"), 429, "", "too many");
    exchange(&live, asked(None, "m"), 502, "", "sk-abcdefghijklmnopqrstuvwx broke");
    let numbers = |list: &[Arc<Entry>]| list.iter().map(|entry| entry.number).collect::<Vec<_>>();
    let news = live.news(Some(2), 9, 3);
    assert_eq!((numbers(&news.over), news.skipped, news.last), (vec![5, 6, 7], 2, 7));
    assert_eq!((numbers(&news.limits), numbers(&news.errors)), (vec![6], vec![7]));
    // What an error says may hold what a client sent.
    let message = rows(&news.errors)[0]["message"].clone();
    assert_eq!(message, "[redacted] broke");
    let news = live.news(Some(6), 9, 3);
    assert_eq!((news.users.len(), news.errors.len(), news.limits.len()), (1, 1, 0));
    assert_eq!(live.news(Some(7), 9, 3).users.len(), 0);
    for _ in 0..2 * RECENT {
        exchange(&live, asked(None, "m"), 200, "", "");
    }
    let news = live.news(None, 9, usize::MAX);
    assert_eq!((news.over.len(), news.skipped), (RECENT, 7 + RECENT as u64));
    assert_eq!(numbers(&news.errors), [7]);
}

#[test]
fn bodies_are_kept_while_somebody_watches() {
    let live = Live::new(Vec::new());
    let (before, during) = (asked(None, "m"), asked(None, "m"));
    exchange(&live, before, 200, "a body", "an answer");
    live.watch(true);
    exchange(&live, during, 200, "a body", "an answer");
    let of = |id| {
        let entry = live.find(id).unwrap();
        let text = |body: &Option<Arc<Body>>| {
            body.as_ref().map(|body| String::from_utf8(body.kept.clone()).unwrap())
        };
        (text(&entry.request), text(&entry.answer))
    };
    assert_eq!(of(before.id), (None, None));
    assert_eq!(of(during.id), (Some("a body".into()), Some("an answer".into())));
    live.watch(false);
    assert_eq!(of(during.id), (None, None));
    assert_eq!(live.state().bodies, 0);
}

#[test]
fn the_newest_bodies_win_and_one_is_cut() {
    let live = Live::new(Vec::new());
    live.watch(true);
    let large = "x".repeat(BODY + 9);
    let most = BODIES / BODY;
    let ids: Vec<CallId> = (0..most + 3)
        .map(|_| {
            let asked = asked(None, "m");
            exchange(&live, asked, 200, &large, "");
            asked.id
        })
        .collect();
    let kept = |id: &CallId| live.find(*id).unwrap().request.clone();
    assert!(ids.iter().take(3).all(|id| kept(id).is_none()));
    assert!(ids.iter().skip(3).all(|id| kept(id).is_some()));
    let body = kept(&ids[most]).unwrap();
    assert_eq!((body.kept.len(), body.length, body.is_whole()), (BODY, BODY + 9, false));
    assert_eq!(live.state().bodies, BODIES);
    for _ in 0..RECENT {
        exchange(&live, asked(None, "m"), 200, "", "");
    }
    assert_eq!(live.state().bodies, 0);
}

#[test]
fn what_is_kept_has_bounds() {
    let live = Live::new(Vec::new());
    let all: Vec<Asked> = (0..OPEN + 7).map(|_| asked(None, "m")).collect();
    all.iter().for_each(|asked| live.rx(&Rx { asked: *asked, body: b"" }));
    let news = live.news(None, 100, 9);
    assert_eq!((news.in_flight, news.open.len()), (OPEN + 7, 100));
    all.iter().for_each(|asked| live.tx(&tx(*asked, 503, "")));
    assert_eq!((live.news(None, 9, 9).in_flight, live.state().errors.len()), (0, FAULTS));
    assert!(live.state().spare.len() <= OPEN + RECENT);
    let names: Vec<String> = (0..USERS + 20).map(|number| format!("token{number}")).collect();
    for name in &names {
        exchange(&live, asked(Some(name), &"m".repeat(9999)), 200, "", "");
    }
    let news = live.news(None, 0, 1);
    assert!(news.users.len() <= USERS + 1);
    assert_eq!(news.users.iter().map(|user| user.requests).sum::<u64>(), 2 * USERS as u64 + 27);
    assert!(news.over[0].model.len() < 200);
}

#[test]
fn the_pages_own_requests_and_others_than_the_models_are_told_apart() {
    let live = Live::new(Vec::new());
    let of = |endpoint| Asked { endpoint, route: endpoint, ..asked(None, "m") };
    exchange(&live, of("/v1/events"), 200, "", "");
    exchange(&live, of("/v1/exchanges/{id}"), 200, "", "");
    exchange(&live, of("/metrics"), 200, "", "");
    assert_eq!(live.news(None, 9, 9).last, 0);
    exchange(&live, of("/v1/models"), 401, "", "");
    let strange = Asked { endpoint: "other", route: "/wp-admin", ..asked(None, "m") };
    exchange(&live, strange, 404, "", "");
    let news = live.news(None, 9, 9);
    assert_eq!((news.over.len(), news.minutes.len(), news.users.len()), (2, 0, 0));
    assert_eq!(rows(&news.over)[1]["path"], "/wp-admin");
}
