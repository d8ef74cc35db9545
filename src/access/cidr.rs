//! Ranges of addresses, as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a range of one.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A range of addresses of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    /// The first address of the range.
    first: IpAddr,
    /// How many of its leading bits all addresses of the range share.
    bits: u8,
}

impl Cidr {
    /// Whether `address` is in the range. An IPv4 address that comes as an IPv6 one
    /// (`::ffff:192.0.2.1`) counts as the IPv4 one that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == Some(self.first)
    }
}

/// The address with all but its leading `bits` cleared; `None` where it has not so many.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    let rest = |width: u32| width.checked_sub(u32::from(bits));
    match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(rest(32)?).unwrap_or(0);
            Some(IpAddr::V4((ip.to_bits() & mask).into()))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(rest(128)?).unwrap_or(0);
            Some(IpAddr::V6((ip.to_bits() & mask).into()))
        }
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || format!("{text:?} is no range such as 10.0.0.0/8, 2001:db8::/32 or ::1");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| allowed())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| allowed())?,
            None => width,
        };
        match masked(address, bits) {
            Some(first) if first == address => Ok(Cidr { first, bits }),
            Some(first) => {
                Err(format!("{text:?} has bits beyond its range: {first}/{bits} is meant?"))
            }
            None => Err(allowed()),
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_its_own_addresses_and_no_others() {
        for (range, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("2001:db8::/33", "2001:db8:8000::1", false),
            ("::/0", "2001:db8::1", true),
            ("::1", "::1", true),
        ] {
            let range: Cidr = range.parse().unwrap();
            assert_eq!(range.contains(address.parse().unwrap()), is_in, "{range} {address}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0.1/8", "10.0.0.0/", "10/8", "a.b.c.d/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
