//! `modeltap doctor`: each broken set-up is named in one line with its remedy, and a good one is let be.

mod common;

use common::tokens::Tokens;
use common::{Bridge, PATIENCE, aside, chat, command, http};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

/// What the doctor said.
struct Told {
    code: Option<i32>,
    text: String,
}

impl Told {
    /// The line that begins so, whose check is this; there must be exactly one.
    fn line(&self, status: &str, check: &str) -> &str {
        let mut lines = self.text.lines().filter(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(status) && words.next() == Some(check)
        });
        match (lines.next(), lines.next()) {
            (Some(line), None) => line,
            _ => panic!("not exactly one {status} {check} in:\n{}", self.text),
        }
    }

    /// That this check is a problem that says all of this in one line, and the exit code tells it.
    fn has_problem(&self, check: &str, says: &[&str]) {
        let line = self.line("problem", check);
        says.iter().for_each(|words| assert!(line.contains(words), "no {words:?} in: {line}"));
        assert_eq!(self.code, Some(1), "{}", self.text);
    }
}

/// A folder of a test's own with the files that bridges and the doctor share.
struct Place(Tokens);

impl Place {
    fn new() -> Place {
        Place(Tokens::new())
    }

    fn file(&self, name: &str) -> String {
        self.0.path().replace("tokens.json", name)
    }

    /// What bridges and doctors get alike.
    fn env(&self) -> Vec<(&'static str, String)> {
        vec![("MODELTAP_STATE", self.file("last-host.json")), ("MODELTAP_TOKENS", self.0.path())]
    }

    fn bridge(&self, env: &[(&str, &str)]) -> Bridge {
        self.bridge_as(command(), env)
    }

    fn bridge_as(&self, command: Command, env: &[(&str, &str)]) -> Bridge {
        let own = self.env();
        let own = own.iter().map(|(name, value)| (*name, value.as_str()));
        Bridge::spawn_as(command, &own.chain(env.iter().copied()).collect::<Vec<_>>())
    }

    fn doctor(&self, args: &[&str], env: &[(&str, &str)]) -> Told {
        self.doctor_as(command(), args, env)
    }

    fn doctor_as(&self, mut command: Command, args: &[&str], env: &[(&str, &str)]) -> Told {
        let own = self.env();
        command.env("MODELTAP_PORT", "0").envs(own).envs(env.iter().copied());
        let ran = command.arg("doctor").args(args).output().expect("the binary starts");
        assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
        Told { code: ran.status.code(), text: String::from_utf8(ran.stdout).unwrap() }
    }

    /// Waits until what is written of the host fits.
    fn wait_state(&self, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = std::fs::read_to_string(self.file("last-host.json")).unwrap_or_default();
            let state: Value = serde_json::from_str(&text).unwrap_or_default();
            if fits(&state) {
                return state;
            }
            assert!(Instant::now() < deadline, "what is written goes on being {text}");
            std::thread::yield_now();
        }
    }

    /// A host with sampling that has come and gone, so that other checks are not about that.
    fn met(&self) {
        let mut bridge = self.bridge(&[]);
        bridge.initialize("test-host", json!({"sampling": {}}));
        self.wait_state(|state| state["ready"] == true);
    }
}

#[test]
fn a_good_set_up_has_neither_problems_nor_warnings() {
    let place = Place::new();
    let key = place.0.add("ann", &[]);
    let audit = place.file("audit.jsonl");
    let mut bridge = place.bridge(&[("MODELTAP_AUDIT", &audit)]);
    bridge.initialize("test-host", json!({"sampling": {}, "roots": {}}));
    let addr = bridge.addr();
    bridge.serve(common::echo);
    let mut client = http::Client::connect(addr);
    client.post("/v1/chat/completions", &format!("Authorization: Bearer {key}\r\n"), &chat("Hi"));
    assert_eq!(client.answer().status, 200);
    place.wait_state(|state| state["consent"] == "granted");
    let port = addr.port().to_string();
    for all in [&[][..], &["--all"]] {
        let args = [&["--port", &port, "--audit", &audit][..], all].concat();
        let told = place.doctor(&args, &[("MODELTAP_PORT", "")]);
        assert_eq!(told.code, Some(0), "{}", told.text);
        assert!(told.text.ends_with("\nno problems, no warnings\n"), "{}", told.text);
        assert!(!told.text.contains('\x1b') && !told.text.contains(&key), "{}", told.text);
        for (check, says) in [
            ("port", "a modeltap serves at"),
            ("port", "with a model behind it by sampling"),
            ("tokens", "1 good, 0 expired and 0 revoked"),
            ("audit", "a bridge is writing"),
            ("host", "test-host 1 (MCP 2025-11-25) connected last and declared roots, sampling"),
            ("way", "requests go by sampling"),
            ("consent", "lets its model be used"),
            ("settings.port", "from --port"),
        ] {
            assert!(told.line("ok", check).contains(says), "no {says:?} in:\n{}", told.text);
        }
    }
}

#[test]
fn a_busy_port_is_named_with_who_has_it() {
    let place = Place::new();
    place.met();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let told = place.doctor(&[], &[("MODELTAP_PORT", &port)]);
    told.has_problem("port", &[&port, "is taken", "choose another port with --port"]);
    #[cfg(target_os = "linux")]
    told.has_problem("port", &[&format!("process {}", std::process::id()), "kill"]);
}

#[test]
fn an_address_that_is_not_ours_is_named() {
    let place = Place::new();
    place.met();
    // RFC 5737: nobody has it.
    let told = place.doctor(&["--host", "192.0.2.1"], &[("MODELTAP_API_KEY", "k")]);
    told.has_problem("port", &["192.0.2.1 is no address of this machine", "--host"]);
    let told = place.doctor(&["--host", "no.such.host.invalid"], &[]);
    told.has_problem("port", &["no.such.host.invalid", "127.0.0.1"]);
}

#[test]
fn a_damaged_token_file_is_named_with_what_comes_of_it() {
    let place = Place::new();
    place.met();
    std::fs::write(place.0.path(), "{").unwrap();
    place
        .doctor(&[], &[])
        .has_problem("tokens", &["is damaged", "every client is refused", "mend it"]);
    std::fs::remove_file(place.0.path()).unwrap();
    place.0.add("ann", &[]);
    std::fs::write(place.file("tokens.usage.json"), "[").unwrap();
    place.doctor(&[], &[]).has_problem("usage", &["is damaged", "remove"]);
}

#[test]
#[cfg(unix)]
fn tokens_that_others_can_read_are_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.met();
    place.0.add("ann", &[]);
    place.0.add("bob", &[]);
    place.0.run(&["revoke", "bob"]);
    std::fs::set_permissions(place.0.path(), PermissionsExt::from_mode(0o644)).unwrap();
    let told = place.doctor(&[], &[]);
    let line = told.line("warning", "tokens");
    assert!(
        line.contains("1 good, 0 expired and 1 revoked") && line.contains("chmod 600"),
        "{line}"
    );
    assert_eq!(told.code, Some(0));
    // The same of the audit file, and of a folder where anybody may put another in its place.
    std::fs::set_permissions(place.0.path(), PermissionsExt::from_mode(0o600)).unwrap();
    let (folder, audit) = (place.file("open"), place.file("open/audit.jsonl"));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(&audit, "").unwrap();
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o777)).unwrap();
    let told = place.doctor(&["--audit", &audit], &[]);
    let warnings: Vec<&str> =
        told.text.lines().filter(|line| line.starts_with("warning")).collect();
    assert!(warnings[0].contains(&format!("chmod go-w {folder}")), "{}", told.text);
    std::fs::set_permissions(&audit, PermissionsExt::from_mode(0o644)).unwrap();
    let told = place.doctor(&["--audit", &audit], &[]);
    assert!(told.text.contains(&format!("chmod 600 {audit}")), "{}", told.text);
}

#[test]
fn that_no_host_has_ever_connected_is_named() {
    let place = Place::new();
    let told = place.doctor(&[], &[]);
    told.has_problem("host", &["no MCP host has ever connected", "register modeltap"]);
    // A bridge that nobody has spoken to tells nothing of a host.
    let mut bridge = place.bridge(&[]);
    bridge.close_stdin();
    bridge.wait();
    assert_eq!(place.doctor(&[], &[]).text, told.text);
    // With an endpoint to forward to there is a model all the same.
    let told = place.doctor(&["--forward", "http://127.0.0.1:9/v1"], &[]);
    assert!(told.line("warning", "host").contains("register modeltap"), "{}", told.text);
    // Where nothing is written, nothing is known.
    let told = place.doctor(&["--state", "none"], &[]);
    assert!(told.line("warning", "state").contains("MODELTAP_STATE"), "{}", told.text);
    assert_eq!(told.code, Some(0));
}

/// Has the host refuse a request with this code; the status that its client gets.
fn refuse(place: &Place, bridge: &mut Bridge, code: i64, message: &str) -> u16 {
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    let asked = bridge.recv_method("sampling/createMessage");
    let error = json!({"code": code, "message": message});
    bridge.send(&json!({"jsonrpc": "2.0", "id": asked["id"], "error": error}));
    let status = client.get().status;
    place.wait_state(|state| state["refusal"]["code"] == code);
    status
}

#[test]
fn sampling_that_was_refused_is_named_with_the_hosts_words() {
    let place = Place::new();
    let mut bridge = place.bridge(&[]);
    bridge.initialize("Visual Studio Code", json!({"sampling": {}}));
    assert_eq!(refuse(&place, &mut bridge, -1, "User rejected\nthe request"), 403);
    let says =
        ["Visual Studio Code 1 refused", "User rejected the request", "Configure Model Access"];
    place.doctor(&[], &[]).has_problem("consent", &says);
    // Granted after all.
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    let asked = bridge.recv_method("sampling/createMessage");
    bridge.answer(&asked, "Hi");
    assert_eq!(client.get().status, 200);
    place.wait_state(|state| state["consent"] == "granted");
    let told = place.doctor(&[], &[]);
    assert!(told.line("warning", "consent").contains("User rejected"), "{}", told.text);
    // The next session asks its user anew.
    bridge.initialize("Visual Studio Code", json!({"sampling": {}}));
    place.wait_state(|state| state["consent"] == "unknown" && state["ready"] == true);
    assert!(place.doctor(&[], &[]).line("ok", "consent").contains("was not asked yet"));
}

const DENIAL: &str = "--dangerously-load-development-channels server:modeltap";

#[test]
fn a_channel_that_was_not_loaded_is_named_with_the_flag() {
    let place = Place::new();
    let mut bridge = place.bridge(&[("MODELTAP_LEASE", "50ms"), ("MODELTAP_TIMEOUT", "500ms")]);
    bridge.initialize("claude-code", json!({"roots": {}}));
    place.wait_state(|state| state["channel"]["offered"] == true);
    // Nothing has been tried yet.
    let told = place.doctor(&[], &[]);
    assert!(told.line("warning", "channel").contains(DENIAL), "{}", told.text);
    assert_eq!(http::chat(bridge.addr(), "Hello").status, 504);
    place.wait_state(|state| state["channel"]["unanswered"].as_u64() > Some(0));
    let told = place.doctor(&[], &[]);
    told.has_problem("channel", &["the channel is not loaded", "has answered no event", DENIAL]);
    // Once an event is answered, all is well.
    let addr = bridge.addr();
    let client = aside(move || http::chat(addr, "Hello"));
    let event = bridge.recv_method("notifications/claude/channel")["params"].clone();
    let mut id = event["meta"]["request_id"].clone();
    // Those of the request before still lie there.
    while bridge.call("channel_reply", json!({"request_id": id, "content": "Hi"}))["isError"]
        == true
    {
        let event = bridge.recv_method("notifications/claude/channel")["params"].clone();
        id = event["meta"]["request_id"].clone();
    }
    assert_eq!(client.get().status, 200);
    place.wait_state(|state| state["channel"]["answered"] == true);
    assert!(place.doctor(&[], &[]).line("ok", "channel").contains("events reach claude-code"));
}

#[test]
#[cfg(target_os = "linux")]
fn the_flag_is_looked_for_on_the_command_line_of_claude_code() {
    for (words, status) in [(&[][..], "problem"), (&[DENIAL][..], "ok")] {
        let place = Place::new();
        // A shell under another name, which starts the bridge and waits for it.
        let shell = place.file("claude");
        std::os::unix::fs::symlink("/bin/sh", &shell).unwrap();
        let mut claude = Command::new(&shell);
        claude.env_clear().args(["-c", "\"$0\"; exit $?"]).arg(command().get_program()).args(words);
        let mut bridge = place.bridge_as(claude, &[]);
        bridge.initialize("claude-code", json!({}));
        place.wait_state(|state| state["ready"] == true);
        let line = place.doctor(&[], &[]).line(status, "channel").to_owned();
        assert!(line.contains("--dangerously-load-development-channels"), "{line}");
        bridge.close_stdin();
        bridge.wait();
    }
}

#[test]
#[cfg(unix)]
fn the_claude_on_the_path_is_asked_for_its_version() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let mut bridge = place.bridge(&[("DISABLE_TELEMETRY", "1")]);
    let params = json!({"protocolVersion": common::LATEST, "capabilities": {},
        "clientInfo": {"name": "claude-code", "version": "2.1.50"}});
    bridge.request("initialize", params);
    bridge.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    place.wait_state(|state| state["ready"] == true);
    let says = ["the Claude Code that connected last is 2.1.50", "from 2.1.80 on", "claude update"];
    place.doctor(&[], &[]).has_problem("channel.version", &says);
    let folder = place.file("");
    let claude = place.file("claude");
    for (version, status) in [("2.1.79", "problem"), ("2.1.280", "ok")] {
        std::fs::write(&claude, format!("#!/bin/sh\necho '{version} (Claude Code)'\n")).unwrap();
        std::fs::set_permissions(&claude, PermissionsExt::from_mode(0o755)).unwrap();
        let told = place.doctor(&[], &[("PATH", &folder)]);
        let said = format!("the Claude Code on your PATH is {version}");
        let line = told.text.lines().find(|line| line.contains(&said)).unwrap_or_default();
        assert!(line.starts_with(status), "{}", told.text);
        let line = told.line("warning", "channel.environment");
        assert!(line.contains("with DISABLE_TELEMETRY"), "{line}");
    }
}

#[test]
fn a_host_of_the_other_era_is_named() {
    let place = Place::new();
    let mut bridge = place.bridge(&[("MODELTAP_ERA", "modern")]);
    let params = json!({"protocolVersion": common::LATEST, "capabilities": {},
        "clientInfo": {"name": "old-host", "version": "3"}});
    assert!(bridge.request("initialize", params)["error"].is_object());
    place.wait_state(|state| state["turned_away"] == "legacy");
    let says = ["old-host 3", "legacy era", "MODELTAP_ERA to auto"];
    place.doctor(&[], &[]).has_problem("era", &says);
    place.doctor(&["--era", "modern"], &[]).has_problem("era", &says);

    let mut bridge = place.bridge(&[("MODELTAP_ERA", "legacy")]);
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "new-host", "version": "4"}});
    assert!(bridge.request("server/discover", json!({"_meta": meta}))["error"].is_object());
    place.wait_state(|state| state["turned_away"] == "modern");
    let says = ["new-host 4", "modern era", "MODELTAP_ERA to auto"];
    place.doctor(&[], &[]).has_problem("era", &says);
    // It was served, by a bridge that took either; the settings are others now.
    let mut bridge = place.bridge(&[]);
    assert!(bridge.request("tools/list", json!({"_meta": meta}))["result"].is_object());
    place.wait_state(|state| state["protocol"] == "2026-07-28");
    assert!(!place.doctor(&[], &[]).text.contains("era "));
    place.doctor(&["--era", "legacy"], &[]).has_problem("era", &["new-host 4"]);
}

#[test]
fn an_open_address_without_keys_is_named() {
    let place = Place::new();
    place.met();
    let says =
        ["other machines could reach 0.0.0.0", "modeltap token add NAME", "MODELTAP_API_KEY"];
    place.doctor(&["--host", "0.0.0.0"], &[]).has_problem("access", &says);
    let told = place.doctor(&["--host", "0.0.0.0"], &[("MODELTAP_API_KEY", "s3cret")]);
    assert!(told.line("ok", "access").contains("asked for a key"), "{}", told.text);
    assert!(!told.text.contains("s3cret"), "{}", told.text);
    place.0.add("ann", &[]);
    place.doctor(&["--host", "0.0.0.0"], &[]).line("ok", "access");
}

#[test]
fn an_audit_file_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.met();
    let file = place.file("a-file");
    std::fs::write(&file, "something else").unwrap();
    let (below, missing) = (format!("{file}/audit.jsonl"), place.file("no/such/audit.jsonl"));
    let folder = place.file("folder");
    std::fs::create_dir(&folder).unwrap();
    let mut paths = vec![folder, below, missing.clone(), file];
    #[cfg(unix)]
    {
        let link = place.file("dangling");
        std::os::unix::fs::symlink(&missing, &link).unwrap();
        paths.push(link);
    }
    for path in paths {
        let says = [&path, "cannot be written", "name another file with --audit"];
        place.doctor(&["--audit", &path], &[]).has_problem("audit", &says);
    }
    // Looking leaves nothing behind.
    let good = place.file("audit.jsonl");
    let told = place.doctor(&["--audit", &good], &[]);
    assert!(told.line("ok", "audit").contains("will be made"), "{}", told.text);
    let left: Vec<_> = std::fs::read_dir(place.file("")).unwrap().flatten().collect();
    let left = left.iter().filter(|entry| entry.file_name().to_string_lossy().contains("audit"));
    assert_eq!(left.count(), 0);
}

#[test]
fn a_clock_behind_our_own_files_is_named() {
    let place = Place::new();
    place.met();
    place.0.add("ann", &[]);
    let text = std::fs::read_to_string(place.0.path()).unwrap();
    let at = text.find("\"created\": \"").unwrap() + "\"created\": \"".len();
    let year = &text[at..at + 4];
    std::fs::write(place.0.path(), text.replacen(year, "2999", 1)).unwrap();
    let says = ["tokens.json holds the time 2999-", "set the clock"];
    place.doctor(&[], &[]).has_problem("clock", &says);
}

#[test]
#[cfg(unix)]
fn few_descriptors_are_named_with_how_many_are_wanted() {
    let place = Place::new();
    place.met();
    let with = |limit: u32| {
        let mut shell = Command::new("/bin/sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        shell.args(["-c", &script]).arg(command().get_program()).env_clear();
        place.doctor_as(shell, &[], &[])
    };
    with(40).has_problem("descriptors", &["2176 are wanted", "40 allowed", "ulimit -Hn"]);
    let told = with(1000);
    let line = told.line("warning", "descriptors");
    assert!(line.contains("about 872 of 2048 connections"), "{line}");
    assert_eq!(told.code, Some(0));
}

#[test]
fn each_value_is_told_with_its_origin_and_a_wrong_one_is_a_problem() {
    let place = Place::new();
    place.met();
    let env = [
        ("MODELTAP_TIMEOUT", "5"),
        ("MCPTB_HTTP_TIMEOUT", "30"),
        ("BRIDGE_API_KEY", "s3cret"),
        ("MODELTAP_BACKEND", "telepathy"),
    ];
    let told = place.doctor(&["--json"], &env);
    assert!(!told.text.contains("s3cret"), "{}", told.text);
    let told: Value = serde_json::from_str(&told.text).unwrap();
    assert_eq!((&told["service"], &told["status"]), (&json!("modeltap"), &json!("problem")));
    assert_eq!((&told["problems"], &told["warnings"]), (&json!(1), &json!(1)));
    let findings = told["findings"].as_array().unwrap();
    for finding in findings {
        let keys: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["check", "message", "origin", "remedy", "status", "value"]);
        assert_eq!(finding["remedy"].is_null(), finding["status"] == "ok", "{finding}");
    }
    let of = |check: &str| findings.iter().find(|finding| finding["check"] == check).unwrap();
    let timeout = of("settings.timeout");
    assert_eq!((&timeout["value"], &timeout["origin"]), (&json!("5"), &json!("MODELTAP_TIMEOUT")));
    assert_eq!(timeout["status"], "warning");
    assert!(timeout["message"].as_str().unwrap().contains("30 from MCPTB_HTTP_TIMEOUT"));
    assert_eq!(of("settings.api-key")["origin"], "BRIDGE_API_KEY");
    assert_eq!(of("settings.backend")["status"], "problem");
    assert!(of("settings.backend")["message"].as_str().unwrap().contains("auto, sampling"));
}

#[test]
fn what_cannot_be_asked_ends_with_2_and_one_line() {
    for args in [&["--port", "eighty"][..], &["--no-such"], &["what"], &["--port"]] {
        let ran = command().arg("doctor").args(args).output().unwrap();
        let told = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{told}");
        assert!(
            told.lines().count() == 1 && told.contains("doctor") && ran.stdout.is_empty(),
            "{told}"
        );
    }
    let help = command().args(["doctor", "--help"]).output().unwrap();
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--json"));
}
