//! Between the host's events and the client's: tool calls are read out of text, structured answers
//! checked, and a model whose answer is of no use is asked once more.

use crate::chat::{Ask, Event, Failure, FailureKind, Message, Part, Role};
use crate::host::prompt;
use crate::host::reader::{Reader, Rules, Verdict};
use std::rc::Rc;

/// The answers of one request, being read.
pub struct Reading {
    answers: Vec<One>,
    /// Whether the request is now put for a way that takes tools as they are.
    native: bool,
    /// Where the message stands that puts the rest into words.
    words: Option<usize>,
    rules: Rc<Rules>,
}

struct One {
    reader: Reader,
    /// The first answer and what was wrong with it, once the model is asked again.
    correction: Option<(String, String)>,
}

/// What was read of one answer.
pub struct Read {
    /// What the client gets now.
    pub events: Vec<Event>,
    /// Whether the model is to be asked again.
    pub again: bool,
}

impl Reading {
    /// Of `choices` answers to `ask`, which is put into words as far as a way needs it.
    pub fn new(ask: &mut Ask, choices: usize, native: bool) -> Self {
        let words = prompt::put_in_words(ask, native);
        let rules = Rc::new(Rules::of(ask, native));
        let one = || One { reader: Reader::new(rules.clone()), correction: None };
        let answers = std::iter::repeat_with(one).take(choices).collect();
        Reading { answers, native, words, rules }
    }

    /// Puts the question for one choice as a way needs it, and begins to read its answer anew.
    pub fn put<T>(
        &mut self,
        choice: usize,
        ask: &mut Ask,
        native: bool,
        put: impl FnOnce(&Ask) -> T,
    ) -> T {
        if native != self.native {
            if let Some(at) = self.words.take() {
                ask.messages.remove(at);
            }
            self.native = native;
            self.words = prompt::put_in_words(ask, native);
            self.rules = Rc::new(Rules::of(ask, native));
        }
        let before = ask.messages.len();
        if let Some(one) = self.answers.get_mut(choice) {
            one.reader = one.reader.again(self.rules.clone());
            if let Some((said, fault)) = &one.correction {
                let correction = prompt::correction(fault);
                for (role, text) in [(Role::Assistant, said.clone()), (Role::User, correction)] {
                    if !text.is_empty() {
                        let parts = vec![Part::Text(text.into())];
                        ask.messages.push(Message { role, name: None, parts });
                    }
                }
            }
        }
        let done = put(ask);
        ask.messages.truncate(before);
        done
    }

    /// An estimate of the tokens that `ask` has only because it is put into words.
    pub fn words_tokens(&self, ask: &Ask) -> u64 {
        self.words.and_then(|at| ask.messages.get(at)).map_or(0, Message::estimate_tokens)
    }

    /// Whether `ask` is put now as a way needs it that takes tools as they are, or does not.
    pub fn suits(&self, ask: &Ask, native: bool) -> bool {
        self.native == native || ask.tools.is_empty()
    }

    /// Whether something of this answer has come.
    pub fn has_begun(&self, choice: usize) -> bool {
        self.answers.get(choice).is_some_and(|one| one.reader.has_begun())
    }

    /// Takes events of one choice.
    ///
    /// # Errors
    /// The host failed, or the second answer was of no use either.
    pub fn take(&mut self, choice: usize, events: Vec<Event>) -> Result<Read, Failure> {
        let mut read = Read { events: Vec::with_capacity(events.len()), again: false };
        let Some(one) = self.answers.get_mut(choice) else { return Ok(read) };
        for event in events {
            match event {
                Event::Delta(text) => read.events.extend(one.reader.text_event(text)),
                Event::ToolCall(call) => one.reader.call(call),
                Event::Failed(failure) => return Err(failure),
                Event::Done { stop, model } => match one.reader.finish(stop, model) {
                    Verdict::Good(held) => read.events.extend(held),
                    Verdict::Bad(fault) if one.correction.is_none() => {
                        one.correction = Some((one.reader.said(), fault));
                        read.again = true;
                    }
                    Verdict::Bad(fault) => {
                        let said = format!("the model's answer cannot be used: {fault}");
                        return Err(Failure::new(FailureKind::Misformed, said));
                    }
                },
            }
        }
        Ok(read)
    }
}
