//! A token file of a test's own, changed by the built binary's own commands.

use super::command;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder with a token file, removed at the end.
pub struct Tokens {
    folder: PathBuf,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Tokens {
    /// No file yet.
    pub fn new() -> Tokens {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("modeltap-tokens-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Tokens { folder }
    }

    /// Where the file is, or will be.
    pub fn path(&self) -> String {
        self.folder.join("tokens.json").to_str().unwrap().to_owned()
    }

    /// Runs `modeltap token` with these words, which must succeed; what it prints.
    pub fn run(&self, words: &[&str]) -> String {
        let ran = command().arg("token").args(words).args(["--tokens", &self.path()]).output();
        let ran = ran.unwrap();
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "token {words:?}: {told}");
        String::from_utf8(ran.stdout).unwrap().trim_end().to_owned()
    }

    /// Adds a token; its text.
    pub fn add(&self, name: &str, words: &[&str]) -> String {
        self.run(&[&["add", name], words].concat())
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
