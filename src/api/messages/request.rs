//! The body of a request as an [`Ask`], and what is wrong with it by the name of its field.

use super::super::body::{
    Text, check_choice, check_length, check_tools, read_json, read_schema, whole, within,
};
use super::super::error::ApiError;
use super::super::{Context, Parsed};
use super::answer::MessageEncoder;
use super::blocks::{self, Content, Place};
use crate::chat::{
    Ask, Format, Message, OWN_MODEL, Part, Role, Tool, ToolChoice, names_of, one_line,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use serde_json::value::RawValue;
use std::borrow::Cow;

// What is large and rare is boxed: reading a field takes several times its size of the stack.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    system: Option<Content<'a>>,
    #[serde(borrow)]
    messages: Option<Vec<BodyMessage<'a>>>,
    #[serde(default, deserialize_with = "whole")]
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "whole")]
    top_k: Option<u64>,
    #[serde(borrow)]
    stop_sequences: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    metadata: Option<Metadata<'a>>,
    #[serde(borrow)]
    tools: Option<Vec<BodyTool<'a>>>,
    #[serde(borrow)]
    tool_choice: Option<Box<BodyToolChoice<'a>>>,
    #[serde(borrow)]
    output_config: Option<Box<OutputConfig<'a>>>,
    #[serde(borrow)]
    thinking: Option<Thinking<'a>>,
    mcp_servers: Option<IgnoredAny>,
    container: Option<IgnoredAny>,
    /// Where the format stood before `output_config` came.
    #[serde(borrow)]
    output_format: Option<Box<BodyFormat<'a>>>,
    stream: Option<bool>,
    /// Asks that the conversation be kept here, so that later requests send only what is new.
    #[serde(borrow)]
    thread: Option<BodyThread<'a>>,
}

#[derive(Deserialize)]
struct BodyThread<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct BodyMessage<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    user_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct BodyTool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BodyToolChoice<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
struct OutputConfig<'a> {
    #[serde(borrow)]
    format: Option<BodyFormat<'a>>,
    effort: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Thinking<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct BodyFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

/// Reads a body.
///
/// # Errors
/// 400 with the `param` that is wrong.
pub fn parse<'a>(body: &'a [u8], context: &Context) -> Result<Parsed<'a>, ApiError> {
    let ask = read_ask(read_json(body), context.message_chars)?;
    if ask.max_tokens.is_none() {
        return Err(ApiError::field("max_tokens", "the most tokens of the answer are required"));
    }
    let encoder = Box::new(MessageEncoder::new(context, &ask));
    Ok(Parsed { ask, choices: 1, encoder })
}

/// Answers `POST /v1/messages/count_tokens`, whose body is that of [`parse`] but for what only an
/// answer needs.
///
/// # Errors
/// 400 with the `param` that is wrong.
pub fn count_tokens(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    let ask = read_ask(read_json(body), None)?;
    Ok(json!({"input_tokens": ask.estimate_tokens()}).to_string().into_bytes())
}

// Reading the JSON needs the stack that this would take below it.
#[inline(never)]
fn read_ask(body: Result<Body, ApiError>, message_chars: Option<usize>) -> Result<Ask, ApiError> {
    let body = body?;
    // No conversation is held here, and without it the new messages alone mean something else. Who
    // is told so sends all of it, as the official clients do, whose tool runners begin with threads.
    if body.thread.and_then(|thread| thread.kind).is_some_and(|kind| kind.0 == "continue") {
        return Err(ApiError::no_thread());
    }
    let mut messages = Vec::new();
    if let Some(system) = body.system {
        let parts = blocks::read(system, Place::System, || "system".into())?;
        let system = Message { role: Role::System, name: None, parts };
        check_length(&system, message_chars, || "system".into())?;
        messages.push(system);
    }
    let instructions = messages.len();
    for (at, message) in body.messages.unwrap_or_default().into_iter().enumerate() {
        let message = read_message(message, at)?;
        check_length(&message, message_chars, || format!("messages[{at}].content"))?;
        push(message, &mut messages);
    }
    if messages.len() == instructions {
        return Err(ApiError::field("messages", "at least one message with content is required"));
    }
    if body.max_tokens == Some(0) {
        return Err(ApiError::field("max_tokens", "max_tokens must be at least 1"));
    }
    let stop: Vec<Cow<str>> =
        body.stop_sequences.unwrap_or_default().into_iter().map(|text| text.0).collect();
    if let Some(at) = stop.iter().position(|text| text.is_empty()) {
        let said = "a stop sequence must not be empty";
        return Err(ApiError::field(format!("stop_sequences[{at}]"), said));
    }
    let tools = read_tools(body.tools.unwrap_or_default())?;
    let parallel = body.tool_choice.as_ref().and_then(|choice| choice.disable_parallel_tool_use);
    let tool_choice =
        body.tool_choice.map_or(Ok(ToolChoice::Auto), |choice| read_choice(*choice))?;
    check_choice(&tool_choice, &tools)?;
    let model = body.model.map_or(Cow::Borrowed(OWN_MODEL), |model| model.0);
    if model.is_empty() {
        return Err(ApiError::field("model", "model must not be empty"));
    }
    let effort = body.output_config.as_ref().is_some_and(|config| config.effort.is_some());
    let ignored = names_of(&[
        (body.thinking.is_some_and(|thinking| thinking.kind.0 != "disabled"), "thinking"),
        (effort, "output_config.effort"),
        (body.mcp_servers.is_some(), "mcp_servers"),
        (body.container.is_some(), "container"),
    ]);
    let format = match (body.output_config.and_then(|config| config.format), body.output_format) {
        (Some(format), _) => Some(read_format(format, "output_config.format")?),
        (None, Some(format)) => Some(read_format(*format, "output_format")?),
        (None, None) => None,
    };
    Ok(Ask {
        model,
        messages,
        max_tokens: body.max_tokens,
        temperature: within(body.temperature, "temperature", 1.0)?,
        top_p: within(body.top_p, "top_p", 1.0)?,
        top_k: body.top_k.filter(|k| *k > 0),
        stop,
        user: body.metadata.and_then(|metadata| metadata.user_id).map(|user| user.0),
        tools,
        tool_choice,
        parallel_tools: !parallel.unwrap_or(false),
        format,
        ignored,
        stream: body.stream.unwrap_or(false),
        ..Ask::default()
    })
}

fn read_message(message: BodyMessage, at: usize) -> Result<Message, ApiError> {
    let field = |name: &str, said: &str| ApiError::field(format!("messages[{at}].{name}"), said);
    let (role, place) = match message.role.0.as_ref() {
        "user" => (Role::User, Place::User),
        "assistant" => (Role::Assistant, Place::Assistant),
        "system" => (Role::System, Place::System),
        _ => return Err(field("role", "role must be user, assistant or system")),
    };
    let content = match message.content {
        Some(content) => content,
        // One that only says how hard the model is to think from here on.
        None if role == Role::System => Content::Blocks(Vec::new()),
        None => return Err(field("content", "content must be a string or an array of blocks")),
    };
    if role == Role::User && matches!(&content, Content::Blocks(blocks) if blocks.is_empty()) {
        return Err(field("content", "content must not be empty"));
    }
    let parts = blocks::read(content, place, || format!("messages[{at}].content"))?;
    Ok(Message { role, name: None, parts })
}

/// Adds a message to the conversation, each of its tool results as a message of its own. They come
/// first, since hosts want every call answered right behind the message that made it. A message of
/// which nothing is left, as one of thinking only, is left out.
fn push<'a>(mut message: Message<'a>, messages: &mut Vec<Message<'a>>) {
    let is_result = |part: &Part| matches!(part, Part::ToolResult { .. });
    if message.parts.iter().any(is_result) {
        let (results, rest) = message.parts.into_iter().partition(is_result);
        message.parts = rest;
        let results: Vec<Part> = results;
        let alone = |part| Message { role: Role::Tool, name: None, parts: vec![part] };
        messages.extend(results.into_iter().map(alone));
    }
    if !message.parts.is_empty() {
        messages.push(message);
    }
}

fn read_tools(tools: Vec<BodyTool>) -> Result<Vec<Tool>, ApiError> {
    let mut read = Vec::with_capacity(tools.len());
    for (at, tool) in tools.into_iter().enumerate() {
        if let Some(kind) = tool.kind.filter(|kind| kind.0 != "custom") {
            let kind = kind.0;
            let said = format!(
                "the tool {kind} is Anthropic's own, and no MCP host has it; offer tools with a \
                 name and an input_schema"
            );
            return Err(ApiError::unsupported(format!("tools[{at}]"), said));
        }
        let missing =
            |field: &str, said: &str| ApiError::field(format!("tools[{at}].{field}"), said);
        let name = tool.name.ok_or_else(|| missing("name", "a tool needs a name"))?;
        let schema = tool
            .input_schema
            .ok_or_else(|| missing("input_schema", "the schema of a tool's input is required"))?;
        read.push(Tool {
            name: name.0,
            description: tool.description.map(|text| text.0),
            schema: one_line(schema.get()),
        });
    }
    check_tools(&read)?;
    Ok(read)
}

fn read_choice(choice: BodyToolChoice) -> Result<ToolChoice, ApiError> {
    match (choice.kind.0.as_ref(), choice.name) {
        ("auto", _) => Ok(ToolChoice::Auto),
        ("none", _) => Ok(ToolChoice::None),
        ("any", _) => Ok(ToolChoice::Required),
        ("tool", Some(name)) => Ok(ToolChoice::Named(name.0)),
        ("tool", None) => Err(ApiError::field("tool_choice.name", "the tool's name is required")),
        _ => Err(ApiError::field("tool_choice.type", "it must be auto, any, tool or none")),
    }
}

fn read_format<'a>(format: BodyFormat<'a>, path: &str) -> Result<Format<'a>, ApiError> {
    match (format.kind.0.as_ref(), format.schema) {
        ("json_schema", Some(schema)) => {
            let schema = read_schema(schema, &format!("{path}.schema"))?;
            Ok(Format::JsonSchema { name: None, schema })
        }
        ("json_schema", None) => {
            Err(ApiError::field(format!("{path}.schema"), "the schema is required"))
        }
        _ => Err(ApiError::field(format!("{path}.type"), "it must be json_schema")),
    }
}

#[cfg(test)]
mod tests;
