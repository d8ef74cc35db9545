//! The language in the middle: what is asked of a model, and what comes back.
//!
//! Every dialect of HTTP is read into an [`Ask`], every way to a model answers with [`Event`]s,
//! and the two sides share nothing else. This room must not know JSON-RPC, HTTP or a dialect.

mod images;
mod json;
mod tokens;

pub use images::image_tokens;
pub use json::{json_with_room, one_line};
use serde_json::{Map, Value};
use std::borrow::Cow;
pub use tokens::{estimate_json_tokens, estimate_tokens};

/// The model name under which the bridge offers itself when the host has named none.
/// It names no model of the host, so it never travels as a hint.
pub const OWN_MODEL: &str = "modeltap";

/// One request for a completion, borrowed from the body that carried it.
#[derive(Debug, Clone)]
pub struct Ask<'a> {
    /// The model the client asked for; to the host it is only a hint.
    pub model: Cow<'a, str>,
    /// The conversation in order, oldest first; never empty.
    pub messages: Vec<Message<'a>>,
    /// The most tokens the answer may have, at least 1; `None` leaves it to the settings.
    pub max_tokens: Option<u64>,
    /// Sampling temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    pub top_p: Option<f64>,
    /// Sampling among the best so many, at least 1.
    pub top_k: Option<u64>,
    /// Texts at which the answer ends, none of them empty.
    pub stop: Vec<Cow<'a, str>>,
    /// A wish for repeatable sampling.
    pub seed: Option<i64>,
    /// The client's own name for its user.
    pub user: Option<Cow<'a, str>>,
    /// Handed to the host as it came.
    pub metadata: Option<Map<String, Value>>,
    /// The tools that the model may call.
    pub tools: Vec<Tool<'a>>,
    /// Whether it may, must not or must.
    pub tool_choice: ToolChoice<'a>,
    /// Whether it may call several at once.
    pub parallel_tools: bool,
    /// The form that the text of the answer must have.
    pub format: Option<Format<'a>>,
    /// What the client asked for and no way to a model carries, by the client's names.
    pub ignored: Vec<&'static str>,
    /// Whether the client wants the answer in pieces.
    pub stream: bool,
}

impl Default for Ask<'_> {
    /// Nothing is asked for: a start for those who fill in what they know.
    fn default() -> Self {
        Ask {
            model: Cow::Borrowed(OWN_MODEL),
            messages: Vec::new(),
            max_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            stop: Vec::new(),
            seed: None,
            user: None,
            metadata: None,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tools: true,
            format: None,
            ignored: Vec::new(),
            stream: false,
        }
    }
}

/// A tool that the client offers to the model.
#[derive(Debug, Clone)]
pub struct Tool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it does, for the model.
    pub description: Option<Cow<'a, str>>,
    /// The JSON schema of its arguments, an object schema; JSON text on one line.
    pub schema: Cow<'a, str>,
}

/// Whether the model may call tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// As it sees fit.
    Auto,
    /// Not at all.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(Cow<'a, str>),
}

/// The form that the text of an answer must have.
#[derive(Debug, Clone)]
pub enum Format<'a> {
    /// Any JSON object.
    JsonObject,
    /// JSON that fits a schema.
    JsonSchema {
        /// The schema's name, where the client gave one.
        name: Option<Cow<'a, str>>,
        /// The schema as JSON text on one line.
        schema: Cow<'a, str>,
    },
}

impl Format<'_> {
    /// Which form, as clients name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Format::JsonObject => "json_object",
            Format::JsonSchema { .. } => "json_schema",
        }
    }
}

/// The names of what is set.
pub fn names_of(set: &[(bool, &'static str)]) -> Vec<&'static str> {
    set.iter().filter(|(is_set, _)| *is_set).map(|(_, name)| *name).collect()
}

/// Who speaks in a [`Message`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Standing instructions (`system` and `developer`).
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
    /// A tool that the model called.
    Tool,
}

impl Role {
    /// The role's name in lower case, as both API references write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// One turn of the conversation.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Who speaks.
    pub role: Role,
    /// The speaker's name, where the client gave one.
    pub name: Option<Cow<'a, str>>,
    /// What is said, in order.
    pub parts: Vec<Part<'a>>,
}

/// A piece of a [`Message`].
#[derive(Debug, Clone)]
pub enum Part<'a> {
    /// Plain text.
    Text(Cow<'a, str>),
    /// A picture.
    Image {
        /// Its media type, `image/…`.
        mime: Cow<'a, str>,
        /// Its bytes in base64.
        data: Cow<'a, str>,
    },
    /// A call the model made earlier in the conversation.
    ToolCall {
        /// The call's id, which the result repeats.
        id: Cow<'a, str>,
        /// The tool's name.
        name: Cow<'a, str>,
        /// The arguments as JSON text.
        arguments: Cow<'a, str>,
    },
    /// What a tool answered.
    ToolResult {
        /// The id of the call it answers.
        id: Cow<'a, str>,
        /// The answer: texts and images.
        content: Vec<Part<'a>>,
        /// Whether the tool failed.
        is_error: bool,
    },
}

impl Ask<'_> {
    /// All text of the conversation, piece by piece; for limits, counts and logs.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.messages.iter().flat_map(|message| message.texts())
    }

    /// The size of all text of the conversation in bytes.
    pub fn text_bytes(&self) -> usize {
        self.texts().map(str::len).sum()
    }

    /// Whether there is an image in it, be it within a tool's result.
    pub fn has_image(&self) -> bool {
        let parts = self.messages.iter().flat_map(|message| leaves(&message.parts));
        parts.into_iter().any(|part| matches!(part, Part::Image { .. }))
    }

    /// An estimate of the prompt's tokens: 3, and what its messages, its tools and the schema of
    /// its answer count.
    pub fn estimate_tokens(&self) -> u64 {
        let messages: u64 = self.messages.iter().map(Message::estimate_tokens).sum();
        let tools: u64 = self.tools.iter().map(Tool::estimate_tokens).sum();
        let format = match &self.format {
            Some(Format::JsonSchema { schema, .. }) => estimate_json_tokens(schema),
            Some(Format::JsonObject) | None => 0,
        };
        3 + messages + tools + format
    }
}

impl Tool<'_> {
    /// An estimate of what the tool adds to the prompt: 8, its name, description and schema.
    fn estimate_tokens(&self) -> u64 {
        let description = self.description.as_deref().map_or(0, estimate_tokens);
        8 + estimate_tokens(&self.name) + description + estimate_json_tokens(&self.schema)
    }
}

impl Message<'_> {
    /// An estimate of the message's tokens: 4, the speaker's name, and its parts.
    pub fn estimate_tokens(&self) -> u64 {
        let name = self.name.as_deref().map_or(0, estimate_tokens);
        4 + name + self.parts.iter().map(Part::estimate_tokens).sum::<u64>()
    }

    /// The text of the message, piece by piece.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        leaves(&self.parts).filter_map(|part| match part {
            Part::Text(text) => Some(text.as_ref()),
            Part::ToolCall { arguments, .. } => Some(arguments.as_ref()),
            Part::Image { .. } | Part::ToolResult { .. } => None,
        })
    }
}

impl Part<'_> {
    /// An estimate of the part's tokens; a tool call and a tool result are 4 besides what they say.
    fn estimate_tokens(&self) -> u64 {
        match self {
            Part::Text(text) => estimate_tokens(text),
            Part::Image { data, .. } => image_tokens(data),
            Part::ToolCall { name, arguments, .. } => {
                4 + estimate_tokens(name) + estimate_tokens(arguments)
            }
            Part::ToolResult { content, .. } => {
                4 + content.iter().map(Part::estimate_tokens).sum::<u64>()
            }
        }
    }
}

/// The parts, with the content of tool results in their place.
fn leaves<'s, 'a>(parts: &'s [Part<'a>]) -> impl Iterator<Item = &'s Part<'a>> {
    parts.iter().flat_map(|part| match part {
        Part::ToolResult { content, .. } => content.as_slice(),
        part => std::slice::from_ref(part),
    })
}

/// What a way to a model reports about one asked completion, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// More text of the answer.
    Delta(String),
    /// The model calls a tool.
    ToolCall(Call),
    /// The answer is whole. Nothing follows.
    Done {
        /// Why it ended.
        stop: StopReason,
        /// The model that answered, where the host named it.
        model: Option<String>,
    },
    /// There will be no (further) answer. Nothing follows.
    Failed(Failure),
}

impl Event {
    /// Whether nothing follows this event.
    pub fn is_last(&self) -> bool {
        matches!(self, Event::Done { .. } | Event::Failed(_))
    }
}

/// One of the answers to a request, as far as it has come.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Its text.
    pub text: String,
    /// Its tool calls, in order.
    pub calls: Vec<Call>,
    /// Why it ended; `None` while it has not.
    pub stop: Option<StopReason>,
}

impl Choice {
    /// The size of the texts of all `choices` in bytes.
    pub fn text_bytes(choices: &[Choice]) -> usize {
        choices.iter().map(|choice| choice.text.len()).sum()
    }
}

/// A tool call of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its id, which the result will repeat.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments as JSON text, an object.
    pub arguments: String,
}

/// Counts of tokens, estimated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the request.
    pub prompt: u64,
    /// Of all answers.
    pub completion: u64,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The model had said all.
    EndTurn,
    /// One of the client's stop texts was met.
    StopSequence,
    /// The limit of tokens was met.
    MaxTokens,
    /// The model wants its tool calls answered.
    ToolUse,
}

/// A completion that failed: what kind of failure, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure; each dialect has its own status and code for it.
    pub kind: FailureKind,
    /// For the client's eyes; holds no secret.
    pub message: String,
    /// After how many seconds a next try may succeed, where whoever refused has said so.
    pub retry_after: Option<u64>,
}

impl Failure {
    /// A failure of `kind` that tells `message`.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Failure { kind, message: message.into(), retry_after: None }
    }
}

/// The kinds of [`Failure`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The host refused the request as malformed.
    Invalid,
    /// The person at the host, or its policy, said no.
    Denied,
    /// The host has no such capability.
    Unsupported,
    /// The host tried and failed, or its answer could not be read.
    Upstream,
    /// The HTTP side was stopped by the tool `http_server_stop`.
    Stopped,
    /// No model is behind the bridge, or it went away.
    Unavailable,
    /// All places are taken; a later try may succeed.
    Busy,
    /// No answer within the time allowed.
    Timeout,
    /// The prompt is longer than the host's model takes.
    TooLong,
    /// The model's answer has not the form that was asked for, after a second try.
    Misformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_counts_all_that_travels() {
        let text = |text: &'static str| Part::Text(text.into());
        let message = |role, parts| Message { role, name: None, parts };
        let mut ask =
            Ask { messages: vec![message(Role::User, vec![text("one two")])], ..Ask::default() };
        assert_eq!(ask.estimate_tokens(), 3 + 4 + 2);
        ask.messages[0].name = Some("ann".into());
        assert_eq!(ask.estimate_tokens(), 9 + 1);
        ask.messages[0].parts.push(Part::Image { mime: "image/png".into(), data: "aGk=".into() });
        assert_eq!(ask.estimate_tokens(), 10 + 765);
        ask.messages[0].parts.pop();
        let call = Part::ToolCall { id: "c".into(), name: "look".into(), arguments: "{}".into() };
        ask.messages.push(message(Role::Assistant, vec![call]));
        assert_eq!(ask.estimate_tokens(), 10 + 4 + 4 + 1 + 1);
        let result = |content| Part::ToolResult { id: "c".into(), content, is_error: false };
        ask.messages.push(message(Role::Tool, vec![result(vec![text("a cat")]), result(vec![])]));
        assert_eq!(ask.estimate_tokens(), 20 + 4 + 4 + 2 + 4);
        let schema = "{ \"type\": \"object\" }";
        let counts = estimate_tokens("{\"type\":\"object\"}");
        let description = Some("Looks around".into());
        ask.tools.push(Tool { name: "look".into(), description, schema: schema.into() });
        assert_eq!(ask.estimate_tokens(), 34 + 8 + 1 + 2 + counts);
        ask.format = Some(Format::JsonSchema { name: None, schema: schema.into() });
        assert_eq!(ask.estimate_tokens(), 45 + 2 * counts);
    }
}
