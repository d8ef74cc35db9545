//! `modeltap token`, run as people and scripts run it.

mod common;

use common::{PATIENCE, command};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::Instant;

/// A folder of its own for a test, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("modeltap-token-{}", uuid::Uuid::new_v4());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("tokens.json")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = command();
        command.arg("token").args(args).env("MODELTAP_TOKENS", self.file());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    fn run(&self, args: &[&str]) -> Said {
        Said::of(self.start(args).wait_with_output().unwrap())
    }

    /// Runs what must succeed; its standard output.
    fn good(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}", said.err);
        said.out
    }

    fn show(&self, name: &str) -> Value {
        serde_json::from_str(&self.good(&["show", name, "--json"])).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

fn sha256(text: &str) -> String {
    let hash = hmac_sha256::Hash::hash(text.as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_token_is_printed_once_and_alone_and_only_its_hash_is_kept() {
    let folder = Folder::new();
    let said = folder.run(&["add", "ci"]);
    let token = said.out.trim_end();
    assert_eq!(said.out, format!("{token}\n"));
    assert!(token.starts_with("mt_") && token.len() == 46, "{token}");
    assert!(said.err.contains("this once") && said.err.contains("curl"), "{}", said.err);
    assert!(said.err.contains("every client"), "{}", said.err);
    let hash = sha256(token);
    assert!(folder.text().contains(&format!("\"hash\": \"sha256:{hash}\"")), "{}", folder.text());
    let mut shown = vec![said.err, folder.good(&["list"]), folder.good(&["list", "--json"])];
    shown.extend([folder.good(&["show", "ci"]), folder.good(&["show", "ci", "--json"])]);
    for (at, text) in shown.iter().enumerate() {
        assert!(!text.contains(token) && !text.contains(&hash[8..16]), "{text}");
        assert!(at == 0 || text.contains(&hash[..8]), "{text}");
    }
    assert!(!folder.text().contains(&token[3..]));
}

#[test]
fn what_is_asked_for_is_kept_and_shown() {
    let folder = Folder::new();
    folder.good(&[
        "add",
        "anna@example.org",
        "--expires",
        "24h",
        "--models",
        "gpt-*, o3",
        "--routes",
        "chat,metrics",
        "--rate",
        "5/s",
        "--concurrent",
        "4",
        "--requests=1000",
        "--tokens-per-day",
        "50000",
        "--from",
        "10.0.0.0/8,::1",
    ]);
    let shown = folder.show("anna@example.org");
    for (field, value) in [
        ("state", serde_json::json!("good")),
        ("models", serde_json::json!(["gpt-*", "o3"])),
        ("routes", serde_json::json!(["chat", "metrics"])),
        ("from", serde_json::json!(["10.0.0.0/8", "::1/128"])),
        ("rate", "5/s".into()),
        ("concurrent", 4.into()),
        ("requests", 1000.into()),
        ("tokens_per_day", 50000.into()),
        ("revoked", Value::Null),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    folder.good(&["add", "plain"]);
    let plain = folder.show("plain");
    assert_eq!(plain["routes"], serde_json::json!(["chat", "messages", "responses", "models"]));
    assert_eq!((&plain["expires"], &plain["rate"]), (&Value::Null, &Value::Null));
    folder.good(&["add", "dated", "--expires", "9000-12-31T00:00:00Z"]);
    assert_eq!(folder.show("dated")["expires"], "9000-12-31T00:00:00Z");

    let table = folder.good(&["list"]);
    let line = table.lines().find(|line| line.starts_with("anna@")).unwrap();
    assert!(line.contains("expires in 2"), "{table}");
    for limit in ["5/s", "4 at once", "1000 requests", "50000 tokens/day", "models gpt-*,o3"] {
        assert!(line.contains(limit), "{line}");
    }
    assert_eq!(table.lines().count(), 4, "{table}");
    let text = folder.good(&["show", "anna@example.org"]);
    assert!(text.contains("requests      0 of 1000"), "{text}");
    let listed: Value = serde_json::from_str(&folder.good(&["list", "--json"])).unwrap();
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 3);
    assert_eq!(listed["file"], folder.file().to_str().unwrap());
}

#[test]
fn the_use_of_a_token_is_shown() {
    let folder = Folder::new();
    folder.good(&["add", "ci", "--requests", "10"]);
    let id = folder.show("ci")["id"].as_str().unwrap().to_owned();
    let usage = folder.0.join("tokens.usage.json");
    let told = format!(
        "{{\"version\": 1, \"usage\": {{\"{id}\": {{\"requests\": 7, \"errors\": 1, \
         \"prompt_tokens\": 30, \"completion_tokens\": 12, \"day\": \"2020-01-01\", \
         \"day_tokens\": 42, \"last_used\": \"2020-01-01T10:00:00Z\"}}}}}}"
    );
    fs::write(&usage, told).unwrap();
    assert!(folder.good(&["list"]).contains("7 requests, 42 tokens"));
    let text = folder.good(&["show", "ci"]);
    for line in ["7 of 10", "30 in, 12 out", "tokens today  0", "2020-01-01T10:00:00Z"] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(folder.show("ci")["usage"]["requests"], 7);
    fs::write(&usage, "{").unwrap();
    let said = folder.run(&["list"]);
    assert_eq!(said.code, Some(0));
    assert!(said.err.contains("not known") && said.out.contains("ci"), "{}", said.err);
}

#[test]
fn a_secret_is_changed_and_all_else_stays() {
    let folder = Folder::new();
    let first = folder.good(&["add", "ci", "--rate", "60"]);
    let before = folder.show("ci");
    let second = folder.good(&["rotate", "ci"]);
    assert!(second.starts_with("mt_") && first != second);
    let mut after = folder.show("ci");
    assert_eq!(after["fingerprint"], sha256(second.trim_end())[..8]);
    assert!(!folder.text().contains(&sha256(first.trim_end())));
    after["fingerprint"] = before["fingerprint"].clone();
    assert_eq!(before, after);
}

#[test]
fn a_revoked_token_stays_listed_until_it_is_removed() {
    let folder = Folder::new();
    folder.good(&["add", "ci", "--expires", "1h", "--requests", "5"]);
    folder.good(&["add", "other"]);
    folder.good(&["revoke", "ci"]);
    assert_eq!(folder.show("ci")["state"], "revoked");
    let when = folder.show("ci")["revoked"].as_str().unwrap().to_owned();
    fs::write(folder.file(), folder.text().replace(&when, "2020-01-02T03:04:05Z")).unwrap();
    assert!(folder.run(&["revoke", "ci"]).err.contains("already, at 2020-01-02T03:04:05Z"));
    assert_eq!(folder.show("ci")["revoked"], "2020-01-02T03:04:05Z");
    for args in [&["rotate", "ci"][..], &["extend", "ci", "--expires", "1h"], &["add", "ci"]] {
        let said = folder.run(args);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{args:?}");
        assert!(said.err.contains("modeltap token remove ci"), "{}", said.err);
    }
    assert!(!folder.run(&["remove", "ci"]).err.contains("no token is left"));
    assert_eq!(folder.run(&["show", "ci"]).code, Some(1));
    assert!(folder.run(&["remove", "other"]).err.contains("no token is left"));
    let said = folder.run(&["list"]);
    assert!(said.out.is_empty() && said.err.contains("modeltap token add"), "{}", said.err);
}

#[test]
fn a_token_is_extended_from_its_end_or_from_now() {
    let folder = Folder::new();
    folder.good(&["add", "ci", "--expires", "2999-01-01T00:00:00Z", "--requests", "10"]);
    folder.good(&["extend", "ci", "--expires", "24h", "--requests", "5"]);
    let shown = folder.show("ci");
    assert_eq!(
        (&shown["expires"], &shown["requests"]),
        (&"2999-01-02T00:00:00Z".into(), &15.into())
    );
    // One whose time is over.
    let text = folder.text().replace("2999-01-02", "2020-01-02");
    fs::write(folder.file(), text).unwrap();
    assert_eq!(folder.show("ci")["state"], "expired");
    assert!(folder.good(&["list"]).contains("expired "));
    assert!(folder.run(&["rotate", "ci"]).err.contains("it expired at"));
    folder.good(&["extend", "ci", "--expires", "24h"]);
    assert_eq!(folder.show("ci")["state"], "good");
    folder.good(&["extend", "ci", "--expires", "2999-01-01T00:00:00Z"]);
    for (args, why) in [
        (["extend", "ci", "--expires", "2998-01-01T00:00:00Z"], "which is later"),
        (["extend", "none", "--requests", "1"], "no token is named none"),
    ] {
        let said = folder.run(&args);
        assert_eq!(said.code, Some(1), "{args:?}");
        assert!(said.err.contains(why), "{}", said.err);
    }
    folder.good(&["extend", "ci", "--expires", "never"]);
    assert_eq!(folder.show("ci")["expires"], Value::Null);
    assert!(folder.run(&["extend", "ci", "--expires", "24h"]).err.contains("never expires"));
    folder.good(&["add", "free"]);
    assert!(
        folder.run(&["extend", "free", "--requests", "1"]).err.contains("no limit of requests")
    );
}

#[test]
fn a_mistake_is_one_line_that_says_what_is_allowed_and_changes_nothing() {
    let folder = Folder::new();
    folder.good(&["add", "ci"]);
    let before = folder.text();
    for (args, allowed) in [
        (&[][..], "add, list, show, revoke, remove, rotate, extend"),
        (&["dance"], "add, list, show"),
        (&["add"], "NAME"),
        (&["add", "a b"], "1 to 64"),
        (&["add", "a", "b"], "--help"),
        (&["add", "a", "--expires", "soon"], "24h"),
        (&["add", "a", "--expires", "0s"], "24h"),
        (&["add", "a", "--expires", "24"], "24h"),
        (&["add", "a", "--expires", "99999999999y"], "24h"),
        (&["add", "a", "--expires", "2020-01-01T00:00:00Z"], "to come"),
        (&["add", "a", "--expires"], "--help"),
        (&["add", "a", "--models", "x,,y"], "--models"),
        (&["add", "a", "--routes", "chat,all"], "metrics"),
        (&["add", "a", "--routes", ""], "metrics"),
        (&["add", "a", "--rate", "60/fortnight"], "60/min"),
        (&["add", "a", "--concurrent", "0"], "from 1"),
        (&["add", "a", "--requests", "-1"], "from 1"),
        (&["add", "a", "--tokens-per-day", "1.5"], "from 1"),
        (&["add", "a", "--from", "10.0.0.1/8"], "10.0.0.0/8"),
        (&["add", "a", "--rate", "1", "--rate", "2"], "twice"),
        (&["add", "a", "--json"], "--json"),
        (&["add", "a", "--no-such"], "--no-such"),
        (&["add", "a", "--tokens", "none"], "--tokens FILE"),
        (&["list", "ci"], "--help"),
        (&["extend", "ci"], "--expires or --requests"),
        (&["extend", "ci", "--rate", "5"], "--rate"),
        (&["--stay"], "--help"),
    ] {
        let said = folder.run(args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        assert!(said.err.contains(allowed) && said.out.is_empty(), "{args:?}: {}", said.err);
    }
    for args in [
        &["add", "ci"][..],
        &["show", "none"],
        &["revoke", "none"],
        &["remove", "none"],
        &["rotate", "none"],
    ] {
        let said = folder.run(args);
        assert_eq!(said.code, Some(1), "{args:?}: {}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
        assert!(said.err.contains("modeltap token") && said.out.is_empty(), "{}", said.err);
    }
    assert_eq!(folder.text(), before);
}

#[test]
fn the_file_is_where_the_flag_or_the_environment_says() {
    let folder = Folder::new();
    let other = folder.0.join("deep/er/team.json");
    folder.good(&["add", "ci", "--tokens", other.to_str().unwrap()]);
    assert!(other.exists() && !folder.file().exists());
    let run = |env: &[(&str, PathBuf)]| {
        let mut command = command();
        command.args(["token", "add", "ci"]).envs(env.iter().map(|(name, value)| (name, value)));
        Said::of(command.output().unwrap())
    };
    let unset = run(&[]);
    assert_eq!(unset.code, Some(2));
    assert!(unset.err.contains("--tokens FILE") && unset.err.contains("MODELTAP_TOKENS"));
    let (names, below): (&[&str], _) = match cfg!(windows) {
        true => (&["APPDATA"], vec!["modeltap/tokens.json"]),
        false => (
            &["XDG_CONFIG_HOME", "HOME"],
            vec!["modeltap/tokens.json", ".config/modeltap/tokens.json"],
        ),
    };
    for (name, below) in names.iter().zip(below) {
        let home = folder.0.join(name);
        assert_eq!(run(&[(name, home.clone())]).code, Some(0), "{name}");
        assert!(home.join(below).exists(), "{name}");
    }
    for args in [&["--help"][..], &["add", "--help"], &["list", "-h"]] {
        let help = folder.good(args);
        for word in ["rotate", "--tokens-per-day", "--from", "MODELTAP_TOKENS"] {
            assert!(help.contains(word), "{help}");
        }
    }
    let help = Said::of(command().arg("--help").output().unwrap()).out;
    assert!(help.contains("modeltap token add|list"), "{help}");
}

#[test]
fn a_file_that_is_damaged_is_neither_used_nor_changed() {
    let folder = Folder::new();
    let token = folder.good(&["add", "ci", "--rate", "60"]);
    let damaged = folder.text().replace("\"rate\"", "\"rat\"");
    fs::write(folder.file(), &damaged).unwrap();
    for args in
        [&["list"][..], &["show", "ci"], &["add", "b"], &["revoke", "ci"], &["rotate", "ci"]]
    {
        let said = folder.run(args);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{args:?}");
        assert!(said.err.contains("tokens[0]") && said.err.contains("`rat`"), "{}", said.err);
        assert!(!said.err.contains(&sha256(token.trim_end())[8..16]), "{}", said.err);
        assert_eq!(said.err.lines().count(), 1, "{}", said.err);
    }
    assert_eq!(folder.text(), damaged);
}

#[test]
#[cfg(unix)]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new();
    let file = folder.0.join("new/tokens.json");
    let at = ["--tokens", file.to_str().unwrap()];
    folder.good(&[&["add", "ci"][..], &at].concat());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let said = folder.run(&[&["list"][..], &at].concat());
    assert!(said.code == Some(0) && said.err.contains("chmod 600"), "{}", said.err);
    folder.good(&[&["revoke", "ci"][..], &at].concat());
    assert_eq!(mode(&file), 0o600);
    symlink(&file, folder.file()).unwrap();
    folder.good(&["add", "through-a-link"]);
    assert!(fs::symlink_metadata(folder.file()).unwrap().is_symlink());
    assert!(fs::read_to_string(file).unwrap().contains("through-a-link"));
}

#[test]
fn twenty_writers_at_once_all_land() {
    let folder = Folder::new();
    let names: Vec<String> = (0..20).map(|number| format!("n{number}")).collect();
    let writers: Vec<Child> = names.iter().map(|name| folder.start(&["add", name])).collect();
    for writer in writers {
        let said = Said::of(writer.wait_with_output().unwrap());
        assert_eq!(said.code, Some(0), "{}", said.err);
    }
    let table = folder.good(&["list"]);
    for name in &names {
        assert!(table.lines().any(|line| line.split(' ').next() == Some(name)), "{table}");
    }
    assert_eq!(table.lines().count(), 21);
}

#[test]
fn a_killed_writer_leaves_the_file_whole_and_nobody_waiting() {
    let folder = Folder::new();
    folder.good(&["add", "first"]);
    let mut landed = vec!["first".to_owned()];
    // Each is killed a little later in its work than the one before, the last ones after it.
    for round in 0..25 {
        let name = format!("n{round}");
        let before = Instant::now();
        let mut writer = folder.start(&["add", &name]);
        while before.elapsed().as_micros() < round * 400 {
            std::hint::spin_loop();
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        let listed: Value = serde_json::from_str(&folder.good(&["list", "--json"])).unwrap();
        let listed = listed["tokens"].as_array().unwrap().iter();
        let listed: Vec<String> =
            listed.map(|token| token["name"].as_str().unwrap().to_owned()).collect();
        assert!(listed.starts_with(&landed) && listed.len() <= landed.len() + 1, "{listed:?}");
        landed = listed;
    }
    let began = Instant::now();
    folder.good(&["add", "last"]);
    assert!(began.elapsed() < PATIENCE);

    // One that holds the lock for good: here the test itself.
    let lock = fs::File::open(folder.0.join("tokens.json.lock")).unwrap();
    lock.lock().unwrap();
    let mut waiting = folder.start(&["add", "waits"]);
    waiting.kill().unwrap();
    waiting.wait().unwrap();
    let waiting = folder.start(&["add", "then"]);
    lock.unlock().unwrap();
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert!(folder.good(&["list"]).contains("then"));
}
