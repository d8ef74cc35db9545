//! What is told of a request on its way: RX and TX lines, and events.

use super::answer::Answer;
use super::{NO_MODEL, Trip};
use crate::api::error::ApiError;
use crate::chat::{Ask, Event, Usage};
use crate::record::address::Address;
use crate::record::audit::entry::{Asked, Rx, Tokens, Tx};
use crate::record::events::{Event as Note, Kind};
use crate::record::log::Rows;
use crate::visit::Visit;
use std::borrow::Cow;
use std::fmt;
use std::time::Instant;

/// Who asks, as the lines show it: the address, how the client calls itself, what its key is called.
struct Client<'t>(&'t Trip<'t>);

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Visit { address, caller, .. } = self.0.visit;
        let agent = self.0.request.head.header("user-agent").unwrap_or("-");
        write!(f, "{} {agent:?}", Address(*address))?;
        match caller.label() {
            Some((name, _)) => write!(f, " key={name}"),
            None => Ok(()),
        }
    }
}

/// How a request ended.
struct Ending<'e> {
    status: u16,
    error: Option<&'e str>,
    usage: Option<Usage>,
    begun: Option<Instant>,
    first_piece: Option<Instant>,
    text: Cow<'e, str>,
}

impl Trip<'_> {
    /// Tells of the request, in the log with its text below.
    pub(super) fn rx(&self, text: impl FnOnce(&mut Rows)) {
        let Trip { relay, request, visit, endpoint, model, .. } = self;
        let (id, client) = (visit.id, Client(self));
        let stream = if self.stream { " stream" } else { "" };
        let head = format_args!("{id} {client} POST {} model={model}{stream}", endpoint.path);
        relay.log.rx(head, text);
        self.asked(|asked| relay.records.rx(&Rx { asked, body: request.body }));
    }

    /// Tells how it was answered, in the log with what below.
    fn tx(&self, ending: &Ending, more: fmt::Arguments, text: impl FnOnce(&mut Rows)) {
        let Trip { relay, visit, model, started, .. } = self;
        let time = started.elapsed();
        let (status, id, client) = (ending.status, visit.id, Client(self));
        let way = self.way.get();
        let stream = if self.stream { " stream" } else { "" };
        let head = format_args!(
            "{id} {client} {status} {}ms model={model} backend={}{stream} {more}",
            time.as_millis(),
            way.unwrap_or("-")
        );
        relay.log.tx(head, text);
        let tokens = ending.usage.map(|Usage { prompt, completion }| Tokens {
            prompt,
            completion,
            estimated: true,
        });
        let since_start = |at: Instant| at.saturating_duration_since(*started);
        self.asked(|asked| {
            relay.records.tx(&Tx {
                asked,
                status,
                error: ending.error,
                backend: way,
                time,
                first: ending.begun.map(since_start),
                first_piece: ending.first_piece.map(since_start),
                tokens,
                body: Some(&ending.text),
            });
        });
    }

    fn asked(&self, tell: impl FnOnce(Asked)) {
        // A request that cannot be read names none.
        let model = Some(&*self.model).filter(|model| *model != NO_MODEL);
        self.visit.asked(&self.request.head, |asked| {
            tell(Asked { model, stream: model.map(|_| self.stream), ..asked });
        });
    }

    pub(super) fn note(&self, kind: Kind, content: &str, meta: &[(&'static str, &str)]) {
        self.relay.ring.push(&Note {
            kind,
            id: Some(self.visit.id),
            stream: Some(self.stream),
            source: "http",
            input: self.endpoint.path,
            content,
            meta,
        });
    }

    pub(super) fn received(&self, ask: &Ask) {
        let last = ask.messages.last().and_then(|message| message.texts().last());
        let last = last.unwrap_or_default();
        match self.visit.caller.label() {
            None => self.note(Kind::Request, last, &[("model", &self.model)]),
            Some((name, fingerprint)) => {
                let meta = [("model", &*self.model), ("key", name), ("fingerprint", fingerprint)];
                self.note(Kind::Request, last, &meta);
            }
        }
        self.rx(|rows| {
            for message in &ask.messages {
                let mut mark = format!("{}: ", message.role.as_str());
                for part in message.texts() {
                    rows.push(&mark, part);
                    mark.clear();
                }
            }
        });
    }

    /// `answer` is what of it had left.
    pub(super) fn failed(&self, error: &ApiError, answer: Option<&Answer>) {
        let message = &error.message;
        self.note(Kind::ResponseError, message, &[("code", error.code)]);
        let ending = Ending {
            status: error.status,
            error: Some(error.code),
            usage: answer.map(Answer::usage),
            begun: answer.and_then(|answer| answer.begun),
            first_piece: answer.and_then(|answer| answer.first_piece),
            text: message.into(),
        };
        self.tx(&ending, format_args!(""), |rows| rows.push("", message));
    }

    pub(super) fn left(&self, answer: &Answer) {
        let said = "the client went away";
        self.note(Kind::ResponseError, said, &[("code", "client_gone")]);
        let ending = Ending {
            status: 499,
            error: Some("client_gone"),
            usage: Some(answer.usage()),
            begun: answer.begun,
            first_piece: answer.first_piece,
            text: self.text(answer),
        };
        self.tx(&ending, format_args!("{said}"), |rows| answer.tell(rows));
    }

    pub(super) fn sent(&self, answer: &Answer, usage: Usage) {
        let Usage { prompt, completion } = usage;
        let counts = format_args!("tokens={prompt}+{completion} (estimated)");
        let ending = Ending {
            status: 200,
            error: None,
            usage: Some(usage),
            begun: answer.begun,
            first_piece: answer.first_piece,
            text: self.text(answer),
        };
        self.tx(&ending, counts, |rows| answer.tell(rows));
    }

    /// The text of an answer, where anybody wants it.
    fn text<'t>(&self, answer: &'t Answer) -> Cow<'t, str> {
        if self.relay.records.want_text() { answer.text() } else { "".into() }
    }

    pub(super) fn chunk_note(&self, event: &Event) {
        let text = match event {
            Event::Delta(text) => text,
            Event::ToolCall(call) => &call.name,
            _ => return,
        };
        self.note(Kind::ResponseChunk, text, &[]);
    }
}
