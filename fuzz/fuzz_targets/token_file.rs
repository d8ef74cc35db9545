//! Any text as the file of the tokens, and as the file of what they have used.
#![no_main]

use modeltap::access::token::{Scope, State, check_glob, check_name};
use modeltap::access::usage::Day;
use modeltap::access::{token_json, usage};
use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, UNIX_EPOCH};

/// An error is one line for people, without a hash or a token in it.
fn check_error(said: &str) {
    assert!(!said.is_empty() && !said.contains('\n'), "{said:?}");
    let mut words = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    assert!(!words.any(|word| word.len() >= 43), "a secret in {said:?}");
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match usage::read(text) {
        Err(said) => check_error(&said),
        Ok(mut used) => {
            let again = usage::read(&usage::write(used.clone())).expect("what is written is read");
            assert_eq!(again, used);
            let today = Day::of(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
            for one in used.values_mut() {
                let before = one.clone();
                one.add(&before, today);
                assert!(one.requests >= before.requests && one.on(today) >= before.on(today));
            }
        }
    }
    let tokens = match token_json::read(text) {
        Err(said) => return check_error(&said),
        Ok(tokens) => tokens,
    };
    let again = token_json::read(&token_json::write(&tokens)).expect("what is written is read");
    assert_eq!(again, tokens, "read, written and read");
    let (mut names, mut ids, mut hashes) = (HashSet::new(), HashSet::new(), HashSet::new());
    for token in &tokens {
        assert!(names.insert(&token.name) && ids.insert(&token.id) && hashes.insert(token.hash));
        assert_eq!(check_name(&token.name), Ok(()));
        // A limit is a limit, and none is never made of one that cannot be read.
        assert!(!token.scopes.is_empty());
        assert!(token.models.iter().all(|glob| check_glob(glob).is_ok()));
        assert!(token.concurrent != Some(0) && token.requests != Some(0));
        assert!(token.tokens_per_day != Some(0));
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let is_over = token.revoked.is_some() || token.expires.is_some_and(|time| time <= now);
        assert_eq!(token.state(now) == State::Good, !is_over);
        if token.models.is_empty() {
            assert!(token.may_ask("any"));
        }
        if token.scopes.contains(&Scope::Admin) {
            assert!(Scope::ALL.iter().all(|(_, scope)| token.may_use(*scope)));
        }
        assert!(!token.from.is_empty() || token.may_come_from(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        token.allowance();
        let hash: String = token.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!token.fingerprint().contains(&hash));
    }
});
