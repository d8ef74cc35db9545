//! The items of an `input` as [`Message`]s. What a stored response left behind is read here too.

use super::super::Kept;
use super::super::body::{Either, Text, check_length, image_of, text_or_list};
use super::super::error::ApiError;
use crate::chat::{Message, Part, Role};
use serde::Deserialize;
use serde::de::Deserializer;
use serde_json::json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// One item, of whatever type: those that are not understood are to be named, not guessed.
#[derive(Deserialize)]
pub struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    role: Option<Text<'a>>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    call_id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    arguments: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Text<'a>>,
    #[serde(borrow)]
    output: Option<Content<'a>>,
}

#[derive(Deserialize)]
struct ContentPart<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(borrow)]
    refusal: Option<Text<'a>>,
    #[serde(borrow)]
    image_url: Option<Text<'a>>,
}

/// A text, or parts.
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<ContentPart<'a>>),
}

/// What `input` holds.
pub enum Input<'a> {
    /// What the user says.
    Text(Cow<'a, str>),
    /// The conversation.
    Items(Vec<Item<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match text_or_list(from)? {
            Either::Text(text) => Content::Text(text),
            Either::List(parts) => Content::Parts(parts),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Input<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match text_or_list(from)? {
            Either::Text(text) => Input::Text(text),
            Either::List(items) => Input::Items(items),
        })
    }
}

/// The items of a stored conversation, which was written by [`super::stream`]. They borrow nothing,
/// since the store may forget it while it is still being answered.
pub fn stored<'a>(conversation: &str) -> Option<Vec<Item<'a>>> {
    let mut json = serde_json::Deserializer::from_reader(conversation.as_bytes());
    Vec::deserialize(&mut json).ok()
}

/// Finds items by their ids in the responses that they were made for.
pub struct References<'c, 'a> {
    stored: &'c dyn Fn(&str) -> Option<Arc<Kept>>,
    /// The outputs that were looked at, by the ids of their responses; each is read once.
    read: HashMap<String, Vec<Item<'a>>>,
}

impl<'c, 'a> References<'c, 'a> {
    /// In what is stored.
    pub fn to(stored: &'c dyn Fn(&str) -> Option<Arc<Kept>>) -> Self {
        References { stored, read: HashMap::new() }
    }

    /// The item, which no second reference gets again. Its id holds that of its request, as the
    /// response's does.
    fn take(&mut self, id: &str) -> Option<Item<'a>> {
        let (request, _) = id.split_once('_')?.1.rsplit_once('_')?;
        let response = format!("resp_{request}");
        if !self.read.contains_key(&response) {
            let kept = (self.stored)(&response)?;
            // From a reader, so that nothing is borrowed, as with a stored conversation.
            let mut json = serde_json::Deserializer::from_reader(kept.response.as_slice());
            self.read.insert(response.clone(), Output::deserialize(&mut json).ok()?.output);
        }
        let items = self.read.get_mut(&response)?;
        let at = items.iter().position(|item| item.id.as_ref().is_some_and(|own| own.0 == id))?;
        Some(items.swap_remove(at))
    }
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    output: Vec<Item<'a>>,
}

/// Appends what `items` say to `messages`. Calls join the assistant's message before them, as they
/// were one reply.
///
/// # Errors
/// 400 that names the item, or the message that has more than `most` characters.
pub fn read<'a>(
    items: Vec<Item<'a>>,
    most: Option<usize>,
    references: &mut References<'_, 'a>,
    messages: &mut Vec<Message<'a>>,
) -> Result<(), ApiError> {
    for (at, mut item) in items.into_iter().enumerate() {
        let place = || format!("input[{at}]");
        if item.kind.as_ref().is_some_and(|kind| kind.0 == "item_reference") {
            let id = item.id.as_ref().map_or("", |id| id.0.as_ref());
            item = references.take(id).ok_or_else(|| {
                let said = format!(
                    "the item {id:?} is not kept here (any more): send the item itself, or see \
                     MODELTAP_RESPONSES_STORED and MODELTAP_RESPONSES_AGE"
                );
                ApiError::field(format!("{}.id", place()), said)
            })?;
        }
        let Some(message) = read_item(item, &place)? else { continue };
        check_length(&message, most, place)?;
        let is_calls = message.parts.iter().all(|part| matches!(part, Part::ToolCall { .. }));
        match messages.last_mut() {
            Some(last) if last.role == Role::Assistant && message.role == last.role && is_calls => {
                last.parts.extend(message.parts);
            }
            _ => messages.push(message),
        }
    }
    Ok(())
}

/// The message that an item is; `None` for what another model thought or did by itself.
fn read_item<'a>(
    item: Item<'a>,
    place: &dyn Fn() -> String,
) -> Result<Option<Message<'a>>, ApiError> {
    let kind = item.kind.map_or(Cow::Borrowed("message"), |kind| kind.0);
    let field = |name: &str, said: &str| ApiError::field(format!("{}.{name}", place()), said);
    let id = |id: Option<Text<'a>>| match id {
        Some(id) => Ok(id.0),
        None => Err(field("call_id", "a call and its output need the call_id that joins them")),
    };
    let message = match kind.as_ref() {
        "message" => {
            let role = match item.role.as_ref().map(|role| role.0.as_ref()) {
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                Some("system" | "developer") => Role::System,
                _ => {
                    return Err(field("role", "role must be user, assistant, system or developer"));
                }
            };
            let Some(content) = item.content else {
                return Err(field("content", "content must be a string or an array of parts"));
            };
            Message { role, name: None, parts: read_content(content, place, "content")? }
        }
        "function_call" | "custom_tool_call" => {
            let Some(name) = item.name else {
                return Err(field("name", "a call needs the name of its function"));
            };
            let arguments = match (item.arguments, item.input) {
                (Some(arguments), _) => arguments.0,
                // A custom tool takes free text, for which a call in the middle has no place.
                (None, Some(input)) => json!({"input": input.0}).to_string().into(),
                (None, None) => return Err(field("arguments", "a call needs its arguments")),
            };
            let call = Part::ToolCall { id: id(item.call_id)?, name: name.0, arguments };
            Message { role: Role::Assistant, name: None, parts: vec![call] }
        }
        "function_call_output" | "custom_tool_call_output" => {
            let Some(output) = item.output else {
                return Err(field("output", "output must be a string or an array of parts"));
            };
            let id = id(item.call_id)?;
            let content = read_content(output, place, "output")?;
            let result = Part::ToolResult { id, content, is_error: false };
            Message { role: Role::Tool, name: None, parts: vec![result] }
        }
        "reasoning" | "web_search_call" | "tool_search_call" | "tool_search_output" => {
            return Ok(None);
        }
        "additional_tools" => {
            let said = "tools in an item of type additional_tools are not supported: send them as \
                 tools. Codex does so for a model that it does not know by name, such as modeltap";
            return Err(ApiError::unsupported(place(), said));
        }
        _ => {
            let said = format!(
                "an item of type {kind:?} is not supported; use message, function_call or \
                 function_call_output"
            );
            return Err(ApiError::unsupported(place(), said));
        }
    };
    Ok(Some(message))
}

fn read_content<'a>(
    content: Content<'a>,
    place: &dyn Fn() -> String,
    name: &str,
) -> Result<Vec<Part<'a>>, ApiError> {
    let parts = match content {
        Content::Text(text) => return Ok(vec![Part::Text(text)]),
        Content::Parts(parts) => parts,
    };
    let mut read = Vec::with_capacity(parts.len());
    for (at, part) in parts.into_iter().enumerate() {
        let part = read_part(part);
        read.push(part.map_err(|said| ApiError::field(format!("{}.{name}[{at}]", place()), said))?);
    }
    Ok(read)
}

fn read_part(part: ContentPart) -> Result<Part, String> {
    match (part.kind.0.as_ref(), part.text, part.image_url, part.refusal) {
        ("input_text" | "output_text" | "text", Some(text), ..) | ("refusal", _, _, Some(text)) => {
            Ok(Part::Text(text.0))
        }
        ("input_image", _, Some(url), _) => image_of(url.0).ok_or_else(|| {
            "an image must be a data: URI in base64, such as data:image/png;base64,…; \
             this bridge fetches nothing"
                .to_owned()
        }),
        ("input_image", ..) => {
            Err("an image must be in image_url; this bridge keeps no files".into())
        }
        (kind @ ("input_text" | "output_text" | "text"), ..) => {
            Err(format!("a part of type {kind} needs a text"))
        }
        (kind, ..) => Err(format!(
            "a part of type {kind:?} is not supported; use input_text, output_text or input_image"
        )),
    }
}
