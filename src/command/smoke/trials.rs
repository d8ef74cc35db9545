//! What is tried: each route of the API, whole and, where it has one, as a stream; and that keys are asked
//! for where there are any.

use super::client::{Answer, Client, Key, Until};
use super::judge::{self, Judged};
use crate::api::ROUTES;
use serde_json::{Value, json};
use std::time::Duration;

/// How a trial went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// As it must be.
    Good,
    /// It could not be tried, or is switched off there.
    Skipped,
    /// Not as it must be.
    Failed,
}

/// One line of the table.
pub struct Row {
    /// The route as [`ROUTES`] has it.
    pub route: &'static str,
    /// `whole`, `streamed`, or with which key.
    pub how: &'static str,
    /// How it went.
    pub outcome: Outcome,
    /// The HTTP status; 0 where no answer came.
    pub status: u16,
    /// How long the first byte took, and all of it.
    pub times: Option<(Duration, Duration)>,
    /// What came, or what is wrong with it.
    pub said: String,
}

/// What earlier answers told, for later requests.
#[derive(Default)]
struct Found {
    model: String,
    response: Option<String>,
    exchange: Option<String>,
}

/// What stands for `{id}` in a route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Id {
    None,
    Model,
    Response,
    Exchange,
}

struct Trial {
    route: &'static str,
    how: &'static str,
    id: Id,
    body: Option<fn(&Found) -> Value>,
    until: Until,
    /// What its media type begins with.
    media: &'static str,
    judge: fn(&str) -> Judged,
    /// Whether the settings of the bridge may switch it off.
    is_optional: bool,
}

const JSON: &str = "application/json";
const SSE: &str = "text/event-stream";

/// A question that costs little.
const QUESTION: &str = "This is a test. Answer with the one word: works";

fn get(route: &'static str, judge: fn(&str) -> Judged) -> Trial {
    Trial {
        route,
        how: "whole",
        id: Id::None,
        body: None,
        until: Until::End,
        media: JSON,
        judge,
        is_optional: false,
    }
}

fn post(route: &'static str, body: fn(&Found) -> Value, judge: fn(&str) -> Judged) -> Trial {
    Trial { body: Some(body), ..get(route, judge) }
}

fn stream(route: &'static str, body: fn(&Found) -> Value, judge: fn(&str) -> Judged) -> Trial {
    Trial { how: "streamed", media: SSE, ..post(route, body, judge) }
}

fn chat(found: &Found, stream: bool) -> Value {
    json!({"model": found.model, "stream": stream, "max_tokens": 64,
        "messages": [{"role": "user", "content": QUESTION}]})
}

fn respond(found: &Found, stream: bool) -> Value {
    json!({"model": found.model, "stream": stream, "input": QUESTION})
}

fn complete(found: &Found, stream: bool) -> Value {
    json!({"model": found.model, "stream": stream, "max_tokens": 64, "prompt": QUESTION})
}

/// All trials, those first whose answers others need.
fn trials() -> Vec<Trial> {
    vec![
        get("GET /openapi.json", judge::openapi),
        get("GET /health", judge::health),
        get("GET /ready", judge::ready),
        get("GET /api/hello", judge::hello),
        get("GET /v1/models", judge::list),
        Trial { id: Id::Model, ..get("GET /v1/models/{id}", judge::model) },
        post("POST /v1/chat/completions", |found| chat(found, false), judge::chat),
        stream("POST /v1/chat/completions", |found| chat(found, true), judge::chat_stream),
        post("POST /v1/messages", |found| chat(found, false), judge::message),
        stream("POST /v1/messages", |found| chat(found, true), judge::message_stream),
        post("POST /v1/messages/count_tokens", |found| chat(found, false), judge::count),
        post("POST /v1/responses", |found| respond(found, false), judge::response),
        stream("POST /v1/responses", |found| respond(found, true), judge::response_stream),
        post("POST /v1/completions", |found| complete(found, false), judge::completion),
        stream("POST /v1/completions", |found| complete(found, true), judge::completion_stream),
        Trial { id: Id::Response, ..get("GET /v1/responses/{id}", judge::response) },
        Trial { id: Id::Response, ..get("GET /v1/responses/{id}/input_items", judge::list) },
        Trial { id: Id::Response, ..get("DELETE /v1/responses/{id}", judge::deleted) },
        Trial { media: "text/plain", ..get("GET /metrics", judge::metrics) },
        Trial { media: "text/html", is_optional: true, ..get("GET /", judge::page) },
        Trial {
            how: "streamed",
            media: SSE,
            until: Until::First,
            is_optional: true,
            ..get("GET /v1/events", judge::endless)
        },
        Trial {
            id: Id::Exchange,
            is_optional: true,
            ..get("GET /v1/exchanges/{id}", judge::exchange)
        },
    ]
}

/// Tries all, and hands on each line as it comes.
pub fn run(client: &Client, model: Option<&str>, tell: &mut dyn FnMut(Row)) {
    let mut found = Found { model: model.unwrap_or("modeltap").into(), ..Found::default() };
    let trials = trials();
    for trial in trials.iter().filter(|trial| ROUTES.contains(&trial.route)) {
        let (row, answer) = one(client, trial, &found);
        if row.outcome == Outcome::Good {
            match (trial.route, trial.how) {
                ("GET /v1/models", _) if model.is_none() => {
                    found.model = judge::first_id(&answer.body).unwrap_or(found.model);
                }
                ("POST /v1/responses", "whole") => {
                    found.response = judge::response_id(&answer.body)
                }
                ("POST /v1/chat/completions", "whole") => {
                    found.exchange = Some(answer.id).filter(|id| !id.is_empty());
                }
                _ => {}
            }
        }
        tell(row);
    }
    let unknown = ROUTES.iter().filter(|route| !trials.iter().any(|trial| trial.route == **route));
    for route in unknown {
        tell(Row {
            route,
            how: "",
            outcome: Outcome::Skipped,
            status: 0,
            times: None,
            said: "smoke does not know this route".into(),
        });
    }
    keys(client, tell);
}

fn one(client: &Client, trial: &Trial, found: &Found) -> (Row, Answer) {
    let (method, path) = trial.route.split_once(' ').unwrap_or_default();
    let mut row = Row {
        route: trial.route,
        how: trial.how,
        outcome: Outcome::Failed,
        status: 0,
        times: None,
        said: String::new(),
    };
    let id = match trial.id {
        Id::None => Some(String::new()),
        Id::Model => Some(encoded(&found.model)),
        Id::Response => found.response.clone(),
        Id::Exchange => found.exchange.clone(),
    };
    let Some(id) = id else {
        row.outcome = Outcome::Skipped;
        row.said = "it needs a good answer of those above".into();
        return (row, Answer::default());
    };
    let body = trial.body.map(|body| body(found));
    let path = path.replace("{id}", &id);
    let answer = match client.send(method, &path, body.as_ref(), Key::Given, trial.until) {
        Ok(answer) => answer,
        Err(why) => {
            row.said = why;
            return (row, Answer::default());
        }
    };
    row.status = answer.status;
    row.times = Some((answer.first, answer.total));
    (row.outcome, row.said) = judged(trial, &answer);
    (row, answer)
}

fn judged(trial: &Trial, answer: &Answer) -> (Outcome, String) {
    if answer.status != 200 {
        let said = judge::error(&answer.body);
        let said = said.unwrap_or_else(|| "an answer that says nothing of why".into());
        let code = judge::code(&answer.body);
        return match (answer.status, code.as_deref()) {
            (404, _) if trial.is_optional => (Outcome::Skipped, "it is switched off there".into()),
            (403, Some("route_not_allowed")) => (Outcome::Skipped, said),
            _ => (Outcome::Failed, said),
        };
    }
    if !answer.media.starts_with(trial.media) {
        let said = format!("Content-Type {:?} and not {}", answer.media, trial.media);
        return (Outcome::Failed, said);
    }
    match (trial.judge)(&answer.body) {
        Ok(said) => (Outcome::Good, said),
        Err(said) => (Outcome::Failed, said),
    }
}

/// That where a key is asked for none but a good one will do.
fn keys(client: &Client, tell: &mut dyn FnMut(Row)) {
    const ROUTE: &str = "GET /v1/models";
    let mut asked = false;
    for (key, how) in [(Key::None, "without key"), (Key::Wrong, "wrong key")] {
        let answer = client.send("GET", "/v1/models", None, key, Until::End);
        let mut row = Row {
            route: ROUTE,
            how,
            outcome: Outcome::Failed,
            status: 0,
            times: None,
            said: String::new(),
        };
        match answer {
            Err(why) => row.said = why,
            Ok(answer) => {
                row.status = answer.status;
                row.times = Some((answer.first, answer.total));
                (row.outcome, row.said) = match (key, answer.status) {
                    (_, 401) => (Outcome::Good, "refused, as it must be".into()),
                    // Too many wrong ones came from here; no key is looked at.
                    (Key::Wrong, 429) => (Outcome::Good, "refused, as it must be".into()),
                    (Key::None, 200) => (Outcome::Good, "no key is asked for here".into()),
                    (_, 200) => (Outcome::Failed, "a key that nobody has is good here".into()),
                    _ => (Outcome::Failed, judge::error(&answer.body).unwrap_or_default()),
                };
                asked = answer.status != 200;
            }
        }
        tell(row);
        if !asked {
            return;
        }
    }
}

/// A model's name as a part of a path.
fn encoded(name: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    name.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_tried_and_each_that_asks_also_as_a_stream() {
        let trials = trials();
        for route in ROUTES {
            let known = trials.iter().filter(|trial| trial.route == route);
            let hows: Vec<&str> = known.map(|trial| trial.how).collect();
            assert!(!hows.is_empty(), "smoke does not know {route}: give it a trial");
            let path = route.split_once(' ').unwrap().1;
            if crate::api::Route::of(path).is_some_and(|route| route.asks()) {
                assert_eq!(hows, ["whole", "streamed"], "{route}");
            }
        }
    }

    #[test]
    fn names_of_models_become_parts_of_a_path() {
        assert_eq!(encoded("org/model 1"), "org%2Fmodel%201");
        assert_eq!(encoded("gpt-4o"), "gpt-4o");
    }
}
