//! `modeltap demo`, the newcomer's first command.

mod common;

use common::{PATIENCE, aside, command, http};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};

fn demo(args: &[&str], env: &[(&str, &str)]) -> (bool, String) {
    let mut command = command();
    command.env("MODELTAP_PORT", "0").envs(env.iter().copied()).arg("demo").args(args);
    let ended = aside(move || command.stdin(Stdio::null()).output().unwrap()).get();
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    (ended.status.success(), String::from_utf8(ended.stdout).unwrap() + &told)
}

const WHOLE: &str = "it lends the model inside an MCP host to every OpenAI or Anthropic client";
const STREAMED: &str = "One, two, three, four, five.";

#[test]
fn both_answers_arrive_by_either_way() {
    for args in [&[][..], &["--via", "sampling"], &["--via", "channel"]] {
        let (ok, told) = demo(args, &[]);
        assert!(ok && told.contains(WHOLE) && told.contains(STREAMED), "{args:?}: {told}");
        assert!(told.contains("curl http://127.0.0.1:"), "{told}");
    }
}

#[test]
fn a_key_is_used_and_not_shown() {
    let (ok, told) = demo(&[], &[("MODELTAP_API_KEY", "s3cret")]);
    assert!(ok && told.contains(STREAMED) && !told.contains("s3cret"), "{told}");
}

#[test]
fn a_taken_port_is_no_obstacle() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (ok, told) = demo(&["--port", &port], &[]);
    assert!(ok && told.contains("taken") && told.contains(STREAMED), "{told}");
}

struct Stayed(Child);

impl Drop for Stayed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn with_stay_the_printed_curl_line_works() {
    let mut command = command();
    command.env("MODELTAP_PORT", "0").args(["demo", "--stay"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stayed = Stayed(child);
    let out = BufReader::new(stayed.0.stdout.take().unwrap());
    let line = aside(move || out.lines().map_while(Result::ok).find(|line| line.contains("curl ")));
    let line = line.get().expect("a curl line");
    let mut words = line.trim().splitn(4, ' ');
    let url = words.nth(1).unwrap().strip_prefix("http://").unwrap().to_owned();
    let body = words.nth(1).unwrap().trim_matches('\'').to_owned();
    let (addr, path) = url.split_once('/').unwrap();
    let body = serde_json::from_str(&body).unwrap();
    let answer = http::post(addr.parse().unwrap(), &format!("/{path}"), &body);
    assert!(answer.content().contains("I am a script"), "{:?} {PATIENCE:?}", answer);
}
