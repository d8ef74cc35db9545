//! Whether an answer is what its route promises: its form, not only its status. Pure.

use serde_json::Value;

/// What was seen of a good answer, in some words; or what is wrong with it.
pub type Judged = Result<String, String>;

/// The most characters that are shown of an answer's text.
const SHOWN: usize = 40;

fn json(body: &str) -> Result<Value, String> {
    serde_json::from_str(body).map_err(|e| format!("it is no JSON: {e}"))
}

/// That what is there is as it should be; `what` says what should.
fn is(fits: bool, what: &str) -> Result<(), String> {
    if fits { Ok(()) } else { Err(format!("no {what} in it")) }
}

/// A text as it is shown.
fn shown(text: &str) -> String {
    let more = if text.chars().nth(SHOWN).is_some() { "…" } else { "" };
    let text: String =
        text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("\"{text}{more}\"")
}

/// What an error says, in either dialect.
pub fn error(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body["error"]["message"].as_str()?.to_owned())
}

/// `error.code` of an error.
pub fn code(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    Some(body["error"]["code"].as_str()?.to_owned())
}

/// A whole answer of `/v1/chat/completions`.
pub fn chat(body: &str) -> Judged {
    let body = json(body)?;
    is(body["object"] == "chat.completion", "object \"chat.completion\"")?;
    let choice = &body["choices"][0];
    let content = &choice["message"]["content"];
    is(content.is_string() || choice["message"]["tool_calls"].is_array(), "message")?;
    is(choice["finish_reason"].is_string(), "finish_reason")?;
    is(body["usage"]["total_tokens"].is_u64(), "usage.total_tokens")?;
    Ok(shown(content.as_str().unwrap_or("a tool call")))
}

/// A whole answer of `/v1/completions`.
pub fn completion(body: &str) -> Judged {
    let body = json(body)?;
    is(body["object"] == "text_completion", "object \"text_completion\"")?;
    is(body["choices"][0]["finish_reason"].is_string(), "finish_reason")?;
    let text = body["choices"][0]["text"].as_str();
    text.map(shown).ok_or_else(|| "no text in it".into())
}

/// A whole answer of `/v1/messages`.
pub fn message(body: &str) -> Judged {
    let body = json(body)?;
    is(body["type"] == "message" && body["role"] == "assistant", "message of the assistant")?;
    is(body["stop_reason"].is_string(), "stop_reason")?;
    is(body["usage"]["output_tokens"].is_u64(), "usage.output_tokens")?;
    let text = body["content"][0]["text"].as_str();
    text.map(shown).ok_or_else(|| "no text in it".into())
}

/// A whole answer of `/v1/responses`, or a stored one.
pub fn response(body: &str) -> Judged {
    let body = json(body)?;
    is(body["object"] == "response", "object \"response\"")?;
    is(body["id"].as_str().is_some_and(|id| id.starts_with("resp_")), "id of a response")?;
    is(body["status"] == "completed", "status \"completed\"")?;
    let items = body["output"].as_array().into_iter().flatten();
    let text = items.filter_map(|item| item["content"][0]["text"].as_str()).next();
    text.map(shown).ok_or_else(|| "no text in it".into())
}

/// The id of a response, for what is asked of it later.
pub fn response_id(body: &str) -> Option<String> {
    let id = json(body).ok()?["id"].as_str()?.to_owned();
    id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then_some(id)
}

/// The events of a stream: the name of each, empty where it has none, and its data.
fn events(body: &str) -> Vec<(&str, &str)> {
    fn field<'a>(event: &'a str, name: &str) -> Option<&'a str> {
        event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start)
    }
    let event = |event| Some((field(event, "event:").unwrap_or_default(), field(event, "data:")?));
    body.split("\n\n").filter_map(event).collect()
}

/// The data of each event; an event that tells an error ends it.
fn data(events: &[(&str, &str)]) -> Result<Vec<Value>, String> {
    let mut all = Vec::with_capacity(events.len());
    for (_, data) in events {
        if let Some(said) = error(data) {
            return Err(format!("the stream broke off: {said}"));
        }
        all.push(json(data)?);
    }
    Ok(all)
}

/// A stream of OpenAI's older kind, which ends with `[DONE]`.
fn chunks(body: &str, object: &str, piece: fn(&Value) -> Option<&str>) -> Judged {
    let mut events = events(body);
    let last = events.pop();
    if last.is_none_or(|(_, data)| data != "[DONE]") {
        // What comes in place of it may say why.
        data(&last.into_iter().collect::<Vec<_>>())?;
        return Err("it does not end with [DONE]".into());
    }
    let chunks = data(&events)?;
    is(chunks.iter().all(|chunk| chunk["object"] == object), "chunk of this route alone")?;
    is(
        chunks.iter().any(|chunk| chunk["choices"][0]["finish_reason"].is_string()),
        "finish_reason",
    )?;
    let text: String = chunks.iter().filter_map(piece).collect();
    Ok(format!("{} in {} events, then [DONE]", shown(&text), chunks.len()))
}

/// A stream of `/v1/chat/completions`.
pub fn chat_stream(body: &str) -> Judged {
    chunks(body, "chat.completion.chunk", |chunk| chunk["choices"][0]["delta"]["content"].as_str())
}

/// A stream of `/v1/completions`.
pub fn completion_stream(body: &str) -> Judged {
    chunks(body, "text_completion", |chunk| chunk["choices"][0]["text"].as_str())
}

/// A stream whose events are named by their type: it must begin and end with these.
fn named(body: &str, first: &str, last: &str, piece: &str) -> Judged {
    let events = events(body);
    let all = data(&events)?;
    let kind = |event: &Value| event["type"].as_str().unwrap_or_default().to_owned();
    is(all.first().map(kind).as_deref() == Some(first), &format!("{first} at its beginning"))?;
    is(all.last().map(kind).as_deref() == Some(last), &format!("{last} at its end"))?;
    let fits = all.iter().zip(&events).all(|(event, (name, _))| event["type"] == *name);
    is(fits, "agreement of each event's name with its type")?;
    let pieces = all.iter().filter(|event| event["type"] == piece);
    let text: String = pieces
        .filter_map(|event| event["delta"].as_str().or(event["delta"]["text"].as_str()))
        .collect();
    Ok(format!("{} in {} events, then {last}", shown(&text), all.len()))
}

/// A stream of `/v1/messages`.
pub fn message_stream(body: &str) -> Judged {
    named(body, "message_start", "message_stop", "content_block_delta")
}

/// A stream of `/v1/responses`, whose events are also numbered.
pub fn response_stream(body: &str) -> Judged {
    let said = named(body, "response.created", "response.completed", "response.output_text.delta")?;
    let all = data(&events(body))?;
    let mut numbers = all.iter().map(|event| event["sequence_number"].as_u64());
    is((0..).zip(&mut numbers).all(|(at, number)| number == Some(at)), "unbroken sequence_number")?;
    Ok(said)
}

/// `/v1/messages/count_tokens`.
pub fn count(body: &str) -> Judged {
    let count = json(body)?["input_tokens"].as_u64();
    count.map(|count| format!("{count} tokens")).ok_or_else(|| "no input_tokens in it".into())
}

/// A list, such as that of the models.
pub fn list(body: &str) -> Judged {
    let body = json(body)?;
    is(body["object"] == "list", "object \"list\"")?;
    let items = body["data"].as_array().ok_or("no data in it")?;
    let first = items.first().and_then(|item| item["id"].as_str()).ok_or("nothing in it")?;
    Ok(match items.len() {
        1 => first.to_owned(),
        n => format!("{first} and {} more", n - 1),
    })
}

/// The first id of a list.
pub fn first_id(body: &str) -> Option<String> {
    Some(json(body).ok()?["data"][0]["id"].as_str()?.to_owned())
}

/// One model.
pub fn model(body: &str) -> Judged {
    let body = json(body)?;
    is(body["object"] == "model", "object \"model\"")?;
    body["id"].as_str().map(str::to_owned).ok_or_else(|| "no id in it".into())
}

/// What became of a deleted response.
pub fn deleted(body: &str) -> Judged {
    is(json(body)?["deleted"] == true, "deleted: true")?;
    Ok("deleted".into())
}

/// `/api/hello`.
pub fn hello(body: &str) -> Judged {
    let said = json(body)?["message"].as_str().map(shown);
    said.ok_or_else(|| "no message in it".into())
}

/// `/health`.
pub fn health(body: &str) -> Judged {
    is(json(body)?["status"] == "ok", "status \"ok\"")?;
    Ok("the process is alive".into())
}

/// `/ready`.
pub fn ready(body: &str) -> Judged {
    let body = json(body)?;
    is(body["status"] == "ready", "status \"ready\"")?;
    let way = body["backend"].as_str().ok_or("no backend in it")?;
    Ok(format!("a model is there by {way}"))
}

/// `/openapi.json`, which also tells a modeltap from others.
pub fn openapi(body: &str) -> Judged {
    let body = json(body)?;
    is(body["openapi"].is_string(), "openapi")?;
    is(body["info"]["title"] == env!("CARGO_PKG_NAME"), "title \"modeltap\"")?;
    let version = body["info"]["version"].as_str().ok_or("no version in it")?;
    Ok(format!("modeltap {version}"))
}

/// `/metrics`, in Prometheus's text form.
pub fn metrics(body: &str) -> Judged {
    let samples = body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
    is(body.lines().any(|line| line.starts_with("# TYPE ")), "# TYPE")?;
    is(samples > 0, "sample")?;
    Ok(format!("{samples} samples"))
}

/// `/`, the page for people.
pub fn page(body: &str) -> Judged {
    is(body.to_ascii_lowercase().contains("</html>"), "page of HTML")?;
    Ok(format!("a page of {} KB", body.len() / 1024))
}

/// The beginning of a stream that goes on for ever.
pub fn endless(body: &str) -> Judged {
    is(!body.is_empty(), "beginning")?;
    let fits = |line: &str| {
        line.is_empty()
            || ["data:", "event:", "id:", "retry:", ":"].iter().any(|name| line.starts_with(name))
    };
    // The last line may not be whole yet.
    let mut lines: Vec<&str> = body.split('\n').collect();
    lines.pop();
    is(lines.into_iter().all(fits), "event stream")?;
    Ok("its first events".into())
}

/// One exchange, as the page shows it.
pub fn exchange(body: &str) -> Judged {
    is(json(body)?["id"].is_string(), "id")?;
    Ok("the chat above".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: &str = "data: [DONE]\n\n";
    const PIECE: &str = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":\
        {\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
    const LAST: &str = "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{},\
        \"finish_reason\":\"stop\"}]}\n\n";

    #[test]
    fn streams_must_be_whole() {
        assert_eq!(
            chat_stream(&format!(": keep-alive\n\n{PIECE}{LAST}{DONE}")).unwrap(),
            "\"Hi\" in 2 events, then [DONE]"
        );
        for (body, fault) in [
            (format!("{PIECE}{LAST}"), "[DONE]"),
            (format!("{PIECE}{DONE}"), "finish_reason"),
            (format!("{PIECE}data: {{\n\n{DONE}"), "JSON"),
            (format!("{PIECE}data: {{\"error\":{{\"message\":\"gone\"}}}}\n\n"), "broke off: gone"),
            (String::new(), "[DONE]"),
        ] {
            let said = chat_stream(&body).unwrap_err();
            assert!(said.contains(fault), "{body}: {said}");
        }
    }

    #[test]
    fn named_events_begin_and_end_as_they_must() {
        let event = |kind: &str, more: &str| {
            format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{more}}}\n\n")
        };
        let start = event("message_start", "");
        let piece = event("content_block_delta", ",\"delta\":{\"text\":\"Hi\"}");
        let stop = event("message_stop", "");
        let said = message_stream(&format!("{start}{piece}{stop}")).unwrap();
        assert_eq!(said, "\"Hi\" in 3 events, then message_stop");
        for (body, fault) in [
            (format!("{piece}{stop}"), "message_start"),
            (format!("{start}{piece}"), "message_stop"),
            (format!("{start}{piece}{stop}{DONE}"), "JSON"),
            (format!("{start}{}{stop}", piece.replace("event: content_", "event: ")), "name"),
        ] {
            let said = message_stream(&body).unwrap_err();
            assert!(said.contains(fault), "{body}: {said}");
        }
        let numbered = |kind: &str, n: u32| event(kind, &format!(",\"sequence_number\":{n}"));
        let whole = numbered("response.created", 0) + &numbered("response.completed", 1);
        assert!(response_stream(&whole).is_ok());
        let gap = numbered("response.created", 0) + &numbered("response.completed", 2);
        assert!(response_stream(&gap).unwrap_err().contains("sequence_number"));
    }

    #[test]
    fn whole_answers_have_what_clients_look_for() {
        type Judge = fn(&str) -> Judged;
        for (judge, body, fault) in [
            (chat as Judge, "{\"object\":\"list\"}", Some("chat.completion")),
            (chat, "<html>", Some("JSON")),
            (
                completion,
                "{\"object\":\"text_completion\",\"choices\":[{}]}",
                Some("finish_reason"),
            ),
            (message, "{\"type\":\"message\",\"role\":\"assistant\"}", Some("stop_reason")),
            (response, "{\"object\":\"response\",\"id\":\"x\"}", Some("id")),
            (count, "{\"input_tokens\":3}", None),
            (list, "{\"object\":\"list\",\"data\":[]}", Some("nothing")),
            (list, "{\"object\":\"list\",\"data\":[{\"id\":\"m\"},{\"id\":\"n\"}]}", None),
            (metrics, "# TYPE a counter\na 1\n", None),
            (metrics, "{}", Some("TYPE")),
            (endless, "event: a\ndata: 1\n\nda", None),
            (endless, "<html>\n", Some("stream")),
            (page, "<!doctype html><HTML></HTML>", None),
            (openapi, "{\"openapi\":\"3.1.1\",\"info\":{\"title\":\"other\"}}", Some("modeltap")),
        ] {
            let judged = judge(body);
            assert_eq!(judged.is_err(), fault.is_some(), "{body}: {judged:?}");
            let said = judged.unwrap_or_else(|said| said);
            assert!(fault.is_none_or(|fault| said.contains(fault)), "{body}: {said}");
        }
    }
}
