//! From the body to the [`Ask`].

use super::read;
use crate::api::Kept;
use crate::chat::{Ask, Format, Part};
use serde_json::{Value, json};
use std::sync::Arc;

/// The conversation in one line.
fn told(ask: &Ask) -> String {
    let messages = ask.messages.iter().map(|message| {
        let parts: Vec<String> = message.parts.iter().map(part).collect();
        format!("{}: {}", message.role.as_str(), parts.join(" + "))
    });
    messages.collect::<Vec<_>>().join(" | ")
}

fn part(part: &Part) -> String {
    match part {
        Part::Text(text) => text.to_string(),
        Part::Image { mime, data } => format!("[{mime} {data}]"),
        Part::ToolCall { id, name, arguments } => format!("{id}={name}({arguments})"),
        Part::ToolResult { id, content, is_error } => {
            assert!(!is_error);
            let content: Vec<String> = content.iter().map(self::part).collect();
            format!("{id}->{}", content.join(","))
        }
    }
}

#[test]
fn input_becomes_messages() {
    let call = |id: &str| {
        json!({"type": "function_call", "id": "fc", "call_id": id, "name": "f",
            "arguments": "{\"a\":1}", "status": "completed"})
    };
    let says = |role: &str, text: &str| json!({"role": role, "content": text});
    let png = "data:image/png;base64,aGk=";
    for (input, expected) in [
        (json!("Hi"), "user: Hi"),
        (json!("line\nend"), "user: line\nend"),
        (
            json!([
                says("system", "a"),
                says("developer", "b"),
                says("user", "c"),
                says("assistant", "d")
            ]),
            "system: a | system: b | user: c | assistant: d",
        ),
        (
            json!([{"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Look:"},
                {"type": "input_image", "image_url": png, "detail": "auto"}]}]),
            "user: Look: + [image/png aGk=]",
        ),
        (
            json!([{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [
                {"type": "output_text", "text": "No", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "never"}]}]),
            "assistant: No + never",
        ),
        // Calls join the reply that they were part of, results stay alone.
        (
            json!([says("user", "q"), says("assistant", "t"), call("c1"), call("c2"),
                {"type": "function_call_output", "call_id": "c1", "output": "18C"},
                {"type": "function_call_output", "call_id": "c2", "output": [
                    {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": png}]},
                says("user", "more")]),
            "user: q | assistant: t + c1=f({\"a\":1}) + c2=f({\"a\":1}) | tool: c1->18C | \
             tool: c2->see,[image/png aGk=] | user: more",
        ),
        (json!([call("c1")]), "assistant: c1=f({\"a\":1})"),
        // What a model thought, or did by itself, is left out.
        (
            json!([says("user", "q"),
                {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "hm"}],
                 "content": [{"type": "reasoning_text", "text": "hm"}], "encrypted_content": "x"},
                {"type": "web_search_call", "id": "w", "status": "completed", "action": {}},
                call("c1")]),
            "user: q | assistant: c1=f({\"a\":1})",
        ),
        (
            json!([says("user", "q"),
                {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "a\"b"},
                {"type": "custom_tool_call_output", "call_id": "c", "output": "done"}]),
            "user: q | assistant: c=patch({\"input\":\"a\\\"b\"}) | tool: c->done",
        ),
    ] {
        let body = json!({"input": input});
        let found = read(&body, None, |parsed| told(&parsed.unwrap().ask));
        assert_eq!(found, expected);
    }
}

#[test]
fn a_stored_response_and_instructions_go_before_the_input() {
    let conversation = r#"[{"role":"user","content":"one\n"},
        {"type":"message","role":"assistant","content":[{"type":"output_text","text":"two"}]},
        {"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]"#;
    let kept = Arc::new(Kept {
        id: "resp_1".into(),
        response: Vec::new(),
        conversation: conversation.into(),
        inputs: 1,
    });
    let body = json!({"instructions": "Be brief.", "previous_response_id": "resp_1",
        "input": [{"type": "function_call_output", "call_id": "c", "output": "ok"}]});
    let found = read(&body, Some(&kept), |parsed| told(&parsed.unwrap().ask));
    assert_eq!(found, "system: Be brief. | user: one\n | assistant: two + c=f({}) | tool: c->ok");
}

#[test]
fn parameters_keep_their_meaning() {
    let body = json!({
        "model": "gpt-x", "input": "q", "max_output_tokens": 9, "temperature": 0.25, "top_p": 0.5,
        "user": "ann", "metadata": {"k": "v"}, "stream": true, "parallel_tool_calls": false,
        "tools": [{"type": "function", "name": "f", "description": "does", "strict": true,
            "parameters": {"type": "object"}}, {"type": "function", "name": "g", "parameters": null}],
        "tool_choice": {"type": "function", "name": "g"},
        "text": {"verbosity": "low", "format": {"type": "json_schema", "name": "n", "strict": true,
            "schema": {"type": "object"}}},
        "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"},
        "truncation": "auto", "service_tier": "flex", "prompt_cache_key": "p",
        "safety_identifier": "s", "client_metadata": {"a": {}}, "stream_options": {}, "more": [],
        "conversation": null, "prompt": null, "background": false, "top_logprobs": 0,
    });
    read(&body, None, |parsed| {
        let ask = parsed.unwrap().ask;
        let numbers = (ask.max_tokens, ask.temperature, ask.top_p, ask.top_k, ask.seed);
        assert_eq!(numbers, (Some(9), Some(0.25), Some(0.5), None, None));
        assert_eq!((&*ask.model, ask.user.as_deref()), ("gpt-x", Some("ann")));
        assert_eq!(json!(ask.metadata), json!({"k": "v"}));
        assert!(ask.stream && !ask.parallel_tools && ask.stop.is_empty());
        let tools: Vec<_> = ask
            .tools
            .iter()
            .map(|tool| (&*tool.name, tool.description.as_deref(), &*tool.schema))
            .collect();
        let object = "{\"type\":\"object\"}";
        assert_eq!(tools, [("f", Some("does"), object), ("g", None, object)]);
        assert_eq!(format!("{:?}", ask.tool_choice), "Named(\"g\")");
        assert!(matches!(ask.format, Some(Format::JsonSchema { name: Some(name), schema })
            if name == "n" && schema == object));
    });
    for (format, expected) in [
        (json!(null), "None"),
        (json!({}), "None"),
        (json!({"format": {"type": "text"}}), "None"),
        (json!({"format": {"type": "json_object"}}), "Some(JsonObject)"),
    ] {
        let body = json!({"input": "q", "text": format});
        let found = read(&body, None, |parsed| format!("{:?}", parsed.unwrap().ask.format));
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn a_choice_of_tools_is_read_in_each_form() {
    let function = |name: &str| json!({"type": "function", "name": name});
    for (choice, expected, names) in [
        (json!(null), "Auto", "fg"),
        (json!("auto"), "Auto", "fg"),
        (json!("none"), "None", "fg"),
        (json!("required"), "Required", "fg"),
        (function("g"), "Named(\"g\")", "fg"),
        (
            json!({"type": "allowed_tools", "mode": "required", "tools": [function("g")]}),
            "Required",
            "g",
        ),
        (json!({"type": "allowed_tools", "mode": "auto", "tools": []}), "Auto", ""),
    ] {
        let body = json!({"input": "q", "tools": [function("f"), function("g")],
            "tool_choice": choice});
        let found = read(&body, None, |parsed| {
            let ask = parsed.unwrap().ask;
            let names: String = ask.tools.iter().map(|tool| tool.name.to_string()).collect();
            (format!("{:?}", ask.tool_choice), names)
        });
        assert_eq!(found, (expected.to_owned(), names.to_owned()), "{choice}");
    }
}

#[test]
fn what_codex_sends_along_is_left_out_where_functions_remain() {
    let codex = json!([
        {"type": "function", "name": "exec_command", "strict": false, "parameters": {"type": "object"}},
        {"type": "namespace", "name": "agents", "description": "", "tools": [
            {"type": "function", "name": "close", "parameters": {}}]},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar"}},
        {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
        {"type": "web_search", "external_web_access": true},
    ]);
    let body = json!({"input": "q", "tools": codex});
    let names = read(&body, None, |parsed| {
        let tools = parsed.unwrap().ask.tools;
        tools.iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>()
    });
    assert_eq!(names, ["exec_command"]);
}

#[test]
fn a_wrong_field_is_named() {
    let with = |key: &str, value: Value| {
        let mut body = json!({"input": "q", "tools": [{"type": "function", "name": "f"}]});
        body[key] = value;
        (body, key.to_owned())
    };
    let at = |param: &str, (body, _): (Value, String)| (body, param.to_owned());
    let item = |param: &str, item: Value| {
        at(param, with("input", json!([{"role": "user", "content": ""}, item])))
    };
    let part =
        |part: Value| item("input[1].content[0]", json!({"role": "user", "content": [part]}));
    let tool = |tool: Value| at("tools[0]", with("tools", json!([tool])));
    let function = json!({"type": "function", "name": "f"});
    for (body, param) in [
        with("input", Value::Null),
        with("input", json!([])),
        with("input", 5.into()),
        with("input", json!([{"type": "reasoning", "summary": []}])),
        with("model", 4.into()),
        with("model", "".into()),
        with("instructions", 4.into()),
        with("instructions", "x".repeat(100).into()),
        with("input", "x".repeat(100).into()),
        with("temperature", 2.1.into()),
        with("top_p", json!(-0.1)),
        with("max_output_tokens", 0.into()),
        with("metadata", "x".into()),
        with("store", "yes".into()),
        with("stream", 1.into()),
        with("background", true.into()),
        with("conversation", "conv_1".into()),
        with("conversation", json!({"id": "conv_1"})),
        with("prompt", json!({"id": "p"})),
        with("include", json!(["message.output_text.logprobs"])),
        with("top_logprobs", 2.into()),
        with("previous_response_id", "resp_2".into()),
        with("tool_choice", "any".into()),
        with("tool_choice", json!({"type": "function", "name": "g"})),
        with("tool_choice", json!({"type": "function"})),
        with("tool_choice", json!({"type": "web_search"})),
        with("tool_choice", json!({"type": "allowed_tools", "tools": [], "mode": "required"})),
        with("tool_choice", json!({"type": "allowed_tools", "tools": [function]})),
        at("text.format.type", with("text", json!({"format": {"type": "xml"}}))),
        at("text.format.schema", with("text", json!({"format": {"type": "json_schema"}}))),
        at("tools[0].strict", with("tools", json!([{"type": "function", "strict": 1}]))),
        at("tools[1]", with("tools", json!([function, function]))),
        tool(json!({"type": "function"})),
        tool(json!({"type": "function", "name": "f", "parameters": []})),
        tool(json!({"type": "web_search"})),
        tool(json!({"type": "custom", "name": "patch"})),
        tool(json!({"type": "namespace", "name": "n", "tools": []})),
        tool(json!({"type": "file_search", "vector_store_ids": ["v"]})),
        tool(json!({"type": "code_interpreter", "container": {"type": "auto"}})),
        tool(json!({"type": "computer_use_preview"})),
        tool(json!({"type": "mcp", "server_label": "s"})),
        tool(json!({"type": "image_generation"})),
        tool(json!({"type": "local_shell"})),
        tool(json!({"type": "shell"})),
        tool(json!({"type": "apply_patch"})),
        item("input[1].id", json!({"type": "item_reference", "id": "m"})),
        item("input[1]", json!({"type": "additional_tools", "tools": []})),
        item("input[1]", json!({"type": "compaction", "encrypted_content": "x"})),
        item("input[1].role", json!({"content": ""})),
        item("input[1].role", json!({"role": "tool", "content": ""})),
        item("input[1].content", json!({"role": "user"})),
        item("input[1].content", json!({"role": "user", "content": 5})),
        item("input[1].name", json!({"type": "function_call", "call_id": "c", "arguments": ""})),
        item("input[1].call_id", json!({"type": "function_call", "name": "f", "arguments": ""})),
        item("input[1].arguments", json!({"type": "function_call", "name": "f", "call_id": "c"})),
        item("input[1].output", json!({"type": "function_call_output", "call_id": "c"})),
        item("input[1].call_id", json!({"type": "function_call_output", "output": ""})),
        item(
            "input[1].output[0]",
            json!({"type": "function_call_output", "call_id": "c",
            "output": [{"type": "input_file", "file_id": "f"}]}),
        ),
        item("input[1]", json!({"role": "user", "content": "x".repeat(100)})),
        part(json!({"type": "input_text"})),
        part(json!({"type": "input_file", "file_data": "x"})),
        part(json!({"type": "input_audio", "input_audio": {}})),
        part(json!({"type": "input_image", "file_id": "f"})),
        part(json!({"type": "input_image", "image_url": "https://example.org/a.png"})),
    ] {
        let error = read(&body, None, |parsed| match parsed {
            Ok(_) => panic!("{body} was taken"),
            Err(error) => error,
        });
        assert_eq!((error.status, error.param.as_deref()), (400, Some(param.as_str())), "{body}");
        assert!(!error.message.is_empty());
    }
    let (body, _) = with("previous_response_id", "resp_2".into());
    let code = read(&body, None, |parsed| parsed.err().map(|error| error.code));
    assert_eq!(code, Some("previous_response_not_found"));
    let (body, _) = tool(json!({"type": "file_search"}));
    let said = read(&body, None, |parsed| parsed.err().map(|error| error.message)).unwrap();
    assert!(said.contains("file_search"), "{said}");
}
