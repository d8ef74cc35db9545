//! The live table, driven look by look, and once by its own thread.

use super::super::shared_file::tests::Folder;
use super::super::token::tests::plain;
use super::*;
use std::fs;
use std::sync::Mutex;

const LONG: Duration = Duration::from_secs(60);

/// A table whose thread is the test.
struct Stage {
    folder: Folder,
    tokens: Tokens,
    watcher: Watcher,
    told: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn new(prepare: impl FnOnce(&Folder, &TokenFile)) -> Self {
        let folder = Folder::new();
        let file = TokenFile::new(folder.file("tokens.json"));
        prepare(&folder, &file);
        let (shared, (told, report)) = (Arc::<Shared>::default(), reporter());
        let mut watcher = Watcher::new(file, shared.clone(), report);
        watcher.look();
        Stage { folder, tokens: Tokens { shared, end: None }, watcher, told }
    }

    fn write(&self, text: &str) {
        let (new, path) = (self.folder.file("new"), self.folder.file("tokens.json"));
        fs::write(&new, text).unwrap();
        #[cfg(unix)]
        chmod(&new, 0o600);
        fs::rename(new, path).unwrap();
    }

    /// What was told since the last call.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn has(&self, name: &str) -> bool {
        self.tokens.find(name).is_some_and(|holder| holder.token.name == name)
    }
}

fn reporter() -> (Arc<Mutex<Vec<String>>>, Report) {
    let told = Arc::<Mutex<Vec<String>>>::default();
    let kept = told.clone();
    (told, Arc::new(move |said: &str| kept.lock().unwrap().push(said.to_owned())))
}

#[cfg(unix)]
fn chmod(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn list(file: &TokenFile, names: &[&str]) {
    let tokens = names.iter().map(|name| plain(&token::fingerprint(&token::hash(name)), name));
    let change = |listed: &mut Vec<Token>| {
        *listed = tokens.collect();
        Ok::<_, Fault>(())
    };
    file.change(LONG, change).unwrap();
}

fn count(holder: &Holder, requests: u64) {
    for _ in 0..requests {
        holder.meter.count(1, 1, false, SystemTime::now());
    }
}

fn requests(holder: &Holder) -> u64 {
    holder.meter.used(SystemTime::now()).requests
}

#[test]
fn without_a_file_or_with_none_listed_nobody_is_asked() {
    let mut stage = Stage::new(|_, _| {});
    assert!(!stage.tokens.are_asked_for() && stage.tokens.find("a").is_none());
    list(&stage.watcher.file, &[]);
    stage.watcher.look();
    assert!(!stage.tokens.are_asked_for());
    list(&stage.watcher.file, &["a"]);
    stage.watcher.look();
    assert!(stage.tokens.are_asked_for() && stage.has("a") && !stage.has("b"));
    assert_eq!(stage.told(), Vec::<String>::new());
    let none = Tokens::start(None, stage.watcher.report.clone()).unwrap();
    assert!(!none.are_asked_for() && none.find("a").is_none());
    none.close(LONG);
}

#[test]
fn a_change_is_seen_and_meters_stay() {
    let mut stage = Stage::new(|_, file| list(file, &["a", "b"]));
    let before = stage.tokens.find("a").unwrap();
    count(&before, 3);
    list(&stage.watcher.file, &["c", "a"]);
    stage.watcher.look();
    assert!(stage.has("c") && !stage.has("b"));
    assert_eq!(requests(&stage.tokens.find("a").unwrap()), 3);
    // A secret that was changed: the same token, found by another text.
    stage
        .watcher
        .file
        .change(LONG, |tokens| {
            tokens[1].hash = token::hash("new");
            Ok::<_, Fault>(())
        })
        .unwrap();
    stage.watcher.look();
    assert!(stage.tokens.find("a").is_none());
    assert_eq!(requests(&stage.tokens.find("new").unwrap()), 3);
    assert!(stage.tokens.find(&"x".repeat(100_000)).is_none());
}

#[test]
fn a_damaged_file_keeps_what_was_good_and_is_told_once_a_change() {
    let mut stage = Stage::new(|_, file| list(file, &["a"]));
    let good = fs::read_to_string(stage.folder.file("tokens.json")).unwrap();
    let hash = good.split("sha256:").nth(1).unwrap()[..64].to_owned();
    let limitless = good.replace("\"scopes\"", "\"scope\"");
    for damaged in [&good[..good.len() / 2], "{}", "{}", "", &limitless] {
        stage.write(damaged);
        for _ in 0..3 {
            stage.watcher.look();
            assert!(stage.has("a") && stage.tokens.are_asked_for(), "{damaged}");
        }
        let told = stage.told();
        assert_eq!(told.len(), 1, "{damaged}: {told:?}");
        assert!(told[0].contains("tokens.json is damaged") && !told[0].contains(&hash), "{told:?}");
    }
    stage.write(&good);
    for _ in 0..3 {
        stage.watcher.look();
    }
    let told = stage.told();
    assert!(told.len() == 1 && told[0].contains("good again"), "{told:?}");
}

#[test]
fn a_file_that_never_was_good_lets_nobody_in() {
    let damaged = |folder: &Folder, _: &TokenFile| {
        fs::write(folder.file("tokens.json"), "{").unwrap();
    };
    let mut stage = Stage::new(damaged);
    assert!(stage.tokens.are_asked_for() && stage.tokens.find("a").is_none());
    assert!(stage.told()[0].contains("no token is good"));
    fs::remove_file(stage.folder.file("tokens.json")).unwrap();
    stage.watcher.look();
    assert!(stage.tokens.are_asked_for());
    // One that was empty, and is damaged by who writes the first token, asks from then on.
    let mut stage = Stage::new(|_, file| list(file, &[]));
    stage.write("{");
    stage.watcher.look();
    assert!(stage.tokens.are_asked_for());
    let folder_instead = |folder: &Folder, _: &TokenFile| {
        fs::create_dir(folder.file("tokens.json")).unwrap();
    };
    let mut stage = Stage::new(folder_instead);
    assert!(stage.tokens.are_asked_for());
    fs::remove_dir(stage.folder.file("tokens.json")).unwrap();
    list(&stage.watcher.file, &["a"]);
    stage.watcher.look();
    assert!(stage.has("a"));
}

#[test]
fn a_file_that_is_deleted_opens_no_door() {
    let mut stage = Stage::new(|_, file| list(file, &["a"]));
    fs::remove_file(stage.folder.file("tokens.json")).unwrap();
    for _ in 0..3 {
        stage.watcher.look();
        assert!(stage.has("a") && stage.tokens.are_asked_for());
    }
    let told = stage.told();
    assert!(told.len() == 1 && told[0].contains("is gone"), "{told:?}");
    list(&stage.watcher.file, &["b"]);
    stage.watcher.look();
    assert!(stage.has("b") && !stage.has("a"));
    assert!(stage.told()[0].contains("good again"));
}

#[test]
#[cfg(unix)]
fn a_file_that_the_system_refuses_is_tried_again() {
    use std::os::unix::fs::symlink;
    let mut stage = Stage::new(|_, file| list(file, &["a"]));
    let (path, away) = (stage.folder.file("tokens.json"), stage.folder.file("away"));
    fs::rename(&path, &away).unwrap();
    // A link to itself can be neither seen nor read.
    symlink("tokens.json", &path).unwrap();
    for _ in 0..3 {
        stage.watcher.look();
        assert!(stage.has("a") && stage.tokens.are_asked_for());
    }
    assert!(stage.watcher.refused);
    let told = stage.told();
    assert!(told.len() == 1 && told[0].contains("cannot be read"), "{told:?}");
    fs::rename(away, path).unwrap();
    stage.watcher.look();
    assert!(stage.has("a") && !stage.watcher.refused);
    assert!(stage.told()[0].contains("good again"));
}

#[test]
#[cfg(unix)]
fn a_file_that_is_open_to_others_is_told_once() {
    let mut stage = Stage::new(|_, file| list(file, &["a"]));
    chmod(&stage.folder.file("tokens.json"), 0o644);
    for _ in 0..3 {
        stage.watcher.look();
    }
    let told = stage.told();
    assert!(told.len() == 1 && told[0].contains("chmod 600"), "{told:?}");
    assert!(stage.has("a"));
}

#[test]
fn usage_is_written_survives_a_restart_and_is_shared() {
    let mut stage = Stage::new(|_, file| list(file, &["a", "b"]));
    count(&stage.tokens.find("a").unwrap(), 3);
    stage.watcher.write_usage();
    let other = Tokens::start(Some(stage.folder.file("tokens.json")), reporter().1).unwrap();
    assert_eq!(requests(&other.find("a").unwrap()), 3);
    count(&other.find("a").unwrap(), 4);
    count(&other.find("b").unwrap(), 1);
    other.close(LONG);
    // Told by a look, without having something to write.
    stage.watcher.look();
    assert_eq!(requests(&stage.tokens.find("a").unwrap()), 7);
    assert_eq!(requests(&stage.tokens.find("b").unwrap()), 1);
    count(&stage.tokens.find("b").unwrap(), 1);
    stage.watcher.write_usage();
    stage.watcher.look();
    assert_eq!(requests(&stage.tokens.find("b").unwrap()), 2);
    assert_eq!(stage.told(), Vec::<String>::new());
}

#[test]
fn usage_that_cannot_be_written_is_kept_and_told_once() {
    let mut stage = Stage::new(|_, file| list(file, &["a"]));
    let usage = stage.folder.file("tokens.usage.json");
    let holder = stage.tokens.find("a").unwrap();
    // A folder of this name can neither be read nor replaced.
    fs::create_dir(&usage).unwrap();
    for requests_now in 1..4 {
        count(&holder, 1);
        stage.watcher.write_usage();
        assert_eq!(requests(&holder), requests_now);
    }
    let told = stage.told();
    assert!(told.len() == 1 && told[0].contains("kept in memory"), "{told:?}");
    fs::remove_dir(&usage).unwrap();
    stage.watcher.write_usage();
    assert_eq!(stage.watcher.file.usage().unwrap().values().next().unwrap().requests, 3);
    assert_eq!(requests(&holder), 3);
    assert!(stage.told()[0].contains("written again"));

    fs::write(&usage, "{}").unwrap();
    for _ in 0..3 {
        count(&holder, 1);
        stage.watcher.look();
        stage.watcher.write_usage();
    }
    let told = stage.told();
    assert!(told.len() == 1 && told[0].contains("tokens.usage.json is damaged"), "{told:?}");
    assert_eq!(requests(&holder), 6);
    assert_eq!(fs::read_to_string(usage).unwrap(), "{}");
}

#[test]
fn the_thread_sees_changes_and_writes_at_the_end() {
    let folder = Folder::new();
    let file = TokenFile::new(folder.file("tokens.json"));
    let tokens = Tokens::start(Some(folder.file("tokens.json")), reporter().1).unwrap();
    assert!(!tokens.are_asked_for());
    list(&file, &["a"]);
    let deadline = Instant::now() + LONG;
    while tokens.find("a").is_none() {
        assert!(Instant::now() < deadline, "the change is not seen");
        thread::yield_now();
    }
    count(&tokens.find("a").unwrap(), 5);
    tokens.close(LONG);
    assert_eq!(file.usage().unwrap().values().next().unwrap().requests, 5);
    tokens.close(LONG);
}

/// Prints what a lookup costs: `cargo test --release --lib lookup -- --ignored --nocapture`.
#[test]
#[ignore = "measures, and holds nothing"]
fn a_lookup_among_a_thousand_is_measured() {
    let names: Vec<String> =
        (0..1000).map(|_| token::Secret::new().unwrap().text().into()).collect();
    let stage = Stage::new(|_, file| {
        // Their texts are no names, so they are told by their hashes alone.
        let made = names.iter().enumerate().map(|(at, text)| Token {
            hash: token::hash(text),
            ..plain(&format!("{at:08x}"), &format!("n{at}"))
        });
        let change = |listed: &mut Vec<Token>| {
            *listed = made.collect();
            Ok::<_, Fault>(())
        };
        file.change(LONG, change).unwrap();
    });
    for (what, suffix) in [("known", ""), ("unknown", "x")] {
        let texts: Vec<String> = names.iter().map(|name| format!("{name}{suffix}")).collect();
        let began = Instant::now();
        let rounds = 100;
        let found = (0..rounds)
            .flat_map(|_| &texts)
            .filter(|text| stage.tokens.find(text).is_some())
            .count();
        let each = began.elapsed() / (rounds * 1000);
        println!("{what}: {each:?} each, {found} found");
    }
}
