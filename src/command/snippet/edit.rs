//! What a snippet puts into a file, and the same three questions for each language of files: is it
//! there, put it in, take it out. All else in the file stays byte for byte as it is. Pure.

use super::tree::Tree;
use super::{json_edit, toml, yaml};
use std::fmt;

/// The languages of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, also with comments and trailing commas.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
}

/// One thing that a snippet puts into a file.
#[derive(Debug, Clone)]
pub struct Put {
    /// Under which names; `-` at the end is an item of a list, which is told from others by its
    /// first member, or by all of it.
    pub path: Vec<&'static str>,
    /// What is put there.
    pub value: Tree,
    /// How one tells that what is there already was put there for modeltap.
    pub mine: Mine,
}

/// How one tells whose an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mine {
    /// This member of it is a command, and that is modeltap.
    Command(&'static str),
    /// It stands where nobody else puts anything.
    Always,
    /// It says just what would be put there.
    Same,
}

/// What stands where a snippet puts something.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// Just that.
    Same,
    /// An older or a changed one of ours.
    Ours,
    /// Somebody else's, from this line on.
    Foreign(usize),
}

/// Why a file cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

impl Syntax {
    /// The fault at this byte of a text.
    pub fn at(text: &str, at: usize, why: impl Into<String>) -> Syntax {
        let before = text.get(..at).unwrap_or(text);
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        Syntax { line: line_at(text, at), column, why: why.into() }
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.why)
    }
}

/// An entry as the languages find it.
pub struct Entry {
    /// Where it begins.
    pub at: usize,
    /// Whether it is just what would be put there.
    pub same: bool,
    /// What it starts, where it says that.
    pub command: Option<String>,
}

/// What stands where `put` is to stand.
///
/// # Errors
/// The text is not of that language, or something else is in the way.
pub fn look(format: Format, text: &str, put: &Put) -> Result<Found, Syntax> {
    let text = body(text);
    let entry = match format {
        Format::Json => json_edit::find(text, put),
        Format::Toml => toml::find(text, put),
        Format::Yaml => yaml::find(text, put),
    }?;
    let Some(entry) = entry else { return Ok(Found::Nothing) };
    let ours = match put.mine {
        Mine::Command(_) => entry.command.as_deref().is_some_and(is_modeltap),
        Mine::Always => true,
        Mine::Same => entry.same,
    };
    Ok(match (entry.same, ours) {
        (true, _) => Found::Same,
        (false, true) => Found::Ours,
        (false, false) => Found::Foreign(line_at(text, entry.at)),
    })
}

/// The text with it, in the place of what may stand there.
///
/// # Errors
/// As [`look`].
pub fn put(format: Format, text: &str, put: &Put) -> Result<String, Syntax> {
    let inner = body(text);
    let changed = match format {
        Format::Json => json_edit::put(inner, put),
        Format::Toml => toml::put(inner, put),
        Format::Yaml => yaml::put(inner, put),
    }?;
    Ok(mark(text).to_owned() + &changed)
}

/// The text without it; as it is where it holds nothing of the kind.
///
/// # Errors
/// As [`look`].
pub fn take(format: Format, text: &str, put: &Put) -> Result<String, Syntax> {
    let inner = body(text);
    let changed = match format {
        Format::Json => json_edit::take(inner, put),
        Format::Toml => toml::take(inner, put),
        Format::Yaml => yaml::take(inner, put),
    }?;
    Ok(mark(text).to_owned() + &changed)
}

/// Whether a text says nothing, but for names on the way to what was put there.
pub fn is_hollow(format: Format, text: &str, puts: &[Put]) -> bool {
    let text = body(text);
    match format {
        Format::Json => json_edit::is_hollow(text, puts),
        Format::Toml => text.trim().is_empty(),
        Format::Yaml => yaml::is_hollow(text, puts),
    }
}

/// Whether a command starts modeltap.
fn is_modeltap(command: &str) -> bool {
    let name = command.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    name.strip_suffix(".exe").unwrap_or(&name) == "modeltap"
}

/// What Windows' editors put before UTF-8.
const MARK: &str = "\u{feff}";

fn mark(text: &str) -> &str {
    if text.starts_with(MARK) { MARK } else { "" }
}

fn body(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

/// The line, from 1, that this byte is in.
fn line_at(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// The blanks at the head of the line that this byte is in.
pub fn indent_at(text: &str, at: usize) -> &str {
    let line = text.get(..at).unwrap_or_default().rfind('\n').map_or(0, |end| end + 1);
    let rest = text.get(line..).unwrap_or_default();
    rest.get(..rest.len() - rest.trim_start_matches([' ', '\t']).len()).unwrap_or_default()
}

/// The text with what stands in each of these ranges replaced; they are in order and apart.
pub fn replaced(text: &str, parts: &[(std::ops::Range<usize>, &str)]) -> String {
    let (mut out, mut done) = (String::new(), 0);
    for (range, new) in parts {
        out += text.get(done..range.start).unwrap_or_default();
        out += new;
        done = range.end;
    }
    out + text.get(done..).unwrap_or_default()
}
