//! A bridge to do a fault to, and what must hold afterwards.

use crate::common::http::{self, Client};
use crate::common::{Bridge, PATIENCE, aside, chat, echo};
use crate::table::Told;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const PATH: &str = "/v1/chat/completions";

/// A bridge that has served one request.
pub struct Stage {
    pub bridge: Bridge,
    pub addr: SocketAddr,
    /// Whether the host answers by itself.
    echoes: bool,
    before: Held,
}

/// What a process holds, where the system tells.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    threads: usize,
    descriptors: usize,
    kib: u64,
}

impl Held {
    fn of(bridge: &Bridge) -> Held {
        let entries = |what| {
            let entries = std::fs::read_dir(format!("/proc/{}/{what}", bridge.pid()));
            entries.into_iter().flatten().flatten().map(|entry| entry.path())
        };
        // The spare ones come and go, and the last is opened a moment after the port.
        let is_spare = |path: &PathBuf| {
            std::fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
        };
        Held {
            threads: entries("task").count(),
            descriptors: entries("fd").filter(|path| !is_spare(path)).count(),
            kib: bridge.memory_kib().unwrap_or(0),
        }
    }
}

impl Stage {
    /// Whose host answers every request with an echo.
    pub fn new(env: &[(&str, &str)]) -> Stage {
        Stage::of(Bridge::sampling(env)).echoing()
    }

    /// Whose host is played by the row.
    pub fn of(mut bridge: Bridge) -> Stage {
        let addr = bridge.addr();
        Stage::on(bridge, addr, false)
    }

    /// The same at a known address; `echoes` where its host answers with an echo already.
    pub fn on(bridge: Bridge, addr: SocketAddr, echoes: bool) -> Stage {
        let before = Held::of(&bridge);
        let mut stage = Stage { bridge, addr, echoes, before };
        stage.serves();
        stage.before.kib = Held::of(&stage.bridge).kib;
        stage
    }

    /// From now on the host answers with an echo.
    pub fn echoing(mut self) -> Stage {
        self.bridge.serve(echo);
        self.echoes = true;
        self
    }

    pub fn client(&self) -> Client {
        Client::connect(self.addr)
    }

    /// What the host is asked next.
    pub fn asked(&mut self) -> Value {
        self.bridge.recv_method("sampling/createMessage")
    }

    /// That the next request is served, through the host.
    pub fn serves(&mut self) {
        if self.echoes {
            assert_eq!(http::chat(self.addr, "next").content(), "echo: next");
            return;
        }
        let addr = self.addr;
        let client = aside(move || http::chat(addr, "next"));
        let asked = self.bridge.recv_where(|message| {
            message["method"] == "sampling/createMessage"
                && message["params"]["messages"][0]["content"]["text"] == "next"
        });
        self.bridge.answer(&asked, "here");
        assert_eq!(client.get().content(), "here");
    }

    /// Whether there are more threads than before the first connection.
    pub fn has_extra_threads(&self) -> bool {
        Held::of(&self.bridge).threads > self.before.threads
    }

    /// How much memory was taken at the peak beyond that of the beginning, in MiB.
    pub fn peak(&self) -> u64 {
        self.bridge.memory_peak_kib().unwrap_or(0).saturating_sub(self.before.kib) / 1024
    }

    /// That the bridge is as it was: the next request is served, nothing is left over, and its memory
    /// grew by `kept` MiB at most.
    pub fn settle(mut self, done: impl Into<String>, did: &'static str, kept: u64) -> Told {
        self.serves();
        let done = done.into();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let held = Held::of(&self.bridge);
            let is_clean = held.threads <= self.before.threads
                && held.descriptors <= self.before.descriptors
                && held.kib <= self.before.kib + kept * 1024;
            if is_clean {
                break;
            }
            let before = self.before;
            assert!(Instant::now() < deadline, "{done}: {held:?} are left of {before:?}");
            // Nothing tells when a process has ended a thread, so this is a look now and then.
            std::thread::sleep(Duration::from_millis(50));
        }
        self.serves();
        Told::Done { done, did, kept }
    }
}

/// A chat request as bytes.
pub fn request(text: &str) -> Vec<u8> {
    let body = chat(text).to_string();
    format!(
        "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A number as people read it.
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    groups.map(|group| std::str::from_utf8(group).unwrap()).collect::<Vec<_>>().join(",")
}
