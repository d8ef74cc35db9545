//! The other two pipes: a host that does not read what it is sent, and nobody who reads stderr.

use crate::common::http;
use crate::common::{Bridge, PATIENCE, chat, command};
use crate::stage::{PATH, Stage};
use crate::table::Told;
use serde_json::json;
use std::process::Command;

pub fn stdout() -> Told {
    // No answer can come, so this is how long the refusal takes. A busy machine must be able to carry
    // the first line through the pipe within it.
    let mut stage = Stage::of(Bridge::sampling(&[("MODELTAP_TIMEOUT", "3s")]));
    let addr = stage.addr;
    let gate = stage.bridge.reading();
    let held = gate.lock().unwrap();
    // More than a pipe holds. The first is read, the second stands in the middle of its line.
    let long = "x".repeat(1 << 20);
    let (done, answers) = crossbeam_channel::unbounded();
    for _ in 0..6 {
        let (done, long) = (done.clone(), long.clone());
        std::thread::spawn(move || done.send(http::chat(addr, &long)));
    }
    let next = || answers.recv_timeout(PATIENCE).expect("a client gets its answer");
    let mut statuses: Vec<u16> = (0..5)
        .map(|_| {
            let answer = next();
            let message = answer.json()["error"]["message"].to_string();
            assert!(answer.status == 504 || message.contains("does not read"), "{message}");
            answer.status
        })
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [503, 503, 503, 503, 504]);
    // The host is still heard; what it asks is answered when it reads again.
    let bridge = &mut stage.bridge;
    let pings: Vec<u64> = (0..20).map(|_| bridge.begin("ping", json!({}))).collect();
    bridge.send_raw(b"not JSON\n");
    bridge.wait_stderr("a line from the host is not JSON");
    assert_eq!(http::get(addr, "/health").status, 200);
    drop(held);
    for id in pings {
        assert_eq!(bridge.recv_where(|message| message.get("method").is_none())["id"], id);
    }
    assert_eq!(next().status, 504);
    // It is told of the two requests that it has seen, and never hears of the others.
    for _ in 0..2 {
        let asked = bridge.recv_method("sampling/createMessage");
        assert_eq!(asked["params"]["messages"][0]["content"]["text"], long);
        let id = &asked["id"];
        bridge.recv_where(|message| message["params"]["requestId"] == *id);
    }
    assert_eq!(bridge.recv()["error"]["code"], -32700);
    stage.settle(
        "the host reads nothing while 6 clients ask with 1 MiB each, --timeout 3s",
        "504 to the two whose requests are under way, 503 to the others; what the host asks is answered when it reads again",
        32,
    )
}

/// A bridge that logs in full to where the shell puts its stderr.
fn with_stderr(script: &str) -> Bridge {
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", script])
        .arg(command().get_program())
        .env_clear()
        .env("PATH", "/bin:/usr/bin");
    let mut bridge = Bridge::spawn_as(shell, &[("MODELTAP_LOG", "full")]);
    bridge.initialize("test-host", json!({"sampling": {}}));
    bridge
}

/// Asks for so many echoes of 4 MiB.
fn load(stage: &Stage, count: usize) {
    let text = "All work. ".repeat((4 << 20) / 10);
    for _ in 0..count {
        assert_eq!(http::post(stage.addr, PATH, &chat(&text)).content(), format!("echo: {text}"));
    }
}

pub fn stderr() -> Told {
    // Open at both ends by the bridge alone, which never reads.
    let fifo = std::env::temp_dir().join(format!("modeltap-faults-stderr-{}", std::process::id()));
    let fifo = fifo.display();
    let script = format!("mkfifo '{fifo}' && exec 2<>'{fifo}' && rm '{fifo}' && exec \"$0\"");
    let stage = Stage::of(with_stderr(&script)).echoing();
    load(&stage, 10);
    assert!(stage.peak() < 160, "{} MiB", stage.peak());
    stage.settle(
        "nobody reads stderr, --log full, 10 requests of 4 MiB with answers as large",
        "all are answered; up to 64 MiB of lines wait, the rest is dropped and counted",
        112,
    )
}

pub fn full_stderr() -> Told {
    if !std::path::Path::new("/dev/full").exists() {
        return Told::Skipped("there is no /dev/full".into());
    }
    let stage = Stage::of(with_stderr("exec \"$0\" 2>/dev/full")).echoing();
    load(&stage, 3);
    stage.settle(
        "stderr is /dev/full, --log full, 3 requests of 4 MiB with answers as large",
        "all are answered; the lines are lost",
        48,
    )
}
