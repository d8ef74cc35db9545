use super::*;

/// What an answer that comes in pieces of `size` bytes is read as.
fn read(answer: &str, size: usize) -> Result<Vec<Event>, Failure> {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    for piece in answer.as_bytes().chunks(size) {
        let mut new = Vec::new();
        let over = decoder.push(piece, &mut new);
        new.into_iter().for_each(|event| match event {
            Event::Delta(text) => push_text(&mut events, text),
            event => events.push(event),
        });
        if over? {
            break;
        }
    }
    decoder.end(&mut events)?;
    Ok(events)
}

fn done(stop: StopReason) -> Event {
    Event::Done { stop, model: Some("m1".into()) }
}

fn call(id: &str, name: &str, arguments: &str) -> Event {
    Event::ToolCall(Call { id: id.into(), name: name.into(), arguments: arguments.into() })
}

/// Lines of data, each a chunk with this choice.
fn stream(choices: &[&str]) -> String {
    let chunk = |choice: &&str| {
        format!("data: {{\"model\":\"m1\",\"choices\":[{{\"index\":0,{choice}}}]}}\n\n")
    };
    choices.iter().map(chunk).collect::<String>() + "data: [DONE]\n\n"
}

#[test]
fn a_stream_is_read_however_it_is_cut() {
    let tidy = stream(&[
        r#""delta":{"role":"assistant","content":""}"#,
        r#""delta":{"content":"Grüß "},"finish_reason":null"#,
        r#""delta":{"content":"Gott"}"#,
        r#""delta":{},"finish_reason":"stop""#,
    ]);
    let with_more = tidy.replace("\"delta\"", "\"message\":{\"content\":\"so far\"},\"delta\"");
    let untidy = ": hello\r\n\r\nevent: chunk\r\nid: 7\r\n".to_owned()
        + &tidy.replace('\n', "\r\n").replace("data: ", "data:");
    let last_line_open = tidy.trim_end().to_owned();
    let no_done = tidy.replace("data: [DONE]\n\n", "");
    for answer in [&tidy, &with_more, &untidy, &last_line_open, &no_done] {
        for size in [1, 2, 7, 50, 10_000] {
            let events = read(answer, size).unwrap();
            let expected = [Event::Delta("Grüß Gott".into()), done(StopReason::EndTurn)];
            assert_eq!(events, expected, "{size} {answer}");
        }
    }
}

#[test]
fn a_whole_answer_is_taken_too() {
    let whole = r#" {"id":"x","model":"m1","choices":[{"index":0,"finish_reason":"tool_calls",
        "message":{"role":"assistant","content":"I look.","refusal":null,"tool_calls":[
        {"id":"c1","type":"function","function":{"name":"look","arguments":"{\"a\":1}"}}]}}],
        "usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7,"more":{}}}"#;
    for size in [1, 10_000] {
        let events = read(whole, size).unwrap();
        let calls = call("c1", "look", "{\"a\":1}");
        let text = Event::Delta("I look.".into());
        assert_eq!(events, [text, calls, done(StopReason::ToolUse)]);
    }
    let no_reason = whole.replace("\"finish_reason\":\"tool_calls\",", "");
    assert_eq!(read(&no_reason, 99).unwrap().last(), Some(&done(StopReason::ToolUse)));
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    decoder.push(whole.as_bytes(), &mut events).unwrap();
    decoder.end(&mut events).unwrap();
    assert_eq!(decoder.usage().unwrap().total_tokens, Some(7));
}

#[test]
fn reasons_are_translated_and_missing_ones_inferred() {
    for (reason, stop) in [
        ("\"stop\"", StopReason::EndTurn),
        ("\"length\"", StopReason::MaxTokens),
        ("\"eos\"", StopReason::EndTurn),
        ("null", StopReason::EndTurn),
        ("\"\"", StopReason::EndTurn),
    ] {
        let answer = stream(&[&format!(r#""delta":{{"content":"x"}},"finish_reason":{reason}"#)]);
        assert_eq!(read(&answer, 99).unwrap(), [Event::Delta("x".into()), done(stop)]);
    }
    // Some tell a reason with every chunk.
    let every = r#""delta":{"content":"x"},"finish_reason":"stop""#;
    let events = read(&stream(&[every, every]), 9999).unwrap();
    assert_eq!(events, [Event::Delta("xx".into()), done(StopReason::EndTurn)]);
    for (reason, kind) in
        [("content_filter", FailureKind::Denied), ("error", FailureKind::Upstream)]
    {
        let answer = stream(&[&format!(r#""delta":{{}},"finish_reason":"{reason}""#)]);
        assert_eq!(read(&answer, 99).unwrap_err().kind, kind);
    }
}

#[test]
fn fragments_of_calls_find_each_other() {
    let tidy = stream(&[
        r#""delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#,
        r#""delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g"}}]}"#,
        r#""delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}}]}"#,
        r#""delta":{"tool_calls":[{"index":0,"id":"","function":{"name":"","arguments":":1}"}}]}"#,
        r#""delta":{},"finish_reason":"tool_calls""#,
    ]);
    let one_index = stream(&[
        r#""delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"x":1}}}]}"#,
        r#""delta":{"tool_calls":[{"index":0,"id":"b","function":{"name":"g"}}]},"finish_reason":"stop""#,
    ]);
    let no_index = one_index.replace("\"index\":0,\"id\"", "\"id\"");
    let with_every_piece = stream(&[
        r#""delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}"#,
        r#""delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1}"}}]}"#,
        r#""delta":{"tool_calls":[{"id":"b","function":{"name":"g","arguments":null}}]}"#,
    ]);
    for answer in [tidy, one_index, no_index, with_every_piece] {
        let expected =
            [call("a", "f", "{\"x\":1}"), call("b", "g", "{}"), done(StopReason::ToolUse)];
        assert_eq!(read(&answer, 33).unwrap(), expected, "{answer}");
    }
    let nameless = r#""delta":{"tool_calls":[{"index":0,"function":{"name":"f"}},{"id":"x"}]}"#;
    let events = read(&stream(&[nameless]), 99).unwrap();
    let [Event::ToolCall(only), _] = &events[..] else { panic!("{events:?}") };
    assert!(only.id.starts_with("call_") && only.id.len() > 20);
}

#[test]
fn refusals_and_parts_are_text() {
    let answer = stream(&[
        r#""delta":{"content":[{"type":"thinking","thinking":[]},{"type":"text","text":"I "}]}"#,
        r#""delta":{"refusal":"won't"}"#,
    ]);
    let expected = [Event::Delta("I won't".into()), done(StopReason::EndTurn)];
    assert_eq!(read(&answer, 99).unwrap(), expected);
    // Nobody asked for a second choice.
    let second = answer.replace("\"index\":0", "\"index\":1");
    assert_eq!(read(&second, 99).unwrap(), [done(StopReason::EndTurn)]);
}

#[test]
fn a_damaged_answer_is_read_the_same_however_it_is_cut() {
    let whole = stream(&[
        r#""delta":{"content":"Grüß "}"#,
        r#""delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
        r#""delta":{},"finish_reason":"length""#,
    ]);
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut state = seed;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for _ in 0..3000 {
        let mut chars: Vec<char> = whole.chars().collect();
        for _ in 0..=random(3) {
            let at = random(chars.len());
            match random(3) {
                0 if chars.len() > 1 => drop(chars.remove(at)),
                1 => chars.truncate(at + 1),
                _ => chars[at] = ['\n', '"', '{', '}', 'x', ','][random(6)],
            }
        }
        let damaged: String = chars.into_iter().collect();
        let read = |size| {
            let mut events = read(&damaged, size);
            for event in events.iter_mut().flatten() {
                // Where the endpoint gave none, each reading makes one up.
                if let Event::ToolCall(call) = event {
                    call.id.clear();
                }
            }
            events
        };
        assert_eq!(read(1), read(usize::MAX), "{damaged}");
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    let half = stream(&[r#""delta":{"content":"x"}"#]).replace("data: [DONE]\n\n", "");
    for (answer, why) in [
        ("", "empty"),
        (" \n\n", "empty"),
        ("<html>Welcome</html>\n", "/v1"),
        ("{}", "/v1"),
        ("{\"choices\":[", "EOF"),
        ("data: {\"choices\":7}\n\n", "invalid type"),
        ("data: nonsense\n\n", "expected"),
        (&half, "broke off"),
    ] {
        let failure = read(answer, 5).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Upstream);
        assert!(failure.message.contains(why), "{answer}: {}", failure.message);
    }
    let deep = format!("data: {}\n\n", "[".repeat(100_000));
    assert!(read(&deep, 5000).is_err());
}

#[test]
fn an_error_within_a_stream_is_one() {
    let before = stream(&[r#""delta":{"content":"x"}"#]).replace("data: [DONE]\n\n", "");
    let answer = before + "data: {\"error\":{\"message\":\"out of memory\",\"code\":500}}\n\n";
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    let failure = decoder.push(answer.as_bytes(), &mut events).unwrap_err();
    assert!(failure.message.contains("out of memory"), "{}", failure.message);
    assert_eq!(events, [Event::Delta("x".into())]);
}

#[test]
fn lines_and_answers_are_bounded() {
    let (mut decoder, mut events) = (Decoder::default(), Vec::new());
    let piece = vec![b'x'; 1024 * 1024];
    let fault = (0..9).find_map(|_| decoder.push(&piece, &mut events).err()).unwrap();
    assert!(fault.message.contains("8 MiB"), "{}", fault.message);
    let mut decoder = Decoder::default();
    let piece = vec![b'\n'; 1024 * 1024];
    decoder.push(b":\n", &mut events).unwrap();
    let fault = (0..65).find_map(|_| decoder.push(&piece, &mut events).err()).unwrap();
    assert!(fault.message.contains("64 MiB"), "{}", fault.message);
}
