//! What the bodies of all dialects have in common: how they are read, and what is refused.

use super::error::{ApiError, TOO_LONG};
use crate::chat::{Message, Part, Tool, ToolChoice, one_line};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

/// A text that borrows from the body where it can, also within an `Option`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The most answers that one request may ask for.
const MOST_CHOICES: u64 = 8;

/// OpenAI's `stop`: one text, or several.
pub struct Stop<'a>(Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for Stop<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match text_or_list::<Text, D>(from)? {
            Either::Text(text) => Stop(vec![text]),
            Either::List(texts) => Stop(texts.into_iter().map(|text| text.0).collect()),
        })
    }
}

/// The texts of OpenAI's `stop`.
///
/// # Errors
/// 400 that names `stop`.
pub fn check_stop(stop: Option<Stop>) -> Result<Vec<Cow<str>>, ApiError> {
    let stop = stop.map(|stop| stop.0).unwrap_or_default();
    if stop.len() > 4 || stop.iter().any(|text| text.is_empty()) {
        return Err(ApiError::field("stop", "stop takes up to 4 strings, none of them empty"));
    }
    Ok(stop)
}

/// How many answers OpenAI's `n` asks for, 1 to 8.
///
/// # Errors
/// 400 that names `n`.
pub fn check_choices(n: Option<u64>) -> Result<usize, ApiError> {
    match n.unwrap_or(1) {
        n @ 1..=MOST_CHOICES => Ok(n as usize),
        _ => Err(ApiError::field("n", format!("n must be from 1 to {MOST_CHOICES}"))),
    }
}

/// Reads a body.
///
/// # Errors
/// 400 with the `param` that is wrong.
pub fn read_json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    // In few moves: each takes its own place on the stack of a thread that will keep it.
    match T::deserialize(&mut json) {
        Ok(read) if json.end().is_ok() => Ok(read),
        _ => Err(explain::<T>(body)),
    }
}

/// Reads the body once more, with an eye on where it goes wrong.
#[cold]
#[inline(never)]
fn explain<'a, T: Deserialize<'a>>(body: &'a [u8]) -> ApiError {
    let mut json = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, T>(&mut json) {
        Err(e) if e.inner().is_data() => {
            let path = e.path().to_string();
            let param = if path == "." { String::new() } else { path };
            ApiError::field(param, e.into_inner().to_string())
        }
        Err(e) => ApiError::invalid_json(format!("the body is not JSON: {}", e.into_inner())),
        Ok(_) => ApiError::invalid_json("the body has more behind its end"),
    }
}

/// Reads a field that holds a whole number, or nothing. JSON Schema takes `100.0` and `1e2` for whole
/// ones too, and there are clients that know no other numbers.
///
/// # Errors
/// It is none that `T` can hold.
pub fn whole<'de, T: TryFrom<i128>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Whole<T>>::deserialize(from)?.map(|number| number.0))
}

struct Whole<T>(T);

impl<'de, T: TryFrom<i128>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(WholeNumber(PhantomData))
    }
}

struct WholeNumber<T>(PhantomData<T>);

impl<T: TryFrom<i128>> WholeNumber<T> {
    fn fit<E: Error>(self, number: i128, found: Unexpected) -> Result<Whole<T>, E> {
        T::try_from(number).map(Whole).map_err(|_| E::invalid_value(found, &self))
    }
}

impl<T: TryFrom<i128>> Visitor<'_> for WholeNumber<T> {
    type Value = Whole<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a whole number")?;
        if T::try_from(-1).is_err() { f.write_str(" from 0") } else { Ok(()) }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.fit(number.into(), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.fit(number.into(), Unexpected::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        /// Up to here every whole number has its own value.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        match number.fract() == 0.0 && number.abs() <= EXACT {
            true => self.fit(number as i128, Unexpected::Float(number)),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }
}

/// A number from 0 to `most`.
///
/// # Errors
/// 400 that names `param`.
pub fn within(value: Option<f64>, param: &str, most: f64) -> Result<Option<f64>, ApiError> {
    match value {
        Some(value) if !(0.0..=most).contains(&value) => {
            Err(ApiError::field(param, format!("{param} must be from 0 to {most}")))
        }
        value => Ok(value),
    }
}

/// Refuses a message of more than `most` characters.
///
/// # Errors
/// 400 that names `param`.
pub fn check_length(
    message: &Message,
    most: Option<usize>,
    param: impl FnOnce() -> String,
) -> Result<(), ApiError> {
    let Some(most) = most else { return Ok(()) };
    if message.texts().map(|text| text.chars().count()).sum::<usize>() > most {
        let said = format!("the message is over {most} characters, the limit of this bridge");
        return Err(ApiError { code: TOO_LONG, ..ApiError::field(param(), said) });
    }
    Ok(())
}

/// Refuses tools that have no name, or whose schema is not an object's.
///
/// # Errors
/// 400 that names the tool.
pub fn check_tools(tools: &[Tool]) -> Result<(), ApiError> {
    let mut names = HashSet::with_capacity(tools.len());
    for (at, tool) in tools.iter().enumerate() {
        let fault = |said: &str| Err(ApiError::field(format!("tools[{at}]"), said));
        if tool.name.is_empty() {
            return fault("a tool needs a name");
        }
        if !names.insert(&tool.name) {
            return fault("two tools have the same name");
        }
        if serde_json::from_str::<Map<String, Value>>(&tool.schema).is_err() {
            return fault("the schema of a tool's arguments must be an object");
        }
    }
    Ok(())
}

/// The schema of a structured answer, as JSON text on one line.
///
/// # Errors
/// 400 that names `param`: it is no schema, or holds what no parser of JSON is bound to read.
pub fn read_schema<'a>(schema: &'a RawValue, param: &str) -> Result<Cow<'a, str>, ApiError> {
    match serde_json::from_str(schema.get()) {
        Ok(Value::Object(_) | Value::Bool(_)) => Ok(one_line(schema.get())),
        Ok(_) => Err(ApiError::field(param, "a schema must be an object")),
        Err(e) => Err(ApiError::field(param, format!("the schema cannot be read: {e}"))),
    }
}

/// Refuses a choice of what is not offered.
///
/// # Errors
/// 400 that names `tool_choice`.
pub fn check_choice(choice: &ToolChoice, tools: &[Tool]) -> Result<(), ApiError> {
    let fault = |said: String| Err(ApiError::field("tool_choice", said));
    match choice {
        ToolChoice::Named(name) if !tools.iter().any(|tool| tool.name == *name) => {
            fault(format!("tool_choice names {name:?}, which is not among the tools"))
        }
        ToolChoice::Required if tools.is_empty() => {
            fault("tool_choice requires a tool, and there is none".into())
        }
        _ => Ok(()),
    }
}

/// A text or a list, read as [`TextOr`] does.
///
/// # Errors
/// It is neither.
pub fn text_or_list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Either<'de, T>, D::Error> {
    from.deserialize_any(TextOr(PhantomData))
}

/// Reads a text or a list of `T` without the buffering of an untagged enum, which would copy
/// megabytes and lose the place of an error.
struct TextOr<T>(PhantomData<T>);

/// A text, or a list of something.
pub enum Either<'a, T> {
    /// The text.
    Text(Cow<'a, str>),
    /// The list.
    List(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOr<T> {
    type Value = Either<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a string or an array")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Either::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Either::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Either::List(list))
    }
}

/// Whether `mime` is a picture's media type, and `data` base64 that is not empty.
pub fn is_image(mime: &str, data: &str) -> bool {
    let unpadded = data.trim_end_matches('=');
    mime.starts_with("image/")
        && !data.is_empty()
        && data.len().is_multiple_of(4)
        && data.len() - unpadded.len() <= 2
        && unpadded.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'))
}

/// An image from its data URI; `None` where it is none.
pub fn image_of(url: Cow<str>) -> Option<Part> {
    let rest = url.strip_prefix("data:")?;
    let comma = rest.find(',')?;
    let mime = rest[..comma].strip_suffix(";base64")?;
    let data = &rest[comma + 1..];
    if !is_image(mime, data) {
        return None;
    }
    Some(match &url {
        Cow::Borrowed(url) => {
            let at = url.len() - data.len();
            let mime_at = "data:".len();
            Part::Image { mime: url[mime_at..mime_at + mime.len()].into(), data: url[at..].into() }
        }
        Cow::Owned(_) => Part::Image { mime: mime.to_owned().into(), data: data.to_owned().into() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_must_be_readable() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for odd in [r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#, "[]", &deep] {
            let raw: &RawValue = serde_json::from_str(odd).unwrap();
            let error = read_schema(raw, "the.field").unwrap_err();
            assert_eq!((error.status, error.param.as_deref()), (400, Some("the.field")), "{odd}");
        }
        let raw: &RawValue = serde_json::from_str("{\n}").unwrap();
        assert_eq!(read_schema(raw, "").unwrap(), "{ }");
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_point() {
        fn read<T: TryFrom<i128>>(text: &str) -> Result<Option<T>, String> {
            whole(&mut serde_json::Deserializer::from_str(text)).map_err(|e| e.to_string())
        }
        for (text, number) in [
            ("null", Ok(None)),
            ("7", Ok(Some(7))),
            ("7.0", Ok(Some(7))),
            ("1e2", Ok(Some(100))),
            ("-0.0", Ok(Some(0))),
            ("18446744073709551615", Ok(Some(u64::MAX))),
            ("18446744073709551616", Err("from 0")),
            ("1e300", Err("from 0")),
            ("-1", Err("from 0")),
            ("-1.0", Err("from 0")),
            ("1.5", Err("a whole number")),
            ("\"1\"", Err("a whole number")),
            ("[1]", Err("a whole number")),
        ] {
            match number {
                Ok(number) => assert_eq!(read::<u64>(text), Ok(number), "{text}"),
                Err(words) => assert!(read::<u64>(text).unwrap_err().contains(words), "{text}"),
            }
        }
        assert_eq!(read::<i64>("-9223372036854775808"), Ok(Some(i64::MIN)));
        assert_eq!(read::<i64>("-9007199254740992.0"), Ok(Some(-(1 << 53))));
        // Read as a number that is near, which is not what was meant.
        for far in ["-9223372036854775809", "9223372036854775808", "1e16"] {
            assert!(!read::<i64>(far).unwrap_err().contains("from 0"), "{far}");
        }
    }

    #[test]
    fn many_tools_are_checked_at_once() {
        let name = |at: usize| Cow::Owned(format!("{at:0>40}"));
        let tool = |at| Tool { name: name(at), description: None, schema: "{}".into() };
        let mut tools: Vec<Tool> = (0..50_000).map(tool).collect();
        let started = std::time::Instant::now();
        assert_eq!(check_tools(&tools), Ok(()));
        // Far less than a second; half a minute where each is compared with all before it.
        assert!(started.elapsed().as_secs() < 5);
        tools.push(tool(0));
        assert!(check_tools(&tools).unwrap_err().message.contains("same name"));
    }
}
