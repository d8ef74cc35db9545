//! `modeltap snippet`, run as people run it, on files as their hosts and clients write them. What is
//! written is judged here by its bytes; tests/clients judge it by other parsers and by the programs.

mod common;

use common::command;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A home of its own for a test, removed at the end.
struct Home(PathBuf);

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Home {
    fn new() -> Self {
        let folder =
            std::env::temp_dir().join(format!("modeltap-snippet-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(folder.join("work")).unwrap();
        Home(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Said {
        let mut command = command();
        command.arg("snippet").args(args).current_dir(self.file("work"));
        command.env("HOME", &self.0).env("USERPROFILE", &self.0);
        command.env("XDG_CONFIG_HOME", self.file(".config")).env("APPDATA", self.file("AppData"));
        let output = command.envs(env.iter().copied()).stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, &[])
    }

    /// Runs what must succeed; all that it said.
    fn good(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.out, said.err);
        said.out + &said.err
    }

    /// All files, but those in `work`.
    fn files(&self) -> Vec<PathBuf> {
        fn below(folder: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.file_type().unwrap().is_dir() {
                    true => below(&entry.path(), files),
                    false => files.push(entry.path()),
                }
            }
        }
        let mut files = Vec::new();
        below(&self.0, &mut files);
        files.sort();
        files
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file of a host or a client.
struct Case {
    name: String,
    text: String,
    /// Where it is in a home, or the path that is given.
    path: String,
    usual: bool,
    format: String,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/snippet");
    let table = fs::read_to_string(folder.join("cases.json")).unwrap();
    let table: Vec<Value> = serde_json::from_str(&table).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let cases = table.iter().map(|case| Case {
        name: text(&case["name"]),
        // A checkout may have turned the ends of lines.
        text: fs::read_to_string(folder.join(text(&case["fixture"])))
            .unwrap()
            .replace("\r\n", "\n"),
        path: case["home"].as_str().unwrap_or("a.yaml").to_owned(),
        usual: case["home"].is_string() && cfg!(target_os = "linux"),
        format: text(&case["format"]),
    });
    cases.collect()
}

impl Case {
    /// The arguments that do this to the case's file.
    fn args<'a>(&'a self, file: &'a Path, act: &'a str) -> Vec<&'a str> {
        let mut args = vec![self.name.as_str(), act, "--yes"];
        if !self.usual {
            args.extend(["--file", file.to_str().unwrap()]);
        }
        args
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// Copies that were kept of a file.
fn copies(home: &Home, path: &Path) -> Vec<PathBuf> {
    let begins = format!("{}.modeltap-backup-", path.display());
    home.files().into_iter().filter(|file| file.to_str().unwrap().starts_with(&begins)).collect()
}

#[test]
fn each_file_keeps_all_else_and_comes_back_byte_for_byte() {
    for case in cases() {
        let lines = case.text.replace('\n', "\r\n");
        let marked = format!("\u{feff}{}", case.text);
        for text in [case.text.as_str(), &lines, &marked, case.text.trim_end(), "", "\n"] {
            let home = Home::new();
            let path = home.file(&case.path);
            write(&path, text);
            // A host may have two files; a case is about one of them.
            let others = home.files().len();
            let said = home.good(&case.args(&path, "--install"));
            let with = read(&path);
            let what = format!("{} on {text:?}: {said}", case.name);
            assert_ne!(with, text, "{what}");
            assert!(said.contains("+++ ") && said.contains("\n+"), "{what}");
            // All that was there is there: its lines, but for a comma behind some of them.
            let mut lines = with.lines();
            let bare = |line: &str| line.trim_end_matches([',', '{', '}', ' ']).to_owned();
            for line in
                text.lines().filter(|line| !line.trim().is_empty() && text.lines().count() > 1)
            {
                assert!(
                    lines.any(|other| bare(other) == bare(line)),
                    "{line:?} is lost: {what}\n{with}"
                );
            }
            let only_cr = with.replace("\r\n", "").contains('\n');
            assert!(!(text.contains("\r\n") && only_cr), "{what}");
            let kept = copies(&home, &path);
            assert_eq!(kept.iter().map(|copy| read(copy)).collect::<Vec<_>>(), [text], "{what}");
            // Again there is nothing to do.
            assert!(home.good(&case.args(&path, "--install")).contains("there already"));
            assert_eq!(read(&path), with);
            home.good(&case.args(&path, "--remove"));
            assert_eq!(read(&path), text, "{what}");
            assert_eq!(home.files().len(), others, "{:?}", home.files());
            assert!(home.good(&case.args(&path, "--remove")).contains("nothing"));
        }
    }
}

#[test]
fn a_file_and_a_folder_that_are_missing_are_made_and_the_file_is_gone_again() {
    for case in cases() {
        let home = Home::new();
        let path = home.file("deep/er").join(&case.path);
        let path = if case.usual { home.file(&case.path) } else { path };
        let said = home.good(&case.args(&path, "--install"));
        assert!(said.contains("--- /dev/null"), "{said}");
        assert!(!read(&path).is_empty());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        // What is printed is such a file, where it is no code.
        let printed = home.run(&[&case.name]).out;
        if !["claude-code", "claude-code-client"].contains(&&*case.name) {
            assert_eq!(read(&path), printed);
        }
        let said = home.good(&case.args(&path, "--remove"));
        assert!(said.contains("held nothing else, and is removed"), "{said}");
        assert_eq!(home.files(), Vec::<PathBuf>::new(), "{}", case.name);
    }
}

#[test]
fn what_somebody_else_changed_meanwhile_stays() {
    for case in cases() {
        let home = Home::new();
        let path = home.file(&case.path);
        write(&path, &case.text);
        home.good(&case.args(&path, "--install"));
        let more = if case.format.starts_with("json") { "\n" } else { "\n# later\n" };
        let changed = read(&path) + more;
        fs::write(&path, &changed).unwrap();
        home.good(&case.args(&path, "--remove"));
        // Of the names on the way one may stay behind, with nothing in it.
        let left = read(&path).replace(",\n  \"mcpServers\": {}", "");
        assert_eq!(left, format!("{}{more}", case.text), "{}", case.name);
        // The state before each change has its copy.
        let kept: Vec<String> = copies(&home, &path).iter().map(|copy| read(copy)).collect();
        assert!(kept.contains(&case.text) && kept.contains(&changed), "{}", case.name);
    }
}

#[test]
fn other_settings_change_it_in_its_place_and_all_of_it_comes_back() {
    let home = Home::new();
    let path = home.file(".cursor/mcp.json");
    let text = "{\n  \"mcpServers\": {\n    \"a\": {}\n  }\n}\n";
    write(&path, text);
    home.good(&["cursor", "--install", "--yes"]);
    let first = read(&path);
    let said = home.good(&["cursor", "--install", "--yes", "--port", "9000", "--log=brief"]);
    assert!(said.contains("+        \"MODELTAP_PORT\": \"9000\",\n"), "{said}");
    let entry =
        serde_json::from_str::<Value>(&read(&path)).unwrap()["mcpServers"]["modeltap"].clone();
    assert_eq!(entry["env"], serde_json::json!({"MODELTAP_PORT": "9000", "MODELTAP_LOG": "brief"}));
    assert_eq!(entry["command"], env!("CARGO_BIN_EXE_modeltap"));
    assert_eq!(copies(&home, &path).len(), 2);
    // As it was first, by way of the second.
    home.good(&["cursor", "--install", "--yes"]);
    assert_eq!(read(&path), first);
    home.good(&["cursor", "--remove", "--yes"]);
    assert_eq!(read(&path), text);
    assert_eq!(home.files(), [path]);
}

#[test]
fn what_is_not_of_modeltap_is_left_unless_forced_and_then_comes_back() {
    for (name, file, text) in [
        (
            "vscode",
            ".config/Code/User/mcp.json",
            "{\"servers\": {\n\"modeltap\": {\"command\": \"npx\"}}}",
        ),
        (
            "codex",
            ".codex/config.toml",
            "[mcp_servers]\n[mcp_servers.modeltap]\ncommand = \"npx\"\n",
        ),
        ("goose", ".config/goose/config.yaml", "extensions:\n  modeltap:\n    cmd: npx\n"),
        (
            "claude-code-client",
            ".claude/settings.json",
            "{\"env\":\n{\"ANTHROPIC_BASE_URL\": \"https://gw\"}}",
        ),
        ("aider", ".aider.conf.yml", "dark-mode: true\nmodel: sonnet\n"),
    ] {
        let home = Home::new();
        let path = home.file(file);
        write(&path, text);
        let file = path.to_str().unwrap();
        let said = home.run(&[name, "--install", "--yes", "--file", file]);
        assert_eq!(said.code, Some(1), "{}", said.err);
        assert!(said.err.contains("line 2") && said.err.contains("--force"), "{}", said.err);
        assert!(home.run(&[name, "--remove", "--yes", "--file", file]).err.contains("--force"));
        assert_eq!((read(&path).as_str(), home.files().len()), (text, 1));
        home.good(&[name, "--install", "--yes", "--force", "--file", file]);
        assert_ne!(read(&path), text);
        home.good(&[name, "--remove", "--yes", "--file", file]);
        assert_eq!(read(&path), text);
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place_and_stays() {
    for (name, text, place) in [
        ("vscode", "{\n  \"servers\": {\n    \"a\": 1\n    \"b\": 2\n  }\n}", "line 4, column 5"),
        ("cursor", "{\"mcpServers\": []}", "line 1, column 16"),
        ("codex", "model = \"gpt\nx = 1\n", "line 1, column 9"),
        ("codex", "mcp_servers = {}\n", "line 1, column 1"),
        ("goose", "extensions:\n\tx: 1\n", "line 2, column 1"),
    ] {
        let home = Home::new();
        let path = home.file("f");
        write(&path, text);
        for act in ["--install", "--remove"] {
            let said = home.run(&[name, act, "--yes", "--force", "--file", path.to_str().unwrap()]);
            assert_eq!(said.code, Some(1), "{name}: {}", said.err);
            assert!(said.err.contains(place), "{name}: {}", said.err);
            assert_eq!((read(&path).as_str(), home.files().len()), (text, 1));
        }
    }
    let home = Home::new();
    fs::write(home.file("f"), b"\xff\xfe{\0}\0").unwrap();
    let said =
        home.run(&["vscode", "--install", "--yes", "--file", home.file("f").to_str().unwrap()]);
    assert_eq!(said.code, Some(1), "{}", said.err);
}

#[test]
fn nothing_is_changed_where_nobody_said_yes() {
    let home = Home::new();
    for act in ["--install", "--remove"] {
        if act == "--remove" {
            home.good(&["cursor", "--install", "--yes"]);
        }
        let before = home.files();
        let said = home.run(&["cursor", act]);
        assert_eq!(said.code, Some(2));
        assert!(said.err.contains("--yes") && said.err.contains("+++ "), "{}", said.err);
        assert_eq!(home.files(), before);
    }
}

#[test]
#[cfg(unix)]
fn modes_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for bits in [0o600, 0o644] {
        let home = Home::new();
        let (real, link) = (home.file("dotfiles/mcp.json"), home.file(".cursor/mcp.json"));
        write(&real, "{\"mcpServers\": {\"a\": {}}}");
        fs::set_permissions(&real, fs::Permissions::from_mode(bits)).unwrap();
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink("../dotfiles/mcp.json", &link).unwrap();
        home.good(&["cursor", "--install", "--yes"]);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(read(&real).contains("modeltap"));
        let kept = copies(&home, &real);
        assert_eq!((mode(&real), mode(&kept[0])), (bits, bits));
    }
}

#[test]
fn a_diff_shows_nobodys_secrets() {
    let home = Home::new();
    let text = "{\n  \"mcpServers\": {\n    \"a\": {\"env\": {\"GITHUB_TOKEN\": \"ghp_0123456789abcdefghij0123456789abcdef\"}}\n  }\n}\n";
    write(&home.file(".cursor/mcp.json"), text);
    let env = [("MODELTAP_API_KEY", "open-sesame-123")];
    let said = home.run_with(&["cursor", "--install", "--yes"], &env);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(!said.err.contains("ghp_") && !said.err.contains("sesame"), "{}", said.err);
    assert!(said.err.contains("\"MODELTAP_API_KEY\": \"${env:MODELTAP_API_KEY}\""), "{}", said.err);
    let now = read(&home.file(".cursor/mcp.json"));
    assert!(now.contains("ghp_0123456789") && !now.contains("sesame"), "{now}");
}

#[test]
fn claude_code_gets_its_server_and_its_rules_and_no_other_rule_is_lost() {
    let home = Home::new();
    let (servers, settings) =
        (home.file("work/.mcp.json"), home.file("work/.claude/settings.local.json"));
    write(
        &settings,
        "{\n  \"permissions\": {\n    \"allow\": [\n      \"mcp__modeltap__next_request\"\n    ]\n  }\n}\n",
    );
    let said = home.good(&["claude-code", "--install", "--yes", "--project"]);
    assert!(said.contains("--dangerously-load-development-channels server:modeltap"), "{said}");
    let json = |path: &Path| serde_json::from_str::<Value>(&read(path)).unwrap();
    assert_eq!(json(&servers)["mcpServers"]["modeltap"]["type"], "stdio");
    let rules = ["next_request", "channel_reply", "channel_reply_stream"]
        .map(|name| format!("mcp__modeltap__{name}"));
    assert_eq!(json(&settings)["permissions"]["allow"], serde_json::json!(rules));
    home.good(&["claude-code", "--remove", "--yes", "--project"]);
    assert!(!servers.exists());
    // It was there before.
    assert_eq!(json(&settings)["permissions"]["allow"], serde_json::json!(rules[..1]));
}

#[test]
fn all_are_listed_and_each_prints_what_it_is_for() {
    let home = Home::new();
    let list = home.good(&["--list"]);
    let names: Vec<&str> = list.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names.len(), 19, "{list}");
    let tested: Vec<String> = cases().into_iter().map(|case| case.name).collect();
    for name in names {
        let said =
            home.run_with(&[name, "--port", "9123"], &[("MODELTAP_API_KEY", "open-sesame-123")]);
        assert_eq!(said.code, Some(0), "{name}: {}", said.err);
        assert!(said.out.contains("9123") && !said.err.is_empty(), "{name}: {}", said.out);
        assert!(!(said.out + &said.err).contains("sesame"), "{name}");
        // What has a file is tested with one; what has none says so.
        let installed = home.run(&[name, "--install"]);
        assert_eq!(installed.code, Some(2), "{name}");
        assert_eq!(
            installed.err.contains("is code"),
            !tested.iter().any(|case| case == name),
            "{name}"
        );
    }
    let said = home.run(&["claude-code"]);
    assert!(said.out.contains("claude mcp add modeltap --scope user -- "), "{}", said.out);
    assert!(said.out.contains(env!("CARGO_BIN_EXE_modeltap")), "{}", said.out);
}

#[test]
fn clients_are_told_of_a_key_where_the_bridge_asks_for_one() {
    let home = Home::new();
    let asks = |env: &[(&str, &str)]| {
        let said = home.run_with(&["codex-client"], env);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out.contains("env_key = \"MODELTAP_API_KEY\"")
    };
    let tokens = home.file("tokens.json");
    let tokens = [("MODELTAP_TOKENS", tokens.to_str().unwrap())];
    assert!(!asks(&[]) && !asks(&tokens));
    assert!(asks(&[("MODELTAP_API_KEY", "sesame")]));
    let added = command().args(["token", "add", "any"]).envs(tokens).output().unwrap();
    assert!(added.status.success(), "{added:?}");
    assert!(asks(&tokens));
    fs::write(tokens[0].1, "{").unwrap();
    assert!(asks(&tokens));
}

#[test]
fn what_cannot_be_asked_for_is_told() {
    let home = Home::new();
    for (args, said) in [
        (&[][..], "hosts: claude-code, vscode"),
        (&["emacs"], "there is none for \"emacs\"; hosts:"),
        (&["vscode", "--install", "--remove"], "is enough"),
        (&["vscode", "--yes"], "belong to"),
        (&["vscode", "--project", "--file", "x", "--install"], "not both"),
        (&["goose", "--project", "--install"], "no file of a project"),
        (&["litellm", "--install", "--yes"], "has no usual file; give --file PATH"),
        (&["curl", "--port", "0"], "--port"),
        (&["vscode", "--nonsense"], "no option --nonsense"),
        (&["vscode", "--port", "many"], "0 to 65535"),
    ] {
        let run = home.run(args);
        assert_eq!(run.code, Some(2), "{args:?}");
        assert!(run.err.contains(said), "{args:?}: {}", run.err);
        assert_eq!(run.out, "");
    }
    assert!(home.good(&["--help"]).contains("--install"));
    assert_eq!(home.files(), Vec::<PathBuf>::new());
}
