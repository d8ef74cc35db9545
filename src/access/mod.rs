//! Who may ask: the key, and what browsers are told of other origins. Only heads are looked at.

pub mod cidr;
pub mod rate;
pub mod shared_file;
pub mod token;
pub mod token_file;
pub mod token_json;
pub mod tokens;
pub mod usage;

use crate::exchange::Tenant;
use crate::http::{Head, Headers};
use hmac_sha256::HMAC;
use std::sync::{PoisonError, RwLock};
use uuid::Uuid;

/// The guard of the guarded routes.
pub struct Access {
    /// Random for this process: a stolen hash tells nothing, and comparing hashes under it leaks
    /// nothing about the key.
    salt: [u8; 16],
    key: RwLock<Option<[u8; 32]>>,
    cors_origin: Option<String>,
}

impl Access {
    /// A guard that asks for `key`, if there is one, and lets pages of `cors_origin` (an origin,
    /// or `*`) read the answers.
    pub fn new(key: Option<&str>, cors_origin: Option<String>) -> Self {
        let access =
            Access { salt: *Uuid::new_v4().as_bytes(), key: RwLock::default(), cors_origin };
        access.set_key(key);
        access
    }

    /// Asks for another key from now on, or for none.
    pub fn set_key(&self, key: Option<&str>) {
        let hash = key.map(|key| HMAC::mac(key, self.salt));
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = hash;
    }

    /// Whether a key is asked for.
    pub fn has_key(&self) -> bool {
        self.key.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Lets a request in.
    ///
    /// # Errors
    /// What is wrong with its key.
    pub fn check(&self, head: &Head) -> Result<(), &'static str> {
        let Some(wanted) = *self.key.read().unwrap_or_else(PoisonError::into_inner) else {
            return Ok(());
        };
        let Some(given) = bearer(head).or_else(|| head.header("x-api-key")) else {
            return Err(
                "an API key is needed: send it as \"Authorization: Bearer …\" or \"x-api-key: …\"",
            );
        };
        match HMAC::mac(given, self.salt) == wanted {
            true => Ok(()),
            false => Err("the API key is wrong: it must be the one given to modeltap as \
                          MODELTAP_API_KEY"),
        }
    }

    /// Who asks, as far as fairness goes: the same number for the same key, whether one is asked for
    /// or not.
    pub fn tenant(&self, head: &Head) -> Tenant {
        let Some(key) = bearer(head).or_else(|| head.header("x-api-key")) else { return 0 };
        let hash = HMAC::mac(key, self.salt);
        hash.iter().take(8).fold(0, |number, byte| number << 8 | Tenant::from(*byte))
    }

    /// The headers that let a page of another origin read the answer, and ask for it beforehand.
    pub fn cors(&self, preflight: bool) -> Headers {
        let Some(origin) = &self.cors_origin else { return Headers::new() };
        let mut headers: Headers =
            vec![("Access-Control-Allow-Origin", origin.clone().into()), ("Vary", "Origin".into())];
        if preflight {
            headers.push(("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS".into()));
            headers.push(("Access-Control-Allow-Headers", ALLOWED_HEADERS.into()));
            headers.push(("Access-Control-Max-Age", "600".into()));
        } else {
            headers.push(("Access-Control-Expose-Headers", EXPOSED_HEADERS.into()));
        }
        headers
    }
}

/// What browser clients of both APIs send. `*` would not cover `Authorization`.
const ALLOWED_HEADERS: &str = "Authorization, Content-Type, x-api-key, anthropic-version, \
    anthropic-beta, anthropic-dangerous-direct-browser-access, OpenAI-Organization, \
    OpenAI-Project, OpenAI-Beta, x-stainless-arch, x-stainless-lang, x-stainless-os, \
    x-stainless-package-version, x-stainless-retry-count, x-stainless-runtime, \
    x-stainless-runtime-version, x-stainless-timeout, x-stainless-helper-method";
const EXPOSED_HEADERS: &str = "x-request-id, request-id, x-mcp-backend, x-mcp-model, x-mcp-usage, \
    x-mcp-ignored, Retry-After, x-should-retry";

fn bearer<'a>(head: &Head<'a>) -> Option<&'a str> {
    let (scheme, key) = head.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
