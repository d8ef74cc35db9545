//! Holds what is said on the pipe against the schema of an MCP version, in both directions. The
//! schemas lie beside the crate, in `../shared/mcp-schema`, or where `MODELTAP_MCP_SCHEMA` says;
//! without them there is nothing to hold the messages against.

use super::LATEST;
use super::modern::{MODERN, SERVER};
use boon::{Compiler, Schemas};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What was said on a pipe, from when it is to be kept. Clones share it.
#[derive(Clone, Default)]
pub struct Said(Arc<Mutex<Option<Vec<Message>>>>);

#[derive(Clone)]
enum Message {
    Host(Value),
    Bridge(Value),
}

impl Said {
    /// From now on all is kept, but for what the test sends as raw bytes.
    pub fn keep(&self) {
        *self.0.lock().unwrap() = Some(Vec::new());
    }

    /// Forgets all, and keeps nothing from now on.
    pub fn stop(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn all(&self) -> Vec<Message> {
        self.0.lock().unwrap().clone().unwrap_or_default()
    }

    pub fn by_host(&self, message: &Value) {
        if let Some(said) = self.0.lock().unwrap().as_mut() {
            said.push(Message::Host(message.clone()));
        }
    }

    pub fn by_bridge(&self, line: &str) {
        if let Some(said) = self.0.lock().unwrap().as_mut() {
            said.push(Message::Bridge(serde_json::from_str(line).expect("the bridge writes JSON")));
        }
    }
}

/// The schema of one version, and what was held against it.
pub struct Checker {
    pub version: &'static str,
    /// Where the schema keeps its definitions; the newer drafts call it `$defs`.
    folder: &'static str,
    compiler: Compiler,
    schemas: Schemas,
    pub seen: BTreeSet<String>,
}

impl Checker {
    /// `None`, and a line that says so, where the schema is not at hand.
    pub fn new(version: &'static str) -> Option<Checker> {
        let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/mcp-schema");
        let folder = std::env::var_os("MODELTAP_MCP_SCHEMA").unwrap_or_else(|| beside.into());
        let path = PathBuf::from(folder).join(format!("schema-{version}.json"));
        match std::fs::read(&path) {
            Ok(text) => {
                let mut schema: Value = serde_json::from_slice(&text).expect("the schema is JSON");
                // The specification's source, schema.ts, has fractions and null here; what is
                // generated from it has lost them.
                if let Some(value) = schema.pointer_mut("/$defs/JSONValue/anyOf/2/type") {
                    assert_eq!(*value, json!(["string", "integer", "boolean"]));
                    *value = json!(["string", "number", "boolean", "null"]);
                }
                let folder = if schema.get("$defs").is_some() { "$defs" } else { "definitions" };
                let (mut compiler, schemas) = (Compiler::new(), Schemas::new());
                compiler.add_resource("mcp:schema", schema).unwrap();
                Some(Checker { version, folder, compiler, schemas, seen: BTreeSet::new() })
            }
            Err(_) => {
                // Written past the test's own capture, so that it is seen.
                let _ = writeln!(std::io::stderr(), "skipped: there is no {}", path.display());
                None
            }
        }
    }

    /// Whether `message` fits the definition of this name; the fault if not.
    pub fn fits(&mut self, definition: &str, message: &Value) -> Result<(), String> {
        let place = format!("mcp:schema#/{}/{definition}", self.folder);
        let found = self.compiler.compile(&place, &mut self.schemas);
        let index = found.unwrap_or_else(|e| panic!("{} {definition}: {e}", self.version));
        self.schemas.validate(message, index).map_err(|e| format!("{e:#}"))
    }

    pub fn check(&mut self, definition: &str, message: &Value) {
        if let Err(fault) = self.fits(definition, message) {
            panic!("{} {definition}: {fault}\n{message}", self.version);
        }
        self.seen.insert(definition.to_owned());
    }

    fn is_modern(&self) -> bool {
        self.version == MODERN
    }

    /// Holds all that was said against the schema. A request of the host that was answered with an
    /// error is not: it was meant to be wrong.
    pub fn all(&mut self, said: &Said) {
        let said = said.all();
        let mut asked: HashMap<String, Value> = HashMap::new();
        let mut answered: HashMap<String, bool> = HashMap::new();
        let mut sampled: BTreeSet<String> = BTreeSet::new();
        for message in &said {
            match message {
                Message::Host(Value::Array(messages)) => {
                    for message in messages {
                        asked.insert(message["id"].to_string(), message.clone());
                    }
                }
                Message::Host(message) => {
                    asked.insert(message["id"].to_string(), message.clone());
                }
                Message::Bridge(message) if message.get("method").is_some() => {
                    if message.get("id").is_some() {
                        sampled.insert(message["id"].to_string());
                    }
                }
                Message::Bridge(message) => {
                    answered.insert(message["id"].to_string(), message.get("error").is_none());
                }
            }
        }
        for message in said {
            match message {
                Message::Host(Value::Array(messages)) => {
                    if self.version == "2025-03-26" {
                        self.check("JSONRPCBatchRequest", &messages.into());
                    }
                }
                Message::Host(message) => {
                    let is_wrong = |id: &Value| answered.get(&id.to_string()) == Some(&false);
                    if !message.get("id").is_some_and(is_wrong) {
                        self.by_host(&message, &sampled);
                    }
                }
                Message::Bridge(answers @ Value::Array(_)) => {
                    self.check("JSONRPCBatchResponse", &answers);
                }
                Message::Bridge(message) => self.by_bridge(&message, &asked),
            }
        }
    }

    fn by_host(&mut self, message: &Value, sampled: &BTreeSet<String>) {
        match (message.get("method"), message.get("id")) {
            (Some(method), Some(_)) => {
                self.check("JSONRPCRequest", message);
                self.check("ClientRequest", message);
                let definition = match method.as_str().unwrap_or_default() {
                    "server/discover" => "DiscoverRequest",
                    "initialize" => "InitializeRequest",
                    "ping" => "PingRequest",
                    "tools/list" => "ListToolsRequest",
                    "tools/call" => "CallToolRequest",
                    "subscriptions/listen" => "SubscriptionsListenRequest",
                    other => panic!("the host asks {other}"),
                };
                self.check(definition, message);
            }
            (Some(_), None) => {
                self.check("JSONRPCNotification", message);
                self.check("ClientNotification", message);
            }
            (None, _) if message.get("error").is_some() => self.error(message),
            (None, id) => {
                assert!(!self.is_modern(), "a modern host answers nothing: {message}");
                self.good("ClientResult", message);
                let id = id.unwrap_or(&Value::Null).to_string();
                assert!(sampled.contains(&id), "nobody asked for {message}");
                self.check("CreateMessageResult", &message["result"]);
            }
        }
    }

    fn by_bridge(&mut self, message: &Value, asked: &HashMap<String, Value>) {
        match (message.get("method").and_then(Value::as_str), message.get("id")) {
            (Some(method), Some(_)) => {
                assert!(!self.is_modern(), "a modern host is asked {message}");
                assert_eq!(method, "sampling/createMessage", "{message}");
                for definition in ["JSONRPCRequest", "ServerRequest", "CreateMessageRequest"] {
                    self.check(definition, message);
                }
            }
            (Some(method), None) => {
                self.check("JSONRPCNotification", message);
                let definition = match method {
                    "notifications/progress" => "ProgressNotification",
                    "notifications/cancelled" if !self.is_modern() => "CancelledNotification",
                    "notifications/subscriptions/acknowledged" => {
                        "SubscriptionsAcknowledgedNotification"
                    }
                    "notifications/claude/channel" if !self.is_modern() => return,
                    other => panic!("the host is told {other}: {message}"),
                };
                self.check(definition, message);
                self.check("ServerNotification", message);
            }
            (None, _) if message.get("error").is_some() => self.error(message),
            (None, id) => {
                let id = id.unwrap_or(&Value::Null).to_string();
                // What was sent as raw bytes is a call of a tool.
                let call = json!("tools/call");
                let method = asked.get(&id).map_or(&call, |asked| &asked["method"]);
                let definition = match method.as_str().unwrap_or_default() {
                    "server/discover" => "DiscoverResult",
                    "initialize" => "InitializeResult",
                    "ping" => "EmptyResult",
                    "tools/list" => "ListToolsResult",
                    "tools/call" if message["result"]["resultType"] == "input_required" => {
                        "InputRequiredResult"
                    }
                    "tools/call" => "CallToolResult",
                    "subscriptions/listen" => "SubscriptionsListenResult",
                    other => panic!("{other} was answered with {message}"),
                };
                self.good(definition, message);
                if self.is_modern() {
                    self.modern(definition, message);
                }
            }
        }
    }

    /// What a modern answer holds besides; some definitions are looser than the specification.
    fn modern(&mut self, definition: &str, message: &Value) {
        let response = match definition {
            "InputRequiredResult" => "CallToolResultResponse".to_owned(),
            definition => format!("{definition}Response"),
        };
        self.check(&response, message);
        let result = &message["result"];
        assert_eq!(result["_meta"][SERVER]["name"], "modeltap", "{message}");
        if definition != "InputRequiredResult" {
            assert_eq!(result["resultType"], "complete", "{message}");
            return;
        }
        assert!(result["requestState"].is_string(), "{message}");
        for (_, request) in result["inputRequests"].as_object().into_iter().flatten() {
            self.check("CreateMessageRequest", request);
        }
    }

    /// A good answer, and its result as the definition of this name.
    fn good(&mut self, definition: &str, answer: &Value) {
        let newer = [LATEST, MODERN].contains(&self.version);
        self.check(if newer { "JSONRPCResultResponse" } else { "JSONRPCResponse" }, answer);
        self.check(definition, &answer["result"]);
    }

    fn error(&mut self, answer: &Value) {
        let newer = [LATEST, MODERN].contains(&self.version);
        if !newer && answer.get("id").is_none() {
            // No older version has an error without an id, nor one whose id is null: its clients
            // read on.
            assert_eq!(answer["error"]["code"], -32700, "{answer}");
            return;
        }
        self.check(if newer { "JSONRPCErrorResponse" } else { "JSONRPCError" }, answer);
        if !self.is_modern() {
            return;
        }
        // Those of JSON-RPC itself are defined as the bare error.
        let (definition, message) = match answer["error"]["code"].as_i64() {
            Some(-32700) => ("ParseError", &answer["error"]),
            Some(-32600) => ("InvalidRequestError", &answer["error"]),
            Some(-32601) => ("MethodNotFoundError", &answer["error"]),
            Some(-32602) => ("InvalidParamsError", &answer["error"]),
            Some(-32021) => ("MissingRequiredClientCapabilityError", answer),
            Some(-32022) => ("UnsupportedProtocolVersionError", answer),
            _ => panic!("no such code: {answer}"),
        };
        self.check(definition, message);
    }
}
