//! What later requests may ask of a stored response.

use super::super::Kept;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

/// The list of what went into the response, the newest first unless `ascending`. It is never paged.
pub fn input_items(kept: &Kept, ascending: bool) -> Vec<u8> {
    let items: Vec<&RawValue> = serde_json::from_str(&kept.conversation).unwrap_or_default();
    let mut items: Vec<Listed> =
        items.into_iter().take(kept.inputs).enumerate().map(|item| listed(kept, item)).collect();
    if !ascending {
        items.reverse();
    }
    let id = |item: Option<&Listed>| item.map(|item| item.id.clone());
    let (first_id, last_id) = (id(items.first()), id(items.last()));
    let data = items.into_iter().map(|item| item.json).collect();
    let list = List { object: "list", data, first_id, last_id, has_more: false };
    serde_json::to_vec(&list).unwrap_or_default()
}

#[derive(Serialize)]
struct List {
    object: &'static str,
    data: Vec<Box<RawValue>>,
    first_id: Option<Value>,
    last_id: Option<Value>,
    has_more: bool,
}

struct Listed {
    id: Value,
    json: Box<RawValue>,
}

/// An item in full form. A field that we do not know may hold what no [`Value`] can, as half a
/// surrogate pair or a number without bounds; its item is told as it came.
fn listed(kept: &Kept, (at, raw): (usize, &RawValue)) -> Listed {
    let mut item: Value = serde_json::from_str(raw.get()).unwrap_or_default();
    complete(&mut item, &format!("{}_{at}", kept.id));
    let json = if item.is_null() { None } else { to_raw_value(&item).ok() };
    Listed { id: item["id"].take(), json: json.unwrap_or_else(|| raw.to_owned()) }
}

/// Adds what clients may leave out and the API tells: id, type, status, and content as parts.
fn complete(item: &mut Value, id: &str) {
    let Some(item) = item.as_object_mut() else { return };
    if item.get("id").is_none_or(Value::is_null) {
        item.insert("id".into(), id.into());
    }
    item.entry("type").or_insert_with(|| "message".into());
    item.entry("status").or_insert_with(|| "completed".into());
    let kind = if item.get("role") == Some(&json!("assistant")) { "output" } else { "input" };
    if let Some(Value::String(text)) = item.get("content") {
        let part = json!({"type": format!("{kind}_text"), "text": text});
        item.insert("content".into(), json!([part]));
    }
}

/// What tells that the response is kept no more.
pub fn deleted(id: &str) -> Vec<u8> {
    json!({"id": id, "object": "response", "deleted": true}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_is_listed_in_full_form_without_the_output() {
        let conversation = r#"[{"role":"user","content":"Hi"},
            {"type":"function_call_output","id":"o","call_id":"c","output":"1"},
            {"role":"assistant","content":"Bye"}]"#;
        let kept = Kept {
            id: "resp_1".into(),
            response: Vec::new(),
            conversation: conversation.into(),
            inputs: 2,
        };
        let list = |ascending| serde_json::from_slice::<Value>(&input_items(&kept, ascending));
        let message = json!({"type": "message", "id": "resp_1_0", "status": "completed", "role": "user",
            "content": [{"type": "input_text", "text": "Hi"}]});
        let output = json!({"type": "function_call_output", "id": "o", "status": "completed", "call_id": "c", "output": "1"});
        assert_eq!(
            list(true).unwrap(),
            json!({"object": "list", "has_more": false, "first_id": "resp_1_0", "last_id": "o",
                "data": [message, output]})
        );
        assert_eq!(list(false).unwrap()["data"], json!([output, message]));
    }

    #[test]
    fn an_item_that_cannot_be_read_does_not_hide_the_others() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for odd in [r#""\ud800""#, "1e999", &deep] {
            let kept = Kept {
                id: "resp_1".into(),
                response: Vec::new(),
                conversation: format!(r#"[{{"role":"user","content":"a"}},{{"x":{odd}}}]"#),
                inputs: 2,
            };
            let list = String::from_utf8(input_items(&kept, true)).unwrap();
            assert!(list.contains(r#""text":"a""#) && list.contains(odd), "{list}");
        }
    }
}
