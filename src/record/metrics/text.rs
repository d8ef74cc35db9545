//! The text form of Prometheus, version 0.0.4: families with their help and type, and a line for each
//! sample. <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::fmt::{Display, Write};

/// The content type.
pub const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Figures in the making.
#[derive(Default)]
pub struct Text {
    out: String,
    family: &'static str,
}

impl Text {
    /// Begins a family of samples; those that follow are its own. `help` has no line ends.
    pub fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.part("", labels, None, value);
    }

    /// Adds a sample whose name is the family's and `suffix`, with one label more if it has one.
    pub fn part(
        &mut self,
        suffix: &str,
        labels: &[(&str, &str)],
        more: Option<(&str, &str)>,
        value: impl Display,
    ) {
        let _ = write!(self.out, "{}{suffix}", self.family);
        let mut mark = '{';
        for (name, text) in labels.iter().copied().chain(more) {
            let _ = write!(self.out, "{mark}{name}=\"");
            self.escaped(text);
            self.out.push('"');
            mark = ',';
        }
        if mark == ',' {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }

    fn escaped(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\\' => self.out.push_str("\\\\"),
                '"' => self.out.push_str("\\\""),
                '\n' => self.out.push_str("\\n"),
                c => self.out.push(c),
            }
        }
    }

    /// All of it.
    pub fn into_string(self) -> String {
        self.out
    }
}
