//! Any text, split anywhere, comes out of every dialect's stream as it went in. Pure: the encoders
//! are driven as the relay drives them.

use modeltap::api::{Context, ENDPOINTS, Endpoint};
use modeltap::chat::{Choice, Event, StopReason, Usage};
use serde_json::Value;

/// A body for each endpoint.
fn body(endpoint: &Endpoint) -> &'static [u8] {
    match endpoint.path {
        "/v1/responses" => br#"{"model":"m","stream":true,"input":"q"}"#,
        "/v1/completions" => br#"{"model":"m","stream":true,"prompt":"q"}"#,
        _ => {
            br#"{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"q"}]}"#
        }
    }
}

/// A small generator, so that a failure can be repeated by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 16] = [
            "a",
            " ",
            "\n",
            "\r\n",
            "\"",
            "\\",
            "\u{0}",
            "你",
            "é",
            "👩‍👩‍👧",
            "data: ",
            "</tool_call>",
            "[DONE]",
            "\u{2028}",
            "\u{7f}",
            "{}",
        ];
        (0..self.below(40)).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    /// The text in pieces, cut between any two characters.
    fn split(&mut self, text: &str) -> Vec<String> {
        let mut pieces = vec![String::new()];
        for c in text.chars() {
            if self.below(3) == 0 {
                pieces.push(String::new());
            }
            pieces.last_mut().unwrap().push(c);
        }
        pieces
    }
}

/// The text that a client of `endpoint` reads out of the stream of these pieces.
fn streamed(endpoint: &Endpoint, pieces: &[String]) -> String {
    let context =
        Context { id: "0".repeat(32), created: 1, message_chars: None, stored: &|_| None };
    let parsed = (endpoint.parse)(body(endpoint), &context);
    let mut parsed = parsed.unwrap_or_else(|error| panic!("{}: {}", endpoint.path, error.message));
    let (mut out, usage) = (Vec::new(), Usage { prompt: 1, completion: 1 });
    let encoder = &mut parsed.encoder;
    encoder.open(usage, &mut out);
    for piece in pieces {
        encoder.event(0, &Event::Delta(piece.clone()), &mut out);
    }
    let stop = StopReason::EndTurn;
    encoder.event(0, &Event::Done { stop, model: None }, &mut out);
    let choice = Choice { text: pieces.concat(), calls: Vec::new(), stop: Some(stop) };
    encoder.close(&[choice], usage, &mut out);

    let out = String::from_utf8(out).expect("a stream is UTF-8");
    assert!(out.ends_with("\n\n"), "{out}");
    let mut text = String::new();
    for event in out.trim_end().split("\n\n").filter(|event| !event.starts_with(':')) {
        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
        let data = data.unwrap_or_else(|| panic!("an event without data: {event:?}"));
        assert!(event.lines().count() <= 2, "{event:?}");
        if data == "[DONE]" {
            continue;
        }
        let data: Value = serde_json::from_str(data).expect("data is JSON");
        let delta = [
            &data["choices"][0]["delta"]["content"],
            &data["choices"][0]["text"],
            &data["delta"]["text"],
            &data["delta"],
        ];
        text.push_str(delta.into_iter().find_map(Value::as_str).unwrap_or_default());
    }
    text
}

#[test]
fn any_text_split_anywhere_comes_out_of_every_stream() {
    let seed = 0x9e37_79b9_7f4a_7c15;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    for _ in 0..500 {
        let text = random.text();
        let pieces = random.split(&text);
        for endpoint in &ENDPOINTS {
            assert_eq!(streamed(endpoint, &pieces), text, "{} {pieces:?}", endpoint.path);
        }
    }
}
