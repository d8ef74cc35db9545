//! What a snippet says that is known only here and now: the binary, the address, and the settings
//! that are not as usual, by the flags and the environment as the bridge itself would take them.

use super::edit::Put;
use super::table::{Entry, File, Key, Says, Snippet, When};
use super::tree::Tree;
use crate::access::token_file::TokenFile;
use crate::config::{self, SETTINGS};
use std::net::Ipv6Addr;

/// All of that.
pub struct Given {
    /// Where modeltap is.
    binary: String,
    /// The bridge's address for clients on this machine; `None` where its port is not known before.
    url: Option<String>,
    /// Settings by their names in the environment, without secrets.
    settings: Vec<(String, String)>,
    /// The variables that hold secrets which the bridge needs.
    secrets: Vec<String>,
    /// Whether clients are asked for a key or a token, as far as the settings and the file of tokens tell.
    keyed: bool,
}

/// The settings that hold secrets.
const SECRETS: [&str; 2] = ["api-key", "forward-key"];
/// How names begin that only modeltap and its ancestors read.
const OURS: [&str; 3] = ["MODELTAP_", "BRIDGE_", "MCPTB_"];
/// The variable that clients have their key in.
const KEY: &str = "MODELTAP_API_KEY";

impl Given {
    /// What `flags` and the environment say, for the binary at this path.
    ///
    /// # Errors
    /// A setting that cannot be understood.
    pub fn read(
        binary: String,
        flags: &[(String, String)],
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Given, String> {
        let config = config::read(flags, &env)?;
        let (mut settings, mut secrets) = (Vec::new(), Vec::new());
        for setting in SETTINGS {
            let flag: Vec<_> = flags.iter().filter(|(flag, _)| flag == setting.flag).collect();
            let first = setting.env.first().map_or("", |(name, _)| *name);
            let (name, value) = match flag.last() {
                // That one alone may be given several times.
                Some(_) if setting.flag == "audit-redact" => {
                    let lines: Vec<_> = flag.iter().map(|(_, value)| value.as_str()).collect();
                    (first, lines.join("\n"))
                }
                Some((_, value)) => (first, value.clone()),
                None => {
                    let ours = setting.env.iter().map(|(name, _)| *name);
                    let mut ours = ours.filter(|name| OURS.iter().any(|own| name.starts_with(own)));
                    let set = |name| {
                        env(name).filter(|value| !value.is_empty()).map(|value| (name, value))
                    };
                    match ours.find_map(set) {
                        Some(found) => found,
                        None => continue,
                    }
                }
            };
            if SECRETS.contains(&setting.flag) {
                secrets.push(name.to_owned());
            } else if value != setting.default {
                settings.push((name.to_owned(), absolute(setting.value, value)));
            }
        }
        let host = match config.host.as_str() {
            "0.0.0.0" => "127.0.0.1".to_owned(),
            "::" => "[::1]".to_owned(),
            host if host.parse::<Ipv6Addr>().is_ok() => format!("[{host}]"),
            host => host.to_owned(),
        };
        let url = (config.port != 0).then(|| format!("http://{host}:{}", config.port));
        let asks = |path| TokenFile::new(path).asks_for_tokens();
        let keyed = config.api_key.is_some() || config.tokens.is_some_and(asks);
        Ok(Given { binary, url, settings, secrets, keyed })
    }

    /// Whether clients can be told where the bridge is.
    pub fn has_address(&self) -> bool {
        self.url.is_some()
    }

    /// The variables that hold secrets which the bridge needs.
    pub fn secrets(&self) -> &[String] {
        &self.secrets
    }

    /// Fills in `{url}`, `{key}` (the variable's name), `{key_command}` (what prints that),
    /// `{binary}`, `{binary_word}` and `{claude_env}` (for a shell).
    pub fn fill(&self, text: &str) -> String {
        let key_command = if cfg!(windows) {
            "cmd /c echo %MODELTAP_API_KEY%"
        } else {
            "printenv MODELTAP_API_KEY"
        };
        let env: Vec<_> = self
            .settings
            .iter()
            .map(|(name, value)| format!(" --env {}", word(&format!("{name}={value}"))))
            .collect();
        [
            ("{url}", self.url.as_deref().unwrap_or_default()),
            ("{key}", KEY),
            ("{key_command}", key_command),
            ("{binary}", &self.binary),
            ("{binary_word}", &word(&self.binary)),
            ("{claude_env}", &env.concat()),
        ]
        .iter()
        .fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// What a snippet puts into one of its files.
    pub fn puts(&self, snippet: &Snippet, file: &File) -> Vec<Put> {
        let wanted = |entry: &&Entry| match entry.when {
            When::Always => true,
            When::Keyed => self.keyed,
            When::Open => !self.keyed,
        };
        let put = |entry: &Entry| Put {
            path: entry.path.to_vec(),
            value: self.tree(snippet.key, &entry.says).unwrap_or_else(|| Tree::Object(Vec::new())),
            mine: entry.mine,
        };
        file.puts.iter().filter(wanted).map(put).collect()
    }

    /// `None` where there is nothing to say.
    fn tree(&self, key: Key, says: &Says) -> Option<Tree> {
        let names = || Tree::List(self.secrets.iter().map(Tree::text).collect());
        Some(match says {
            Says::Text(text) => Tree::Text(self.fill(text)),
            Says::Number(number) => Tree::Number(*number),
            Says::Truth(truth) => Tree::Truth(*truth),
            Says::List(items) => Tree::List(items.iter().map(|item| Tree::text(*item)).collect()),
            Says::Members(members) => Tree::Object(
                members
                    .iter()
                    .filter_map(|(name, says)| Some(((*name).to_owned(), self.tree(key, says)?)))
                    .collect(),
            ),
            Says::AllSettings => self.settings(key),
            Says::Settings => {
                Some(self.settings(key)).filter(|tree| *tree != Tree::Object(Vec::new()))?
            }
            Says::AllKeyNames => names(),
            Says::KeyNames => Some(names()).filter(|_| !self.secrets.is_empty())?,
        })
    }

    fn settings(&self, key: Key) -> Tree {
        let mut all: Vec<_> =
            self.settings.iter().map(|(name, value)| (name.clone(), Tree::text(value))).collect();
        if let Key::Named(before, behind) = key {
            all.extend(
                self.secrets
                    .iter()
                    .map(|name| (name.clone(), Tree::Text(format!("{before}{name}{behind}")))),
            );
        }
        Tree::Object(all)
    }
}

/// A host starts the bridge in a folder of its own.
fn absolute(kind: &str, value: String) -> String {
    match std::path::absolute(&value) {
        Ok(path) if kind == "FILE" && value != "none" => path.to_str().map_or(value, str::to_owned),
        _ => value,
    }
}

/// A word of a shell, in quotes where it must be.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:+,@%\\".contains(c);
    match () {
        () if text.chars().all(|c| plain(c) && (c != '\\' || cfg!(windows))) => text.to_owned(),
        () if cfg!(windows) => format!("\"{text}\""),
        () => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::edit::put;
    use super::super::table::named;
    use super::*;

    fn given(flags: &[(&str, &str)], env: &[(&str, &str)]) -> Given {
        let flags: Vec<_> = flags.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let get =
            |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        Given::read("/b/model tap/modeltap".into(), &flags, get).unwrap()
    }

    fn text(given: &Given, name: &str) -> String {
        let snippet = named(name).unwrap();
        let file = snippet.files.first().unwrap();
        given
            .puts(snippet, file)
            .iter()
            .fold(String::new(), |text, entry| put(file.format, &text, entry).unwrap())
    }

    #[test]
    fn what_is_as_usual_is_left_out_and_a_flag_goes_before_the_environment() {
        let env = [
            ("MODELTAP_PORT", "9000"),
            ("NO_COLOR", "1"),
            ("MODELTAP_LOG", "brief"),
            ("BRIDGE_CORS_ORIGIN", "*"),
        ];
        let given = given(&[("port", "8787"), ("log", "off")], &env);
        let settings: Vec<_> =
            given.settings.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(settings, [("MODELTAP_LOG", "off"), ("BRIDGE_CORS_ORIGIN", "*")]);
        assert_eq!(given.fill("{url}"), "http://127.0.0.1:8787");
        assert_eq!(
            given.fill("x{claude_env} -- {binary_word}"),
            "x --env MODELTAP_LOG=off --env 'BRIDGE_CORS_ORIGIN=*' -- '/b/model tap/modeltap'"
        );
    }

    #[test]
    fn clients_are_told_an_address_that_they_can_reach() {
        for (host, port, url) in [
            ("0.0.0.0", "1", "http://127.0.0.1:1"),
            ("::", "2", "http://[::1]:2"),
            ("fe80::1", "3", "http://[fe80::1]:3"),
            ("box.example", "4", "http://box.example:4"),
        ] {
            assert_eq!(given(&[("host", host), ("port", port)], &[]).url.as_deref(), Some(url));
        }
        assert!(!given(&[("port", "0")], &[]).has_address());
    }

    #[test]
    fn keys_are_named_and_never_said() {
        let env = [("MODELTAP_API_KEY", "sesame-1"), ("MODELTAP_FORWARD_KEY", "sesame-2")];
        let given = given(&[], &env);
        for (name, holds) in [
            ("vscode", "\"MODELTAP_API_KEY\": \"${env:MODELTAP_API_KEY}\""),
            ("cursor", "\"MODELTAP_FORWARD_KEY\": \"${env:MODELTAP_FORWARD_KEY}\""),
            ("copilot-cli", "\"MODELTAP_API_KEY\": \"${MODELTAP_API_KEY}\""),
            ("gemini-cli", "\"MODELTAP_API_KEY\": \"${MODELTAP_API_KEY}\""),
            ("codex", "env_vars = [\"MODELTAP_API_KEY\", \"MODELTAP_FORWARD_KEY\"]"),
            ("goose", "- MODELTAP_API_KEY"),
            ("zed", "\"env\": {}"),
            ("claude-code-client", "\"apiKeyHelper\""),
            ("codex-client", "env_key = \"MODELTAP_API_KEY\""),
            ("litellm", "os.environ/MODELTAP_API_KEY"),
        ] {
            let text = text(&given, name);
            assert!(text.contains(holds) && !text.contains("sesame"), "{text}");
        }
    }
}
