//! Where hosts and clients keep their settings, by system and environment.

use std::path::PathBuf;

/// A system that people use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Linux, and whatever else is like it.
    Linux,
    /// macOS.
    Mac,
    /// Windows.
    Windows,
}

impl Os {
    /// This one.
    pub fn here() -> Os {
        match () {
            () if cfg!(windows) => Os::Windows,
            () if cfg!(target_os = "macos") => Os::Mac,
            () => Os::Linux,
        }
    }
}

/// Where a file is.
pub struct Place {
    /// The user's own on Linux, macOS and Windows, from `~`, `$CONFIG` (`XDG_CONFIG_HOME` or
    /// `~/.config`) or `%APPDATA%`; empty where there is none.
    pub user: [&'static str; 3],
    /// A variable that names another folder, and the file in that.
    pub moved: Option<(&'static str, &'static str)>,
    /// That of a project, from its folder.
    pub project: Option<&'static str>,
}

impl Place {
    /// How the user's own is written for people.
    pub fn words(&self, os: Os) -> &'static str {
        let [linux, mac, windows] = self.user;
        match os {
            Os::Linux => linux,
            Os::Mac => mac,
            Os::Windows => windows,
        }
    }

    /// The user's own; `None` where there is none, or the environment does not say where.
    pub fn user(&self, os: Os, env: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
        let folder = |name| env(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
        if let Some((name, file)) = self.moved
            && let Some(folder) = folder(name)
        {
            return Some(folder.join(file));
        }
        let home = || folder(if os == Os::Windows { "USERPROFILE" } else { "HOME" });
        let words = self.words(os);
        let (from, file) = words.split_once('/')?;
        let from = match from {
            "~" => home()?,
            "$CONFIG" => folder("XDG_CONFIG_HOME").or_else(|| Some(home()?.join(".config")))?,
            _ => folder("APPDATA").or_else(|| Some(home()?.join("AppData").join("Roaming")))?,
        };
        Some(file.split('/').fold(from, |path, part| path.join(part)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::named;
    use super::*;

    #[test]
    #[cfg(unix)]
    fn each_system_has_its_places() {
        let home = ("HOME", "/h");
        let profile = ("USERPROFILE", "/u");
        for (name, os, env, path) in [
            ("vscode", Os::Linux, &[home][..], Some("/h/.config/Code/User/mcp.json")),
            (
                "vscode",
                Os::Linux,
                &[home, ("XDG_CONFIG_HOME", "/x")],
                Some("/x/Code/User/mcp.json"),
            ),
            (
                "vscode",
                Os::Linux,
                &[home, ("XDG_CONFIG_HOME", "x")],
                Some("/h/.config/Code/User/mcp.json"),
            ),
            ("vscode", Os::Mac, &[home], Some("/h/Library/Application Support/Code/User/mcp.json")),
            ("vscode", Os::Windows, &[profile, ("APPDATA", "/a")], Some("/a/Code/User/mcp.json")),
            ("vscode", Os::Windows, &[profile], Some("/u/AppData/Roaming/Code/User/mcp.json")),
            (
                "zed",
                Os::Mac,
                &[home, ("XDG_CONFIG_HOME", "/x")],
                Some("/h/.config/zed/settings.json"),
            ),
            ("goose", Os::Windows, &[("APPDATA", "/a")], Some("/a/Block/goose/config/config.yaml")),
            ("codex", Os::Linux, &[home, ("CODEX_HOME", "/c")], Some("/c/config.toml")),
            ("codex", Os::Windows, &[profile], Some("/u/.codex/config.toml")),
            ("claude-code", Os::Mac, &[home, ("CLAUDE_CONFIG_DIR", "/c")], Some("/c/.claude.json")),
            ("copilot-cli", Os::Linux, &[], None),
            ("litellm", Os::Linux, &[home], None),
        ] {
            let get = |name: &str| {
                env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
            };
            let file = named(name).unwrap().files.first().unwrap();
            assert_eq!(file.place.user(os, get), path.map(PathBuf::from), "{name} {os:?} {env:?}");
        }
    }
}
