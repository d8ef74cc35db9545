//! `modeltap smoke` against bridges of every kind, and against what is none.

mod common;

use common::tokens::Tokens;
use common::{Bridge, aside, command, echo};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

/// What it said: the exit code, standard output, standard error.
fn smoke(args: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = command();
    command.envs(env.iter().copied()).arg("smoke").args(args);
    let ran = aside(move || command.output().unwrap()).get();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ran.status.code(), text(ran.stdout), text(ran.stderr))
}

/// The same as JSON.
fn trials(addr: SocketAddr, env: &[(&str, &str)]) -> (Option<i32>, Value) {
    let (code, out, told) = smoke(&[&format!("http://{addr}"), "--json"], env);
    assert_eq!(told, "");
    (code, serde_json::from_str(&out).unwrap())
}

/// The trials of this outcome, as `ROUTE how: said`.
fn of<'a>(told: &'a Value, outcome: &str) -> Vec<&'a Value> {
    told["trials"].as_array().unwrap().iter().filter(|t| t["outcome"] == outcome).collect()
}

fn bridge(env: &[(&str, &str)]) -> (Bridge, SocketAddr) {
    let mut bridge = Bridge::sampling(env);
    let addr = bridge.addr();
    bridge.serve(echo);
    (bridge, addr)
}

#[test]
fn every_route_of_a_good_bridge_is_as_it_must_be() {
    let (_bridge, addr) = bridge(&[]);
    let (code, out, told) = smoke(&[&format!("http://{addr}/v1")], &[]);
    assert_eq!((code, told.as_str()), (Some(0), ""), "{out}");
    for route in modeltap::api::ROUTES {
        assert!(out.contains(&format!("ok      {route} ")), "no good {route} in:\n{out}");
    }
    let streamed = out.lines().filter(|line| line.contains("  streamed  "));
    let asked =
        streamed.filter(|line| line.contains("POST") && line.contains("echo: This is a test"));
    assert_eq!(asked.count(), 4, "{out}");
    assert!(out.contains("no key is asked for here") && out.ends_with(", 0 not tried\n"), "{out}");
    // Where it is by the settings.
    let port = addr.port().to_string();
    assert_eq!(smoke(&["--port", &port], &[]).0, Some(0));
    assert_eq!(smoke(&[], &[("MODELTAP_PORT", &port), ("MODELTAP_HOST", "0.0.0.0")]).0, Some(0));
    let (code, told) = trials(addr, &[]);
    assert_eq!((code, &told["ok"], &told["failed"]), (Some(0), &json!(true), &json!(0)));
    for trial in told["trials"].as_array().unwrap() {
        assert!(trial["first_ms"].as_f64() <= trial["total_ms"].as_f64(), "{trial}");
    }
}

#[test]
fn keys_must_be_asked_for_and_wrong_ones_refused() {
    let (_bridge, addr) = bridge(&[("MODELTAP_API_KEY", "s3cret")]);
    let (code, told) = trials(addr, &[("MODELTAP_API_KEY", "s3cret")]);
    assert_eq!(code, Some(0), "{told:#}");
    let keys: Vec<&Value> =
        of(&told, "ok").into_iter().filter(|t| t["said"] == "refused, as it must be").collect();
    let hows: Vec<&str> = keys.iter().map(|t| t["how"].as_str().unwrap()).collect();
    assert_eq!(hows, ["without key", "wrong key"]);
    // Without a key each route that asks for one fails, with the bridge's own words.
    let (code, told) = trials(addr, &[]);
    assert_eq!(code, Some(1));
    let failed = of(&told, "failed");
    assert!(failed.iter().all(|trial| trial["status"] == 401), "{told:#}");
    assert!(failed[0]["said"].as_str().unwrap().contains("an API key is needed"), "{told:#}");
    let (code, out, told) = smoke(&[&format!("http://{addr}"), "--key", "s3cret"], &[]);
    assert!(code == Some(0) && !out.contains("s3cret") && told.is_empty(), "{out}");
}

#[test]
fn a_token_is_tried_for_what_it_is_for() {
    let tokens = Tokens::new();
    let key =
        tokens.add("ann", &["--models", "claude-*", "--routes", "chat,messages,responses,models"]);
    let path = tokens.path();
    let env = [("MODELTAP_TOKENS", path.as_str()), ("MODELTAP_MODELS", "gpt-9,claude-9")];
    let (_bridge, addr) = bridge(&env);
    let (code, told) = trials(addr, &[("MODELTAP_API_KEY", &key)]);
    assert_eq!(code, Some(0), "{told:#}");
    // What is left out is what the token lacks the scope for.
    for trial in of(&told, "skipped") {
        assert!(trial["said"].as_str().unwrap().contains("lacks the scope"), "{trial}");
    }
    let (code, out, _) =
        smoke(&[&format!("http://{addr}"), "--key", &key, "--model", "gpt-9"], &[]);
    assert!(code == Some(1) && out.contains("not for the model \"gpt-9\""), "{out}");
}

#[test]
fn without_a_host_the_routes_that_ask_fail_with_the_remedy() {
    let mut bridge = Bridge::spawn(&[]);
    let addr = bridge.addr();
    let (code, told) = trials(addr, &[]);
    assert_eq!(code, Some(1));
    let failed = of(&told, "failed");
    // /ready, and four routes whole and streamed.
    assert_eq!(failed.len(), 9, "{told:#}");
    for trial in failed {
        assert_eq!(trial["status"], 503);
        assert!(trial["said"].as_str().unwrap().contains("register modeltap"), "{trial}");
    }
    let skipped = of(&told, "skipped");
    assert!(skipped.iter().all(|t| t["said"].as_str().unwrap().contains("needs a good answer")));
}

#[test]
fn a_host_that_refuses_is_told_in_its_words() {
    let mut bridge = Bridge::sampling(&[]);
    let addr = bridge.addr();
    bridge.serve(|message| {
        let error = json!({"code": -1, "message": "User rejected"});
        vec![json!({"jsonrpc": "2.0", "id": message["id"], "error": error})]
    });
    let (code, told) = trials(addr, &[]);
    assert_eq!(code, Some(1));
    let failed = of(&told, "failed");
    assert_eq!(failed.len(), 8, "{told:#}");
    assert!(failed[0]["said"].as_str().unwrap().contains("User rejected"), "{told:#}");
}

#[test]
fn what_is_no_modeltap_is_told_in_one_line() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{\"a\": 1}\n",
            );
        }
    });
    let (code, out, told) = smoke(&[&url], &[]);
    assert!(told.contains("is no modeltap") && told.lines().count() == 1, "{told}");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    // Nobody listens there any more, or says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let (code, _, told) = smoke(&[&url, "--timeout", "200ms"], &[]);
    assert!(
        code == Some(1) && told.contains("nothing answers at") && told.contains("doctor"),
        "{told}"
    );
    drop(silent);
    let (code, _, told) = smoke(&[&url], &[]);
    assert!(code == Some(1) && told.contains("nothing answers at"), "{told}");
}

#[test]
fn what_cannot_be_asked_ends_with_2_and_one_line() {
    for args in [
        &["ftp://h"][..],
        &["127.0.0.1:8787"],
        &["http://h", "another"],
        &["--timeout", "soon"],
        &["--port", "eighty"],
        &["--port", "0"],
        &["--audit", "x"],
    ] {
        let (code, out, told) = smoke(args, &[]);
        assert_eq!((code, out.as_str(), told.lines().count()), (Some(2), "", 1), "{told}");
        assert!(told.contains("smoke"), "{told}");
    }
    assert!(smoke(&["--help"], &[]).1.contains("--key"));
}
