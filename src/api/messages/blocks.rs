//! What stands in a message: content blocks as [`Part`]s, and what is refused among them.
//!
//! MCP carries text and images, so a document is passed on as its text. Thinking of earlier turns is
//! dropped: only the model that signed it could read it.

use super::super::body::{Either, Text, is_image, read_json, text_or_list};
use super::super::error::ApiError;
use crate::chat::{Part, one_line};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A text, or blocks.
pub enum Content<'a> {
    /// The text.
    Text(Cow<'a, str>),
    /// The blocks.
    Blocks(Vec<Block<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match text_or_list(from)? {
            Either::Text(text) => Content::Text(text),
            Either::List(blocks) => Content::Blocks(blocks),
        })
    }
}

/// A content block of any type, with the fields of all types that are understood.
#[derive(Deserialize)]
pub struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    /// An object, but in a `search_result` a text.
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    title: Option<Text<'a>>,
    #[serde(borrow)]
    context: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_id: Option<Text<'a>>,
    #[serde(borrow)]
    tool_name: Option<Text<'a>>,
    /// A text or blocks. Each level is read by itself: a type that holds itself could be nested until
    /// the stack ends.
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    is_error: Option<bool>,
}

#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    media_type: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
}

/// Where blocks stand, which decides what they may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In instructions.
    System,
    /// In what the user says.
    User,
    /// In what the model said.
    Assistant,
    /// In the result of a tool.
    Result,
    /// In a document.
    Document,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Place::System => "system instructions",
            Place::User => "a user message",
            Place::Assistant => "an assistant message",
            Place::Result => "a tool_result",
            Place::Document => "a document",
        }
    }
}

/// The content as parts, in order.
///
/// # Errors
/// 400; its `param` begins with `field`, the content's own path.
pub fn read<'a>(
    content: Content<'a>,
    place: Place,
    field: impl Fn() -> String,
) -> Result<Vec<Part<'a>>, ApiError> {
    let blocks = match content {
        Content::Text(text) => return Ok(vec![Part::Text(text)]),
        Content::Blocks(blocks) => blocks,
    };
    let mut parts = Vec::with_capacity(blocks.len());
    for (at, block) in blocks.into_iter().enumerate() {
        read_block(block, place, &mut parts)
            .map_err(|fault| under(fault, &format!("{}[{at}]", field())))?;
    }
    Ok(parts)
}

/// The same error, its `param` seen from further outside.
fn under(mut error: ApiError, path: &str) -> ApiError {
    error.param = Some(match error.param.as_deref() {
        None | Some("") => path.to_owned(),
        Some(inner) if inner.starts_with('[') => format!("{path}{inner}"),
        Some(inner) => format!("{path}.{inner}"),
    });
    error
}

fn read_block<'a>(
    block: Block<'a>,
    place: Place,
    parts: &mut Vec<Part<'a>>,
) -> Result<(), ApiError> {
    use Place::{Assistant, Document, Result as ToolResult, User};
    match (block.kind.0.as_ref(), place) {
        ("text", _) => parts.push(Part::Text(needed(block.text, "text")?)),
        ("image", User | Assistant | ToolResult | Document) => {
            parts.push(read_image(read_source(block.source)?)?);
        }
        ("document", User | Assistant | ToolResult) => read_document(block, parts)?,
        ("search_result", User | Assistant | ToolResult) => read_search_result(block, parts)?,
        ("tool_reference", ToolResult) => {
            parts.push(Part::Text(needed(block.tool_name, "tool_name")?));
        }
        ("thinking" | "redacted_thinking", User | Assistant) => {}
        ("tool_use", Assistant) => {
            let input = block.input.map_or("{}", RawValue::get);
            if !input.starts_with('{') {
                return Err(ApiError::field("input", "the input of a tool must be an object"));
            }
            parts.push(Part::ToolCall {
                id: needed(block.id, "id")?,
                name: needed(block.name, "name")?,
                arguments: one_line(input),
            });
        }
        ("tool_result", User) => {
            let content = read_inner(block.content)?;
            parts.push(Part::ToolResult {
                id: needed(block.tool_use_id, "tool_use_id")?,
                content: read(content, ToolResult, || "content".into())?,
                is_error: block.is_error.unwrap_or(false),
            });
        }
        (kind, place) => {
            let place = place.name();
            let said = format!("a block of type {kind:?} is not supported in {place}");
            return Err(ApiError::unsupported("", said));
        }
    }
    Ok(())
}

fn needed<'a>(text: Option<Text<'a>>, field: &str) -> Result<Cow<'a, str>, ApiError> {
    text.map(|text| text.0).ok_or_else(|| ApiError::field(field, "this text is required"))
}

/// The content of a block within a message.
fn read_inner(content: Option<&RawValue>) -> Result<Content<'_>, ApiError> {
    match content {
        None => Ok(Content::Blocks(Vec::new())),
        Some(raw) => read_json(raw.get().as_bytes()).map_err(|fault| under(fault, "content")),
    }
}

fn read_source(source: Option<&RawValue>) -> Result<Source<'_>, ApiError> {
    let source = source.map_or("null", RawValue::get);
    serde_json::from_str(source).map_err(|e| ApiError::field("source", e.to_string()))
}

fn read_image(source: Source) -> Result<Part, ApiError> {
    let refused = |said: &str| Err(ApiError::unsupported("source", said));
    match (source.kind.0.as_ref(), source.media_type, source.data) {
        ("base64", Some(mime), Some(data)) if is_image(&mime.0, &data.0) => {
            Ok(Part::Image { mime: mime.0, data: data.0 })
        }
        ("base64", ..) => Err(ApiError::field(
            "source",
            "an image needs a media_type such as image/png, and its data in base64",
        )),
        ("url", ..) => refused("this bridge fetches nothing: send the image itself, in base64"),
        ("file", ..) => refused("this bridge keeps no files: send the image itself, in base64"),
        (kind, ..) => refused(&format!(
            "an image from a source of type {kind:?} is not supported; use base64"
        )),
    }
}

fn read_document<'a>(block: Block<'a>, parts: &mut Vec<Part<'a>>) -> Result<(), ApiError> {
    let refused = |said: &str| Err(ApiError::unsupported("source", said));
    let source = read_source(block.source)?;
    parts.extend([block.title, block.context].into_iter().flatten().map(|text| Part::Text(text.0)));
    match (source.kind.0.as_ref(), source.data, source.content) {
        ("text", Some(data), _) => parts.push(Part::Text(data.0)),
        ("content", _, Some(content)) => {
            parts.extend(read(content, Place::Document, || "source.content".into())?);
        }
        ("text", ..) => return Err(ApiError::field("source.data", "this text is required")),
        ("content", ..) => {
            let said = "a text or an array of blocks is required";
            return Err(ApiError::field("source.content", said));
        }
        ("base64", ..) => {
            return refused(
                "an MCP host takes text and images, no PDF: send the document's text, or its \
                 pages as images",
            );
        }
        ("url", ..) => return refused("this bridge fetches nothing: send the document's text"),
        ("file", ..) => return refused("this bridge keeps no files: send the document's text"),
        (kind, ..) => {
            return refused(&format!(
                "a document from a source of type {kind:?} is not supported; use text or content"
            ));
        }
    }
    Ok(())
}

fn read_search_result<'a>(block: Block<'a>, parts: &mut Vec<Part<'a>>) -> Result<(), ApiError> {
    let source = block.source.map_or("null", RawValue::get);
    let source: Text = serde_json::from_str(source)
        .map_err(|_| ApiError::field("source", "this text is required"))?;
    parts.extend(block.title.map(|text| Part::Text(text.0)));
    parts.push(Part::Text(source.0));
    let content = read_inner(block.content)?;
    parts.extend(read(content, Place::Document, || "content".into())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parts(place: Place, block: &Value) -> Result<String, String> {
        let text = json!([block]).to_string();
        let content: Content = serde_json::from_str(&text).unwrap();
        match read(content, place, || "content".into()) {
            Ok(parts) => Ok(parts.iter().map(told).collect::<Vec<_>>().join("|")),
            Err(error) => Err(error.param.unwrap()),
        }
    }

    fn told(part: &Part) -> String {
        match part {
            Part::Text(text) => text.to_string(),
            Part::Image { mime, data } => format!("<{mime} {data}>"),
            Part::ToolCall { id, name, arguments } => format!("{id}:{name}{arguments}"),
            Part::ToolResult { id, content, is_error } => {
                let content: Vec<String> = content.iter().map(told).collect();
                format!("{id}={}{}", content.join("+"), if *is_error { "!" } else { "" })
            }
        }
    }

    fn png() -> Value {
        json!({"type": "base64", "media_type": "image/png", "data": "aGk="})
    }

    #[test]
    fn blocks_become_parts() {
        use Place::{Assistant, Document, System, User};
        let text = json!({"type": "text", "text": "hi", "citations": [],
            "cache_control": {"type": "ephemeral"}});
        for place in [System, User, Assistant, Place::Result, Document] {
            assert_eq!(parts(place, &text).as_deref(), Ok("hi"), "{place:?}");
        }
        for (place, block, expected) in [
            (User, json!({"type": "image", "source": png()}), "<image/png aGk=>"),
            (
                User,
                json!({"type": "document", "title": "T", "context": "C", "source":
                    {"type": "text", "media_type": "text/plain", "data": "a\nb"}}),
                "T|C|a\nb",
            ),
            (
                User,
                json!({"type": "document", "title": null, "source":
                    {"type": "content", "content": "all"}}),
                "all",
            ),
            (
                Place::Result,
                json!({"type": "document", "source": {"type": "content", "content": [
                    {"type": "text", "text": "x"}, {"type": "image", "source": png()}]}}),
                "x|<image/png aGk=>",
            ),
            (
                User,
                json!({"type": "search_result", "title": "T", "source": "https://e.org",
                    "content": [{"type": "text", "text": "x"}]}),
                "T|https://e.org|x",
            ),
            (Place::Result, json!({"type": "tool_reference", "tool_name": "t"}), "t"),
            (Assistant, json!({"type": "thinking", "thinking": "…", "signature": "s"}), ""),
            (Assistant, json!({"type": "redacted_thinking", "data": "…"}), ""),
            (
                Assistant,
                json!({"type": "tool_use", "id": "c1", "name": "t", "input": {"a": 1},
                    "caller": {"type": "direct"}}),
                "c1:t{\"a\":1}",
            ),
            (Assistant, json!({"type": "tool_use", "id": "c1", "name": "t"}), "c1:t{}"),
            (User, json!({"type": "tool_result", "tool_use_id": "c1"}), "c1="),
            (User, json!({"type": "tool_result", "tool_use_id": "c1", "content": "ok"}), "c1=ok"),
            (
                User,
                json!({"type": "tool_result", "tool_use_id": "c1", "is_error": true, "content": [
                    {"type": "text", "text": "no"}, {"type": "image", "source": png()}]}),
                "c1=no+<image/png aGk=>!",
            ),
        ] {
            assert_eq!(parts(place, &block).as_deref(), Ok(expected), "{block}");
        }
    }

    #[test]
    fn a_wrong_block_is_named_by_its_path() {
        use Place::{Assistant, Document, System, User};
        let source = |kind: &str, source: Value| json!({"type": kind, "source": source});
        let result = |block: Value| {
            json!({"type": "tool_result", "tool_use_id": "c",
            "content": [{"type": "text", "text": ""}, block]})
        };
        let pdf = json!({"type": "base64", "media_type": "application/pdf", "data": "aGk="});
        for (place, block, path) in [
            (User, json!({"type": "text"}), "content[0].text"),
            (User, json!({"type": "audio"}), "content[0]"),
            (System, source("image", png()), "content[0]"),
            (User, json!({"type": "tool_use", "id": "c", "name": "t"}), "content[0]"),
            (Assistant, json!({"type": "tool_result", "tool_use_id": "c"}), "content[0]"),
            (Assistant, json!({"type": "tool_use", "name": "t"}), "content[0].id"),
            (Assistant, json!({"type": "tool_use", "id": "c"}), "content[0].name"),
            (
                Assistant,
                json!({"type": "tool_use", "id": "c", "name": "t", "input": []}),
                "content[0].input",
            ),
            (User, json!({"type": "tool_result", "content": ""}), "content[0].tool_use_id"),
            (User, json!({"type": "image"}), "content[0].source"),
            (
                User,
                source("image", json!({"type": "url", "url": "https://e.org/a.png"})),
                "content[0].source",
            ),
            (User, source("image", json!({"type": "file", "file_id": "f"})), "content[0].source"),
            (User, source("image", pdf.clone()), "content[0].source"),
            (
                User,
                source(
                    "image",
                    json!({"type": "base64", "media_type": "image/png", "data": "a b"}),
                ),
                "content[0].source",
            ),
            (User, source("document", pdf.clone()), "content[0].source"),
            (
                User,
                source("document", json!({"type": "url", "url": "https://e.org"})),
                "content[0].source",
            ),
            (User, source("document", json!({"type": "text"})), "content[0].source.data"),
            (
                User,
                source("document", json!({"type": "content", "content": [{"type": "document"}]})),
                "content[0].source.content[0]",
            ),
            (User, json!({"type": "search_result", "source": {}}), "content[0].source"),
            (User, result(json!({"type": "audio"})), "content[0].content[1]"),
            (User, result(json!({"type": 5})), "content[0].content[1].type"),
            (User, json!({"type": "tool_result", "content": 5}), "content[0].content"),
            (User, result(source("document", pdf)), "content[0].content[1].source"),
            (Document, json!({"type": "thinking"}), "content[0]"),
        ] {
            assert_eq!(parts(place, &block), Err(path.to_owned()), "{block}");
        }
    }
}
