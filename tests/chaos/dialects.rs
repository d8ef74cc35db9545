//! The three dialects as a client of each reads them: a text, or a failure in clear words.

use crate::common::http::Answer;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy)]
pub enum Dialect {
    Chat,
    Messages,
    Responses,
}

pub const ALL: [Dialect; 3] = [Dialect::Chat, Dialect::Messages, Dialect::Responses];

/// What an answer says.
#[derive(Debug)]
pub enum Said {
    Text(String),
    /// In a stream that had begun there is no status.
    Failure {
        status: Option<u16>,
        message: String,
    },
}

impl Dialect {
    pub fn path(self) -> &'static str {
        match self {
            Dialect::Chat => "/v1/chat/completions",
            Dialect::Messages => "/v1/messages",
            Dialect::Responses => "/v1/responses",
        }
    }

    pub fn body(self, text: &str, stream: bool) -> Value {
        let messages = json!([{"role": "user", "content": text}]);
        match self {
            Dialect::Chat => json!({"model": "m", "messages": messages, "stream": stream}),
            Dialect::Messages => {
                json!({"model": "m", "max_tokens": 500, "messages": messages, "stream": stream})
            }
            Dialect::Responses => {
                json!({"model": "m", "input": text, "stream": stream, "store": false})
            }
        }
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// What is wrong with its form.
    pub fn read(self, answer: &Answer) -> Result<Said, String> {
        let is_stream = answer.header("content-type") == Some("text/event-stream");
        if is_stream {
            return self.read_stream(&answer.text());
        }
        let body = answer.json();
        if answer.status != 200 {
            let message = body["error"]["message"].as_str().ok_or_else(|| body.to_string())?;
            return Ok(Said::Failure { status: Some(answer.status), message: message.to_owned() });
        }
        let text = match self {
            Dialect::Chat => &body["choices"][0]["message"]["content"],
            Dialect::Messages => &body["content"][0]["text"],
            Dialect::Responses => &body["output"][0]["content"][0]["text"],
        };
        let text = text.as_str().ok_or_else(|| format!("no text in {body}"))?;
        Ok(Said::Text(text.to_owned()))
    }

    fn read_stream(self, stream: &str) -> Result<Said, String> {
        let (mut text, mut end) = (String::new(), None);
        for event in stream.split_terminator("\n\n").filter(|event| !event.starts_with(':')) {
            let data = event.lines().find_map(|line| line.strip_prefix("data: "));
            let data = data.ok_or_else(|| format!("an event without data: {event:?}"))?;
            if end.is_some() {
                return Err(format!("an event after the last: {event:?}"));
            }
            if data == "[DONE]" {
                end = Some(Ok(()));
                continue;
            }
            let data: Value = serde_json::from_str(data).map_err(|e| format!("{e}: {event:?}"))?;
            let kind = data["type"].as_str().unwrap_or_default();
            let failure = [&data["error"]["message"], &data["response"]["error"]["message"]];
            if let Some(failure) = failure.into_iter().find_map(Value::as_str) {
                end = Some(Err(failure.to_owned()));
                continue;
            }
            let delta = match (self, kind) {
                (Dialect::Chat, _) => &data["choices"][0]["delta"]["content"],
                (Dialect::Messages, "content_block_delta") => &data["delta"]["text"],
                (Dialect::Responses, "response.output_text.delta") => &data["delta"],
                (_, "message_stop" | "response.completed") => {
                    end = Some(Ok(()));
                    continue;
                }
                _ => continue,
            };
            text.push_str(delta.as_str().unwrap_or_default());
        }
        match end {
            Some(Ok(())) => Ok(Said::Text(text)),
            Some(Err(message)) => Ok(Said::Failure { status: None, message }),
            None => Err(format!("a stream without an end: {stream:?}")),
        }
    }
}
