//! Many clients at once, each asking as soon as it has its answer, for a slice of time.

use crate::client::{Client, Timing};
use crate::dialect::Shape;
use std::net::SocketAddr;
use std::sync::RwLock;
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

/// Lets `clients` ask until `until`. Connecting is no part of it; they do so one after the other, since
/// not every bridge bears many that come at once.
pub fn slice(
    addr: SocketAddr,
    shape: &Shape,
    clients: usize,
    until: Until,
) -> Result<Slice, String> {
    let warm = |_| {
        let mut client = Client::new(addr, shape);
        (0..WARM).try_for_each(|_| client.ask().map(drop))?;
        Ok(client)
    };
    let warmed = (0..clients).map(warm).collect::<Result<Vec<_>, String>>()?;
    let gate = RwLock::new(());
    let results: Vec<Seen> = thread::scope(|scope| {
        let closed = gate.write();
        let spawn = |client| {
            let work = || {
                drop(gate.read());
                asking(client, clients, until)
            };
            thread::Builder::new().stack_size(128 * 1024).spawn_scoped(scope, work)
        };
        let threads: Vec<_> = warmed.into_iter().map(spawn).collect();
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

/// One of the clients, once the gate is open.
fn asking(mut client: Client, clients: usize, until: Until) -> Seen {
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
