//! OpenAI's legacy `POST /v1/completions`: one text in, texts out.

use super::body::{
    Either, Stop, Text, check_choices, check_length, check_stop, read_json, text_or_list, whole,
    within,
};
use super::chat_completions::{StreamOptions, UsageBody};
use super::error::{ApiError, Dialect};
use super::{Context, Encoder, Parsed};
use crate::chat::{Ask, Choice, Event, Message, OWN_MODEL, Part, Role, StopReason, Usage};
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    model: Option<Text<'a>>,
    #[serde(borrow)]
    prompt: Option<Prompt<'a>>,
    #[serde(default, deserialize_with = "whole")]
    max_tokens: Option<u64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    #[serde(default, deserialize_with = "whole")]
    n: Option<u64>,
    #[serde(borrow)]
    stop: Option<Stop<'a>>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    #[serde(borrow)]
    user: Option<Text<'a>>,
    #[serde(default, deserialize_with = "whole")]
    seed: Option<i64>,
    suffix: Option<String>,
    echo: Option<bool>,
    #[serde(default, deserialize_with = "whole")]
    logprobs: Option<u64>,
    #[serde(default, deserialize_with = "whole")]
    best_of: Option<u64>,
}

/// A text, or a list of what should be texts.
struct Prompt<'a>(Vec<Entry<'a>>);

/// An entry of a list of prompts.
enum Entry<'a> {
    Text(Cow<'a, str>),
    /// Tokens, one or a list of them.
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Prompt<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Prompt(match text_or_list(from)? {
            Either::Text(text) => vec![Entry::Text(text)],
            Either::List(entries) => entries,
        }))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entry<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Value::deserialize(from)? {
            Value::String(text) => Entry::Text(text.into()),
            _ => Entry::Other,
        })
    }
}

/// Reads a body.
///
/// # Errors
/// 400 with the `param` that is wrong.
pub fn parse<'a>(body: &'a [u8], context: &Context) -> Result<Parsed<'a>, ApiError> {
    let body: Body = read_json(body)?;
    refuse_unsupported(&body)?;
    let message = Message { role: Role::User, name: None, parts: vec![read_prompt(body.prompt)?] };
    check_length(&message, context.message_chars, || "prompt".into())?;
    if body.max_tokens == Some(0) {
        return Err(ApiError::field("max_tokens", "max_tokens must be at least 1"));
    }
    let model = body.model.map_or(Cow::Borrowed(OWN_MODEL), |model| model.0);
    if model.is_empty() {
        return Err(ApiError::field("model", "model must not be empty"));
    }
    let choices = check_choices(body.n)?;
    let include_usage = body.stream_options.is_some_and(|options| options.include_usage());
    let encoder = Box::new(TextEncoder {
        id: format!("cmpl-{}", context.id),
        created: context.created,
        model: model.clone(),
        include_usage,
    });
    let ask = Ask {
        model,
        messages: vec![message],
        max_tokens: body.max_tokens,
        temperature: within(body.temperature, "temperature", 2.0)?,
        top_p: within(body.top_p, "top_p", 1.0)?,
        stop: check_stop(body.stop)?,
        seed: body.seed,
        user: body.user.map(|user| user.0),
        stream: body.stream.unwrap_or(false),
        ..Ask::default()
    };
    Ok(Parsed { ask, choices, encoder })
}

fn read_prompt(prompt: Option<Prompt>) -> Result<Part, ApiError> {
    let fault = |said: &str| Err(ApiError::field("prompt", said));
    let Some(Prompt(entries)) = prompt else { return fault("prompt must be a string") };
    if entries.iter().any(|entry| matches!(entry, Entry::Other)) {
        return fault("prompt must be a string, or a list of one; tokens are not supported");
    }
    let mut entries = entries.into_iter();
    match (entries.next(), entries.next()) {
        (Some(Entry::Text(text)), None) => Ok(Part::Text(text)),
        (Some(_), Some(_)) => fault("one prompt a request: send several requests"),
        _ => fault("prompt must hold a string"),
    }
}

fn refuse_unsupported(body: &Body) -> Result<(), ApiError> {
    let faults = [
        (
            body.suffix.as_ref().is_some_and(|text| !text.is_empty()),
            "suffix",
            "text cannot be inserted before a suffix",
        ),
        (body.echo == Some(true), "echo", "the prompt is not repeated: leave echo out"),
        (body.logprobs.is_some(), "logprobs", "an MCP host gives no logprobs"),
        (
            body.best_of.is_some_and(|most| most > 1),
            "best_of",
            "without logprobs there is no best one: use n",
        ),
    ];
    match faults.into_iter().find(|(found, ..)| *found) {
        Some((_, param, why)) => Err(ApiError::unsupported(param, why)),
        None => Ok(()),
    }
}

#[derive(Serialize)]
struct Completion<'s> {
    id: &'s str,
    object: &'static str,
    created: u64,
    model: &'s str,
    choices: &'s [TextChoice<'s>],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageBody>>,
}

#[derive(Serialize)]
struct TextChoice<'s> {
    index: usize,
    text: &'s str,
    logprobs: Option<()>,
    finish_reason: Option<&'static str>,
}

fn finish_reason(stop: Option<StopReason>) -> &'static str {
    if stop == Some(StopReason::MaxTokens) { "length" } else { "stop" }
}

/// Words the answer to one request. There are no tools in this dialect, so calls are not told.
struct TextEncoder<'a> {
    id: String,
    created: u64,
    model: Cow<'a, str>,
    include_usage: bool,
}

impl TextEncoder<'_> {
    /// `usage` is left out, null or told, as its two layers say.
    fn completion<'s>(
        &'s self,
        choices: &'s [TextChoice<'s>],
        usage: Option<Option<UsageBody>>,
    ) -> Completion<'s> {
        let (id, model) = (&self.id, &self.model);
        Completion { id, object: "text_completion", created: self.created, model, choices, usage }
    }

    fn chunk(&self, choices: &[TextChoice], usage: Option<UsageBody>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        let usage = self.include_usage.then_some(usage);
        // None of our values can fail, nor can writing to a Vec.
        let _ = serde_json::to_writer(&mut *out, &self.completion(choices, usage));
        out.extend_from_slice(b"\n\n");
    }
}

impl Encoder for TextEncoder<'_> {
    fn whole(&mut self, choices: &[Choice], usage: Usage) -> Vec<u8> {
        let choices = choices.iter().enumerate().map(|(index, choice)| TextChoice {
            index,
            text: &choice.text,
            logprobs: None,
            finish_reason: Some(finish_reason(choice.stop)),
        });
        let choices: Vec<TextChoice> = choices.collect();
        let body = self.completion(&choices, Some(Some(usage.into())));
        serde_json::to_vec(&body).unwrap_or_default()
    }

    fn open(&mut self, _: Usage, out: &mut Vec<u8>) {
        // This dialect begins with nothing; a comment lets the head leave.
        out.extend_from_slice(self.keep_alive());
    }

    fn event(&mut self, index: usize, event: &Event, out: &mut Vec<u8>) {
        let (text, finish_reason) = match event {
            Event::Delta(text) => (text.as_str(), None),
            Event::Done { stop, .. } => ("", Some(finish_reason(Some(*stop)))),
            Event::ToolCall(_) | Event::Failed(_) => return,
        };
        self.chunk(&[TextChoice { index, text, logprobs: None, finish_reason }], None, out);
    }

    fn close(&mut self, _: &[Choice], usage: Usage, out: &mut Vec<u8>) {
        if self.include_usage {
            self.chunk(&[], Some(usage.into()), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn error(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&error.to_json(Dialect::OpenAi, ""));
        out.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Call;
    use serde_json::json;

    fn read<T>(body: &Value, then: impl FnOnce(Result<Parsed, ApiError>) -> T) -> T {
        let context =
            Context { id: "x".into(), created: 7, message_chars: Some(99), stored: &|_| None };
        then(parse(body.to_string().as_bytes(), &context))
    }

    fn choice(text: &str, stop: StopReason) -> Choice {
        Choice { text: text.into(), calls: Vec::new(), stop: Some(stop) }
    }

    const USAGE: Usage = Usage { prompt: 5, completion: 3 };

    #[test]
    fn a_prompt_is_what_the_user_says() {
        for prompt in [json!("Say \"hi\""), json!(["Say \"hi\""])] {
            let body = json!({"model": "m", "prompt": prompt, "max_tokens": 9, "temperature": 0.5,
                "top_p": 0.25, "n": 2, "stop": "END", "user": "ann", "seed": 4, "stream": true,
                "suffix": "", "echo": false, "logprobs": null, "best_of": 1, "presence_penalty": 1});
            read(&body, |parsed| {
                let Parsed { ask, choices, .. } = parsed.unwrap();
                assert_eq!(ask.messages.len(), 1);
                assert_eq!(ask.messages[0].role, Role::User);
                assert_eq!(ask.texts().collect::<Vec<_>>(), ["Say \"hi\""]);
                let numbers = (ask.max_tokens, ask.temperature, ask.top_p, ask.seed, choices);
                assert_eq!(numbers, (Some(9), Some(0.5), Some(0.25), Some(4), 2));
                assert_eq!((ask.stop, ask.user.as_deref()), (vec!["END".into()], Some("ann")));
                assert!(ask.stream && ask.tools.is_empty() && ask.format.is_none());
            });
        }
        let limit = read(&json!({"prompt": "q"}), |parsed| parsed.unwrap().ask.max_tokens);
        assert_eq!(limit, None);
    }

    #[test]
    fn a_wrong_field_is_named() {
        let with = |key: &'static str, value: Value| {
            let mut body = json!({"prompt": "q"});
            body[key] = value;
            (body, key)
        };
        for (body, param) in [
            (json!({}), "prompt"),
            with("prompt", json!([])),
            with("prompt", json!(["a", "b"])),
            with("prompt", json!([1, 2])),
            with("prompt", json!([[1, 2]])),
            with("prompt", 4.into()),
            with("prompt", "x".repeat(100).into()),
            with("suffix", "end".into()),
            with("echo", true.into()),
            with("logprobs", 0.into()),
            with("best_of", 2.into()),
            with("max_tokens", 0.into()),
            with("temperature", 2.5.into()),
            with("top_p", 1.5.into()),
            with("n", 9.into()),
            with("stop", "".into()),
            with("model", "".into()),
        ] {
            let error = read(&body, |parsed| parsed.err()).unwrap_or_else(|| panic!("{body}"));
            assert_eq!((error.status, error.param.as_deref()), (400, Some(param)), "{body}");
        }
    }

    #[test]
    fn a_whole_answer_has_the_shape_of_the_api() {
        let choices = [choice("Hi", StopReason::EndTurn), choice("Ho", StopReason::MaxTokens)];
        let found: Value = read(&json!({"model": "m", "prompt": "q", "n": 2}), |parsed| {
            serde_json::from_slice(&parsed.unwrap().encoder.whole(&choices, USAGE)).unwrap()
        });
        assert_eq!(
            found,
            json!({"id": "cmpl-x", "object": "text_completion", "created": 7, "model": "m",
                "choices": [
                    {"index": 0, "text": "Hi", "logprobs": null, "finish_reason": "stop"},
                    {"index": 1, "text": "Ho", "logprobs": null, "finish_reason": "length"}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}})
        );
    }

    #[test]
    fn a_stream_is_the_text_the_end_the_usage_and_done() {
        let call = Call { id: "c".into(), name: "f".into(), arguments: "{}".into() };
        let events = [
            (1, Event::Delta("Hi\n".into())),
            (0, Event::ToolCall(call)),
            (1, Event::Done { stop: StopReason::ToolUse, model: None }),
        ];
        for include_usage in [false, true] {
            let body = json!({"model": "m", "prompt": "q", "stream": true,
                "stream_options": {"include_usage": include_usage}});
            let out = read(&body, |parsed| {
                let (mut out, mut encoder) = (Vec::new(), parsed.unwrap().encoder);
                encoder.open(USAGE, &mut out);
                for (index, event) in &events {
                    encoder.event(*index, event, &mut out);
                }
                encoder.close(&[], USAGE, &mut out);
                String::from_utf8(out).unwrap()
            });
            let chunk = |choices: &str, usage: &str| {
                let usage =
                    if include_usage { format!(",\"usage\":{usage}") } else { String::new() };
                format!(
                    "data: {{\"id\":\"cmpl-x\",\"object\":\"text_completion\",\"created\":7,\
                     \"model\":\"m\",\"choices\":[{choices}]{usage}}}\n\n"
                )
            };
            let told = |text: &str, finish: &str| {
                let choice = format!(
                    "{{\"index\":1,\"text\":{text},\"logprobs\":null,\"finish_reason\":{finish}}}"
                );
                chunk(&choice, "null")
            };
            let usage = "{\"prompt_tokens\":5,\"completion_tokens\":3,\"total_tokens\":8}";
            let mut expected = String::from(": keep-alive\n\n");
            expected += &told("\"Hi\\n\"", "null");
            expected += &told("\"\"", "\"stop\"");
            if include_usage {
                expected += &chunk("", usage);
            }
            expected += "data: [DONE]\n\n";
            assert_eq!(out, expected);
        }
    }
}
