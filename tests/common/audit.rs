//! Audit files as tests write and read them.

use super::{PATIENCE, command};
use modeltap::exchange::CallId;
use modeltap::record::audit::chain::Chain;
use modeltap::record::audit::entry::{Asked, Fields, Rx, Tokens, Tx};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A directory of one test's own, gone with it.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("modeltap-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    /// The audit file in it.
    pub fn file(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The whole records of one file; a panic where a whole line is none.
pub fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
    whole.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Waits until the records of a file fit; them.
pub fn records_when(path: &Path, fits: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = records(path);
        if fits(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "the records stay {found:#?}");
        std::thread::yield_now();
    }
}

/// The records of this kind.
pub fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

/// Runs `modeltap audit` with these arguments.
pub fn audit(args: &[&str]) -> Output {
    command().arg("audit").args(args).output().expect("the binary starts")
}

/// What `modeltap audit` printed, with its exit code: standard output and standard error.
pub fn told(args: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = audit(args);
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A request of a token, for a model.
pub fn asked<'a>(token: &'a str, model: &'a str) -> Asked<'a> {
    Asked {
        id: CallId::random(),
        token: Some(token),
        key: Some("0f0f0f0f"),
        address: Some([127, 0, 0, 1].into()),
        client: Some("tester/1"),
        session: Some("s-1"),
        method: Some("POST"),
        route: "/v1/chat/completions",
        endpoint: "/v1/chat/completions",
        is_probe: false,
        model: Some(model),
        stream: Some(false),
    }
}

/// The good answer to it, or an error.
pub fn answered<'a>(asked: Asked<'a>, status: u16, body: &'a str) -> Tx<'a> {
    Tx {
        asked,
        status,
        error: (status >= 400).then_some("no_model"),
        backend: Some("sampling"),
        time: Duration::from_millis(12),
        first: None,
        first_piece: None,
        tokens: Some(Tokens { prompt: 3, completion: 2, estimated: true }),
        body: Some(body),
    }
}

/// Lines of records as a bridge would have written them, at a time that each test can set.
pub struct Book {
    pub chain: Chain,
    pub text: Vec<u8>,
    pub time: SystemTime,
}

impl Book {
    pub fn new() -> Self {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut book = Book { chain: Chain::default(), text: Vec::new(), time };
        book.mark("begin");
        book
    }

    /// A record without more than its kind.
    pub fn mark(&mut self, kind: &str) {
        let time = self.time;
        self.chain.append(&mut self.text, |out| {
            Fields::new(out, kind, time);
        });
    }

    pub fn rx(&mut self, asked: Asked, body: &str) {
        let time = self.time;
        self.chain.append(&mut self.text, |out| {
            let mut fields = Fields::new(out, "rx", time);
            fields.rx(&Rx { asked, body: body.as_bytes() });
            fields.text("body", body);
        });
    }

    pub fn tx(&mut self, tx: &Tx) {
        let time = self.time;
        self.chain.append(&mut self.text, |out| {
            let mut fields = Fields::new(out, "tx", time);
            fields.tx(tx);
            fields.some("body", tx.body);
        });
    }

    /// So many requests with their answers.
    pub fn chats(&mut self, count: usize) {
        for number in 0..count {
            let asked = asked("alice", "m");
            self.rx(asked, &format!("{{\"question\":{number}}}"));
            self.tx(&answered(asked, 200, &format!("answer {number}")));
        }
    }

    /// The lines so far, each with its end; they are taken out.
    pub fn take(&mut self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut self.text)).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }
}
