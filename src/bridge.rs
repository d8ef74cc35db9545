//! The wiring: makes the rooms, joins them, and runs until the host goes.

use crate::access::Access;
use crate::access::tokens::Tokens;
use crate::chat::{Failure, FailureKind};
use crate::clock;
use crate::config::{Color, Config};
use crate::control::Control;
use crate::exchange::Exchange;
use crate::host::Hosts;
use crate::host::channel::Channel;
use crate::host::forward::Forward;
use crate::host::hook::Hooks;
use crate::host::offers::Offers;
use crate::host::pull::Pull;
use crate::host::replies::Replies;
use crate::host::rounds::{self, Rounds};
use crate::host::sampling::Sampling;
use crate::host::turns::Turns;
use crate::http::Server;
use crate::last_host::{Facts, LastHost};
use crate::mcp::modern::Subscriptions;
use crate::mcp::outbox::{Outbox, Report};
use crate::mcp::server;
use crate::mcp::session::Session;
use crate::page::Page;
use crate::page::feed::Feed;
use crate::record::Records;
use crate::record::audit::Audit;
use crate::record::events::Ring;
use crate::record::live::Live;
use crate::record::log::Log;
use crate::record::metrics::Metrics;
use crate::relay::Relay;
use crate::routes::Routes;
use crate::store::Store;
use crate::tools::ToolBox;
use crate::visit::Places;
use std::io::{self, BufReader, IsTerminal};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Large enough that a megabyte from the host costs few system calls.
const INPUT: usize = 64 * 1024;
/// Descriptors beyond the connections: pipes, listeners, a spare.
pub const DESCRIPTORS: u64 = 128;

/// How many descriptors so many connections want.
pub fn descriptors_for(connections: usize) -> u64 {
    connections as u64 * Server::DESCRIPTORS + DESCRIPTORS
}

/// Serves MCP on standard input and output, and HTTP, until the input ends or a signal comes.
///
/// # Errors
/// The process lacks what it cannot run without, such as threads.
pub fn serve(mut config: Config) -> io::Result<()> {
    let started = Instant::now();
    let color = match config.color {
        Color::Auto => io::stderr().is_terminal(),
        Color::Always => true,
        Color::Never => false,
    };
    let log = Log::new(config.log, color)?;
    if io::stdin().is_terminal() {
        log.report(
            "waiting for an MCP host on standard input; a host starts this program by itself. To \
             see it work here: modeltap demo. For help: modeltap --help",
        );
    }
    raise_descriptors(descriptors_for(config.limits.connections), &log);

    let report: Report = {
        let log = log.clone();
        Arc::new(move |problem| log.report(problem))
    };
    let outbox = Outbox::new(io::stdout(), report.clone())?;
    let exchange = Exchange::default();
    let session = Session::default();
    let hooks = Hooks::new(exchange.clone(), outbox.clone(), config.warm_up);
    let pacing = config.pacing();
    let last_host = LastHost::start(
        config.state,
        Facts {
            in_claude_code: config.in_claude_code,
            hindrances: config.hindrances,
            ..Facts::default()
        },
        report.clone(),
    )?;
    let turns = Turns::new(exchange.clone(), config.sampling_concurrency, config.consent_hold);
    let offers = Offers::new(exchange.clone(), config.preferences.clone());
    let replies = Replies::new(exchange.clone(), last_host.clone());
    let (lease, wait) = (config.lease, config.pull_wait);
    let hosts = Arc::new(Hosts {
        session: session.clone(),
        offers: offers.clone(),
        replies: replies.clone(),
        rounds: Rounds::new(
            exchange.clone(),
            offers.clone(),
            outbox.clone(),
            report.clone(),
            rounds::Limits { most: config.round_requests, wait, lease },
            last_host.clone(),
        ),
        sampling: Sampling::new(
            exchange.clone(),
            session.clone(),
            outbox.clone(),
            config.preferences,
            hooks,
            turns,
            last_host.clone(),
        ),
        pull: Pull::new(exchange.clone(), offers.clone(), outbox.clone(), wait, lease),
        channel: Channel::new(exchange.clone(), outbox.clone(), offers, replies, lease),
        forward: Forward::new(exchange.clone(), outbox.clone(), &config.forward),
        backend: config.backend,
        in_claude_code: config.in_claude_code,
    });
    let ring = Arc::new(Ring::new(config.events));
    let tokens = Tokens::start(config.tokens, report.clone())?;
    // Whoever listens under a name is asked for by it.
    config.access.sites.names.push(config.host.to_ascii_lowercase());
    let access = Arc::new(Access::new(config.api_key.as_deref(), tokens.clone(), config.access));
    let feed = Feed::default();
    let control = Arc::new(Control::new(
        exchange.clone(),
        feed.clone(),
        access.clone(),
        config.limits,
        config.host,
        config.port,
    ));
    let patterns = config.audit.patterns.clone();
    let live = config.dashboard.then(|| Arc::new(Live::new(patterns)));
    let audit = Audit::start(config.audit, report.clone())?;
    let relay = Arc::new(Relay {
        records: Records {
            audit: audit.clone(),
            metrics: Metrics::new(&config.names.listed),
            live: live.clone(),
        },
        access: access.clone(),
        places: Places::new(config.in_flight),
        exchange: exchange.clone(),
        hosts: hosts.clone(),
        log: log.clone(),
        ring: ring.clone(),
        timeout: Mutex::new(config.timeout),
        host_wait: config.host_wait,
        lease: config.lease,
        announce_again: config.announce_again,
        keep_alive: config.keep_alive,
        pacing,
        message_chars: config.message_chars,
        names: config.names,
        store: Store::new(config.responses_stored, config.responses_age),
        model: Mutex::default(),
    });
    let routes = Arc::new(Routes {
        relay,
        access: access.clone(),
        control: control.clone(),
        page: live.map(|live| Page { live, feed: feed.clone(), started }),
        health_verbose: config.health_verbose,
        started: clock::unix_time(),
    });
    let subscriptions = Subscriptions::default();
    let stop = Stop {
        once: Arc::default(),
        subscriptions: subscriptions.clone(),
        control: control.clone(),
        outbox: outbox.clone(),
        tokens,
        audit,
        last_host: last_host.clone(),
        log: log.clone(),
    };
    stop.on_signal(config.drain)?;
    if config.auto_start {
        match control.start(routes.clone(), None, None) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => log.report(&e.to_string()),
            started => drop(started?),
        }
        if let Some(reason) = control.status().reason {
            log.report(&format!("waiting for the port: {reason}"));
        }
    }
    let peer = ToolBox { hosts, control, routes, access, exchange, ring, last_host, started };
    let server = server::Server {
        session,
        outbox,
        peer,
        report,
        era: config.era,
        declined: AtomicBool::new(false),
        subscriptions,
    };
    if let Err(e) = server.run(BufReader::with_capacity(INPUT, io::stdin().lock())) {
        log.report(&format!("standard input cannot be read: {e}"));
    }
    stop.now("the MCP host has gone")
}

/// Why the process ends where a signal says so.
#[cfg(unix)]
const TOLD: &str = "the bridge was told to stop";

/// The end of the process: HTTP stops, everybody who waits is told, and all is written.
#[derive(Clone)]
struct Stop {
    once: Arc<Mutex<()>>,
    subscriptions: Subscriptions,
    control: Arc<Control>,
    outbox: Outbox,
    tokens: Arc<Tokens>,
    audit: Audit,
    last_host: LastHost,
    log: Log,
}

impl Stop {
    fn now(&self, why: &str) -> ! {
        // Whoever comes second waits here until the first has ended the process.
        let _once = self.once.lock();
        self.subscriptions.end(&self.outbox);
        self.outbox.flush(Duration::from_millis(500));
        // A host that is going may choke on being told of requests that it will not answer.
        self.outbox.close();
        self.control.stop(&Failure::new(FailureKind::Unavailable, why));
        self.tokens.close(Duration::from_millis(300));
        self.audit.close(Duration::from_millis(500));
        self.last_host.close(Duration::from_millis(300));
        self.log.flush(Duration::from_millis(300));
        std::process::exit(0)
    }

    #[cfg(unix)]
    fn on_signal(&self, drain: Duration) -> io::Result<()> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let stop = self.clone();
        let wait = move || {
            let mut signals = signals.forever();
            if signals.next() == Some(SIGTERM) && stop.begins_to_drain(drain) {
                // Whoever asks again does not want to wait.
                signals.next();
            }
            stop.now(TOLD);
        };
        std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
    }

    /// Lets HTTP empty for `most` at most, on a thread that then ends the process; whether there is
    /// anything to wait for.
    #[cfg(unix)]
    fn begins_to_drain(&self, most: Duration) -> bool {
        if most.is_zero() {
            return false;
        }
        if self.control.connections() > 0 {
            let most = humantime::format_duration(most);
            self.log.report(&format!(
                "told to end: what is under way has {most} (MODELTAP_DRAIN); a second SIGTERM ends \
                 at once"
            ));
        }
        let stop = self.clone();
        let drain = move || {
            stop.control.drain(most);
            stop.now(TOLD)
        };
        std::thread::Builder::new().name("drain".into()).spawn(drain).is_ok()
    }

    /// Elsewhere the end of standard input is the order to stop, and Ctrl-C ends the process.
    #[cfg(not(unix))]
    fn on_signal(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

/// Raises the soft limit of descriptors as far as is allowed and needed.
#[cfg(unix)]
fn raise_descriptors(wanted: u64, log: &Log) {
    match rlimit::increase_nofile_limit(wanted) {
        Ok(limit) if limit < wanted => log.report(&format!(
            "only {limit} descriptors are allowed here; {wanted} would serve every connection \
             that MODELTAP_MAX_CONNECTIONS allows (ulimit -n)"
        )),
        Ok(_) => {}
        Err(e) => log.report(&format!("the limit of descriptors cannot be read: {e}")),
    }
}

#[cfg(not(unix))]
fn raise_descriptors(_: u64, _: &Log) {}
