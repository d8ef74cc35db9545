//! The host at the pipes: one thread that reads the bridge's lines and answers what is asked of the
//! model, by the token that it finds in the request, with one write an answer. It does the same
//! work for the floor as for a bridge, so that their difference is theirs.

use crate::dialect::{END, TOKEN, filler, find_token};
use crate::floor;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// In how many pieces a host that can stream sends a streamed answer.
pub const PIECES: usize = 8;

/// The host's end of the pipes of one bridge. Its thread ends with the bridge.
pub struct Host {
    stdin: Pipe,
    script: Arc<(Mutex<Script>, Condvar)>,
    results: Receiver<Value>,
    next: u64,
}

/// The pipe to the bridge; `None` once it is closed.
type Pipe = Arc<Mutex<Option<ChildStdin>>>;

/// How requests are answered.
struct Script {
    /// The size of an answer's text in bytes.
    size: usize,
    /// The filler that makes up an answer's size, as JSON without its quotes.
    filler: Arc<String>,
    /// Answers that are held back until they are released, where they are.
    held: Option<Vec<Vec<u8>>>,
}

/// A line of the bridge, as far as a host must know it.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    meta: Meta<'a>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Host {
    pub fn new(stdin: ChildStdin, stdout: ChildStdout) -> Self {
        let stdin: Pipe = Arc::new(Mutex::new(Some(stdin)));
        let script = Script { size: 0, filler: Arc::default(), held: None };
        let script = Arc::new((Mutex::new(script), Condvar::new()));
        let (deliver, results) = channel();
        let (to, how) = (stdin.clone(), script.clone());
        thread::spawn(move || read(stdout, &to, &how, &deliver));
        let mut host = Host { stdin, script, results, next: 0 };
        host.answer_with(200);
        host
    }

    /// From now on the text of an answer has `size` bytes.
    pub fn answer_with(&mut self, size: usize) {
        let text = filler(size.saturating_sub(TOKEN + END.len())) + END;
        let text = Value::from(text).to_string();
        let mut script = lock(&self.script.0);
        script.size = size;
        script.filler = Arc::new(text[1..text.len() - 1].to_owned());
    }

    /// From now on answers are held back.
    pub fn hold(&mut self) {
        lock(&self.script.0).held = Some(Vec::new());
    }

    /// Waits until `count` answers are held back, for as long as more come within `silence` of each
    /// other; how many there are.
    pub fn wait_held(&self, count: usize, silence: Duration) -> usize {
        let (script, changed) = &*self.script;
        let mut guard = lock(script);
        loop {
            let have = guard.held.as_ref().map_or(0, Vec::len);
            if have >= count {
                return have;
            }
            let (again, timeout) =
                changed.wait_timeout(guard, silence).unwrap_or_else(PoisonError::into_inner);
            guard = again;
            if timeout.timed_out() && guard.held.as_ref().map_or(0, Vec::len) == have {
                return have;
            }
        }
    }

    /// Sends the answers that were held back, and holds back no more. A thread does that, which ends
    /// with the bridge at the latest; clients notice a bridge that does not read.
    pub fn release(&mut self) {
        let held = lock(&self.script.0).held.take().unwrap_or_default();
        let stdin = self.stdin.clone();
        thread::spawn(move || {
            if let Some(pipe) = lock(&stdin).as_mut() {
                let _ = held.iter().try_for_each(|answer| pipe.write_all(answer));
            }
        });
    }

    pub fn notify(&self, method: &str, params: &Value) -> Result<(), String> {
        self.send(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }

    /// Sends a request; its id.
    pub fn begin(&mut self, method: &str, params: &Value) -> Result<u64, String> {
        self.next += 1;
        let id = self.next;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))?;
        Ok(id)
    }

    /// Sends a request and waits for its result.
    pub fn request(
        &mut self,
        method: &str,
        params: &Value,
        wait: Duration,
    ) -> Result<Value, String> {
        let id = self.begin(method, params)?;
        let deadline = Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.results.recv_timeout(left);
            let mut told = told.map_err(|_| format!("no answer to {method}"))?;
            if told["id"] == id {
                return match told.get("error") {
                    Some(error) => Err(format!("{method}: {error}")),
                    None => Ok(told["result"].take()),
                };
            }
        }
    }

    fn send(&self, message: &Value) -> Result<(), String> {
        let mut line = message.to_string();
        line.push('\n');
        match lock(&self.stdin).as_mut() {
            Some(pipe) => pipe.write_all(line.as_bytes()).map_err(|e| format!("its stdin: {e}")),
            None => Err("its stdin is closed".into()),
        }
    }

    /// Closes the pipe, at which a bridge ends.
    pub fn close(&self) {
        lock(&self.stdin).take();
    }
}

/// Reads until the bridge is gone.
fn read(
    stdout: ChildStdout,
    stdin: &Pipe,
    script: &(Mutex<Script>, Condvar),
    results: &Sender<Value>,
) {
    let mut lines = BufReader::with_capacity(64 * 1024, stdout);
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    loop {
        bytes.clear();
        if !lines.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            return;
        }
        let Ok(line) = serde_json::from_slice::<Line>(&bytes) else { continue };
        let Some(method) = &line.method else {
            // Results of the calls that carry an answer have ids that are strings.
            if line.id.is_some_and(|id| !id.get().starts_with('"')) {
                let result = serde_json::from_slice(&bytes).unwrap_or_default();
                let _ = results.send(result);
            }
            continue;
        };
        let filler = lock(&script.0).filler.clone();
        out.clear();
        if answer(method, &line, &filler, &mut out).is_none() {
            continue;
        }
        let mut now = lock(&script.0);
        if let Some(held) = &mut now.held {
            held.push(std::mem::take(&mut out));
            script.1.notify_all();
            continue;
        }
        drop(now);
        if let Some(pipe) = lock(stdin).as_mut() {
            for line in out.split_inclusive(|b| *b == b'\n') {
                if pipe.write_all(line).is_err() {
                    return;
                }
            }
        }
    }
}

/// Writes the lines that answer a line; `None` where it asks nothing of the model.
fn answer(method: &str, line: &Line, filler: &str, out: &mut Vec<u8>) -> Option<()> {
    let params = line.params?.get();
    // What a bridge asks of its own, such as a first sample to see whether it may, has no token.
    let token = find_token(params.as_bytes()).unwrap_or_default();
    let token = std::str::from_utf8(token).unwrap_or_default();
    // Writing to a Vec cannot fail.
    match method {
        "sampling/createMessage" | "floor" => {
            let _ = writeln!(
                out,
                "{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"role\":\"assistant\",\"content\":{{\
                 \"type\":\"text\",\"text\":\"{token}{filler}\"}},\"model\":\"bench\",\
                 \"stopReason\":\"endTurn\"}}}}",
                line.id?.get()
            );
        }
        "floor/pieces" => {
            for (number, piece) in pieces(token, filler).iter().enumerate() {
                let more = if number + 1 < PIECES { floor::MORE } else { "" };
                let _ = writeln!(
                    out,
                    "{{\"jsonrpc\":\"2.0\",\"id\":{}{more},\"method\":\"tools/call\",\"params\":\
                     {{\"delta\":\"{piece}\"}}}}",
                    line.id?.get()
                );
            }
        }
        "notifications/claude/channel" => {
            let meta = serde_json::from_str::<Event>(params).ok()?.meta;
            let id = meta.request_id;
            if meta.stream.is_some_and(|stream| stream.get().contains("true")) {
                for (number, piece) in pieces(token, filler).iter().enumerate() {
                    let done = number + 1 == PIECES;
                    let _ = writeln!(
                        out,
                        "{{\"jsonrpc\":\"2.0\",\"id\":\"{id}-{number}\",\"method\":\"tools/call\",\
                         \"params\":{{\"name\":\"channel_reply_stream\",\"arguments\":{{\"request_id\"\
                         :\"{id}\",\"delta\":\"{piece}\",\"done\":{done}}}}}}}"
                    );
                }
            } else {
                let _ = writeln!(
                    out,
                    "{{\"jsonrpc\":\"2.0\",\"id\":\"{id}-0\",\"method\":\"tools/call\",\"params\":{{\
                     \"name\":\"channel_reply\",\"arguments\":{{\"request_id\":\"{id}\",\"content\":\
                     \"{token}{filler}\"}}}}}}"
                );
            }
        }
        _ => return None,
    }
    Some(())
}

/// The answer in pieces, the token whole in the first, and no escape cut in two.
fn pieces(token: &str, filler: &str) -> [String; PIECES] {
    let mut rest = filler;
    std::array::from_fn(|number| {
        let size = match number + 1 {
            PIECES => rest.len(),
            _ => filler.len() / PIECES,
        };
        let size = (size.min(rest.len())..rest.len())
            .find(|&at| rest.is_char_boundary(at) && !rest[..at].ends_with('\\'))
            .unwrap_or(rest.len());
        let (piece, others) = rest.split_at(size);
        rest = others;
        if number == 0 { format!("{token}{piece}") } else { piece.to_owned() }
    })
}
