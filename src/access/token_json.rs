//! The text of the token file: JSON that people can read and mend. Reading is strict, so that a
//! limit that was mistyped never comes to mean no limit. Pure.

use super::cidr::Cidr;
use super::rate::Rate;
use super::token::{Scope, Token, check_glob, check_name, moment};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashSet;
use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::SystemTime;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
const EMPTY: &str = "an empty list says neither all nor none; leave it out for all";
const HASH_PREFIX: &str = "sha256:";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    tokens: Vec<Entry>,
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    id: String,
    hash: Text<Hash>,
    created: Text<Moment>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Text<Moment>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revoked: Option<Text<Moment>>,
    scopes: List<Scope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    models: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Text<Rate>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concurrent: Option<NonZeroUsize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requests: Option<NonZeroU64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens_per_day: Option<NonZeroU64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<List<Cidr>>,
}

/// The tokens that `text` lists.
///
/// # Errors
/// One line that names the place and what is wrong there, but no hash.
pub fn read(text: &str) -> Result<Vec<Token>, String> {
    let Versioned { version } = strict(text)?;
    if version != VERSION {
        return Err(format!(
            "version {version} is not known here, only {VERSION}; a newer modeltap may know it"
        ));
    }
    let file: File = strict(text)?;
    if let Some(at) = file.tokens.iter().position(|entry| entry.models.as_deref() == Some(&[])) {
        return Err(format!("tokens[{at}].models: {EMPTY}"));
    }
    let tokens: Vec<Token> = file.tokens.into_iter().map(Entry::token).collect();
    let (mut names, mut ids, mut hashes) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (at, token) in tokens.iter().enumerate() {
        let once = |fresh| if fresh { Ok(()) } else { Err("another token has the same".into()) };
        let said = [
            ("name", check_name(&token.name).and_then(|()| once(names.insert(&token.name)))),
            ("id", check_id(&token.id).and_then(|()| once(ids.insert(&token.id)))),
            ("hash", once(hashes.insert(token.hash))),
            ("models", token.models.iter().try_for_each(|glob| check_glob(glob))),
        ];
        for (field, said) in said {
            said.map_err(|why: String| format!("tokens[{at}].{field}: {why}"))?;
        }
    }
    Ok(tokens)
}

/// The text that lists `tokens`.
pub fn write(tokens: &[Token]) -> String {
    let tokens = tokens.iter().map(Entry::of).collect();
    // Nothing in these types can fail to become JSON.
    let text = serde_json::to_string_pretty(&File { version: VERSION, tokens });
    text.unwrap_or_default() + "\n"
}

/// Reads JSON; an error names the place.
pub(super) fn strict<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().to_string();
        let path = if path == "." { String::new() } else { format!("{path}: ") };
        without_secrets(&format!("{path}{}", e.inner()))
    })?;
    json.end().map_err(|e| e.to_string())?;
    Ok(value)
}

/// The text in one line, with each long word left out: a hash, or a token that somebody put into the
/// file.
fn without_secrets(text: &str) -> String {
    const LONGEST: usize = 24;
    let in_word = |c: char| c.is_alphanumeric() || "-_:+/=".contains(c);
    let mut kept = String::new();
    for piece in text.split_inclusive(|c| !in_word(c)) {
        let word = piece.trim_end_matches(|c| !in_word(c));
        match word.chars().count() {
            0..=LONGEST => kept.push_str(piece),
            _ => kept.extend(["…", &piece[word.len()..]]),
        }
    }
    kept.replace(char::is_control, "?")
}

impl Entry {
    fn of(token: &Token) -> Self {
        let moment = |time: SystemTime| Text(Moment(time));
        Entry {
            name: token.name.clone(),
            id: token.id.clone(),
            hash: Text(Hash(token.hash)),
            created: moment(token.created),
            expires: token.expires.map(moment),
            revoked: token.revoked.map(moment),
            scopes: List(token.scopes.clone()),
            models: Some(token.models.clone()).filter(|globs| !globs.is_empty()),
            rate: token.rate.map(Text),
            concurrent: token.concurrent.and_then(NonZeroUsize::new),
            requests: token.requests.and_then(NonZeroU64::new),
            tokens_per_day: token.tokens_per_day.and_then(NonZeroU64::new),
            from: List::of(token.from.clone()),
        }
    }

    fn token(self) -> Token {
        let moment = |text: Text<Moment>| text.0.0;
        Token {
            name: self.name,
            id: self.id,
            hash: self.hash.0.0,
            created: moment(self.created),
            expires: self.expires.map(moment),
            revoked: self.revoked.map(moment),
            scopes: self.scopes.0,
            models: self.models.unwrap_or_default(),
            rate: self.rate.map(|rate| rate.0),
            concurrent: self.concurrent.map(NonZeroUsize::get),
            requests: self.requests.map(NonZeroU64::get),
            tokens_per_day: self.tokens_per_day.map(NonZeroU64::get),
            from: self.from.map(|list| list.0).unwrap_or_default(),
        }
    }
}

/// A value that stands in JSON as the text that people write.
pub(super) struct Text<T>(pub T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Text).map_err(de::Error::custom)
    }
}

/// Several of them. None at all is no list: it could be meant as all or as none.
struct List<T>(Vec<T>);

impl<T> List<T> {
    fn of(items: Vec<T>) -> Option<Self> {
        (!items.is_empty()).then_some(List(items))
    }
}

impl<T: fmt::Display> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de, T: FromStr<Err = String>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let items = Vec::<Text<T>>::deserialize(from)?;
        match items.is_empty() {
            true => Err(de::Error::custom(EMPTY)),
            false => Ok(List(items.into_iter().map(|item| item.0).collect())),
        }
    }
}

struct Hash([u8; 32]);
pub(super) struct Moment(pub SystemTime);

impl FromStr for Hash {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(HASH_PREFIX).unwrap_or_default().as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 64 || !digits.iter().copied().all(is_hex) {
            return Err("a hash is sha256: and 64 hex digits in lower case".into());
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            *byte = pair.iter().fold(0, |byte, digit| byte << 4 | value(*digit));
        }
        Ok(Hash(hash))
    }
}

fn check_id(text: &str) -> Result<(), String> {
    match text.len() == 8 && text.bytes().all(is_hex) {
        true => Ok(()),
        false => Err("an id is 8 hex digits in lower case".into()),
    }
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn value(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 }
}

impl FromStr for Moment {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_rfc3339(text)
            .map(Moment)
            .map_err(|_| "a time is written as 2026-12-31T00:00:00Z".into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&moment(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::tests::{at, plain};
    use super::*;
    use serde_json::{Value, json};

    fn limited() -> Token {
        Token {
            expires: Some(at(1_800_000_000)),
            revoked: Some(at(1_700_000_001)),
            models: vec!["gpt-*".into()],
            scopes: vec![Scope::Chat, Scope::Metrics],
            rate: Some("60/min".parse().unwrap()),
            concurrent: Some(4),
            requests: Some(1000),
            tokens_per_day: Some(50_000),
            from: vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
            ..plain("00000002", "limited")
        }
    }

    #[test]
    fn what_is_written_reads_the_same_and_people_can_read_it() {
        let tokens = [plain("00000001", "ci"), limited()];
        let text = write(&tokens);
        assert_eq!(read(&text).unwrap(), tokens);
        for line in ["\"version\": 1", "\"rate\": \"60/min\"", "\"2027-01-15T08:00:00Z\""] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(text.matches("rate").count(), 1, "{text}");
        assert_eq!(read(&write(&[])), Ok(Vec::new()));
    }

    #[test]
    fn a_mistake_is_named_by_its_place() {
        let good: Value = serde_json::from_str(&write(&[limited()])).unwrap();
        for (field, bad, place, why) in [
            ("rat", json!("60/min"), "tokens[0]", "unknown field `rat`"),
            ("rate", json!("60/fortnight"), "tokens[0].rate", "60/min"),
            ("rate", json!(60), "tokens[0].rate", "string"),
            ("concurrent", json!(0), "tokens[0].concurrent", "nonzero"),
            ("requests", json!(-1), "tokens[0].requests", "-1"),
            ("requests", json!(1.5), "tokens[0].requests", "1.5"),
            ("tokens_per_day", json!("many"), "tokens[0].tokens_per_day", "many"),
            ("models", json!([]), "tokens[0].models", "empty"),
            ("models", json!([""]), "tokens[0].models", "gpt-*"),
            ("scopes", json!([]), "tokens[0].scopes", "empty"),
            ("scopes", json!(["chat", "all"]), "tokens[0].scopes", "metrics"),
            ("scopes", Value::Null, "tokens[0].scopes", "null"),
            ("from", json!([]), "tokens[0].from", "empty"),
            ("from", json!(["10.0.0.1/8"]), "tokens[0].from", "10.0.0.0/8"),
            ("expires", json!("tomorrow"), "tokens[0].expires", "2026-12-31T00:00:00Z"),
            ("name", json!("a b"), "tokens[0].name", "1 to 64"),
            ("id", json!("ABCDEF01"), "tokens[0].id", "8 hex digits"),
            ("hash", json!("sha256:ff"), "tokens[0].hash", "64 hex digits"),
        ] {
            let mut file = good.clone();
            file["tokens"][0][field] = bad;
            let said = read(&file.to_string()).unwrap_err();
            assert!(said.contains(place) && said.contains(why), "{field}: {said}");
        }
        let mut file = good.clone();
        file["tokens"][0].as_object_mut().unwrap().remove("scopes");
        assert!(read(&file.to_string()).unwrap_err().contains("missing field `scopes`"));
    }

    #[test]
    fn the_file_as_a_whole_must_be_known_and_whole() {
        let text = write(&[limited()]);
        for (text, why) in [
            (String::new(), "EOF"),
            ("{}".into(), "version"),
            ("{\"version\": 2, \"groups\": []}".into(), "version 2 is not known"),
            ("{\"version\": 1, \"tokens\": [], \"more\": 1}".into(), "unknown field `more`"),
            (format!("{text}{text}"), "trailing"),
            (text[..text.len() / 2].into(), "EOF"),
            (
                text.replacen("\"requests\"", "\"concurrent\": 9, \"requests\"", 1),
                "duplicate field",
            ),
        ] {
            let said = read(&text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    #[test]
    fn two_tokens_share_no_name_no_id_and_no_hash() {
        let first = plain("00000001", "ci");
        for (second, field) in [
            (Token { name: "ci".into(), ..plain("00000002", "b") }, "name"),
            (plain("00000001", "b"), "id"),
            (Token { hash: first.hash, ..plain("00000002", "b") }, "hash"),
        ] {
            let said = read(&write(&[first.clone(), second])).unwrap_err();
            assert_eq!(said, format!("tokens[1].{field}: another token has the same"));
        }
    }

    #[test]
    fn no_error_repeats_a_hash_or_a_token() {
        let mut file: Value = serde_json::from_str(&write(&[limited()])).unwrap();
        let hash = file["tokens"][0]["hash"].as_str().unwrap().to_owned();
        let secret = crate::access::token::Secret::new().unwrap();
        let shapes: [fn(&str) -> Value; 3] = [
            |text| json!(text),
            |text| json!([text]),
            |text| {
                let mut map = json!({});
                map[text] = json!(1);
                map
            },
        ];
        for text in [&hash, &hash[7..], &hash.to_uppercase(), &hash[..70], secret.text()] {
            let fields: Vec<String> =
                file["tokens"][0].as_object().unwrap().keys().cloned().collect();
            for (field, shape) in fields.iter().flat_map(|f| shapes.iter().map(move |s| (f, s))) {
                let was = std::mem::replace(&mut file["tokens"][0][field], shape(text));
                if let Err(said) = read(&file.to_string()) {
                    assert!(!said.contains(&text[8..40]), "{field}: {said}");
                }
                file["tokens"][0][field] = was;
            }
            file["tokens"][0][text] = json!(1);
            let said = read(&file.to_string()).unwrap_err();
            assert!(said.contains("unknown field") && !said.contains(&text[8..40]), "{said}");
            file["tokens"][0].as_object_mut().unwrap().remove(text);
        }
        let said = read("{\"version\": 1, \"tokens\": [], \"\\u001b[2J\\n\": 1}").unwrap_err();
        assert!(said.contains("unknown field `?[2J?`"), "{said}");
    }
}
