//! Reads JSON with comments and trailing commas, as editors write it, and tells where each part
//! stands, so that a part can be changed and all else stays as it is.

use super::edit::Syntax;
use serde_json::Value;
use std::ops::Range;

/// The deepest nesting that is read.
const DEEPEST: usize = 128;

/// A value and where it stands.
#[derive(Debug)]
pub struct Node {
    /// Its bytes.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// Members, all with a key.
    Object(Vec<Entry>),
    /// Items, all without.
    Array(Vec<Entry>),
    /// Anything else.
    Plain(Value),
}

/// A member of an object, or an item of an array.
#[derive(Debug)]
pub struct Entry {
    /// The key of a member.
    pub key: Option<String>,
    /// Where it begins, with its key.
    pub start: usize,
    /// Its value.
    pub value: Node,
    /// Where the comma behind it stands, if there is one.
    pub comma: Option<usize>,
}

impl Node {
    /// What it says.
    pub fn value(&self) -> Value {
        match &self.kind {
            Kind::Plain(value) => value.clone(),
            Kind::Array(items) => items.iter().map(|item| item.value.value()).collect(),
            Kind::Object(members) => members
                .iter()
                .map(|member| (member.key.clone().unwrap_or_default(), member.value.value()))
                .collect(),
        }
    }
}

/// Reads all of a text; `None` where there is nothing but blanks and comments.
///
/// # Errors
/// Where it is no JSON.
pub fn parse(text: &str) -> Result<Option<Node>, Syntax> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.blanks()?;
    if reader.peek().is_none() {
        return Ok(None);
    }
    let node = reader.value()?;
    reader.blanks()?;
    match reader.peek() {
        None => Ok(Some(node)),
        Some(_) => Err(reader.fault("nothing more is expected behind the end")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    fn fault(&self, why: &str) -> Syntax {
        Syntax::at(self.text, self.at, why)
    }

    /// Passes what means nothing.
    fn blanks(&mut self) -> Result<(), Syntax> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            self.at += blank;
            let rest = self.rest();
            let comment = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                match rest.get(2..).and_then(|inner| inner.find("*/")) {
                    Some(end) => end + 4,
                    None => return Err(self.fault("this comment has no end")),
                }
            } else {
                0
            };
            self.at += comment;
            if comment == 0 {
                return Ok(());
            }
        }
    }

    fn value(&mut self) -> Result<Node, Syntax> {
        let start = self.at;
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.entries(b'}', true)?),
            Some(b'[') => Kind::Array(self.entries(b']', false)?),
            Some(b'"') => Kind::Plain(Value::String(self.string()?)),
            _ => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
                let token = self.rest();
                let token = token.get(..token.len() - token.trim_start_matches(is_part).len());
                let token = token.unwrap_or_default();
                let value =
                    serde_json::from_str(token).map_err(|_| self.fault("a value is expected"))?;
                self.at += token.len();
                Kind::Plain(value)
            }
        };
        Ok(Node { span: start..self.at, kind })
    }

    /// The entries of an object or an array, from its first bracket to behind its last.
    fn entries(&mut self, close: u8, keyed: bool) -> Result<Vec<Entry>, Syntax> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.fault("this is nested too deep"));
        }
        self.at += 1;
        let mut entries = Vec::<Entry>::new();
        loop {
            self.blanks()?;
            let may_follow = entries.last().is_none_or(|entry| entry.comma.is_some());
            match self.peek() {
                Some(byte) if byte == close => break,
                Some(b',') if !may_follow => {
                    if let Some(entry) = entries.last_mut() {
                        entry.comma = Some(self.at);
                    }
                    self.at += 1;
                    continue;
                }
                None => return Err(self.fault("the end is missing")),
                Some(_) if !may_follow => return Err(self.fault("a comma is expected")),
                Some(_) => {}
            }
            let start = self.at;
            let key = match (keyed, self.peek()) {
                (false, _) => None,
                (true, Some(b'"')) => Some(self.string()?),
                (true, _) => return Err(self.fault("a name in double quotes is expected")),
            };
            if keyed {
                self.blanks()?;
                if self.peek() != Some(b':') {
                    return Err(self.fault("a colon is expected"));
                }
                self.at += 1;
                self.blanks()?;
            }
            let value = self.value()?;
            entries.push(Entry { key, start, value, comma: None });
        }
        self.at += 1;
        self.depth -= 1;
        Ok(entries)
    }

    fn string(&mut self) -> Result<String, Syntax> {
        let mut escaped = false;
        let end = self.rest().bytes().enumerate().skip(1).find(|(_, byte)| {
            let ends = !escaped && matches!(byte, b'"' | b'\n');
            escaped = !escaped && *byte == b'\\';
            ends
        });
        let end = end.map_or(self.rest().len(), |(at, _)| at + 1);
        let token = self.rest().get(..end).unwrap_or_default();
        let text =
            serde_json::from_str(token).map_err(|_| self.fault("this text is not well formed"))?;
        self.at += end;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_editors_write_is_read() {
        for (text, value) in [
            ("{}", json!({})),
            (
                "// a\n{ /* b */ \"x\" /* c */ : [1, -2.5e3, true, null,], // d\n}\n// e",
                json!({"x": [1, -2.5e3, true, null]}),
            ),
            (r#"{"a//b": "c\"/*d", "é": "\u00e9\\"}"#, json!({"a//b": "c\"/*d", "é": "é\\"})),
            ("[[], {}, \"\"]", json!([[], {}, ""])),
        ] {
            assert_eq!(parse(text).unwrap().unwrap().value(), value, "{text}");
        }
        for text in ["", " \r\n\t", "// only this", "/* and this */ "] {
            assert!(parse(text).unwrap().is_none(), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_with_its_place() {
        let deep = "[".repeat(DEEPEST + 1);
        for (text, line, column) in [
            ("{\n  \"a\": 1\n  \"b\": 2\n}", 3, 3),
            ("{\"a\" 1}", 1, 6),
            ("{a: 1}", 1, 2),
            ("{\"a\": }", 1, 7),
            ("{\"a\": 1", 1, 8),
            ("{\"a\": 1}}", 1, 9),
            ("{\"é\": x}", 1, 7),
            ("{,}", 1, 2),
            ("[1,,2]", 1, 4),
            ("\n/* a", 2, 1),
            ("/*/ {}", 1, 1),
            ("{\"a\": \"b\n\"}", 1, 7),
            ("{'a': 1}", 1, 2),
            (&deep, 1, DEEPEST + 1),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!((fault.line, fault.column), (line, column), "{text}: {fault}");
        }
    }
}
