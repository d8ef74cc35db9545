//! Forwarding: an OpenAI-compatible endpoint as one more way to a model, for when no host has one
//! to lend. Each call is one connection and one thread, which end with it.

mod body;
mod connection;
mod fault;
mod stream;
mod target;
mod tool;

pub use target::{Key, Settings, Url};

use super::{Errand, Place, Way};
use crate::chat::{Ask, Event, Failure, names_of};
use crate::exchange::{CallId, Exchange, Handle};
use crate::mcp::outbox::Outbox;
use crate::names::Names;
use body::{Manner, body};
use connection::{Calls, call};
use target::Target;
use tool::Chats;

/// What is said where no endpoint is set, but needed.
pub const UNSET: &str = "no endpoint is set to forward to: set --forward, or MODELTAP_FORWARD, to the \
    URL of one, such as http://127.0.0.1:11434/v1";

/// The way to an endpoint.
pub struct Forward {
    exchange: Exchange,
    target: Target,
    /// The endpoint's names for models.
    models: Names,
    calls: Calls,
    /// The calls of the tool `forward_chat`.
    chats: Chats,
}

impl Forward {
    /// The way to the endpoint of the settings, answered through `exchange`; `None` where none is
    /// set. The tool `forward_chat` is answered through `outbox`.
    pub fn new(exchange: Exchange, outbox: Outbox, settings: &Settings) -> Option<Self> {
        Some(Forward {
            exchange,
            target: Target::of(settings)?,
            models: Names { listed: Vec::new(), aliases: settings.models.clone() },
            calls: Calls::default(),
            chats: Chats::new(outbox),
        })
    }

    /// Asks for one answer. Returns at once; what comes goes through the exchange.
    ///
    /// # Errors
    /// No thread could be started.
    fn start(&self, ask: &Ask, handle: Handle) -> Result<(), Failure> {
        let (target, exchange) = (self.target.clone(), self.exchange.clone());
        let body = self.body(ask, false);
        self.calls.start(handle.call, target.agent(None), move |agent| {
            let mut waiting = Vec::new();
            let mut deliver = |events| deliver(&exchange, handle, &mut waiting, events);
            if let Err(failure) = call(&target, agent, &body, &mut deliver) {
                // Refused only where nobody waits any more.
                deliver(vec![Event::Failed(failure)]);
            }
        })
    }

    fn body(&self, ask: &Ask, usage: bool) -> Vec<u8> {
        let model = self.models.hint(&ask.model).unwrap_or(&ask.model);
        body(ask, Manner { model, newer_limit: self.target.url.is_openai(), usage })
    }
}

/// Delivers `events` behind those that a client which does not read has kept `waiting`: the endpoint
/// goes on meanwhile, and an answer is not so long that it could not wait here. `false` when the
/// call is over.
fn deliver(
    exchange: &Exchange,
    handle: Handle,
    waiting: &mut Vec<Event>,
    events: Vec<Event>,
) -> bool {
    let ends = events.iter().any(Event::is_last);
    waiting.extend(events);
    // Nobody else delivers to this call, so what is taken now is taken a moment later too.
    (!ends && exchange.is_unread(handle.call))
        || exchange.deliver(handle, std::mem::take(waiting), |_| {}).is_ok()
}

impl Way for Forward {
    fn name(&self) -> &'static str {
        "forward"
    }

    fn takes_tools(&self) -> bool {
        true
    }

    /// The silence of the endpoint has a limit of its own; the caller's deadline ends in `withdraw`.
    fn ask(&self, ask: &Ask, errand: &Errand) -> Result<Place, Failure> {
        if let Some(handle) = self.exchange.hand_out(errand.id, self.name(), false) {
            self.start(ask, handle)?;
        }
        Ok(Place::Asked)
    }

    fn ignores(&self, ask: &Ask) -> Vec<&'static str> {
        names_of(&[(ask.top_k.is_some(), "top_k"), (ask.metadata.is_some(), "metadata")])
    }

    /// The endpoint sees its connection close.
    fn withdraw(&self, id: CallId, _: &str) {
        self.calls.close(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::StopReason;
    use crate::exchange::Note;
    use std::time::Instant;

    #[test]
    fn an_answer_that_its_client_does_not_read_is_kept_whole() {
        let exchange = Exchange::default();
        let id = CallId::random();
        let ticket = exchange.open(vec![id], true);
        let handle = exchange.hand_out(id, "forward", false).unwrap();
        let (mut waiting, mut sent) = (Vec::new(), String::new());
        for piece in 0..10_000 {
            let piece = format!("{piece} ");
            sent.push_str(&piece);
            assert!(deliver(&exchange, handle, &mut waiting, vec![Event::Delta(piece)]));
        }
        assert!(!waiting.is_empty(), "the exchange holds less than that");
        let end = Event::Done { stop: StopReason::EndTurn, model: None };
        assert!(deliver(&exchange, handle, &mut waiting, vec![end]));
        assert!(!deliver(&exchange, handle, &mut waiting, vec![Event::Delta("late".into())]));
        let (mut read, mut ended) = (String::new(), false);
        while let Some((_, Note::Events(events))) = ticket.next(Instant::now()) {
            for event in events {
                match event {
                    Event::Delta(text) => read.push_str(&text),
                    _ => ended = true,
                }
            }
        }
        assert!(read == sent && ended);
    }
}
