//! The settings: the table, the help and the README are one, and nothing falls back in silence.

mod common;

use common::command;
use std::process::{Output, Stdio};

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command();
    command.env("MODELTAP_PORT", "0").envs(env.iter().copied()).args(args);
    command.stdin(Stdio::null()).output().expect("the binary starts")
}

#[test]
fn the_readme_has_the_table_of_settings() {
    let readme = include_str!("../README.md");
    let table = modeltap::config::markdown();
    assert!(readme.contains(&table), "README.md must hold this table:\n{table}");
}

#[test]
fn the_help_names_every_flag_every_variable_and_every_default() {
    let help = run(&["--help"], &[]);
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).unwrap();
    for row in modeltap::config::markdown().lines().skip(2) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [flag, names, default, meaning] = cells[..] else { panic!("{row}") };
        for said in [flag.trim_matches('`'), meaning, &format!("[{default}]")] {
            assert!(help.contains(said), "{said:?} is not in the help");
        }
        for name in names.split(", ") {
            assert!(help.contains(name.trim_matches('`')), "{name} is not in the help");
        }
    }
}

#[test]
fn what_cannot_be_understood_ends_the_start_with_one_line() {
    for (args, env, named, allowed) in [
        (&["--port", "eighty"][..], &[][..], "--port", "0 to 65535"),
        (&["--port=70000"], &[], "--port", "0 to 65535"),
        (&[], &[("MODELTAP_TIMEOUT", "soon")], "MODELTAP_TIMEOUT", "none"),
        (&[], &[("BRIDGE_CHAT_TIMEOUT_MS", "10")], "BRIDGE_CHAT_TIMEOUT_MS", "1000 to 1800000"),
        (
            &[],
            &[("BRIDGE_STREAM_EMIT_CHUNK_SIZE", "1025")],
            "BRIDGE_STREAM_EMIT_CHUNK_SIZE",
            "1024",
        ),
        (&[], &[("MCPTB_MAX_TOKENS", "0")], "MCPTB_MAX_TOKENS", "1 to"),
        (&[], &[("MCPTB_FORCE_COLOR", "perhaps")], "MCPTB_FORCE_COLOR", "true"),
        (&["--backend", "telepathy"], &[], "--backend", "auto, sampling, pull, channel, forward"),
        (&["--warmup=maybe"], &[], "--warmup", "yes"),
        (&["--no-such"], &[], "--no-such", "--help"),
        (&["serve", "demo"], &[], "demo", "--help"),
        (&["dance"], &[], "dance", "--help"),
        (&["--stay"], &[], "--stay", "demo"),
        (&["demo", "--via", "pigeon"], &[], "--via", "sampling, channel"),
    ] {
        let ended = run(args, env);
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{args:?} {env:?}: {told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        assert!(told.contains(named) && told.contains(allowed), "{told}");
        assert!(ended.stdout.is_empty());
    }
    let told = run(&[], &[("MODELTAP_API_KEY", " s3cret ")]).stderr;
    assert!(!String::from_utf8(told).unwrap().contains("s3cret"));
}

#[test]
fn empty_variables_are_not_set_and_flags_go_first() {
    let env = [("MODELTAP_BACKEND", ""), ("BRIDGE_API_KEY", ""), ("MODELTAP_LOG", "brief")];
    let ended = run(&["serve", "--log", "off", "--warmup"], &env);
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn the_version_is_the_packages() {
    let said = String::from_utf8(run(&["--version"], &[]).stdout).unwrap();
    assert_eq!(said.trim(), format!("modeltap {}", env!("CARGO_PKG_VERSION")));
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn the_c_library_is_told_to_give_memory_back_unless_it_was_told_something_already() {
    for given in [None, Some(("MALLOC_MMAP_THRESHOLD_", "65536"))] {
        let mut bridge = common::Bridge::spawn(given.as_slice());
        // Who answers has begun to serve; the number of the process is still that of the start.
        bridge.initialize("host", serde_json::json!({}));
        let environment = std::fs::read(format!("/proc/{}/environ", bridge.pid())).unwrap();
        let environment = String::from_utf8(environment).unwrap();
        let value = |name: &str| environment.split('\0').find_map(|pair| pair.strip_prefix(name));
        let set = value("GLIBC_TUNABLES=").map(|set| set.contains("glibc.malloc.tcache_max="));
        assert_eq!(set, given.is_none().then_some(true));
        assert_eq!(value("MALLOC_MMAP_THRESHOLD_="), given.map(|(_, value)| value));
        assert_eq!(value("MODELTAP_PORT="), Some("0"), "the rest of it is as it was");
    }
}
