//! How tokens are shown: the table, all of one, and JSON. Never a hash, only its fingerprint. Pure.

use crate::access::token::{State, Token, moment};
use crate::access::usage::{Day, Usage, Usages};
use serde_json::{Value, json};
use std::fmt::{Display, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

const HEAD: [&str; 6] = ["NAME", "ID/FINGERPRINT", "STATE", "ROUTES", "LIMITS", "USED"];

/// All tokens, a line each.
pub fn table(tokens: &[Token], usage: &Usages, now: SystemTime) -> String {
    let none = Usage::default();
    let mut rows = vec![HEAD.map(str::to_owned)];
    rows.extend(tokens.iter().map(|token| {
        let usage = usage.get(&token.id).unwrap_or(&none);
        [
            token.name.clone(),
            format!("{}/{}", token.id, token.fingerprint()),
            state(token, now),
            list(&token.scopes, ","),
            limits(token),
            used(usage),
        ]
    }));
    let widths: [usize; HEAD.len()] = std::array::from_fn(|column| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a String cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.extend([line.trim_end(), "\n"]);
    }
    text
}

/// All that is known of one.
pub fn all(token: &Token, usage: &Usage, now: SystemTime) -> String {
    let of = |used: u64, most: Option<u64>| match most {
        Some(most) => format!("{used} of {most}"),
        None => format!("{used}"),
    };
    let or = |text: String, none: &str| if text.is_empty() { none.to_owned() } else { text };
    let time = |time: Option<SystemTime>| time.map_or("never".into(), moment);
    let rows = [
        ("name", token.name.clone()),
        ("id", token.id.clone()),
        ("fingerprint", token.fingerprint()),
        ("state", state(token, now)),
        ("created", moment(token.created)),
        ("expires", time(token.expires)),
        ("revoked", time(token.revoked)),
        ("routes", list(&token.scopes, ", ")),
        ("models", or(token.models.join(", "), "all")),
        ("from", or(list(&token.from, ", "), "anywhere")),
        ("rate", token.rate.map_or("no limit".into(), |rate| rate.to_string())),
        ("concurrent", token.concurrent.map_or("no limit".into(), |most| most.to_string())),
        ("requests", of(usage.requests, token.requests)),
        ("errors", usage.errors.to_string()),
        ("tokens", format!("{} in, {} out", usage.prompt_tokens, usage.completion_tokens)),
        ("tokens today", of(usage.on(Day::of(now)), token.tokens_per_day)),
        ("last used", time(usage.last_used)),
    ];
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:<13} {value}");
    }
    text
}

/// All that is known of one, as JSON.
pub fn json(token: &Token, usage: &Usage, now: SystemTime) -> String {
    pretty(&value(token, usage, now))
}

/// All tokens, as JSON.
pub fn list_json(path: &Path, tokens: &[Token], usage: &Usages, now: SystemTime) -> String {
    let none = Usage::default();
    let one = |token: &Token| value(token, usage.get(&token.id).unwrap_or(&none), now);
    let tokens: Vec<Value> = tokens.iter().map(one).collect();
    pretty(&json!({"file": path.display().to_string(), "tokens": tokens}))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn value(token: &Token, usage: &Usage, now: SystemTime) -> Value {
    let texts = |items: &[&dyn Display]| -> Value {
        items.iter().map(|item| Value::from(item.to_string())).collect()
    };
    let state = match token.state(now) {
        State::Good => "good",
        State::Expired(_) => "expired",
        State::Revoked(_) => "revoked",
    };
    json!({
        "name": token.name,
        "id": token.id,
        "fingerprint": token.fingerprint(),
        "state": state,
        "created": moment(token.created),
        "expires": token.expires.map(moment),
        "revoked": token.revoked.map(moment),
        "routes": texts(&token.scopes.iter().map(|scope| scope as &dyn Display).collect::<Vec<_>>()),
        "models": token.models,
        "from": texts(&token.from.iter().map(|range| range as &dyn Display).collect::<Vec<_>>()),
        "rate": token.rate.map(|rate| rate.to_string()),
        "concurrent": token.concurrent,
        "requests": token.requests,
        "tokens_per_day": token.tokens_per_day,
        "usage": {
            "requests": usage.requests,
            "errors": usage.errors,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "tokens_today": usage.on(Day::of(now)),
            "last_used": usage.last_used.map(moment),
        },
    })
}

fn state(token: &Token, now: SystemTime) -> String {
    let since = |when| about(now.duration_since(when).unwrap_or_default());
    match (token.state(now), token.expires) {
        (State::Revoked(when), _) => format!("revoked {} ago", since(when)),
        (State::Expired(when), _) => format!("expired {} ago", since(when)),
        (State::Good, None) => "good".into(),
        (State::Good, Some(when)) => {
            format!("expires in {}", about(when.duration_since(now).unwrap_or_default()))
        }
    }
}

/// A time in its largest unit, rounded down.
fn about(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}min", seconds / 60),
        seconds @ 3600..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{} days", seconds / 86400),
    }
}

fn list<T: Display>(items: &[T], separator: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

fn limits(token: &Token) -> String {
    let mut limits = Vec::new();
    limits.extend(token.rate.map(|rate| rate.to_string()));
    limits.extend(token.concurrent.map(|most| format!("{most} at once")));
    limits.extend(token.requests.map(|most| format!("{most} requests")));
    limits.extend(token.tokens_per_day.map(|most| format!("{most} tokens/day")));
    if !token.models.is_empty() {
        limits.push(format!("models {}", token.models.join(",")));
    }
    if !token.from.is_empty() {
        limits.push(format!("from {}", list(&token.from, ",")));
    }
    if limits.is_empty() { "-".into() } else { limits.join(", ") }
}

fn used(usage: &Usage) -> String {
    let tokens = usage.prompt_tokens.saturating_add(usage.completion_tokens);
    match usage.requests {
        0 => "-".into(),
        requests => format!("{requests} requests, {tokens} tokens"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::token::tests::{at, plain};

    #[test]
    fn states_are_told_in_the_largest_unit() {
        const NOW: u64 = 1_700_000_000;
        for (expires, revoked, said) in [
            (None, None, "good"),
            (Some(NOW + 59), None, "expires in 59s"),
            (Some(NOW + 3 * 3600 + 5), None, "expires in 3h"),
            (Some(NOW + 86400 * 30), None, "expires in 30 days"),
            (Some(NOW), None, "expired 0s ago"),
            (Some(NOW - 86400 * 2), None, "expired 2 days ago"),
            (Some(NOW - 1), Some(NOW - 60), "revoked 1min ago"),
        ] {
            let mut token = plain("00000001", "ci");
            (token.expires, token.revoked) = (expires.map(at), revoked.map(at));
            assert_eq!(state(&token, at(NOW)), said);
        }
    }

    #[test]
    fn the_table_is_aligned_and_holds_no_hash() {
        let mut long = plain("00000002", "a-rather-long-name");
        long.rate = Some("60/min".parse().unwrap());
        long.from = vec!["::1".parse().unwrap()];
        let used =
            Usage { requests: 2, prompt_tokens: 3, completion_tokens: 4, ..Usage::default() };
        let usage = Usages::from([("00000002".to_owned(), used)]);
        let text = table(&[plain("00000001", "ci"), long.clone()], &usage, at(1));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("NAME                ID/FINGERPRINT"), "{text}");
        assert!(lines[1].starts_with("ci                  00000001/"), "{text}");
        assert!(lines[1].ends_with("-") && lines[1].contains("chat,messages,responses,models"));
        assert!(
            lines[2].contains("60/min, from ::1/128") && lines[2].ends_with("2 requests, 7 tokens")
        );
        let hash: String = long.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        for shown in
            [text, all(&long, &Usage::default(), at(1)), json(&long, &Usage::default(), at(1))]
        {
            assert!(!shown.contains(&hash[8..16]), "{shown}");
            assert!(shown.contains(&hash[..8]), "{shown}");
        }
    }
}
