use super::*;
use std::time::Instant;

/// A place for the file, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        Place(std::env::temp_dir().join(format!("modeltap-host-{}", uuid::Uuid::new_v4())))
    }

    fn file(&self) -> PathBuf {
        self.0.join("last-host.json")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn silent() -> Report {
    Arc::new(|said: &str| panic!("{said}"))
}

fn client(name: &str) -> Client {
    Client { name: name.into(), protocol: "2025-11-25", ready: true, ..Client::default() }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn what_is_learnt_is_written_and_belongs_to_its_session() {
    let place = Place::new();
    let host = LastHost::start(Some(place.file()), Facts::default(), silent()).unwrap();
    host.met(&client("first"), true);
    host.refused(-1, "no\n\x1bway", true);
    host.channel_unanswered();
    let deadline = Instant::now() + LONG;
    let facts = loop {
        match read(place.file()).unwrap() {
            Some(facts) if facts.channel.unanswered == 1 => break facts,
            _ => assert!(Instant::now() < deadline),
        }
        thread::yield_now();
    };
    assert_eq!((facts.name.as_str(), facts.pid), ("first", std::process::id()));
    assert_eq!(facts.consent, Consent::Denied);
    assert_eq!(facts.refusal.unwrap().message, "no  way");
    // A good answer after all, and then somebody else.
    host.granted();
    host.met(&client("second"), false);
    host.goes(Ok("sampling"), None);
    assert!(host.knows_way("sampling") && !host.knows_way("pull"));
    host.close(LONG);
    let facts = read(place.file()).unwrap().unwrap();
    assert_eq!((facts.name.as_str(), facts.consent), ("second", Consent::Unknown));
    assert!(
        facts.refusal.is_none() && facts.ended.is_some() && facts.channel == Channel::default()
    );
    assert_eq!(facts.way.as_deref(), Some("sampling"));
}

#[test]
fn without_a_host_or_a_path_nothing_is_written() {
    let place = Place::new();
    let host = LastHost::start(Some(place.file()), Facts::default(), silent()).unwrap();
    host.goes(Err("nobody".into()), None);
    host.close(LONG);
    assert!(read(place.file()).unwrap().is_none());
    let host = LastHost::default();
    host.met(&client("any"), true);
    host.close(LONG);
}

#[test]
fn what_cannot_be_written_is_told_once_and_nobody_waits_for_it() {
    let place = Place::new();
    std::fs::write(&place.0, "no folder").unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let report: Report = Arc::new(move |said: &str| lock(&heard).push(said.to_owned()));
    let host = LastHost::start(Some(place.file()), Facts::default(), report).unwrap();
    host.met(&client("first"), false);
    host.met(&client("second"), false);
    host.close(LONG);
    let told = lock(&told).clone();
    assert!(told.len() == 1 && told[0].contains("MODELTAP_STATE"), "{told:?}");
    let _ = std::fs::remove_file(&place.0);
}

#[test]
#[cfg(not(windows))]
fn the_usual_place_follows_the_environment() {
    for (xdg, home, path) in [
        (Some("/x"), Some("/h"), Some("/x/modeltap/last-host.json")),
        (None, Some("/h"), Some("/h/.local/state/modeltap/last-host.json")),
        (Some("relative"), Some("/h"), Some("/h/.local/state/modeltap/last-host.json")),
        (Some(""), None, None),
    ] {
        let env = |name: &str| match name {
            "XDG_STATE_HOME" => xdg.map(str::to_owned),
            "HOME" => home.map(str::to_owned),
            _ => None,
        };
        assert_eq!(usual_path(env), path.map(PathBuf::from));
    }
}

#[test]
fn a_file_of_another_form_is_damaged() {
    let place = Place::new();
    std::fs::create_dir(&place.0).unwrap();
    for text in ["{", "{\"version\": 2}", "[]"] {
        std::fs::write(place.file(), text).unwrap();
        assert!(matches!(read(place.file()), Err(Fault::Damaged { .. })), "{text}");
    }
}
