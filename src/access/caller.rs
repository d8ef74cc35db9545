//! Who asks, once that is known.

use super::tokens::Holder;
use crate::exchange::Tenant;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

/// Who has the key of the settings takes turns as this one. Tokens have larger numbers.
const ADMIN: Tenant = 1;

/// Who asks.
#[derive(Debug, Clone)]
pub enum Caller {
    /// No key is asked for. The number is the same for the same key, where one was sent; it tells
    /// callers apart who take turns, and proves nothing.
    Anybody(Tenant),
    /// Whoever has the one key of the settings; what may be told of it.
    Admin(Arc<str>),
    /// Whoever has this token.
    Token(Arc<Holder>),
}

impl Caller {
    /// Who takes turns with others for the model.
    pub fn tenant(&self) -> Tenant {
        match self {
            Caller::Anybody(tenant) => *tenant,
            Caller::Admin(_) => ADMIN,
            Caller::Token(holder) => holder.number(),
        }
    }

    /// Whose responses are kept apart from others'.
    pub fn owner(&self) -> Tenant {
        match self {
            Caller::Anybody(_) => 0,
            Caller::Admin(_) => ADMIN,
            Caller::Token(holder) => holder.number(),
        }
    }

    /// What his key is called, and what may be told of it; `None` where no key is asked for.
    pub fn label(&self) -> Option<(&str, &str)> {
        match self {
            Caller::Anybody(_) => None,
            Caller::Admin(fingerprint) => Some(("admin", fingerprint)),
            Caller::Token(holder) => Some((&holder.token.name, &holder.fingerprint)),
        }
    }

    /// Whether he may ask for this model.
    pub fn may_ask(&self, model: &str) -> bool {
        match self {
            Caller::Token(holder) => holder.token.may_ask(model),
            _ => true,
        }
    }

    /// Counts a request to the model that is over.
    pub fn count(&self, prompt: u64, completion: u64, failed: bool) {
        if let Caller::Token(holder) = self {
            holder.meter.count(prompt, completion, failed, SystemTime::now());
        }
    }
}

/// One address of `X-Forwarded-For`, with a port or without.
pub(super) fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse::<SocketAddr>().map(|address| address.ip());
    let address = address.or_else(|_| text.trim_matches(['[', ']']).parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}
