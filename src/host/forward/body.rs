//! An [`Ask`] as the body of OpenAI's `chat/completions`. Pure: values in, bytes out.

use super::super::prompt;
use crate::chat::{Ask, Format, Message, Part, Role, ToolChoice};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Value>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop: &'a [Cow<'a, str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parallel_tool_calls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    json_schema: Option<JsonSchema<'a>>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'a str,
    schema: &'a RawValue,
}

/// How an endpoint wants to be asked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manner<'a> {
    /// The model, by the endpoint's name.
    pub model: &'a str,
    /// Whether the limit goes by its newer name.
    pub newer_limit: bool,
    /// Whether the answer is to end with counts of tokens.
    pub usage: bool,
}

/// The body that asks for one answer, always as a stream: a silent endpoint is told from a slow one
/// then, whatever the client wants.
pub fn body(ask: &Ask, manner: Manner) -> Vec<u8> {
    let (limit, newer) = match manner.newer_limit {
        false => (ask.max_tokens, None),
        true => (None, ask.max_tokens),
    };
    let has_tools = !ask.tools.is_empty();
    let body = Body {
        model: manner.model,
        messages: messages(ask),
        stream: true,
        stream_options: manner.usage.then(|| json!({"include_usage": true})),
        max_tokens: limit,
        max_completion_tokens: newer,
        temperature: ask.temperature,
        top_p: ask.top_p,
        stop: &ask.stop,
        seed: ask.seed,
        user: ask.user.as_deref(),
        tools: ask.tools.iter().map(tool).collect(),
        tool_choice: has_tools.then(|| choice(&ask.tool_choice)).flatten(),
        parallel_tool_calls: (has_tools && !ask.parallel_tools).then_some(false),
        response_format: ask.format.as_ref().map(format),
    };
    // Nothing in it can fail to be written as JSON.
    serde_json::to_vec(&body).unwrap_or_default()
}

fn tool<'a>(tool: &'a crate::chat::Tool) -> Tool<'a> {
    let function = Function {
        name: &tool.name,
        description: tool.description.as_deref(),
        parameters: serde_json::from_str(&tool.schema).ok(),
    };
    Tool { kind: "function", function }
}

/// `auto` is what goes without saying.
fn choice(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => None,
        ToolChoice::None => Some("none".into()),
        ToolChoice::Required => Some("required".into()),
        ToolChoice::Named(name) => Some(json!({"type": "function", "function": {"name": name}})),
    }
}

fn format<'a>(format: &'a Format) -> ResponseFormat<'a> {
    let schema = match format {
        Format::JsonObject => None,
        Format::JsonSchema { name, schema } => serde_json::from_str(schema)
            .ok()
            .map(|schema| JsonSchema { name: name.as_deref().unwrap_or("answer"), schema }),
    };
    let kind = if schema.is_some() { "json_schema" } else { "json_object" };
    ResponseFormat { kind, json_schema: schema }
}

/// The conversation. What a tool showed follows as the user's, since a tool's message takes text
/// only, and behind the last of the results, since nothing may stand between them.
fn messages(ask: &Ask) -> Vec<Value> {
    let mut told = Vec::with_capacity(ask.messages.len());
    let mut shown: Vec<&Part> = Vec::new();
    for message in &ask.messages {
        let mut rest: Vec<&Part> = Vec::new();
        for part in &message.parts {
            match part {
                Part::ToolResult { id, content, is_error } => {
                    let images = content.iter().filter(|part| matches!(part, Part::Image { .. }));
                    shown.extend(images);
                    let mut text = prompt::text(content);
                    if *is_error {
                        text.insert_str(0, "The tool failed. ");
                    }
                    told.push(json!({"role": "tool", "tool_call_id": id, "content": text}));
                }
                part => rest.push(part),
            }
        }
        if rest.is_empty() && message.role == Role::Tool {
            continue;
        }
        push_shown(&mut told, &mut shown);
        if !rest.is_empty() || !message.parts.iter().any(is_result) {
            told.push(spoken(message, &rest));
        }
    }
    push_shown(&mut told, &mut shown);
    told
}

fn is_result(part: &Part) -> bool {
    matches!(part, Part::ToolResult { .. })
}

fn push_shown(told: &mut Vec<Value>, shown: &mut Vec<&Part>) {
    if !shown.is_empty() {
        told.push(json!({"role": "user", "content": content(shown)}));
        shown.clear();
    }
}

/// A message but for its tool results.
fn spoken(message: &Message, parts: &[&Part]) -> Value {
    let calls: Vec<Value> = parts.iter().filter_map(|part| call(part)).collect();
    let said: Vec<&Part> =
        parts.iter().filter(|part| !matches!(part, Part::ToolCall { .. })).copied().collect();
    let role = if message.role == Role::Tool { "user" } else { message.role.as_str() };
    let mut told = json!({"role": role, "content": content(&said)});
    if !calls.is_empty() {
        if said.is_empty() {
            told["content"] = Value::Null;
        }
        told["tool_calls"] = calls.into();
    }
    if let Some(name) = &message.name {
        told["name"] = name.as_ref().into();
    }
    told
}

fn call(part: &Part) -> Option<Value> {
    let Part::ToolCall { id, name, arguments } = part else { return None };
    let function = json!({"name": name, "arguments": arguments});
    Some(json!({"id": id, "type": "function", "function": function}))
}

/// Text as text, which every endpoint takes; parts only where there is an image.
fn content(parts: &[&Part]) -> Value {
    let is_image = |part: &&Part| matches!(part, Part::Image { .. });
    if !parts.iter().any(is_image) {
        let texts: Vec<&str> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_ref()),
                _ => None,
            })
            .collect();
        return texts.join("\n").into();
    }
    let part = |part: &&Part| match part {
        Part::Text(text) => Some(json!({"type": "text", "text": text})),
        Part::Image { mime, data } => {
            let url = format!("data:{mime};base64,{data}");
            Some(json!({"type": "image_url", "image_url": {"url": url}}))
        }
        _ => None,
    };
    parts.iter().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(ask: &Ask) -> Value {
        let manner = Manner { model: "m", ..Manner::default() };
        serde_json::from_slice(&body(ask, manner)).unwrap()
    }

    fn told(messages: Vec<Message>) -> Value {
        written(&Ask { messages, ..Ask::default() })["messages"].clone()
    }

    fn message(role: Role, parts: Vec<Part>) -> Message {
        Message { role, name: None, parts }
    }

    fn text(text: &str) -> Part<'_> {
        Part::Text(text.into())
    }

    fn image() -> Part<'static> {
        Part::Image { mime: "image/png".into(), data: "aGk=".into() }
    }

    fn result<'a>(id: &'a str, content: Vec<Part<'a>>) -> Part<'a> {
        Part::ToolResult { id: id.into(), content, is_error: id == "bad" }
    }

    #[test]
    fn what_is_not_asked_for_is_not_sent() {
        let messages = vec![message(Role::User, vec![text("Hi")])];
        let ask = Ask { messages, metadata: Some(Default::default()), ..Ask::default() };
        let expected = json!({"model": "m", "stream": true,
            "messages": [{"role": "user", "content": "Hi"}]});
        assert_eq!(written(&ask), expected);
    }

    #[test]
    fn parameters_go_by_their_names() {
        let ask = Ask {
            max_tokens: Some(5),
            temperature: Some(0.5),
            top_p: Some(0.25),
            stop: vec!["END".into()],
            seed: Some(-3),
            user: Some("ann".into()),
            ..Ask::default()
        };
        let expected = json!({"model": "m", "stream": true, "messages": [], "max_tokens": 5,
            "temperature": 0.5, "top_p": 0.25, "stop": ["END"], "seed": -3, "user": "ann"});
        assert_eq!(written(&ask), expected);
        let manner = Manner { model: "m", newer_limit: true, usage: true };
        let newer: Value = serde_json::from_slice(&body(&ask, manner)).unwrap();
        assert_eq!(newer["max_completion_tokens"], 5);
        assert_eq!(newer.get("max_tokens"), None);
        assert_eq!(newer["stream_options"], json!({"include_usage": true}));
    }

    #[test]
    fn messages_keep_roles_names_texts_and_images() {
        let mut system = message(Role::System, vec![text("Be"), text("kind.")]);
        system.name = Some("boss".into());
        let found = told(vec![
            system,
            message(Role::User, vec![text("See:"), image()]),
            message(Role::Assistant, vec![]),
        ]);
        let url = json!({"url": "data:image/png;base64,aGk="});
        let expected = json!([
            {"role": "system", "name": "boss", "content": "Be\nkind."},
            {"role": "user", "content": [
                {"type": "text", "text": "See:"}, {"type": "image_url", "image_url": url}]},
            {"role": "assistant", "content": ""},
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_stands_between_the_results_of_tools() {
        let call = |id: &'static str| Part::ToolCall {
            id: id.into(),
            name: "look".into(),
            arguments: "{\"at\": 1}".into(),
        };
        let found = told(vec![
            message(Role::Assistant, vec![text("I look."), call("a")]),
            message(Role::Assistant, vec![call("b")]),
            message(Role::Tool, vec![result("a", vec![text("a cat"), image()])]),
            message(Role::Tool, vec![result("bad", vec![text("dark")])]),
            message(Role::User, vec![result("c", vec![]), text("So?")]),
        ]);
        let function = json!({"name": "look", "arguments": "{\"at\": 1}"});
        let url = json!({"url": "data:image/png;base64,aGk="});
        let expected = json!([
            {"role": "assistant", "content": "I look.",
                "tool_calls": [{"id": "a", "type": "function", "function": function}]},
            {"role": "assistant", "content": null,
                "tool_calls": [{"id": "b", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "a", "content": "a cat"},
            {"role": "tool", "tool_call_id": "bad", "content": "The tool failed. dark"},
            {"role": "tool", "tool_call_id": "c", "content": ""},
            {"role": "user", "content": [{"type": "image_url", "image_url": url}]},
            {"role": "user", "content": "So?"},
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn tools_and_forms_go_as_such() {
        let tool = crate::chat::Tool {
            name: "look".into(),
            description: Some("Looks".into()),
            schema: "{\"type\":\"object\"}".into(),
        };
        let mut ask = Ask { tools: vec![tool], parallel_tools: false, ..Ask::default() };
        let expected = json!([{"type": "function", "function": {"name": "look",
            "description": "Looks", "parameters": {"type": "object"}}}]);
        assert_eq!(written(&ask)["tools"], expected);
        assert_eq!(written(&ask)["parallel_tool_calls"], false);
        for (choice, expected) in [
            (ToolChoice::Auto, Value::Null),
            (ToolChoice::None, json!("none")),
            (ToolChoice::Required, json!("required")),
            (
                ToolChoice::Named("look".into()),
                json!({"type": "function", "function": {"name": "look"}}),
            ),
        ] {
            ask.tool_choice = choice;
            assert_eq!(written(&ask)["tool_choice"], expected);
        }
        ask.format = Some(Format::JsonObject);
        assert_eq!(written(&ask)["response_format"], json!({"type": "json_object"}));
        for (name, told) in [(None, "answer"), (Some("n".into()), "n")] {
            ask.format = Some(Format::JsonSchema { name, schema: "{}".into() });
            let schema = json!({"name": told, "schema": {}});
            let expected = json!({"type": "json_schema", "json_schema": schema});
            assert_eq!(written(&ask)["response_format"], expected);
        }
    }
}
