//! The answer of one request as far as it has come.

use crate::chat::{Call, Choice, Event, Usage, estimate_tokens};
use crate::record::log::Rows;
use std::borrow::Cow;
use std::time::Instant;

/// The answer as far as it has come.
pub struct Answer {
    /// Each of its choices.
    pub choices: Vec<Choice>,
    /// Tokens of the prompt, estimated.
    pub prompt: u64,
    /// The model that the host named.
    pub host_model: Option<String>,
    /// When a stream's head has left.
    pub begun: Option<Instant>,
    /// When the first piece of a stream has left.
    pub first_piece: Option<Instant>,
}

impl Answer {
    /// Adds an event of one choice. A failure is none: it is told apart before.
    pub fn take(&mut self, choice: usize, event: Event) {
        let Some(choice) = self.choices.get_mut(choice) else { return };
        match event {
            // Most answers come in one piece, and large ones should not be copied.
            Event::Delta(text) if choice.text.is_empty() => choice.text = text,
            Event::Delta(text) => choice.text.push_str(&text),
            Event::ToolCall(call) => choice.calls.push(call),
            Event::Done { stop, model } => {
                choice.stop = Some(stop);
                self.host_model = model.or(self.host_model.take());
            }
            Event::Failed(_) => {}
        }
    }

    /// Whether every choice has come to its end.
    pub fn is_whole(&self) -> bool {
        self.choices.iter().all(|choice| choice.stop.is_some())
    }

    /// Tokens of prompt and answer, estimated.
    pub fn usage(&self) -> Usage {
        let count = |choice: &Choice| {
            let calls = choice.calls.iter();
            let calls: u64 = calls
                .map(|call| estimate_tokens(&call.name) + estimate_tokens(&call.arguments))
                .sum();
            estimate_tokens(&choice.text) + calls
        };
        Usage { prompt: self.prompt, completion: self.choices.iter().map(count).sum() }
    }

    /// Writes all of it as people read it.
    pub fn tell(&self, rows: &mut Rows) {
        for choice in &self.choices {
            rows.push("", &choice.text);
            choice.calls.iter().for_each(|call| rows.push("", &told(call)));
        }
    }

    /// All of it as one text.
    pub fn text(&self) -> Cow<'_, str> {
        match self.choices.as_slice() {
            [Choice { text, calls, .. }] if calls.is_empty() => text.into(),
            choices => {
                let parts = choices.iter().flat_map(|choice| {
                    let calls = choice.calls.iter().map(|call| told(call).into());
                    std::iter::once(Cow::from(&choice.text)).chain(calls)
                });
                let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
                parts.join("\n").into()
            }
        }
    }
}

/// A tool call as people read it.
fn told(Call { id, name, arguments }: &Call) -> String {
    format!("tool call {id}: {name} {arguments}")
}
