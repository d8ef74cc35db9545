//! Any bytes as an audit file, as a body to be redacted, and as damage to a good file.
#![no_main]

use modeltap::record::audit::chain::Chain;
use modeltap::record::audit::entry::Fields;
use modeltap::record::audit::read::{Lines, Source};
use modeltap::record::audit::redact::redact;
use modeltap::record::audit::show::{Filter, show};
use modeltap::record::audit::stats::Stats;
use modeltap::record::audit::verify::{Found, verify};
use std::io::Cursor;
use std::time::SystemTime;

fn lines(text: &[u8]) -> Lines {
    let input = Box::new(Cursor::new(text.to_vec()));
    Lines::new(vec![Source { name: "file".into(), input, bytes: text.len() as u64 }])
}

fn verified(text: &[u8]) -> Found {
    verify(&mut lines(text), || false, None, |_, _| {}).expect("memory can be read")
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // As a file.
    verified(data);
    let stats = Stats::read(&mut lines(data), None).unwrap();
    assert!(stats.csv().ends_with("\r\n") && stats.table().ends_with('\n'));
    let mut out = Vec::new();
    for as_json in [false, true] {
        show(&mut lines(data), &Filter::default(), as_json, &mut out).unwrap();
    }
    // As a body: what is taken out stays out.
    let text = String::from_utf8_lossy(data);
    let redacted = redact(&text, &[]);
    // As a file with this body, which is good, and then as damage to it.
    let (mut chain, mut good) = (Chain::default(), Vec::new());
    for kind in ["begin", "rx", "tx", "end"] {
        chain.append(&mut good, |out| {
            Fields::new(out, kind, SystemTime::UNIX_EPOCH).text("body", &redacted);
        });
    }
    assert_eq!(verified(&good).fault, None);
    let [at, low, with, ..] = *data else { return };
    let at = usize::from(u16::from_be_bytes([at, low])) % good.len();
    let mut bad = good.clone();
    match with % 3 {
        0 => bad[at] ^= with | 1,
        1 => drop(bad.remove(at)),
        _ => bad.insert(at, with),
    }
    assert!(bad == good || verified(&bad).fault.is_some(), "byte {at}");
    let rows: Vec<&[u8]> = good.split_inclusive(|b| *b == b'\n').collect();
    let (row, other) = (at % rows.len(), usize::from(with) % rows.len());
    let mut swapped = rows.clone();
    swapped.swap(row, other);
    assert!(row == other || verified(&swapped.concat()).fault.is_some(), "{row} and {other}");
    let mut cut = rows.clone();
    cut.remove(row);
    assert!(verified(&cut.concat()).fault.is_some(), "without {row}");
    let mut more = rows.clone();
    more.insert(row, rows[other]);
    assert!(verified(&more.concat()).fault.is_some(), "{other} again before {row}");
});
