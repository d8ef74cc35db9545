//! Any bytes as what a host writes on its pipe, in one piece and in many. The first byte chooses the
//! era, the next eight the lengths of the pieces. The tools are the real ones, without their deeds.
#![no_main]

use modeltap::mcp::modern::{Meta, Refusal, Subscriptions};
use modeltap::mcp::outbox::Outbox;
use modeltap::mcp::rpc::{RpcError, RpcId};
use modeltap::mcp::server::Server;
use modeltap::mcp::session::{Client, Era, Session};
use modeltap::mcp::tool::{Answer, Call, Outcome, Peer, Tool};
use modeltap::tools::TOOLS;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

/// What was written, by the one thread that an outbox has for as long as the process lives.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        assert!(data.ends_with(b"\n"), "half a line");
        self.0.lock().unwrap().extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static OUT: LazyLock<(Outbox, Written)> = LazyLock::new(|| {
    let written = Written::default();
    let report = |said: &str| assert!(!said.contains("dropped"), "{said}");
    (Outbox::new(written.clone(), Arc::new(report)).expect("a thread"), written)
});

/// What a peer was told, in order.
#[derive(Default)]
struct Listener(Mutex<Vec<String>>);

impl Listener {
    fn heard(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

impl Peer for Listener {
    fn welcome(&self, client: &Client) -> (Value, String) {
        (json!({"tools": {}}), client.name.clone())
    }

    fn begins(&self) {
        self.heard("begins".into());
    }

    fn met(&self) {}

    fn turned_away(&self, _: &Client, _: Era) {}

    fn is_ready(&self) {
        self.heard("is ready".into());
    }

    fn prefers_legacy(&self, meta: &Meta) -> bool {
        meta.name.starts_with('l')
    }

    fn tools(&self) -> &[Tool] {
        TOOLS
    }

    fn lists(&self, tool: &Tool) -> bool {
        tool.name != "forward_chat"
    }

    fn call(&self, call: Call) -> Answer {
        self.heard(format!("{} {} {:?}", call.id, call.name, call.arguments));
        if TOOLS.iter().any(|tool| tool.name == call.name && tool.stays_open) {
            return Answer::Open;
        }
        match call.name {
            "channel_publish" => Answer::Refused(Refusal::new(-32000, "not \"here\"\n")),
            _ => Answer::Done(Outcome::ok(json!({"arguments": call.arguments}))),
        }
    }

    fn cancelled(&self, id: &RpcId) {
        self.heard(format!("cancelled {id}"));
    }

    fn answered(&self, id: &str, answer: Result<&RawValue, RpcError>) {
        self.heard(format!("answered {id} {:?}", answer.map(RawValue::get)));
    }
}

/// A host whose bytes come in pieces; a piece of no length is a read that was interrupted.
struct Pieces<'a> {
    left: &'a [u8],
    lengths: &'a [u8],
    next: usize,
    piece: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        unreachable!("lines are read by the buffer")
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece == 0 && !self.left.is_empty() {
            let length = self.lengths[self.next % self.lengths.len()];
            self.next += 1;
            self.piece = usize::from(length).min(self.left.len());
            if self.piece == 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        Ok(&self.left[..self.piece])
    }

    fn consume(&mut self, amount: usize) {
        self.left = &self.left[amount..];
        self.piece -= amount;
    }
}

/// Serves a host; what was written to it, and what the peer was told.
fn serve(era: Era, input: impl BufRead) -> (String, Vec<String>) {
    let (outbox, written) = &*OUT;
    let server = Server {
        session: Session::default(),
        outbox: outbox.clone(),
        peer: Listener::default(),
        report: Arc::new(|said| assert!(!said.is_empty())),
        era,
        declined: AtomicBool::new(false),
        subscriptions: Subscriptions::default(),
    };
    server.run(input).expect("the input has no faults");
    outbox.flush(Duration::from_secs(60));
    let said = std::mem::take(&mut *written.0.lock().unwrap());
    (String::from_utf8(said).expect("a line is text"), server.peer.0.into_inner().unwrap())
}

/// The fields of an object in order, also where a name comes twice.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Option<Self> {
        // An object of serde_json's own may be written as an array, too.
        text.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(text).ok())?
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.get())
    }

    fn text(&self, name: &str) -> Option<String> {
        serde_json::from_str(self.get(name)?).ok()
    }

    fn is_clear(&self) -> bool {
        (1..self.0.len()).all(|at| self.0[..at].iter().all(|(field, _)| *field != self.0[at].0))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(InOrder)
    }
}

/// A string or an integer, as MCP has ids.
fn is_id(raw: &str) -> bool {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    raw.starts_with('"') || !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// How many answers an id must get, and how many it may get.
type Due = HashMap<String, (usize, usize)>;

/// Notes what one message is due.
fn note(message: &str, due: &mut Due) {
    let Some(fields) = Fields::of(message) else { return };
    // Of a message that names its id twice either may be meant.
    for (_, id) in fields.0.iter().filter(|(name, id)| name == "id" && is_id(id.get())) {
        let method = fields.text("method");
        let may = fields.get("method").is_some()
            || !["result", "error"].iter().any(|name| fields.get(name).is_some());
        let is_request = fields.is_clear()
            && fields.text("jsonrpc").as_deref() == Some("2.0")
            && method.is_some();
        // Some of these stay open.
        let must =
            is_request && !matches!(method.as_deref(), Some("tools/call" | "subscriptions/listen"));
        let counts = due.entry(id.get().to_owned()).or_default();
        counts.0 += usize::from(must);
        counts.1 += usize::from(may);
    }
}

/// Holds what was written against what came.
fn check(input: &[u8], said: &str) {
    let (mut due, mut lines) = (Due::new(), 0);
    for line in input.split(|b| *b == b'\n') {
        lines += 1;
        let Ok(text) = std::str::from_utf8(line) else {
            // What is in it may be read all the same, where the fault is in what nobody reads.
            return;
        };
        match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(batch) => batch.iter().for_each(|message| note(message.get(), &mut due)),
            Err(_) => note(text, &mut due),
        }
    }
    let mut got: HashMap<String, usize> = HashMap::new();
    let mut nameless = 0;
    for line in said.lines() {
        let answers: Vec<&RawValue> = match line.starts_with('[') {
            true => serde_json::from_str(line).expect("a batch is JSON"),
            false => vec![serde_json::from_str(line).expect("a line is JSON")],
        };
        assert!(!answers.is_empty(), "an empty batch");
        for answer in answers {
            match check_line(answer.get()) {
                Some(Some(id)) => *got.entry(id).or_default() += 1,
                Some(None) => nameless += 1,
                None => {}
            }
        }
    }
    assert!(nameless <= lines, "more refusals than lines");
    for (id, count) in &got {
        let may = due.get(id).map_or(0, |counts| counts.1);
        assert!(*count <= may, "{count} answers to {id}, which is due {may}");
    }
    for (id, (must, _)) in &due {
        let count = got.get(id).copied().unwrap_or(0);
        assert!(count >= *must, "{count} answers to {id}, which is due {must}");
    }
}

/// Holds one message against JSON-RPC; the id of an answer, `None` for a notification.
fn check_line(line: &str) -> Option<Option<String>> {
    let fields = Fields::of(line).expect("a message is an object");
    assert!(fields.is_clear() && fields.text("jsonrpc").as_deref() == Some("2.0"));
    let is_object = |name: &str| fields.get(name).is_some_and(|value| value.starts_with('{'));
    if let Some(method) = fields.text("method") {
        assert!(method.starts_with("notifications/") && fields.get("id").is_none());
        assert!(is_object("params") && fields.0.len() == 3);
        return None;
    }
    let id = fields.get("id").map(str::to_owned);
    assert!(id.as_deref().is_none_or(is_id));
    assert!(fields.0.len() == 2 + usize::from(id.is_some()), "fields that nobody knows");
    assert!(is_object("result") != is_object("error"), "a result or an error");
    if let Some(error) = fields.get("error") {
        let error: Value = serde_json::from_str(error).expect("an error is JSON");
        assert!(error["code"].is_i64() && error["message"].is_string());
        assert!(id.is_some() || error["code"] == -32700, "a refusal of nothing");
    } else {
        assert!(id.is_some(), "a result of nothing");
    }
    Some(id)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&[era, ref lengths @ ..], sent)) = input.split_first_chunk::<9>() else { return };
    // The outbox drops what is over its bound, when the host does not read.
    if sent.iter().filter(|b| **b == b'\n').count() > 400 {
        return;
    }
    let era = [Era::Auto, Era::Legacy, Era::Modern, Era::Auto][usize::from(era & 3)];
    let lengths = if lengths.iter().all(|length| *length == 0) { &[1] } else { lengths.as_slice() };
    let whole = serve(era, sent);
    check(sent, &whole.0);
    let pieces = serve(era, Pieces { left: sent, lengths, next: 0, piece: 0 });
    assert_eq!(whole, pieces, "in one piece, and in many");
});
