//! `modeltap audit verify|show|stats` on files with records that tests wrote and spoilt.

mod common;

use common::audit::{Book, Directory, answered, asked, told};
use modeltap::record::audit::read::{Lines, Source};
use modeltap::record::audit::verify::{Damage, Fault, verify};
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A whole run with so many requests, line by line.
fn run(chats: usize) -> Vec<String> {
    let mut book = Book::new();
    book.chats(chats);
    book.mark("end");
    book.take()
}

/// What is wrong with these files, the oldest first.
fn fault(files: &[Vec<String>]) -> Option<Fault> {
    let source = |(number, lines): (usize, &Vec<String>)| {
        let text = lines.concat().into_bytes();
        let bytes = text.len() as u64;
        let input = Box::new(std::io::Cursor::new(text)) as Box<dyn Read>;
        Source { name: format!("file{number}"), input, bytes }
    };
    let mut lines = Lines::new(files.iter().enumerate().map(source).collect());
    verify(&mut lines, || false, None, |_, _| {}).unwrap().fault
}

fn damage(files: &[Vec<String>]) -> Option<(Damage, String, Option<u64>)> {
    fault(files).map(|fault| (fault.damage, fault.at, fault.seq))
}

#[test]
fn a_byte_that_was_changed_is_found_wherever_it_is() {
    let lines = run(2);
    assert_eq!(fault(std::slice::from_ref(&lines)), None);
    for (number, line) in lines.iter().enumerate() {
        for at in 0..line.len() {
            let mut bytes = line.clone().into_bytes();
            // Also what remains text, and also a line end.
            bytes[at] ^= 1;
            let mut spoilt = lines.clone();
            spoilt[number] = String::from_utf8(bytes).unwrap();
            let found = fault(&[spoilt]).unwrap_or_else(|| panic!("{line} at {at}"));
            assert_eq!(found.at, format!("file0 line {}", number + 1), "{found} {line} at {at}");
            let is_last_end = number + 1 == lines.len() && at + 1 == line.len();
            let wanted = if is_last_end { Damage::Cut } else { Damage::Changed };
            assert_eq!(found.damage, wanted, "{found} {line} at {at}");
        }
    }
}

#[test]
fn each_member_that_was_changed_is_found_and_so_is_a_hash_made_anew() {
    let lines = run(2);
    for (from, to) in [
        ("\"token\":\"alice\"", "\"token\":\"bob\""),
        ("\"status\":200", "\"status\":500"),
        ("\"ms\":12", "\"ms\":1"),
        ("\"model\":\"m\"", "\"model\":\"x\""),
        ("answer 1", "answer 2"),
        ("\"prompt_tokens\":3,", ""),
    ] {
        let mut spoilt = lines.clone();
        spoilt[4] = lines[4].replace(from, to);
        assert_ne!(spoilt, lines, "{from}");
        assert_eq!(damage(&[spoilt]), Some((Damage::Changed, "file0 line 5".into(), Some(5))));
    }
    // A forger who makes the hash of the record anew breaks the link to the next one.
    let mut book = Book::new();
    book.chats(1);
    let mut forged = book.take();
    book.chain = modeltap::record::audit::chain::Chain {
        seq: 4,
        prev: modeltap::record::audit::chain::Line::read(lines[2].trim_end().as_bytes())
            .unwrap()
            .hash,
    };
    book.tx(&answered(asked("bob", "m"), 200, "forged"));
    forged.splice(.., lines[..3].to_vec());
    forged.extend(book.take());
    forged.extend(lines[4..].to_vec());
    let found = fault(&[forged]).unwrap();
    assert_eq!((found.damage, found.seq), (Damage::Changed, Some(5)));
    assert!(found.why.contains("file0 line 4") && found.why.contains("made anew"), "{found}");
}

#[test]
fn records_that_were_cut_inserted_or_moved_are_named() {
    let lines = run(3);
    let other = {
        let mut book = Book::new();
        book.rx(asked("eve", "m"), "of another chain");
        book.take()
    };
    let with = |spoil: &dyn Fn(&mut Vec<String>)| {
        let mut spoilt = lines.clone();
        spoil(&mut spoilt);
        damage(&[spoilt]).unwrap()
    };
    let at = |line: u64| format!("file0 line {line}");
    assert_eq!(with(&|l| drop(l.remove(0))), (Damage::Cut, at(1), Some(2)));
    assert_eq!(with(&|l| drop(l.drain(..3))), (Damage::Cut, at(1), Some(4)));
    assert_eq!(with(&|l| drop(l.remove(3))), (Damage::Cut, at(4), Some(5)));
    assert_eq!(with(&|l| drop(l.drain(3..5))), (Damage::Cut, at(4), Some(6)));
    assert_eq!(with(&|l| drop(l.pop())), (Damage::Cut, at(7), Some(7)));
    assert_eq!(with(&|l| l.truncate(4)), (Damage::Cut, at(4), Some(4)));
    assert_eq!(with(&|l| l[7].truncate(30)), (Damage::Cut, at(8), None));
    assert_eq!(with(&|l| l.insert(4, lines[3].clone())), (Damage::Inserted, at(5), Some(4)));
    assert_eq!(with(&|l| l.insert(4, lines[1].clone())), (Damage::Inserted, at(5), Some(2)));
    assert_eq!(with(&|l| l.insert(4, other[1].clone())), (Damage::Inserted, at(5), Some(2)));
    assert_eq!(with(&|l| l.insert(4, "\n".into())), (Damage::Inserted, at(5), None));
    assert_eq!(with(&|l| l.insert(4, "x\n".into())), (Damage::Inserted, at(5), None));
    assert_eq!(with(&|l| l.insert(0, other[1].clone())), (Damage::Inserted, at(1), Some(2)));
    assert_eq!(with(&|l| l.push(lines[3].clone())), (Damage::Inserted, at(9), Some(4)));
    assert_eq!(with(&|l| l.swap(3, 4)), (Damage::Inserted, at(4), Some(5)));
    assert_eq!(with(&|l| l.swap(1, 6)), (Damage::Inserted, at(2), Some(7)));
}

#[test]
fn the_chain_holds_across_rotated_files() {
    let mut book = Book::new();
    book.chats(2);
    let first = book.take();
    book.mark("rotate");
    book.chats(2);
    let second = book.take();
    book.mark("rotate");
    book.mark("end");
    let files = [first, second, book.take()];
    assert_eq!(fault(&files), None);
    // Retention takes the oldest.
    assert_eq!(fault(&files[1..]), None);
    let with = |spoil: &dyn Fn(&mut [Vec<String>; 3])| {
        let mut spoilt = files.clone();
        spoil(&mut spoilt);
        damage(&spoilt).unwrap()
    };
    assert_eq!(with(&|f| drop(f[0].pop())), (Damage::Cut, "file1 line 1".into(), Some(6)));
    assert_eq!(with(&|f| drop(f[1].remove(0))), (Damage::Cut, "file1 line 1".into(), Some(7)));
    assert_eq!(with(&|f| f[1].clear()), (Damage::Cut, "file2 line 1".into(), Some(11)));
    assert_eq!(with(&|f| f.swap(0, 1)), (Damage::Inserted, "file1 line 1".into(), Some(1)));
}

#[test]
fn verify_tells_what_to_keep_and_proves_it_later() {
    let directory = Directory::new();
    let path = directory.file();
    let name = path.to_str().unwrap();
    let lines = run(3);
    fs::write(&path, lines.concat()).unwrap();
    let (code, out, err) = told(&["verify", name]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("8 records in one file"), "{out}");
    assert!(out.contains("first: 2027-01-15T08:00:00.000000Z, seq 1"), "{out}");
    let kept = out.lines().last().unwrap();
    assert_eq!(told(&["verify", "--expect", kept, name]).0, Some(0));
    assert_eq!(told(&["verify", "--audit", name]).0, Some(0));
    // The whole made anew from another request on: in itself without fault.
    let mut book = Book::new();
    book.chats(3);
    book.mark("end");
    fs::write(&path, book.take().concat()).unwrap();
    assert_eq!(told(&["verify", name]).0, Some(0));
    let (code, _, err) = told(&["verify", "--expect", kept, name]);
    assert_eq!(code, Some(1));
    assert!(err.contains("changed: ") && err.contains("made anew"), "{err}");
    // And one that ends before it.
    let mut book = Book::new();
    book.mark("end");
    fs::write(&path, book.take().concat()).unwrap();
    let (code, _, err) = told(&["verify", name, "--expect", kept]);
    assert_eq!(code, Some(1));
    assert!(err.contains("up to the expected 8"), "{err}");
}

#[test]
fn verify_names_file_line_and_number() {
    let directory = Directory::new();
    let path = directory.file();
    let name = path.to_str().unwrap();
    let lines = run(3);
    fs::write(&path, [lines[..3].concat(), lines[4..].concat()].concat()).unwrap();
    let (code, out, err) = told(&["verify", name]);
    assert_eq!(code, Some(1));
    assert!(out.starts_with("3 records"), "{out}");
    assert!(err.contains(&format!("cut: {name} line 4 (seq 5): record")), "{err}");
    fs::write(&path, lines[..7].concat()).unwrap();
    let (code, _, err) = told(&["verify", name]);
    assert_eq!(code, Some(1));
    assert!(err.contains("the end is missing") && err.contains("after 7 were cut"), "{err}");
    fs::remove_file(&path).unwrap();
    let (code, _, err) = told(&["verify", name]);
    assert_eq!((code, err), (Some(1), format!("modeltap: there is no {name}\n")));
    fs::write(&path, "").unwrap();
    assert_eq!(told(&["verify", name]).0, Some(1));
}

#[test]
fn show_finds_records_by_all_conditions_at_once() {
    let directory = Directory::new();
    let path = directory.file();
    let name = path.to_str().unwrap();
    let mut book = Book::new();
    let (alice, bob) = (asked("alice", "m"), asked("bob", "m"));
    book.rx(alice, "first question");
    book.tx(&answered(alice, 200, "first answer\nin two lines"));
    book.time += Duration::from_secs(3600);
    book.rx(bob, "second question");
    book.tx(&answered(bob, 503, "no model"));
    book.rx(alice, "third question");
    fs::write(&path, book.take().concat()).unwrap();
    let shown = |args: &[&str]| {
        let (code, out, err) = told(&[&["show", name], args].concat());
        assert_eq!(code, Some(0), "{err}");
        out
    };
    let kinds = |args: &[&str]| {
        let out = shown(&[args, &["--json"]].concat());
        let kind = |line: &str| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            record["kind"].as_str().unwrap().to_owned()
        };
        out.lines().map(kind).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kinds(&[]), "begin rx tx rx tx rx");
    assert_eq!(kinds(&["--request", &bob.id.to_string()]), "rx tx");
    assert_eq!(kinds(&["--request", &bob.id.to_string().to_uppercase()]), "rx tx");
    assert_eq!(kinds(&["--token", "alice"]), "rx tx rx");
    assert_eq!(kinds(&["--errors"]), "tx");
    assert_eq!(kinds(&["--errors", "--token", "alice"]), "");
    assert_eq!(kinds(&["--since", "2027-01-15T08:30:00Z"]), "rx tx rx");
    assert_eq!(kinds(&["--since", "2027-01-15T08:30:00Z", "--token", "alice"]), "rx");
    assert_eq!(kinds(&["--since", "2027-01-16"]), "");
    let out = shown(&["--token", "alice"]);
    assert!(out.contains(" \"tester/1\" POST /v1/chat/completions model=m token=alice"), "{out}");
    assert!(out.contains("\n    first question\n"), "{out}");
    assert!(out.contains(" 200 12ms ") && out.contains("tokens=3+2 (estimated)"), "{out}");
    assert!(out.contains("\n    first answer\n    in two lines\n"), "{out}");
    assert!(told(&["show", name, "--errors", "--token", "eve"]).2.contains("no record fits"));
}

#[test]
fn stats_count_by_token_and_model_and_leave_out_what_is_damaged() {
    let directory = Directory::new();
    let path = directory.file();
    let name = path.to_str().unwrap();
    let mut book = Book::new();
    book.chats(3);
    let mut first = book.take();
    first[4] = "{\"seq\":5, damaged\n".into();
    fs::write(format!("{name}.1"), first.concat()).unwrap();
    book.mark("rotate");
    book.time += Duration::from_secs(3600);
    let asked = asked("=cmd", "a,b");
    book.tx(&answered(asked, 200, "x"));
    book.tx(&answered(asked, 404, "x"));
    fs::write(&path, book.take().concat()).unwrap();
    let (code, out, err) = told(&["stats", name]);
    assert_eq!(code, Some(0));
    assert_eq!(
        out,
        "\
token  model  requests  errors  prompt_tokens  completion_tokens  p50_ms  p95_ms
=cmd   a,b           2       1              6                  4      12      12
alice  m             2       0              6                  4      12      12
total  -             4       1             12                  8      12      12
"
    );
    assert!(err.contains("1 lines are no records"), "{err}");
    let (_, out, _) = told(&["stats", name, "--csv", "--since", "2027-01-15T08:30:00Z"]);
    assert_eq!(
        out,
        "token,model,requests,errors,prompt_tokens,completion_tokens,p50_ms,p95_ms\r\n\
         \"'=cmd\",\"a,b\",2,1,6,4,12,12\r\n"
    );
}

#[test]
fn a_reader_that_wants_no_more_is_no_fault() {
    let directory = Directory::new();
    let path = directory.file();
    fs::write(&path, run(2000).concat()).unwrap();
    for args in [&["show"][..], &["show", "--json"]] {
        let mut command: Command = common::command();
        command.arg("audit").args(args).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut some = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut some).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
    }
}

#[test]
fn what_cannot_be_understood_is_told_in_one_line() {
    for (args, said) in [
        (&[][..], "verify, show or stats"),
        (&["dance"], "dance"),
        (&["verify", "--errors"], "modeltap audit show"),
        (&["--csv"], "verify, show or stats"),
        (&["show", "--since", "yesterday"], "24h"),
        (&["verify", "--expect", "5"], "SEQ:HASH"),
        (&["stats", "a", "b"], "\"b\""),
        (&["show", "--token"], "--token"),
    ] {
        let (code, out, err) = told(args);
        assert_eq!((code, err.lines().count()), (Some(2), 1), "{args:?} {err}");
        assert!(out.is_empty() && err.contains(said), "{args:?} {err}");
    }
    let (code, _, err) = told(&["stats"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("MODELTAP_AUDIT"), "{err}");
    let (code, out, _) = told(&["--help"]);
    assert!(code == Some(0) && out.contains("--expect"));
}
