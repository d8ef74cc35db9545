//! Whether a chain is whole: names the first record that was changed, cut out or put in.

use super::chain::{Chain, Hex, Line, text};
use super::read::{Lines, Members, Place, Row, kind_of, members, time_text};
use std::fmt;

/// How many lines behind a broken link are looked at for the record that belongs there.
const LOOK: usize = 1000;
/// How many notes are kept; the rest is counted.
const NOTES: usize = 20;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Records that are as they were written.
    pub count: u64,
    /// How many files these are in.
    pub files: usize,
    /// Number and time of the first.
    pub first: Option<(u64, String)>,
    /// Number, time and hash of the last.
    pub last: Option<(u64, String, Hex)>,
    /// What is no fault, and yet to be known.
    pub notes: Vec<String>,
    /// How many notes there were beyond these.
    pub more_notes: usize,
    /// The first thing that is wrong; nothing behind it was looked at.
    pub fault: Option<Fault>,
}

/// What was done to a record, as far as it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Their names say it.
pub enum Damage {
    Changed,
    Cut,
    Inserted,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::Changed => "changed",
            Damage::Cut => "cut",
            Damage::Inserted => "inserted",
        })
    }
}

/// The first thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was done.
    pub damage: Damage,
    /// The file and the line where it shows.
    pub at: String,
    /// The number that the record there has, where it has one.
    pub seq: Option<u64>,
    /// What is wrong and what is expected.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.damage, self.at)?;
        if let Some(seq) = self.seq {
            write!(f, " (seq {seq})")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl Found {
    fn note(&mut self, note: String) {
        match self.notes.len() < NOTES {
            true => self.notes.push(note),
            false => self.more_notes += 1,
        }
    }
}

/// Goes through a chain. `in_use` tells whether a bridge writes to it, so that its end is open;
/// `expect` is the number and hash of a record that was once there; `progress` is told, after each
/// record, how many bytes of how many are done.
///
/// # Errors
/// One line: a file cannot be read.
pub fn verify(
    lines: &mut Lines,
    in_use: impl Fn() -> bool,
    expect: Option<(u64, Hex)>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Found, String> {
    let was_in_use = in_use();
    let mut found = Found { files: lines.files(), ..Found::default() };
    let mut walk = Walk { chain: None, place: None, is_ended: false };
    let mut scratch = Vec::new();
    while let Some(Row { text: line, at, is_whole }) = lines.advance()? {
        if !is_whole {
            let bytes = line.len();
            let is_last = at.file + 1 == found.files;
            if is_last && (was_in_use || in_use()) {
                found.note("the last record is being written now".into());
                break;
            }
            let why = format!(
                "the line has no end ({bytes} bytes): the bridge was killed while it wrote, or the \
                 rest was cut"
            );
            found.fault = Some(Fault { damage: Damage::Cut, at: lines.name(at), seq: None, why });
            return Ok(found);
        }
        match walk.check(line, &mut found, &mut scratch) {
            Ok(()) => walk.place = Some(at),
            Err(broken) => {
                found.fault = Some(walk.explain(lines, at, broken)?);
                return Ok(found);
            }
        }
        if let (Some((seq, wanted)), Some((last, _, hash))) = (expect, &found.last)
            && seq == *last
            && wanted != *hash
        {
            let why = format!(
                "its hash is {}, and {} is expected: it was changed or put in with all that stands \
                 around it, and the chain made anew",
                text(hash),
                text(&wanted)
            );
            let at = lines.name(at);
            found.fault = Some(Fault { damage: Damage::Changed, at, seq: Some(seq), why });
            return Ok(found);
        }
        progress(lines.read, lines.bytes);
    }
    let at = walk.place.map_or_else(|| "the files".into(), |at| lines.name(at));
    found.fault = ending(&found, expect, at.clone());
    if found.fault.is_none() && !walk.is_ended {
        let seq = found.last.as_ref().map(|(seq, ..)| *seq);
        match (seq, was_in_use || in_use()) {
            (_, true) => found.note("a bridge is writing to it".into()),
            (seq, false) => {
                let after = seq.unwrap_or_default();
                let why = format!(
                    "the end is missing: the bridge was killed, or records after {after} were cut"
                );
                found.fault = Some(Fault { damage: Damage::Cut, at, seq, why });
            }
        }
    }
    Ok(found)
}

/// What the end of the walk says of the record that is expected.
fn ending(found: &Found, expect: Option<(u64, Hex)>, at: String) -> Option<Fault> {
    let (wanted, _) = expect?;
    let first = found.first.as_ref().map_or(u64::MAX, |(seq, _)| *seq);
    let last = found.last.as_ref().map_or(0, |(seq, ..)| *seq);
    let why = if wanted > last {
        format!("the records after it, up to the expected {wanted}, are missing")
    } else if wanted < first {
        format!("the expected record {wanted} is in a file that is not here")
    } else {
        return None;
    };
    Some(Fault { damage: Damage::Cut, at, seq: (last > 0).then_some(last), why })
}

/// How far the walk has come.
struct Walk {
    /// What the next record must carry.
    chain: Option<Chain>,
    /// Where the last good one stands.
    place: Option<Place>,
    /// Whether the last good one is the end of a run.
    is_ended: bool,
}

/// How a line does not fit.
enum Broken {
    /// It has not the form of a record.
    Form,
    /// Its hash is not that of its text.
    Hash { seq: u64 },
    /// It is a record, but not the one that belongs here.
    Link { seq: u64, prev: Hex },
    /// It is the first there is, and no beginning.
    Beginning { seq: u64 },
}

impl Walk {
    /// Takes a line as the next record.
    fn check(
        &mut self,
        line: &[u8],
        found: &mut Found,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        let record = Line::read(line).ok_or(Broken::Form)?;
        let Line { seq, prev, hash, .. } = record;
        if !record.is_true() {
            return Err(Broken::Hash { seq });
        }
        let head = record.head();
        let kind = kind_of(head);
        match self.chain {
            Some(chain) if chain != (Chain { seq, prev }) => {
                return Err(Broken::Link { seq, prev });
            }
            None if kind == b"rotate" => found.note(format!(
                "the records before {seq} are in files that are not here: they were too many to be \
                 kept (--audit-keep), or were taken away"
            )),
            None if (Chain { seq, prev }) != Chain::default() => {
                return Err(Broken::Beginning { seq });
            }
            _ => {}
        }
        let time = time_text(head);
        match kind {
            b"begin" if self.chain.is_some() && !self.is_ended => found.note(format!(
                "the run before record {seq} ({time}) has no end: its bridge was killed"
            )),
            b"gap" => {
                let gap: Members = members(&record, scratch).unwrap_or_default();
                let (lost, since) = (gap.lost.unwrap_or_default(), gap.since.unwrap_or_default());
                let reason = gap.reason.unwrap_or_default();
                found.note(format!("{lost} records were lost from {since} to {time}: {reason}"));
            }
            _ => {}
        }
        self.is_ended = kind == b"end";
        self.chain = Some(Chain::after(seq, hash));
        found.count += 1;
        found.first.get_or_insert_with(|| (seq, time.to_owned()));
        match &mut found.last {
            Some((last, last_time, last_hash)) => {
                (*last, *last_hash) = (seq, hash);
                last_time.clear();
                last_time.push_str(time);
            }
            None => found.last = Some((seq, time.to_owned(), hash)),
        }
        Ok(())
    }

    /// Says what was done at the line that does not fit, for which it may read on.
    fn explain(&self, lines: &mut Lines, at: Place, broken: Broken) -> Result<Fault, String> {
        let chain = self.chain.unwrap_or_default();
        let wanted = chain.seq;
        let follows = find(lines, chain)?;
        let before = match self.place {
            Some(place) => lines.name(place),
            None => "the beginning".into(),
        };
        let (damage, seq, why) = match (broken, follows) {
            (Broken::Form | Broken::Hash { .. }, Some(place)) => (
                Damage::Inserted,
                None,
                format!(
                    "no record that a bridge wrote; record {wanted}, which belongs here, is at {}",
                    lines.name(place)
                ),
            ),
            (Broken::Link { seq, .. } | Broken::Beginning { seq }, Some(place)) => (
                Damage::Inserted,
                Some(seq),
                format!(
                    "record {wanted} belongs here and is at {}; this one was put in or moved",
                    lines.name(place)
                ),
            ),
            (Broken::Form, None) => (
                Damage::Changed,
                None,
                format!("the line has not the form of a record; record {wanted} is expected"),
            ),
            (Broken::Hash { seq }, None) => (
                Damage::Changed,
                Some(seq),
                format!("its text has not the hash that it carries; record {wanted} is expected"),
            ),
            (Broken::Beginning { seq }, None) => (
                Damage::Cut,
                Some(seq),
                format!("the records before {seq} are missing at the beginning of the file"),
            ),
            (Broken::Link { seq, .. }, None) if seq > wanted => (
                Damage::Cut,
                Some(seq),
                format!("records {wanted} to {} are missing behind {before}", seq - 1),
            ),
            (Broken::Link { seq, .. }, None) if seq < wanted => (
                Damage::Inserted,
                Some(seq),
                format!("record {wanted} is expected; this one belongs before {before}"),
            ),
            (Broken::Link { seq, prev }, None) => (
                Damage::Changed,
                Some(seq),
                format!(
                    "this record, or the one at {before}, was changed and its hash made anew: this \
                     one says that the hash before it is {}, and it is {}",
                    text(&prev),
                    text(&chain.prev)
                ),
            ),
        };
        Ok(Fault { damage, at: lines.name(at), seq, why })
    }
}

/// Looks a little ahead for the record that belongs where the chain stands.
fn find(lines: &mut Lines, chain: Chain) -> Result<Option<Place>, String> {
    for _ in 0..LOOK {
        let Some(Row { text: line, at, .. }) = lines.advance()? else { return Ok(None) };
        let record = Line::read(line);
        let fits = |record: &Line| chain == (Chain { seq: record.seq, prev: record.prev });
        if record.filter(fits).is_some_and(|record| record.is_true()) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}
