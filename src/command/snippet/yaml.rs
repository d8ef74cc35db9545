//! Puts entries into YAML and takes them out, each on lines of its own.

mod scan;

use super::edit::{Entry as Found, Mine, Put, Syntax, replaced};
use super::tree::{ITEM, Layout, Tree};
use scan::{Entry, ITEM_MARK, is_braces, said, scan, unquoted};

/// The entry that stands where `put` is to stand.
///
/// # Errors
/// The text is no such YAML, or something else is in the way.
pub fn find(text: &str, put: &Put) -> Result<Option<Found>, Syntax> {
    let entries = scan(text)?;
    let Some(entry) = own(text, &entries, put) else { return Ok(None) };
    let layout = Layout::of(text);
    let block = block(put, layout.eol, &" ".repeat(entry.indent));
    let same = match &put.value {
        Tree::Text(meant) => unquoted(said(text, entry)).as_ref() == Some(meant),
        _ => text.get(entry.span.clone()).unwrap_or_default().trim_end() == block.trim_end(),
    };
    let command = match put.mine {
        Mine::Command(name) => entries.iter().find_map(|inner| {
            let (last, above) = inner.path.split_last()?;
            (last == name && above == entry.path).then(|| unquoted(said(text, inner)))?
        }),
        _ => None,
    };
    Ok(Some(Found { at: entry.span.start, same, command }))
}

/// The text with it.
///
/// # Errors
/// As [`find`].
pub fn put(text: &str, put: &Put) -> Result<String, Syntax> {
    let text = if is_braces(text) { "" } else { text };
    let entries = scan(text)?;
    let eol = Layout::of(text).eol;
    if let Some(entry) = own(text, &entries, put) {
        let block = block(put, eol, &" ".repeat(entry.indent));
        return Ok(replaced(text, &[(entry.span.clone(), &block)]));
    }
    let above = put.path.len().saturating_sub(1);
    for depth in (1..=above).rev() {
        let names = put.path.get(..depth).unwrap_or_default();
        let Some(parent) = entries.iter().find(|entry| is_path(entry, names)) else { continue };
        let children =
            |entry: &&Entry| entry.path.len() == depth + 1 && entry.path.starts_with(&parent.path);
        let child = entries.iter().find(children);
        let is_list = put.path.get(depth) == Some(&ITEM);
        if let Some(child) = child
            && child.path.last().is_some_and(|name| name.starts_with(ITEM_MARK)) != is_list
        {
            let (name, kind) = (names.join("."), if is_list { "a list" } else { "a mapping" });
            return Err(Syntax::at(text, child.span.start, format!("{name:?} should be {kind}")));
        }
        let stands = said(text, parent);
        if child.is_none() && !["", "{}", "[]", "null", "~"].contains(&stands) {
            let why = format!(
                "write what {:?} holds on lines of its own, so that another fits beside it",
                names.join(".")
            );
            return Err(Syntax::at(text, parent.value.start, why));
        }
        let indent = child.map_or(parent.indent + 2, |child| child.indent);
        let rest = put.path.get(depth..).unwrap_or_default();
        let lines = put.value.clone().below(rest).yaml(eol, &" ".repeat(indent));
        let value = match child.is_none() && !stands.is_empty() {
            // With the blank before it.
            true => parent.value.start.saturating_sub(1)..parent.value.end,
            false => parent.value.end..parent.value.end,
        };
        let at = parent.span.end.max(value.end);
        let ends = if ends_line(text, at) { "" } else { eol };
        return Ok(replaced(text, &[(value, ""), (at..at, ends), (at..at, &lines)]));
    }
    let ends = if ends_line(text, text.len()) { "" } else { eol };
    let lines = put.value.clone().below(&put.path).yaml(eol, "");
    Ok(format!("{text}{ends}{lines}"))
}

/// The text without it. What then holds nothing is told to hold nothing.
///
/// # Errors
/// As [`find`].
pub fn take(text: &str, put: &Put) -> Result<String, Syntax> {
    let entries = scan(text)?;
    let Some(entry) = own(text, &entries, put) else { return Ok(text.to_owned()) };
    let Some((last, above)) = entry.path.split_last() else { return Ok(text.to_owned()) };
    let siblings = entries
        .iter()
        .filter(|other| other.path.len() == entry.path.len() && other.path.starts_with(above));
    let parent = entries.iter().find(|other| other.path == above);
    let empty = if last.starts_with(ITEM_MARK) { " []" } else { " {}" };
    let mut parts = Vec::new();
    if let (1, Some(parent)) = (siblings.count(), parent) {
        parts.push((parent.value.start..parent.value.start, empty));
    }
    parts.push((entry.span.clone(), ""));
    Ok(replaced(text, &parts))
}

/// Whether there is nothing but empty entries on the way to what was put there.
pub fn is_hollow(text: &str, puts: &[Put]) -> bool {
    let on_the_way = |entry: &Entry| {
        puts.iter().any(|put| {
            entry.path.len() < put.path.len()
                && put.path.iter().zip(&entry.path).all(|(a, b)| a == b)
        }) && ["", "{}", "[]"].contains(&said(text, entry))
    };
    !text.contains('#') && scan(text).is_ok_and(|entries| entries.iter().all(on_the_way))
}

fn block(put: &Put, eol: &str, indent: &str) -> String {
    let (last, _) = put.path.split_last().unzip();
    match last {
        Some(last) => put.value.clone().below(&[last]).yaml(eol, indent),
        None => String::new(),
    }
}

fn own<'a>(text: &str, entries: &'a [Entry], put: &Put) -> Option<&'a Entry> {
    let (last, above) = put.path.split_last()?;
    if *last != ITEM {
        return entries.iter().find(|entry| is_path(entry, &put.path));
    }
    let Tree::Object(members) = &put.value else { return None };
    let (name, Tree::Text(meant)) = members.first()? else { return None };
    let item = entries.iter().find(|entry| {
        let Some((key, item)) = entry.path.split_last() else { return false };
        let list = item.split_last().map(|(_, list)| list);
        key == name
            && list.is_some_and(|list| list.iter().eq(above.iter()))
            && unquoted(said(text, entry)).as_ref() == Some(meant)
    })?;
    let path = item.path.split_last().map(|(_, path)| path)?;
    entries.iter().find(|entry| entry.path == path)
}

fn is_path(entry: &Entry, path: &[&str]) -> bool {
    entry.path.iter().eq(path.iter())
}

fn ends_line(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.is_empty() || before.ends_with('\n')
}

#[cfg(test)]
mod tests;
