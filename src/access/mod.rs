//! Who may ask, from where, for what, and how often. Heads are looked at, never a body.

pub mod caller;
pub mod cidr;
mod failures;
pub mod limits;
pub mod rate;
pub mod refused;
pub mod sites;

use crate::http::{Head, Headers};
use caller::Caller;
use cidr::Cidr;
use failures::Failures;
use hmac_sha256::HMAC;
use limits::{Allowance, Barred, Gate, Inside, Patience, Standing, Used};
use rate::Rate;
use refused::Refused;
use sites::Sites;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The most addresses without a token whose rate is counted by itself; those beyond share one.
const ADDRESSES: usize = 4096;

/// What of the settings is about access.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The names of the bridge, and the pages that may use it.
    pub sites: Sites,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub proxies: Vec<Cidr>,
    /// How often each address may ask the model without a token.
    pub rate: Option<Rate>,
    /// How long a request may wait until a limit lets it in.
    pub wait: Duration,
}

/// The guard.
pub struct Access {
    /// Random for this process: a stolen hash tells nothing, and comparing hashes under it leaks
    /// nothing about the key.
    salt: [u8; 16],
    key: RwLock<Option<[u8; 32]>>,
    /// Whether other machines can reach us: nobody gets in without a key then.
    exposed: AtomicBool,
    failures: Failures,
    /// The doors of those without a token.
    gates: Mutex<HashMap<IpAddr, Arc<Gate>>>,
    settings: Settings,
}

impl Access {
    /// A guard that asks for `key`, if there is one.
    pub fn new(key: Option<&str>, settings: Settings) -> Self {
        let access = Access {
            salt: *Uuid::new_v4().as_bytes(),
            key: RwLock::default(),
            exposed: AtomicBool::new(false),
            failures: Failures::default(),
            gates: Mutex::default(),
            settings,
        };
        access.set_key(key);
        access
    }

    /// Asks for another key from now on, or for none.
    pub fn set_key(&self, key: Option<&str>) {
        let hash = key.map(|key| self.hash(key));
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = hash;
    }

    /// Whether keys are asked for.
    pub fn has_key(&self) -> bool {
        self.key().is_some()
    }

    /// What may be told of the key: some digits of its hash, others at each start of the process.
    pub fn fingerprint(&self) -> Option<String> {
        self.key().map(|hash| short(&hash))
    }

    /// Says whether other machines can reach us from now on.
    pub fn set_exposed(&self, exposed: bool) {
        self.exposed.store(exposed, Ordering::Relaxed);
    }

    fn is_exposed(&self) -> bool {
        self.exposed.load(Ordering::Relaxed)
    }

    fn key(&self) -> Option<[u8; 32]> {
        *self.key.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, key: &str) -> [u8; 32] {
        HMAC::mac(key, self.salt)
    }

    /// Lets a request pass whatever its key is: see [`Sites::check`].
    ///
    /// # Errors
    /// What is wrong with its name for us, its page or its body's type.
    pub fn check_site(&self, head: &Head) -> Result<(), Refused> {
        self.settings.sites.check(head, self.is_exposed())
    }

    /// The headers that tell browsers what pages of other origins may: see [`Sites::cors`].
    pub fn cors(&self, head: &Head, preflight: bool) -> Headers {
        self.settings.sites.cors(head, preflight)
    }

    /// The client's address: behind a proxy that is believed, the last one of `X-Forwarded-For` that
    /// is not such a proxy's itself.
    pub fn address(&self, head: &Head) -> IpAddr {
        let proxies = &self.settings.proxies;
        let mut address = head.peer.to_canonical();
        if proxies.is_empty() {
            return address;
        }
        let is_proxy = |address| proxies.iter().any(|range| range.contains(address));
        let lines = head.headers.iter().rev();
        let lines = lines.filter(|(name, _)| name.eq_ignore_ascii_case("x-forwarded-for"));
        for hop in lines.flat_map(|(_, value)| value.rsplit(|byte| *byte == b',')) {
            if !is_proxy(address) {
                break;
            }
            let hop = std::str::from_utf8(hop).ok().and_then(caller::hop);
            // What stands before a hop that cannot be read may be made up.
            let Some(hop) = hop else { break };
            address = hop;
        }
        address
    }

    /// Who asks from this address.
    ///
    /// # Errors
    /// What is wrong with his key.
    pub fn identify(&self, head: &Head, address: IpAddr) -> Result<Caller, Refused> {
        let given = bearer(head).or_else(|| head.header("x-api-key"));
        let wanted = self.key();
        let is_open = wanted.is_none() && !self.is_exposed();
        let hash = given.map(|key| self.hash(key));
        if is_open {
            return Ok(Caller::Anybody(hash.map_or(0, |hash| number(&hash))));
        }
        let hash = hash.ok_or(Refused::NoKey)?;
        let now = Instant::now();
        let slowed = self.failures.is_slowed(address, now);
        if let Some(time) = slowed
            && !self.failures.was_good(address, number(&hash))
        {
            return Err(Refused::WrongKeys(time));
        }
        if wanted != Some(hash) {
            self.failures.wrong_key(address, now);
            return Err(Refused::UnknownKey);
        }
        self.failures.good_key(address, number(&hash));
        Ok(Caller::Admin)
    }

    /// Lets a request for the model in, when its caller may have one more: at once, or after a wait.
    /// `has_room` tells whether one more of this caller may wait where so many of his do.
    ///
    /// # Errors
    /// A limit, or the client has left.
    pub fn enter(
        &self,
        _caller: &Caller,
        address: IpAddr,
        has_room: &dyn Fn(usize) -> bool,
        is_gone: &mut dyn FnMut() -> bool,
    ) -> Result<Option<(Inside, Standing)>, Barred> {
        let allowance = Allowance { rate: self.settings.rate, ..Allowance::default() };
        if !allowance.is_limited() {
            return Ok(None);
        }
        let wait = self.settings.wait;
        let until = (!wait.is_zero()).then(|| Instant::now() + wait);
        let gate = self.gate_of(address);
        let mut patience = Patience { until, has_room, is_gone };
        gate.enter(&allowance, &Used::default, &mut patience).map(Some)
    }

    /// The door of an address.
    fn gate_of(&self, address: IpAddr) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = gates.contains_key(&address);
        if !is_known && gates.len() >= ADDRESSES {
            let now = Instant::now();
            gates.retain(|_, gate| Arc::strong_count(gate) > 1 || !gate.is_idle(now));
        }
        let crowd = !is_known && gates.len() >= ADDRESSES;
        let address = if crowd { IpAddr::from([0, 0, 0, 0]) } else { address };
        gates.entry(address).or_default().clone()
    }
}

/// Some digits of a hash.
fn short(hash: &[u8; 32]) -> String {
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

fn number(hash: &[u8; 32]) -> u64 {
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn bearer<'a>(head: &Head<'a>) -> Option<&'a str> {
    let (scheme, key) = head.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
