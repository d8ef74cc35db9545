//! The engine over the crate tiny_http, which the cargo feature of that name puts in the place of
//! `native`: the same seam, the same port and the same stopping, and a pool of threads for requests.
//!
//! The crate accepts by itself, reads heads on a thread for each connection, and queues requests
//! without a bound; it hides the connections. So these are not kept here: the bound on connections
//! (it counts requests at work instead), all times but the one for writing, and the limits of a head,
//! which are looked at when all of it has been read. No connection can be closed, so a client that is
//! told so closes it itself; and none can be looked at, so a client that left is noticed when a
//! second write to it fails. `tests/tiny.rs` shows these, and the crate's own faults.

mod request;
mod writer;

use super::native::{SPARE_TIME, STACK, State, bind, lock, state_of, wait_for_port, wake};
use super::{Limits, Refusal, Service};
use crossbeam_channel::{Receiver, Sender, bounded};
use socket2::SockRef;
use std::io;
use std::net::{Shutdown, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// How many requests past the bound are still told 503. What comes behind them waits in the crate's
/// queue.
const OVER: usize = 64;

/// A running engine; stops when told to, or dropped.
pub struct Server {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the threads of all addresses have in common.
struct Shared {
    limits: Limits,
    state: Mutex<State>,
    stopping: AtomicBool,
    /// Whether clients are asked to close their connections.
    leaving: AtomicBool,
    /// Requests that are being answered.
    busy: Mutex<usize>,
    /// Told when one of them is done.
    done: Condvar,
}

impl Server {
    /// What each connection takes of them: the crate reads from one and writes to the other.
    pub const DESCRIPTORS: u64 = 2;

    /// Serves at `host` (a name or an address of either family) and `port` (0 takes a free one).
    /// A port that is taken is waited for.
    ///
    /// # Errors
    /// Only when no thread can be started.
    pub fn start<S: Service>(
        host: &str,
        port: u16,
        limits: Limits,
        service: Arc<S>,
    ) -> io::Result<Self> {
        let (stop, stopped) = bounded(0);
        let address = (host.trim_matches(['[', ']']).to_owned(), port);
        // The first try is made here, so that the state is true as soon as this returns.
        let first = bind(&address);
        let shared = Arc::new(Shared {
            limits,
            state: Mutex::new(state_of(&first)),
            stopping: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            busy: Mutex::new(0),
            done: Condvar::new(),
        });
        let thread = {
            let shared = shared.clone();
            let run = move || run(&address, first, &shared, &service, &stopped);
            thread::Builder::new().name("http-port".into()).stack_size(STACK).spawn(run)?
        };
        Ok(Server { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// What it is doing now.
    pub fn state(&self) -> State {
        lock(&self.shared.state).clone()
    }

    /// How many requests are being answered. The crate does not tell how many connections are open.
    pub fn connections(&self) -> usize {
        *self.shared.busy()
    }

    /// What lets it empty before it is stopped; see [`Drain::run`].
    pub fn drain(&self) -> Drain {
        Drain(self.shared.clone())
    }

    /// Stops accepting, then lets requests that are being answered finish until `deadline`.
    /// `end_waiting` is called once nobody new can come, to end what would wait longer. Connections
    /// stay open until their clients close them; what comes on them is told 503 for a while.
    pub fn stop(&mut self, deadline: Instant, end_waiting: impl FnOnce()) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        *lock(&self.shared.state) = State::Stopped;
        // A dropped sender is what the thread takes for the order to stop.
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It ends by itself, and a panic of it changes nothing here.
            let _ = thread.join();
        }
        end_waiting();
        // Those who are not done by then cannot be cut off.
        self.shared.wait_idle(deadline);
    }
}

/// Lets a running engine empty; apart from it, so that it can be stopped meanwhile.
pub struct Drain(Arc<Shared>);

impl Drain {
    /// Serves until `notice` and refuses until `deadline`, or until nothing is being answered. The
    /// crate does not tell who is connected.
    pub fn run(&self, notice: Instant, deadline: Instant) {
        self.0.leaving.store(true, Ordering::SeqCst);
        self.0.wait_idle(notice);
        self.0.stopping.store(true, Ordering::SeqCst);
        self.0.wait_idle(deadline);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Instant::now(), || {});
    }
}

/// The port's own thread: waits for it, has it served, and closes it at the order to stop.
fn run<S: Service>(
    address: &(String, u16),
    first: io::Result<Vec<TcpListener>>,
    shared: &Arc<Shared>,
    service: &Arc<S>,
    stopped: &Receiver<()>,
) {
    let Some(listeners) = wait_for_port(address, first, &shared.state, stopped) else { return };
    for listener in &listeners {
        if let Err(e) = Crew::start(listener, shared, service) {
            service.report(&format!("one of the addresses is not served: {e}"));
        }
    }
    // Nothing is ever sent, so this is the order to stop.
    let _ = stopped.recv();
    listeners.iter().for_each(close);
}

/// Ends the crate's accept loop. It has no order to stop other than its drop, which comes when the last
/// thread leaves; but it ends at any error of `accept`, and its socket is one with ours.
fn close(listener: &TcpListener) {
    if SockRef::from(listener).shutdown(Shutdown::Both).is_ok() {
        return;
    }
    // Only Linux shuts down what listens. Elsewhere the accept after the next one fails.
    if let (Ok(()), Ok(address)) = (listener.set_nonblocking(true), listener.local_addr()) {
        wake(&address);
    }
}

impl Shared {
    fn busy(&self) -> MutexGuard<'_, usize> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing is being answered, or until `deadline`.
    fn wait_idle(&self, deadline: Instant) {
        let wait = deadline.saturating_duration_since(Instant::now());
        let _ = self.done.wait_timeout_while(self.busy(), wait, |busy| *busy > 0);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn serve(&self, sent: tiny_http::Request, service: &impl Service) {
        let busy = {
            let mut busy = self.busy();
            *busy += 1;
            *busy
        };
        let refusal = match self.is_stopping() {
            true => Some(Refusal::Stopping),
            false => (busy > self.limits.connections).then_some(Refusal::Full),
        };
        // The crate panics over a body whose length no memory has.
        let served = catch_unwind(AssertUnwindSafe(|| {
            let closes = self.leaving.load(Ordering::SeqCst);
            request::serve(sent, refusal, closes, &self.limits, service);
        }));
        if served.is_err() {
            service.report("a request was dropped by a panic");
        }
        *self.busy() -= 1;
        self.done.notify_all();
    }

    /// The crate accepts nobody any more.
    fn lost(&self, e: &io::Error, service: &impl Service) {
        let mut state = lock(&self.state);
        if *state != State::Stopped {
            let said = format!(
                "tiny_http has stopped accepting connections: {e}; call the tool http_server_stop, \
                 then http_server_start"
            );
            service.report(&said);
            *state = State::Waiting(said);
        }
    }
}

/// The threads that serve one address. One of them at least waits for a request, unless all that are
/// allowed are at work.
struct Crew<S> {
    shared: Arc<Shared>,
    service: Arc<S>,
    server: tiny_http::Server,
    threads: Mutex<Threads>,
}

struct Threads {
    all: usize,
    idle: usize,
}

impl<S: Service> Crew<S> {
    fn start(listener: &TcpListener, shared: &Arc<Shared>, service: &Arc<S>) -> io::Result<()> {
        // On Linux each connection takes these over from the socket that it came to. The time for
        // reading would end the crate's accept loop.
        let socket = SockRef::from(listener);
        socket.set_tcp_nodelay(true)?;
        socket.set_write_timeout(Some(shared.limits.write_time))?;
        let server = tiny_http::Server::from_listener(listener.try_clone()?, None);
        let server = server.map_err(io::Error::other)?;
        let threads = Mutex::new(Threads { all: 0, idle: 0 });
        let (shared, service) = (shared.clone(), service.clone());
        let crew = Arc::new(Crew { shared, service, server, threads });
        crew.add_one(&mut crew.threads())
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_one(self: &Arc<Self>, threads: &mut Threads) -> io::Result<()> {
        let crew = self.clone();
        let work = move || {
            while let Some(sent) = crew.next() {
                crew.shared.serve(sent, &*crew.service);
                crew.threads().idle += 1;
            }
        };
        thread::Builder::new().name("http".into()).stack_size(STACK).spawn(work)?;
        threads.all += 1;
        threads.idle += 1;
        Ok(())
    }

    /// The next request; `None` when this thread is of no more use.
    fn next(self: &Arc<Self>) -> Option<tiny_http::Request> {
        loop {
            let stopping = self.shared.is_stopping();
            // After the stop somebody stays to refuse what comes on connections that are still open.
            let wait = if stopping { self.shared.limits.idle_time } else { SPARE_TIME };
            match self.server.recv_timeout(wait) {
                Ok(Some(sent)) => {
                    let mut threads = self.threads();
                    threads.idle -= 1;
                    let bound = self.shared.limits.connections.saturating_add(OVER);
                    if threads.idle == 0
                        && threads.all < bound
                        && let Err(e) = self.add_one(&mut threads)
                    {
                        self.service.report(&format!("requests wait for a thread: {e}"));
                    }
                    return Some(sent);
                }
                Ok(None) => {
                    let mut threads = self.threads();
                    if stopping || threads.idle > 1 {
                        threads.all -= 1;
                        threads.idle -= 1;
                        return None;
                    }
                }
                Err(e) => self.shared.lost(&e, &*self.service),
            }
        }
    }
}
