//! What must go, and what must stay.

use super::super::chain::{sha256, text};
use super::*;

fn shown(text: &str) -> String {
    redact(text, &[]).into_owned()
}

#[test]
fn secrets_are_taken_out_and_the_rest_stays() {
    let key = "Abcdefgh1234_-ijklmnopqrstuvwxyz0123";
    let word = "Abcdefgh1234ijklmnopqrstuvwxyz0123";
    // ‹…› is what must go.
    for case in [
        "my key is ‹sk-KEY› here",
        "‹sk-ant-api03-KEY›",
        r#"{"content":"it is\n‹sk-KEY›\nthanks"}"#,
        r#"{"content":"it\u2019‹sk-KEY›."}"#,
        "‹mt_KEY›",
        "x=‹ghp_WORD›, ‹github_pat_KEY›; ‹gho_WORD›",
        "‹AKIAIOSFODNN7EXAMPLE› and ‹ASIAIOSFODNN7EXAMPLE›",
        "‹xoxb-123456789012-abc› ‹AIzaSyA-1234567890abcdefghijklmnop_qrs› ‹glpat-KEY›",
        "‹hf_WORD› ‹npm_WORD› ‹sk_live_WORD›",
        "‹eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P›",
        "curl -H 'Authorization: Bearer ‹abc.def/ghi+jkl=›'",
        "bearer ‹abcdef›, BEARER  ‹abcdef›",
        "Authorization: Basic ‹dXNlcjpwYXNz›\nHost: x",
        "authorization: ‹abc›",
        r#"{"Authorization":"Bearer ‹abcdef›","a":1}"#,
        r#"{"api_key": "‹a b\"c›", "b": "c"}"#,
        r#"{"apiKey":"‹ends in a backslash\\\\›","b":"c"}"#,
        r#"{"text":"{\"password\": \"‹a\\\"b›\", \"c\": \"d\"}"}"#,
        r#"{"text":"{\"password\": \"‹a\\\\›\", \"c\": \"d\"}"}"#,
        r#"{"text":"{\"password\": \"‹cut off›"}"#,
        "{'client_secret': '‹abc›', 'x': 'y'}",
        "PASSWORD=‹hunter2›&user=me",
        r#"{"text":"\npassword: ‹hunter2›\nuser: me"}"#,
        "x-api-key: ‹abc›\nother: abc",
        "export AWS_SECRET_ACCESS_KEY=‹abc/def+ghi›",
        "access_token := ‹abc›; passwd => ‹abc›",
        "-----BEGIN RSA PRIVATE KEY-----‹\nMIIE+/=\n›-----END RSA PRIVATE KEY-----",
        r#"-----BEGIN PRIVATE KEY-----‹\nMIIE\nDEK-Info: x\n›-----END PRIVATE KEY-----"#,
        "-----BEGIN PRIVATE KEY-----‹\nMIIE›",
        "password: ‹密码abc› 你好",
        "token: ‹abc",
    ] {
        let case = case.replace("KEY›", &format!("{key}›")).replace("WORD›", &format!("{word}›"));
        let mut wanted = String::new();
        for (at, part) in case.split('‹').enumerate() {
            match part.split_once('›') {
                Some((_, rest)) => wanted.extend([MARK, rest]),
                None if at > 0 => wanted.push_str(MARK),
                None => wanted.push_str(part),
            }
        }
        let text = case.replace(['‹', '›'], "");
        assert_eq!(shown(&text), wanted, "{text}");
        assert_eq!(shown(&wanted), wanted, "once more");
    }
}

#[test]
fn what_is_no_secret_stays() {
    for text in [
        "",
        "a task-oriented, risk-averse-and-well-meaning approach",
        "AIza, AKIA, sk-, sk-short, mt_x, eyJ, Bearer x, hf_hub_download_of_many_files",
        "AKIAlooks-like-a-key",
        "data: {\"a\":1}\n\ndata: [DONE]",
        "the data:here, of course",
        r#"{"max_tokens":100,"token_count":5,"data":"short"}"#,
        r#"{"password":"","token":null,"secret":{"a":1},"tokens":["a"]}"#,
        "if token == other { path::token::X }",
        "https://example.org:8080/a-b_c?x=y",
        "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
        "你好-世界_一:二=三",
    ] {
        assert_eq!(shown(text), text);
        assert!(matches!(redact(text, &[]), Cow::Borrowed(_)));
    }
}

#[test]
fn files_are_told_by_type_size_and_hash() {
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    for (text, wanted) in [
        ("(data:image/png;base64,aGVsbG8=)", "([data:image/png, 5 bytes, sha256 HASH])"),
        ("data:image/png;base64,aGVsbG8", "[data:image/png, 5 bytes, sha256 HASH]"),
        ("data:text/plain;charset=utf-8,hello x", "[data:text/plain, 5 bytes, sha256 HASH] x"),
        (r#""data:image\/png;base64,aGVsbG8=\n""#, r#""[data:image/png, 5 bytes, sha256 HASH]\n""#),
    ] {
        assert_eq!(shown(text), wanted.replace("HASH", hash), "{text}");
    }
    let long = "A".repeat(4 * 5000);
    let hash = sha256(&vec![0; 15000]);
    let told = format!(r#"{{"data":"[base64, 15000 bytes, sha256 {}]"}}"#, text(&hash));
    assert_eq!(shown(&format!(r#"{{"data":"{long}"}}"#)), told);
    // Slashes with a backslash before each.
    let slashes = format!(r#"{{"data":"{}"}}"#, "\\/".repeat(400));
    assert!(shown(&slashes).contains("[base64, 300 bytes"), "{}", shown(&slashes));
}

#[test]
fn patterns_can_be_added() {
    let patterns = [Regex::new("[0-9]{3}-[0-9]{4}").unwrap(), Regex::new("(?i)acme").unwrap()];
    assert_eq!(
        redact("call 555-1234 at ACME, sk-0123456789abcdef", &patterns),
        "call [redacted] at [redacted], [redacted]"
    );
    assert!(matches!(redact("plain", &patterns), Cow::Borrowed(_)));
}
