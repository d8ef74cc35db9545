//! What is told of a request on its way: RX and TX lines, and events.

use super::Trip;
use super::answer::Answer;
use crate::api::error::ApiError;
use crate::chat::{Ask, Event, Usage};
use crate::record::events::{Event as Note, Kind};
use crate::record::log::Rows;
use std::fmt;

impl Trip<'_> {
    /// Logs the request, and its text below.
    pub(super) fn rx(&self, text: impl FnOnce(&mut Rows)) {
        let Trip { visit, client, endpoint, model, .. } = self;
        let id = visit.id;
        let stream = if self.stream { " stream" } else { "" };
        let head = format_args!("{id} {client} POST {} model={model}{stream}", endpoint.path);
        self.relay.log.rx(head, text);
    }

    /// Logs how it was answered, and with what below.
    fn tx(&self, status: u16, more: fmt::Arguments, text: impl FnOnce(&mut Rows)) {
        let millis = self.started.elapsed().as_millis();
        let way = self.way.get().unwrap_or("-");
        let stream = if self.stream { " stream" } else { "" };
        let Trip { visit, client, model, .. } = self;
        let id = visit.id;
        let head = format_args!(
            "{id} {client} {status} {millis}ms model={model} backend={way}{stream} {more}"
        );
        self.relay.log.tx(head, text);
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
                let meta = [("model", &*self.model), ("key", name), ("fingerprint", &fingerprint)];
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

    pub(super) fn failed(&self, error: &ApiError) {
        self.note(Kind::ResponseError, &error.message, &[("code", error.code)]);
        self.tx(error.status, format_args!(""), |rows| rows.push("", &error.message));
    }

    pub(super) fn left(&self, answer: &Answer) {
        let said = "the client went away";
        self.note(Kind::ResponseError, said, &[("code", "client_gone")]);
        self.tx(499, format_args!("{said}"), |rows| answer.tell(rows));
    }

    pub(super) fn sent(&self, answer: &Answer, usage: Usage) {
        let Usage { prompt, completion } = usage;
        let counts = format_args!("tokens={prompt}+{completion} (estimated)");
        self.tx(200, counts, |rows| answer.tell(rows));
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
