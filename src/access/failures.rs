//! Wrong keys slow down whoever sends them, by address: after a few, no key is looked at for a while
//! but those that were good from there before, so that nobody is locked out by his neighbour.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// So many wrong keys are free.
const FREE: u32 = 10;
/// After these, one more in so long a time.
const EACH: Duration = Duration::from_secs(6);
/// The most addresses that are remembered for wrong keys.
const ADDRESSES: usize = 4096;
/// The most pairs of address and good key that are remembered.
const GOOD: usize = 65536;

/// What is remembered of keys.
#[derive(Default)]
pub struct Failures {
    /// When the wrong keys of an address are forgotten.
    wrong: Mutex<HashMap<IpAddr, Instant>>,
    /// Hashes of address and key; the key of the hash is random.
    good: RwLock<HashSet<u64>>,
    random: RandomState,
}

impl Failures {
    fn wrong(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A wrong key came.
    pub fn wrong_key(&self, address: IpAddr, now: Instant) {
        let mut wrong = self.wrong();
        if wrong.len() >= ADDRESSES {
            wrong.retain(|_, at| *at > now);
        }
        if wrong.len() >= ADDRESSES {
            // So many attackers at once have their own trouble; the memory is what must hold.
            wrong.clear();
        }
        let at = wrong.entry(neighbourhood(address)).or_insert(now);
        *at = (*at).max(now) + EACH;
    }

    /// For how long no new key of this address is looked at; `None` where it is.
    pub fn is_slowed(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let at = *self.wrong().get(&neighbourhood(address))?;
        let debt = at.saturating_duration_since(now);
        debt.checked_sub(EACH * (FREE - 1)).filter(|left| !left.is_zero())
    }

    /// A good key came; `key` is any hash of it.
    pub fn good_key(&self, address: IpAddr, key: u64) {
        let both = self.random.hash_one((address, key));
        if self.good.read().unwrap_or_else(PoisonError::into_inner).contains(&both) {
            return;
        }
        let mut good = self.good.write().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= GOOD {
            good.clear();
        }
        good.insert(both);
    }

    /// Whether this key was good from this address before.
    pub fn was_good(&self, address: IpAddr, key: u64) -> bool {
        let both = self.random.hash_one((address, key));
        self.good.read().unwrap_or_else(PoisonError::into_inner).contains(&both)
    }
}

/// Whose address it is: of IPv6 one customer has a whole /64.
fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(ip) => {
            let network = ip.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}
