//! The ways to a model: each turns an [`Ask`] into what its host understands, and the host's
//! answer into events. The room knows no dialect of HTTP.

pub mod channel;
pub mod create_message;
pub mod forward;
pub mod hook;
pub mod markup;
pub mod prompt;
pub mod reader;
pub mod sampling;
pub mod schema;

use crate::chat::{Ask, Failure, FailureKind};
use crate::exchange::CallId;
use crate::mcp::outbox::Unsent;
use crate::mcp::session::{Client, Session};
use channel::Channel;
use forward::Forward;
use sampling::Sampling;
use std::time::{Duration, Instant};

/// For how long a request may wait for its turn at a host that does not read.
const UNREAD_TIME: Duration = Duration::from_secs(10);

/// A way to a model.
pub trait Way: Send + Sync {
    /// Its name, as settings and the header `x-mcp-backend` have it.
    fn name(&self) -> &'static str;
    /// Asks for one completion under each of `ids`. Returns as soon as the host has been told;
    /// what it answers goes through the exchange.
    ///
    /// # Errors
    /// The host cannot be asked this. What it has been told of it is withdrawn, as far as that goes.
    fn ask(&self, ask: &Ask, ids: &[CallId], deadline: Option<Instant>) -> Result<(), Failure>;
    /// Whether it takes tools as they are; else they are put in words, and calls read back.
    fn takes_tools(&self) -> bool {
        false
    }
    /// What of `ask` it cannot carry, by the names that clients know.
    fn ignores(&self, ask: &Ask) -> Vec<&'static str>;
    /// Tells the host that nobody waits for these answers any more.
    fn withdraw(&self, ids: &[CallId], reason: &str);
}

/// Which way the settings want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// What the host offers: sampling, else channels under Claude Code; else the endpoint that is
    /// forwarded to, where one is set.
    Auto,
    /// Sampling only.
    Sampling,
    /// Claude Code's channels only.
    Channel,
    /// The endpoint that is forwarded to, whatever the host offers.
    Forward,
}

/// All ways, and the choice between them.
pub struct Hosts {
    /// Who is at the other end of the pipe.
    pub session: Session,
    /// MCP sampling.
    pub sampling: Sampling,
    /// Claude Code channels.
    pub channel: Channel,
    /// An endpoint elsewhere, where one is set.
    pub forward: Option<Forward>,
    /// What the settings want.
    pub backend: Backend,
    /// Whether the environment says that Claude Code started this process.
    pub in_claude_code: bool,
}

impl Hosts {
    /// The way that is open now.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub fn choose(&self) -> Result<&dyn Way, Failure> {
        match (&self.forward, self.backend) {
            (Some(forward), Backend::Forward) => Ok(forward),
            (Some(forward), Backend::Auto) => self.of_host().or(Ok(forward)),
            _ => self.of_host(),
        }
    }

    /// The way to the host's own model.
    fn of_host(&self) -> Result<&dyn Way, Failure> {
        let unavailable = |why: &str| Failure::new(FailureKind::Unavailable, why);
        let client = self.session.client();
        if !client.ready {
            return Err(unavailable(
                "no MCP host has connected yet: register modeltap as an MCP server in your host \
                 and let the host start it",
            ));
        }
        match self.backend {
            Backend::Forward => Err(unavailable(forward::UNSET)),
            Backend::Sampling if !client.sampling => Err(unavailable(
                "the MCP host does not offer sampling: use a host that does, or --backend auto",
            )),
            Backend::Auto | Backend::Sampling if client.sampling => {
                self.sampling.available()?;
                Ok(&self.sampling)
            }
            Backend::Channel => Ok(&self.channel),
            _ if self.is_claude_code(&client) => Ok(&self.channel),
            _ => Err(unavailable(
                "the MCP host offers neither sampling nor Claude Code channels: connect a host \
                 with sampling, such as VS Code with Copilot, or start Claude Code with \
                 --dangerously-load-development-channels server:modeltap",
            )),
        }
    }

    /// Whether a host is to be offered channels. More hosts than listen to them: the offer costs
    /// nothing, and a Claude client under another name would miss it.
    pub fn offers_channel(&self, client: &Client) -> bool {
        self.backend == Backend::Channel
            || self.in_claude_code
            || client.name.to_ascii_lowercase().contains("claude")
    }

    /// Whether the host is Claude Code, by its own word or by the environment it gave us.
    pub fn is_claude_code(&self, client: &Client) -> bool {
        self.in_claude_code || client.name.starts_with("claude-code")
    }
}

/// By when a line for the host must have left.
fn send_by(deadline: Option<Instant>) -> Instant {
    let soon = Instant::now() + UNREAD_TIME;
    deadline.map_or(soon, |deadline| deadline.min(soon))
}

/// What a client is told when its request could not be handed to the host.
fn unsent(why: Unsent) -> Failure {
    Failure::new(
        FailureKind::Unavailable,
        match why {
            Unsent::Stuck => "the MCP host does not read what it is sent; is it hanging?",
            Unsent::Closed => "the MCP host has gone away; restart it",
        },
    )
}
