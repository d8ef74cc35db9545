//! Reads the block style of YAML that people and programs write settings in, as far as it takes to
//! know which lines belong to what; what it cannot be sure of (several documents, anchors before keys)
//! it refuses.

use super::super::edit::Syntax;
use std::ops::Range;

/// A key or an item of a list.
#[derive(Debug)]
pub struct Entry {
    /// Its key and those that it is under; for items, `-` and their number.
    pub path: Vec<String>,
    /// The blanks before it.
    pub indent: usize,
    /// From the head of its line to behind its last one, with all that is under it.
    pub span: Range<usize>,
    /// What stands behind it, without comments.
    pub value: Range<usize>,
}

/// What an item's place in a path begins with; a number follows.
pub const ITEM_MARK: &str = "- ";

/// What stands behind an entry.
pub fn said<'a>(text: &'a str, entry: &Entry) -> &'a str {
    text.get(entry.value.clone()).unwrap_or_default()
}

/// What a value says, without its quotes.
pub fn unquoted(value: &str) -> Option<String> {
    match value.chars().next() {
        Some('"') => serde_json::from_str(value).ok(),
        Some('\'') => Some(value.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "'")),
        _ => Some(value.to_owned()),
    }
}

/// Whether all of a text is an empty mapping, as programs write it.
pub fn is_braces(text: &str) -> bool {
    text.trim() == "{}"
}

/// All keys and items of a text, in their order.
///
/// # Errors
/// What is not understood.
pub fn scan(text: &str) -> Result<Vec<Entry>, Syntax> {
    let mut reader = Reader { text, at: 0, entries: Vec::new(), open: Vec::new(), items: 0 };
    if is_braces(text) {
        return Ok(Vec::new());
    }
    while reader.at < text.len() {
        reader.line()?;
    }
    Ok(reader.entries)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    entries: Vec<Entry>,
    /// Those of the entries that what comes next may be under.
    open: Vec<usize>,
    items: usize,
}

impl<'a> Reader<'a> {
    fn from(&self, at: usize) -> &'a str {
        self.text.get(at..).unwrap_or_default()
    }

    fn fault(&self, at: usize, why: &str) -> Syntax {
        Syntax::at(self.text, at, why)
    }

    /// Behind the end of the line that this byte is in.
    fn line_end(&self, at: usize) -> usize {
        self.from(at).find('\n').map_or(self.text.len(), |eol| at + eol + 1)
    }

    /// Reads a line, with the further lines that its value takes.
    fn line(&mut self) -> Result<(), Syntax> {
        let start = self.at;
        let end = self.line_end(start);
        let line = self.text.get(start..end).unwrap_or_default();
        let content = line.trim_start_matches(' ');
        let mut indent = line.len() - content.len();
        let mut at = start + indent;
        let content = content.trim_end();
        if content.is_empty() || content.starts_with('#') {
            self.at = end;
            return Ok(());
        }
        if content.starts_with('\t') {
            return Err(self.fault(at, "a tab cannot indent"));
        }
        let is_marker = |mark: &str| {
            indent == 0 && (content == mark || content.starts_with(&format!("{mark} ")))
        };
        if is_marker("---") && self.entries.is_empty() && content == "---" {
            self.at = end;
            return Ok(());
        }
        if is_marker("---") || is_marker("...") || (indent == 0 && content.starts_with('%')) {
            return Err(self.fault(at, "only one document can be changed, without directives"));
        }
        // Items on the way to a key on the same line.
        loop {
            let rest = self.from(at);
            let is_item = rest
                .strip_prefix('-')
                .is_some_and(|rest| rest.starts_with([' ', '\n', '\r']) || rest.is_empty());
            if !is_item {
                break;
            }
            let line = self.text.get(at + 1..end).unwrap_or_default();
            let blank = line.len() - line.trim_start_matches(' ').len();
            self.items += 1;
            let name = format!("{ITEM_MARK}{}", self.items);
            self.push(name, indent, start, at + 1, end, true)?;
            at += 1 + blank;
            indent += 1 + blank;
            let rest = self.text.get(at..end).unwrap_or_default().trim_end();
            if rest.is_empty() || rest.starts_with('#') {
                self.at = end;
                return Ok(());
            }
        }
        let (value, depth) = match self.key(at, end)? {
            Some((name, colon)) => {
                self.push(name, indent, start, colon + 1, end, false)?;
                (colon + 1, indent)
            }
            None => match self.open.last().and_then(|last| self.entries.get(*last)) {
                Some(entry) if said(self.text, entry).is_empty() => (at, entry.indent),
                _ => return Err(self.fault(at, "a key with a colon is expected")),
            },
        };
        self.at = self.value(value, depth)?;
        // All that is open goes at least so far.
        for at in &self.open {
            if let Some(entry) = self.entries.get_mut(*at) {
                entry.span.end = entry.span.end.max(self.at);
            }
        }
        Ok(())
    }

    /// Opens an entry under those that it is indented more than.
    fn push(
        &mut self,
        name: String,
        indent: usize,
        start: usize,
        value: usize,
        end: usize,
        item: bool,
    ) -> Result<(), Syntax> {
        // Items may stand just below their key.
        while let Some(last) = self.open.last().and_then(|last| self.entries.get(*last)) {
            let is_item = last.path.last().is_some_and(|name| name.starts_with(ITEM_MARK));
            if last.indent < indent || (item && !is_item && last.indent == indent) {
                break;
            }
            self.open.pop();
        }
        let parent = self.open.last().and_then(|last| self.entries.get(*last));
        let mut path = parent.map(|parent| parent.path.clone()).unwrap_or_default();
        path.push(name);
        let line = start..end;
        if !item && self.entries.iter().any(|entry| entry.path == path) {
            let name = path.last().map_or("", String::as_str);
            return Err(self.fault(start, &format!("{name:?} stands here a second time")));
        }
        let held = parent.map_or("", |parent| said(self.text, parent));
        if !held.is_empty() && !held.starts_with(['&', '!']) {
            return Err(self.fault(start, "nothing can stand below what has a value"));
        }
        let beside = self.entries.iter().find(|other| {
            other.path.len() == path.len()
                && other.path.iter().zip(&path).rev().skip(1).all(|(a, b)| a == b)
        });
        let is_item = |name: Option<&String>| name.is_some_and(|name| name.starts_with(ITEM_MARK));
        if beside.is_some_and(|other| other.indent != indent || is_item(other.path.last()) != item)
        {
            return Err(self.fault(start, "this is indented unlike what it stands beside"));
        }
        self.open.push(self.entries.len());
        self.entries.push(Entry { path, indent, span: line, value: value..value });
        for at in &self.open {
            if let Some(entry) = self.entries.get_mut(*at) {
                entry.span.end = entry.span.end.max(end);
            }
        }
        Ok(())
    }

    /// The key that begins here and where its colon stands, if one does.
    fn key(&self, at: usize, end: usize) -> Result<Option<(String, usize)>, Syntax> {
        let line = self.text.get(at..end).unwrap_or_default().trim_end();
        let is_colon = |rest: &str| {
            rest.strip_prefix(':')
                .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
        };
        match line.chars().next() {
            Some('"' | '\'') => {
                let close = self.quoted(at)?;
                let rest = self.text.get(close..end).unwrap_or_default().trim_end();
                let blank = rest.len() - rest.trim_start_matches(' ').len();
                let name = self.text.get(at..close).and_then(unquoted);
                match (is_colon(rest.trim_start_matches(' ')), name) {
                    (true, Some(name)) => Ok(Some((name, close + blank))),
                    (true, None) => Err(self.fault(at, "this name is not well formed")),
                    (false, _) => Ok(None),
                }
            }
            Some('[' | '{' | '|' | '>') => Ok(None),
            Some('?' | '&' | '*' | '!' | '@' | '`' | ',' | ']' | '}') => {
                Err(self.fault(at, "a plain key is expected"))
            }
            _ => {
                let plain =
                    line.find(" #").map_or(line, |comment| line.get(..comment).unwrap_or(line));
                let colon = plain
                    .char_indices()
                    .map(|(at, _)| at)
                    .find(|at| plain.get(*at..).is_some_and(is_colon));
                let name = colon.and_then(|colon| {
                    Some((plain.get(..colon)?.trim_end().to_owned(), at + colon))
                });
                Ok(name)
            }
        }
    }

    /// Reads the value that begins here, below a key that is indented so far; the end of its last line.
    fn value(&mut self, at: usize, indent: usize) -> Result<usize, Syntax> {
        let line = self.text.get(at..self.line_end(at)).unwrap_or_default();
        let mut from = at + line.len() - line.trim_start().len();
        let from_first = from;
        // What stands before the value itself.
        while self.from(from).starts_with(['&', '!']) {
            let word = self.from(from);
            from += word.find([' ', '\r', '\n']).unwrap_or(word.len());
            let line = self.text.get(from..self.line_end(from)).unwrap_or_default();
            from += line.len() - line.trim_start().len();
        }
        let line_end = self.line_end(at);
        let rest = self.from(from);
        let (close, end) = if from >= line_end || rest.starts_with('#') {
            if from_first == from {
                return Ok(line_end);
            }
            (from, line_end)
        } else if rest.starts_with(['|', '>']) {
            let head = rest.find(['\r', '\n']).unwrap_or(rest.len());
            (from + head, self.deeper(line_end, indent, true))
        } else if rest.starts_with(['"', '\'', '[', '{']) {
            let quoted = rest.starts_with(['"', '\'']);
            let close = if quoted { self.quoted(from)? } else { self.flow(from)? };
            let end = self.line_end(close);
            let behind = self.text.get(close..end).unwrap_or_default().trim();
            if !behind.is_empty() && !behind.starts_with('#') {
                return Err(self.fault(close, "the end of the line is expected"));
            }
            (close, end)
        } else {
            let line = self.text.get(from..line_end).unwrap_or_default();
            let plain = line.find(" #").and_then(|comment| line.get(..comment)).unwrap_or(line);
            if plain.trim_end().ends_with(':') || plain.contains(": ") {
                return Err(self.fault(from, "a key cannot stand here"));
            }
            let end = self.deeper(line_end, indent, false);
            let more = self.text.get(line_end..end).unwrap_or_default();
            if more.lines().any(|line| line.contains(": ") || line.trim_end().ends_with(':')) {
                return Err(self.fault(line_end, "a key cannot stand here"));
            }
            (from + plain.trim_end().len(), end)
        };
        if let Some(entry) = self.open.last().and_then(|last| self.entries.get_mut(*last)) {
            entry.value = from_first..close;
        }
        Ok(end)
    }

    /// Behind the lines from here on that are indented more, and blank ones between; with `literal`,
    /// whatever they hold.
    fn deeper(&self, mut at: usize, indent: usize, literal: bool) -> usize {
        let (mut end, text) = (at, self.text);
        while at < text.len() {
            let next = self.line_end(at);
            let line = text.get(at..next).unwrap_or_default();
            let content = line.trim_start_matches(' ');
            let blank = content.trim().is_empty();
            if !blank
                && (line.len() - content.len() <= indent || (!literal && content.starts_with('#')))
            {
                break;
            }
            at = next;
            if !blank {
                end = at;
            }
        }
        end
    }

    /// Behind the text in quotes that begins here.
    fn quoted(&self, at: usize) -> Result<usize, Syntax> {
        let rest = self.from(at);
        let quote = rest.chars().next().unwrap_or('"');
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((here, c)) = chars.next() {
            if c == '\\' && quote == '"' {
                chars.next();
            } else if c == quote {
                if quote == '\'' && chars.next_if(|(_, c)| *c == '\'').is_some() {
                    continue;
                }
                return Ok(at + here + 1);
            }
        }
        Err(self.fault(at, "this text has no end"))
    }

    /// Behind the brackets that begin here.
    fn flow(&self, start: usize) -> Result<usize, Syntax> {
        let (mut at, mut depth) = (start, 0_usize);
        while let Some(c) = self.from(at).chars().next() {
            let before = self.text.get(..at).and_then(|text| text.chars().next_back());
            match c {
                '[' | '{' => depth += 1,
                ']' | '}' => depth -= 1,
                '"' | '\'' if before.is_some_and(|c| " \t\n[{,:".contains(c)) => {
                    at = self.quoted(at)?;
                    continue;
                }
                '#' if before.is_some_and(char::is_whitespace) => {
                    at = self.line_end(at);
                    continue;
                }
                _ => {}
            }
            at += c.len_utf8();
            if depth == 0 {
                return Ok(at);
            }
        }
        Err(self.fault(start, "the bracket is not closed"))
    }
}
