//! Any text as the file of tokens, and as the one of what each has used.
#![no_main]

use modeltap::access::{token_json, usage};

/// In characters: a word of a refusal is shorter, a hash or a token longer.
const WORD: usize = 32;

fn check(refusal: &str) {
    assert!(!refusal.contains(char::is_control), "more than a line: {refusal:?}");
    let words = refusal.split(|c: char| !c.is_alphanumeric());
    let longest = words.map(|word| word.chars().count()).max();
    assert!(longest.unwrap_or(0) < WORD, "it may hold a secret: {refusal:?}");
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    match token_json::read(text) {
        Ok(tokens) => {
            let again = token_json::write(&tokens);
            assert_eq!(token_json::read(&again).as_ref(), Ok(&tokens), "{again}");
        }
        Err(refusal) => check(&refusal),
    }
    match usage::read(text) {
        Ok(used) => assert_eq!(usage::read(&usage::write(used.clone())), Ok(used)),
        Err(refusal) => check(&refusal),
    }
});
