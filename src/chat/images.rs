//! How many tokens a picture is: OpenAI's published rule for models that look at tiles.

/// What a picture counts as whose size cannot be told: as one of 1024 by 1024.
const UNKNOWN: u64 = 765;

/// An estimate of how many tokens the picture is whose bytes `base64` holds: 85, and 170 for each
/// tile of 512 by 512 pixels that it covers once scaled down to fit 2048 by 2048 and a shorter side
/// of 768. The size is read from the head of a PNG, JPEG, GIF or WebP; nothing else is decoded.
pub fn image_tokens(base64: &str) -> u64 {
    let Some((width, height)) = size(Bytes(base64.as_bytes())) else { return UNKNOWN };
    if width == 0 || height == 0 {
        return UNKNOWN;
    }
    let scaled = |(width, height), side: u64, most: u64| {
        if side <= most { (width, height) } else { (width * most / side, height * most / side) }
    };
    let (width, height) = scaled((width, height), width.max(height), 2048);
    let (width, height) = scaled((width, height), width.min(height), 768);
    85 + 170 * width.max(1).div_ceil(512) * height.max(1).div_ceil(512)
}

/// Bytes in base64, decoded one at a time where they are wanted.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    /// The byte at `at`; `None` past the end.
    fn at(&self, at: usize) -> Option<u64> {
        let digit = |index: usize| {
            Some(match *self.0.get(index)? {
                byte @ b'A'..=b'Z' => byte - b'A',
                byte @ b'a'..=b'z' => byte - b'a' + 26,
                byte @ b'0'..=b'9' => byte - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            })
        };
        // Four digits hold three bytes; the first digit that holds a part of this one, and where.
        let first = at / 3 * 4 + at % 3;
        let both = u16::from(digit(first)?) << 6 | u16::from(digit(first + 1)?);
        Some(u64::from(both >> (4 - 2 * (at % 3)) & 0xff))
    }

    /// A whole number of `bytes` bytes, the most significant first.
    fn big(&self, at: usize, bytes: usize) -> Option<u64> {
        (at..at + bytes).try_fold(0, |number, at| Some(number << 8 | self.at(at)?))
    }

    /// A whole number of `bytes` bytes, the least significant first.
    fn little(&self, at: usize, bytes: usize) -> Option<u64> {
        (at..at + bytes).rev().try_fold(0, |number, at| Some(number << 8 | self.at(at)?))
    }

    fn has(&self, at: usize, text: &[u8]) -> bool {
        text.iter().enumerate().all(|(i, byte)| self.at(at + i) == Some(u64::from(*byte)))
    }
}

/// Width and height in pixels, by the first bytes of the formats that models take.
fn size(bytes: Bytes) -> Option<(u64, u64)> {
    if bytes.has(0, b"\x89PNG\r\n\x1a\n") {
        Some((bytes.big(16, 4)?, bytes.big(20, 4)?))
    } else if bytes.has(0, b"GIF8") {
        Some((bytes.little(6, 2)?, bytes.little(8, 2)?))
    } else if bytes.has(0, b"\xff\xd8") {
        jpeg(&bytes)
    } else if bytes.has(0, b"RIFF") && bytes.has(8, b"WEBPVP8") {
        match bytes.at(15)? {
            0x20 => Some((bytes.little(26, 2)? & 0x3fff, bytes.little(28, 2)? & 0x3fff)),
            0x4c => {
                let bits = bytes.little(21, 4)?;
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            0x58 => Some((bytes.little(24, 3)? + 1, bytes.little(27, 3)? + 1)),
            _ => None,
        }
    } else {
        None
    }
}

/// A JPEG is a row of segments, each with its length; the one that begins a frame tells the size.
fn jpeg(bytes: &Bytes) -> Option<(u64, u64)> {
    let mut at = 2;
    // Real files have a dozen; more than this is somebody's idea of a joke.
    for _ in 0..1000 {
        if bytes.at(at)? != 0xff {
            return None;
        }
        match bytes.at(at + 1)? {
            0xff => at += 1,
            0x01 | 0xd0..=0xd7 => at += 2,
            0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Some((bytes.big(at + 7, 2)?, bytes.big(at + 5, 2)?));
            }
            _ => at += 2 + usize::try_from(bytes.big(at + 2, 2)?).ok()?,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(bytes: &[u8]) -> String {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let groups = bytes.chunks(3).flat_map(|group| {
            let mut three = [0; 3];
            three[..group.len()].copy_from_slice(group);
            let [a, b, c] = three.map(usize::from);
            let four = [a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63];
            let end = group.len() + 1;
            (0..4).map(move |i| if i < end { char::from(digits[four[i]]) } else { '=' })
        });
        groups.collect()
    }

    fn png(width: u32, height: u32) -> String {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        base64(&bytes)
    }

    #[test]
    fn tiles_are_counted_after_scaling() {
        for (width, height, tokens) in [
            (1, 1, 255),
            (512, 512, 255),
            (513, 512, 425),
            (1024, 1024, 765),
            (2048, 4096, 1105),
            (4096, 8, 765),
            (3, u32::MAX, 765),
            (0, 5, UNKNOWN),
        ] {
            assert_eq!(image_tokens(&png(width, height)), tokens, "{width} by {height}");
        }
    }

    #[test]
    fn the_size_is_in_the_head_of_every_format() {
        let jpeg = [b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x11\x08".as_slice(), &[3, 0, 5, 0]];
        for (name, bytes) in [
            ("GIF", b"GIF89a\0\x05\0\x03".to_vec()),
            ("JPEG", jpeg.concat()),
            ("WebP, lossy", b"RIFF____WEBPVP8 ____abc\x9d\x01\x2a\0\x05\0\x03".to_vec()),
            ("WebP, lossless", b"RIFF____WEBPVP8L____\x2f\xff\xc4\xbf\0".to_vec()),
            ("WebP, extended", b"RIFF____WEBPVP8X____\0\0\0\0\xff\x04\0\xff\x02\0".to_vec()),
        ] {
            assert_eq!(size(Bytes(base64(&bytes).as_bytes())), Some((1280, 768)), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_size() {
        let png = png(9, 9);
        for text in ["", "=", "aGk=", "not base64", &png[..26], "/9j/////", "/9gAAAAA"] {
            assert_eq!(image_tokens(text), UNKNOWN, "{text:?}");
        }
        let endless = base64(&[&b"\xff\xd8"[..], &[0xff; 5000]].concat());
        assert_eq!(image_tokens(&endless), UNKNOWN);
    }
}
