use super::*;
use serde_json::Value;

fn context() -> Context<'static> {
    Context { id: "1".into(), created: 0, message_chars: Some(100), stored: &|_| None }
}

/// A good body with these fields put over it.
fn body(fields: Value) -> Vec<u8> {
    let mut body = json!({"max_tokens": 9, "messages": [{"role": "user", "content": "a"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body.to_string().into_bytes()
}

fn ask(fields: Value, test: impl FnOnce(&Ask)) {
    let body = body(fields);
    match parse(&body, &context()) {
        Ok(parsed) => test(&parsed.ask),
        Err(error) => panic!("{error:?}"),
    }
}

fn told(message: &Message) -> String {
    let parts = message.parts.iter().map(|part| match part {
        Part::Text(text) => text.to_string(),
        Part::Image { mime, .. } => mime.to_string(),
        Part::ToolCall { id, name, .. } => format!("{id}:{name}"),
        Part::ToolResult { id, content, is_error } => {
            format!("{id}={}{}", content.len(), if *is_error { "!" } else { "" })
        }
    });
    format!("{}: {}", message.role.as_str(), parts.collect::<Vec<_>>().join("|"))
}

#[test]
fn messages_keep_their_order_and_results_stand_alone() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let result = |id: &str, error: bool| json!({"type": "tool_result", "tool_use_id": id, "is_error": error, "content": "x"});
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "t", "input": {}});
    let thought = json!({"type": "thinking", "thinking": "…", "signature": "s"});
    let messages = json!([
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [thought, text("b"), call("c1"), call("c2")]},
        {"role": "user", "content": [text("c"), result("c1", false), result("c2", true), text("d")]},
        {"role": "system", "content": [text("e")]},
        {"role": "system", "output_config": {"effort": "low"}},
        {"role": "assistant", "content": [thought]},
        {"role": "assistant", "content": []},
        {"role": "user", "content": [result("c3", false)]},
    ]);
    let system = json!([text("f"), text("g")]);
    ask(json!({"system": system, "messages": messages}), |ask| {
        let all: Vec<String> = ask.messages.iter().map(told).collect();
        assert_eq!(
            all,
            [
                "system: f|g",
                "user: a",
                "assistant: b|c1:t|c2:t",
                "tool: c1=1",
                "tool: c2=1!",
                "user: c|d",
                "system: e",
                "tool: c3=1",
            ]
        );
    });
}

#[test]
fn parameters_are_carried() {
    let fields = json!({"model": "claude-x", "system": "s", "temperature": 1, "top_p": 0.5,
        "top_k": 40, "stop_sequences": ["a", "b", "c", "d", "e"], "stream": true,
        "metadata": {"user_id": "ann", "more": 1}, "thinking": {"type": "adaptive"},
        "cache_control": {"type": "ephemeral"}, "betas": ["x"], "service_tier": "auto",
        "context_management": {"edits": []}});
    ask(fields, |ask| {
        assert_eq!((ask.model.as_ref(), ask.max_tokens, ask.stream), ("claude-x", Some(9), true));
        let numbers = (ask.temperature, ask.top_p, ask.top_k);
        assert_eq!(numbers, (Some(1.0), Some(0.5), Some(40)));
        assert_eq!(ask.stop, ["a", "b", "c", "d", "e"]);
        assert_eq!(ask.user.as_deref(), Some("ann"));
        assert_eq!(told(&ask.messages[0]), "system: s");
        assert!(ask.metadata.is_none() && ask.format.is_none() && ask.parallel_tools);
    });
    ask(json!({"top_k": 0, "model": null, "metadata": null}), |ask| {
        assert_eq!((ask.model.as_ref(), ask.top_k, ask.stream), (OWN_MODEL, None, false));
    });
}

#[test]
fn tools_and_their_choice_are_carried() {
    let tools = json!([
        {"name": "a", "description": "does a", "input_schema": {"type": "object"},
            "cache_control": {"type": "ephemeral"}, "strict": true},
        {"type": "custom", "name": "b", "input_schema": {"type": "object"}},
    ]);
    let named = ToolChoice::Named("b".into());
    for (choice, expected, parallel) in [
        (Value::Null, ToolChoice::Auto, true),
        (json!({"type": "auto", "disable_parallel_tool_use": true}), ToolChoice::Auto, false),
        (json!({"type": "any"}), ToolChoice::Required, true),
        (json!({"type": "none"}), ToolChoice::None, true),
        (json!({"type": "tool", "name": "b", "disable_parallel_tool_use": true}), named, false),
    ] {
        ask(json!({"tools": tools, "tool_choice": choice}), |ask| {
            assert_eq!((&ask.tool_choice, ask.parallel_tools), (&expected, parallel));
            assert_eq!(ask.tools[0].name, "a");
            assert_eq!(ask.tools[0].description.as_deref(), Some("does a"));
            assert_eq!(ask.tools[1].schema, r#"{"type":"object"}"#);
        });
    }
}

#[test]
fn a_format_may_stand_in_two_places() {
    let format = json!({"type": "json_schema", "schema": {"type": "object"}});
    for fields in [
        json!({"output_config": {"effort": "low", "format": format}}),
        json!({"output_format": format}),
        json!({"output_config": {"format": null}, "output_format": format}),
    ] {
        ask(fields, |ask| match &ask.format {
            Some(Format::JsonSchema { name: None, schema }) => {
                assert_eq!(schema, r#"{"type":"object"}"#);
            }
            other => panic!("{other:?}"),
        });
    }
}

#[test]
fn a_wrong_field_is_named() {
    let message = |message: Value| json!({"messages": [{"role": "user", "content": "a"}, message]});
    let tool = |tool: Value| json!({"tools": [tool]});
    let choice = |choice: Value| json!({"tools": [], "tool_choice": choice});
    for (fields, param) in [
        (json!({"max_tokens": null}), "max_tokens"),
        (json!({"max_tokens": 0}), "max_tokens"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": "a"}), "messages"),
        (json!({"messages": [{"role": "assistant", "content": []}]}), "messages"),
        (message(json!({"content": "a"})), "messages[1]"),
        (message(json!({"role": "tool", "content": "a"})), "messages[1].role"),
        (message(json!({"role": "user"})), "messages[1].content"),
        (message(json!({"role": "user", "content": []})), "messages[1].content"),
        (message(json!({"role": "user", "content": 5})), "messages[1].content"),
        (message(json!({"role": "user", "content": [{}]})), "messages[1].content[0]"),
        (
            message(json!({"role": "user", "content": [{"type": "text", "text": 5}]})),
            "messages[1].content[0].text",
        ),
        (
            message(json!({"role": "user", "content": [{"type": "video"}]})),
            "messages[1].content[0]",
        ),
        (message(json!({"role": "user", "content": "x".repeat(101)})), "messages[1].content"),
        (json!({"system": "x".repeat(101)}), "system"),
        (json!({"system": [{"type": "image"}]}), "system[0]"),
        (json!({"temperature": 1.1}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"top_p": -0.1}), "top_p"),
        (json!({"top_k": -1}), "top_k"),
        (json!({"stop_sequences": "a"}), "stop_sequences"),
        (json!({"stop_sequences": ["a", ""]}), "stop_sequences[1]"),
        (json!({"stream": "yes"}), "stream"),
        (json!({"model": ""}), "model"),
        (json!({"metadata": {"user_id": 5}}), "metadata.user_id"),
        (tool(json!({"type": "web_search_20250305", "name": "web_search"})), "tools[0]"),
        (tool(json!({"name": "a"})), "tools[0].input_schema"),
        (tool(json!({"input_schema": {}})), "tools[0].name"),
        (tool(json!({"name": "a", "input_schema": 5})), "tools[0]"),
        (choice(json!({"type": "any"})), "tool_choice"),
        (choice(json!({"type": "tool", "name": "a"})), "tool_choice"),
        (choice(json!({"type": "tool"})), "tool_choice.name"),
        (choice(json!({"type": "required"})), "tool_choice.type"),
        (choice(json!("auto")), "tool_choice"),
        (json!({"output_config": {"format": {"type": "xml"}}}), "output_config.format.type"),
        (json!({"output_format": {"type": "json_schema"}}), "output_format.schema"),
    ] {
        let body = body(fields);
        let Err(error) = parse(&body, &context()) else {
            panic!("accepted: {}", String::from_utf8_lossy(&body));
        };
        assert_eq!((error.status, error.param.as_deref()), (400, Some(param)), "{error:?}");
    }
}

#[test]
fn counting_takes_in_system_messages_tools_and_images() {
    let count = |fields: Value| -> u64 {
        let counted: Value = serde_json::from_slice(&count_tokens(&body(fields)).unwrap()).unwrap();
        counted["input_tokens"].as_u64().unwrap()
    };
    let bare = count(json!({"max_tokens": null}));
    let image = json!({"type": "image", "source":
        {"type": "base64", "media_type": "image/png", "data": "aGk="}});
    for (fields, least) in [
        (json!({"system": "be brief"}), 2),
        (
            json!({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}),
            2,
        ),
        (json!({"tools": [{"name": "a", "input_schema": {"type": "object"}}]}), 5),
        (json!({"messages": [{"role": "user", "content": [image]}]}), 50),
    ] {
        assert!(count(fields.clone()) >= bare + least, "{fields}");
    }
    assert_eq!(count_tokens(b"{}").unwrap_err().param.as_deref(), Some("messages"));
}
