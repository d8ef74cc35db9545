//! One forwarded call from its body to the end of its answer, and the calls that are under way.

use super::fault;
use super::stream::{Decoder, Usage};
use super::target::Target;
use crate::chat::{Event, Failure, FailureKind};
use crate::exchange::CallId;
use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use ureq::Agent;

/// How much of an answer is read at once, in bytes.
const PIECE: usize = 16 * 1024;
/// How much of a refusal is read, in bytes.
const REFUSAL: u64 = 64 * 1024;

/// What is done with the events of a call as they come; `false` when nobody wants more of them.
pub type Deliver<'a> = &'a mut dyn FnMut(Vec<Event>) -> bool;

/// Posts `body` and delivers what is answered, the end with it. The counts of tokens, where they
/// were told.
///
/// # Errors
/// There is no whole answer. The key is not in the message, whatever the endpoint said.
pub fn call(
    target: &Target,
    agent: &Agent,
    body: &[u8],
    deliver: Deliver,
) -> Result<Option<Usage>, Failure> {
    exchange(target, agent, body, deliver)
        .map_err(|failure| Failure { message: target.hide_key(failure.message), ..failure })
}

fn exchange(
    target: &Target,
    agent: &Agent,
    body: &[u8],
    deliver: Deliver,
) -> Result<Option<Usage>, Failure> {
    let answer = target.post(agent, body).map_err(|e| fault::broken(e, target))?;
    let status = answer.status();
    if !status.is_success() {
        let header = if status.is_redirection() { "location" } else { "retry-after" };
        let header = answer.headers().get(header).and_then(|value| value.to_str().ok());
        let header = header.map(str::to_owned);
        let mut said = Vec::new();
        // What did not come of a refusal is not worth another failure.
        let _ = answer.into_body().into_reader().take(REFUSAL).read_to_end(&mut said);
        return Err(fault::refused(status.as_u16(), header.as_deref(), &said, target.has_key()));
    }
    let mut reader = answer.into_body().into_reader();
    let mut decoder = Decoder::default();
    let mut piece = vec![0; PIECE];
    loop {
        let mut events = Vec::new();
        let pushed = match reader.read(&mut piece) {
            Ok(0) => Ok(true),
            Ok(n) => decoder.push(piece.get(..n).unwrap_or_default(), &mut events),
            // What is whole is whole, however its connection ended.
            Err(_) if decoder.has_finished() => Ok(true),
            Err(e) => Err(fault::broken(e.into(), target)),
        };
        let ended = match pushed {
            Ok(true) => decoder.end(&mut events).map(|()| true),
            pushed => pushed,
        };
        let wanted = events.is_empty() || deliver(events);
        if ended? || !wanted {
            return Ok(decoder.usage().cloned());
        }
    }
}

/// The calls under way, each with the client that has its connection. Clones share them.
#[derive(Clone, Default)]
pub struct Calls(Arc<Mutex<HashMap<CallId, Agent>>>);

impl Calls {
    fn open(&self) -> MutexGuard<'_, HashMap<CallId, Agent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` on a thread of its own, which ends with the call: when it is answered, has failed,
    /// or is closed here.
    ///
    /// # Errors
    /// There are no threads left.
    pub fn start(
        &self,
        id: CallId,
        agent: Agent,
        work: impl FnOnce(&Agent) + Send + 'static,
    ) -> Result<(), Failure> {
        self.open().insert(id, agent.clone());
        let entered = Entered { calls: self.clone(), id };
        let run = move || {
            let _entered = entered;
            work(&agent);
        };
        thread::Builder::new().name("forward".into()).spawn(run).map(drop).map_err(|e| {
            Failure::new(FailureKind::Busy, format!("no thread could be started: {e}"))
        })
    }

    /// Closes the connection of a call, be it in the middle of a read.
    pub fn close(&self, id: CallId) {
        let agent = self.open().remove(&id);
        if let Some(agent) = agent {
            agent.shutdown();
        }
    }
}

/// Takes a call out of the table when its thread ends, however it does.
struct Entered {
    calls: Calls,
    id: CallId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.calls.open().remove(&self.id);
    }
}
