//! The RX and TX lines on stderr.

mod common;

use common::{Bridge, chat, echo, http};
use serde_json::json;

const PATH: &str = "/v1/chat/completions";

fn after_one_chat(env: &[(&str, &str)], text: &str) -> String {
    let mut bridge = Bridge::sampling(env);
    let addr = bridge.addr();
    bridge.serve(echo);
    let mut body = chat(text);
    body["stream"] = true.into();
    http::post(addr, PATH, &body);
    let mut client = http::Client::connect(addr);
    client.post(PATH, "User-Agent: tester/1\r\n", &chat(text));
    assert_eq!(client.answer().status, 200);
    // A line may be written a little after its client has the answer.
    let deadline = std::time::Instant::now() + common::PATIENCE;
    while !env.contains(&("MODELTAP_LOG", "off")) && bridge.stderr().matches("TX ").count() < 2 {
        assert!(std::time::Instant::now() < deadline, "{}", bridge.stderr());
        std::thread::yield_now();
    }
    bridge.close_stdin();
    bridge.wait();
    bridge.stderr()
}

#[test]
fn full_lines_hold_ids_client_model_status_time_and_all_text() {
    let told = after_one_chat(&[("MODELTAP_LOG", "full")], "Hello\nthere");
    assert_eq!(told.matches(" RX ").count(), 2, "{told}");
    assert_eq!(told.matches(" TX ").count(), 2, "{told}");
    assert_eq!(told.matches("    user: Hello\n    there\n").count(), 2, "{told}");
    assert_eq!(told.matches("    echo: Hello\n    there\n").count(), 2, "{told}");
    assert!(told.contains("127.0.0.1 \"tester/1\""), "{told}");
    assert!(told.contains("model=m") && told.contains(" 200 ") && told.contains("ms "), "{told}");
    assert!(!told.contains('\x1b'));
}

#[test]
fn brief_lines_hold_no_text_and_off_tells_nothing() {
    let told = after_one_chat(&[("MODELTAP_LOG", "brief")], "Hello");
    assert!(told.contains(" RX ") && told.contains(" TX ") && !told.contains("Hello"), "{told}");
    assert_eq!(after_one_chat(&[("MODELTAP_LOG", "off")], "Hello"), "");
}

#[test]
fn lines_are_coloured_by_force() {
    let told = after_one_chat(&[("MCPTB_FORCE_COLOR", "1")], "Hello");
    assert!(told.contains("\x1b[36m") && told.contains("\x1b[32m"), "{told}");
}

#[test]
fn no_request_can_forge_a_line_or_steer_the_terminal() {
    let told =
        after_one_chat(&[("MODELTAP_LOG", "full")], "x\r\n2026-01-01T00:00:00Z TX forged\x1b[2J");
    assert!(told.lines().all(|line| !line.starts_with("2026-01-01T00:00:00Z")), "{told}");
    assert!(!told.contains('\x1b'));
}

#[test]
fn refusals_are_told_with_their_reason() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    http::get(addr, "/nowhere");
    http::post(addr, PATH, &json!({"messages": 1}));
    bridge.wait_stderr(" 404 GET /nowhere");
    bridge.wait_stderr(" 400 ");
}
