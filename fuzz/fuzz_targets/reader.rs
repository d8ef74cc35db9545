//! Any answer of a model, in any pieces, read back under one of a few rules. The first byte chooses
//! the rules and how the answer stopped, the next eight the lengths of the pieces.
#![no_main]

use modeltap::chat::{Ask, Call, Event, Format, StopReason, Tool, ToolChoice};
use modeltap::host::reader::{Reader, Rules, Verdict};
use serde_json::Value;
use std::rc::Rc;

const OPEN: &str = "<tool_call>";

fn ask(rule: u8) -> Ask<'static> {
    let schema = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
    let tool =
        |name: &'static str| Tool { name: name.into(), description: None, schema: schema.into() };
    let tools = vec![tool("f"), tool("g")];
    let fits = || Format::JsonSchema { name: None, schema: schema.into() };
    match rule {
        0 => Ask::default(),
        1 => Ask { tools, tool_choice: ToolChoice::None, ..Ask::default() },
        2 => Ask { tools, ..Ask::default() },
        3 => Ask {
            tools,
            parallel_tools: false,
            tool_choice: ToolChoice::Required,
            ..Ask::default()
        },
        4 => Ask { tools, tool_choice: ToolChoice::Named("g".into()), ..Ask::default() },
        5 => Ask { tools, format: Some(Format::JsonObject), ..Ask::default() },
        6 => Ask { format: Some(Format::JsonObject), ..Ask::default() },
        _ => Ask { format: Some(fits()), ..Ask::default() },
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((first, rest)) = input.split_first() else { return };
    let Some((lengths, answer)) = rest.split_at_checked(8) else { return };
    let Ok(answer) = std::str::from_utf8(answer) else { return };
    let ask = ask(first & 7);
    let stop = match first >> 3 & 3 {
        0 => StopReason::EndTurn,
        1 => StopReason::MaxTokens,
        2 => StopReason::StopSequence,
        _ => StopReason::ToolUse,
    };
    let native = first & 32 != 0;
    let rules = Rc::new(Rules::of(&ask, native));
    let mut reader = Reader::new(rules.clone());
    let mut shown = String::new();
    for piece in modeltap_fuzz::pieces(answer, lengths) {
        match reader.text_event(piece.to_owned()) {
            Some(Event::Delta(text)) => shown.push_str(&text),
            Some(event) => panic!("{event:?}"),
            None => {}
        }
    }
    assert!(answer.starts_with(&shown), "shown {shown:?}");
    if first & 64 != 0 {
        reader.call(Call { id: "1".into(), name: "g".into(), arguments: "{\"a\":1}".into() });
    }
    let early = shown.len();
    let Verdict::Good(events) = reader.finish(stop, None) else {
        // A second try shows nothing, and is read like the first.
        let mut again = reader.again(rules);
        let event = again.text_event(answer.to_owned());
        assert!(early == 0 || event.is_none());
        again.finish(stop, None);
        reader.said();
        return;
    };
    let Some((Event::Done { stop: told, .. }, events)) = events.split_last() else {
        panic!("not ended: {events:?}");
    };
    let mut calls = Vec::new();
    for event in events {
        match event {
            Event::Delta(text) => shown.push_str(text),
            Event::ToolCall(call) => calls.push(call),
            event => panic!("{event:?}"),
        }
    }
    let in_words = !native && matches!(first & 7, 2..=5);
    if ask.format.is_none() {
        assert!(answer.starts_with(&shown), "shown {shown:?} of {answer:?}");
        if !in_words || calls.is_empty() && !answer.contains(OPEN) {
            assert_eq!(shown, answer);
        }
    } else if calls.is_empty() && stop != StopReason::MaxTokens {
        let value: Value = serde_json::from_str(&shown).expect("a structured answer is JSON");
        assert!(value.is_object() || first & 7 == 7);
    }
    if in_words {
        assert!(!shown.contains(OPEN), "markup in {shown:?}");
    }
    for call in &calls {
        let arguments: Value = serde_json::from_str(&call.arguments).expect("arguments are JSON");
        assert!(arguments.is_object() && !call.id.is_empty());
        let is_offered = match &ask.tool_choice {
            ToolChoice::Named(name) => call.name == *name,
            ToolChoice::None => false,
            _ => ["f", "g"].contains(&call.name.as_str()),
        };
        assert!(is_offered, "{call:?}");
    }
    if !ask.parallel_tools {
        assert!(calls.len() <= 1);
    }
    if stop != StopReason::MaxTokens {
        assert_eq!(*told == StopReason::ToolUse, !calls.is_empty());
    }
});
