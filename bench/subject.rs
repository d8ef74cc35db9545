//! What is measured: how it is started, shaken hands with and asked, and how it ends.

use crate::client::Client;
use crate::dialect::{Dialect, Shape};
use crate::host::Host;
use crate::system;
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The way in which a bridge asks the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Sampling,
    Channel,
}

/// Where the clients learn the port from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// From the result of `initialize`: the floor.
    Told,
    /// From the tool `http_server_status`.
    Tool,
    /// A free one is chosen here, and put for `{port}` in the command and the environment.
    Given,
}

/// Something that can be measured.
#[derive(Debug, Clone)]
pub struct Subject {
    pub name: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its environment besides what the bench itself inherited.
    pub env: Vec<(String, String)>,
    pub ways: Vec<Way>,
    pub port: Port,
    pub dialects: Vec<Dialect>,
    /// Paths that are not the dialect's own.
    pub paths: Vec<(Dialect, String)>,
    /// A tool that must be running before the bridge may ask.
    pub hook: Option<String>,
    /// The most requests that may wait at once.
    pub waiting: usize,
    /// The file whose size counts.
    pub binary: Option<PathBuf>,
    /// Whether its faults are faults of the run.
    pub ours: bool,
    /// Where its stderr goes: read by the bench, as a host does, or nowhere.
    pub reads_stderr: bool,
}

/// The longest that a bridge may take to answer its first request.
const START: Duration = Duration::from_secs(30);

/// How long it may take to end by itself.
const END: Duration = Duration::from_secs(3);

impl Subject {
    pub fn is_floor(&self) -> bool {
        self.port == Port::Told
    }

    /// Whether it serves this dialect by this way.
    pub fn can(&self, dialect: Dialect, way: Way) -> bool {
        self.dialects.contains(&dialect) && self.ways.contains(&way)
    }

    /// A request to it whose text has `size` bytes, and its answer `answer`.
    pub fn shape(
        &self,
        dialect: Dialect,
        way: Way,
        stream: bool,
        size: usize,
        answer: usize,
    ) -> Shape {
        let own = self.paths.iter().find(|(of, _)| *of == dialect);
        let path = match (self.is_floor(), stream, way) {
            (true, false, _) => "/whole",
            (true, true, Way::Sampling) => "/stream",
            (true, true, Way::Channel) => "/pieces",
            _ => own.map_or(dialect.path(), |(_, path)| path),
        };
        let mut shape = Shape::new(dialect, path, stream, size, answer);
        shape.checks_end = !self.is_floor();
        shape
    }

    fn command(&self, way: Way, wrap: &[String], port: u16) -> Result<Command, String> {
        let put = |text: &String| text.replace("{port}", &port.to_string());
        let mut words = wrap.iter().chain(&self.command).map(put);
        let program = words.next().ok_or_else(|| format!("{}: no command", self.name))?;
        let mut command = Command::new(program);
        command.args(words).envs(self.env.iter().map(|(name, value)| (name, put(value))));
        match way {
            Way::Sampling => command.env_remove("CLAUDECODE"),
            Way::Channel => command.env("CLAUDECODE", "1"),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(if self.reads_stderr { Stdio::piped() } else { Stdio::null() });
        Ok(command)
    }

    /// Starts it and waits until it answers requests.
    pub fn start(&self, way: Way) -> Result<Running, String> {
        self.start_under(way, &[])
    }

    /// The same under a program that starts it, such as strace.
    pub fn start_under(&self, way: Way, wrap: &[String]) -> Result<Running, String> {
        let mut running = self.initialized(way, wrap)?;
        running.find_port(self)?;
        running.first_answer(self, way)?;
        Ok(running)
    }

    /// Starts it and waits until `initialize` is answered.
    pub fn initialized(&self, way: Way, wrap: &[String]) -> Result<Running, String> {
        let port = match self.port {
            Port::Given => free_port()?,
            _ => 0,
        };
        let started = Instant::now();
        let child = self.command(way, wrap, port)?.spawn();
        let mut child = child.map_err(|e| format!("{}: {e}", self.name))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err("no pipes".into());
        };
        if let Some(mut stderr) = child.stderr.take() {
            std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        }
        let mut host = Host::new(stdin, stdout);
        let (client, capabilities) = match way {
            Way::Sampling => ("bench", json!({"sampling": {}})),
            Way::Channel => ("claude-code", json!({})),
        };
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": capabilities,
            "clientInfo": {"name": client, "version": "1"}});
        let told = host.request("initialize", &params, START);
        let initialized = started.elapsed();
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut running = Running { child, host, addr, started, initialized, told: Value::Null };
        running.told = told.map_err(|fault| format!("{}: {fault}", self.name))?;
        Ok(running)
    }
}

/// A subject that runs. It is stopped when it is dropped.
pub struct Running {
    child: Child,
    pub host: Host,
    /// Where its clients go.
    pub addr: SocketAddr,
    /// When it was spawned.
    pub started: Instant,
    /// When `initialize` was answered, since then.
    pub initialized: Duration,
    told: Value,
}

impl Running {
    /// Finishes the handshake, and finds where it listens.
    pub fn find_port(&mut self, subject: &Subject) -> Result<(), String> {
        if subject.is_floor() {
            let port = self.told["port"].as_u64().and_then(|port| u16::try_from(port).ok());
            self.addr.set_port(port.ok_or("the floor tells no port")?);
            return Ok(());
        }
        self.host.notify("notifications/initialized", &json!({}))?;
        if let Some(hook) = &subject.hook {
            self.host.begin("tools/call", &json!({"name": hook, "arguments": {}}))?;
        }
        if subject.port == Port::Tool {
            let params = json!({"name": "http_server_status", "arguments": {}});
            let told = self.host.request("tools/call", &params, START)?;
            let url = told["structuredContent"]["listen_url"].as_str();
            let url = url.and_then(|url| url.strip_prefix("http://"));
            self.addr = url
                .and_then(|url| url.parse().ok())
                .ok_or_else(|| format!("{}: no address in {told}", subject.name))?;
        }
        Ok(())
    }

    /// Waits until a request is answered. Bridges whose port is given may begin to listen later, and
    /// may refuse what comes before their hook runs.
    pub fn first_answer(&self, subject: &Subject, way: Way) -> Result<(), String> {
        let dialect = *subject.dialects.first().ok_or("it serves no dialect")?;
        let shape = subject.shape(dialect, way, false, 200, 200);
        let deadline = Instant::now() + START;
        loop {
            match Client::new(self.addr, &shape).ask() {
                Ok(_) => return Ok(()),
                Err(fault) if subject.port != Port::Given || Instant::now() > deadline => {
                    return Err(format!("{}: the first answer: {fault}", subject.name));
                }
                // Nothing tells when a foreign bridge is ready.
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes its pipe and waits for its end, for what reports only at the end.
    pub fn finish(mut self) {
        self.host.close();
        let mut deadline = Instant::now() + END;
        let mut signals = ["TERM", "KILL"].iter();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            if Instant::now() > deadline {
                // What is below it is told to end, so that strace can tell what it counted.
                let Some(signal) = signals.next() else { return };
                system::signal_children(self.pid(), signal);
                deadline += END;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // What the command itself started must not stay. Its pipe is closed last, since who writes to
        // a bridge that does not read holds it until the bridge is gone.
        system::signal_children(self.pid(), "KILL");
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.host.close();
    }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|e| e.to_string())?;
    Ok(listener.local_addr().map_err(|e| e.to_string())?.port())
}
