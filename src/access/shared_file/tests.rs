use super::*;

/// A folder of its own for a test, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("modeltap-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn put(file: &SharedFile, text: &str) -> Result<(), Fault> {
    file.change(Duration::from_secs(30), |_| Ok((Some(text.to_owned()), ())))
}

fn text(file: &SharedFile) -> String {
    file.read().unwrap().unwrap().text
}

#[test]
fn a_change_replaces_the_file_and_makes_its_folder() {
    let folder = Folder::new();
    let file = SharedFile::new(folder.file("a/b/c.json"));
    assert!(file.read().unwrap().is_none());
    assert_eq!(file.stamp(), Err(io::ErrorKind::NotFound));
    put(&file, "one").unwrap();
    let before = file.read().unwrap().unwrap();
    assert_eq!(Ok(before.stamp), file.stamp());
    put(&file, "two").unwrap();
    assert_ne!(Ok(before.stamp), file.stamp());
    assert_eq!((text(&file).as_str(), before.open_to_others), ("two", false));
    let refused: Result<(), Fault> = file.change(Duration::ZERO, |content| {
        assert_eq!(content.unwrap().text, "two");
        Err(Fault::Damaged { path: PathBuf::new(), why: String::new() })
    });
    assert!(refused.is_err() && text(&file) == "two");
    file.change(Duration::ZERO, |_| Ok::<_, Fault>((None, ()))).unwrap();
    assert_eq!(text(&file), "two");
}

#[test]
#[cfg(unix)]
fn it_is_the_owners_alone_and_links_are_followed() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = Folder::new();
    fs::create_dir(folder.file("real")).unwrap();
    let (real, link) = (folder.file("real/t.json"), folder.file("t.json"));
    symlink("other.json", &link).unwrap();
    symlink("real/t.json", folder.file("other.json")).unwrap();
    let file = SharedFile::new(link.clone());
    for text in ["made", "changed"] {
        put(&file, text).unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), text);
        assert_eq!(mode(&real), 0o600);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(file.read().unwrap().unwrap().open_to_others);
    }
    put(&SharedFile::new(folder.file("new/t.json")), "").unwrap();
    assert_eq!(mode(&folder.file("new")), 0o700);
    // A lock that leads to somebody's file spoils it not.
    fs::write(folder.file("precious"), "more than a number").unwrap();
    symlink("precious", folder.file("trap.lock")).unwrap();
    put(&SharedFile::new(folder.file("trap")), "").unwrap();
    assert_eq!(fs::read_to_string(folder.file("precious")).unwrap(), "more than a number");
    symlink("loop", folder.file("loop")).unwrap();
    assert!(SharedFile::new(folder.file("loop")).read().is_err());
}

#[test]
fn a_lock_that_is_held_is_told_with_its_holder() {
    let folder = Folder::new();
    let file = SharedFile::new(folder.file("t.json"));
    let held = lock(&file.path(), Duration::ZERO).unwrap();
    let Err(fault) =
        file.change(Duration::from_millis(20), |_| Ok::<_, Fault>((Some(String::new()), ())))
    else {
        panic!("changed under the lock of another")
    };
    assert!(matches!(fault, Fault::Locked { .. }), "{fault}");
    #[cfg(unix)]
    assert!(fault.to_string().contains(&std::process::id().to_string()), "{fault}");
    drop(held);
    // What a killed process leaves beside the file does no harm.
    fs::write(folder.file("t.json.tmp"), "half").unwrap();
    put(&file, "whole").unwrap();
    assert_eq!(text(&file), "whole");
    assert!(!folder.file("t.json.tmp").exists());
}

#[test]
fn changes_at_once_all_count() {
    let folder = Folder::new();
    let file = SharedFile::new(folder.file("t"));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let more = |content: Option<Content>| {
                        let text = content.map(|content| content.text).unwrap_or_default();
                        Ok::<_, Fault>((Some(text + "x"), ()))
                    };
                    file.change(Duration::from_secs(60), more).unwrap();
                }
            });
        }
    });
    assert_eq!(text(&file), "x".repeat(40));
}

#[test]
fn what_is_no_text_is_damaged_and_what_is_no_file_refused() {
    let folder = Folder::new();
    fs::write(folder.file("t"), b"\xff\xfe").unwrap();
    let read = |name: &str| SharedFile::new(folder.file(name)).read();
    assert!(matches!(read("t"), Err(Fault::Damaged { .. })));
    assert!(matches!(SharedFile::new(folder.0.clone()).read(), Err(Fault::System { .. })));
    #[cfg(unix)]
    assert!(matches!(SharedFile::new("/dev/null".into()).read(), Err(Fault::System { .. })));
}
