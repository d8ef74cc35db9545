//! Runs the commands of a block as a reader would: in a home of their own, beside a bridge with a host.

use super::markdown::Section;
use crate::common::{Aside, Bridge, aside, command, echo};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// What stands in the place of programs that are run elsewhere, or want a terminal. `cargo` and `claude` are
/// noted, and looked up by the test; modeltap is told yes where it would ask.
const STAND_INS: &str = r#"
cargo() { printf 'cargo %s\n' "$*" >> "$NOTED"; }
claude() { printf 'claude %s\n' "$*" >> "$NOTED"; }
modeltap() {
    case " $* " in
        *" --install "* | *" --remove "*) command modeltap "$@" --yes ;;
        *) command modeltap "$@" ;;
    esac
}
set -e
"#;

/// Folders that a home has.
const FOLDERS: [&str; 6] = [
    "bin",
    "work",
    ".zfunc",
    ".config/fish/completions",
    ".local/share/bash-completion/completions",
    ".local/share/man/man1",
];

/// A home with a bridge that serves.
pub struct Home {
    pub folder: PathBuf,
    bridge: Bridge,
    address: String,
}

impl Home {
    pub fn new() -> Home {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("modeltap-readme-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        for below in FOLDERS {
            fs::create_dir_all(folder.join(below)).expect("a folder");
        }
        // A link would do but on Windows, where no shell of ours runs this.
        fs::copy(command().get_program(), folder.join("bin/modeltap"))
            .expect("a copy of the binary");
        let audit = folder.join("audit.jsonl");
        let settings = [("HOME", text(&folder)), ("MODELTAP_AUDIT", text(&audit))];
        let mut bridge = Bridge::sampling(&settings);
        let address = bridge.addr().to_string();
        bridge.serve(echo);
        Home { folder, bridge, address }
    }

    /// Runs a block; the commands in it that stand-ins took, or `None` where there is no bash or no curl.
    pub fn run(&self, block: &str) -> Option<Vec<String>> {
        for program in ["bash", "curl"] {
            if let Err(e) = Command::new(program).arg("--version").output() {
                assert!(std::env::var_os("CI").is_none(), "{program} is not installed: {e}");
                eprintln!("skipped: {program} is not installed ({e})");
                return None;
            }
        }
        let noted = self.folder.join("noted");
        let ran = self.shell(block, &noted);
        let said = String::from_utf8_lossy(&ran.stdout);
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{block}\n{}\n{said}\n{told}", ran.status);
        // curl is content with any answer.
        assert!(!said.contains("\"error\":"), "{block}\n{said}");
        let noted = fs::read_to_string(noted).unwrap_or_default();
        Some(noted.lines().map(str::to_owned).collect())
    }

    fn shell(&self, block: &str, noted: &Path) -> Output {
        // An id that is there, and a file with records in it.
        let audit = self.folder.join("audit.jsonl");
        let block = block
            .replace("127.0.0.1:8787", &self.address)
            .replace("0f3c…", &"0".repeat(32))
            .replace(" FILE", &format!(" {}", text(&audit)));
        let path = std::env::var("PATH").unwrap_or_default();
        let port = self.address.rsplit(':').next().unwrap_or_default();
        let mut shell = Command::new("bash")
            .args(["--norc", "-s"])
            .current_dir(self.folder.join("work"))
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", format!("{}/bin:{path}", self.folder.display()))
            .env("MODELTAP_PORT", port)
            .env("NOTED", noted)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("bash");
        let mut pipe = shell.stdin.take().expect("a pipe");
        // One command for the shell, so that what it runs finds nothing on its standard input.
        let script = format!("{{\n{STAND_INS}\n{block}\n}} < /dev/null\n");
        pipe.write_all(script.as_bytes()).expect("bash reads");
        drop(pipe);
        let done: Aside<Output> = aside(move || shell.wait_with_output().expect("bash ends"));
        done.get()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.bridge.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The blocks for a shell.
pub fn blocks(sections: &[Section]) -> Vec<String> {
    let all = sections.iter().flat_map(|section| &section.blocks);
    all.filter(|(language, _)| language == "sh").map(|(_, text)| text.clone()).collect()
}
