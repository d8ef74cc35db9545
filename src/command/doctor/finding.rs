//! One line of the doctor, and all of them as text and as JSON. Pure.

use crate::config::Color;
use serde_json::{Value, json};
use std::fmt::Write;

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// It works, but may not be what is wanted.
    Warning,
    /// It does not work.
    Problem,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Problem => "problem",
        }
    }

    /// As terminals show it: green, yellow or red.
    fn color(self) -> u8 {
        match self {
            Status::Ok => 32,
            Status::Warning => 33,
            Status::Problem => 31,
        }
    }
}

/// One line.
#[derive(Debug, Clone)]
pub struct Finding {
    /// What was looked at; programs may go by it.
    pub check: String,
    /// How it is.
    pub status: Status,
    /// What was found, where it is one thing.
    pub value: Option<String>,
    /// Which flag or variable that comes from, or `default`.
    pub origin: Option<String>,
    /// For people.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(check: &str, status: Status, message: impl Into<String>) -> Self {
        let message = message.into();
        Finding { check: check.into(), status, value: None, origin: None, message, remedy: None }
    }

    /// What is as it should be.
    pub fn ok(check: &str, message: impl Into<String>) -> Self {
        Finding::new(check, Status::Ok, message)
    }

    /// What may not be what is wanted, and what to do.
    pub fn warning(check: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { remedy: Some(remedy.into()), ..Finding::new(check, Status::Warning, message) }
    }

    /// What does not work, and what to do.
    pub fn problem(check: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Finding { remedy: Some(remedy.into()), ..Finding::new(check, Status::Problem, message) }
    }

    /// With the one thing that it is about.
    pub fn with(self, value: impl ToString) -> Self {
        Finding { value: Some(value.to_string()), ..self }
    }

    /// With where that comes from.
    pub fn from(self, origin: impl ToString) -> Self {
        Finding { origin: Some(origin.to_string()), ..self }
    }
}

/// All lines.
pub struct Report {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
    /// When to colour the text.
    pub color: Color,
}

impl Report {
    fn count(&self, status: Status) -> usize {
        self.findings.iter().filter(|finding| finding.status == status).count()
    }

    /// How many problems there are.
    pub fn problems(&self) -> usize {
        self.count(Status::Problem)
    }

    /// For people: a line each, and how many of them are worse than ok.
    pub fn text(&self, color: bool) -> String {
        let width = self.findings.iter().map(|finding| finding.check.chars().count()).max();
        let width = width.unwrap_or_default();
        let mut text = String::new();
        for Finding { check, status, message, remedy, .. } in &self.findings {
            let name = format!("{:<7}", status.name());
            let name = match color {
                true => format!("\x1b[{}m{name}\x1b[0m", status.color()),
                false => name,
            };
            let message = one_line(message);
            let remedy = remedy.as_ref().map(|remedy| format!(": {}", one_line(remedy)));
            let remedy = remedy.unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}  {check:<width$}  {message}{remedy}");
        }
        let counts = [(Status::Problem, "problem"), (Status::Warning, "warning")];
        let counts = counts.map(|(status, name)| match self.count(status) {
            0 => format!("no {name}s"),
            1 => format!("1 {name}"),
            n => format!("{n} {name}s"),
        });
        let _ = writeln!(text, "\n{}", counts.join(", "));
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        let findings: Vec<Value> = self.findings.iter().map(Finding::json).collect();
        let worst = self.findings.iter().map(|finding| finding.status).max();
        let document = json!({
            "service": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "status": worst.unwrap_or(Status::Ok).name(),
            "problems": self.problems(),
            "warnings": self.count(Status::Warning),
            "findings": findings,
        });
        format!("{document:#}\n")
    }
}

impl Finding {
    fn json(&self) -> Value {
        json!({
            "check": self.check,
            "status": self.status.name(),
            "value": self.value,
            "origin": self.origin,
            "message": self.message,
            "remedy": self.remedy,
        })
    }
}

/// Without what would end the line, or do something to a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_aligned_and_counted_and_hold_no_controls() {
        let findings = vec![
            Finding::ok("a", "fine"),
            Finding::problem("longer", "wrong\n\x1b[2J", "mend it").with(7).from("--x"),
        ];
        let report = Report { findings, color: Color::Auto };
        assert_eq!(
            report.text(false),
            "ok       a       fine\nproblem  longer  wrong  [2J: mend it\n\n1 problem, no warnings\n"
        );
        assert!(report.text(true).starts_with("\x1b[32mok     \x1b[0m  a"));
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!((&json["status"], &json["problems"]), (&json!("problem"), &json!(1)));
        assert_eq!(
            json["findings"][1],
            json!({"check": "longer", "status": "problem", "value": "7", "origin": "--x",
                "message": "wrong\n\x1b[2J", "remedy": "mend it"})
        );
    }
}
