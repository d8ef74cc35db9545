//! The tool `hook`: a call that stays open, for hosts that allow sampling only while one of our
//! tools is running, and for the warm-up that some want before they trust a host.

use super::create_message::{Preferences, cancellation, params, request};
use super::fetching::Progress;
use super::unsent;
use crate::chat::{Ask, Event, Message, Part, Role};
use crate::exchange::{CallId, Ended, Exchange, Note};
use crate::mcp::outbox::Outbox;
use crate::mcp::rpc::{self, RpcId};
use crate::mcp::tool::Outcome;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many calls may be open at once.
const MOST: usize = 16;
/// Between two notes of progress; hosts that extend their limit on progress do so for 30 s and more.
const PROGRESS: Duration = Duration::from_secs(10);
/// How many warm-up samples are tried, and how far apart.
const TRIES: usize = 30;
const APART: Duration = Duration::from_secs(1);

/// The open calls of `hook`. Clones share them.
#[derive(Clone)]
pub struct Hooks {
    exchange: Exchange,
    outbox: Outbox,
    /// Whether a call must bring a sample through before requests are served.
    warm_up: bool,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Dropping the sender ends the call's thread.
    open: Vec<(RpcId, Sender<()>)>,
    /// When the first call was opened, or the last one closed.
    changed: Option<Instant>,
    warm: bool,
}

/// Whether a call was open throughout some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hooked {
    /// One was, all the time.
    Always,
    /// None was.
    Never,
    /// One was opened or closed meanwhile.
    Partly,
}

impl Hooks {
    /// No calls yet.
    pub fn new(exchange: Exchange, outbox: Outbox, warm_up: bool) -> Self {
        Hooks { exchange, outbox, warm_up, state: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many calls are open.
    pub fn count(&self) -> usize {
        self.state().open.len()
    }

    /// Whether a call was open during the last `time`.
    pub fn since(&self, time: Duration) -> Hooked {
        let state = self.state();
        if state.changed.is_some_and(|changed| changed.elapsed() <= time) {
            return Hooked::Partly;
        }
        if state.open.is_empty() { Hooked::Never } else { Hooked::Always }
    }

    /// Forgets all calls, for another session has begun and may use their ids anew.
    pub fn reset(&self) {
        // What is still at the host was asked under other circumstances.
        *self.state() = State { changed: Some(Instant::now()), ..State::default() };
    }

    /// Why requests are not served yet, where a warm-up is wanted.
    pub fn not_ready(&self) -> Option<&'static str> {
        let state = self.state();
        match (self.warm_up && !state.warm, state.open.is_empty()) {
            (false, _) => None,
            (true, true) => Some(
                "the warm-up waits for the tool `hook`: ask the host's model to call it \
                 (MODELTAP_WARMUP is set)",
            ),
            (true, false) => Some("the warm-up has not got an answer from the host's model yet"),
        }
    }

    /// Opens a call. It is answered only when it cannot be served.
    pub fn open(&self, id: &RpcId, progress_token: Option<RpcId>) -> Option<Outcome> {
        let (stop, stopped) = bounded(0);
        {
            let mut state = self.state();
            if state.open.iter().any(|(open, _)| open == id) {
                return Some(Outcome::error("a hook with this request id is open already"));
            }
            if state.open.len() >= MOST {
                return Some(Outcome::error(format!("{MOST} hooks are open; one is enough")));
            }
            if state.open.is_empty() {
                state.changed = Some(Instant::now());
            }
            state.open.push((id.clone(), stop));
        }
        if self.warm_up || progress_token.is_some() {
            let (hooks, own_id) = (self.clone(), id.clone());
            let run = move || hooks.run(&own_id, progress_token.as_ref(), &stopped);
            if let Err(e) = thread::Builder::new().name("hook".into()).spawn(run) {
                self.close(id);
                return Some(Outcome::error(format!("no thread could be started: {e}")));
            }
        }
        None
    }

    /// Closes the call `id`; `false` when there is none.
    pub fn close(&self, id: &RpcId) -> bool {
        let mut state = self.state();
        let Some(at) = state.open.iter().position(|(open, _)| open == id) else { return false };
        state.open.swap_remove(at);
        if state.open.is_empty() {
            state.changed = Some(Instant::now());
        }
        true
    }

    /// One call's thread, until the call is closed.
    fn run(&self, id: &RpcId, progress_token: Option<&RpcId>, stopped: &Receiver<()>) {
        let mut progress = Progress::new(&self.outbox, progress_token);
        if self.warm_up && !self.state().warm {
            match self.warm_up(stopped, &mut progress) {
                Some(Ok(())) => {
                    self.state().warm = true;
                    self.exchange.host_appeared();
                }
                Some(Err(last)) => {
                    // A call that the host has cancelled meanwhile must not be answered.
                    if self.close(id) {
                        let said = format!("{TRIES} warm-up samples failed; the last one: {last}");
                        self.outbox.post(rpc::result(id, &Outcome::error(said).to_json(false)));
                    }
                    return;
                }
                None => return,
            }
        }
        // The first note, at once, tells the person at the host that it works.
        loop {
            progress.say("serving requests");
            if stopped.recv_timeout(PROGRESS) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    /// Samples one token at a time until one comes through; `None` when the call was closed.
    fn warm_up(
        &self,
        stopped: &Receiver<()>,
        progress: &mut Progress,
    ) -> Option<Result<(), String>> {
        let mut last = String::new();
        for _ in 0..TRIES {
            let started = Instant::now();
            progress.say("warming up");
            match self.sample(stopped)? {
                Ok(()) => return Some(Ok(())),
                Err(why) => last = why,
            }
            match stopped.recv_deadline(started + APART) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return None,
            }
        }
        Some(Err(last))
    }

    fn sample(&self, stopped: &Receiver<()>) -> Option<Result<(), String>> {
        let ask = Ask {
            messages: vec![Message {
                role: Role::User,
                name: None,
                parts: vec![Part::Text("Say ok.".into())],
            }],
            max_tokens: Some(1),
            ..Ask::default()
        };
        let neutral = Preferences { max_tokens: 1, intelligence: 0.0, speed: 1.0, cost: 1.0 };
        let ticket = self.exchange.open(vec![CallId::random()], false);
        let id = ticket.ids().first().copied()?;
        let handle = self.exchange.hand_out(id, "sampling", false)?;
        let line = request(handle, &params(&ask, &neutral, false), 0);
        if let Err(why) = self.outbox.send(line, super::send_by(None)) {
            return Some(Err(unsent(why).message));
        }
        // The person at the host may be reading a consent dialog, so this waits as long as it takes.
        loop {
            let events = match ticket.next(Instant::now() + APART) {
                Some((_, Note::Events(events))) => events,
                _ => Vec::new(),
            };
            match events.last() {
                Some(Event::Failed(failure)) => return Some(Err(failure.message.clone())),
                Some(_) => return Some(Ok(())),
                None if stopped.try_recv() == Err(TryRecvError::Empty) => {}
                None => {
                    if !ticket.close(Ended::Cancelled).is_empty() {
                        self.outbox.post(cancellation(handle, "the hook was cancelled"));
                    }
                    return None;
                }
            }
        }
    }
}
