//! Tool calls as they stand in a model's text: `<tool_call>{"name":…,"arguments":{…}}</tool_call>`.
//! Where they begin, and what they say, mended where models usually err.

use serde_json::Value;

/// What begins a call.
pub const OPEN: &str = "<tool_call>";
/// What ends it.
pub const CLOSE: &str = "</tool_call>";

/// How far around a call blanks and code fences are taken for a part of it, in bytes. A text is read
/// again with each of its pieces; a limit keeps a megabyte of blanks from being read a million times.
const NEAR: usize = 256;

/// A call as it was written: the tool's name and the arguments, not checked yet.
pub type Written = Result<(String, Value), String>;

/// From where on `text` may still turn out to be markup; what stands before can be shown. With
/// `is_start` the text begins the answer, where a bare JSON object may be a call, too.
pub fn safe_end(text: &str, is_start: bool) -> usize {
    if is_start && may_be_bare(text) {
        return 0;
    }
    match text.find(OPEN) {
        Some(at) => before(text, at),
        None => {
            let part = (1..OPEN.len()).rev().find(|length| text.ends_with(&OPEN[..*length]));
            before(text, text.len() - part.unwrap_or(0))
        }
    }
}

/// The end of what stands before `at`, without the blanks and the opening code fence in between.
fn before(text: &str, at: usize) -> usize {
    let from = text.floor_char_boundary(at.saturating_sub(NEAR));
    from + before_end(&text[from..at])
}

fn before_end(text: &str) -> usize {
    let trimmed = text.trim_end();
    let fenced = trimmed.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let open = fenced.trim_end_matches('`');
    match fenced.len() - open.len() {
        // One or two may become three.
        1..=3 if trimmed.len() == fenced.len() || fenced.len() - open.len() == 3 => {
            open.trim_end().len()
        }
        _ => trimmed.len(),
    }
}

/// Whether the text, so far, could be a bare call: a JSON object, perhaps in a code fence.
fn may_be_bare(text: &str) -> bool {
    let near = &text[..text.floor_char_boundary(NEAR)];
    let is_all = near.len() == text.len();
    let text = near.trim_start();
    if text.is_empty() {
        return false;
    }
    if "```".starts_with(text) {
        return true;
    }
    let inner = match text.strip_prefix("```") {
        Some(fenced) => {
            let language = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let inner = fenced.trim_start_matches(language).trim_start();
            let tag = &fenced[..fenced.len() - fenced.trim_start_matches(language).len()];
            if !matches!(tag, "" | "j" | "js" | "jso" | "json" | "tool_call" | "tool_code") {
                return false;
            }
            inner
        }
        None => text,
    };
    inner.starts_with('{') || (is_all && inner.is_empty())
}

/// The text before the first call, and the calls. `is_offered` tells a bare call from other JSON.
pub fn read(text: &str, is_offered: impl Fn(&str) -> bool) -> (&str, Vec<Written>) {
    let Some(first) = text.find(OPEN) else {
        let call = object(unfenced(text)).filter(|(name, _)| is_offered(name));
        return match call {
            Some(call) => ("", vec![Ok(call)]),
            None => (text, Vec::new()),
        };
    };
    let mut calls = Vec::new();
    for piece in text[first..].split(OPEN).skip(1) {
        // A call that is not closed ends where the next begins, or the text.
        let inner = piece.split(CLOSE).next().unwrap_or_default();
        calls.push(object(unfenced(inner)).ok_or_else(|| {
            format!("this is not a JSON object with name and arguments: {}", inner.trim())
        }));
    }
    (&text[..before(text, first)], calls)
}

/// The text without a code fence around it.
pub fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(inner) = text.strip_prefix("```") else {
        return text;
    };
    let inner = inner.strip_suffix("```").unwrap_or(inner);
    let language = |c: char| c.is_ascii_alphanumeric() || c == '_';
    inner.trim_start_matches(language).trim()
}

/// A call's object under the names that models use, the arguments as an object.
fn object(text: &str) -> Option<(String, Value)> {
    let mut call = json(text)?;
    let name = call.get("name")?.as_str()?.to_owned();
    let arguments = ["arguments", "parameters", "input"];
    let arguments = arguments.into_iter().find_map(|key| call.get_mut(key).map(Value::take));
    let arguments = match arguments {
        Some(Value::String(text)) => json(&text)?,
        Some(Value::Null) | None => Value::Object(Default::default()),
        Some(arguments) => arguments,
    };
    Some((name, arguments))
}

/// JSON, with commas before a closing bracket forgiven.
pub fn json(text: &str) -> Option<Value> {
    let text = text.trim();
    serde_json::from_str(text).ok().or_else(|| serde_json::from_str(&without_commas(text)).ok())
}

/// The text without commas that stand, outside of strings, before `}` or `]`.
fn without_commas(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_string = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else {
            in_string = c == '"';
            let is_last = || text[at + 1..].trim_start().starts_with(['}', ']']);
            if c == ',' && is_last() {
                continue;
            }
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(text: &str) -> (String, Vec<Option<(String, Value)>>) {
        let (before, calls) = read(text, |name| name == "f");
        (before.to_owned(), calls.into_iter().map(Result::ok).collect())
    }

    #[test]
    fn calls_are_read_as_models_write_them() {
        let call = |arguments: Value| Some(("f".to_owned(), arguments));
        for (text, before, calls) in [
            ("just text", "just text", vec![]),
            (
                r#"Let me see. <tool_call>{"name":"f","arguments":{"a":1}}</tool_call>"#,
                "Let me see.",
                vec![call(json!({"a": 1}))],
            ),
            (
                "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n<tool_call>\n{\"name\":\"f\",\"arguments\":{\"b\":2}}\n</tool_call>\n",
                "",
                vec![call(json!({})), call(json!({"b": 2}))],
            ),
            (
                "Sure:\n```json\n<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":[1,],}}</tool_call>\n```",
                "Sure:",
                vec![call(json!({"a": [1]}))],
            ),
            (
                "<tool_call>```json\n{\"name\":\"f\",\"arguments\":{}}\n```</tool_call>",
                "",
                vec![call(json!({}))],
            ),
            (r#"<tool_call>{"name":"f","arguments":"{\"a\":1}"}"#, "", vec![call(json!({"a": 1}))]),
            (r#"{"name":"f","parameters":{"a":",]"}}"#, "", vec![call(json!({"a": ",]"}))]),
            ("```json\n{\"name\":\"f\",\"arguments\":{}}\n```", "", vec![call(json!({}))]),
            (r#"{"name":"Ann","arguments":{}}"#, r#"{"name":"Ann","arguments":{}}"#, vec![]),
            ("<tool_call>f(1)</tool_call>", "", vec![None]),
        ] {
            assert_eq!(found(text), (before.to_owned(), calls), "{text}");
        }
    }

    #[test]
    fn what_may_become_markup_is_held_back_and_nothing_else() {
        for (text, shown) in [
            ("plain", "plain"),
            ("a < b", "a < b"),
            ("a <tool", "a"),
            ("a <tool_call>{", "a"),
            ("a\n```json\n", "a"),
            ("a\n```json\n<tool_c", "a"),
            ("use `x", "use `x"),
            ("a `", "a"),
            ("{\"na", ""),
            ("```", ""),
            ("```json\n{", ""),
            ("```python\nprint(1)", "```python\nprint(1)"),
            ("你好 ", "你好"),
        ] {
            assert_eq!(&text[..safe_end(text, true)], shown, "{text:?}");
        }
        assert_eq!(safe_end("{\"na", false), 4);
    }
}
