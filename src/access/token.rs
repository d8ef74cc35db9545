//! A token: who may ask, for what, how often and until when. Pure: no files, no clocks.

use super::cidr::Cidr;
use super::limits::Allowance;
use super::rate::Rate;
use crate::{clock, names};
use hmac_sha256::Hash;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::SystemTime;

/// What each token begins with, so that people and scanners know one when they see it.
pub const PREFIX: &str = "mt_";
/// The longest name in characters.
pub const NAME_CHARS: usize = 64;

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Eight hex digits, random; stays when the secret is changed. Usage is counted by it.
    pub id: String,
    /// What people call it: see [`check_name`].
    pub name: String,
    /// SHA-256 of the whole text of the token, with its prefix.
    pub hash: [u8; 32],
    /// When it was made.
    pub created: SystemTime,
    /// From when on it is refused. By the system's clock: one that is set back makes it live longer.
    pub expires: Option<SystemTime>,
    /// When it was revoked.
    pub revoked: Option<SystemTime>,
    /// Globs of the models that it may ask for; empty: all.
    pub models: Vec<String>,
    /// What it may use.
    pub scopes: Vec<Scope>,
    /// How often it may ask.
    pub rate: Option<Rate>,
    /// How many of its requests may be at work at once, at least 1.
    pub concurrent: Option<usize>,
    /// How many requests it may send in all its life, at least 1.
    pub requests: Option<u64>,
    /// How many tokens of prompts and completions it may use in one UTC day, at least 1.
    pub tokens_per_day: Option<u64>,
    /// Where it may come from; empty: anywhere.
    pub from: Vec<Cidr>,
}

/// Whether a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Good,
    /// Its time is over, since then.
    Expired(SystemTime),
    /// It was taken back, then; this goes before its being expired.
    Revoked(SystemTime),
}

impl Token {
    /// What stands for the secret in logs and answers.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.hash)
    }

    /// Whether it is good at `now`.
    pub fn state(&self, now: SystemTime) -> State {
        match (self.revoked, self.expires) {
            (Some(when), _) => State::Revoked(when),
            (None, Some(when)) if when <= now => State::Expired(when),
            _ => State::Good,
        }
    }

    /// Whether it may use what `scope` names. An admin may use all.
    pub fn may_use(&self, scope: Scope) -> bool {
        self.scopes.iter().any(|own| *own == scope || *own == Scope::Admin)
    }

    /// Whether it may ask for this model.
    pub fn may_ask(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|glob| names::matches(glob, model))
    }

    /// How much it may ask.
    pub fn allowance(&self) -> Allowance {
        let Token { rate, concurrent, requests, tokens_per_day, .. } = *self;
        Allowance { rate, concurrent, requests, tokens_per_day }
    }

    /// Whether it may come from this address.
    pub fn may_come_from(&self, address: IpAddr) -> bool {
        self.from.is_empty() || self.from.iter().any(|range| range.contains(address))
    }
}

/// A group of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Chat completions, and the legacy ones.
    Chat,
    /// Anthropic's messages, and counting their tokens.
    Messages,
    /// Responses.
    Responses,
    /// The lists of models.
    Models,
    /// Figures about the bridge.
    Metrics,
    /// All of the above, and what else only the owner of the bridge may do.
    Admin,
}

impl Scope {
    /// Each with its name, in the order in which people read them.
    pub const ALL: [(&'static str, Scope); 6] = [
        ("chat", Scope::Chat),
        ("messages", Scope::Messages),
        ("responses", Scope::Responses),
        ("models", Scope::Models),
        ("metrics", Scope::Metrics),
        ("admin", Scope::Admin),
    ];
    /// What a token gets when nothing is said of its routes.
    pub const USUAL: [Scope; 4] = [Scope::Chat, Scope::Messages, Scope::Responses, Scope::Models];
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Scope::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, scope)| *scope).ok_or_else(|| {
            let names = Scope::ALL.map(|(name, _)| name).join(", ");
            format!("{text:?} is none of {names}")
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Scope::ALL.iter().find(|(_, scope)| scope == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

/// The text of a token, which only its holder has.
pub struct Secret(String);

impl Secret {
    /// A new one of 256 random bits: `mt_` and 43 characters of base64url.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Self, getrandom::Error> {
        let mut bits = [0; 32];
        getrandom::fill(&mut bits)?;
        Ok(Secret(format!("{PREFIX}{}", base64url(&bits))))
    }

    /// The text, to be shown once.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A random id.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_id() -> Result<String, getrandom::Error> {
    Ok(format!("{:08x}", getrandom::u32()?))
}

/// What is kept of the text of a token.
pub fn hash(text: &str) -> [u8; 32] {
    Hash::hash(text.as_bytes())
}

/// The first eight hex digits of a hash.
pub fn fingerprint(hash: &[u8; 32]) -> String {
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a token may be called so: 1 to 64 of letters, digits and `-_.@`, in ASCII.
///
/// # Errors
/// What is allowed.
pub fn check_name(name: &str) -> Result<(), String> {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    match (1..=NAME_CHARS).contains(&name.len()) && name.chars().all(known) {
        true => Ok(()),
        false => Err(format!(
            "a name is 1 to {NAME_CHARS} of the letters a to z and A to Z, digits, - _ . @"
        )),
    }
}

/// Whether this can be a glob of models.
///
/// # Errors
/// What is allowed.
pub fn check_glob(glob: &str) -> Result<(), String> {
    let strange = |c: char| c.is_control() || c == ',';
    match glob.trim() == glob && !glob.is_empty() && !glob.contains(strange) {
        true => Ok(()),
        false => Err("a model is told by its name, or by a glob such as gpt-*".into()),
    }
}

/// A moment in RFC 3339. What has no such text, before 1970 or beyond the year 9999, becomes the
/// nearest that has one.
pub fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339(clock::within(time)).to_string()
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    let digit = |bits: u32| match (bits & 63) as u8 {
        n @ 0..=25 => b'A' + n,
        n @ 26..=51 => b'a' + n - 26,
        n @ 52..=61 => b'0' + n - 52,
        62 => b'-',
        _ => b'_',
    };
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let digits = [18, 12, 6, 0].map(|shift| char::from(digit(bits >> shift)));
        // One byte takes two digits, two take three, three take four.
        text.extend(digits.iter().take(group.len() + 1));
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    /// A token without limits, whose secret is its name.
    pub fn plain(id: &str, name: &str) -> Token {
        Token {
            id: id.into(),
            name: name.into(),
            hash: hash(name),
            created: at(1_700_000_000),
            expires: None,
            revoked: None,
            models: Vec::new(),
            scopes: Scope::USUAL.to_vec(),
            rate: None,
            concurrent: None,
            requests: None,
            tokens_per_day: None,
            from: Vec::new(),
        }
    }

    /// So many seconds since 1970.
    pub fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn secrets_are_long_random_and_not_shown_by_accident() {
        let (one, other) = (Secret::new().unwrap(), Secret::new().unwrap());
        assert_ne!(one.text(), other.text());
        let digits = one.text().strip_prefix("mt_").unwrap();
        assert_eq!(digits.len(), 43);
        assert!(digits.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert_eq!(format!("{one:?}"), "Secret");
        assert_eq!(new_id().unwrap().len(), 8);
    }

    #[test]
    fn base64url_is_as_in_rfc_4648() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (&[0xfb, 0xff, 0xfe], "-__-"),
        ] {
            assert_eq!(base64url(bytes), text);
        }
    }

    #[test]
    fn hashes_are_sha256_and_fingerprints_their_beginning() {
        // FIPS 180-2, appendix B.1.
        let hash = hash("abc");
        assert_eq!((fingerprint(&hash).as_str(), hash[31]), ("ba7816bf", 0xad));
    }

    #[test]
    fn a_token_is_good_until_it_expires_or_is_revoked() {
        let mut token = plain("00000001", "ci");
        assert_eq!(token.state(at(1 << 40)), State::Good);
        token.expires = Some(at(10));
        assert_eq!(token.state(at(9)), State::Good);
        assert_eq!(token.state(at(10)), State::Expired(at(10)));
        token.revoked = Some(at(20));
        assert_eq!(token.state(at(9)), State::Revoked(at(20)));
    }

    #[test]
    fn what_a_token_may() {
        let mut token = plain("00000001", "ci");
        assert!(token.may_use(Scope::Chat) && !token.may_use(Scope::Metrics));
        token.scopes = vec![Scope::Admin];
        assert!(token.may_use(Scope::Chat) && token.may_use(Scope::Metrics));
        assert!(token.may_ask("any"));
        token.models = vec!["gpt-*".into(), "o3".into()];
        assert!(token.may_ask("gpt-5") && token.may_ask("o3") && !token.may_ask("o3-mini"));
        let (near, far) = ("10.1.2.3".parse().unwrap(), "192.0.2.1".parse().unwrap());
        assert!(token.may_come_from(far));
        token.from = vec!["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        assert!(token.may_come_from(near) && !token.may_come_from(far));
    }

    #[test]
    fn names_and_globs_are_plain() {
        for name in ["a", "ci-1", "anna@example.org", "x_y.z", &"n".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "a b", "ä", "a/b", "a\n", "-\x1b[2J", &"n".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for (glob, good) in [("*", true), ("a b", true), ("", false), (" a", false), ("a\n", false)]
        {
            assert_eq!(check_glob(glob).is_ok(), good, "{glob:?}");
        }
    }

    #[test]
    fn scopes_have_names_and_moments_always_a_text() {
        for (name, scope) in Scope::ALL {
            assert_eq!((name.parse(), scope.to_string().as_str()), (Ok(scope), name));
        }
        assert!("Chat".parse::<Scope>().unwrap_err().contains("responses"));
        assert_eq!(moment(at(0) - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
        assert_eq!(moment(at(1 << 50)), "9999-12-31T23:59:59Z");
    }
}
