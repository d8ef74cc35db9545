//! The ways to a model: each turns an [`Ask`] into what its host understands, and the host's
//! answer into events. The room knows no dialect of HTTP.

pub mod channel;
pub mod create_message;
pub mod fair;
pub mod fetching;
pub mod forward;
pub mod hook;
pub mod markup;
pub mod offers;
pub mod presence;
pub mod prompt;
pub mod pull;
pub mod reader;
pub mod replies;
pub mod rounds;
pub mod sampling;
pub mod schema;
pub mod states;
pub mod turns;

use crate::chat::{Ask, Failure, FailureKind};
use crate::exchange::{CallId, Tenant};
use crate::mcp::outbox::Unsent;
use crate::mcp::session::{Client, MODERN, Session};
use channel::Channel;
use fetching::Fetching;
use forward::Forward;
use offers::Offers;
use pull::Pull;
use replies::Replies;
use rounds::Rounds;
use sampling::Sampling;
use std::time::{Duration, Instant};

/// For how long a request may wait for its turn at a host that does not read.
const UNREAD_TIME: Duration = Duration::from_secs(10);

/// One completion that a way is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Errand {
    /// The call that the answer belongs to.
    pub id: CallId,
    /// Whose request it is.
    pub tenant: Tenant,
    /// When it arrived, which gives its place in a line.
    pub since: Instant,
    /// Whether it was asked for by this way before, and got no answer.
    pub again: bool,
    /// When nobody waits for it any more.
    pub deadline: Option<Instant>,
}

/// Where an errand is once a way was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// With the host, which will answer or be seen to go.
    Asked,
    /// With a host that may never answer; when that time has passed it is to be asked again.
    Leased(Instant),
    /// In the way's line, until [`crate::exchange::Note::Turn`] says to ask again.
    Line,
    /// On offer, where hosts fetch requests. If there is a time, none may be there by then.
    Offered(Option<Instant>),
}

/// A way to a model.
pub trait Way: Send + Sync {
    /// Its name, as settings and the header `x-mcp-backend` have it.
    fn name(&self) -> &'static str;
    /// Asks for one completion. Returns as soon as the host has been told, or the errand stands in
    /// line; what comes of it goes through the exchange.
    ///
    /// # Errors
    /// The host cannot be asked this, and has not been told of it.
    fn ask(&self, ask: &Ask, errand: &Errand) -> Result<Place, Failure>;
    /// The calls by which its hosts fetch what is on offer; none for a way that asks them itself.
    fn fetching(&self) -> Option<&Fetching> {
        None
    }
    /// Whether it takes tools as they are; else they are put in words, and calls read back.
    fn takes_tools(&self) -> bool {
        false
    }
    /// What of `ask` it cannot carry, by the names that clients know.
    fn ignores(&self, ask: &Ask) -> Vec<&'static str>;
    /// Forgets an errand that is not waited for any more, and tells the host so if it has it.
    fn withdraw(&self, id: CallId, reason: &str);
}

/// Which way the settings want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// What is there: a modern hook, sampling, a pull loop, channels under Claude Code; else the
    /// endpoint that is forwarded to, where one is set.
    Auto,
    /// Sampling only, of either era.
    Sampling,
    /// Claude Code's channels only.
    Channel,
    /// The pull loop only.
    Pull,
    /// The endpoint that is forwarded to, whatever the host offers.
    Forward,
}

/// All ways, and the choice between them.
pub struct Hosts {
    /// Who is at the other end of the pipe.
    pub session: Session,
    /// What waits to be fetched.
    pub offers: Offers,
    /// Answers that come by tools.
    pub replies: Replies,
    /// Sampling in the modern era.
    pub rounds: Rounds,
    /// Sampling in the legacy era.
    pub sampling: Sampling,
    /// The pull loop.
    pub pull: Pull,
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
        let wants = |backend| self.backend == Backend::Auto || self.backend == backend;
        let client = self.session.client();
        let mut closed = None;
        if wants(Backend::Sampling) && self.rounds.fetching.until().is_some() {
            return Ok(&self.rounds);
        }
        if wants(Backend::Sampling) && client.ready && client.sampling {
            match self.sampling.available() {
                Ok(()) => return Ok(&self.sampling),
                Err(failure) => closed = Some(failure),
            }
        }
        if wants(Backend::Pull) && self.pull.fetching.until().is_some() {
            return Ok(&self.pull);
        }
        if client.ready && self.listens_to_channel(&client) {
            return Ok(&self.channel);
        }
        if let Some(forward) = self.fallback() {
            return Ok(forward);
        }
        Err(closed
            .unwrap_or_else(|| Failure::new(FailureKind::Unavailable, self.why_none(&client))))
    }

    /// The way for what no host answers.
    pub fn fallback(&self) -> Option<&dyn Way> {
        let allowed = matches!(self.backend, Backend::Auto | Backend::Forward);
        self.forward.as_ref().filter(|_| allowed).map(|forward| forward as &dyn Way)
    }

    /// The way of this name.
    pub fn named(&self, name: &str) -> Option<&dyn Way> {
        let ways: [&dyn Way; 4] = [&self.rounds, &self.sampling, &self.pull, &self.channel];
        ways.into_iter().find(|way| way.name() == name)
    }

    /// Notes that a request by this way got no answer in time.
    pub fn was_silent(&self, way: &str) {
        if way == self.channel.name() {
            self.replies.missed();
        }
    }

    /// Why a request by this way may have got no answer, where that can be guessed.
    pub fn why_silent(&self, way: &str) -> Option<&'static str> {
        let channel = way == self.channel.name() && !self.replies.has_answered_event();
        let sampling = way == self.sampling.name() && self.sampling.turns.is_held();
        let guesses = [
            (
                channel,
                "this session has answered no event yet: was Claude Code started with \
                 --dangerously-load-development-channels server:modeltap? If so, ask it to call \
                 next_request",
            ),
            (sampling, "somebody may have to consent at the host first"),
        ];
        guesses.into_iter().find(|(is_it, _)| *is_it).map(|(_, why)| why)
    }

    /// Whether the settings let requests go by this way when its hosts come to fetch them.
    ///
    /// # Errors
    /// They do not; a sentence for the model that called.
    pub fn allows(&self, way: &dyn Way) -> Result<(), String> {
        let only = match (self.backend, way.name()) {
            (Backend::Sampling, "pull") => "sampling",
            (Backend::Pull, "hook") => "pull",
            (Backend::Channel, "hook") => "channel",
            (Backend::Forward, _) => "forward",
            // What an event announced may be fetched.
            _ => return Ok(()),
        };
        Err(format!("nothing can be fetched by this tool: the bridge runs with --backend {only}"))
    }

    /// Forgets what was learnt of a session, for another begins.
    pub fn begin(&self) {
        self.sampling.reset();
        self.rounds.reset();
        self.pull.fetching.reset();
        self.replies.reset();
        self.forward.iter().for_each(Forward::reset);
    }

    /// Why no way is open, and what to do.
    fn why_none(&self, client: &Client) -> &'static str {
        match self.backend {
            Backend::Forward => forward::UNSET,
            _ if !client.ready => {
                "no MCP host has connected yet: register modeltap as an MCP server in your host \
                 (see modeltap snippet --list) and let the host start it; modeltap doctor tells more"
            }
            Backend::Sampling if client.modern_sampling => CALL_HOOK,
            Backend::Sampling => {
                "the MCP host does not offer sampling: use a host that does, or --backend auto"
            }
            Backend::Auto if client.modern_sampling => CALL_HOOK,
            Backend::Pull => {
                "no model is listening: ask the MCP host's model to call modeltap's tool \
                 next_request and to go on as it says"
            }
            Backend::Channel => {
                "the MCP host speaks an era of MCP that has no channels: use --era legacy, or \
                 --backend auto"
            }
            Backend::Auto => {
                "no model is listening: ask the MCP host's model to call modeltap's tool \
                 next_request and to go on as it says (or use a host with sampling, such as VS \
                 Code with Copilot, or start Claude Code with \
                 --dangerously-load-development-channels server:modeltap)"
            }
        }
    }

    fn listens_to_channel(&self, client: &Client) -> bool {
        match self.backend {
            // Whoever shook hands in the modern era is not registered as a channel.
            _ if client.protocol == MODERN => false,
            Backend::Channel => true,
            Backend::Auto => self.is_claude_code(client),
            Backend::Sampling | Backend::Pull | Backend::Forward => false,
        }
    }

    /// Whether a host is to be offered channels. More hosts than listen to them: the offer costs
    /// nothing, and a Claude client under another name would miss it.
    pub fn offers_channel(&self, client: &Client) -> bool {
        // Who speaks the modern era is not registered as a channel.
        client.protocol != MODERN
            && (self.backend == Backend::Channel
                || self.in_claude_code
                || client.name.to_ascii_lowercase().contains("claude"))
    }

    /// The longest that a tool call may take at this host without being given up, where that is
    /// known (FACTS §2).
    pub fn longest_call(&self, client: &Client) -> Option<Duration> {
        longest_call(self.is_claude_code(client), &client.name)
    }

    /// Whether the host is Claude Code, by its own word or by the environment it gave us.
    pub fn is_claude_code(&self, client: &Client) -> bool {
        self.in_claude_code || client.name.starts_with("claude-code")
    }
}

fn longest_call(is_claude_code: bool, name: &str) -> Option<Duration> {
    let name = name.to_ascii_lowercase();
    let known = [
        // It moves a call to the background after two minutes.
        (is_claude_code, 110),
        (name.contains("claude"), 200),
        (name.contains("codex"), 270),
        (name.contains("gemini"), 540),
        (name.contains("zed") || name.contains("cursor"), 50),
    ];
    let known = known.into_iter().find(|(is_it, _)| *is_it);
    known.map(|(_, seconds)| Duration::from_secs(seconds))
}

const CALL_HOOK: &str = "no model is listening: ask the MCP host's model to call modeltap's tool \
    hook, and again each time it returns";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_as_long_as_its_host_bears() {
        for (is_claude_code, name, seconds) in [
            (true, "anything", Some(110)),
            (false, "claude-ai", Some(200)),
            (false, "codex-mcp-client", Some(270)),
            (false, "gemini-cli-mcp-client", Some(540)),
            (false, "Zed", Some(50)),
            (false, "cursor-vscode", Some(50)),
            (false, "mcp", None),
        ] {
            let found = longest_call(is_claude_code, name);
            assert_eq!(found, seconds.map(Duration::from_secs), "{name}");
        }
    }
}
