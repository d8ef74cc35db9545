//! What the page costs: the same bridge with many pages open and with none, in the same rounds, and in
//! this process what each request has to do for it while nobody looks.

use super::latency::{self, SMALL};
use super::{Bench, Stage, median_of, records};
use crate::dialect::Dialect;
use crate::load::{self, Until};
use crate::results::{Case, MODELTAP};
use crate::subject::{Subject, Way};
use modeltap::record::audit::entry::Rx;
use modeltap::record::live::Live;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What the bridge without open pages is called beside the one with them.
const WITHOUT: &str = "without pages";
/// How many are open.
const PAGES: usize = 50;
/// How often each step is timed in a round, and how many requests each of these times has.
const TIMES: usize = 200;
const REQUESTS: u32 = 50;
/// The longest that a page waits to be told how all is.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run(bench: &mut Bench) -> Result<(), String> {
    taken_down(bench);
    let known = bench.subjects.iter().find(|subject| subject.name == MODELTAP);
    let Some(with) = known.cloned() else { return Ok(()) };
    let mut without = Subject { name: WITHOUT.into(), ..with.clone() };
    without.binary = None;
    let mut stage = Stage::of(&[without, with], Way::Sampling);
    for clients in [8, 64] {
        for stream in [false, true] {
            cell(bench, &mut stage, stream, clients);
        }
    }
    Ok(())
}

/// Long enough that pages are told more than once, which is once a second under load.
const TOLD: Duration = Duration::from_millis(2500);

/// One case, all its rounds.
fn cell(bench: &mut Bench, stage: &mut Stage, stream: bool, clients: usize) {
    let dialect = Dialect::ChatCompletions;
    let case = latency::case(dialect, stream, clients, false);
    let doing = format!("page, {}", crate::results::words(&case));
    if !bench.has_time(&doing) {
        return;
    }
    let until = Until::Time((bench.options.slice * 4).max(TOLD));
    for _ in 0..bench.options.rounds {
        let (mut with, mut without) = (None, None);
        stage.round(bench, &doing, |bench, subject, running| {
            let count = if subject.name == WITHOUT { 0 } else { PAGES };
            let pages = (0..count).map(|_| Page::open(running.addr));
            let pages = pages.collect::<Result<Vec<_>, String>>()?;
            let shape = subject.shape(dialect, Way::Sampling, stream, SMALL, SMALL);
            let slice = load::slice(running.addr, &shape, clients, until)?;
            let told: usize = pages.into_iter().map(Page::close).sum();
            // Each was told how all is, and then what was new.
            if count > 0 && told < count * 2 {
                return Err(format!("{count} pages were told {told} pieces"));
            }
            let throughput = Some(slice.throughput());
            bench.results.add(("page", &case), ("throughput", "1/s"), &subject.name, throughput);
            *(if count == 0 { &mut without } else { &mut with }) = throughput;
            Ok(())
        });
        let ratio = with.zip(without).map(|(with, without): (f64, f64)| with / without);
        let metric = ("throughput over that without", "×");
        bench.results.add(("page", &case), metric, MODELTAP, ratio);
    }
}

/// An open page: a connection that is read, and a count of the pieces that come.
struct Page {
    stream: TcpStream,
    reader: JoinHandle<usize>,
}

impl Page {
    fn open(addr: SocketAddr) -> Result<Self, String> {
        let opened = || {
            let mut stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
            let mut first = [0; 16];
            stream.read_exact(&mut first)?;
            let mut reading = stream.try_clone()?;
            let read = move || {
                let (mut count, mut piece) = (0, vec![0; 64 * 1024]);
                while let Ok(1..) = reading.read(&mut piece) {
                    count += 1;
                }
                count
            };
            let reader = thread::Builder::new().stack_size(128 * 1024).spawn(read)?;
            Ok((stream, reader, first))
        };
        let (stream, reader, first) =
            opened().map_err(|e: std::io::Error| format!("a page: {e}"))?;
        match first.starts_with(b"HTTP/1.1 200") {
            true => Ok(Page { stream, reader }),
            false => Err(format!("a page: {}", String::from_utf8_lossy(&first))),
        }
    }

    /// How many pieces it was told.
    fn close(self) -> usize {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.reader.join().unwrap_or_default()
    }
}

/// What each request has to do while nobody looks.
fn taken_down(bench: &mut Bench) {
    let live = Live::new(Vec::new());
    let body = super::audit::body();
    let case: Case = vec![("taken down", "rx and tx".to_owned())];
    for _ in 0..bench.options.rounds {
        let asked: Vec<_> = (0..REQUESTS).map(|_| records::asked("alice", "gpt-4o")).collect();
        let nanos = median_of(TIMES, || {
            for asked in &asked {
                live.rx(&Rx { asked: *asked, body: body.as_bytes() });
                live.tx(&records::answered(*asked, 200, Duration::from_millis(12), &body));
            }
        });
        let each = nanos.map(|nanos| nanos / 1e3 / f64::from(REQUESTS));
        bench.results.add(("page", &case), ("taken down", "µs"), MODELTAP, each);
    }
}
