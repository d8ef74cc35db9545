//! What a request's check takes: its site, its address, its token and the limits of that, in this
//! process, as `Routes` does it; and the same where no key is asked for.

use super::Bench;
use crate::results::{Case, MODELTAP};
use crate::stats::percentile;
use crate::system::Scratch;
use modeltap::access::shared_file::Fault;
use modeltap::access::token::{Scope, Secret, Token, new_id};
use modeltap::access::token_file::TokenFile;
use modeltap::access::tokens::Tokens;
use modeltap::access::{Access, Settings};
use modeltap::http::Head;
use std::hint::black_box;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How many tokens the file lists.
const TOKENS: usize = 1_000;
/// A step through them that has no divisor with their number, so that each has its turn before one
/// comes again, and neighbours in memory do not follow each other.
const STEP: usize = 619;
/// The longest wait for the file, which nobody else has.
const LOCK: Duration = Duration::from_secs(10);

pub fn run(bench: &mut Bench) -> Result<(), String> {
    let scratch = Scratch::new("access")?;
    let path = scratch.file("tokens.json");
    let keys = make(path.clone())?;
    for (named, path, keys) in
        [("no tokens", None, vec![String::from("any")]), ("1000 tokens", Some(path), keys)]
    {
        let report = Arc::new(|fault: &str| eprintln!("bench: {fault}"));
        let tokens = Tokens::start(path, report).map_err(|e| format!("access: {e}"))?;
        let access = Access::new(None, tokens, Settings::default());
        let case: Case = vec![("tokens", named.to_owned())];
        let checks = if bench.options.quick { 20_000 } else { 200_000 };
        for _ in 0..bench.options.rounds {
            bench.progress(&format!("access, {named}"));
            let mut nanos = checked(&access, &keys, checks)?;
            nanos.sort_unstable();
            for (metric, share) in [("p50", 0.5), ("p95", 0.95)] {
                let micros = percentile(&nanos, share).map(|nanos| nanos as f64 / 1e3);
                bench.results.add(("access", &case), (metric, "µs"), MODELTAP, micros);
            }
        }
    }
    Ok(())
}

/// Makes the file as `modeltap token add` does; the texts of its tokens.
fn make(path: PathBuf) -> Result<Vec<String>, String> {
    let fault = |e| format!("access: {e}");
    let mut keys = Vec::new();
    let mut made = Vec::new();
    for number in 0..TOKENS {
        let secret = Secret::new().map_err(|e| fault(e.to_string()))?;
        let hash = secret.hash();
        keys.push(secret.text().to_owned());
        made.push(Token {
            id: new_id().map_err(|e| fault(e.to_string()))?,
            name: format!("token-{number}"),
            hash,
            created: SystemTime::now(),
            expires: Some(SystemTime::now() + Duration::from_secs(24 * 60 * 60)),
            revoked: None,
            models: vec!["gpt-*".into(), "modeltap".into()],
            scopes: Scope::USUAL.into(),
            // A limit that is looked at, and that nobody reaches here.
            rate: Some("1000000/s".parse().map_err(fault)?),
            concurrent: Some(4),
            requests: None,
            tokens_per_day: Some(1_000_000_000),
            from: vec!["127.0.0.0/8".parse().map_err(|e| fault(format!("{e:?}")))?],
        });
    }
    let written = TokenFile::new(path).change(LOCK, |tokens| {
        *tokens = made;
        Ok::<_, Fault>(())
    });
    written.map_err(|e| fault(e.to_string()))?;
    Ok(keys)
}

/// How many nanoseconds each of so many checks takes.
fn checked(access: &Access, keys: &[String], checks: usize) -> Result<Vec<u64>, String> {
    let bearers: Vec<String> = keys.iter().map(|key| format!("Bearer {key}")).collect();
    let mut times = Vec::with_capacity(checks);
    for number in 0..checks {
        let Some(bearer) = bearers.get(number * STEP % bearers.len()) else { continue };
        let head = head(bearer);
        let start = Instant::now();
        let inside = check(access, &head);
        let time = start.elapsed();
        drop(black_box(inside?));
        times.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(times)
}

/// A request of OpenAI's SDK.
fn head(bearer: &str) -> Head<'_> {
    let headers = [
        ("Host", "127.0.0.1:8787"),
        ("Accept-Encoding", "gzip, deflate"),
        ("Connection", "keep-alive"),
        ("Accept", "application/json"),
        ("Content-Type", "application/json"),
        ("User-Agent", "OpenAI/Python 2.0.0"),
        ("X-Stainless-Lang", "python"),
        ("X-Stainless-Package-Version", "2.0.0"),
        ("X-Stainless-OS", "Linux"),
        ("X-Stainless-Arch", "x64"),
        ("X-Stainless-Runtime", "CPython"),
        ("X-Stainless-Runtime-Version", "3.12.3"),
        ("Authorization", bearer),
        ("x-stainless-retry-count", "0"),
        ("x-stainless-read-timeout", "600"),
        ("Content-Length", "286"),
    ];
    Head {
        method: "POST",
        path: "/v1/chat/completions",
        query: "",
        headers: headers.map(|(name, value)| (name, value.as_bytes())).into(),
        peer: IpAddr::from([127, 0, 0, 1]),
    }
}

/// The whole check; what its end gives back is for the caller to drop.
fn check(access: &Access, head: &Head) -> Result<impl Sized + use<>, String> {
    access.check_site(head).map_err(|why| why.to_string())?;
    let address = access.address(head);
    let (caller, may) = access.identify(head, address, Scope::Chat);
    may.map_err(|why| why.to_string())?;
    let inside = access.enter(&caller, address, &|_| true, &mut || false);
    inside.map(|inside| (caller, inside)).map_err(|why| format!("{why:?}"))
}
