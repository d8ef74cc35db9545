//! Puts members and items into JSON with comments, and takes them out, in the manner in which the
//! text around them is written.

use super::edit::{Entry as Found, Mine, Put, Syntax, indent_at, replaced};
use super::jsonc::{Entry, Kind, Node, parse};
use super::tree::{ITEM, Layout, Tree};
use serde_json::Value;

/// Where a path ends in a text.
enum Place<'a> {
    /// At this entry of this group.
    There { group: &'a Node, entries: &'a [Entry], at: usize },
    /// Nowhere: of this group, this step is missing. `inline` says whether that which holds the
    /// group stands in one line.
    Missing { group: &'a Node, entries: &'a [Entry], step: usize, inline: bool },
}

/// The entry that stands where `put` is to stand.
///
/// # Errors
/// The text is no JSON, or something else is in the way.
pub fn find(text: &str, put: &Put) -> Result<Option<Found>, Syntax> {
    let Some(root) = parse(text)? else { return Ok(None) };
    let Place::There { entries, at, .. } = place(text, &root, put)? else { return Ok(None) };
    let Some(entry) = entries.get(at) else { return Ok(None) };
    let value = entry.value.value();
    let command = match put.mine {
        Mine::Command(name) => value.get(name).and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    Ok(Some(Found { at: entry.start, same: value == put.value.value(), command }))
}

/// The text with it.
///
/// # Errors
/// As [`find`].
pub fn put(text: &str, put: &Put) -> Result<String, Syntax> {
    let Some(root) = parse(text)? else {
        let layout = Layout::of(text);
        let whole = put.value.clone().below(&put.path).json(&layout, "");
        let kept = text.trim_end();
        let between = if kept.is_empty() { "" } else { layout.eol };
        return Ok(format!("{kept}{between}{whole}{}", layout.eol));
    };
    let layout = Layout { unit: unit(text, &root), ..Layout::of(text) };
    match place(text, &root, put)? {
        Place::There { group, entries, at } => {
            let Some(entry) = entries.get(at) else { return Ok(text.to_owned()) };
            let value = match is_inline(text, group) {
                true => put.value.line(),
                false => put.value.json(&layout, indent_at(text, entry.start)),
            };
            Ok(replaced(text, &[(entry.value.span.clone(), &value)]))
        }
        Place::Missing { group, entries, step, inline } => {
            let name = put.path.get(step).copied().unwrap_or_default();
            let value = put.value.clone().below(put.path.get(step + 1..).unwrap_or_default());
            Ok(insert(text, group, entries, inline, &layout, name, &value))
        }
    }
}

/// The text without it.
///
/// # Errors
/// As [`find`].
pub fn take(text: &str, put: &Put) -> Result<String, Syntax> {
    let Some(root) = parse(text)? else { return Ok(text.to_owned()) };
    let Place::There { group, entries, at } = place(text, &root, put)? else {
        return Ok(text.to_owned());
    };
    let Some(entry) = entries.get(at) else { return Ok(text.to_owned()) };
    let before = at.checked_sub(1).and_then(|before| entries.get(before));
    let inner = text.get(..entry.start).unwrap_or_default();
    let mut start = inner.trim_end().len();
    let value_end = entry.value.span.end;
    let end = entry.comma.map_or(value_end, |comma| comma + 1);
    // What follows on the line must not get into a comment that ends the line before.
    let follows = text.get(end..).unwrap_or_default().lines().next().unwrap_or_default();
    let from = before.map_or(group.span.start, |before| before.value.span.end);
    let between = text.get(from..start).unwrap_or_default();
    if ends_in_comment(between) && !follows.trim().is_empty() {
        start +=
            text.get(start..entry.start).and_then(|gap| gap.find('\n')).map_or(0, |eol| eol + 1);
    }
    let mut parts = Vec::new();
    let comma = before.and_then(|before| before.comma).filter(|_| entry.comma.is_none());
    parts.extend(comma.map(|comma| (comma..comma + 1, "")));
    let start = start.max(comma.map_or(0, |comma| comma + 1));
    parts.push((start..value_end, ""));
    parts.extend(entry.comma.map(|comma| (comma..comma + 1, "")));
    // Blanks that are left between two brackets were made for the entry.
    let rest = text.get(end..group.span.end.saturating_sub(1)).unwrap_or_default();
    if entries.len() == 1 && rest.trim().is_empty() && start == group.span.start + 1 {
        parts = vec![(start..end + rest.len(), "")];
    }
    Ok(replaced(text, &parts))
}

/// Whether there is nothing but empty objects and lists on the way to what was put there.
pub fn is_hollow(text: &str, puts: &[Put]) -> bool {
    fn hollow(node: &Node, paths: &[&[&str]]) -> bool {
        match &node.kind {
            Kind::Object(members) => members.iter().all(|member| {
                let key = member.key.as_deref();
                let inner = paths.iter().filter(|path| path.first().copied() == key);
                let inner: Vec<_> = inner.filter_map(|path| path.get(1..)).collect();
                !inner.is_empty() && hollow(&member.value, &inner)
            }),
            Kind::Array(items) => items.is_empty(),
            Kind::Plain(_) => false,
        }
    }
    let paths: Vec<&[&str]> = puts.iter().map(|put| put.path.as_slice()).collect();
    match parse(text) {
        Ok(None) => text.trim().is_empty(),
        Ok(Some(root)) => !text.contains("//") && !text.contains("/*") && hollow(&root, &paths),
        Err(_) => false,
    }
}

fn place<'a>(text: &str, root: &'a Node, put: &Put) -> Result<Place<'a>, Syntax> {
    let (mut group, mut inline) = (root, false);
    for (step, name) in put.path.iter().enumerate() {
        let entries = match (&group.kind, *name) {
            (Kind::Array(entries), ITEM) => entries,
            (Kind::Object(entries), name) if name != ITEM => entries,
            (_, name) => {
                let (above, kind) = match name {
                    ITEM => (put.path.get(step.wrapping_sub(1)), "a list"),
                    _ => (put.path.get(step.wrapping_sub(1)), "an object"),
                };
                let above = above.map_or("all of it".into(), |above| format!("{above:?}"));
                return Err(Syntax::at(
                    text,
                    group.span.start,
                    format!("{above} should be {kind}"),
                ));
            }
        };
        let mut found = entries.iter().enumerate().filter(|(_, entry)| match *name {
            ITEM => is_it(&entry.value, &put.value),
            name => entry.key.as_deref() == Some(name),
        });
        let Some((at, entry)) = found.next() else {
            return Ok(Place::Missing { group, entries, step, inline });
        };
        if let Some((_, twin)) = found.next()
            && *name != ITEM
        {
            return Err(Syntax::at(
                text,
                twin.start,
                format!("{name:?} stands here a second time"),
            ));
        }
        if step + 1 == put.path.len() {
            return Ok(Place::There { group, entries, at });
        }
        inline = is_inline(text, group);
        group = &entry.value;
    }
    Err(Syntax::at(text, group.span.start, "nothing is looked for"))
}

/// Whether an item of a list is the one that is meant.
fn is_it(node: &Node, meant: &Tree) -> bool {
    match meant {
        Tree::Object(members) => members.first().is_some_and(|(name, tree)| {
            node.value().get(name).is_some_and(|value| *value == tree.value())
        }),
        other => node.value() == other.value(),
    }
}

/// Whether what stands between two values ends in a comment that goes to the end of its line.
fn ends_in_comment(mut gap: &str) -> bool {
    while let Some(slash) = gap.find('/') {
        let comment = gap.get(slash..).unwrap_or_default();
        let end = match comment.starts_with("//") {
            true => comment.find('\n'),
            false => comment.get(2..).and_then(|inner| inner.find("*/")).map(|end| end + 4),
        };
        let Some(rest) = end.and_then(|end| comment.get(end..)) else { return true };
        gap = rest;
    }
    false
}

fn is_inline(text: &str, group: &Node) -> bool {
    text.get(group.span.clone()).is_some_and(|group| !group.contains('\n'))
}

/// What a level is indented by: as much as the first entry of the outermost object that begins a line.
fn unit(text: &str, root: &Node) -> String {
    let (Kind::Object(entries) | Kind::Array(entries)) = &root.kind else { return "  ".into() };
    let first = entries.iter().find(|entry| begins_line(text, entry.start));
    let indent = first.map_or("", |entry| indent_at(text, entry.start));
    let outer = indent_at(text, root.span.start);
    let unit = indent.strip_prefix(outer).unwrap_or(indent);
    if unit.is_empty() { "  ".into() } else { unit.to_owned() }
}

fn begins_line(text: &str, at: usize) -> bool {
    let before = text.get(..at).unwrap_or_default();
    before.trim_end_matches([' ', '\t']).ends_with('\n')
}

fn insert(
    text: &str,
    group: &Node,
    entries: &[Entry],
    inline: bool,
    layout: &Layout,
    name: &str,
    value: &Tree,
) -> String {
    let key = if name == ITEM { String::new() } else { format!("{}: ", Value::from(name)) };
    let last = entries.last();
    let inline = is_inline(text, group) && (last.is_some() || inline);
    let (open, close) = (group.span.start + 1, group.span.end.saturating_sub(1));
    let inner = text.get(open..close).unwrap_or_default();
    let tail = open + inner.trim_end().len();
    let ends = text.get(tail..close).unwrap_or_default();
    // The comma goes where people put it, though comments may stand between it and the new entry.
    let comma = last.filter(|last| last.comma.is_none()).map(|last| last.value.span.end);
    let trailing = if last.is_some_and(|last| last.comma.is_some()) { "," } else { "" };
    let outer = indent_at(text, group.span.start);
    let piece = if inline {
        let blank = if last.is_some() { " " } else { "" };
        format!("{blank}{key}{}{trailing}{ends}", value.line())
    } else {
        let indent = match last.filter(|last| begins_line(text, last.start)) {
            Some(last) => indent_at(text, last.start).to_owned(),
            None => format!("{outer}{}", layout.unit),
        };
        let value = value.json(layout, &indent);
        let eol = layout.eol;
        let ends = match ends.contains('\n') || last.is_some() {
            true => ends.to_owned(),
            false => format!("{eol}{outer}"),
        };
        format!("{eol}{indent}{key}{value}{trailing}{ends}")
    };
    let mut parts: Vec<_> = comma.map(|at| (at..at, ",")).into_iter().collect();
    parts.push((tail..close, &piece));
    replaced(text, &parts)
}

#[cfg(test)]
mod tests;
