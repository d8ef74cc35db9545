//! Who may ask, from where, for what, and how often. Heads are looked at, never a body.

pub mod caller;
pub mod cidr;
mod failures;
pub mod gate;
pub mod limits;
pub mod rate;
pub mod refused;
pub mod shared_file;
pub mod sites;
pub mod token;
pub mod token_file;
pub mod token_json;
pub mod tokens;
pub mod usage;

use crate::http::{Head, Headers};
use caller::Caller;
use cidr::Cidr;
use failures::Failures;
use gate::{Barred, Gate, Inside, Patience};
use hmac_sha256::HMAC;
use limits::{Allowance, Standing};
use rate::Rate;
use refused::Refused;
use sites::Sites;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};
use token::{Scope, State};
use tokens::{Holder, Tokens};
use usage::Used;
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

/// The key of the settings.
#[derive(Clone)]
struct Key {
    hash: [u8; 32],
    fingerprint: Arc<str>,
}

/// The guard.
pub struct Access {
    /// Random for this process: a stolen hash tells nothing, and comparing hashes under it leaks
    /// nothing about the key.
    salt: [u8; 16],
    key: RwLock<Option<Key>>,
    tokens: Arc<Tokens>,
    /// Whether other machines can reach us: nobody gets in without a key then.
    exposed: AtomicBool,
    failures: Failures,
    /// The doors of those without a token.
    gates: Mutex<HashMap<IpAddr, Arc<Gate>>>,
    settings: Settings,
}

impl Access {
    /// A guard that asks for `key`, if there is one, or for one of `tokens`, if there are any.
    pub fn new(key: Option<&str>, tokens: Arc<Tokens>, settings: Settings) -> Self {
        let access = Access {
            salt: *Uuid::new_v4().as_bytes(),
            key: RwLock::default(),
            tokens,
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
        let key = key.map(|key| {
            let hash = self.hash(key);
            Key { hash, fingerprint: token::fingerprint(&hash).into() }
        });
        *self.key.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// Whether a key or token is asked for.
    pub fn asks_for_keys(&self) -> bool {
        self.key().is_some() || self.tokens.are_asked_for() || self.is_exposed()
    }

    /// Whether there is any key or token to ask for.
    pub fn has_keys(&self) -> bool {
        self.key().is_some() || self.tokens.are_asked_for()
    }

    /// What may be told of the key: some digits of its hash, others at each start of the process.
    pub fn fingerprint(&self) -> Option<Arc<str>> {
        self.key().map(|key| key.fingerprint)
    }

    /// How many tokens are listed, whatever their state.
    pub fn tokens(&self) -> usize {
        self.tokens.count()
    }

    /// Says whether other machines can reach us from now on.
    pub fn set_exposed(&self, exposed: bool) {
        self.exposed.store(exposed, Ordering::Relaxed);
    }

    fn is_exposed(&self) -> bool {
        self.exposed.load(Ordering::Relaxed)
    }

    fn key(&self) -> Option<Key> {
        self.key.read().unwrap_or_else(PoisonError::into_inner).clone()
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

    /// Who asks from this address, as far as that is known, and whether he may ask for a route of
    /// this scope: if not, what is wrong with his key, or what his token is not for.
    pub fn identify(
        &self,
        head: &Head,
        address: IpAddr,
        scope: Scope,
    ) -> (Caller, Result<(), Refused>) {
        let given = bearer(head).or_else(|| head.header("x-api-key"));
        if !self.asks_for_keys() {
            return (Caller::Anybody(given.map_or(0, |key| number(&self.hash(key)))), Ok(()));
        }
        let nobody = Caller::Anybody(0);
        let Some(given) = given else { return (nobody, Err(Refused::NoKey)) };
        if let Some(holder) = self.tokens.find(given) {
            let key = number(&holder.token.hash);
            let may = self.recognise(address, key).and_then(|()| may(&holder, address, scope));
            if may.is_ok() {
                self.failures.good_key(address, key);
            }
            return (Caller::Token(holder), may);
        }
        let hash = self.hash(given);
        if let Err(slowed) = self.recognise(address, number(&hash)) {
            return (nobody, Err(slowed));
        }
        match self.key().filter(|key| key.hash == hash) {
            Some(key) => {
                self.failures.good_key(address, number(&hash));
                (Caller::Admin(key.fingerprint), Ok(()))
            }
            None => {
                self.failures.wrong_key(address, Instant::now());
                (nobody, Err(Refused::UnknownKey))
            }
        }
    }

    /// Refuses a key that was not good here before, be it good or not, after too many wrong ones.
    fn recognise(&self, address: IpAddr, key: u64) -> Result<(), Refused> {
        match self.failures.is_slowed(address, Instant::now()) {
            Some(time) if !self.failures.was_good(address, key) => Err(Refused::WrongKeys(time)),
            _ => Ok(()),
        }
    }

    /// Lets a request for the model in, when its caller may have one more: at once, or after a wait.
    /// `has_room` tells whether one more of this caller may wait where so many of his do. `None`:
    /// nothing of him is limited.
    ///
    /// # Errors
    /// A limit, or the client has left.
    pub fn enter(
        &self,
        caller: &Caller,
        address: IpAddr,
        has_room: &dyn Fn(usize) -> bool,
        is_gone: &mut dyn FnMut() -> bool,
    ) -> Result<Option<(Inside, Standing)>, Barred> {
        let allowance = match caller {
            Caller::Token(holder) => holder.token.allowance(),
            _ => Allowance { rate: self.settings.rate, ..Allowance::default() },
        };
        if !allowance.is_limited() {
            return Ok(None);
        }
        let wait = self.settings.wait;
        let until = (!wait.is_zero()).then(|| Instant::now() + wait);
        let mut patience = Patience { until, has_room, is_gone };
        let entered = match caller {
            Caller::Token(holder) => {
                let used = || holder.meter.used(SystemTime::now());
                holder.meter.gate.enter(&allowance, &used, &mut patience)
            }
            _ => self.gate_of(address).enter(&allowance, &Used::default, &mut patience),
        };
        entered.map(Some)
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

/// Whether a token's holder may come from this address, for a route of this scope, now.
fn may(holder: &Holder, address: IpAddr, scope: Scope) -> Result<(), Refused> {
    let token = &holder.token;
    match token.state(SystemTime::now()) {
        State::Revoked(when) => Err(Refused::Revoked(when)),
        State::Expired(when) => Err(Refused::Expired(when)),
        State::Good if !token.may_come_from(address) => Err(Refused::Address(address)),
        State::Good if !token.may_use(scope) => Err(Refused::Route(scope)),
        State::Good => Ok(()),
    }
}

fn number(hash: &[u8; 32]) -> u64 {
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn bearer<'a>(head: &Head<'a>) -> Option<&'a str> {
    let (scheme, key) = head.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}
