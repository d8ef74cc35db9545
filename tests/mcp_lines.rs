//! Odd lines on standard input, each answered as far as it can be, told on stderr, and survived.

mod common;

use common::{Bridge, LATEST};
use serde_json::{Value, json};

/// That the bridge reads on: the next thing it writes is the answer to a ping.
fn survives(bridge: &mut Bridge) {
    let id = bridge.begin("ping", json!({}));
    assert_eq!(bridge.recv(), json!({"jsonrpc": "2.0", "id": id, "result": {}}));
}

/// Sends a line as it is; the next message that the bridge writes.
fn answer(bridge: &mut Bridge, line: &str) -> Value {
    bridge.send_raw(format!("{line}\n").as_bytes());
    bridge.recv()
}

fn with_version(version: &str) -> Bridge {
    let mut bridge = Bridge::spawn(&[]);
    let params = json!({"protocolVersion": version, "capabilities": {"sampling": {}}});
    assert_eq!(bridge.request("initialize", params)["result"]["protocolVersion"], version);
    bridge
}

#[test]
fn a_line_that_is_not_json_is_answered_without_an_id_and_told() {
    let mut bridge = Bridge::sampling(&[]);
    let lines: &[&[u8]] = &[
        b"hello",
        b"{",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"} trailing",
        b"{'jsonrpc':'2.0'}",
        b"[{]",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xff\"}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"params\":{\"a\":\"\xc3\"}}",
        b"\xff\xfe",
        b"{\"jsonrpc\":2,\"id\":1,\"method\":\"ping\", nope",
        b"\0",
    ];
    for line in lines {
        bridge.send_raw(line);
        bridge.send_raw(b"\n");
        let (told, shown) = (bridge.recv(), String::from_utf8_lossy(line));
        assert_eq!(told["error"]["code"], -32700, "{shown}: {told}");
        assert!(told.get("id").is_none(), "{shown}: {told}");
    }
    survives(&mut bridge);
    bridge.wait_stderr("a line from the host is not JSON");
}

#[test]
fn blank_lines_and_either_line_end_are_fine() {
    let mut bridge = Bridge::sampling(&[]);
    bridge.send_raw(b"\n\r\n  \t \n");
    survives(&mut bridge);
    bridge.send_raw(b" {\"jsonrpc\":\"2.0\",\"id\":\"crlf\",\"method\":\"ping\"} \r\n");
    assert_eq!(bridge.line(), r#"{"jsonrpc":"2.0","id":"crlf","result":{}}"#);
    survives(&mut bridge);
}

#[test]
fn a_line_in_pieces_is_one_line() {
    let mut bridge = Bridge::sampling(&[]);
    for piece in ["{\"jsonrpc\":\"2.0\",", "\"id\":\"pieces\",\"meth", "od\":\"ping\"}", "\n"] {
        bridge.send_raw(piece.as_bytes());
    }
    assert_eq!(bridge.recv()["id"], "pieces");
}

#[test]
fn a_message_without_a_line_end_is_answered_before_the_process_ends() {
    let mut bridge = Bridge::spawn(&[]);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": LATEST, "capabilities": {}}});
    bridge.send_raw(message.to_string().as_bytes());
    bridge.close_stdin();
    assert_eq!(bridge.recv()["result"]["protocolVersion"], LATEST);
    assert_eq!(bridge.wait().code(), Some(0));
    // Half a message is no message; it is answered as such, and the end is as clean.
    let mut bridge = Bridge::spawn(&[]);
    bridge.send_raw(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"meth");
    bridge.close_stdin();
    assert_eq!(bridge.recv()["error"]["code"], -32700);
    assert_eq!(bridge.wait().code(), Some(0));
}

#[test]
fn what_was_asked_last_is_answered_to_its_end() {
    // Nothing is there to stop, so only the answer itself, of over a megabyte, can hold the process.
    let mut bridge = Bridge::spawn(&[("MODELTAP_HTTP_AUTO_START", "0")]);
    bridge.initialize("claude-code", json!({}));
    let publish = json!({"name": "channel_publish", "arguments": {"content": "x".repeat(2000)}});
    let last = (0..500).map(|_| bridge.begin("tools/call", publish.clone())).last();
    bridge.recv_where(|message| message["id"] == last.unwrap());
    let call = json!({"name": "channel_debug_events", "arguments": {"limit": 500}});
    let id = bridge.begin("tools/call", call);
    bridge.close_stdin();
    let answer = bridge.recv_where(|message| message["id"] == id);
    assert_eq!(answer["result"]["structuredContent"]["count"], 500);
    assert_eq!(bridge.wait().code(), Some(0));
}

#[test]
fn a_line_of_64_mib_passes_and_a_longer_one_is_skipped() {
    const LONGEST: usize = 64 * 1024 * 1024;
    let mut bridge = Bridge::sampling(&[]);
    let (head, tail) = (r#"{"jsonrpc":"2.0","id":"long","method":"ping","params":{"x":""#, "\"}}");
    let mut line = String::with_capacity(LONGEST + 1);
    line.push_str(head);
    line.extend(std::iter::repeat_n('x', LONGEST - head.len() - tail.len()));
    line.push_str(tail);
    bridge.send_raw(line.as_bytes());
    bridge.send_raw(b"\n");
    assert_eq!(bridge.recv()["id"], "long");
    line.push(' ');
    bridge.send_raw(line.as_bytes());
    bridge.send_raw(b"\n");
    let refused = bridge.recv();
    assert_eq!(refused["error"]["code"], -32700);
    assert!(refused.get("id").is_none());
    survives(&mut bridge);
    bridge.wait_stderr("64 MiB");
    if let Some(kib) = bridge.memory_kib() {
        assert!(kib < 32 * 1024, "{kib} KiB are kept after the long lines");
    }
}

#[test]
fn an_id_comes_back_as_it_came() {
    let mut bridge = Bridge::sampling(&[]);
    for id in [
        "0",
        "-7",
        "9007199254740993",
        "123456789012345678901234567890",
        "\"\"",
        "\"a b\"",
        r#""\u00e9\n\"\\""#,
        "\"你好\"",
        r#""\ud83d\ude00""#,
    ] {
        bridge.send_raw(
            format!("{{\"method\":\"ping\", \"id\" : {id} ,\"jsonrpc\":\"2.0\"}}\n").as_bytes(),
        );
        assert_eq!(bridge.line(), format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
    }
}

#[test]
fn an_id_that_mcp_does_not_know_is_refused_without_an_answer() {
    let mut bridge = Bridge::sampling(&[]);
    for id in ["null", "1.0", "1e3", "true", "[1]", "{\"a\":1}"] {
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n");
        bridge.send_raw(line.as_bytes());
        survives(&mut bridge);
    }
    bridge.wait_stderr("an id is a string or an integer");
}

#[test]
fn what_is_json_but_no_message_is_refused_under_its_id_where_it_has_one() {
    let mut bridge = Bridge::sampling(&[]);
    for line in [
        r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#,
        r#"{"id":7,"method":"ping"}"#,
        r#"{"jsonrpc":2,"id":7,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":5}"#,
        r#"{"jsonrpc":"2.0","id":7}"#,
    ] {
        let refused = answer(&mut bridge, line);
        assert_eq!(
            (&refused["id"], &refused["error"]["code"]),
            (&json!(7), &json!(-32600)),
            "{line}"
        );
    }
    for line in ["5", "null", "\"ping\"", "{}", r#"{"jsonrpc":"2.0"}"#] {
        bridge.send_raw(format!("{line}\n").as_bytes());
        survives(&mut bridge);
    }
}

#[test]
fn unknown_notifications_and_answers_to_nothing_are_ignored() {
    let mut bridge = Bridge::sampling(&[]);
    for line in [
        r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/no/such","params":[1]}"#,
        r#"{"jsonrpc":"2.0","method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null}}"#,
        r#"{"jsonrpc":"2.0","id":"none","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":5,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"what?"}}"#,
        r#"{"jsonrpc":"2.0","id":"0123456789abcdef0123456789abcdef","result":{"content":[]}}"#,
        r#"{"jsonrpc":"2.0","id":"none","error":"of no shape"}"#,
    ] {
        bridge.send_raw(format!("{line}\n").as_bytes());
        survives(&mut bridge);
    }
    bridge.wait_stderr("the host reports an error: what?");
}

#[test]
fn a_batch_is_answered_as_one_array_to_clients_of_the_one_version_that_has_them() {
    let mut bridge = with_version("2025-03-26");
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "two", "method": "no such"},
        {"jsonrpc": "2.0", "id": "gone", "result": {}},
        {"jsonrpc": "2.0", "id": 3, "method": "tools/call",
            "params": {"name": "http_server_status"}},
        {"jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": {"name": "hook"}},
        {"jsonrpc": "2.0", "id": 5},
        ["2.0", 6, "ping", null, null, null],
        7,
    ]);
    let answers = answer(&mut bridge, &batch.to_string());
    let answers = answers.as_array().unwrap();
    let ids: Vec<&Value> = answers.iter().map(|answer| &answer["id"]).collect();
    assert_eq!(ids, [&json!(1), &json!("two"), &json!(3), &json!(4), &json!(5)]);
    assert_eq!(answers[0]["result"], json!({}));
    assert_eq!(answers[1]["error"]["code"], -32601);
    assert_eq!(answers[2]["result"]["structuredContent"]["running"], true);
    // A call that stays open would keep the batch waiting.
    assert_eq!(answers[3]["result"]["isError"], true);
    assert_eq!(answers[4]["error"]["code"], -32600);
    let status = bridge.call("runtime_status", json!({}));
    assert_eq!(status["structuredContent"]["mcp"]["open_hooks"], 0);
    // A batch without a question has no answer.
    bridge.send_raw(b"[{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}]\n[]\n");
    survives(&mut bridge);
}

#[test]
fn a_batch_under_another_version_is_refused_for_each_id() {
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let mut bridge = with_version(version);
        bridge.send_raw(
            b"[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"},\
              {\"jsonrpc\":\"2.0\",\"method\":\"x\"},5,\
              {\"jsonrpc\":\"2.0\",\"id\":\"b\",\"method\":\"ping\"},\
              {\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}]\n[]\n",
        );
        for id in [json!(1), json!("b")] {
            let refused = bridge.recv();
            assert_eq!((&refused["id"], &refused["error"]["code"]), (&id, &json!(-32600)));
        }
        survives(&mut bridge);
        bridge.wait_stderr("a batch was refused");
    }
}
