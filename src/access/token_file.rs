//! The two files of tokens: the tokens themselves, which people change with `modeltap token`, and
//! beside them what each has used, which only running bridges write.

use super::shared_file::{Fault, SharedFile, Stamp};
use super::token::Token;
use super::token_json;
use super::usage::{self, Day, Usages};
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// The folder of ours in that of a user's settings, and the file in it.
const PLACE: [&str; 2] = ["modeltap", "tokens.json"];

/// Where the tokens are unless a setting says it, by the environment; `None` where that names no
/// home: `XDG_CONFIG_HOME` or `HOME` (XDG Base Directory Specification), on Windows `APPDATA`.
pub fn usual_path(env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = |name| env(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let settings = match cfg!(windows) {
        true => folder("APPDATA"),
        false => folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|h| h.join(".config"))),
    };
    settings.map(|folder| folder.join(PLACE.iter().collect::<PathBuf>()))
}

/// What was read of the tokens.
pub struct Listed {
    /// In the order of the file.
    pub tokens: Vec<Token>,
    /// The state that the file was in.
    pub stamp: Stamp,
    /// What its owner should mend, though it can be read.
    pub warning: Option<String>,
}

/// The two files.
#[derive(Debug, Clone)]
pub struct TokenFile(SharedFile);

impl TokenFile {
    /// The tokens at `path`, which need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        TokenFile(SharedFile::new(path))
    }

    /// Where the tokens are in truth: links are followed.
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// What each has used: `tokens.usage.json` beside `tokens.json`.
    pub fn usage_file(&self) -> SharedFile {
        let path = self.0.path();
        let mut name = match path.extension() {
            Some(extension) if extension == "json" => path.file_stem().unwrap_or_default(),
            _ => path.file_name().unwrap_or_default(),
        }
        .to_owned();
        name.push(".usage.json");
        SharedFile::new(path.with_file_name(name))
    }

    /// The state that the tokens' file is in.
    ///
    /// # Errors
    /// What keeps it from being seen.
    pub fn stamp(&self) -> Result<Stamp, io::ErrorKind> {
        self.0.stamp()
    }

    /// Reads the tokens; `None` where there is no file.
    ///
    /// # Errors
    /// It cannot be read or is damaged.
    pub fn read(&self) -> Result<Option<Listed>, Fault> {
        let Some(content) = self.0.read()? else { return Ok(None) };
        let warning = content.open_to_others.then(|| {
            let path = self.path();
            let path = path.display();
            format!("{path} is open to other users of this machine; close it with chmod 600 {path}")
        });
        Ok(Some(Listed { tokens: self.tokens(&content.text)?, stamp: content.stamp, warning }))
    }

    /// Whether a bridge that goes by this file asks clients for a token: it lists any, be it revoked, or
    /// cannot be read, in which case nobody gets in.
    pub fn asks_for_tokens(&self) -> bool {
        match self.read() {
            Ok(listed) => listed.is_some_and(|listed| !listed.tokens.is_empty()),
            Err(_) => true,
        }
    }

    fn tokens(&self, text: &str) -> Result<Vec<Token>, Fault> {
        token_json::read(text).map_err(|why| Fault::Damaged { path: self.path(), why })
    }

    /// Changes the tokens; nobody else does so meanwhile. Waits for others no longer than `within`.
    ///
    /// # Errors
    /// What `change` says, or why the file cannot be read or written; it is then as it was.
    pub fn change<T, E: From<Fault>>(
        &self,
        within: Duration,
        change: impl FnOnce(&mut Vec<Token>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.0.change(within, |content| {
            let mut tokens = match content {
                Some(content) => self.tokens(&content.text)?,
                None => Vec::new(),
            };
            let told = change(&mut tokens)?;
            Ok((Some(token_json::write(&tokens)), told))
        })
    }

    /// What each token has used, as far as bridges have written it.
    ///
    /// # Errors
    /// The file cannot be read or is damaged.
    pub fn usage(&self) -> Result<Usages, Fault> {
        let file = self.usage_file();
        let text = file.read()?.map(|content| content.text);
        read_usage(&file, text)
    }

    /// Adds what each token has used since; the counts of those that are no longer listed are
    /// dropped. Several processes may do so. Gives all that the file tells then.
    ///
    /// # Errors
    /// The file cannot be read or written, or is damaged; it is then as it was.
    pub fn add_usage(
        &self,
        more: &Usages,
        within: Duration,
        now: SystemTime,
    ) -> Result<Usages, Fault> {
        let (file, today) = (self.usage_file(), Day::of(now));
        file.change(within, |content| {
            let mut all = read_usage(&file, content.map(|content| content.text))?;
            for (id, more) in more {
                all.entry(id.clone()).or_default().add(more, today);
            }
            // While the list cannot be read, nobody is known to have left it.
            if let Ok(Some(listed)) = self.read() {
                let ids: HashSet<&str> = listed.tokens.iter().map(|token| &*token.id).collect();
                all.retain(|id, _| ids.contains(id.as_str()));
            }
            Ok((Some(usage::write(all.clone())), all))
        })
    }
}

fn read_usage(file: &SharedFile, text: Option<String>) -> Result<Usages, Fault> {
    let Some(text) = text else { return Ok(Usages::new()) };
    usage::read(&text).map_err(|why| Fault::Damaged {
        path: file.path(),
        why: format!("{why}; mend it, or remove it to count from nothing"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::shared_file::tests::Folder;
    use super::super::token::tests::{at, plain};
    use super::*;
    use crate::access::usage::Usage;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    #[cfg(not(windows))]
    fn the_usual_place_follows_the_environment() {
        for (xdg, home, path) in [
            (Some("/x"), Some("/h"), Some("/x/modeltap/tokens.json")),
            (None, Some("/h"), Some("/h/.config/modeltap/tokens.json")),
            (Some("relative"), Some("/h"), Some("/h/.config/modeltap/tokens.json")),
            (Some(""), None, None),
            (None, None, None),
        ] {
            let env = |name: &str| match name {
                "XDG_CONFIG_HOME" => xdg.map(str::to_owned),
                "HOME" => home.map(str::to_owned),
                _ => None,
            };
            assert_eq!(usual_path(env), path.map(PathBuf::from));
        }
    }

    #[test]
    fn the_usage_lies_beside_the_tokens() {
        for (tokens, usage) in [
            ("a/tokens.json", "a/tokens.usage.json"),
            ("team", "team.usage.json"),
            ("team.v2", "team.v2.usage.json"),
        ] {
            assert_eq!(TokenFile::new(tokens.into()).usage_file().path(), PathBuf::from(usage));
        }
    }

    #[test]
    fn a_damaged_file_is_not_written_over() {
        let folder = Folder::new();
        let file = TokenFile::new(folder.file("t.json"));
        std::fs::write(folder.file("t.json"), "{\"version\": 1, \"tokens\": [{}]}").unwrap();
        let Err(fault) = file.change(LONG, |tokens| {
            tokens.clear();
            Ok::<_, Fault>(())
        }) else {
            panic!("a damaged file was changed")
        };
        assert!(fault.to_string().contains("tokens[0]"), "{fault}");
        assert!(std::fs::read_to_string(folder.file("t.json")).unwrap().contains("[{}]"));
    }

    #[test]
    fn several_bridges_add_to_one_usage_and_old_ids_are_dropped() {
        let folder = Folder::new();
        let file = TokenFile::new(folder.file("t.json"));
        let one = |requests| Usage { requests, ..Usage::default() };
        let id = |name: &str| name.to_owned();
        assert_eq!(file.usage().unwrap(), Usages::new());
        file.change(LONG, |tokens| {
            tokens.extend([plain("0000000a", "a"), plain("0000000b", "b")]);
            Ok::<_, Fault>(())
        })
        .unwrap();
        file.add_usage(&Usages::from([(id("0000000a"), one(1))]), LONG, at(1)).unwrap();
        let more = Usages::from([(id("0000000a"), one(2)), (id("0000000b"), one(5))]);
        let all = file.add_usage(&more, LONG, at(1)).unwrap();
        assert_eq!((all["0000000a"].requests, all["0000000b"].requests), (3, 5));
        assert_eq!(file.usage().unwrap(), all);

        file.change(LONG, |tokens| {
            tokens.retain(|token| token.name == "b");
            Ok::<_, Fault>(())
        })
        .unwrap();
        let all = file.add_usage(&more, LONG, at(1)).unwrap();
        assert_eq!((all.len(), all["0000000b"].requests), (1, 10));

        std::fs::write(file.usage_file().path(), "{").unwrap();
        let fault = file.add_usage(&more, LONG, at(1)).unwrap_err().to_string();
        assert!(fault.contains("t.usage.json") && fault.contains("remove it"), "{fault}");
        assert_eq!(std::fs::read_to_string(file.usage_file().path()).unwrap(), "{");
    }
}
