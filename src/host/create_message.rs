//! `sampling/createMessage`: an [`Ask`] as its parameters, for hosts that take tools and for those
//! that take nothing but text and images.

use super::prompt;
use crate::chat::{
    Ask, Message, OWN_MODEL, Part, Role, Tool, ToolChoice, json_with_room, one_line,
};
use crate::exchange::Handle;
use crate::mcp::rpc;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::HashMap;

/// What the settings say of every sampling request.
#[derive(Debug, Clone)]
pub struct Preferences {
    /// `maxTokens` where the client named no limit.
    pub max_tokens: u64,
    /// `modelPreferences.intelligencePriority`, 0 to 1.
    pub intelligence: f64,
    /// `modelPreferences.speedPriority`, 0 to 1.
    pub speed: f64,
    /// `modelPreferences.costPriority`, 0 to 1.
    pub cost: f64,
}

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: String,
    method: &'static str,
    params: &'a Params<'a>,
}

/// The `params` of `sampling/createMessage`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Params<'a> {
    messages: Vec<SamplingMessage<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_prompt: Option<String>,
    model_preferences: ModelPreferences<'a>,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'a [Cow<'a, str>],
    #[serde(skip_serializing_if = "Map::is_empty")]
    metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<NativeTool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<NativeChoice>,
}

#[derive(Serialize)]
struct SamplingMessage<'a> {
    role: &'static str,
    content: Content<'a>,
}

/// Hosts without tools in sampling take one block a message, and never an array.
#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    One(Block<'a>),
    Many(Vec<Block<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
enum Block<'a> {
    Text { text: Cow<'a, str> },
    Image { data: &'a str, mime_type: &'a str },
    ToolUse { id: &'a str, name: &'a str, input: Cow<'a, RawValue> },
    ToolResult { tool_use_id: &'a str, content: Vec<Block<'a>>, is_error: bool },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NativeTool<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Cow<'a, RawValue>,
}

#[derive(Serialize)]
struct NativeChoice {
    mode: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelPreferences<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hints: Vec<Hint<'a>>,
    intelligence_priority: f64,
    speed_priority: f64,
    cost_priority: f64,
}

#[derive(Serialize)]
struct Hint<'a> {
    name: &'a str,
}

/// A request of ours that holds about `bytes` of text as a line, without its end.
pub(super) fn request(id: Handle, params: &Params, bytes: usize) -> Vec<u8> {
    let method = "sampling/createMessage";
    let request = Request { jsonrpc: "2.0", id: id.to_string(), method, params };
    json_with_room(&request, bytes)
}

/// The note that a request of ours is not waited for any more.
pub(super) fn cancellation(id: Handle, reason: &str) -> String {
    let params = json!({"requestId": id.to_string(), "reason": reason});
    rpc::notification("notifications/cancelled", &rpc::json(&params))
}

/// An [`Ask`] in the terms of sampling. Tools go as such only to a host that takes them.
pub(super) fn params<'a>(ask: &'a Ask, preferences: &Preferences, takes_tools: bool) -> Params<'a> {
    let native = takes_tools && !ask.tools.is_empty();
    let is_system = |message: &&Message| message.role == Role::System;
    let system: Vec<Cow<str>> =
        ask.messages.iter().filter(is_system).map(|message| text_of(&message.parts)).collect();
    let mut messages = match native {
        true => turns_with_tools(ask),
        false => turns(ask.messages.iter().filter(|message| message.role != Role::System)),
    };
    let mut system_prompt = (!system.is_empty()).then(|| system.join("\n\n"));
    if messages.is_empty() {
        // Models answer somebody: instructions alone become what the user says.
        let text = system_prompt.take().unwrap_or_default().into();
        messages
            .push(SamplingMessage { role: "user", content: Content::One(Block::Text { text }) });
    }
    let mut metadata = ask.metadata.clone().unwrap_or_default();
    let extras = [
        ("top_p", json!(ask.top_p)),
        ("top_k", json!(ask.top_k)),
        ("seed", json!(ask.seed)),
        ("user", json!(ask.user)),
    ];
    for (key, value) in extras {
        if !value.is_null() {
            metadata.entry(key).or_insert(value);
        }
    }
    Params {
        messages,
        system_prompt,
        model_preferences: ModelPreferences {
            hints: hints(&ask.model),
            intelligence_priority: preferences.intelligence,
            speed_priority: preferences.speed,
            cost_priority: preferences.cost,
        },
        max_tokens: ask.max_tokens.unwrap_or(preferences.max_tokens),
        temperature: ask.temperature,
        stop_sequences: &ask.stop,
        metadata,
        tools: if native { tools(ask) } else { Vec::new() },
        tool_choice: native.then_some(NativeChoice {
            mode: match ask.tool_choice {
                ToolChoice::Auto => "auto",
                ToolChoice::None => "none",
                // The one tool is then the only one that is sent.
                ToolChoice::Required | ToolChoice::Named(_) => "required",
            },
        }),
    }
}

/// The model asked for, and its name without the date, by which hosts know it too.
fn hints(model: &str) -> Vec<Hint<'_>> {
    if model == OWN_MODEL {
        return Vec::new();
    }
    let is_date = |date: &str| date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
    let undated = model.rsplit_once('-').filter(|(_, date)| is_date(date)).map(|(name, _)| name);
    [Some(model), undated].into_iter().flatten().map(|name| Hint { name }).collect()
}

fn tools<'a>(ask: &'a Ask) -> Vec<NativeTool<'a>> {
    let is_left = |tool: &&Tool| match &ask.tool_choice {
        ToolChoice::Named(name) => tool.name == *name,
        _ => true,
    };
    let native = |tool: &'a Tool| NativeTool {
        name: &tool.name,
        description: tool.description.as_deref(),
        input_schema: object_schema(&tool.schema),
    };
    ask.tools.iter().filter(is_left).map(native).collect()
}

/// The schema with the `type` that MCP requires, where a client left it out.
fn object_schema(schema: &str) -> Cow<'_, RawValue> {
    let mut parsed: Map<String, Value> = serde_json::from_str(schema).unwrap_or_default();
    if parsed.get("type") != Some(&Value::from("object")) {
        parsed.insert("type".into(), "object".into());
        return Cow::Owned(raw(&Value::Object(parsed).to_string()).into_owned());
    }
    raw(schema)
}

/// One message for each block, as hosts without tools want it.
fn turns<'s, 'a: 's>(messages: impl Iterator<Item = &'s Message<'a>>) -> Vec<SamplingMessage<'s>> {
    // One for each, as it almost always is.
    let mut turns = Vec::with_capacity(messages.size_hint().1.unwrap_or_default());
    for message in messages {
        let role = if message.role == Role::Assistant { "assistant" } else { "user" };
        push_blocks(&mut turns, role, &message.parts);
    }
    turns
}

fn push_blocks<'s>(turns: &mut Vec<SamplingMessage<'s>>, role: &'static str, parts: &'s [Part]) {
    let is_image = |part: &Part| matches!(part, Part::Image { .. });
    for parts in parts.chunk_by(|a, b| !is_image(a) && !is_image(b)) {
        let block = match parts {
            [Part::Image { mime, data }] => Block::Image { data, mime_type: mime },
            parts => Block::Text { text: text_of(parts) },
        };
        turns.push(SamplingMessage { role, content: Content::One(block) });
        for part in parts {
            // What a tool showed cannot stand within text.
            if let Part::ToolResult { content, .. } = part {
                for image in content.iter().filter(|part| is_image(part)) {
                    push_blocks(turns, role, std::slice::from_ref(image));
                }
            }
        }
    }
}

/// The conversation with tool calls and results as such. The results of an assistant's calls stand
/// alone in the message behind it, all of them; one that the client left out is said to be missing.
fn turns_with_tools<'a>(ask: &'a Ask) -> Vec<SamplingMessage<'a>> {
    let mut turns = Vec::new();
    let mut messages = ask.messages.iter().filter(|m| m.role != Role::System).peekable();
    while let Some(message) = messages.next() {
        if message.role != Role::Assistant {
            push_blocks(&mut turns, "user", &message.parts);
            continue;
        }
        let mut blocks: Vec<Block> = message.parts.iter().filter_map(spoken).collect();
        if blocks.is_empty() {
            blocks.push(Block::Text { text: "".into() });
        }
        turns.push(SamplingMessage { role: "assistant", content: Content::Many(blocks) });
        let mut waiting: HashMap<&str, usize> = HashMap::new();
        for id in message.parts.iter().filter_map(call_id) {
            *waiting.entry(id).or_default() += 1;
        }
        if waiting.is_empty() {
            continue;
        }
        let mut results = Vec::new();
        let mut rest: Vec<&'a Part> = Vec::new();
        while let Some(next) = messages.next_if(|next| next.role != Role::Assistant) {
            for part in &next.parts {
                match result(part, &mut waiting) {
                    Some(block) => results.push(block),
                    None => rest.push(part),
                }
            }
        }
        let mut is_waiting = |id: &&str| take_one(&mut waiting, id);
        let missing = message.parts.iter().filter_map(call_id).filter(|id| is_waiting(id));
        results.extend(missing.map(|tool_use_id| Block::ToolResult {
            tool_use_id,
            content: vec![Block::Text { text: "no result was given".into() }],
            is_error: true,
        }));
        turns.push(SamplingMessage { role: "user", content: Content::Many(results) });
        for part in rest {
            push_blocks(&mut turns, "user", std::slice::from_ref(part));
        }
    }
    turns
}

fn call_id<'s>(part: &'s Part) -> Option<&'s str> {
    match part {
        Part::ToolCall { id, .. } => Some(id),
        _ => None,
    }
}

/// A block of what an assistant said.
fn spoken<'s>(part: &'s Part) -> Option<Block<'s>> {
    Some(match part {
        Part::Text(text) if text.is_empty() => return None,
        Part::Text(text) => Block::Text { text: Cow::Borrowed(text) },
        Part::Image { mime, data } => Block::Image { data, mime_type: mime },
        Part::ToolCall { id, name, arguments } => {
            // Raw JSON takes what parsers need not, as half a surrogate pair or a thousand levels: a
            // host that fails to read the line would never answer it.
            let is_object = serde_json::from_str::<Map<String, Value>>(arguments).is_ok();
            let input = raw(if is_object { arguments } else { "{}" });
            Block::ToolUse { id, name, input }
        }
        Part::ToolResult { .. } => return None,
    })
}

/// The block of a result that is waited for.
fn result<'s>(part: &'s Part, waiting: &mut HashMap<&str, usize>) -> Option<Block<'s>> {
    let Part::ToolResult { id, content, is_error } = part else { return None };
    if !take_one(waiting, id) {
        return None;
    }
    let content = content.iter().filter_map(spoken).collect();
    Some(Block::ToolResult { tool_use_id: id, content, is_error: *is_error })
}

/// Takes one call of this id from those that are waited for, if there is one.
fn take_one(waiting: &mut HashMap<&str, usize>, id: &str) -> bool {
    match waiting.get_mut(id) {
        Some(count @ 1..) => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

/// JSON text as such, on one line; an empty object where it is no JSON.
fn raw(text: &str) -> Cow<'_, RawValue> {
    let owned = |text: &str| RawValue::from_string(text.to_owned()).ok();
    match one_line(text) {
        Cow::Borrowed(text) => match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) => Cow::Borrowed(raw),
            Err(_) => Cow::Owned(owned("{}").unwrap_or_default()),
        },
        Cow::Owned(text) => Cow::Owned(owned(&text).or_else(|| owned("{}")).unwrap_or_default()),
    }
}

/// The text of parts, borrowed where there is only one.
fn text_of<'a>(parts: &'a [Part]) -> Cow<'a, str> {
    match parts {
        [Part::Text(text)] => Cow::Borrowed(text),
        parts => Cow::Owned(prompt::text(parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: Role, parts: Vec<Part>) -> Message {
        Message { role, name: None, parts }
    }

    fn told(messages: Vec<Message>) -> Value {
        json!(turns_with_tools(&Ask { messages, ..Ask::default() }))
    }

    #[test]
    fn every_call_is_answered_once() {
        let call = |id: &'static str| Part::ToolCall {
            id: id.into(),
            name: "f".into(),
            arguments: "{}".into(),
        };
        let result =
            |id: &'static str| Part::ToolResult { id: id.into(), content: vec![], is_error: false };
        let found = told(vec![
            message(Role::Assistant, vec![call("a"), call("b"), call("a"), call("c")]),
            message(Role::Tool, vec![result("b"), result("a"), result("b")]),
        ]);
        let answers = found[1]["content"].as_array().unwrap().iter();
        let answers: Vec<_> = answers
            .map(|block| (block["toolUseId"].as_str().unwrap(), block["isError"] == true))
            .collect();
        assert_eq!(answers, [("b", false), ("a", false), ("a", true), ("c", true)]);
        // What answers nothing is said in words.
        assert!(found[2]["content"]["text"].as_str().unwrap().contains("call b"), "{found}");
    }

    #[test]
    fn many_results_find_their_calls_at_once() {
        let many = |part: fn(String) -> Part<'static>| {
            (0..30_000).map(|at| part(format!("{at:0>40}"))).collect::<Vec<_>>()
        };
        let calls =
            many(|id| Part::ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into() });
        let mut results =
            many(|id| Part::ToolResult { id: id.into(), content: vec![], is_error: false });
        results.reverse();
        let ask = Ask {
            messages: vec![message(Role::Assistant, calls), message(Role::Tool, results)],
            ..Ask::default()
        };
        let started = std::time::Instant::now();
        assert_eq!(turns_with_tools(&ask).len(), 2);
        assert!(started.elapsed().as_secs() < 5);
    }

    #[test]
    fn arguments_that_a_host_may_not_read_do_not_reach_it() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for odd in [r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#, "{", "[]", &deep] {
            let (id, name, arguments) = ("a".into(), "f".into(), odd.into());
            let call = Part::ToolCall { id, name, arguments };
            let found = told(vec![message(Role::Assistant, vec![call])]);
            assert_eq!(found[0]["content"][0]["input"], json!({}), "{odd}");
        }
    }
}
