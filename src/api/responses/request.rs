//! The body of a request as an [`Ask`], and what is wrong with it by the name of its field.

use super::super::body::{
    Text, check_choice, check_length, check_tools, read_json, read_schema, whole, within,
};
use super::super::error::ApiError;
use super::super::{Context, Parsed};
use super::answer::{Echo, EchoTool, FormatEcho, TextEcho};
use super::items::{self, Input, References};
use super::stream::ResponsesEncoder;
use crate::chat::{
    Ask, Format, Message, OWN_MODEL, Part, Role, Tool, ToolChoice, names_of, one_line,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;

// What is large and rare is boxed: reading a field takes several times its size of the stack.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    instructions: Option<Text<'a>>,
    #[serde(borrow)]
    previous_response_id: Option<Text<'a>>,
    store: Option<bool>,
    stream: Option<bool>,
    #[serde(borrow)]
    tools: Option<Vec<BodyTool<'a>>>,
    tool_choice: Option<Value>,
    parallel_tool_calls: Option<bool>,
    #[serde(borrow)]
    text: Option<Box<BodyText<'a>>>,
    #[serde(default, deserialize_with = "whole")]
    max_output_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(borrow)]
    user: Option<Text<'a>>,
    metadata: Option<Map<String, Value>>,
    reasoning: Option<Map<String, Value>>,
    #[serde(borrow)]
    truncation: Option<Text<'a>>,
    #[serde(borrow)]
    prompt_cache_key: Option<Text<'a>>,
    #[serde(borrow)]
    safety_identifier: Option<Text<'a>>,
    include: Option<Vec<String>>,
    #[serde(default, deserialize_with = "whole")]
    top_logprobs: Option<u64>,
    background: Option<bool>,
    conversation: Option<IgnoredAny>,
    prompt: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct BodyTool<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    strict: Option<bool>,
}

#[derive(Deserialize)]
struct BodyText<'a> {
    #[serde(borrow)]
    format: Option<BodyFormat<'a>>,
    #[serde(borrow)]
    verbosity: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct BodyFormat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    strict: Option<bool>,
}

/// What Codex sends along with its functions, whether it will be used or not: refusing these would
/// refuse Codex. Leaving them out only keeps the model from calling them. (Codex 0.169: `web_search`
/// always; a `namespace` for models unknown to it; `custom` and `tool_search` for known ones.)
const NOT_OFFERED: [&str; 4] = ["web_search", "namespace", "custom", "tool_search"];

/// Reads a body.
///
/// # Errors
/// 400 with the `param` that is wrong.
pub fn parse<'a>(body: &'a [u8], context: &Context) -> Result<Parsed<'a>, ApiError> {
    let body: Result<Body, ApiError> = read_json(body);
    let input = body.as_ref().ok().and_then(|body| body.input).map(read_input);
    understand(body, input, context)
}

// Reading the JSON needs the stack that this would take below it.
#[inline(never)]
fn understand<'a>(
    body: Result<Body<'a>, ApiError>,
    input: Option<Result<Input<'a>, ApiError>>,
    context: &Context,
) -> Result<Parsed<'a>, ApiError> {
    let body = body?;
    refuse_unsupported(&body)?;
    let model = body.model.map_or(Cow::Borrowed(OWN_MODEL), |model| model.0);
    if model.is_empty() {
        return Err(ApiError::field("model", "model must not be empty"));
    }
    if body.max_output_tokens == Some(0) {
        let said = "max_output_tokens must be at least 1";
        return Err(ApiError::field("max_output_tokens", said));
    }
    let echo_tools = read_tools(body.tools.unwrap_or_default())?;
    let mut tools: Vec<Tool> = echo_tools.iter().map(EchoTool::to_tool).collect();
    check_tools(&tools)?;
    let tool_choice = read_choice(body.tool_choice.as_ref(), &mut tools)?;
    check_choice(&tool_choice, &tools)?;
    let (format, text) = read_text(body.text.map(|text| *text))?;

    let mut messages = Vec::new();
    let instructions = body.instructions.map(|text| text.0);
    if let Some(text) = instructions.clone().filter(|text| !text.is_empty()) {
        let message = Message { role: Role::System, name: None, parts: vec![Part::Text(text)] };
        check_length(&message, context.message_chars, || "instructions".into())?;
        messages.push(message);
    }
    let previous_id = body.previous_response_id.map(|id| id.0);
    let not_kept = |id: &str| {
        let said = format!(
            "the response {id:?} is not kept here (any more): send the conversation as input, or \
             see MODELTAP_RESPONSES_STORED and MODELTAP_RESPONSES_AGE"
        );
        ApiError {
            code: "previous_response_not_found",
            ..ApiError::field("previous_response_id", said)
        }
    };
    let mut references = References::to(context.stored);
    let mut previous = None;
    let mut inputs = 0;
    if let Some(id) = &previous_id {
        let kept = (context.stored)(id).ok_or_else(|| not_kept(id))?;
        let items = items::stored(&kept.conversation).ok_or_else(|| not_kept(id))?;
        inputs = items.len();
        items::read(items, None, &mut references, &mut messages)?;
        previous = Some(kept);
    }
    let (Some(raw), Some(input)) = (body.input, input) else {
        return Err(ApiError::field("input", "input must be a string or an array of items"));
    };
    inputs += take_input(input?, context, &mut references, &mut messages)?;
    if messages.is_empty() {
        return Err(ApiError::field("input", "input must hold something for the model"));
    }

    let ask = Ask {
        model: model.clone(),
        messages,
        max_tokens: body.max_output_tokens,
        temperature: within(body.temperature, "temperature", 2.0)?,
        top_p: within(body.top_p, "top_p", 1.0)?,
        user: body.user.as_ref().map(|user| user.0.clone()),
        metadata: body.metadata.clone(),
        tools,
        tool_choice,
        parallel_tools: body.parallel_tool_calls.unwrap_or(true),
        format,
        ignored: names_of(&[
            (body.reasoning.is_some(), "reasoning"),
            (text.verbosity.is_some(), "text.verbosity"),
            (body.truncation.as_ref().is_some_and(|text| text.0 != "disabled"), "truncation"),
        ]),
        stream: body.stream.unwrap_or(false),
        ..Ask::default()
    };
    let echo = Echo {
        background: false,
        instructions,
        max_output_tokens: body.max_output_tokens,
        metadata: body.metadata.unwrap_or_default(),
        model,
        parallel_tool_calls: ask.parallel_tools,
        previous_response_id: previous_id,
        prompt_cache_key: body.prompt_cache_key.map(|key| key.0),
        reasoning: read_reasoning(body.reasoning),
        safety_identifier: body.safety_identifier.map(|id| id.0),
        service_tier: "default",
        store: body.store.unwrap_or(true),
        temperature: ask.temperature.unwrap_or(1.0),
        text,
        tool_choice: body.tool_choice.unwrap_or_else(|| "auto".into()),
        tools: echo_tools,
        top_logprobs: 0,
        top_p: ask.top_p.unwrap_or(1.0),
        truncation: body.truncation.map_or("disabled".into(), |text| text.0),
        user: body.user.map(|user| user.0),
    };
    let encoder = Box::new(ResponsesEncoder::new(context, echo, raw.get(), inputs, previous));
    Ok(Parsed { ask, choices: 1, encoder })
}

#[inline(never)]
fn read_input(raw: &RawValue) -> Result<Input<'_>, ApiError> {
    read_json(raw.get().as_bytes()).map_err(|error| {
        let place = format!("input{}", error.param.unwrap_or_default());
        ApiError { param: Some(place), ..error }
    })
}

/// Appends `input` to `messages`. How many items it is.
fn take_input<'a>(
    input: Input<'a>,
    context: &Context,
    references: &mut References<'_, 'a>,
    messages: &mut Vec<Message<'a>>,
) -> Result<usize, ApiError> {
    match input {
        Input::Text(text) => {
            let message = Message { role: Role::User, name: None, parts: vec![Part::Text(text)] };
            check_length(&message, context.message_chars, || "input".into())?;
            messages.push(message);
            Ok(1)
        }
        Input::Items(list) => {
            let count = list.len();
            items::read(list, context.message_chars, references, messages)?;
            Ok(count)
        }
    }
}

fn read_tools(tools: Vec<BodyTool>) -> Result<Vec<EchoTool>, ApiError> {
    let refuse = |at: usize, kind: &str| {
        let said = format!("a tool of type {kind:?} is not supported; use function");
        ApiError::unsupported(format!("tools[{at}]"), said)
    };
    let mut read = Vec::with_capacity(tools.len());
    let mut left_out = None;
    for (at, tool) in tools.into_iter().enumerate() {
        match tool.kind.0.as_ref() {
            "function" => read.push(EchoTool {
                kind: "function",
                // Without a name it is refused when the tools are checked.
                name: tool.name.map_or(Cow::Borrowed(""), |name| name.0),
                description: tool.description.map(|text| text.0),
                parameters: on_one_line(tool.parameters),
                strict: tool.strict,
            }),
            kind if NOT_OFFERED.contains(&kind) => left_out = Some(refuse(at, kind)),
            kind => return Err(refuse(at, kind)),
        }
    }
    match left_out {
        // Whoever sends functions too can do without; whoever asks for nothing else cannot.
        Some(error) if read.is_empty() => Err(error),
        _ => Ok(read),
    }
}

/// Raw JSON as it can stand in a server-sent event, where a line end would be the end.
fn on_one_line(raw: Option<&RawValue>) -> Option<Box<RawValue>> {
    let raw = raw?;
    match one_line(raw.get()) {
        Cow::Borrowed(_) => Some(raw.to_owned()),
        Cow::Owned(text) => RawValue::from_string(text).ok(),
    }
}

/// Reads `tool_choice`. One that allows only some of the tools takes the others from `tools`.
fn read_choice<'a>(
    choice: Option<&Value>,
    tools: &mut Vec<Tool<'a>>,
) -> Result<ToolChoice<'a>, ApiError> {
    let fault = |said: &str| Err(ApiError::field("tool_choice", said));
    let mode = |mode: Option<&str>| match mode {
        Some("auto") => Some(ToolChoice::Auto),
        Some("none") => Some(ToolChoice::None),
        Some("required") => Some(ToolChoice::Required),
        _ => None,
    };
    let choice = match choice {
        None => return Ok(ToolChoice::Auto),
        Some(Value::Object(choice)) => choice,
        Some(choice) => {
            return match mode(choice.as_str()) {
                Some(choice) => Ok(choice),
                None => fault("tool_choice must be \"none\", \"auto\", \"required\" or an object"),
            };
        }
    };
    let text = |key: &str| choice.get(key).and_then(Value::as_str);
    match (text("type"), text("name"), choice.get("tools")) {
        (Some("function"), Some(name), _) => Ok(ToolChoice::Named(name.to_owned().into())),
        (Some("function"), None, _) => fault("a choice of type function needs a name"),
        (Some("allowed_tools"), _, Some(Value::Array(allowed))) => {
            let allowed: HashSet<&str> =
                allowed.iter().filter_map(|one| one["name"].as_str()).collect();
            tools.retain(|tool| allowed.contains(tool.name.as_ref()));
            match mode(text("mode")) {
                Some(choice) => Ok(choice),
                None => fault("a choice of type allowed_tools needs a mode: auto or required"),
            }
        }
        _ => fault("a choice must be of type function, with a name, or allowed_tools, with tools"),
    }
}

fn read_text(text: Option<BodyText>) -> Result<(Option<Format>, TextEcho), ApiError> {
    let plain = FormatEcho { kind: "text", ..FormatEcho::default() };
    let Some(BodyText { format, verbosity }) = text else {
        return Ok((None, TextEcho { format: plain, verbosity: None }));
    };
    let verbosity = verbosity.map(|verbosity| verbosity.0);
    let Some(format) = format else {
        return Ok((None, TextEcho { format: plain, verbosity }));
    };
    let (wanted, format) = match (format.kind.0.as_ref(), format.schema) {
        ("text", _) => (None, plain),
        ("json_object", _) => {
            (Some(Format::JsonObject), FormatEcho { kind: "json_object", ..FormatEcho::default() })
        }
        ("json_schema", Some(schema)) => {
            let name = format.name.map(|name| name.0);
            let on_line = read_schema(schema, "text.format.schema")?;
            let wanted = Format::JsonSchema { name: name.clone(), schema: on_line };
            let echo = FormatEcho {
                kind: "json_schema",
                name,
                description: format.description.map(|text| text.0),
                schema: on_one_line(Some(schema)),
                strict: Some(format.strict.unwrap_or(false)),
            };
            (Some(wanted), echo)
        }
        ("json_schema", None) => {
            return Err(ApiError::field("text.format.schema", "a json_schema needs a schema"));
        }
        _ => {
            let said = "text.format.type must be text, json_object or json_schema";
            return Err(ApiError::field("text.format.type", said));
        }
    };
    Ok((wanted, TextEcho { format, verbosity }))
}

/// What was asked of the model's thinking, with the two fields that clients expect in any case.
fn read_reasoning(asked: Option<Map<String, Value>>) -> Map<String, Value> {
    let mut reasoning = asked.unwrap_or_default();
    for key in ["effort", "summary"] {
        reasoning.entry(key).or_insert(Value::Null);
    }
    reasoning
}

fn refuse_unsupported(body: &Body) -> Result<(), ApiError> {
    let wants_logprobs =
        |include: &Vec<String>| include.iter().any(|one| one == "message.output_text.logprobs");
    let faults = [
        (
            body.background == Some(true),
            "background",
            "this bridge does not answer in the background: leave background out",
        ),
        (
            body.conversation.is_some(),
            "conversation",
            "this bridge keeps no conversations: use previous_response_id, or send them as input",
        ),
        (body.prompt.is_some(), "prompt", "this bridge keeps no prompts: send yours as input"),
        (
            body.include.as_ref().is_some_and(wants_logprobs),
            "include",
            "an MCP host gives no logprobs",
        ),
        (
            body.top_logprobs.is_some_and(|count| count > 0),
            "top_logprobs",
            "an MCP host gives no logprobs",
        ),
    ];
    match faults.into_iter().find(|(found, ..)| *found) {
        Some((_, param, why)) => Err(ApiError::unsupported(param, why)),
        None => Ok(()),
    }
}
