//! `modeltap demo`: the real server as a child process, with an embedded MCP host at the other end
//! of its pipes whose model is a script, and two requests through real HTTP. It shows the whole way
//! without a subscription, and what a host does.

use crate::config::Config;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What `modeltap demo` was asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// Stay up for curl.
    pub stay: bool,
    /// Which way to take.
    pub via: Via,
}

/// The way that the embedded host offers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// MCP sampling, as VS Code has it.
    #[default]
    Sampling,
    /// Channel events and reply tools, as Claude Code has them.
    Channel,
}

impl Via {
    /// Reads the value of `--via`.
    ///
    /// # Errors
    /// What is allowed.
    pub fn read(text: &str) -> Result<Self, String> {
        match text {
            "sampling" => Ok(Via::Sampling),
            "channel" => Ok(Via::Channel),
            _ => Err(format!("--via: {text:?} is not understood; allowed: sampling, channel")),
        }
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Runs the demo.
///
/// # Errors
/// What went wrong, in words.
pub fn run(options: &Options, config: &Config) -> Result<(), String> {
    show(options, config).map_err(|fault| format!("the demo failed: {fault}"))
}

fn show(options: &Options, config: &Config) -> Result<(), Fault> {
    let mut out = std::io::stdout();
    writeln!(out, "Starting modeltap as an MCP host would, over its standard input and output.")?;
    let mut host = Host::start(options, config)?;
    let url = host.url()?;
    writeln!(out, "The model behind it is a script in this demo. It listens at {url}\n")?;

    let question = "What is modeltap?";
    writeln!(out, "1. A whole answer to {question:?}:")?;
    let answer = ask(&url, config, question, false)?;
    let answer: Value = serde_json::from_reader(answer)?;
    let text =
        answer["choices"][0]["message"]["content"].as_str().ok_or("an answer without text")?;
    writeln!(out, "   {text}\n")?;

    let question = "Count to five.";
    writeln!(out, "2. A streamed answer to {question:?}, piece by piece:")?;
    write!(out, "   ")?;
    for line in BufReader::new(ask(&url, config, question, true)?).lines() {
        let line = line?;
        let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") else {
            continue;
        };
        let chunk: Value = serde_json::from_str(data)?;
        if let Some(piece) = chunk["choices"][0]["delta"]["content"].as_str() {
            write!(out, "{piece}")?;
            out.flush()?;
        }
    }
    writeln!(out, "\n")?;

    let key = match config.api_key {
        Some(_) => " -H \"Authorization: Bearer $MODELTAP_API_KEY\"",
        None => "",
    };
    let curl = format!(
        "curl {url}/v1/chat/completions{key} -d '{{\"model\":\"modeltap\",\"messages\":[{{\"role\":\
         \"user\",\"content\":\"Hello\"}}]}}'"
    );
    if options.stay {
        writeln!(out, "Both arrived. Try it yourself; Ctrl-C ends the demo:\n\n   {curl}\n")?;
        out.flush()?;
        host.wait()?;
    } else {
        writeln!(
            out,
            "Both arrived. To try it yourself, run the demo with --stay, and then:\n\n   {curl}\n"
        )?;
        host.stop()?;
    }
    Ok(())
}

/// Sends one question through real HTTP; the body of the answer.
fn ask(url: &str, config: &Config, question: &str, stream: bool) -> Result<impl Read, Fault> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    let body = json!({
        "model": "modeltap",
        "stream": stream,
        "messages": [{"role": "user", "content": question}],
    });
    let mut request =
        agent.post(format!("{url}/v1/chat/completions")).header("Content-Type", "application/json");
    if let Some(key) = &config.api_key {
        request = request.header("Authorization", format!("Bearer {key}"));
    }
    let answer = request.send(body.to_string())?;
    match answer.status().as_u16() {
        200 => Ok(answer.into_body().into_reader()),
        status => Err(format!("HTTP {status}: {}", answer.into_body().read_to_string()?).into()),
    }
}

/// The pipe to the child; `None` once it is closed.
type Pipe = Arc<Mutex<Option<ChildStdin>>>;

/// The embedded MCP host: it owns the child, and its thread answers what the child asks.
struct Host {
    child: Child,
    stdin: Pipe,
    /// The results of our own requests, by number.
    results: crossbeam_channel::Receiver<Value>,
    reader: JoinHandle<()>,
    requests: u64,
}

impl Host {
    fn start(options: &Options, config: &Config) -> Result<Self, Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        command.env_remove("CLAUDECODE").env("MODELTAP_HTTP_AUTO_START", "1");
        // The demo's own client has no token.
        command.args(["--backend", "auto", "--warmup=0", "--tokens", "none", "--state", "none"]);
        if !options.stay {
            command.args(["--log", "off"]);
        }
        command.envs(config.api_key.as_ref().map(|key| ("MODELTAP_API_KEY", key)));
        command.args(["--host", &config.host, "--port", &config.port.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin: Pipe = Arc::new(Mutex::new(child.stdin.take()));
        let stdout = child.stdout.take().ok_or("no pipe from the child")?;
        let (deliver, results) = crossbeam_channel::unbounded();
        let answer_to = stdin.clone();
        let reader = thread::Builder::new().name("demo-host".into()).spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Some(message) = line.ok().and_then(|l| serde_json::from_str::<Value>(&l).ok())
                else {
                    return;
                };
                // A child that is gone is noticed by whoever waits for a result.
                if message.get("method").is_some() {
                    answers(&message).iter().for_each(|answer| drop(send(&answer_to, answer)));
                } else if deliver.send(message).is_err() {
                    return;
                }
            }
        })?;
        let mut host = Host { child, stdin, results, reader, requests: 0 };
        let (name, capabilities) = match options.via {
            Via::Sampling => ("modeltap-demo", json!({"sampling": {}})),
            Via::Channel => ("claude-code-demo", json!({})),
        };
        host.request(
            "initialize",
            &json!({
                "protocolVersion": crate::mcp::session::LATEST,
                "capabilities": capabilities,
                "clientInfo": {"name": name, "version": env!("CARGO_PKG_VERSION")},
            }),
        )?;
        send(&host.stdin, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))?;
        Ok(host)
    }

    /// Where the child listens; on a free port where its own is taken.
    fn url(&mut self) -> Result<String, Fault> {
        let mut status = self.call("http_server_status", json!({}))?;
        if status["listen_url"].is_null() {
            writeln!(
                std::io::stdout(),
                "Its port is taken ({}), so it gets another.",
                status["reason"].as_str().unwrap_or_default()
            )?;
            self.call("http_server_stop", json!({}))?;
            status = self.call("http_server_start", json!({"port": 0}))?;
        }
        let url = status["listen_url"].as_str();
        Ok(url.ok_or_else(|| format!("it does not listen: {status}"))?.to_owned())
    }

    fn call(&mut self, tool: &str, arguments: Value) -> Result<Value, Fault> {
        let params = json!({"name": tool, "arguments": arguments});
        Ok(self.request("tools/call", &params)?["structuredContent"].take())
    }

    fn request(&mut self, method: &str, params: &Value) -> Result<Value, Fault> {
        self.requests += 1;
        let id = self.requests;
        send(
            &self.stdin,
            &json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}),
        )?;
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut message = self
                .results
                .recv_deadline(deadline)
                .map_err(|_| format!("the server did not answer {method}"))?;
            if message["id"] == id {
                return match message["error"]["message"].as_str() {
                    Some(error) => Err(format!("{method}: {error}").into()),
                    None => Ok(message["result"].take()),
                };
            }
        }
    }

    /// Closes the pipe, at which the server ends by itself.
    fn stop(mut self) -> Result<(), Fault> {
        self.stdin.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.child.wait()?;
        // It ends with the child, and has nothing to say.
        let _ = self.reader.join();
        Ok(())
    }

    fn wait(mut self) -> Result<(), Fault> {
        self.child.wait()?;
        Ok(())
    }
}

fn send(stdin: &Pipe, message: &Value) -> std::io::Result<()> {
    let mut line = message.to_string();
    line.push('\n');
    match stdin.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        Some(pipe) => pipe.write_all(line.as_bytes()),
        None => Err(std::io::ErrorKind::BrokenPipe.into()),
    }
}

/// What the scripted host sends when the server asks for its model.
fn answers(message: &Value) -> Vec<Value> {
    let params = &message["params"];
    match message["method"].as_str() {
        Some("sampling/createMessage") => {
            let asked = params["messages"].as_array().and_then(|all| all.last());
            let asked = asked.and_then(|last| last["content"]["text"].as_str()).unwrap_or_default();
            vec![json!({"jsonrpc": "2.0", "id": message["id"], "result": {
                "role": "assistant",
                "content": {"type": "text", "text": script(asked).concat()},
                "model": "scripted",
                "stopReason": "endTurn",
            }})]
        }
        Some("notifications/claude/channel") => {
            let asked = params["content"].as_str().unwrap_or_default();
            let call = |number: usize, tool: &str, arguments: Value| {
                let id = format!("{}-{number}", params["meta"]["request_id"]);
                json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
                    "params": {"name": tool, "arguments": arguments}})
            };
            let id = &params["meta"]["request_id"];
            let pieces = script(asked);
            if params["meta"]["stream"] == "true" {
                let last = pieces.len();
                let piece = |(at, piece): (usize, &&str)| {
                    let arguments =
                        json!({"request_id": id, "delta": piece, "done": at + 1 == last});
                    call(at, "channel_reply_stream", arguments)
                };
                pieces.iter().enumerate().map(piece).collect()
            } else {
                let arguments = json!({"request_id": id, "content": pieces.concat()});
                vec![call(0, "channel_reply", arguments)]
            }
        }
        _ => Vec::new(),
    }
}

/// The scripted model.
fn script(asked: &str) -> Vec<&'static str> {
    if asked.contains("Count") {
        vec!["One, ", "two, ", "three, ", "four, ", "five."]
    } else if asked.contains("modeltap") {
        vec![
            "A bridge: it lends the model inside an MCP host to every OpenAI or Anthropic client on this machine.",
        ]
    } else {
        vec!["I am a script, but the way I came is real: HTTP to modeltap, MCP to me, and back."]
    }
}
