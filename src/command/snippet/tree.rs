//! What a snippet says, as a tree that is written as JSON, TOML or YAML. Members keep their order:
//! people read `command` before `env`.

use serde_json::Value;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree {
    /// A text.
    Text(String),
    /// A number.
    Number(u32),
    /// A truth.
    Truth(bool),
    /// A list.
    List(Vec<Tree>),
    /// Names and what they stand for.
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// A text.
    pub fn text(text: impl Into<String>) -> Tree {
        Tree::Text(text.into())
    }

    /// This value below the names of `path`, where `-` is an item of a list.
    pub fn below(self, path: &[&str]) -> Tree {
        path.iter().rev().fold(self, |tree, step| match *step {
            ITEM => Tree::List(vec![tree]),
            name => Tree::Object(vec![(name.to_owned(), tree)]),
        })
    }

    /// The same for whoever compares it with what a file says.
    pub fn value(&self) -> Value {
        match self {
            Tree::Text(text) => text.as_str().into(),
            Tree::Number(number) => (*number).into(),
            Tree::Truth(truth) => (*truth).into(),
            Tree::List(items) => items.iter().map(Tree::value).collect(),
            Tree::Object(members) => {
                members.iter().map(|(name, tree)| (name.clone(), tree.value())).collect()
            }
        }
    }

    fn is_plain(&self) -> bool {
        match self {
            Tree::List(items) => items.is_empty(),
            Tree::Object(members) => members.is_empty(),
            _ => true,
        }
    }

    /// As JSON in one line.
    pub fn line(&self) -> String {
        match self {
            Tree::Text(text) => quoted(text),
            Tree::Number(number) => number.to_string(),
            Tree::Truth(truth) => truth.to_string(),
            Tree::List(items) => format!("[{}]", joined(items.iter().map(Tree::line))),
            Tree::Object(members) => {
                let member =
                    |(name, tree): &(String, Tree)| format!("{}: {}", quoted(name), tree.line());
                format!("{{{}}}", joined(members.iter().map(member)))
            }
        }
    }

    /// As JSON over several lines, all but the first behind `indent`. Lists of plain values stay in
    /// one line.
    pub fn json(&self, layout: &Layout, indent: &str) -> String {
        let deeper = format!("{indent}{}", layout.unit);
        let between = format!(",{}{deeper}", layout.eol);
        let framed = |open, inner: Vec<String>, close| {
            let (eol, inner) = (layout.eol, inner.join(&between));
            format!("{open}{eol}{deeper}{inner}{eol}{indent}{close}")
        };
        match self {
            Tree::Object(members) if !members.is_empty() => {
                let member = |(name, tree): &(String, Tree)| {
                    format!("{}: {}", quoted(name), tree.json(layout, &deeper))
                };
                framed('{', members.iter().map(member).collect(), '}')
            }
            Tree::List(items) if !items.iter().all(Tree::is_plain) => {
                framed('[', items.iter().map(|item| item.json(layout, &deeper)).collect(), ']')
            }
            plain => plain.line(),
        }
    }

    /// As what stands behind the `=` of TOML, in one line.
    pub fn toml(&self) -> String {
        match self {
            Tree::List(items) => format!("[{}]", joined(items.iter().map(Tree::toml))),
            Tree::Object(members) if members.is_empty() => "{}".into(),
            Tree::Object(members) => {
                let member =
                    |(name, tree): &(String, Tree)| format!("{} = {}", bare(name), tree.toml());
                format!("{{ {} }}", joined(members.iter().map(member)))
            }
            plain => plain.line(),
        }
    }

    /// As lines of YAML behind `indent`, each with its end; of plain values there are none.
    pub fn yaml(&self, eol: &str, indent: &str) -> String {
        let mut text = String::new();
        match self {
            Tree::Object(members) => {
                for (name, tree) in members {
                    let name = word(name);
                    if tree.is_plain() {
                        text += &format!("{indent}{name}: {}{eol}", tree.yaml_word());
                    } else {
                        text += &format!("{indent}{name}:{eol}");
                        text += &tree.yaml(eol, &format!("{indent}  "));
                    }
                }
            }
            Tree::List(items) => {
                let deeper = format!("{indent}  ");
                for item in items {
                    let inner = item.yaml(eol, &deeper);
                    match inner.strip_prefix(&deeper) {
                        Some(inner) => text += &format!("{indent}- {inner}"),
                        None => text += &format!("{indent}- {}{eol}", item.yaml_word()),
                    }
                }
            }
            _ => {}
        }
        text
    }

    fn yaml_word(&self) -> String {
        match self {
            Tree::Text(text) => word(text),
            other => other.line(),
        }
    }
}

/// The step of a path that stands for an item of a list.
pub const ITEM: &str = "-";

/// How a file is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// What its lines end with.
    pub eol: &'static str,
    /// What each level is indented by.
    pub unit: String,
}

impl Layout {
    /// That of a text, as far as its line ends tell.
    pub fn of(text: &str) -> Layout {
        Layout { eol: if text.contains("\r\n") { "\r\n" } else { "\n" }, unit: "  ".into() }
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// In double quotes with the escapes of JSON, which TOML and YAML read alike.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// A name in TOML, in quotes where it must be.
pub fn bare(name: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    match !name.is_empty() && name.bytes().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// A text in YAML, in quotes unless it is nothing but a word.
fn word(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(plain)
        && !reserved.contains(&text.to_ascii_lowercase().as_str());
    if is_word { text.to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Tree {
        Tree::Object(vec![
            ("command".into(), Tree::text(r"C:\m\modeltap.exe")),
            ("args".into(), Tree::List(vec![])),
            ("tools".into(), Tree::List(vec![Tree::text("*")])),
            ("env".into(), Tree::Object(vec![("A-1".into(), Tree::text("x \"y\""))])),
            ("timeout".into(), Tree::Number(300)),
            ("enabled".into(), Tree::Truth(true)),
        ])
    }

    #[test]
    fn each_language_has_its_form() {
        let layout = Layout { eol: "\n", unit: "\t".into() };
        let list = Tree::List(vec![entry()]);
        for (written, expected) in [
            (
                entry().line(),
                r#"{"command": "C:\\m\\modeltap.exe", "args": [], "tools": ["*"], "env": {"A-1": "x \"y\""}, "timeout": 300, "enabled": true}"#,
            ),
            (
                Tree::text("v").below(&["a", ITEM, "b"]).json(&layout, " "),
                "{\n \t\"a\": [\n \t\t{\n \t\t\t\"b\": \"v\"\n \t\t}\n \t]\n }",
            ),
            (
                entry().toml(),
                r#"{ command = "C:\\m\\modeltap.exe", args = [], tools = ["*"], env = { A-1 = "x \"y\"" }, timeout = 300, enabled = true }"#,
            ),
            (
                list.yaml("\n", "  "),
                "  - command: \"C:\\\\m\\\\modeltap.exe\"\n    args: []\n    tools:\n      - \"*\"\n    \
                 env:\n      A-1: \"x \\\"y\\\"\"\n    timeout: 300\n    enabled: true\n",
            ),
        ] {
            assert_eq!(written, expected);
        }
        assert_eq!(serde_json::from_str::<Value>(&entry().line()).unwrap(), entry().value());
        let lines = entry().json(&layout, "");
        assert_eq!(serde_json::from_str::<Value>(&lines).unwrap(), entry().value());
        assert_eq!(word("no"), "\"no\"");
        assert_eq!(bare("a.b"), "\"a.b\"");
    }
}
