//! Reads a model's answer back: tool calls out of its text, JSON checked against what was asked
//! for. What cannot be used is named, so that the model can be asked once more.

use super::markup::{CLOSE, OPEN};
use super::schema::{self, Misfit};
use super::{markup, prompt};
use crate::chat::{Ask, Call, Event, Format, StopReason, ToolChoice};
use crate::exchange::CallId;
use crate::mcp::rpc::json;
use serde_json::Value;
use std::rc::Rc;

/// What an answer to a request must be like.
pub struct Rules {
    /// Whether tools were asked for in words, so that calls stand in the text.
    in_words: bool,
    /// Name and schema of each tool that may be called.
    tools: Vec<(String, String)>,
    must_call: bool,
    one_call: bool,
    format: Option<Form>,
}

enum Form {
    Object,
    Fits(String),
}

impl Rules {
    /// The rules for `ask`, by a way that takes tools as they are or not.
    pub fn of(ask: &Ask, native_tools: bool) -> Self {
        let name_and_schema =
            |tool: &crate::chat::Tool| (tool.name.to_string(), tool.schema.to_string());
        Rules {
            in_words: prompt::asks_for_tools_in_words(ask, native_tools),
            tools: prompt::offered(ask).map(name_and_schema).collect(),
            must_call: matches!(ask.tool_choice, ToolChoice::Required | ToolChoice::Named(_)),
            one_call: !ask.parallel_tools,
            format: ask.format.as_ref().map(|format| match format {
                Format::JsonObject => Form::Object,
                Format::JsonSchema { schema, .. } => Form::Fits(schema.to_string()),
            }),
        }
    }
}

/// What an answer turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Good: the events that were held back, the last of them [`Event::Done`].
    Good(Vec<Event>),
    /// Of no use, for this reason.
    Bad(String),
}

/// Reads one answer.
pub struct Reader {
    rules: Rc<Rules>,
    /// All text so far; up to `shown` it was passed on.
    text: String,
    shown: usize,
    /// Whether the client has the text of this answer already, from a first try.
    mute: bool,
    /// Calls that came as such.
    calls: Vec<Call>,
}

impl Reader {
    /// At the beginning of an answer.
    pub fn new(rules: Rc<Rules>) -> Self {
        Reader { rules, text: String::new(), shown: 0, mute: false, calls: Vec::new() }
    }

    /// At the beginning of another try, perhaps by another way, whose rules these are.
    pub fn again(&self, rules: Rc<Rules>) -> Self {
        Reader { mute: self.mute || self.shown > 0, ..Reader::new(rules) }
    }

    /// Whether something of the answer has come.
    pub fn has_begun(&self) -> bool {
        self.shown > 0 || !self.text.is_empty() || !self.calls.is_empty()
    }

    /// The answer so far as the model said it, calls in words.
    pub fn said(&self) -> String {
        let mut said = self.text.clone();
        for Call { name, arguments, .. } in &self.calls {
            let name = json(name);
            said.push_str(&format!("{OPEN}{{\"name\":{name},\"arguments\":{arguments}}}{CLOSE}"));
        }
        said
    }

    /// Takes text; what of it can be passed on at once.
    pub fn text_event(&mut self, text: String) -> Option<Event> {
        if self.rules.is_plain() && !self.mute {
            self.shown += text.len();
            return Some(Event::Delta(text));
        }
        self.text.push_str(&text);
        if self.mute || self.rules.format.is_some() {
            return None;
        }
        let rest = &self.text[self.shown..];
        let end = match self.rules.in_words {
            true => markup::safe_end(rest, self.shown == 0),
            false => rest.len(),
        };
        let shown = rest[..end].to_owned();
        self.shown += end;
        (!shown.is_empty()).then_some(Event::Delta(shown))
    }

    /// Takes a call that came as such.
    pub fn call(&mut self, call: Call) {
        self.calls.push(call);
    }

    /// The end of the answer.
    pub fn finish(&mut self, stop: StopReason, model: Option<String>) -> Verdict {
        let rules = self.rules.clone();
        let mut calls = self.calls.clone();
        let mut text = self.text.as_str();
        if rules.in_words {
            // What was shown as text is text, whatever it looks like in the end.
            let shown = self.shown;
            let offered =
                |name: &str| shown == 0 && rules.tools.iter().any(|(tool, _)| tool == name);
            let (before, written) = markup::read(text, offered);
            // Cut off by its limit in the middle of a call: what came before it is the answer.
            let cut = stop == StopReason::MaxTokens;
            for call in written {
                match call {
                    Ok((name, arguments)) => calls.push(Call {
                        id: format!("call_{}", CallId::random()),
                        name,
                        arguments: json(&arguments),
                    }),
                    Err(_) if cut => {}
                    Err(fault) => return Verdict::Bad(fault),
                }
            }
            text = before;
        }
        if rules.one_call {
            calls.truncate(1);
        }
        if let Some(fault) = calls.iter().find_map(|call| rules.fault(call)) {
            return Verdict::Bad(fault);
        }
        if calls.is_empty() && rules.must_call && stop != StopReason::MaxTokens {
            return Verdict::Bad("it calls no tool, and it must".into());
        }
        let mut held = text.get(self.shown..).unwrap_or_default().to_owned();
        if let (Some(form), true) = (&rules.format, calls.is_empty()) {
            match form.read(text) {
                Ok(whole) => held = whole,
                // Cut off by its limit; the client is told so, and gets what there is.
                Err(_) if stop == StopReason::MaxTokens => {}
                Err(fault) => return Verdict::Bad(fault),
            }
        }
        let mut events = Vec::new();
        if !held.is_empty() && !self.mute {
            events.push(Event::Delta(held));
        }
        let stop = match stop {
            StopReason::MaxTokens => stop,
            _ if !calls.is_empty() => StopReason::ToolUse,
            StopReason::ToolUse => StopReason::EndTurn,
            stop => stop,
        };
        events.extend(calls.into_iter().map(Event::ToolCall));
        events.push(Event::Done { stop, model });
        Verdict::Good(events)
    }
}

impl Rules {
    /// Whether text passes as it comes.
    fn is_plain(&self) -> bool {
        self.tools.is_empty() && self.format.is_none()
    }

    /// What is wrong with a call.
    fn fault(&self, call: &Call) -> Option<String> {
        let Some((_, schema)) = self.tools.iter().find(|(name, _)| *name == call.name) else {
            return Some(format!("it calls {:?}, which is not a tool on offer", call.name));
        };
        let arguments: Option<Value> = serde_json::from_str(&call.arguments).ok();
        let Some(arguments) = arguments.filter(Value::is_object) else {
            return Some(format!("the arguments of {} are not a JSON object", call.name));
        };
        match schema::check(schema, &arguments) {
            // A client whose schema is of no use here may make sense of the arguments itself.
            Ok(()) | Err(Misfit::Schema(_)) => None,
            Err(Misfit::Value(fault)) => {
                Some(format!("the arguments of {} do not fit its schema: {fault}", call.name))
            }
        }
    }
}

impl Form {
    /// The answer's JSON text, without what models put around it.
    fn read(&self, text: &str) -> Result<String, String> {
        let text = markup::unfenced(text);
        let value = markup::json(text).ok_or("it is not JSON")?;
        let fits = match self {
            Form::Object if !value.is_object() => Err("it is not a JSON object".to_owned()),
            Form::Object => Ok(()),
            Form::Fits(schema) => match schema::check(schema, &value) {
                Err(Misfit::Schema(fault) | Misfit::Value(fault)) => Err(fault),
                Ok(()) => Ok(()),
            },
        };
        fits.map_err(|fault| format!("it does not fit its schema: {fault}"))?;
        // As it was written where it could be read so, since that keeps the order of keys.
        let as_written = serde_json::from_str::<Value>(text).is_ok();
        Ok(if as_written { text.to_owned() } else { json(&value) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Tool;

    fn ask(choice: ToolChoice<'static>, format: Option<Format<'static>>) -> Ask<'static> {
        let schema = r#"{"type":"object","properties":{"a":{"type":"integer"}}}"#;
        let tool = |name: &'static str| Tool {
            name: name.into(),
            description: None,
            schema: schema.into(),
        };
        Ask { tools: vec![tool("f"), tool("g")], tool_choice: choice, format, ..Ask::default() }
    }

    type Read = (String, Vec<(String, String)>, StopReason);

    /// What comes of an answer given in these pieces, as text, calls and stop.
    fn read(ask: &Ask, pieces: &[&str]) -> Result<Read, String> {
        let mut reader = Reader::new(Rc::new(Rules::of(ask, false)));
        let mut events: Vec<Event> =
            pieces.iter().filter_map(|piece| reader.text_event((*piece).to_owned())).collect();
        match reader.finish(StopReason::EndTurn, None) {
            Verdict::Bad(fault) => return Err(fault),
            Verdict::Good(held) => events.extend(held),
        }
        let (mut text, mut calls, mut stopped) = (String::new(), Vec::new(), None);
        for event in events {
            match event {
                Event::Delta(delta) => text.push_str(&delta),
                Event::ToolCall(call) => calls.push((call.name, call.arguments)),
                Event::Done { stop, .. } => stopped = Some(stop),
                Event::Failed(failure) => panic!("{failure:?}"),
            }
        }
        Ok((text, calls, stopped.unwrap()))
    }

    const CALL: &str =
        "Sure.\n```json\n<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":1,}}</tool_call>\n```\n";

    #[test]
    fn a_call_is_read_wherever_the_text_is_split() {
        let ask = ask(ToolChoice::Auto, None);
        for at in (0..=CALL.len()).filter(|at| CALL.is_char_boundary(*at)) {
            let (a, b) = CALL.split_at(at);
            let (text, calls, stop) = read(&ask, &[a, b]).unwrap();
            assert_eq!(text, "Sure.", "split at {at}");
            assert_eq!(calls, [("f".into(), "{\"a\":1}".into())]);
            assert_eq!(stop, StopReason::ToolUse);
        }
    }

    #[test]
    fn text_without_calls_passes_whole_wherever_it_is_split() {
        let ask = ask(ToolChoice::Auto, None);
        let said = "a < b, `code`, ```rust\nlet x = 1;\n``` and <tool_ not a call 你好  ";
        for at in (0..=said.len()).filter(|at| said.is_char_boundary(*at)) {
            let (a, b) = said.split_at(at);
            assert_eq!(read(&ask, &[a, b]).unwrap().0, said, "split at {at}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let must = ask(ToolChoice::Required, None);
        assert!(read(&must, &["no call"]).unwrap_err().contains("must"));
        let named = ask(ToolChoice::Named("g".into()), None);
        assert!(read(&named, &[CALL]).unwrap_err().contains("not a tool on offer"));
        let auto = ask(ToolChoice::Auto, None);
        let unknown = r#"<tool_call>{"name":"h","arguments":{}}</tool_call>"#;
        assert!(read(&auto, &[unknown]).unwrap_err().contains("\"h\""));
        if cfg!(feature = "schema") {
            let wrong = r#"<tool_call>{"name":"f","arguments":{"a":"x"}}</tool_call>"#;
            assert!(read(&auto, &[wrong]).unwrap_err().contains("schema"));
        }
        let none = ask(ToolChoice::None, None);
        assert_eq!(read(&none, &[CALL]).unwrap().0, CALL);
    }

    #[test]
    fn text_is_shown_once_though_a_host_calls_what_nobody_offered() {
        for plain in [Ask::default(), ask(ToolChoice::None, None)] {
            let mut reader = Reader::new(Rc::new(Rules::of(&plain, true)));
            assert_eq!(reader.text_event("Hi".into()), Some(Event::Delta("Hi".into())));
            reader.call(Call { id: "1".into(), name: "f".into(), arguments: "{}".into() });
            assert!(matches!(reader.finish(StopReason::ToolUse, None), Verdict::Bad(_)));
            let mut again = reader.again(reader.rules.clone());
            assert_eq!(again.text_event("Hi".into()), None);
            let done = Event::Done { stop: StopReason::EndTurn, model: None };
            assert_eq!(again.finish(StopReason::EndTurn, None), Verdict::Good(vec![done]));
        }
    }

    #[test]
    fn what_was_shown_as_text_is_not_a_call_as_well() {
        let ask = ask(ToolChoice::Auto, None);
        let blanks = " ".repeat(300);
        for said in [
            "```typescript\n{\"name\":\"f\",\"arguments\":{}}\n```".to_owned(),
            format!("{blanks}{{\"name\":\"f\",\"arguments\":{{}}}}"),
        ] {
            let pieces: Vec<&str> = said.split_inclusive(['{', ' ']).collect();
            let (text, calls, stop) = read(&ask, &pieces).unwrap();
            assert_eq!((text, calls, stop), (said, vec![], StopReason::EndTurn));
        }
    }

    #[test]
    fn long_answers_in_the_smallest_pieces_are_not_read_over_and_over() {
        let ask = ask(ToolChoice::Auto, None);
        let long = |piece: &str| piece.repeat(100_000 / piece.len());
        for said in [
            long("word "),
            long(" "),
            long("`"),
            long("<tool_call"),
            format!("{{{}", long("\"a\",")),
            format!("{}{{{}", long(" "), long(" ")),
            format!("```json{}", long(" ")),
            format!("```{}", long("a")),
            format!("Sure.{}{OPEN}{}", long(" "), long("x ")),
            format!("Sure. ```{}", long("_")),
        ] {
            let before = computed();
            let mut reader = Reader::new(Rc::new(Rules::of(&ask, false)));
            for c in said.chars() {
                reader.text_event(c.into());
            }
            // A tenth of a second; minutes where each piece costs as much as all before it.
            if let (Some(before), Some(after)) = (before, computed()) {
                let took = after - before;
                assert!(took.as_secs() < 10, "{:?}… took {took:?}", said.get(..20));
            }
        }
    }

    /// The time that this thread has computed for, without what others took of the processor, where
    /// the system tells.
    fn computed() -> Option<std::time::Duration> {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanos = told.split_whitespace().next()?.parse().ok()?;
        Some(std::time::Duration::from_nanos(nanos))
    }

    #[test]
    fn structured_answers_come_bare_and_whole() {
        let object = || Ask { format: Some(Format::JsonObject), ..Ask::default() };
        let (text, ..) = read(&object(), &["```json\n{\"b\":1,", "\"a\":2}\n```"]).unwrap();
        assert_eq!(text, "{\"b\":1,\"a\":2}");
        assert_eq!(read(&object(), &["{\"a\":[1,],}"]).unwrap().0, "{\"a\":[1]}");
        assert!(read(&object(), &["[1]"]).unwrap_err().contains("object"));
        assert!(read(&object(), &["Here you are: {}"]).unwrap_err().contains("not JSON"));
        if cfg!(feature = "schema") {
            let schema = r#"{"type":"object","required":["n"]}"#.into();
            let fits =
                Ask { format: Some(Format::JsonSchema { name: None, schema }), ..Ask::default() };
            assert!(read(&fits, &["{}"]).unwrap_err().contains("schema"));
            assert_eq!(read(&fits, &["{\"n\":1}"]).unwrap().0, "{\"n\":1}");
        }
    }
}
