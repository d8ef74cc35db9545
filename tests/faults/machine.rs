//! A machine whose disk is full, and one whose clock is set.

use crate::common::audit::{Directory, of_kind, records, told};
use crate::common::http::{self, Client};
use crate::common::tokens::Tokens;
use crate::common::{Bridge, PATIENCE, chat, command, echo};
use crate::scarce::limit;
use crate::stage::{PATH, Stage};
use crate::table::Told;
use rlimit::Resource;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

/// So many bytes go into a file.
#[cfg(target_os = "linux")]
const ROOM: u64 = 32 * 1024;

#[cfg(not(target_os = "linux"))]
pub fn disk() -> Told {
    Told::Skipped("only Linux limits a process that runs already".into())
}

#[cfg(target_os = "linux")]
pub fn disk() -> Told {
    let directory = Directory::new();
    let file = directory.file();
    for required in ["0", "1"] {
        // The limit for the size of a file stands for the disk; else it would end the process.
        let mut shell = Command::new("sh");
        let binary = command().get_program().to_owned();
        shell.env_clear().arg("-c").arg("trap '' XFSZ; exec \"$0\"").arg(binary);
        let env =
            [("MODELTAP_AUDIT", file.to_str().unwrap()), ("MODELTAP_AUDIT_REQUIRED", required)];
        let mut bridge = Bridge::spawn_as(shell, &env);
        bridge.initialize("test-host", serde_json::json!({"sampling": {}}));
        let addr = bridge.addr();
        bridge.serve(echo);
        let stage = Stage::on(bridge, addr, true);
        let length = std::fs::metadata(&file).map_or(0, |file| file.len());
        limit(&stage.bridge, Resource::FSIZE, Some(length + ROOM));
        let text = "a question of some length ".repeat(40);
        let full = |status| {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let answer = http::chat(addr, &text);
                if answer.status == status {
                    return answer;
                }
                assert!(Instant::now() < deadline, "{} {}", answer.status, answer.text());
            }
        };
        if required == "1" {
            let refused = full(503);
            assert_eq!(refused.json()["error"]["code"], "audit_unavailable");
            assert!(refused.header("retry-after").is_some());
        } else {
            while !stage.bridge.stderr().contains("CANNOT BE WRITTEN") {
                assert_eq!(http::chat(addr, &text).status, 200);
            }
            assert_eq!(http::chat(addr, &text).status, 200);
        }
        limit(&stage.bridge, Resource::FSIZE, None);
        full(200);
        stage.bridge.wait_stderr("is written now");
        if required == "1" {
            let told = stage.settle(
                "32 KiB of room for the audit file and then none, with --audit-required and without",
                "all are answered, or 503 audit_unavailable with Retry-After where it is required; written on within a second of there being room",
                32,
            );
            verifies(&file);
            return told;
        }
        let mut bridge = stage.bridge;
        bridge.close_stdin();
        assert!(bridge.wait().success());
        verifies(&file);
    }
    unreachable!("the second bridge returns")
}

/// That the audit file is whole, up to a bridge that may be killed.
fn verifies(file: &Path) {
    let (_, out, err) = told(&["verify", file.to_str().unwrap()]);
    assert!(!err.contains("changed") && !err.contains("inserted"), "{out}{err}");
    assert!(of_kind(&records(file), "gap").is_empty(), "nothing was lost");
}

/// Turns the clock of a process that is started with it: by so many seconds as a file says.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, time);
    const char *path = getenv("TURNED_BY");
    if (clock != CLOCK_REALTIME || !path) return done;
    FILE *file = fopen(path, "r");
    long long seconds = 0;
    if (file) {
        if (fscanf(file, "%lld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    time->tv_sec += seconds;
    return done;
}
"#;

#[cfg(not(target_os = "linux"))]
pub fn clock() -> Told {
    Told::Skipped("the clock is turned by LD_PRELOAD".into())
}

#[cfg(target_os = "linux")]
pub fn clock() -> Told {
    const DAY: i64 = 24 * 60 * 60;
    let (directory, tokens) = (Directory::new(), Tokens::new());
    let place = |name: &str| directory.0.join(name).to_str().unwrap().to_owned();
    let (source, shim, turned) = (place("clock.c"), place("clock.so"), place("turned"));
    std::fs::write(&source, SHIM).unwrap();
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o", &shim, &source, "-ldl"]).output();
    // Rust links with the same compiler.
    let made = made.expect("there is a C compiler");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let turn = |seconds: i64| {
        // By replace, so that nobody reads half of it.
        let next = format!("{turned}.next");
        std::fs::write(&next, seconds.to_string()).unwrap();
        std::fs::rename(&next, &turned).unwrap();
    };
    turn(0);

    let ann = tokens.add("ann", &["--expires", "1h", "--tokens-per-day", "1000000"]);
    let file = directory.file();
    let env = [
        ("LD_PRELOAD", &*shim),
        ("TURNED_BY", &*turned),
        ("MODELTAP_AUDIT", file.to_str().unwrap()),
        ("MODELTAP_TOKENS", &*tokens.path()),
        ("MODELTAP_LOG", "full"),
    ];
    let mut bridge = Bridge::sampling(&env);
    let addr = bridge.addr();
    bridge.serve(echo);
    let ask = |stream: bool| {
        let mut body = chat("Hello");
        body["stream"] = stream.into();
        let mut client = Client::connect(addr);
        client.post(PATH, &format!("x-api-key: {ann}\r\nConnection: close\r\n"), &body);
        client.answer()
    };
    let year = ask(false).header("date").unwrap().to_owned();
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let since_1970 = since_1970.as_secs() as i64;
    // A day back, before 1970, behind the year 9999, and a token's end.
    for (seconds, status) in [
        (-DAY, 200),
        (-since_1970 - DAY, 200),
        (300_000_000_000, 401),
        (2 * 60 * 60, 401),
        (-60, 200),
        (0, 200),
    ] {
        turn(seconds);
        for stream in [false, true] {
            let answer = ask(stream);
            assert_eq!(answer.status, status, "{seconds}: {}", answer.text());
        }
        assert_eq!(http::get(addr, "/v1/models").status, 401, "the door stays shut");
    }
    assert_eq!(ask(false).header("date").unwrap()[..16], year[..16], "the clock is right again");
    let deadline = Instant::now() + PATIENCE;
    while of_kind(&records(&file), "tx").len() < 20 {
        assert!(Instant::now() < deadline, "the records do not come");
        std::thread::sleep(Duration::from_millis(20));
    }
    bridge.close_stdin();
    assert!(bridge.wait().success());
    let (code, out, err) = told(&["verify", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}{err}");
    // What is left over is counted where no key is needed.
    Stage::new(&[("LD_PRELOAD", &*shim), ("TURNED_BY", &*turned)]).settle(
        "the clock a day back, before 1970, behind the year 9999, and right again",
        "all goes on; a token's end and its day go by the clock, all waiting and all rates do not; the audit file verifies",
        16,
    )
}
