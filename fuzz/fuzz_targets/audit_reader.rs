//! Any bytes as an audit file; and a good one to which any damage was done, which must be found. The
//! first byte chooses which; of a good one each line of the input is a record, and the next three bytes
//! say what is done to it and where.
#![no_main]

use modeltap::record::audit::chain::{Chain, Hex, Line};
use modeltap::record::audit::read::{Lines, Source};
use modeltap::record::audit::show::{Filter, show};
use modeltap::record::audit::stats::Stats;
use modeltap::record::audit::verify::{Found, verify};
use std::io::Cursor;

/// The files, which end where these lines end.
fn lines(files: &[&[u8]]) -> Lines {
    let source = |(at, bytes): (usize, &&[u8])| Source {
        name: format!("file {at}"),
        input: Box::new(Cursor::new(bytes.to_vec())),
        bytes: bytes.len() as u64,
    };
    Lines::new(files.iter().enumerate().map(source).collect())
}

fn verified(files: &[&[u8]], in_use: bool, expect: Option<(u64, Hex)>) -> Found {
    let all: usize = files.iter().map(|file| file.len()).sum();
    let mut seen = 0;
    let progress = |read, bytes| {
        assert!(read >= seen && read <= bytes && bytes == all as u64, "progress");
        seen = read;
    };
    verify(&mut lines(files), || in_use, expect, progress).expect("memory can be read")
}

/// What must hold of whatever is read.
fn read_all(file: &[u8]) {
    let count = file.iter().filter(|b| **b == b'\n').count() as u64;
    for (filter, as_json) in [
        (Filter::default(), false),
        (Filter::default(), true),
        (Filter { errors: true, ..Filter::default() }, false),
        (Filter { since: Some("2026".into()), ..Filter::default() }, true),
    ] {
        let mut out = Vec::new();
        let shown = show(&mut lines(&[file]), &filter, as_json, &mut out).expect("memory is read");
        assert!(shown.records + shown.damaged <= count, "more than there is");
        if as_json {
            let ends = out.iter().filter(|b| **b == b'\n').count() as u64;
            assert_eq!(ends, shown.records);
        } else {
            // What a terminal would obey must not come through.
            let text = String::from_utf8(out).expect("what is shown is text");
            let strange = text.chars().find(|c| c.is_control() && !"\n\t".contains(*c));
            assert_eq!(strange, None, "in {text:?}");
        }
    }
    let stats = Stats::read(&mut lines(&[file]), None).expect("memory is read");
    assert!(stats.damaged <= count);
    let strange = |c: char| c.is_control() && !"\n\t".contains(c);
    assert!(!stats.table().contains(strange), "{:?}", stats.table());
    stats.csv();
    let found = verified(&[file], false, None);
    assert!(found.count <= count);
    if let Some(fault) = &found.fault {
        assert!(!fault.to_string().contains('\n'));
    }
    let good = file
        .split(|b| *b == b'\n')
        .take_while(|line| Line::read(line).is_some_and(|record| record.is_true()));
    assert!(found.count <= good.count() as u64, "more is good than is true");
}

/// A chain whose records hold the lines of `input`.
fn chain(input: &[u8]) -> (Vec<u8>, (u64, Hex)) {
    let (mut chain, mut file) = (Chain::default(), Vec::new());
    let texts: Vec<_> =
        input.split(|b| *b == b'\n').take(20).map(String::from_utf8_lossy).collect();
    let last = texts.len() - 1;
    for (at, text) in texts.iter().enumerate() {
        let kind = match at {
            _ if at == last => "end",
            0 => "begin",
            _ if at % 2 == 0 => "tx",
            _ => "rx",
        };
        let text = serde_json::to_string(text).unwrap();
        let fields = format!(
            r#""kind":"{kind}","time":"2026-11-21T10:00:00.000000Z","token":{text},"status":{},"body":{text}"#,
            200 + at % 300
        );
        chain.append(&mut file, |out| out.extend_from_slice(fields.as_bytes()));
    }
    (file, (chain.seq - 1, chain.prev))
}

/// Does one thing to a file.
fn damage(file: &[u8], [what, place, size]: [u8; 3], with: &[u8]) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> =
        file.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    let (line, other) = (usize::from(place) % lines.len(), usize::from(size) % lines.len());
    let at = (usize::from(place) << 8 | usize::from(size)) % file.len();
    let mut bytes = file.to_vec();
    match what % 8 {
        0 => bytes[at] ^= 1 << (what >> 3 & 7),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at..(at + 1 + usize::from(what >> 3)).min(file.len()))),
        3 => drop(bytes.splice(at..at, with.iter().copied())),
        4 => {
            lines.remove(line);
            bytes = lines.concat();
        }
        5 => {
            lines.swap(line, other);
            bytes = lines.concat();
        }
        6 => {
            lines.insert(other, lines[line].clone());
            bytes = lines.concat();
        }
        // A record that is true, but of another chain.
        _ => {
            let mut forged = Chain { seq: line as u64 + 1, prev: [b'0'; 64] };
            if let Some(before) =
                lines[..line].last().and_then(|line| Line::read(line.trim_ascii_end()))
            {
                forged = Chain::after(before.seq, before.hash);
            }
            let mut record = Vec::new();
            forged.append(&mut record, |out| {
                out.extend_from_slice(b"\"kind\":\"end\",\"time\":\"\"")
            });
            lines[line] = record;
            bytes = lines.concat();
        }
    }
    bytes
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&[choice, what, place, size], rest)) = input.split_first_chunk::<4>() else { return };
    if choice & 1 == 0 {
        read_all(rest);
        verified(&[rest], true, None);
        return;
    }
    let (file, last) = chain(rest);
    read_all(&file);
    // Whole, and cut into files at any line, it is good.
    let cut = file.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    let cut = cut.cycle().nth(usize::from(choice >> 1)).unwrap_or(0);
    let (one, two) = file.split_at(cut);
    for files in [&[file.as_slice()][..], &[one, two]] {
        let found = verified(files, false, Some(last));
        assert_eq!(found.fault, None, "a good chain");
        assert_eq!(found.last.map(|(seq, _, hash)| (seq, hash)), Some(last));
    }
    let bad = damage(&file, [what, place, size], &rest[..rest.len().min(100)]);
    let found = verified(&[&bad], false, Some(last));
    assert_eq!(found.fault.is_some(), bad != file, "damage of kind {}", what % 8);
    read_all(&bad);
});
