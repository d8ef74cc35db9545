//! Who asks, once that is known.

use crate::exchange::Tenant;
use std::net::{IpAddr, SocketAddr};

/// Who asks.
#[derive(Debug, Clone)]
pub enum Caller {
    /// No key is asked for. The number is the same for the same key, where one was sent; it tells
    /// callers apart who take turns, and proves nothing.
    Anybody(Tenant),
    /// Whoever has the one key of the settings.
    Admin,
}

impl Caller {
    /// Who takes turns with others for the model.
    pub fn tenant(&self) -> Tenant {
        match self {
            Caller::Anybody(tenant) => *tenant,
            Caller::Admin => 1,
        }
    }

    /// Whose responses are kept apart from others'.
    pub fn owner(&self) -> Tenant {
        match self {
            Caller::Anybody(_) => 0,
            Caller::Admin => 1,
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
