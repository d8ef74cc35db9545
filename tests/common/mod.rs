//! Plays the two neighbours of the built binary: an MCP host at its pipes, and HTTP clients at its
//! sockets. Every wait here has a deadline, and nothing sleeps.
#![allow(dead_code)] // Each test file uses its own part.

pub mod audit;
pub mod calls;
pub mod endpoint;
pub mod http;
pub mod modern;
pub mod prometheus;
pub mod pull;
pub mod scarce;
pub mod schema;
pub mod tokens;

use crossbeam_channel::{Receiver, Sender, unbounded};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// The longest that a test waits for anything that should come at once.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub const LATEST: &str = "2025-11-25";

/// A running bridge, with the test as its host.
pub struct Bridge {
    child: Child,
    stdin: Arc<Mutex<Option<ChildStdin>>>,
    lines: Receiver<String>,
    /// Messages that came while something else was waited for.
    passed: VecDeque<Value>,
    stderr: Arc<Mutex<String>>,
    reading: Arc<Mutex<()>>,
    next: u64,
    /// What was said on the pipe, where it is kept.
    pub said: schema::Said,
}

/// A command for the built binary that inherits no setting of the machine.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_modeltap"));
    command.env_clear();
    // Windows cannot open sockets without it.
    command.envs(std::env::var_os("SystemRoot").map(|root| ("SystemRoot", root)));
    command
}

impl Bridge {
    /// Starts the binary with these names in its environment, on a free port unless they say so.
    /// Nothing is sent yet.
    pub fn spawn(env: &[(&str, &str)]) -> Bridge {
        Bridge::spawn_as(command(), env)
    }

    /// The same through a command that becomes the binary, such as a shell that sets a limit first.
    pub fn spawn_as(mut command: Command, env: &[(&str, &str)]) -> Bridge {
        command
            .env("MODELTAP_PORT", "0")
            .env("MODELTAP_LOG", "brief")
            .env("MODELTAP_CONSENT_HOLD", "0")
            .envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdin = Arc::new(Mutex::new(child.stdin.take()));
        let stdout = child.stdout.take().unwrap();
        let (deliver, lines) = unbounded();
        let reading = Arc::new(Mutex::new(()));
        let may_read = reading.clone();
        let said = schema::Said::default();
        let heard = said.clone();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                drop(may_read.lock());
                heard.by_bridge(&line);
                if deliver.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let kept = stderr.clone();
        let mut told = child.stderr.take().unwrap();
        thread::spawn(move || {
            let mut piece = [0; 65536];
            while let Ok(n @ 1..) = told.read(&mut piece) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..n]));
            }
        });
        Bridge { child, stdin, lines, passed: VecDeque::new(), stderr, reading, next: 0, said }
    }

    /// Starts the binary and shakes hands as a host that offers sampling.
    pub fn sampling(env: &[(&str, &str)]) -> Bridge {
        let mut bridge = Bridge::spawn(env);
        bridge.initialize("test-host", json!({"sampling": {}}));
        bridge
    }

    /// Starts the binary and shakes hands as Claude Code does.
    pub fn claude_code(env: &[(&str, &str)]) -> Bridge {
        let mut bridge = Bridge::spawn(env);
        bridge.initialize("claude-code", json!({"roots": {}}));
        bridge
    }

    /// The handshake; returns the result of `initialize`.
    pub fn initialize(&mut self, name: &str, capabilities: Value) -> Value {
        let params = json!({"protocolVersion": LATEST, "capabilities": capabilities,
            "clientInfo": {"name": name, "version": "1"}});
        let result = self.request("initialize", params)["result"].clone();
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        // Once this is answered, the notification was read.
        self.request("ping", json!({}));
        result
    }

    /// Whoever holds this lock keeps the test's host from reading: it takes one more line from the
    /// pipe, hands it to nobody, and stops.
    pub fn reading(&self) -> Arc<Mutex<()>> {
        self.reading.clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes one message.
    pub fn send(&self, message: &Value) {
        self.said.by_host(message);
        self.send_raw(format!("{message}\n").as_bytes());
    }

    /// Writes bytes as they are. A bridge that is gone is noticed when an answer is waited for.
    pub fn send_raw(&self, bytes: &[u8]) {
        if let Some(pipe) = self.stdin.lock().unwrap().as_mut() {
            let _ = pipe.write_all(bytes);
        }
    }

    /// The next line of the bridge as it came, or a panic after [`PATIENCE`].
    pub fn line(&mut self) -> String {
        self.lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("the bridge wrote nothing; its stderr:\n{}", self.stderr()))
    }

    /// The next message that nobody has taken.
    pub fn recv(&mut self) -> Value {
        match self.passed.pop_front() {
            Some(message) => message,
            None => serde_json::from_str(&self.line()).expect("the bridge writes JSON"),
        }
    }

    /// Whether nothing is written for `time`.
    pub fn is_silent_for(&mut self, time: Duration) -> bool {
        self.passed.is_empty() && self.lines.recv_timeout(time).is_err()
    }

    /// The next message that fits; those before it are kept for later.
    pub fn recv_where(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.passed.iter().position(&fits) {
            return self.passed.remove(at).unwrap();
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_deadline(deadline).unwrap_or_else(|_| {
                panic!(
                    "the message waited for did not come; others: {:?}; stderr:\n{}",
                    self.passed,
                    self.stderr()
                )
            });
            let message = serde_json::from_str(&line).expect("the bridge writes JSON");
            if fits(&message) {
                return message;
            }
            self.passed.push_back(message);
        }
    }

    /// Whether such a message came while others were waited for, and was not taken since.
    pub fn has_passed(&self, fits: impl Fn(&Value) -> bool) -> bool {
        self.passed.iter().any(fits)
    }

    /// The next message with this method.
    pub fn recv_method(&mut self, method: &str) -> Value {
        self.recv_where(|message| message["method"] == method)
    }

    /// Sends a request without waiting; its id.
    pub fn begin(&mut self, method: &str, params: Value) -> u64 {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    /// Sends a request; the whole answer.
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let id = self.begin(method, params);
        self.recv_where(|message| message["id"] == id && message.get("method").is_none())
    }

    /// Calls a tool; the result, with `structuredContent` and `isError`.
    pub fn call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments}))["result"].clone()
    }

    /// Where HTTP listens.
    pub fn addr(&mut self) -> SocketAddr {
        let status = self.call("http_server_status", json!({}))["structuredContent"].clone();
        let url = status["listen_url"].as_str().unwrap_or_else(|| panic!("no address: {status}"));
        url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// Asks a tool again and again until its structured result fits; that result.
    pub fn call_until(&mut self, tool: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let told = self.call(tool, json!({}))["structuredContent"].clone();
            if fits(&told) {
                return told;
            }
            assert!(Instant::now() < deadline, "{tool} goes on telling {told}");
        }
    }

    /// Answers a sampling request with a text.
    pub fn answer(&self, request: &Value, text: &str) {
        self.send(&sampled(request, text));
    }

    /// From now on a thread answers what the bridge asks: `script` gets every message that has a
    /// method and returns what to send. The bridge's results go nowhere.
    pub fn serve(&mut self, script: impl Fn(&Value) -> Vec<Value> + Send + 'static) {
        let (lines, stdin) = (self.lines.clone(), self.stdin.clone());
        thread::spawn(move || {
            for line in lines {
                let message: Value = serde_json::from_str(&line).expect("the bridge writes JSON");
                if message.get("method").is_none() {
                    continue;
                }
                let mut out = String::new();
                for reply in script(&message) {
                    out.push_str(&reply.to_string());
                    out.push('\n');
                }
                if let Some(pipe) = stdin.lock().unwrap().as_mut() {
                    let _ = pipe.write_all(out.as_bytes());
                }
            }
        });
    }

    /// What the bridge has told on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until stderr holds `text`.
    pub fn wait_stderr(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.stderr().contains(text) {
            assert!(Instant::now() < deadline, "{text:?} was not told:\n{}", self.stderr());
            thread::yield_now();
        }
    }

    /// Closes the bridge's standard input.
    pub fn close_stdin(&self) {
        self.stdin.lock().unwrap().take();
    }

    /// Waits for the process to end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the bridge does not end:\n{}", self.stderr());
            thread::yield_now();
        }
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Resident memory in KiB, where the system tells.
    pub fn memory_kib(&self) -> Option<u64> {
        self.memory("VmRSS:")
    }

    /// The most resident memory so far in KiB, where the system tells.
    pub fn memory_peak_kib(&self) -> Option<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> Option<u64> {
        memory_kib(self.pid(), name)
    }
}

/// What the system tells in KiB of a process's memory under a name such as `VmRSS:`.
pub fn memory_kib(pid: u32, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The good answer to a sampling request.
pub fn sampled(request: &Value, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": request["id"], "result": {
        "role": "assistant", "content": {"type": "text", "text": text},
        "model": "test-model", "stopReason": "endTurn"}})
}

/// A script that answers every sampling request with what its last message said.
pub fn echo(message: &Value) -> Vec<Value> {
    match message["method"].as_str() {
        Some("sampling/createMessage") => {
            let messages = message["params"]["messages"].as_array().unwrap();
            let text = messages.last().unwrap()["content"]["text"].as_str().unwrap_or_default();
            vec![sampled(message, &format!("echo: {text}"))]
        }
        _ => Vec::new(),
    }
}

/// The body of a simple chat request.
pub fn chat(text: &str) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": text}]})
}

/// Runs `work` on a thread, for what blocks until the test's host has answered.
pub fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Aside<T> {
    let (send, result): (Sender<T>, _) = crossbeam_channel::bounded(1);
    thread::spawn(move || send.send(work()));
    Aside(result)
}

/// What [`aside`] is working on.
pub struct Aside<T>(Receiver<T>);

impl<T> Aside<T> {
    pub fn get(self) -> T {
        self.0.recv_timeout(PATIENCE).expect("the work aside ends")
    }

    pub fn is_done(&self) -> bool {
        !self.0.is_empty()
    }
}
