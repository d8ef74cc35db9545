//! The README: its two languages say the same, and its commands do what it says.

mod common;

mod readme {
    #[cfg(unix)]
    pub mod commands;
    pub mod markdown;
}

use readme::markdown::{Section, sections, spans};

const ENGLISH: &str = include_str!("../README.md");
const CHINESE: &str = include_str!("../README.zh-CN.md");

/// Both pages, section by section.
fn both() -> Vec<(Section, Section)> {
    let (english, chinese) = (sections(ENGLISH), sections(CHINESE));
    let levels = |page: &[Section]| page.iter().map(Section::level).collect::<Vec<_>>();
    assert_eq!(levels(&english), levels(&chinese), "the same headings in the same order");
    english.into_iter().zip(chinese).collect()
}

#[test]
fn both_languages_have_the_same_headings_and_name_the_same_things_below_them() {
    for (english, chinese) in both() {
        assert_eq!(english.spans, chinese.spans, "in code marks below {:?}", english.heading);
    }
}

#[test]
fn both_languages_have_the_same_tables() {
    for (english, chinese) in both() {
        let heading = &english.heading;
        assert_eq!(english.tables.len(), chinese.tables.len(), "tables below {heading:?}");
        for (english, chinese) in english.tables.iter().zip(&chinese.tables) {
            assert_eq!(english.len(), chinese.len(), "rows of a table below {heading:?}");
            for (english, chinese) in english.iter().zip(chinese) {
                assert_eq!(english.len(), chinese.len(), "columns of {english:?}");
                let named = |row: &[String]| {
                    let mut named = spans(&row.join(" "));
                    named.sort();
                    named
                };
                assert_eq!(named(english), named(chinese), "in code marks in {english:?}");
            }
        }
    }
}

#[test]
fn both_languages_have_the_same_commands() {
    // Comments and the words in diagrams are for people.
    let said = |blocks: &[(String, String)]| {
        let line = |line: &str| line.split(" # ").next().unwrap_or("").trim_end().to_owned();
        let text = |language: &str, text: &str| match language {
            "text" => Vec::new(),
            _ => text.lines().map(line).filter(|line| !line.starts_with('#')).collect(),
        };
        blocks.iter().map(|(l, t)| (l.clone(), text(l, t))).collect::<Vec<_>>()
    };
    for (english, chinese) in both() {
        assert_eq!(said(&english.blocks), said(&chinese.blocks), "below {:?}", english.heading);
    }
}

#[test]
fn both_languages_have_the_same_figures() {
    let measured = |page: &str| {
        let begun = page.split_once("<!-- begin: cargo bench -- --renew -->");
        let block = begun.and_then(|(_, rest)| rest.split_once("<!-- end: cargo bench"));
        block.map(|(block, _)| block.to_owned()).expect("the figures of the bench")
    };
    assert_eq!(measured(ENGLISH), measured(CHINESE));
}

#[test]
fn every_link_to_a_heading_and_every_file_is_there() {
    for page in [ENGLISH, CHINESE] {
        let anchors: Vec<String> = sections(page).iter().map(|s| anchor(&s.heading)).collect();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            match link.strip_prefix('#') {
                Some(name) => assert!(anchors.iter().any(|a| a == name), "{link} in {anchors:?}"),
                None if link.starts_with("http") => {}
                None => {
                    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
                    assert!(path.exists(), "{link}");
                }
            }
        }
    }
}

/// What the README says to run with cargo is what `.ci/run` runs, since it takes minutes; what it says to run
/// with Claude Code is what `modeltap snippet` prints, which tests/clients/agents runs.
#[cfg(unix)]
#[test]
fn every_command_is_run_as_it_stands() {
    use readme::commands::{Home, blocks};
    let ci = include_str!("../.ci/run");
    let blocks = blocks(&sections(ENGLISH));
    assert!(blocks.len() > 8, "{blocks:?}");
    for block in blocks {
        let home = Home::new();
        let Some(noted) = home.run(&block) else { return };
        let printed = common::command().args(["snippet", "claude-code"]).output().unwrap();
        let binary = common::command().get_program().to_string_lossy().into_owned();
        let printed = String::from_utf8_lossy(&printed.stdout).replace(&binary, "modeltap");
        for command in noted {
            let runs = if command.starts_with("cargo ") { ci } else { &*printed };
            assert!(runs.contains(&command), "{command:?} is run by nobody:\n{runs}");
        }
    }
}

/// The name by which a heading is linked to, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
