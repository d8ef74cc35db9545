//! Why a request is not let in, in words that say what to do. No key is ever among them.

use super::limits::{Barrier, Over};
use super::token::Scope;
use crate::clock;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is no key, and one is needed.
    NoKey,
    /// Nobody has this key.
    UnknownKey,
    /// The token was good until then.
    Expired(SystemTime),
    /// The token was taken back then.
    Revoked(SystemTime),
    /// So many wrong keys came from this address that no other is looked at for a while.
    WrongKeys(Duration),
    /// The token is not for this route, which has this scope.
    Route(Scope),
    /// The token is not for this model.
    Model(String),
    /// The token is not for this address.
    Address(IpAddr),
    /// The request is for a host of this name, which is none of ours.
    Host(String),
    /// The request is from a page of this origin, which is none of ours.
    Origin(String),
    /// The request is from a page of this origin, and for our own pages only.
    OtherOrigin(String),
    /// The request is from a page, and its body is not said to be JSON but this.
    MediaType(String),
    /// The caller has had what he may have, for now or for good.
    Over(Over),
}

impl Refused {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            Refused::NoKey | Refused::UnknownKey => 401,
            Refused::Expired(_) | Refused::Revoked(_) => 401,
            Refused::Route(_) | Refused::Model(_) | Refused::Address(_) => 403,
            Refused::Host(_) | Refused::Origin(_) | Refused::OtherOrigin(_) => 403,
            Refused::MediaType(_) => 415,
            Refused::WrongKeys(_) | Refused::Over(_) => 429,
        }
    }

    /// `error.type` of OpenAI's envelope, and `error.code`.
    pub fn kind_and_code(&self) -> (&'static str, &'static str) {
        const INVALID: &str = "invalid_request_error";
        const DENIED: &str = "permission_error";
        match self {
            Refused::NoKey | Refused::UnknownKey => (INVALID, "invalid_api_key"),
            Refused::Expired(_) => (INVALID, "expired_api_key"),
            Refused::Revoked(_) => (INVALID, "revoked_api_key"),
            Refused::WrongKeys(_) => ("requests", "too_many_wrong_keys"),
            Refused::Route(_) => (DENIED, "route_not_allowed"),
            Refused::Model(_) => (DENIED, "model_not_allowed"),
            Refused::Address(_) => (DENIED, "address_not_allowed"),
            Refused::Host(_) => (DENIED, "host_not_allowed"),
            Refused::Origin(_) | Refused::OtherOrigin(_) => (DENIED, "origin_not_allowed"),
            Refused::MediaType(_) => (INVALID, "unsupported_media_type"),
            Refused::Over(over) => match over.barrier {
                Barrier::Rate(_) => ("requests", "rate_limit_exceeded"),
                Barrier::Concurrent(_) => ("requests", "concurrency_limit_exceeded"),
                Barrier::Day(_) => ("tokens", "daily_limit_exceeded"),
                Barrier::Requests(_) => ("insufficient_quota", "insufficient_quota"),
            },
        }
    }

    /// When it is worth trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refused::WrongKeys(time) => Some(*time),
            Refused::Over(over) => Some(over.retry_after),
            _ => None,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: &SystemTime| humantime::format_rfc3339_seconds(clock::within(*time));
        match self {
            Refused::NoKey => f.write_str(
                "an API key is needed: send it as \"Authorization: Bearer …\" or \"x-api-key: …\"",
            ),
            Refused::UnknownKey => f.write_str(
                "the API key is wrong: it must be a token that \"modeltap token add\" made, or the \
                 one given to modeltap as MODELTAP_API_KEY",
            ),
            Refused::Expired(since) => {
                write!(f, "the token expired at {}: ask for it to be extended", time(since))
            }
            Refused::Revoked(since) => {
                write!(f, "the token was revoked at {}: ask for another", time(since))
            }
            Refused::WrongKeys(_) => f.write_str(
                "too many wrong keys came from this address; only keys that were good here before \
                 are looked at now",
            ),
            Refused::Route(scope) => {
                write!(f, "the token is not for this route: it lacks the scope {scope}")
            }
            Refused::Model(model) => write!(
                f,
                "the token is not for the model {model:?}; GET /v1/models lists what it is for"
            ),
            Refused::Address(address) => write!(f, "the token is not for the address {address}"),
            Refused::Host(host) => write!(
                f,
                "this bridge is not {host:?}: ask for it as localhost or 127.0.0.1, or list the \
                 name in MODELTAP_ALLOW_HOSTS"
            ),
            Refused::Origin(origin) => write!(
                f,
                "pages of {origin:?} may not use this bridge unless MODELTAP_CORS_ORIGIN lists them"
            ),
            Refused::OtherOrigin(origin) => {
                write!(f, "this is for the bridge's own page, and not for pages of {origin:?}")
            }
            Refused::MediaType(given) => write!(
                f,
                "a page must send its body as Content-Type: application/json, and not as {given:?}"
            ),
            Refused::Over(over) => over.fmt(f),
        }
    }
}
