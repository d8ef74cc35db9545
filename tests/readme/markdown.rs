//! What a page of Markdown is made of, as far as these pages use it.

use std::collections::BTreeSet;

/// What stands between one heading and the next.
#[derive(Debug, Default)]
pub struct Section {
    /// The heading with its marks, such as `## Hosts`.
    pub heading: String,
    /// Its tables, without the lines under their heads: rows of cells.
    pub tables: Vec<Vec<Vec<String>>>,
    /// Its fenced blocks: language and text.
    pub blocks: Vec<(String, String)>,
    /// What is in code marks, outside fenced blocks.
    pub spans: BTreeSet<String>,
}

impl Section {
    /// How many marks its heading has.
    pub fn level(&self) -> usize {
        self.heading.bytes().take_while(|byte| *byte == b'#').count()
    }
}

/// The sections of a page.
pub fn sections(page: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut lines = page.lines();
    let mut in_table = false;
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            sections.push(Section { heading: line.into(), ..Section::default() });
            continue;
        }
        let Some(section) = sections.last_mut() else { continue };
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            section.blocks.push((language.into(), text.join("\n")));
            continue;
        }
        section.spans.extend(spans(line));
        let is_row = line.starts_with('|');
        if is_row && !in_table {
            section.tables.push(Vec::new());
        }
        in_table = is_row;
        if let (true, Some(table)) =
            (is_row && !line.starts_with("| ---"), section.tables.last_mut())
        {
            table.push(cells(line));
        }
    }
    sections
}

/// The cells of a row; a bar in code marks is written `\|`.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\0");
    row.split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

/// What a text has in code marks.
pub fn spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
