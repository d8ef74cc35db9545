use super::super::edit::{Format, Found as State, look, put as edit_put, take as edit_take};
use super::*;

fn mine(path: &[&'static str]) -> Put {
    let value = Tree::Object(vec![
        ("command".into(), Tree::text("/b/modeltap")),
        ("args".into(), Tree::List(vec![])),
    ]);
    Put { path: path.to_vec(), value, mine: Mine::Command("command") }
}

fn rule() -> Put {
    let value = Tree::text("mcp__modeltap__hook");
    Put { path: vec!["permissions", "allow", ITEM], value, mine: Mine::Same }
}

/// Text before, text after.
const SERVERS: &[(&str, &str)] = &[
    (
        "",
        "{\n  \"s\": {\n    \"modeltap\": {\n      \"command\": \"/b/modeltap\",\n      \"args\": []\n    }\n  }\n}\n",
    ),
    (
        "{\n\t// mine\n\t\"s\": {\n\t\t\"a\": {}, // last\n\t\t// \"b\": {}\n\t},\n\t\"x\": 1,\n}\n",
        "{\n\t// mine\n\t\"s\": {\n\t\t\"a\": {}, // last\n\t\t// \"b\": {}\n\t\t\"modeltap\": {\n\t\t\t\"command\": \"/b/modeltap\",\n\t\t\t\"args\": []\n\t\t},\n\t},\n\t\"x\": 1,\n}\n",
    ),
    (
        "{\r\n    \"s\": {\r\n        \"a\": {} // last\r\n    }\r\n}",
        "{\r\n    \"s\": {\r\n        \"a\": {}, // last\r\n        \"modeltap\": {\r\n            \"command\": \"/b/modeltap\",\r\n            \"args\": []\r\n        }\r\n    }\r\n}",
    ),
    (
        "{\"s\":{\"a\":{}}}",
        "{\"s\":{\"a\":{}, \"modeltap\": {\"command\": \"/b/modeltap\", \"args\": []}}}",
    ),
    ("{\"s\": {}}", "{\"s\": {\"modeltap\": {\"command\": \"/b/modeltap\", \"args\": []}}}"),
    (
        "{\n  \"s\": {}\n}",
        "{\n  \"s\": {\n    \"modeltap\": {\n      \"command\": \"/b/modeltap\",\n      \"args\": []\n    }\n  }\n}",
    ),
];

#[test]
fn it_is_put_in_as_the_text_is_written_and_taken_out_again() {
    let put = mine(&["s", "modeltap"]);
    for (before, after) in SERVERS {
        let with = edit_put(Format::Json, before, &put).unwrap();
        assert_eq!(&with, after);
        assert_eq!(look(Format::Json, &with, &put).unwrap(), State::Same);
        let without = edit_take(Format::Json, &with, &put).unwrap();
        match before.is_empty() {
            true => assert!(is_hollow(&without, std::slice::from_ref(&put)), "{without}"),
            false => assert_eq!(&without, before),
        }
    }
    let marked = "\u{feff}{}";
    assert!(edit_put(Format::Json, marked, &put).unwrap().starts_with("\u{feff}{\n  \"s\""));
}

#[test]
fn a_name_that_is_missing_on_the_way_is_made() {
    let put = mine(&["s", "modeltap"]);
    for (before, has) in [
        ("// nothing yet\n", "// nothing yet\n{\n  \"s\": {\n"),
        ("{ }", "{\n  \"s\": {\n    \"modeltap\""),
        ("{\n  // none\n}", "{\n  // none\n  \"s\": {\n    \"modeltap\""),
        ("{\n  \"x\": [\n    1\n  ]}", "  ],\n  \"s\": {\n    \"modeltap\""),
    ] {
        let after = edit_put(Format::Json, before, &put).unwrap();
        assert!(after.contains(has), "{after}");
        assert_eq!(look(Format::Json, &after, &put).unwrap(), State::Same, "{after}");
    }
}

#[test]
fn items_of_a_list_are_told_by_what_they_say() {
    for (before, after) in [
        (
            "{\n  \"permissions\": {\n    \"allow\": [\n      \"Bash(ls:*)\"\n    ]\n  }\n}\n",
            "{\n  \"permissions\": {\n    \"allow\": [\n      \"Bash(ls:*)\",\n      \"mcp__modeltap__hook\"\n    ]\n  }\n}\n",
        ),
        (
            "{\"permissions\": {\"allow\": [\"A\"], \"deny\": []}}",
            "{\"permissions\": {\"allow\": [\"A\", \"mcp__modeltap__hook\"], \"deny\": []}}",
        ),
    ] {
        let with = edit_put(Format::Json, before, &rule()).unwrap();
        assert_eq!(with, after);
        assert_eq!(edit_put(Format::Json, &with, &rule()).unwrap(), after);
        assert_eq!(edit_take(Format::Json, &with, &rule()).unwrap(), before);
    }
}

#[test]
fn what_stands_there_is_told_apart() {
    let put = mine(&["s", "modeltap"]);
    for (entry, state) in [
        (r#"{"args": [], "command": "/b/modeltap"}"#, State::Same),
        (r#"{"command": "C:\\x\\modeltap.EXE"}"#, State::Ours),
        (r#"{"command": "npx", "args": ["modeltap"]}"#, State::Foreign(2)),
        (r#"{"url": "http://x"}"#, State::Foreign(2)),
        ("7", State::Foreign(2)),
    ] {
        let text = format!("{{\"s\": {{\n  \"modeltap\": {entry},\n  \"z\": 1}}}}");
        assert_eq!(look(Format::Json, &text, &put).unwrap(), state, "{text}");
        // It changes where it stands, and nothing around it does.
        let changed = edit_put(Format::Json, &text, &put).unwrap();
        assert!(changed.starts_with("{\"s\": {\n  \"modeltap\": {\n"), "{changed}");
        assert!(changed.ends_with("},\n  \"z\": 1}}"), "{changed}");
        let gone = edit_take(Format::Json, &text, &put).unwrap();
        assert_eq!(parse(&gone).unwrap().unwrap().value(), serde_json::json!({"s": {"z": 1}}));
    }
}

#[test]
fn what_is_in_the_way_is_told_with_its_place() {
    for (text, put, why) in [
        ("[]", mine(&["s", "modeltap"]), "line 1, column 1: all of it should be an object"),
        ("{\"s\":\n []}", mine(&["s", "modeltap"]), "line 2, column 2: \"s\" should be an object"),
        ("{\"s\": null}", mine(&["s", "modeltap"]), "line 1, column 7: \"s\" should be an object"),
        (
            "{\"s\": {}, \"s\": {}}",
            mine(&["s", "modeltap"]),
            "column 11: \"s\" stands here a second time",
        ),
        ("{\"permissions\": {\"allow\": {}}}", rule(), "\"allow\" should be a list"),
    ] {
        let fault = edit_put(Format::Json, text, &put).unwrap_err().to_string();
        assert!(fault.contains(why), "{text}: {fault}");
    }
}

#[test]
fn comments_around_an_entry_that_is_taken_out_stay_comments() {
    let put = mine(&["s", "modeltap"]);
    for (text, left) in [
        ("{\"s\": {\"a\": 1, // x\n  \"modeltap\": 2}}", "{\"s\": {\"a\": 1 // x\n}}"),
        (
            "{\"s\": {\"a\": 1, // x\n  \"modeltap\": 2, // y\n \"b\": 3}}",
            "{\"s\": {\"a\": 1, // x\n // y\n \"b\": 3}}",
        ),
        ("{\"s\": {\"modeltap\": 2 /* y */, \"b\": 3}}", "{\"s\": { /* y */ \"b\": 3}}"),
        ("{\"s\": {\"b\": 3, \"modeltap\": 2,}}", "{\"s\": {\"b\": 3,}}"),
        ("{\"s\": {\n  // y\n  \"modeltap\": 2\n}}", "{\"s\": {\n  // y\n}}"),
    ] {
        assert_eq!(edit_take(Format::Json, text, &put).unwrap(), left);
        assert!(parse(left).is_ok());
    }
}

/// A source of numbers that look like chance, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }

    fn gap(&mut self) -> &'static str {
        self.one(&[
            "",
            "",
            " ",
            "\n",
            "\n  ",
            "\r\n\t",
            " // c, \"}\n",
            "/* { */",
            "\n\n    ",
            " /**/ ",
        ])
    }

    fn value(&mut self, depth: u32) -> String {
        match self.below(if depth > 3 { 4 } else { 6 }) {
            0 => self.one(&["1", "-2.5e3", "true", "null", "\"\"", "{}", "[]"]).to_owned(),
            1..=3 => self
                .one(&["\"a // b\"", "\"\\\"{\"", "\"é\\u00e9\"", "\"/* x */\"", "[ ]", "{\n}"])
                .to_owned(),
            4 => self.group('[', ']', &[], depth),
            _ => {
                let names = [format!("k{}", self.below(100)), "a".into(), "b \\\"".into()];
                self.group('{', '}', &names, depth)
            }
        }
    }

    /// An object with these keys, or a list.
    fn group(&mut self, open: char, close: char, names: &[String], depth: u32) -> String {
        let count = if names.is_empty() { self.below(4) as usize } else { names.len() };
        let mut text = format!("{open}");
        for at in 0..count {
            text += self.gap();
            if let Some(name) = names.get(at) {
                let value = match name.as_str() {
                    "s" => self.servers(depth + 1),
                    _ => self.value(depth + 1),
                };
                text += &format!("\"{name}\"{}:{}{value}", self.gap(), self.gap());
            } else {
                text += &self.value(depth + 1);
            }
            text += self.gap();
            if at + 1 < count || self.below(4) == 0 {
                text.push(',');
            }
        }
        text + self.gap() + &close.to_string()
    }

    fn servers(&mut self, depth: u32) -> String {
        let names: Vec<_> = (0..self.below(4)).map(|at| format!("server {at}")).collect();
        match names.is_empty() {
            true => self.one(&["{}", "{ }", "{\n  }", "{ // none\n}", "{/**/}"]).to_owned(),
            false => self.group('{', '}', &names, depth),
        }
    }
}

#[test]
fn whatever_the_text_it_is_put_in_and_taken_out_and_all_else_keeps_its_value() {
    let put = mine(&["s", "modeltap"]);
    let (mut chance, mut all) = (Chance(7), 0);
    for round in 0..1500 {
        let mut names = vec!["x".to_owned(), "y".to_owned()];
        if round % 5 > 0 {
            names.insert(chance.below(3) as usize, "s".into());
        }
        let (head, inner, tail) = (chance.gap(), chance.group('{', '}', &names, 0), chance.gap());
        let text = format!("{head}{inner}{tail}");
        let before =
            parse(&text).unwrap_or_else(|fault| panic!("{text}: {fault}")).unwrap().value();
        let with = edit_put(Format::Json, &text, &put).unwrap();
        let mut expected = before.clone();
        expected["s"]["modeltap"] = put.value.value();
        let read = parse(&with).unwrap_or_else(|fault| panic!("{text}\n---\n{with}: {fault}"));
        assert_eq!(read.unwrap().value(), expected, "{text}\n---\n{with}");
        assert_eq!(edit_put(Format::Json, &with, &put).unwrap(), with);
        // What the text said, it says: comments among it.
        let told = |text: &str| text.matches(['c', '*']).count();
        assert_eq!(told(&with), told(&text) + told(&put.value.line()), "{text}\n---\n{with}");
        let without = edit_take(Format::Json, &with, &put).unwrap();
        let mut left = before.clone();
        if left.get("s").is_none() {
            left["s"] = serde_json::json!({});
        }
        let read =
            parse(&without).unwrap_or_else(|fault| panic!("{with}\n---\n{without}: {fault}"));
        assert_eq!(read.unwrap().value(), left, "{with}\n---\n{without}");
        // Where there was another entry, not a byte is different.
        if before["s"].as_object().is_some_and(|servers| !servers.is_empty()) {
            all += 1;
            assert_eq!(without, text, "{with}");
        }
    }
    assert!(all > 500, "{all}");
}
