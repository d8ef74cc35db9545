//! Between the host's events and the client's: tool calls are read out of text, structured answers
//! checked, and a model whose answer is of no use is asked once more.

use crate::chat::{Ask, Event, Failure, FailureKind, Message, Part, Role};
use crate::exchange::Ticket;
use crate::host::reader::{Reader, Rules, Verdict};
use crate::host::{Way, prompt};
use std::rc::Rc;
use std::time::Instant;

/// The answers of one request, being read.
pub struct Reading<'r> {
    way: &'r dyn Way,
    readers: Vec<(Reader, Try)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Try {
    First,
    Second,
}

impl<'r> Reading<'r> {
    /// Of `choices` answers to `ask`, which is put into words as far as the way needs it.
    pub fn new(way: &'r dyn Way, ask: &mut Ask, choices: usize) -> Self {
        let native = way.takes_tools();
        prompt::put_in_words(ask, native);
        let rules = Rc::new(Rules::of(ask, native));
        let reader = || (Reader::new(rules.clone()), Try::First);
        Reading { way, readers: std::iter::repeat_with(reader).take(choices).collect() }
    }

    /// Takes events of one choice; what of them the client gets now.
    ///
    /// # Errors
    /// The host failed, or the second answer was of no use either.
    pub fn take(
        &mut self,
        choice: usize,
        events: Vec<Event>,
        ask: &mut Ask,
        ticket: &mut Ticket,
        deadline: Option<Instant>,
    ) -> Result<Vec<Event>, Failure> {
        let Some((reader, tried)) = self.readers.get_mut(choice) else { return Ok(Vec::new()) };
        let mut out = Vec::with_capacity(events.len());
        for event in events {
            match event {
                Event::Delta(text) => out.extend(reader.text_event(text)),
                Event::ToolCall(call) => reader.call(call),
                Event::Failed(failure) => return Err(failure),
                Event::Done { stop, model } => match (reader.finish(stop, model), *tried) {
                    (Verdict::Good(held), _) => out.extend(held),
                    (Verdict::Bad(fault), Try::First) => {
                        let said = reader.said();
                        (*reader, *tried) = (reader.again(), Try::Second);
                        ask_again(self.way, ask, said, &fault, choice, ticket, deadline)?;
                    }
                    (Verdict::Bad(fault), Try::Second) => {
                        let said = format!("the model's answer cannot be used: {fault}");
                        return Err(Failure::new(FailureKind::Misformed, said));
                    }
                },
            }
        }
        Ok(out)
    }
}

/// Puts the question once more, with the answer and what was wrong with it.
fn ask_again(
    way: &dyn Way,
    ask: &mut Ask,
    said: String,
    fault: &str,
    choice: usize,
    ticket: &mut Ticket,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    let Some(id) = ticket.again(choice) else { return Ok(()) };
    let before = ask.messages.len();
    for (role, text) in [(Role::Assistant, said), (Role::User, prompt::correction(fault))] {
        if !text.is_empty() {
            ask.messages.push(Message { role, name: None, parts: vec![Part::Text(text.into())] });
        }
    }
    let asked = way.ask(ask, &[id], deadline);
    ask.messages.truncate(before);
    asked
}
