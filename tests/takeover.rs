//! Two bridges on one port under load: when the one that serves is killed, the other takes over;
//! only what the first had in hand is lost, and each of its clients sees its connection close.

mod common;

use common::calls::{Caller, Lost};
use common::http;
use common::{Aside, Bridge, PATIENCE, aside, chat, sampled};
use crossbeam_channel::{Receiver, Sender, unbounded};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PATH: &str = "/v1/chat/completions";
/// Clients that ask one question after another.
const BUSY: usize = 8;
/// How many each of them wants of the second bridge, all of which must come.
const AFTER: usize = 40;
/// A second is promised; the rest is for a machine that has other work.
const SOON: Duration = Duration::from_secs(20);

/// Answers with the bridge's name and the question, but never one that begins with "hold": of
/// these it tells.
fn serve(bridge: &mut Bridge, name: &'static str) -> Receiver<String> {
    let (tell, held): (Sender<String>, _) = unbounded();
    bridge.serve(move |message| {
        let text = message["params"]["messages"][0]["content"]["text"].as_str();
        match text {
            Some(text) if text.starts_with("hold") => {
                let _ = tell.send(text.to_owned());
                Vec::new()
            }
            Some(text) => vec![sampled(message, &format!("{name}: {text}"))],
            None => Vec::new(),
        }
    });
    held
}

fn body(text: &str, stream: bool) -> Value {
    let mut body = chat(text);
    body["stream"] = stream.into();
    body
}

/// The text of a whole answer or a stream; everything about it must be in order.
fn text(answer: &http::Answer, stream: bool) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    if !stream {
        return answer.content();
    }
    let mut events = answer.events();
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let piece = |event: &String| {
        let event: Value = serde_json::from_str(event).unwrap();
        event["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    };
    events.iter().map(piece).collect()
}

/// What the clients and the test know of each other.
#[derive(Default)]
struct Stage {
    answered_by_first: AtomicUsize,
    /// The first bridge is gone, with all that it had open.
    dead: AtomicBool,
    /// Somebody has had an answer of the second.
    taken_over: AtomicBool,
}

/// Asks until the second bridge has answered often enough; how many requests were lost on the way,
/// all of them in the hands of the first.
/// Every second question is streamed; `keep` says whether one connection serves them all.
fn busy(addr: SocketAddr, number: usize, keep: bool, stage: &Stage) -> usize {
    let (mut lost, mut after) = (0, 0);
    let mut kept: Option<Caller> = None;
    let deadline = Instant::now() + PATIENCE;
    for question in 0.. {
        let (dead, taken_over) =
            (stage.dead.load(Ordering::SeqCst), stage.taken_over.load(Ordering::SeqCst));
        let (asked, stream) = (format!("client {number} question {question}"), question % 2 == 1);
        // A connection to the bridge that died is of no more use, whether it was busy or not.
        let is_new = kept.is_none();
        let caller = kept.take().map_or_else(|| Caller::connect(addr), Ok);
        let answer = caller.and_then(|mut caller| {
            caller.post(
                PATH,
                if keep { "" } else { "Connection: close\r\n" },
                &body(&asked, stream),
            )?;
            let answer = caller.answer()?;
            kept = keep.then_some(caller);
            Ok(answer)
        });
        match answer {
            Ok(answer) => match text(&answer, stream).strip_suffix(&asked) {
                Some("first: ") => {
                    assert!(!dead, "the dead answer");
                    stage.answered_by_first.fetch_add(1, Ordering::SeqCst);
                }
                Some("second: ") => {
                    stage.taken_over.store(true, Ordering::SeqCst);
                    after += 1;
                    if after == AFTER {
                        return lost;
                    }
                }
                _ => panic!("a foreign answer to {asked:?}: {}", answer.text()),
            },
            Err(lost_by) => {
                assert!(!(taken_over && is_new), "{asked:?} after the takeover: {lost_by:?}");
                assert!(Instant::now() < deadline, "{asked:?}: nobody has taken over");
                match lost_by {
                    // Nobody has taken it in hand.
                    Lost::Refused => thread::yield_now(),
                    Lost::Closed(_) => {
                        assert!(!(dead && is_new), "{asked:?} was taken in hand and dropped");
                        lost += 1;
                    }
                }
            }
        }
    }
    unreachable!("the questions have no end")
}

/// Kills the first of two bridges under load, after it has given so many answers; the time until
/// the second has answered a question.
fn takeover(before: usize) -> Duration {
    let mut first = Bridge::sampling(&[]);
    let addr = first.addr();
    let mut second = Bridge::sampling(&[("MODELTAP_PORT", &addr.port().to_string())]);
    let state = |status: &Value| {
        status["structuredContent"]["state"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(state(&second.call("http_server_status", json!({}))), "waiting for port");
    let held = serve(&mut first, "first");

    // Four that the first bridge has in hand and will never answer, two of them streams.
    let in_hand: Vec<Aside<Result<http::Answer, Lost>>> = (0..4)
        .map(|number| {
            aside(move || {
                let mut caller = Caller::connect(addr)?;
                let stream = number % 2 == 1;
                caller.post(PATH, "", &body(&format!("hold {number}"), stream))?;
                if stream {
                    caller.head()?;
                }
                caller.answer()
            })
        })
        .collect();
    for _ in &in_hand {
        held.recv_timeout(PATIENCE).expect("the host is asked");
    }
    let stage = Arc::new(Stage::default());
    let busy: Vec<Aside<usize>> = (0..BUSY)
        .map(|number| {
            let stage = stage.clone();
            aside(move || busy(addr, number, number % 2 == 0, &stage))
        })
        .collect();
    let deadline = Instant::now() + PATIENCE;
    while stage.answered_by_first.load(Ordering::SeqCst) < before {
        assert!(Instant::now() < deadline, "the first bridge does not serve");
        thread::yield_now();
    }
    // While the first serves, the second waits.
    assert_eq!(state(&second.call("http_server_status", json!({}))), "waiting for port");
    let _held = serve(&mut second, "second");
    assert!(!stage.taken_over.load(Ordering::SeqCst));

    first.kill();
    let killed = Instant::now();
    stage.dead.store(true, Ordering::SeqCst);
    while !stage.taken_over.load(Ordering::SeqCst) {
        assert!(killed.elapsed() < SOON, "nobody has taken over");
        thread::yield_now();
    }
    let took = killed.elapsed();
    for caller in in_hand {
        match caller.get() {
            Err(Lost::Closed(begun)) => {
                let begun = String::from_utf8_lossy(&begun);
                assert!(!begun.contains("first:") && !begun.contains("second:"), "{begun}");
            }
            other => panic!("what was in hand came to {other:?}"),
        }
    }
    let lost: usize = busy.into_iter().map(Aside::get).sum();
    println!("taken over after {took:?}; {lost} of the busy clients' requests were lost");
    took
}

#[test]
fn the_second_bridge_takes_over_when_the_first_is_killed_under_load() {
    takeover(10 * BUSY);
}

#[test]
#[ignore = "measures: cargo test --release --test takeover -- --ignored --nocapture"]
fn how_long_twenty_takeovers_take() {
    // The second bridge looks at the port now and then: each time the kill comes at another moment.
    let mut took: Vec<Duration> =
        (0..20).map(|run| takeover((1 + run * 7 % 20) * 20 * BUSY)).collect();
    took.sort();
    println!("takeover: median {:?}, longest {:?}", (took[9] + took[10]) / 2, took[19]);
}
