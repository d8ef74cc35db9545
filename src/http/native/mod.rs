//! The default engine: blocking std sockets and a pool of threads, one for each open connection.
//!
//! A new connection goes to a thread that waits for one, or else to a new thread; the hand-over is
//! a rendezvous, so a connection is never queued behind another's work.

pub mod bodies;
mod connection;
pub mod head;
mod places;
pub mod reader;
pub(super) mod writer;

pub use head::MOST as MOST_HEADERS;

use super::{Limits, Service};
use crate::memory;
use bodies::Bodies;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use places::{Place, Places};
use socket2::{Domain, Protocol, Socket, Type};
use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Enough for the deepest call chain of ours: metadata of 127 levels, the most that is read, takes
/// almost 400 KB in a debug build. A waiting request touches a small part of it, and what is not
/// touched is not taken from memory.
pub(super) const STACK: usize = 512 * 1024;
/// How long a thread without a connection stays for the next one.
pub(super) const SPARE_TIME: Duration = Duration::from_secs(10);
/// Between two tries at a port that somebody else has.
const RETRY: Duration = Duration::from_millis(400);
/// How long to wait, out of descriptors, until somebody leaves by himself; and for a client to take the
/// news that there is no thread for it.
const ROOM_TIME: Duration = Duration::from_millis(100);
/// How long a connection that was told to leave may take to do so on a busy machine.
const LEAVE_TIME: Duration = Duration::from_secs(1);
/// How many connections the kernel may complete before we take them.
const BACKLOG: i32 = 4096;

/// What a [`Server`] is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Bound, and serving at these addresses.
    Listening(Vec<SocketAddr>),
    /// Not bound yet, for this reason; tried again until it can be.
    Waiting(String),
    /// Stopped for good.
    Stopped,
}

/// A running engine; stops when told to, or dropped.
pub struct Server {
    state: Arc<Mutex<State>>,
    places: Places,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Makes sure that there is a descriptor to wake the accepting thread with.
    spare: Option<File>,
}

impl Server {
    /// What each connection takes of them.
    pub const DESCRIPTORS: u64 = 1;

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
        let places = Places::new(limits.connections);
        let (stop, stopped) = bounded(0);
        let pool = Pool::new(places.clone(), limits, service);
        let address = (host.trim_matches(['[', ']']).to_owned(), port);
        // The first try is made here, so that the state is true as soon as this returns.
        let first = bind(&address);
        let state = Arc::new(Mutex::new(state_of(&first)));
        let thread = {
            let state = state.clone();
            let run = move || run(&address, first, &state, &pool, &stopped);
            thread::Builder::new().name("http-accept".into()).stack_size(STACK).spawn(run)?
        };
        Ok(Server {
            state,
            places,
            stop: Some(stop),
            thread: Some(thread),
            spare: spare_descriptor(),
        })
    }

    /// What it is doing now.
    pub fn state(&self) -> State {
        lock(&self.state).clone()
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.places.count()
    }

    /// What lets it empty before it is stopped; see [`Drain::run`].
    pub fn drain(&self) -> Drain {
        Drain(self.places.clone())
    }

    /// Stops accepting, then lets requests that are being answered finish until `deadline`.
    /// `end_waiting` is called once nobody new can come, to end what would wait longer.
    pub fn stop(&mut self, deadline: Instant, end_waiting: impl FnOnce()) {
        // A dropped sender is what the accepting thread takes for the order to stop.
        self.stop = None;
        let listening = std::mem::replace(&mut *lock(&self.state), State::Stopped);
        if let State::Listening(addresses) = listening {
            self.spare = None;
            addresses.iter().for_each(wake);
        }
        if let Some(thread) = self.thread.take() {
            // It ends by itself, and a panic of it changes nothing here.
            let _ = thread.join();
        }
        end_waiting();
        self.places.stop(deadline);
    }
}

/// Lets a running engine empty; apart from it, so that it can be stopped meanwhile.
pub struct Drain(Places);

impl Drain {
    /// Serves until `notice` and refuses until `deadline`, or until nobody is left who would lose
    /// anything: see [`Places::drain`].
    pub fn run(&self, notice: Instant, deadline: Instant) {
        self.0.drain(notice, deadline);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Instant::now(), || {});
    }
}

pub(super) fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn state_of(bound: &io::Result<Vec<TcpListener>>) -> State {
    let addresses = |listeners: &Vec<TcpListener>| {
        listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    };
    match bound {
        Ok(listeners) => State::Listening(addresses(listeners)),
        Err(e) => State::Waiting(e.to_string()),
    }
}

/// The accepting thread: waits for the port, then accepts until the order to stop.
fn run<S: Service>(
    address: &(String, u16),
    first: io::Result<Vec<TcpListener>>,
    state: &Mutex<State>,
    pool: &Pool<S>,
    stopped: &Receiver<()>,
) {
    let is_stopped = || stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected);
    let Some(listeners) = wait_for_port(address, first, state, stopped) else { return };
    thread::scope(|scope| {
        let mut listeners = listeners.iter();
        let Some(first) = listeners.next() else { return };
        for other in listeners {
            let accept = || pool.accept(other, &is_stopped);
            if let Err(e) = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, accept) {
                pool.service.report(&format!("one of the addresses is not served: {e}"));
            }
        }
        pool.accept(first, &is_stopped);
    });
}

/// Waits for the port that was tried `first`; `None` when the order to stop comes before it is free.
pub(super) fn wait_for_port(
    address: &(String, u16),
    first: io::Result<Vec<TcpListener>>,
    state: &Mutex<State>,
    stopped: &Receiver<()>,
) -> Option<Vec<TcpListener>> {
    let mut bound = first;
    loop {
        match bound {
            Ok(listeners) => return Some(listeners),
            // Nothing tells when a port falls free, so this one wait is a look now and then.
            Err(_) => match stopped.recv_timeout(RETRY) {
                Err(crossbeam_channel::RecvTimeoutError::Timeout) => bound = bind(address),
                _ => return None,
            },
        }
        let mut state = lock(state);
        if *state == State::Stopped {
            return None;
        }
        *state = state_of(&bound);
    }
}

/// Binds every address that the host's name stands for.
pub(super) fn bind(address: &(String, u16)) -> io::Result<Vec<TcpListener>> {
    let (host, mut port) = (address.0.as_str(), address.1);
    let found = (host, port).to_socket_addrs();
    let mut found: Vec<SocketAddr> = found
        .map_err(|e| io::Error::new(e.kind(), format!("the host {host:?} is not known: {e}")))?
        .collect();
    found.sort();
    found.dedup();
    let mut listeners = Vec::new();
    let mut failed = None;
    for mut address in found {
        address.set_port(port);
        match listen(address) {
            Ok(listener) => {
                port = listener.local_addr().map_or(port, |address| address.port());
                listeners.push(listener);
            }
            Err(e) => failed = Some(io::Error::new(e.kind(), format!("{address}: {e}"))),
        }
    }
    match failed {
        // A machine without IPv6 still resolves `localhost` to both families.
        Some(e) if listeners.is_empty() || e.kind() == io::ErrorKind::AddrInUse => Err(e),
        _ => Ok(listeners),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Elsewhere the option would let two servers share a port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Lets a blocked `accept` return, by connecting to it.
pub(super) fn wake(address: &SocketAddr) {
    let mut address = *address;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    // It may have ended by itself.
    let _ = TcpStream::connect_timeout(&address, Duration::from_millis(200));
}

/// The threads that serve connections.
struct Pool<S> {
    places: Places,
    limits: Arc<Limits>,
    bodies: Bodies,
    service: Arc<S>,
    hand_over: (Sender<Place>, Receiver<Place>),
}

impl<S: Service> Pool<S> {
    fn new(places: Places, limits: Limits, service: Arc<S>) -> Self {
        // Without a buffer: a send succeeds only if a thread is waiting in this very moment.
        let bodies = Bodies::new(limits.bodies_bytes.max(limits.body_bytes + limits.head_bytes));
        Pool { places, limits: Arc::new(limits), bodies, service, hand_over: bounded(0) }
    }

    fn accept(&self, listener: &TcpListener, is_stopped: &dyn Fn() -> bool) {
        // A descriptor kept for the moment when there is no other. It is given up only to accept:
        // before that nobody knows whether there is a client to send somebody away for.
        let mut spare = spare_descriptor();
        loop {
            let accepted = listener.accept();
            if is_stopped() {
                return;
            }
            match accepted {
                Ok((stream, _)) => {
                    spare = spare.or_else(spare_descriptor);
                    if spare.is_none() && self.places.make_room(LEAVE_TIME) {
                        spare = spare_descriptor();
                    }
                    // With the spare one the client is told that there is no room.
                    self.serve(stream, spare.is_none());
                }
                Err(e) if is_out_of_descriptors(&e) => {
                    if spare.take().is_none() {
                        self.places.wait_for_room(ROOM_TIME);
                    }
                }
                // The client left before we looked, or the kernel is short of memory: next.
                Err(_) => {}
            }
        }
    }

    fn serve(&self, stream: TcpStream, full: bool) {
        let Some(place) = self.places.take(stream, full) else { return };
        let place = match self.hand_over.0.try_send(place) {
            Ok(()) => return,
            Err(TrySendError::Full(place) | TrySendError::Disconnected(place)) => place,
        };
        let (limits, bodies, service, next) = (
            self.limits.clone(),
            self.bodies.clone(),
            self.service.clone(),
            self.hand_over.1.clone(),
        );
        // What a thread that cannot be had was given would be lost with it.
        let first = Arc::new(Mutex::new(Some(place)));
        let own = first.clone();
        let work = move || {
            let mut place = taken(&own);
            drop(own);
            while let Some(here) = place.take() {
                connection::serve(&here, &limits, &bodies, &*service);
                drop(here);
                place = next.recv_timeout(SPARE_TIME).ok();
            }
        };
        // A thread that finds no memory for its beginnings ends the process.
        let thread = match memory::is_there(STACK) {
            true => thread::Builder::new().name("http".into()).stack_size(STACK).spawn(work),
            false => Err(io::ErrorKind::OutOfMemory.into()),
        };
        if let Err(e) = thread
            && let Some(place) = taken(&first)
        {
            self.serve_without_thread(place, &e);
        }
    }

    /// Gives a new connection the thread of the longest idle one, or tells it that there is none.
    fn serve_without_thread(&self, place: Place, e: &io::Error) {
        // It may not be sent away for itself.
        place.set_busy();
        let made_room = self.places.make_room(LEAVE_TIME);
        place.set_idle();
        let left = match made_room {
            true => self.hand_over.0.send_timeout(place, LEAVE_TIME).map_err(|e| e.into_inner()),
            false => Err(place),
        };
        if let Err(place) = left {
            self.service.report(&format!("a connection was refused for want of a thread: {e}"));
            connection::turn_away(&place, &*self.service, ROOM_TIME);
        }
    }
}

fn taken(slot: &Mutex<Option<Place>>) -> Option<Place> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn spare_descriptor() -> Option<File> {
    File::open(if cfg!(windows) { "NUL" } else { "/dev/null" }).ok()
}

/// EMFILE or ENFILE, for which std has no kind.
fn is_out_of_descriptors(e: &io::Error) -> bool {
    #[cfg(unix)]
    return matches!(e.raw_os_error(), Some(23 | 24));
    #[cfg(windows)]
    return e.raw_os_error() == Some(10024);
    #[cfg(not(any(unix, windows)))]
    return false;
}
