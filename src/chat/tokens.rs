//! How many tokens a text or a picture is, estimated: no host tells.
//!
//! The rule for text follows how byte-pair encoders with large vocabularies cut it: into words with
//! the space before them, groups of digits, runs of punctuation, line ends and indentation. Each
//! such run has a cost by its script and length. The costs are fitted on half of the samples in
//! `tests/data/tokens.json`; the other half checks them (`tests/tokens.rs`).

/// What a character is to the estimator.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    LineEnd,
    Digit,
    Lower,
    Upper,
    /// A Latin letter outside ASCII, or an accent of its own.
    Accented,
    /// ASCII punctuation.
    Mark,
    /// Punctuation outside ASCII.
    WideMark,
    Symbol,
    Emoji,
    /// What changes or joins the emoji before it.
    Joiner,
    /// A letter of another script.
    Letter(Script),
}
use Class::*;

/// Scripts other than Latin, by what they cost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    Han,
    Kana,
    Hangul,
    Cyrillic,
    Arabic,
    Devanagari,
    GreekHebrew,
    Other,
}
use Script::*;

impl Script {
    /// What a run of letters costs in hundredths of a token: so much at first, and after so many
    /// letters, so much for each.
    fn costs(self) -> (u64, usize, u64) {
        match self {
            Han => (177, 1, 64),
            Kana => (50, 1, 50),
            Hangul => (183, 2, 24),
            Cyrillic => (155, 5, 1),
            Arabic => (138, 4, 18),
            Devanagari => (145, 9, 1),
            GreekHebrew => (60, 2, 60),
            Other => (142, 4, 38),
        }
    }
}

/// After a word that tells of another language than English, so many words count as of it.
const FOREIGN_WORDS: u32 = 10;

/// Of a longer text no more than so many bytes are looked at, in pieces all over it: a full look at
/// megabytes would take longer than all else that is done with them. The estimate is mostly within
/// 1 % of that of a full look, and seldom more than 2 % away.
const LARGE: usize = PIECES * PIECE;
const PIECES: usize = 512;
const PIECE: usize = 512;

/// An estimate of how many tokens `text` is; at least 1 unless it is empty.
///
/// Estimates of the pieces of a text add up to about the estimate of the whole. Beyond 256 KiB
/// pieces stand for all of it.
pub fn estimate_tokens(text: &str) -> u64 {
    let hundredths = match text.len() {
        0 => return 0,
        1..=LARGE => hundredths(text),
        _ => hundredths_by_pieces(text),
    };
    ((hundredths + 50) / 100).max(1)
}

/// What [`hundredths`] would come to, from pieces all over the text.
fn hundredths_by_pieces(text: &str) -> u64 {
    let (mut counted, mut bytes) = (0, 0);
    for at in (0..text.len()).step_by(text.len() / PIECES) {
        let piece = &text[text.floor_char_boundary(at)..text.floor_char_boundary(at + PIECE)];
        counted += hundredths(piece);
        bytes += piece.len() as u64;
    }
    counted * text.len() as u64 / bytes.max(1)
}

/// An estimate in hundredths of a token, of every character.
fn hundredths(text: &str) -> u64 {
    let mut hundredths = 0;
    let mut at = 0;
    let mut before = LineEnd;
    let mut foreign = 0;
    while at < text.len() {
        // A single space before a word costs nothing; most of a text is made of the two.
        if let [b' ', b'a'..=b'z' | b'A'..=b'Z', ..] = text.as_bytes()[at..] {
            at += 1;
            before = Space;
        }
        let (class, width) = class_at(text, at);
        let start = at;
        at += width;
        hundredths += match class {
            Lower | Upper | Accented => {
                let word = Word::read(text, start);
                at = word.end;
                let fresh = matches!(before, Space | LineEnd);
                if word.accented > 0 || fresh && is_foreign(&text.as_bytes()[start..at]) {
                    foreign = FOREIGN_WORDS + 1;
                }
                foreign = foreign.saturating_sub(1);
                word.hundredths(foreign > 0)
            }
            Digit => {
                at = run_end(text, at, class);
                // Unlike words and punctuation, a number leaves the space before it alone.
                100 * (at - start).div_ceil(3) as u64 + if before == Space { 100 } else { 0 }
            }
            Space => {
                at = run_end(text, at, class);
                let line_ends = matches!(text.as_bytes().get(at), Some(b'\n' | b'\r'));
                if at - start > 1 && !line_ends { 100 } else { 0 }
            }
            LineEnd => {
                at = run_end(text, at, class);
                if before == Mark { 0 } else { 100 }
            }
            Mark => {
                at = run_end(text, at, class);
                let leads = at < text.len() && class_at(text, at).0.is_latin();
                match text.as_bytes()[start] {
                    // A single mark often belongs to the word after it, but not these two.
                    mark if !leads || at - start > 1 || matches!(mark, b'"' | b'\\') => {
                        100 + 9 * (at - start - 1) as u64
                    }
                    _ if before == Space => 90,
                    b'.' | b'_' | b'(' => 2,
                    _ => 35,
                }
            }
            WideMark => 73,
            Symbol | Joiner => 100,
            Emoji => 190,
            Letter(script) => {
                let (mut cost, free, each) = script.costs();
                let run = text[start..].chars().take_while(|c| !c.is_ascii() && wide(*c) == class);
                at = start;
                for (letters, c) in run.enumerate() {
                    at += c.len_utf8();
                    cost += rare(c) + if letters < free { 0 } else { each };
                }
                cost
            }
        };
        before = class;
    }
    hundredths
}

/// An estimate of how many tokens JSON text is once written again without white space between its
/// values, as every host does with what it has read.
pub fn estimate_json_tokens(json: &str) -> u64 {
    let (mut in_string, mut escaped) = (false, false);
    let kept = json.chars().filter(|&c| {
        let white = !in_string && c.is_ascii_whitespace();
        in_string ^= c == '"' && !escaped;
        escaped = in_string && c == '\\' && !escaped;
        !white
    });
    estimate_tokens(&kept.collect::<String>())
}

impl Class {
    fn is_latin(self) -> bool {
        matches!(self, Lower | Upper | Accented)
    }
}

/// The class of the character at `at`, and its length in bytes.
#[inline]
fn class_at(text: &str, at: usize) -> (Class, usize) {
    match ASCII.get(usize::from(text.as_bytes()[at])) {
        Some(class) => (*class, 1),
        None => text[at..].chars().next().map_or((Symbol, 1), |c| (wide(c), c.len_utf8())),
    }
}

/// The classes of the characters of ASCII.
static ASCII: [Class; 128] = {
    let mut classes = [Mark; 128];
    let mut at = 0;
    while at < classes.len() {
        classes[at] = ascii(at as u8);
        at += 1;
    }
    classes
};

const fn ascii(byte: u8) -> Class {
    match byte {
        b'\n' | b'\r' => LineEnd,
        0..=b' ' => Space,
        b'0'..=b'9' => Digit,
        b'a'..=b'z' => Lower,
        b'A'..=b'Z' => Upper,
        _ => Mark,
    }
}

/// The class of a character outside ASCII.
fn wide(c: char) -> Class {
    match c {
        '\u{80}'..='\u{bf}' => WideMark,
        '\u{c0}'..='\u{24f}' | '\u{300}'..='\u{36f}' | '\u{1e00}'..='\u{1eff}' => Accented,
        '\u{370}'..='\u{3ff}' | '\u{590}'..='\u{5ff}' | '\u{1f00}'..='\u{1fff}' => {
            Letter(GreekHebrew)
        }
        '\u{400}'..='\u{52f}' => Letter(Cyrillic),
        '\u{600}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' => Letter(Arabic),
        '\u{900}'..='\u{97f}' => Letter(Devanagari),
        '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}' => {
            Letter(Hangul)
        }
        '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => Joiner,
        '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' | '\u{ff00}'..='\u{ff65}' => WideMark,
        '\u{2070}'..='\u{25ff}' | '\u{27c0}'..='\u{2b00}' => Symbol,
        '\u{2600}'..='\u{27bf}' | '\u{2b01}'..='\u{2e7f}' | '\u{1f000}'..='\u{1ffff}' => Emoji,
        '\u{3040}'..='\u{30ff}' | '\u{ff66}'..='\u{ff9f}' => Letter(Kana),
        '\u{2e80}'..='\u{2fff}'
        | '\u{3400}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => Letter(Han),
        _ => Letter(Other),
    }
}

/// Where the run of ASCII characters of `class` ends that `at` stands in.
fn run_end(text: &str, at: usize, class: Class) -> usize {
    let rest = text.as_bytes()[at..].iter();
    at + rest.take_while(|byte| ASCII.get(usize::from(**byte)) == Some(&class)).count()
}

/// How many small letters of ASCII stand from `at` on; eight bytes are looked at together, since
/// most text is made of them.
#[inline]
fn small_letters(bytes: &[u8], at: usize) -> usize {
    const EACH: u64 = u64::MAX / 0xff;
    const TOP: u64 = EACH << 7;
    let rest = bytes.get(at..).unwrap_or_default();
    let mut count = 0;
    while let Some(eight) = rest.get(count..).and_then(|rest| rest.first_chunk()) {
        let eight = u64::from_le_bytes(*eight);
        // The top bit of a byte's sum tells whether it is at or behind a letter.
        let from_a = (eight & !TOP) + EACH * u64::from(0x80 - b'a');
        let behind_z = (eight & !TOP) + EACH * u64::from(0x7f - b'z');
        let others = (!from_a | behind_z | eight) & TOP;
        if others != 0 {
            return count + others.trailing_zeros() as usize / 8;
        }
        count += 8;
    }
    let rest = rest.get(count..).unwrap_or_default().iter();
    count + rest.take_while(|byte| byte.is_ascii_lowercase()).count()
}

/// A word in Latin letters. A capital after a small letter begins the next one, as in `camelCase`.
#[derive(Default)]
struct Word {
    capitals: u64,
    small: u64,
    accented: u64,
    /// Letters that Western Europe has not.
    far: u64,
    end: usize,
}

impl Word {
    fn read(text: &str, start: usize) -> Self {
        let bytes = text.as_bytes();
        let capitals = bytes[start..].iter().take_while(|byte| byte.is_ascii_uppercase()).count();
        let small = small_letters(bytes, start + capitals);
        let end = start + capitals + small;
        let (capitals, small) = (capitals as u64, small as u64);
        let mut word = Word { capitals, small, end, ..Word::default() };
        while let Some(b'A'..=b'Z' | b'a'..=b'z' | b'\'' | 0x80..) = bytes.get(word.end) {
            let (class, width) = class_at(text, word.end);
            match class {
                Upper if word.small + word.accented == 0 => word.capitals += 1,
                Lower => word.small += 1,
                Accented => {
                    word.accented += 1;
                    word.far += u64::from(text.as_bytes()[word.end] > 0xc3);
                }
                // As in "don't".
                Mark | WideMark
                    if word.end > start
                        && text[word.end..].starts_with(['\'', '’'])
                        && word.end + width < text.len()
                        && class_at(text, word.end + width).0.is_latin() =>
                {
                    word.small += 1;
                }
                _ => break,
            }
            word.end += width;
        }
        word
    }

    fn hundredths(&self, foreign: bool) -> u64 {
        let letters = self.capitals + self.small + self.accented;
        if self.accented > 0 {
            82 + 41 * letters.saturating_sub(3) + 82 * self.far
        } else if self.small == 0 && self.capitals > 1 {
            49 * (self.capitals - 1)
        } else {
            let common = if foreign && letters > 1 { 125 } else { 100 };
            let long = if foreign { 0 } else { 44 * letters.saturating_sub(10) };
            common + long + 49 * self.capitals.saturating_sub(1)
        }
    }
}

/// Whether a word is one of the short ones by which common languages of Europe, Turkish and
/// Indonesian are told from English and from code.
#[rustfmt::skip]
fn is_foreign(word: &[u8]) -> bool {
    match *word {
        [a, b] => matches!(
            &[a, b].map(|byte| byte.to_ascii_lowercase()),
            b"da" | b"de" | b"di" | b"du" | b"el" | b"en" | b"et" | b"il" | b"im" | b"je" | b"la"
                | b"le" | b"na" | b"os" | b"un" | b"ve" | b"zu"
        ),
        [a, b, c] => matches!(
            &[a, b, c].map(|byte| byte.to_ascii_lowercase()),
            b"att" | b"bir" | b"che" | b"dan" | b"das" | b"den" | b"der" | b"des" | b"die" | b"een"
                | b"ein" | b"het" | b"ist" | b"les" | b"los" | b"mit" | b"och" | b"per" | b"que"
                | b"und" | b"une" | b"van" | b"von"
        ),
        _ => false,
    }
}

/// What a letter costs more because texts that use it are rare where the encoder was trained:
/// Cyrillic letters that Russian has not, and characters that only traditional Chinese has.
#[rustfmt::skip]
fn rare(c: char) -> u64 {
    match c {
        '\u{452}'..='\u{52f}' => 250,
        '們' | '這' | '來' | '說' | '對' | '學' | '還' | '應' | '從' | '經' | '與' | '於' | '發'
        | '國' | '點' | '實' | '讓' | '樣' | '會' | '將' | '單' | '關' | '總' | '圖' | '險'
        | '體' | '當' | '數' | '變' | '處' => 200,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_estimated_by_script() {
        for (text, tokens) in [
            ("", 0),
            ("a", 1),
            (" ", 1),
            ("'", 1),
            ("\n\n", 1),
            ("four words, one mark", 5),
            ("don't", 1),
            ("camelCaseName", 3),
            ("1234567", 3),
            ("in 2024", 4),
            ("    return x;\n", 4),
            ("你好世界", 4),
            ("こんにちは", 3),
            ("안녕하세요", 3),
            ("привет мир", 3),
            ("🎉🎉", 4),
            ("hi 你", 3),
        ] {
            assert_eq!(estimate_tokens(text), tokens, "{text:?}");
        }
    }

    #[test]
    fn json_counts_without_its_white_space() {
        let spaced = "{\n  \"a\": [1, 2],\n  \"b \\\" c\": \"d  e\"\n}";
        let tight = "{\"a\":[1,2],\"b \\\" c\":\"d  e\"}";
        assert_eq!(estimate_json_tokens(spaced), estimate_tokens(tight));
    }

    #[test]
    fn pieces_add_up_to_about_the_whole() {
        let text = "One line of text, then another;\nund noch ein Wort für Größe 42. ".repeat(20);
        let whole = estimate_tokens(&text);
        let words: u64 = text.split_inclusive(' ').map(estimate_tokens).sum();
        assert!(whole.abs_diff(words) * 5 < whole, "{whole} {words}");
    }
}
