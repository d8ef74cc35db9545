//! Where the value of each setting comes from: the flags and the variables that are set, in the order
//! in which they are applied.

use super::table::{Apply, SETTINGS, Setting};
use std::fmt;

/// Where a value was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// On the command line.
    Flag(&'static str),
    /// In the environment.
    Env(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Flag(flag) => write!(f, "--{flag}"),
            Source::Env(name) => f.write_str(name),
        }
    }
}

/// A value that was given for a setting.
pub struct Given {
    /// The setting.
    pub setting: &'static Setting,
    /// Where it was given.
    pub source: Source,
    /// As it was given; it may be a secret, see [`Setting::is_secret`].
    pub text: String,
    pub(super) apply: Apply,
}

/// The values that are given, in the order of the settings; of those of one setting the strongest
/// last. An empty variable is not set.
pub fn given(flags: &[(String, String)], env: impl Fn(&str) -> Option<String>) -> Vec<Given> {
    let mut all = Vec::new();
    for setting in SETTINGS {
        for (name, apply) in setting.env.iter().rev() {
            let text = env(name).filter(|text| !text.is_empty());
            let source = Source::Env(name);
            all.extend(text.map(|text| Given { setting, source, text, apply: *apply }));
        }
        // A flag reads its text as the first of the variables does.
        let Some((_, apply)) = setting.env.first() else { continue };
        for (_, text) in flags.iter().filter(|(flag, _)| flag == setting.flag) {
            let source = Source::Flag(setting.flag);
            all.push(Given { setting, source, text: text.clone(), apply: *apply });
        }
    }
    all
}

impl Setting {
    /// Whether its value must not be told.
    pub fn is_secret(&self) -> bool {
        matches!(self.flag, "api-key" | "forward-key" | "forward")
    }

    /// Whether each value adds to those before it, rather than replacing them.
    pub fn adds_up(&self) -> bool {
        self.flag == "audit-redact"
    }
}
