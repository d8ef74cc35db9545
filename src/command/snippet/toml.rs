//! Puts a table into TOML and takes it out. It reads as much of the language as it takes to know
//! which tables and keys there are, and where; a new table goes to the end.

use super::edit::{Entry, Mine, Put, Syntax, replaced};
use super::tree::{Layout, Tree, bare};
use std::ops::Range;

/// The deepest nesting of values that is read.
const DEEPEST: usize = 128;

/// A table's head or a key with its value.
#[derive(Debug)]
struct Item {
    /// All names, those of the table that a key is in among them.
    path: Vec<String>,
    /// The lines that it takes.
    span: Range<usize>,
    what: What,
}

#[derive(Debug, PartialEq)]
enum What {
    Table,
    TableOfList,
    /// The value, and whether the key stands within the braces of another.
    Key {
        value: Range<usize>,
        inner: bool,
    },
}

/// The table that stands where `put` is to stand.
///
/// # Errors
/// The text is no TOML, or the table cannot stand there.
pub fn find(text: &str, put: &Put) -> Result<Option<Entry>, Syntax> {
    let items = scan(text)?;
    let (spans, whole) = owned(text, &items, put)?;
    let Some(first) = spans.first() else { return Ok(None) };
    let block = block(put, Layout::of(text).eol);
    let stands = text.get(first.clone()).unwrap_or_default();
    let command = match put.mine {
        Mine::Command(name) => items.iter().find_map(|item| match &item.what {
            What::Key { value, .. } if is_at(item, &put.path, Some(name)) => {
                unquoted(text.get(value.clone())?)
            }
            _ => None,
        }),
        _ => None,
    };
    let same = whole && spans.len() == 1 && stands.trim_end() == block.trim_end();
    Ok(Some(Entry { at: first.start, same, command }))
}

/// The text with it.
///
/// # Errors
/// As [`find`].
pub fn put(text: &str, put: &Put) -> Result<String, Syntax> {
    let items = scan(text)?;
    let (spans, whole) = owned(text, &items, put)?;
    let eol = Layout::of(text).eol;
    let block = block(put, eol);
    if let (Some((first, others)), true) = (spans.split_first(), whole) {
        let mut parts = vec![(first.clone(), block.as_str())];
        parts.extend(others.iter().map(|span| (span.clone(), "")));
        return Ok(replaced(text, &parts));
    }
    let mut text = take(text, put)?;
    if !text.is_empty() && !text.ends_with('\n') {
        text += eol;
    }
    if !text.trim().is_empty() && !ends_blank(&text) {
        text += eol;
    }
    Ok(text + &block)
}

/// The text without it.
///
/// # Errors
/// As [`find`].
pub fn take(text: &str, put: &Put) -> Result<String, Syntax> {
    let items = scan(text)?;
    let (mut spans, _) = owned(text, &items, put)?;
    for span in &mut spans {
        let before = text.get(..span.start).unwrap_or_default();
        let after = text.get(span.end..).unwrap_or_default();
        let open =
            after.is_empty() || after.trim_start_matches([' ', '\t', '\r']).starts_with('\n');
        if open && ends_blank(before) {
            // The blank line that set it apart.
            let above = before.strip_suffix('\n').unwrap_or(before);
            span.start = above.rfind('\n').map_or(0, |eol| eol + 1);
        }
    }
    let parts: Vec<_> = spans.into_iter().map(|span| (span, "")).collect();
    Ok(replaced(text, &parts))
}

/// The lines of the table and of those below it, and whether they are under a head of their own.
fn owned(text: &str, items: &[Item], put: &Put) -> Result<(Vec<Range<usize>>, bool), Syntax> {
    let (mut spans, mut whole) = (Vec::<Range<usize>>::new(), false);
    let mut inside = false;
    for item in items {
        let fault = |why: &str| Syntax::at(text, item.span.start, why);
        let within = item.path.len() >= put.path.len() && is_at(item, &put.path, None);
        let above = item.path.len() < put.path.len()
            && item.path.iter().zip(&put.path).all(|(a, b)| a == b);
        match item.what {
            What::TableOfList if above || within => {
                return Err(fault("this should be a table, not a list of tables"));
            }
            What::Key { .. } if above => {
                return Err(fault(
                    "write this as a table of its own, [name], so that another fits beside it",
                ));
            }
            What::Key { inner: true, .. } => {}
            What::Table | What::TableOfList => {
                inside = within;
                if within {
                    whole |= spans.is_empty() && item.path.len() == put.path.len();
                    spans.push(item.span.clone());
                }
            }
            What::Key { .. } if within => match spans.last_mut().filter(|_| inside) {
                Some(span) => span.end = item.span.end,
                None => spans.push(item.span.clone()),
            },
            What::Key { .. } => {}
        }
    }
    Ok((spans, whole))
}

/// Whether the item is at this path or below it; with a name, whether it is just that key of it.
fn is_at(item: &Item, path: &[&str], name: Option<&str>) -> bool {
    let mut steps = item.path.iter();
    path.iter().chain(name.iter()).all(|step| steps.next().is_some_and(|own| own == step))
        && (name.is_none() || steps.next().is_none())
}

fn block(put: &Put, eol: &str) -> String {
    let path: Vec<_> = put.path.iter().map(|name| bare(name)).collect();
    let mut text = format!("[{}]{eol}", path.join("."));
    if let Tree::Object(members) = &put.value {
        for (name, tree) in members {
            text += &format!("{} = {}{eol}", bare(name), tree.toml());
        }
    }
    text
}

fn ends_blank(text: &str) -> bool {
    let line = text.strip_suffix('\n').and_then(|text| text.rsplit('\n').next());
    line.is_some_and(|line| line.trim().is_empty())
}

/// What a text in quotes says.
fn unquoted(value: &str) -> Option<String> {
    match value.strip_prefix('\'') {
        Some(inner) => inner.strip_suffix('\'').map(str::to_owned),
        None => serde_json::from_str(value).ok(),
    }
}

fn scan(text: &str) -> Result<Vec<Item>, Syntax> {
    let mut reader = Reader { text, at: 0, items: Vec::new() };
    let mut table = Vec::new();
    loop {
        reader.blanks(true);
        let Some(first) = reader.peek() else { return Ok(reader.items) };
        let start =
            text.get(..reader.at).and_then(|text| text.rfind('\n')).map_or(0, |eol| eol + 1);
        if first == b'[' {
            let double = reader.rest().starts_with("[[");
            reader.at += if double { 2 } else { 1 };
            table = reader.names()?;
            reader.expect(if double { "]]" } else { "]" })?;
            reader.line_end()?;
            let what = if double { What::TableOfList } else { What::Table };
            let span = start..reader.at;
            reader.items.push(Item { path: table.clone(), span, what });
        } else {
            reader.pair(&table, start, false, 0)?;
            reader.line_end()?;
            let end = reader.at;
            reader
                .items
                .iter_mut()
                .filter(|item| item.span.start >= start)
                .for_each(|item| item.span.end = end);
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    items: Vec<Item>,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    fn fault(&self, why: &str) -> Syntax {
        Syntax::at(self.text, self.at, why)
    }

    /// Passes blanks, and with `lines` also line ends and comments.
    fn blanks(&mut self, lines: bool) {
        loop {
            let rest = self.rest();
            let passed = match rest.bytes().next() {
                Some(b' ' | b'\t') => 1,
                Some(b'\r' | b'\n') if lines => 1,
                Some(b'#') if lines => rest.find('\n').unwrap_or(rest.len()),
                _ => return,
            };
            self.at += passed;
        }
    }

    fn expect(&mut self, what: &str) -> Result<(), Syntax> {
        self.blanks(false);
        if !self.rest().starts_with(what) {
            return Err(self.fault(&format!("{what} is expected")));
        }
        self.at += what.len();
        Ok(())
    }

    /// Passes the rest of a line, in which there is nothing but a comment.
    fn line_end(&mut self) -> Result<(), Syntax> {
        self.blanks(false);
        let rest = self.rest();
        let line = rest.find('\n').map_or(rest.len(), |eol| eol + 1);
        let ends = rest.get(..line).unwrap_or_default().trim_end();
        if !ends.is_empty() && !ends.starts_with('#') {
            return Err(self.fault("the end of the line is expected"));
        }
        self.at += line;
        Ok(())
    }

    /// A key, with dots or without.
    fn names(&mut self) -> Result<Vec<String>, Syntax> {
        let mut names = Vec::new();
        loop {
            self.blanks(false);
            let start = self.at;
            match self.peek() {
                Some(b'"' | b'\'') => {
                    self.string()?;
                    let name = self.text.get(start..self.at).and_then(unquoted);
                    names.push(name.ok_or_else(|| {
                        Syntax::at(self.text, start, "this name is not well formed")
                    })?);
                }
                _ => {
                    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
                    let rest = self.rest();
                    let length = rest.len() - rest.trim_start_matches(is_bare).len();
                    if length == 0 {
                        return Err(self.fault("a name is expected"));
                    }
                    names.push(rest.get(..length).unwrap_or_default().to_owned());
                    self.at += length;
                }
            }
            self.blanks(false);
            if self.peek() != Some(b'.') {
                return Ok(names);
            }
            self.at += 1;
        }
    }

    fn pair(
        &mut self,
        table: &[String],
        start: usize,
        inner: bool,
        depth: usize,
    ) -> Result<(), Syntax> {
        let mut path = table.to_vec();
        path.extend(self.names()?);
        self.expect("=")?;
        self.blanks(false);
        let from = self.at;
        let at = self.items.len();
        self.value(&path, start, depth)?;
        let value = from..self.at;
        let span = start..self.at;
        self.items.insert(at, Item { path, span, what: What::Key { value, inner } });
        Ok(())
    }

    fn value(&mut self, path: &[String], start: usize, depth: usize) -> Result<(), Syntax> {
        if depth > DEEPEST {
            return Err(self.fault("this is nested too deep"));
        }
        match self.peek() {
            Some(b'"' | b'\'') => self.string(),
            Some(b'[') => {
                self.at += 1;
                let item: Vec<String> = path.iter().cloned().chain([String::new()]).collect();
                self.listed("]", |reader| reader.value(&item, start, depth + 1))
            }
            Some(b'{') => {
                self.at += 1;
                self.listed("}", |reader| reader.pair(path, start, true, depth + 1))
            }
            _ => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || "+-._:".contains(c);
                let rest = self.rest();
                let length = rest.len() - rest.trim_start_matches(is_part).len();
                if length == 0 {
                    return Err(self.fault("a value is expected"));
                }
                self.at += length;
                // A date and its time may stand apart.
                let rest = self.rest();
                if rest.starts_with(' ') && rest.get(1..4).is_some_and(|time| time.ends_with(':')) {
                    let time = rest.get(1..).unwrap_or_default();
                    self.at += 1 + time.len() - time.trim_start_matches(is_part).len();
                }
                Ok(())
            }
        }
    }

    /// What stands between brackets with commas between, up to behind `close`.
    fn listed(
        &mut self,
        close: &str,
        mut one: impl FnMut(&mut Self) -> Result<(), Syntax>,
    ) -> Result<(), Syntax> {
        loop {
            self.blanks(true);
            if self.rest().starts_with(close) {
                self.at += close.len();
                return Ok(());
            }
            one(self)?;
            self.blanks(true);
            match self.peek() {
                Some(b',') => self.at += 1,
                _ if self.rest().starts_with(close) => {}
                _ => return Err(self.fault(&format!("a comma or {close} is expected"))),
            }
        }
    }

    /// Passes a text in quotes of any kind.
    fn string(&mut self) -> Result<(), Syntax> {
        let rest = self.rest();
        let quote = rest.get(..1).unwrap_or_default();
        let triple = quote.repeat(3);
        let (close, lines) = match rest.starts_with(&triple) {
            true => (triple.as_str(), true),
            false => (quote, false),
        };
        let mut at = close.len();
        loop {
            let inner = rest.get(at..).unwrap_or_default();
            if inner.starts_with(close) {
                // Up to two quotes may stand before the last three.
                let run = inner.len() - inner.trim_start_matches(quote).len();
                self.at += at + if lines { run.min(5) } else { 1 };
                return Ok(());
            }
            at += match inner.chars().next() {
                None => return Err(self.fault("this text has no end")),
                Some('\n') if !lines => return Err(self.fault("this text has no end")),
                Some('\\') if quote == "\"" => 1 + inner.chars().nth(1).map_or(0, char::len_utf8),
                Some(c) => c.len_utf8(),
            };
        }
    }
}

#[cfg(test)]
mod tests;
