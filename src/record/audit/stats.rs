//! What was asked and answered, counted by token and model.

use super::chain::Line;
use super::read::{Lines, Row, kind_of, members, time_text};
use crate::record::log::push_visible;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The most pairs of token and model that are told apart: clients choose the names of models.
const GROUPS: usize = 10_000;
/// What stands for those beyond.
const OTHERS: &str = "(others)";

const COLUMNS: [&str; 8] = [
    "token",
    "model",
    "requests",
    "errors",
    "prompt_tokens",
    "completion_tokens",
    "p50_ms",
    "p95_ms",
];

/// What the answers of a group come to.
#[derive(Debug, Default)]
struct Group {
    requests: u64,
    errors: u64,
    prompt: u64,
    completion: u64,
    /// How many good answers took so many milliseconds.
    times: BTreeMap<u64, u64>,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Stats {
    tokens: BTreeMap<String, BTreeMap<String, Group>>,
    groups: usize,
    /// Lines that are no records.
    pub damaged: u64,
}

/// What is read of a TX.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
    status: u16,
    ms: Option<u64>,
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

impl Stats {
    /// Counts the answers since a time, in the form of the records.
    ///
    /// # Errors
    /// One line: a file cannot be read.
    pub fn read(lines: &mut Lines, since: Option<&str>) -> Result<Self, String> {
        let mut stats = Stats::default();
        let mut scratch = Vec::new();
        while let Some(Row { text: line, is_whole, .. }) = lines.advance()? {
            // One that is being written is not there yet.
            if !is_whole {
                continue;
            }
            let Some(record) = Line::read(line) else {
                stats.damaged += 1;
                continue;
            };
            if kind_of(record.members()) != b"tx"
                || since.is_some_and(|since| time_text(record.members()) < since)
            {
                continue;
            }
            match members(&record, &mut scratch) {
                Ok(sent) => stats.add(&sent),
                Err(_) => stats.damaged += 1,
            }
        }
        Ok(stats)
    }

    fn add(&mut self, sent: &Sent) {
        let name = |name: &Option<Cow<str>>| name.as_deref().unwrap_or("").to_owned();
        let (token, model) = (sent.token.as_deref(), sent.model.as_deref());
        let known = self.tokens.get_mut(token.unwrap_or_default());
        match known.and_then(|models| models.get_mut(model.unwrap_or_default())) {
            Some(group) => return group.add(sent),
            None => self.groups += 1,
        }
        let (token, model) = match self.groups > GROUPS {
            true => (OTHERS.to_owned(), OTHERS.to_owned()),
            false => (name(&sent.token), name(&sent.model)),
        };
        self.tokens.entry(token).or_default().entry(model).or_default().add(sent);
    }

    fn groups(&self) -> impl Iterator<Item = (&str, &str, &Group)> {
        self.tokens.iter().flat_map(|(token, models)| {
            models.iter().map(move |(model, group)| (token.as_str(), model.as_str(), group))
        })
    }

    /// The counts as a table for people, with the sum of all below.
    pub fn table(&self) -> String {
        let mut total = Group::default();
        let mut rows = vec![COLUMNS.map(str::to_owned)];
        for (token, model, group) in self.groups() {
            total.join(group);
            rows.push(group.row(token, model));
        }
        rows.push(total.row("total", ""));
        for cell in rows.iter_mut().flatten() {
            let mut visible = String::new();
            push_visible(&mut visible, if cell.is_empty() { "-" } else { cell });
            *cell = visible;
        }
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
        let mut text = String::new();
        for row in &rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                // Names begin at the left, numbers end at the right. Writing to a String cannot fail.
                let _ = match column {
                    0 | 1 => write!(line, "{cell:<width$}  "),
                    _ => write!(line, "{cell:>width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// The counts as comma-separated values (RFC 4180), without their sum.
    pub fn csv(&self) -> String {
        let mut text = COLUMNS.join(",") + "\r\n";
        for (token, model, group) in self.groups() {
            let cells = group.row(token, model).map(|cell| csv_cell(&cell));
            text.push_str(&cells.join(","));
            text.push_str("\r\n");
        }
        text
    }
}

impl Group {
    fn add(&mut self, sent: &Sent) {
        self.requests += 1;
        self.prompt = self.prompt.saturating_add(sent.prompt_tokens);
        self.completion = self.completion.saturating_add(sent.completion_tokens);
        if sent.status >= 400 {
            self.errors += 1;
        } else if let Some(ms) = sent.ms {
            *self.times.entry(ms).or_default() += 1;
        }
    }

    fn join(&mut self, other: &Group) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.prompt = self.prompt.saturating_add(other.prompt);
        self.completion = self.completion.saturating_add(other.completion);
        for (ms, count) in &other.times {
            *self.times.entry(*ms).or_default() += count;
        }
    }

    /// The least time that `percent` of the good answers did not exceed.
    fn percentile(&self, percent: u64) -> Option<u64> {
        let all: u64 = self.times.values().sum();
        let rank = all.saturating_mul(percent).div_ceil(100);
        let mut count = 0;
        let found = self.times.iter().find(|(_, times)| {
            count += **times;
            count >= rank
        });
        found.map(|(ms, _)| *ms)
    }

    fn row(&self, token: &str, model: &str) -> [String; 8] {
        let time = |percent| self.percentile(percent).map_or_else(String::new, |ms| ms.to_string());
        [
            token.to_owned(),
            model.to_owned(),
            self.requests.to_string(),
            self.errors.to_string(),
            self.prompt.to_string(),
            self.completion.to_string(),
            time(50),
            time(95),
        ]
    }
}

/// A cell of a CSV. What a spreadsheet would take for a formula gets a quote before it.
fn csv_cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let needs_quotes = is_formula || text.contains([',', '"', '\r', '\n']);
    match needs_quotes {
        true => {
            let mark = if is_formula { "'" } else { "" };
            format!("\"{mark}{}\"", text.replace('"', "\"\""))
        }
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(token: &str, model: &str, status: u16, ms: u64) -> Sent<'static> {
        Sent {
            token: (!token.is_empty()).then(|| token.to_owned().into()),
            model: Some(model.to_owned().into()),
            status,
            ms: Some(ms),
            prompt_tokens: 10,
            completion_tokens: 1,
        }
    }

    #[test]
    fn answers_are_counted_by_token_and_model() {
        let mut stats = Stats::default();
        for ms in 1..=100 {
            stats.add(&sent("alice", "m", 200, ms));
        }
        stats.add(&sent("", "=1+1", 503, 5000));
        assert_eq!(
            stats.table(),
            "\
token  model  requests  errors  prompt_tokens  completion_tokens  p50_ms  p95_ms
-      =1+1          1       1             10                  1       -       -
alice  m           100       0           1000                100      50      95
total  -           101       1           1010                101      50      95
"
        );
        assert_eq!(
            stats.csv(),
            "token,model,requests,errors,prompt_tokens,completion_tokens,p50_ms,p95_ms\r\n\
             ,\"'=1+1\",1,1,10,1,,\r\nalice,m,100,0,1000,100,50,95\r\n"
        );
    }

    #[test]
    fn groups_have_a_bound() {
        let mut stats = Stats::default();
        for number in 0..GROUPS + 5 {
            stats.add(&sent("t", &number.to_string(), 200, 1));
        }
        let others = stats.groups().find(|(token, ..)| *token == OTHERS).unwrap();
        assert_eq!((stats.groups().count(), others.2.requests), (GROUPS + 1, 5));
    }

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        for (text, cell) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("a\nb", "\"a\nb\""),
            ("=1", "\"'=1\""),
            ("+1", "\"'+1\""),
            ("-1", "\"'-1\""),
            ("@a", "\"'@a\""),
        ] {
            assert_eq!(csv_cell(text), cell);
        }
    }
}
