//! An endpoint's answer as events: server-sent events as they come in pieces, or one whole JSON,
//! whichever it sends. Pure: bytes in, events out. Field names are those of OpenAI's
//! `chat/completions`; what else stands there is ignored.

use super::fault;
use crate::chat::{Call, Event, Failure, FailureKind, StopReason};
use crate::exchange::CallId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest line of a stream, in bytes.
const LONGEST_LINE: usize = 8 * 1024 * 1024;
/// The largest answer, in bytes.
const LARGEST: usize = 64 * 1024 * 1024;

/// Counts of tokens, as the endpoint told them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // The names are OpenAI's.
pub struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
}

/// A whole `chat.completion`, or a chunk of one.
#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Choice>>,
    model: Option<String>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    index: Option<u64>,
    /// Of a stream; some endpoints add the message so far.
    delta: Option<Said>,
    /// Of a whole answer; some endpoints add an empty delta.
    message: Option<Said>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    content: Option<Content>,
    refusal: Option<String>,
    tool_calls: Option<Vec<Fragment>>,
}

/// A text, or parts, of which those with text count.
#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Deserialize)]
struct ContentPart {
    text: Option<String>,
}

/// A piece of a tool call, or a whole one.
#[derive(Deserialize)]
struct Fragment {
    index: Option<u64>,
    id: Option<String>,
    function: Option<Function>,
}

#[derive(Deserialize)]
struct Function {
    name: Option<String>,
    arguments: Option<Arguments>,
}

/// JSON text as OpenAI has it, or the JSON itself as some endpoints do.
#[derive(Deserialize)]
#[serde(untagged)]
enum Arguments {
    Text(String),
    Json(Value),
}

/// A tool call as far as it has come.
struct Partial {
    index: Option<u64>,
    call: Call,
}

/// In which form the answer comes, which its first byte tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Unknown,
    Stream,
    Whole,
}

/// Reads one answer.
pub struct Decoder {
    form: Form,
    /// What came behind the last end of a line, or all of a whole answer.
    rest: Vec<u8>,
    total: usize,
    calls: Vec<Partial>,
    model: Option<String>,
    /// The last reason that was told: some endpoints tell one with every chunk.
    finish: Option<String>,
    usage: Option<Usage>,
    /// Whether there was a choice at all.
    begun: bool,
    over: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Decoder {
            form: Form::Unknown,
            rest: Vec::new(),
            total: 0,
            calls: Vec::new(),
            model: None,
            finish: None,
            usage: None,
            begun: false,
            over: false,
        }
    }
}

impl Decoder {
    /// Takes more of the answer and adds the events that it brings, adjacent texts as one. Whether
    /// the answer is over: then nothing more need be read.
    ///
    /// # Errors
    /// What came is no answer, or too large. Events from before the fault are added all the same.
    pub fn push(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<bool, Failure> {
        self.total = self.total.saturating_add(bytes.len());
        if self.total > LARGEST {
            return Err(unusable(&format!("is over {} MiB", LARGEST >> 20)));
        }
        if self.form == Form::Unknown {
            bytes = bytes.trim_ascii_start();
            self.form = match bytes.first() {
                None => return Ok(false),
                Some(b'{') => Form::Whole,
                Some(_) => Form::Stream,
            };
        }
        if self.form == Form::Whole {
            self.rest.extend_from_slice(bytes);
            return Ok(false);
        }
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (line, after) = bytes.split_at(end);
            bytes = after.get(1..).unwrap_or_default();
            self.extend_line(line)?;
            let line = std::mem::take(&mut self.rest);
            self.line(&line, events)?;
            if self.over {
                return Ok(true);
            }
            // Its memory is good for the next line too.
            self.rest = line;
            self.rest.clear();
        }
        self.extend_line(bytes)?;
        Ok(false)
    }

    /// The end of the answer: tool calls, and why it ended.
    ///
    /// # Errors
    /// It was no answer, or not a whole one.
    pub fn end(&mut self, events: &mut Vec<Event>) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.rest);
        match self.form {
            Form::Whole => self.json(&rest, events)?,
            _ => self.line(&rest, events)?,
        }
        match (self.form, self.begun) {
            (Form::Unknown, _) => return Err(unusable("is empty")),
            (Form::Stream, true) if !self.over && self.finish.is_none() => {
                return Err(unusable("broke off before its end"));
            }
            (_, false) if !self.over => {
                let why = "is no chat completion; is --forward its URL up to and with /v1?";
                return Err(unusable(why));
            }
            _ => {}
        }
        let has_calls = !self.calls.is_empty();
        let stop = match self.finish.as_deref() {
            Some("length" | "max_tokens") => StopReason::MaxTokens,
            Some("content_filter") => {
                let said = "the content filter of the forward endpoint ended the answer";
                return Err(Failure::new(FailureKind::Denied, said));
            }
            Some("error") => return Err(unusable("ended with an error that it does not tell")),
            _ if has_calls => StopReason::ToolUse,
            _ => StopReason::EndTurn,
        };
        let calls = self.calls.drain(..).map(|partial| partial.call);
        events.extend(calls.filter(|call| !call.name.is_empty()).map(|mut call| {
            if call.id.is_empty() {
                call.id = format!("call_{}", CallId::random());
            }
            if call.arguments.is_empty() {
                call.arguments.push_str("{}");
            }
            Event::ToolCall(call)
        }));
        events.push(Event::Done { stop, model: self.model.take() });
        Ok(())
    }

    /// Whether the answer itself is whole, though its stream is not over.
    pub fn has_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Counts of tokens, where they were told.
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref()
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.rest.len() + bytes.len() > LONGEST_LINE {
            return Err(unusable(&format!("has a line over {} MiB", LONGEST_LINE >> 20)));
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    /// One line of a stream. Endpoints send each JSON on one line, so that an event need not be
    /// gathered from several; comments and other fields say nothing here.
    fn line(&mut self, line: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let Some(data) = line.strip_prefix(b"data:") else { return Ok(()) };
        match data.trim_ascii() {
            b"" => Ok(()),
            b"[DONE]" => {
                self.over = true;
                Ok(())
            }
            json => self.json(json, events),
        }
    }

    fn json(&mut self, json: &[u8], events: &mut Vec<Event>) -> Result<(), Failure> {
        let chunk: Chunk = serde_json::from_slice(json)
            .map_err(|e| unusable(&format!("is no chat completion ({e})")))?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(fault::told(&error));
        }
        self.model = self.model.take().or(chunk.model.filter(|model| !model.is_empty()));
        self.usage = chunk.usage.or(self.usage.take());
        // More than the one choice was not asked for.
        let choices = chunk.choices.unwrap_or_default();
        for choice in choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            self.begun = true;
            let said = match self.form {
                Form::Whole => choice.message.or(choice.delta),
                _ => choice.delta.or(choice.message),
            };
            if let Some(said) = said {
                for text in [said.content.map(text_of), said.refusal].into_iter().flatten() {
                    push_text(events, text);
                }
                for fragment in said.tool_calls.unwrap_or_default() {
                    self.fragment(fragment);
                }
            }
            self.finish = choice.finish_reason.filter(|r| !r.is_empty()).or(self.finish.take());
        }
        Ok(())
    }

    /// Adds a fragment to its call. A new id begins a new call, since some endpoints give all of
    /// theirs the same index, or none.
    fn fragment(&mut self, fragment: Fragment) {
        let id = fragment.id.unwrap_or_default();
        let same = |partial: &Partial| {
            let same_index = fragment.index.is_none() || partial.index == fragment.index;
            same_index && (id.is_empty() || partial.call.id == id)
        };
        let at = self.calls.iter().rposition(same).unwrap_or_else(|| {
            let call = Call { id, name: String::new(), arguments: String::new() };
            self.calls.push(Partial { index: fragment.index, call });
            self.calls.len() - 1
        });
        let Some(Partial { call, .. }) = self.calls.get_mut(at) else { return };
        let Some(function) = fragment.function else { return };
        // The name comes whole, and from some endpoints with every fragment.
        if let Some(name) = function.name.filter(|name| !name.is_empty()) {
            call.name = name;
        }
        match function.arguments {
            Some(Arguments::Text(text)) => call.arguments.push_str(&text),
            Some(Arguments::Json(Value::Null)) | None => {}
            Some(Arguments::Json(json)) => call.arguments.push_str(&json.to_string()),
        }
    }
}

fn text_of(content: Content) -> String {
    match content {
        Content::Text(text) => text,
        Content::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
    }
}

fn push_text(events: &mut Vec<Event>, text: String) {
    match events.last_mut() {
        _ if text.is_empty() => {}
        Some(Event::Delta(before)) => before.push_str(&text),
        _ => events.push(Event::Delta(text)),
    }
}

fn unusable(why: &str) -> Failure {
    Failure::new(FailureKind::Upstream, format!("the forward endpoint's answer {why}"))
}

#[cfg(test)]
mod tests {
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
            let answer =
                stream(&[&format!(r#""delta":{{"content":"x"}},"finish_reason":{reason}"#)]);
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
}
