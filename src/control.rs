//! The HTTP side as the tools and the start of the process see it: started, stopped, asked how it is.

use crate::access::Access;
use crate::chat::Failure;
use crate::exchange::Exchange;
use crate::http::native::State;
use crate::http::{Limits, Server, Service};
use crate::page::feed::Feed;
use serde_json::{Value, json};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long requests that are being answered may go on once the order to stop has come.
const STOP_TIME: Duration = Duration::from_secs(1);

/// The HTTP side, running or not.
pub struct Control {
    exchange: Exchange,
    feed: Feed,
    access: Arc<Access>,
    limits: Limits,
    draining: AtomicBool,
    state: Mutex<Running>,
}

struct Running {
    host: String,
    port: u16,
    server: Option<Server>,
    /// Why it was not started when that was last tried.
    refused: Option<String>,
}

/// What is known of the HTTP side.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether it was started; it may still be waiting for its port.
    pub running: bool,
    /// The host as it was given.
    pub host: String,
    /// The port; where 0 was given, the one that was taken.
    pub port: u16,
    /// `listening`, `waiting for port` or `stopped`.
    pub state: &'static str,
    /// Why it is waiting, or was not started.
    pub reason: Option<String>,
    /// Where clients reach it, once it listens.
    pub listen_url: Option<String>,
}

impl Control {
    /// Not started; would listen at `host` and `port`.
    pub fn new(
        exchange: Exchange,
        feed: Feed,
        access: Arc<Access>,
        limits: Limits,
        host: String,
        port: u16,
    ) -> Self {
        let state = Mutex::new(Running { host, port, server: None, refused: None });
        Control { exchange, feed, access, limits, draining: AtomicBool::new(false), state }
    }

    fn state(&self) -> MutexGuard<'_, Running> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts it, unless it runs. `false` when it ran already, and nothing was changed.
    ///
    /// # Errors
    /// No thread could be started, or other machines could reach it and no key is asked for.
    pub fn start<S: Service>(
        &self,
        service: Arc<S>,
        host: Option<&str>,
        port: Option<u16>,
    ) -> io::Result<bool> {
        let mut state = self.state();
        if state.server.is_some() {
            return Ok(false);
        }
        if let Some(host) = host {
            state.host = host.to_owned();
        }
        state.port = port.unwrap_or(state.port);
        let reach = reach(&state.host);
        if reach == Reach::Others && !self.access.has_keys() {
            let said = format!(
                "HTTP is not started: other machines could reach {:?} and ask the model without a \
                 key. Set MODELTAP_API_KEY or make a token with \"modeltap token add NAME\", and \
                 start again; or listen on 127.0.0.1",
                state.host
            );
            state.refused = Some(said.clone());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, said));
        }
        self.access.set_exposed(reach != Reach::Loopback);
        state.refused = None;
        state.server = Some(Server::start(&state.host, state.port, self.limits.clone(), service)?);
        Ok(true)
    }

    /// Lets it empty before the end of the process, for `most` at most, and says so to whoever asks
    /// whether it is ready: half of that time all is served as before, then what comes is refused.
    /// Returns at once where nobody is connected.
    pub fn drain(&self, most: Duration) {
        self.draining.store(true, Ordering::SeqCst);
        self.feed.close();
        // Not while the state is locked: it can be stopped meanwhile.
        let drain = self.state().server.as_ref().map(Server::drain);
        if let Some(drain) = drain {
            let now = Instant::now();
            drain.run(now + most / 2, now + most);
        }
    }

    /// Whether it empties before the end of the process.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Stops it; whoever waits for an answer gets `failure`. `false` when it did not run.
    pub fn stop(&self, failure: &Failure) -> bool {
        // Taken out first, so that asking for the status does not wait for the last answers.
        let Some(mut server) = self.state().server.take() else { return false };
        server.stop(Instant::now() + STOP_TIME, || {
            self.exchange.fail_all(failure);
            self.feed.end();
        });
        true
    }

    /// How it is.
    pub fn status(&self) -> Status {
        let state = self.state();
        let (host, port) = (state.host.clone(), state.port);
        let status = |state, reason, address: Option<SocketAddr>| Status {
            running: state != "stopped",
            host: host.clone(),
            port: address.map_or(port, |address| address.port()),
            state,
            reason,
            listen_url: address.map(|address| format!("http://{address}")),
        };
        match state.server.as_ref().map(Server::state) {
            None | Some(State::Stopped) => status("stopped", state.refused.clone(), None),
            Some(State::Waiting(reason)) => status("waiting for port", Some(reason), None),
            Some(State::Listening(addresses)) => {
                status("listening", None, addresses.first().copied())
            }
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.state().server.as_ref().map_or(0, Server::connections)
    }
}

/// Who can reach what listens at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// This machine only.
    Loopback,
    /// Other machines.
    Others,
    /// The name stands for nothing yet, and may come to stand for anything.
    Unknown,
}

/// Who can reach what listens at `host`, an address or a name.
pub fn reach(host: &str) -> Reach {
    match (host.trim_matches(['[', ']']), 0).to_socket_addrs() {
        Err(_) => Reach::Unknown,
        Ok(mut addresses) => match addresses.all(|a| a.ip().to_canonical().is_loopback()) {
            true => Reach::Loopback,
            false => Reach::Others,
        },
    }
}

impl Status {
    /// The status as the tools tell it, with the wait for an answer and whether a key is asked for.
    pub fn to_json(&self, timeout: Option<Duration>, has_key: bool) -> Value {
        let mut status = json!({
            "running": self.running,
            "state": self.state,
            "host": self.host,
            "port": self.port,
            "listen_url": self.listen_url,
            "timeout_ms": timeout.map(|timeout| timeout.as_millis() as u64),
            "api_key_enabled": has_key,
        });
        if let Some(reason) = &self.reason {
            status["reason"] = reason.as_str().into();
        }
        status
    }
}
