//! The body of a request as an [`Ask`], and what is wrong with it by the name of its field.

use super::super::body::{
    Either, Stop, Text, check_choice, check_choices, check_length, check_stop, check_tools,
    image_of, read_json, read_schema, text_or_list, whole, within,
};
use super::super::error::ApiError;
use super::super::{Context, Parsed};
use super::answer::ChatEncoder;
use crate::chat::{
    Ask, Format, Message, OWN_MODEL, Part, Role, Tool, ToolChoice, names_of, one_line,
};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;

// What is large and rare is boxed: reading a field takes several times its size of the stack.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    messages: Option<Vec<BodyMessage<'a>>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    stop: Option<Stop<'a>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "whole")]
    max_tokens: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    max_completion_tokens: Option<u64>,
    #[serde(borrow)]
    user: Option<Text<'a>>,
    metadata: Option<Map<String, Value>>,
    #[serde(default, deserialize_with = "whole")]
    seed: Option<i64>,
    #[serde(default, deserialize_with = "whole")]
    n: Option<u64>,
    #[serde(borrow)]
    tools: Option<Vec<BodyTool<'a>>>,
    #[serde(borrow)]
    tool_choice: Option<BodyToolChoice<'a>>,
    parallel_tool_calls: Option<bool>,
    functions: Option<Vec<Value>>,
    #[serde(borrow)]
    response_format: Option<Box<ResponseFormat<'a>>>,
    frequency_penalty: Option<IgnoredAny>,
    presence_penalty: Option<IgnoredAny>,
    logit_bias: Option<IgnoredAny>,
    reasoning_effort: Option<IgnoredAny>,
    verbosity: Option<IgnoredAny>,
    prediction: Option<IgnoredAny>,
    web_search_options: Option<IgnoredAny>,
    logprobs: Option<bool>,
    modalities: Option<Vec<String>>,
}

/// `stream_options`
#[derive(Deserialize)]
pub struct StreamOptions {
    include_usage: Option<bool>,
}

impl StreamOptions {
    /// Whether the stream ends with a chunk of usage.
    pub fn include_usage(&self) -> bool {
        self.include_usage == Some(true)
    }
}

#[derive(Deserialize)]
struct BodyTool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    function: Option<ToolFunction<'a>>,
}

#[derive(Deserialize)]
struct ToolFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct NamedTool<'a> {
    #[serde(borrow)]
    function: NamedFunction<'a>,
}

#[derive(Deserialize)]
struct NamedFunction<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

/// `"auto"` and its like, or the one function by name.
struct BodyToolChoice<'a>(ToolChoice<'a>);

#[derive(Deserialize)]
struct ResponseFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    json_schema: Option<JsonSchema<'a>>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct BodyMessage<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    tool_calls: Option<Vec<ToolCall<'a>>>,
    #[serde(borrow)]
    tool_call_id: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ToolCall<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Text<'a>,
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
    image_url: Option<ImageUrl<'a>>,
}

#[derive(Deserialize)]
struct ImageUrl<'a> {
    #[serde(borrow)]
    url: Text<'a>,
}

/// A text, or parts.
enum Content<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<ContentPart<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match text_or_list(from)? {
            Either::Text(text) => Content::Text(text),
            Either::List(parts) => Content::Parts(parts),
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for BodyToolChoice<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw: &RawValue = Deserialize::deserialize(from)?;
        let choice = match raw.get() {
            "\"auto\"" => ToolChoice::Auto,
            "\"none\"" => ToolChoice::None,
            "\"required\"" => ToolChoice::Required,
            text => match serde_json::from_str::<NamedTool>(text) {
                Ok(named) => ToolChoice::Named(named.function.name.0),
                Err(_) => {
                    let allowed = "tool_choice must be \"none\", \"auto\", \"required\" or \
                        {\"type\":\"function\",\"function\":{\"name\":…}}";
                    return Err(D::Error::custom(allowed));
                }
            },
        };
        Ok(BodyToolChoice(choice))
    }
}

/// Reads a body.
///
/// # Errors
/// 400 with the `param` that is wrong.
pub fn parse<'a>(body: &'a [u8], context: &Context) -> Result<Parsed<'a>, ApiError> {
    understand(read_json(body), context)
}

// Reading the JSON needs the stack that this would take below it.
#[inline(never)]
fn understand<'a>(
    body: Result<Body<'a>, ApiError>,
    context: &Context,
) -> Result<Parsed<'a>, ApiError> {
    let body = body?;
    refuse_unsupported(&body)?;
    let bodies = body.messages.unwrap_or_default();
    if bodies.is_empty() {
        return Err(ApiError::field("messages", "messages must be an array, not empty"));
    }
    let mut messages = Vec::with_capacity(bodies.len());
    for (at, message) in bodies.into_iter().enumerate() {
        let message = read_message(message, at)?;
        check_length(&message, context.message_chars, || format!("messages[{at}].content"))?;
        messages.push(message);
    }
    let stop = check_stop(body.stop)?;
    let tools = read_tools(body.tools.unwrap_or_default())?;
    let tool_choice = body.tool_choice.map_or(ToolChoice::Auto, |choice| choice.0);
    check_choice(&tool_choice, &tools)?;
    let (max_tokens, param) = match body.max_completion_tokens {
        Some(most) => (Some(most), "max_completion_tokens"),
        None => (body.max_tokens, "max_tokens"),
    };
    if max_tokens == Some(0) {
        return Err(ApiError::field(param, format!("{param} must be at least 1")));
    }
    let choices = check_choices(body.n)?;
    let model = body.model.map_or(Cow::Borrowed(OWN_MODEL), |model| model.0);
    if model.is_empty() {
        return Err(ApiError::field("model", "model must not be empty"));
    }
    let ask = Ask {
        model,
        messages,
        max_tokens,
        temperature: within(body.temperature, "temperature", 2.0)?,
        top_p: within(body.top_p, "top_p", 1.0)?,
        top_k: None,
        stop,
        seed: body.seed,
        user: body.user.map(|user| user.0),
        metadata: body.metadata,
        tools,
        tool_choice,
        parallel_tools: body.parallel_tool_calls.unwrap_or(true),
        format: read_format(body.response_format.map(|format| *format))?,
        ignored: names_of(&[
            (body.frequency_penalty.is_some(), "frequency_penalty"),
            (body.presence_penalty.is_some(), "presence_penalty"),
            (body.logit_bias.is_some(), "logit_bias"),
            (body.reasoning_effort.is_some(), "reasoning_effort"),
            (body.verbosity.is_some(), "verbosity"),
            (body.prediction.is_some(), "prediction"),
            (body.web_search_options.is_some(), "web_search_options"),
        ]),
        stream: body.stream.unwrap_or(false),
    };
    let include_usage = body.stream_options.is_some_and(|options| options.include_usage());
    let encoder = Box::new(ChatEncoder::new(context, &ask.model, choices, include_usage));
    Ok(Parsed { ask, choices, encoder })
}

fn read_tools(tools: Vec<BodyTool>) -> Result<Vec<Tool>, ApiError> {
    let mut read = Vec::with_capacity(tools.len());
    for (at, tool) in tools.into_iter().enumerate() {
        let Some(function) = tool.function.filter(|_| tool.kind.0 == "function") else {
            let said = format!("a tool of type {:?} is not supported; use function", tool.kind.0);
            return Err(ApiError::unsupported(format!("tools[{at}]"), said));
        };
        let schema = function.parameters.map_or("{\"type\":\"object\"}", RawValue::get);
        read.push(Tool {
            name: function.name.0,
            description: function.description.map(|text| text.0),
            schema: one_line(schema),
        });
    }
    check_tools(&read)?;
    Ok(read)
}

fn read_format(format: Option<ResponseFormat>) -> Result<Option<Format>, ApiError> {
    let Some(format) = format else { return Ok(None) };
    match (format.kind.0.as_ref(), format.json_schema) {
        ("text", _) => Ok(None),
        ("json_object", _) => Ok(Some(Format::JsonObject)),
        ("json_schema", Some(JsonSchema { name, schema: Some(schema) })) => {
            Ok(Some(Format::JsonSchema {
                name: name.map(|name| name.0),
                schema: read_schema(schema, "response_format.json_schema.schema")?,
            }))
        }
        ("json_schema", _) => {
            Err(ApiError::field("response_format.json_schema", "a json_schema needs a schema"))
        }
        _ => Err(ApiError::field(
            "response_format.type",
            "response_format.type must be text, json_object or json_schema",
        )),
    }
}

fn refuse_unsupported(body: &Body) -> Result<(), ApiError> {
    let faults = [
        (
            body.functions.as_ref().is_some_and(|list| !list.is_empty()),
            "functions",
            "functions are the old form of tools: use tools",
        ),
        (body.logprobs == Some(true), "logprobs", "an MCP host gives no logprobs"),
        (
            body.modalities.as_ref().is_some_and(|all| all.iter().any(|one| one != "text")),
            "modalities",
            "answers are text only",
        ),
    ];
    match faults.into_iter().find(|(found, ..)| *found) {
        Some((_, param, why)) => Err(ApiError::unsupported(param, why)),
        None => Ok(()),
    }
}

fn read_message(message: BodyMessage, at: usize) -> Result<Message, ApiError> {
    let field = |name: &str, said: &str| ApiError::field(format!("messages[{at}].{name}"), said);
    let role = match message.role.0.as_ref() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => return Err(field("role", "role must be system, developer, user, assistant or tool")),
    };
    let mut parts = match message.content {
        Some(Content::Text(text)) => vec![Part::Text(text)],
        Some(Content::Parts(parts)) => {
            let mut read = Vec::with_capacity(parts.len());
            for (index, part) in parts.into_iter().enumerate() {
                read.push(read_part(part).map_err(|said| {
                    ApiError::field(format!("messages[{at}].content[{index}]"), said)
                })?);
            }
            read
        }
        None if role == Role::Assistant => Vec::new(),
        None => return Err(field("content", "content must be a string or an array of parts")),
    };
    if role == Role::Tool {
        let Some(id) = message.tool_call_id else {
            return Err(field(
                "tool_call_id",
                "a tool message needs the id of the call it answers",
            ));
        };
        parts = vec![Part::ToolResult { id: id.0, content: parts, is_error: false }];
    }
    for call in message.tool_calls.unwrap_or_default() {
        let Function { name, arguments } = call.function;
        parts.push(Part::ToolCall { id: call.id.0, name: name.0, arguments: arguments.0 });
    }
    Ok(Message { role, name: message.name.map(|name| name.0), parts })
}

fn read_part(part: ContentPart) -> Result<Part, String> {
    match (part.kind.0.as_ref(), part.text, part.image_url, part.refusal) {
        ("text", Some(text), ..) | ("refusal", _, _, Some(text)) => Ok(Part::Text(text.0)),
        ("image_url", _, Some(image), _) => image_of(image.url.0).ok_or_else(|| {
            "an image must be a data: URI in base64, such as data:image/png;base64,…; \
             this bridge fetches nothing"
                .to_owned()
        }),
        ("text", ..) => Err("a part of type text needs a text".into()),
        ("image_url", ..) => Err("a part of type image_url needs image_url.url".into()),
        (kind, ..) => {
            Err(format!("a part of type {kind:?} is not supported; use text or image_url"))
        }
    }
}
