//! `GET /v1/models` and `GET /v1/models/{id}` in the shapes of both APIs.

use super::error::{ApiError, Dialect};
use crate::clock;
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

/// How many models a page of Anthropic's has, unless its client says.
const PAGE: usize = 20;
/// The most that a client may ask for.
const LARGEST_PAGE: usize = 1000;

/// OpenAI's list of `names`, with the Unix time since which they are here.
pub fn list(names: &[String], created: u64) -> Vec<u8> {
    let data: Vec<Value> =
        names.iter().map(|name| object(name, created, Dialect::OpenAi)).collect();
    text(&json!({"object": "list", "data": data}))
}

/// Anthropic's list of `names`: the page that the query's `limit`, `after_id` and `before_id` ask
/// for.
///
/// # Errors
/// 400 that names one of these.
pub fn page(names: &[String], created: u64, query: &str) -> Result<Vec<u8>, ApiError> {
    let limit = match value(query, "limit").map(|limit| limit.parse()) {
        None => PAGE,
        Some(Ok(limit)) if (1..=LARGEST_PAGE).contains(&limit) => limit,
        Some(_) => {
            return Err(ApiError::field("limit", format!("it must be from 1 to {LARGEST_PAGE}")));
        }
    };
    let place = |param: &str| match value(query, param) {
        None => Ok(None),
        Some(id) => match names.iter().position(|name| *name == id) {
            Some(place) => Ok(Some(place)),
            None => Err(ApiError::field(param, format!("the model {id:?} is not listed"))),
        },
    };
    let (from, to) = (place("after_id")?.map_or(0, |at| at + 1), place("before_id")?);
    let found = names.iter().take(to.unwrap_or(names.len())).skip(from);
    let mut found: Vec<&String> = found.collect();
    let has_more = found.len() > limit;
    match to {
        // Going backwards, the page is the end of what is left.
        Some(_) => drop(found.drain(..found.len().saturating_sub(limit))),
        None => found.truncate(limit),
    }
    let data: Vec<Value> =
        found.iter().map(|name| object(name, created, Dialect::Anthropic)).collect();
    let (first, last) = (found.first(), found.last());
    Ok(text(&json!({"data": data, "has_more": has_more, "first_id": first, "last_id": last})))
}

/// One model.
pub fn one(name: &str, created: u64, dialect: Dialect) -> Vec<u8> {
    text(&object(name, created, dialect))
}

fn object(name: &str, created: u64, dialect: Dialect) -> Value {
    match dialect {
        Dialect::OpenAi => {
            json!({"id": name, "object": "model", "created": created, "owned_by": "modeltap"})
        }
        Dialect::Anthropic => {
            let created = UNIX_EPOCH + Duration::from_secs(created.min(clock::LAST_SECOND));
            let created = humantime::format_rfc3339_seconds(created);
            json!({"type": "model", "id": name, "display_name": name, "lifecycle": "active",
                "created_at": created.to_string()})
        }
    }
}

/// The first value of `name` in a query, decoded.
fn value(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).and_then(|(_, value)| decode(value))
}

fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A percent-encoded part of a path as text; `None` where it does not decode to UTF-8.
pub fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        bytes.push(if byte == b'%' { (digit()? * 16 + digit()?) as u8 } else { byte });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{Value, decode, json, one, page};
    use crate::api::error::Dialect;

    fn names() -> Vec<String> {
        ["a", "b", "c d", "e"].map(String::from).to_vec()
    }

    #[test]
    fn pages_are_cut_in_both_directions() {
        for (query, ids, has_more) in [
            ("", "a,b,c d,e", false),
            ("limit=1000&other=1", "a,b,c d,e", false),
            ("limit=3", "a,b,c d", true),
            ("limit=4", "a,b,c d,e", false),
            ("after_id=b", "c d,e", false),
            ("after_id=a&limit=1", "b", true),
            ("after_id=e", "", false),
            ("before_id=c%20d", "a,b", false),
            ("before_id=e&limit=2", "b,c d", true),
            ("before_id=a", "", false),
            ("after_id=a&before_id=e", "b,c d", false),
            ("after_id=e&before_id=a", "", false),
        ] {
            let found: Value = serde_json::from_slice(&page(&names(), 0, query).unwrap()).unwrap();
            let list = found["data"].as_array().unwrap();
            let found_ids: Vec<&str> = list.iter().map(|m| m["id"].as_str().unwrap()).collect();
            assert_eq!(found_ids.join(","), ids, "{query}");
            assert_eq!(found["has_more"], has_more, "{query}");
            assert_eq!(found["first_id"].as_str(), found_ids.first().copied(), "{query}");
            assert_eq!(found["last_id"].as_str(), found_ids.last().copied(), "{query}");
        }
        for (query, param) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=x", "limit"),
            ("after_id=z", "after_id"),
            ("before_id=", "before_id"),
        ] {
            assert_eq!(page(&names(), 0, query).unwrap_err().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn a_model_has_each_apis_shape() {
        let shape = |dialect| -> Value {
            serde_json::from_slice(&one("m", 1_700_000_000, dialect)).unwrap()
        };
        assert_eq!(
            shape(Dialect::Anthropic),
            json!({"type": "model", "id": "m", "display_name": "m", "lifecycle": "active",
                "created_at": "2023-11-14T22:13:20Z"})
        );
        assert_eq!(
            shape(Dialect::OpenAi),
            json!({"object": "model", "id": "m", "created": 1_700_000_000, "owned_by": "modeltap"})
        );
    }

    #[test]
    fn paths_are_decoded() {
        for (encoded, decoded) in [
            ("gpt-4o", Some("gpt-4o")),
            ("a%2Fb%20c", Some("a/b c")),
            ("%e4%bd%a0", Some("你")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
        ] {
            assert_eq!(decode(encoded).as_deref(), decoded, "{encoded}");
        }
    }
}
