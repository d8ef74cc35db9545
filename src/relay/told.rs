//! What is told of a request on its way: RX and TX lines, and events.

use super::Trip;
use super::answer::Answer;
use crate::api::error::ApiError;
use crate::chat::{Ask, Event, Usage};
use crate::record::events::{Event as Note, Kind};

impl Trip<'_> {
    pub(super) fn head_line(&self) -> String {
        let stream = if self.stream { " stream" } else { "" };
        format!(
            "{} {} POST {} model={}{stream}",
            self.id, self.client, self.endpoint.path, self.model
        )
    }

    pub(super) fn note(&self, kind: Kind, content: &str, meta: &[(&'static str, &str)]) {
        self.relay.ring.push(&Note {
            kind,
            id: Some(self.id),
            stream: Some(self.stream),
            source: "http",
            input: self.endpoint.path,
            content,
            meta,
        });
    }

    pub(super) fn received(&self, ask: &Ask) {
        let last = ask.messages.last().and_then(|message| message.texts().last());
        self.note(Kind::Request, last.unwrap_or_default(), &[("model", &self.model)]);
        self.relay.log.rx(
            || self.head_line(),
            |rows| {
                for message in &ask.messages {
                    let mut mark = format!("{}: ", message.role.as_str());
                    for part in message.texts() {
                        rows.push(&mark, part);
                        mark.clear();
                    }
                }
            },
        );
    }

    pub(super) fn failed(&self, error: &ApiError) {
        self.note(Kind::ResponseError, &error.message, &[("code", error.code)]);
        self.relay.log.tx(|| self.tx_line(error.status, ""), |rows| rows.push("", &error.message));
    }

    pub(super) fn left(&self, answer: &Answer) {
        let said = "the client went away";
        self.note(Kind::ResponseError, said, &[("code", "client_gone")]);
        self.relay.log.tx(|| self.tx_line(499, said), |rows| answer.tell(rows));
    }

    pub(super) fn sent(&self, answer: &Answer, usage: Usage) {
        let Usage { prompt, completion } = usage;
        let counts = format!("tokens={prompt}+{completion} (estimated)");
        self.relay.log.tx(|| self.tx_line(200, &counts), |rows| answer.tell(rows));
    }

    pub(super) fn tx_line(&self, status: u16, more: &str) -> String {
        let millis = self.started.elapsed().as_millis();
        let (way, stream) =
            (self.way.get().unwrap_or("-"), if self.stream { " stream" } else { "" });
        let Trip { id, client, model, .. } = self;
        format!("{id} {client} {status} {millis}ms model={model} backend={way}{stream} {more}")
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
