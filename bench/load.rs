//! Many clients at once, each asking as soon as it has its answer, for a slice of time.

use crate::client::{Client, Timing};
use crate::dialect::Shape;
use std::net::SocketAddr;
use std::sync::RwLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// What the clients saw in a slice.
#[derive(Debug, Default)]
pub struct Slice {
    /// Nanoseconds to the first byte, sorted.
    pub first_byte: Vec<u64>,
    /// Nanoseconds to the text, sorted.
    pub first_text: Vec<u64>,
    /// Nanoseconds to the end, sorted.
    pub whole: Vec<u64>,
    /// From the first request to the last answer.
    pub elapsed: Duration,
}

impl Slice {
    /// Answers a second.
    pub fn throughput(&self) -> f64 {
        self.whole.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// How long a slice is.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    /// A time, but one request a client at least.
    Time(Duration),
    /// Requests of all clients together.
    Requests(usize),
}

/// Requests of each client before the slice, which warm what is kept for a connection.
const WARM: usize = 2;

/// Lets `clients` ask until `until`. Connecting is no part of it.
pub fn slice(
    addr: SocketAddr,
    shape: &Shape,
    clients: usize,
    until: Until,
) -> Result<Slice, String> {
    let gate = RwLock::new(());
    let results: Vec<Seen> = thread::scope(|scope| {
        let closed = gate.write();
        let (warm, warming) = channel::<()>();
        let spawn = |_| {
            let (warm, gate) = (warm.clone(), &gate);
            let thread = thread::Builder::new().stack_size(128 * 1024);
            thread.spawn_scoped(scope, move || client(addr, shape, clients, until, warm, gate))
        };
        let threads: Vec<_> = (0..clients).map(spawn).collect();
        drop(warm);
        // Ends when each has let go of its end, also those that failed, or could not be started.
        let _ = warming.recv();
        drop(closed);
        let threads = threads.into_iter().map(|thread| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|_| Err("a client panicked".into())),
            Err(fault) => Err(format!("a thread for a client: {fault}")),
        });
        threads.collect()
    });
    let (mut slice, mut begun, mut ended) = (Slice::default(), None, None);
    for result in results {
        let (timings, from, to) = result?;
        begun = begun.map_or(Some(from), |begun: Instant| Some(begun.min(from)));
        ended = ended.max(Some(to));
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        slice.first_byte.extend(timings.iter().map(|t| nanos(t.first_byte)));
        slice.first_text.extend(timings.iter().map(|t| nanos(t.first_text)));
        slice.whole.extend(timings.iter().map(|t| nanos(t.whole)));
    }
    if let (Some(begun), Some(ended)) = (begun, ended) {
        slice.elapsed = ended - begun;
    }
    for times in [&mut slice.first_byte, &mut slice.first_text, &mut slice.whole] {
        times.sort_unstable();
    }
    Ok(slice)
}

type Seen = Result<(Vec<Timing>, Instant, Instant), String>;

/// One client: lets go of `warm` once it is ready, and begins when the gate opens.
fn client(
    addr: SocketAddr,
    shape: &Shape,
    clients: usize,
    until: Until,
    warm: Sender<()>,
    gate: &RwLock<()>,
) -> Seen {
    let mut client = Client::new(addr, shape);
    (0..WARM).try_for_each(|_| client.ask().map(drop))?;
    drop(warm);
    drop(gate.read());
    let mut timings = Vec::with_capacity(1024);
    let begun = Instant::now();
    loop {
        let goes_on = match until {
            Until::Time(time) => timings.is_empty() || begun.elapsed() < time,
            Until::Requests(count) => timings.len() < count.div_ceil(clients),
        };
        if !goes_on {
            return Ok((timings, begun, Instant::now()));
        }
        timings.push(client.ask()?);
    }
}
