//! What a tool takes: one table of arguments gives both the JSON schema that the host sees and the
//! check that names the argument that is wrong.

use serde_json::{Map, Value, json};

/// The arguments of a call, checked.
pub type Arguments = Map<String, Value>;

/// One argument of a tool.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it must be.
    pub kind: Kind,
    /// Whether a call without it is refused.
    pub required: bool,
    /// For the model that fills it in.
    pub help: &'static str,
}

/// Who may speak in [`Kind::Messages`].
pub const ROLES: [&str; 3] = ["system", "user", "assistant"];

/// What an [`Argument`] must be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text.
    Text,
    /// Text that is not empty.
    Name,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A whole number within these bounds.
    Whole(i64, i64),
    /// True or false.
    Truth,
    /// Text, or MCP content blocks of the types `text` and `tool_use`.
    Content,
    /// An object whose values are texts and whose keys are identifiers.
    Texts,
    /// `{code?, message}`, both texts.
    Error,
    /// An array.
    List,
    /// An object of these arguments, or an array of such objects.
    OneOrMore(&'static [Argument]),
    /// An array, not empty, of `{role, content}`, the role one of [`ROLES`], the content text.
    Messages,
}

/// The input schema of a tool that takes `arguments`, and nothing else.
pub fn schema(arguments: &[Argument]) -> Value {
    let properties: Map<String, Value> = arguments
        .iter()
        .map(|argument| {
            let mut schema = argument.kind.schema();
            schema["description"] = argument.help.into();
            (argument.name.to_owned(), schema)
        })
        .collect();
    let required: Vec<&str> = arguments.iter().filter(|a| a.required).map(|a| a.name).collect();
    let mut schema = json!({
        "type": "object", "properties": properties, "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

/// Checks the arguments of a call, as they came.
///
/// # Errors
/// A sentence that names the argument and says what is allowed.
pub fn check(arguments: &[Argument], given: Value) -> Result<Arguments, String> {
    let given = match given {
        Value::Object(given) => given,
        Value::Null => Map::new(),
        _ => return Err("the arguments must be an object".into()),
    };
    for argument in arguments {
        match given.get(argument.name) {
            Some(value) => argument.kind.check(argument.name, value)?,
            None if argument.required => {
                return Err(format!("the argument {} is missing", argument.name));
            }
            None => {}
        }
    }
    match given.keys().find(|key| !arguments.iter().any(|argument| argument.name == *key)) {
        None => Ok(given),
        Some(key) => {
            let known: Vec<&str> = arguments.iter().map(|argument| argument.name).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            Err(format!("there is no argument {key:?}; known are: {known}"))
        }
    }
}

impl Kind {
    fn schema(self) -> Value {
        match self {
            Kind::Text => json!({"type": "string"}),
            Kind::Name => json!({"type": "string", "minLength": 1}),
            Kind::OneOf(names) => json!({"type": "string", "enum": names}),
            Kind::Whole(least, most) => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            Kind::Truth => json!({"type": "boolean"}),
            // Some hosts refuse a tool with an array of which nothing is said.
            Kind::List => json!({"type": "array", "items": {}}),
            Kind::OneOrMore(arguments) => json!({"anyOf": [
                schema(arguments),
                {"type": "array", "items": schema(arguments)},
            ]}),
            Kind::Messages => json!({"type": "array", "minItems": 1, "items": {
                "type": "object", "required": ["role", "content"], "additionalProperties": false,
                "properties": {
                    "role": {"type": "string", "enum": ROLES}, "content": {"type": "string"}},
            }}),
            Kind::Texts => json!({
                "type": "object", "additionalProperties": {"type": "string"},
                "propertyNames": {"pattern": "^[A-Za-z0-9_]+$"},
            }),
            Kind::Error => json!({
                "type": "object", "required": ["message"], "additionalProperties": false,
                "properties": {"code": {"type": "string"}, "message": {"type": "string"}},
            }),
            Kind::Content => json!({"anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"anyOf": [
                    {"type": "object", "required": ["type", "text"], "properties":
                        {"type": {"const": "text"}, "text": {"type": "string"}}},
                    {"type": "object", "required": ["type", "name", "input"], "properties":
                        {"type": {"const": "tool_use"}, "id": {"type": "string"},
                         "name": {"type": "string"}, "input": {"type": "object"}}},
                ]}},
            ]}),
        }
    }

    fn check(self, name: &str, value: &Value) -> Result<(), String> {
        if let Kind::OneOrMore(arguments) = self {
            let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let fault = all.iter().find_map(|one| match one {
                Value::Object(_) => check(arguments, one.clone()).err(),
                _ => Some("it must be an object, or an array of objects".into()),
            });
            return fault.map_or(Ok(()), |fault| Err(format!("the argument {name}: {fault}")));
        }
        let (fits, allowed) = match self {
            Kind::Text => (value.is_string(), "a string".to_owned()),
            Kind::Name => {
                (value.as_str().is_some_and(|text| !text.is_empty()), "a string, not empty".into())
            }
            Kind::OneOf(names) => (
                value.as_str().is_some_and(|text| names.contains(&text)),
                format!("one of: {}", names.join(", ")),
            ),
            Kind::Whole(least, most) => (
                value.as_i64().is_some_and(|number| (least..=most).contains(&number)),
                format!("a whole number from {least} to {most}"),
            ),
            Kind::Truth => (value.is_boolean(), "true or false".into()),
            Kind::List | Kind::OneOrMore(_) => (value.is_array(), "an array".into()),
            Kind::Messages => (
                value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_message)),
                format!(
                    "an array, not empty, of objects {{role, content}} with the role one of {} and \
                     the content a string",
                    ROLES.join(", ")
                ),
            ),
            Kind::Texts => (
                value.as_object().is_some_and(|map| {
                    map.iter().all(|(key, value)| is_identifier(key) && value.is_string())
                }),
                "an object of strings whose keys are made of A-Z, a-z, 0-9 and _".into(),
            ),
            Kind::Error => (
                value.as_object().is_some_and(|map| {
                    map.contains_key("message")
                        && map.iter().all(|(key, value)| {
                            matches!(key.as_str(), "code" | "message") && value.is_string()
                        })
                }),
                "an object {code?, message} of strings".into(),
            ),
            Kind::Content => (
                value.is_string() || value.as_array().is_some_and(|all| all.iter().all(is_block)),
                "a string, or an array of content blocks {type: \"text\", text} and \
                 {type: \"tool_use\", id?, name, input}"
                    .into(),
            ),
        };
        if fits { Ok(()) } else { Err(format!("the argument {name} must be {allowed}")) }
    }
}

fn is_identifier(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_message(message: &Value) -> bool {
    let field = |name: &str| message.get(name).and_then(Value::as_str);
    field("role").is_some_and(|role| ROLES.contains(&role))
        && field("content").is_some()
        && message.as_object().is_some_and(|fields| fields.len() == 2)
}

fn is_block(block: &Value) -> bool {
    let text = |key: &str| block.get(key).is_some_and(Value::is_string);
    match block.get("type").and_then(Value::as_str) {
        Some("text") => text("text"),
        Some("tool_use") => {
            text("name")
                && block.get("input").is_some_and(Value::is_object)
                && block.get("id").is_none_or(Value::is_string)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Argument] = &[
        Argument { name: "id", kind: Kind::Name, required: true, help: "" },
        Argument { name: "port", kind: Kind::Whole(0, 9), required: false, help: "" },
        Argument { name: "meta", kind: Kind::Texts, required: false, help: "" },
        Argument { name: "content", kind: Kind::Content, required: false, help: "" },
        Argument { name: "error", kind: Kind::Error, required: false, help: "" },
        Argument { name: "messages", kind: Kind::Messages, required: false, help: "" },
    ];

    #[test]
    fn each_fault_names_its_argument() {
        for (given, named) in [
            (json!({}), "id is missing"),
            (json!(null), "id is missing"),
            (json!([]), "an object"),
            (json!({"id": ""}), "argument id"),
            (json!({"id": 1}), "argument id"),
            (json!({"id": "x", "port": 10}), "argument port"),
            (json!({"id": "x", "port": 1.5}), "argument port"),
            (json!({"id": "x", "port": "1"}), "argument port"),
            (json!({"id": "x", "meta": {"a-b": "c"}}), "argument meta"),
            (json!({"id": "x", "meta": {"a": 1}}), "argument meta"),
            (json!({"id": "x", "content": [{"type": "image"}]}), "argument content"),
            (
                json!({"id": "x", "content": [{"type": "tool_use", "name": "f"}]}),
                "argument content",
            ),
            (json!({"id": "x", "error": {"code": "c"}}), "argument error"),
            (json!({"id": "x", "messages": []}), "argument messages"),
            (json!({"id": "x", "messages": ["Hi"]}), "argument messages"),
            (json!({"id": "x", "messages": [{"role": "user"}]}), "argument messages"),
            (
                json!({"id": "x", "messages": [{"role": "tool", "content": ""}]}),
                "argument messages",
            ),
            (
                json!({"id": "x", "messages": [{"role": "user", "content": "", "name": ""}]}),
                "argument messages",
            ),
            (json!({"id": "x", "extra": 1}), "\"extra\""),
        ] {
            let fault = check(TABLE, given.clone()).unwrap_err();
            assert!(fault.contains(named), "{given}: {fault}");
        }
        let good = json!({"id": "x", "port": 0, "meta": {"a_1": "c"}, "error": {"message": "m"},
            "content": [{"type": "text", "text": ""}, {"type": "tool_use", "name": "f", "input": {}}],
            "messages": [{"role": "system", "content": ""}, {"role": "user", "content": "Hi"}]});
        assert!(check(TABLE, good).is_ok());
    }
}
