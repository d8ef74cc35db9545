//! Records as people read them.

use super::chain::Line;
use super::read::{Lines, Members, Row, members};
use crate::record::log::{Rows, push_visible};
use std::fmt::Write as _;
use std::io::{self, Write};

/// Which records are wanted: those that pass each condition that is set.
#[derive(Debug, Default)]
pub struct Filter {
    /// Only of the request with this id.
    pub request: Option<String>,
    /// Only of requests that this token let in.
    pub token: Option<String>,
    /// Only from this time on, in the form of the records.
    pub since: Option<String>,
    /// Only errors, and answers whose client went away.
    pub errors: bool,
}

impl Filter {
    fn passes(&self, record: &Members) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        is(&self.request, record.id.as_deref())
            && is(&self.token, record.token.as_deref())
            && self.since.as_deref().is_none_or(|since| &*record.time >= since)
            && (!self.errors || record.is_error())
    }
}

/// Why showing ended before its time.
#[derive(Debug)]
pub enum Ended {
    /// Something cannot be read; one line.
    Fault(String),
    /// The output takes no more.
    Output(io::Error),
}

impl From<String> for Ended {
    fn from(fault: String) -> Self {
        Ended::Fault(fault)
    }
}

impl From<io::Error> for Ended {
    fn from(e: io::Error) -> Self {
        Ended::Output(e)
    }
}

/// How many records were shown, and how many lines are no records.
#[derive(Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // Their names say it.
pub struct Shown {
    pub records: u64,
    pub damaged: u64,
}

/// Shows the records that `filter` passes, as text or as the lines that they are.
///
/// # Errors
/// A file cannot be read, or `out` not be written.
pub fn show(
    lines: &mut Lines,
    filter: &Filter,
    as_json: bool,
    out: &mut impl Write,
) -> Result<Shown, Ended> {
    let mut shown = Shown::default();
    let mut scratch = Vec::new();
    while let Some(Row { text: line, is_whole, .. }) = lines.advance()? {
        // One that is being written is not there yet.
        if !is_whole {
            continue;
        }
        let Some(record) = Line::read(line) else {
            shown.damaged += 1;
            continue;
        };
        let Ok(head) = members::<Members>(&record, &mut scratch) else {
            shown.damaged += 1;
            continue;
        };
        if !filter.passes(&head) {
            continue;
        }
        if as_json {
            out.write_all(line)?;
            out.write_all(b"\n")?;
        } else {
            let Ok(whole) = serde_json::from_slice(line) else {
                shown.damaged += 1;
                continue;
            };
            out.write_all(told(record.seq, &whole).as_bytes())?;
        }
        shown.records += 1;
    }
    Ok(shown)
}

/// One record as text: a line, and its body below.
fn told(seq: u64, record: &Members) -> String {
    let mut line = format!("{} {} seq={seq}", record.time, record.kind.to_uppercase());
    // Writing to a String cannot fail.
    let mut plain = |text: Option<&str>| {
        if let Some(text) = text {
            let _ = write!(line, " {text}");
        }
    };
    plain(record.id.as_deref());
    plain(record.address.as_deref());
    plain(record.client.as_ref().map(|client| format!("{client:?}")).as_deref());
    plain(record.method.as_deref());
    plain(record.route.as_deref());
    plain(record.status.map(|status| status.to_string()).as_deref());
    plain(record.ms.map(|ms| format!("{ms}ms")).as_deref());
    plain(record.first_ms.map(|ms| format!("first={ms}ms")).as_deref());
    let mut named = |name: &str, text: Option<&str>| {
        if let Some(text) = text {
            let _ = write!(line, " {name}={text}");
        }
    };
    named("model", record.model.as_deref());
    named("backend", record.backend.as_deref());
    named("token", record.token.as_deref());
    named("key", record.key.as_deref());
    named("session", record.session.as_deref());
    named("error", record.error.as_deref());
    named("body_sha256", record.body_sha256.as_deref());
    named("version", record.version.as_deref());
    named("policy", record.policy.as_deref());
    named("last", record.last.as_deref());
    named("since", record.since.as_deref());
    let mut number = |name: &str, number: Option<u64>| {
        if let Some(number) = number {
            let _ = write!(line, " {name}={number}");
        }
    };
    number("body_bytes", record.body_bytes);
    number("pid", record.pid);
    number("cut", record.cut);
    number("lost", record.lost);
    number("rx", record.rx);
    number("tx", record.tx);
    if let (Some(prompt), Some(completion)) = (record.prompt_tokens, record.completion_tokens) {
        let _ = write!(line, " tokens={prompt}+{completion}");
    }
    line.push_str(if record.estimated == Some(true) { " (estimated)" } else { "" });
    line.push_str(if record.stream == Some(true) { " stream" } else { "" });
    if let Some(reason) = &record.reason {
        let _ = write!(line, ": {reason}");
    }
    let mut rows = Rows::default();
    push_visible(&mut rows.line, &line);
    rows.line.push('\n');
    rows.push("", record.body.as_deref().unwrap_or_default());
    rows.line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_told_in_a_line_with_its_body_below() {
        let record: Members = serde_json::from_str(
            r#"{"kind":"tx","time":"T","id":"I","token":"a","route":"/r","model":"m\u001b[31m",
                "stream":true,"status":200,"ms":5,"prompt_tokens":1,"completion_tokens":2,
                "estimated":true,"body":"one\ntwo\u0007"}"#,
        )
        .unwrap();
        assert_eq!(
            told(7, &record),
            "T TX seq=7 I /r 200 5ms model=m\\u{1b}[31m token=a tokens=1+2 (estimated) stream\n    \
             one\n    two\\u{7}\n"
        );
    }
}
