//! The names of full files: `FILE.1` is the newest of them, `FILE.2` the one before, and so on.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that was full `number` files ago.
pub fn rotated(path: &Path, number: u64) -> PathBuf {
    with_end(path, &format!(".{number}"))
}

/// The file whose lock says that a bridge writes to `path`. It stays when the bridge has gone.
pub fn lock_file(path: &Path) -> PathBuf {
    with_end(path, ".lock")
}

/// A name beside it that nobody else takes, to see whether a file can be made there.
pub fn probe_file(path: &Path) -> PathBuf {
    with_end(path, &format!(".probe-{}", std::process::id()))
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// The numbers of the full files that are there, in order, the newest first.
///
/// # Errors
/// The directory cannot be read.
pub fn numbers(path: &Path) -> io::Result<Vec<u64>> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name().map(|name| name.as_encoded_bytes().to_vec()) else {
        return Ok(Vec::new());
    };
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let found = entry?.file_name();
        let end = found.as_encoded_bytes().strip_prefix(&name[..]);
        let digits = end.and_then(|end| str::from_utf8(end.strip_prefix(b".")?).ok());
        let number = digits.and_then(|digits| digits.parse::<u64>().ok());
        // Only as it is written here: not `.01`, not `.+1`.
        numbers.extend(number.filter(|n| *n > 0 && digits == Some(&n.to_string())));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Makes room for a new file: each full one is one older, those beyond `keep` go (none where that
/// is 0), and the file itself becomes the newest of them. Interrupted at any point nothing is lost,
/// and what is there stands in its order.
///
/// # Errors
/// A file cannot be renamed or removed.
pub fn rotate(path: &Path, keep: usize) -> io::Result<()> {
    // A number that is free ends what must be moved.
    let mut last = 1;
    for number in numbers(path)? {
        match keep > 0 && number >= keep as u64 {
            true => fs::remove_file(rotated(path, number))?,
            false if number == last => last += 1,
            false => {}
        }
    }
    for number in (1..last).rev() {
        fs::rename(rotated(path, number), rotated(path, number + 1))?;
    }
    fs::rename(path, rotated(path, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_grow_older_by_one_and_the_oldest_go() {
        let directory =
            std::env::temp_dir().join(format!("modeltap-rotate-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("a.log");
        let put = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
        put("a.log.old", "stays");
        put("a.log.01", "stays");
        for (keep, file, wanted) in [
            (3, "1", &["1"][..]),
            (3, "2", &["2", "1"]),
            (3, "3", &["3", "2", "1"]),
            (3, "4", &["4", "3", "2"]),
            (0, "5", &["5", "4", "3", "2"]),
            (1, "6", &["6"]),
        ] {
            put("a.log", file);
            rotate(&path, keep).unwrap();
            let there = numbers(&path).unwrap();
            let texts: Vec<String> =
                there.iter().map(|n| fs::read_to_string(rotated(&path, *n)).unwrap()).collect();
            assert_eq!(texts, wanted);
            assert!(there.iter().copied().eq(1..=wanted.len() as u64));
        }
        // A number that is missing is filled.
        put("a.log", "7");
        put("a.log.3", "5");
        rotate(&path, 0).unwrap();
        assert_eq!(numbers(&path).unwrap(), [1, 2, 3]);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 5);
        fs::remove_dir_all(directory).unwrap();
    }
}
