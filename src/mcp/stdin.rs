//! The lines of standard input, each within a bound.

use std::io::{self, BufRead, Read};

/// The longest line that is read, without its end.
pub const LONGEST: usize = 64 * 1024 * 1024;
/// A buffer that grew beyond this is given back,
const KEEP: usize = 256 * 1024;
/// but not down to less than this while one large line follows another.
const KEEP_BUSY: usize = 2 * 1024 * 1024;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its end; may be blank.
    Text(&'a [u8]),
    /// A line over [`LONGEST`], which was skipped.
    TooLong,
    /// Nothing comes any more.
    End,
}

/// Reads lines, reusing one buffer.
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The lines of `input`.
    pub fn new(input: R) -> Self {
        Lines { input, buffer: Vec::new() }
    }

    /// Waits for the next line. Half a line before the end of input counts as a line.
    pub fn read(&mut self) -> io::Result<Line<'_>> {
        let keep = if self.buffer.len() > KEEP { KEEP_BUSY } else { KEEP };
        self.buffer.clear();
        self.buffer.shrink_to(keep);
        let mut within = (&mut self.input).take(LONGEST as u64 + 1);
        if within.read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(Line::End);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if self.buffer.len() > LONGEST {
            self.input.skip_until(b'\n')?;
            return Ok(Line::TooLong);
        }
        Ok(Line::Text(&self.buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart_and_the_longest_is_skipped() {
        let mut input = b"one\n\n".to_vec();
        input.extend(std::iter::repeat_n(b'x', LONGEST));
        input.push(b'\n');
        input.extend(std::iter::repeat_n(b'y', LONGEST + 1));
        input.extend(b"\nhalf");
        let mut lines = Lines::new(&input[..]);
        assert_eq!(lines.read().unwrap(), Line::Text(b"one"));
        assert_eq!(lines.read().unwrap(), Line::Text(b""));
        assert!(matches!(lines.read().unwrap(), Line::Text(line) if line.len() == LONGEST));
        assert_eq!(lines.read().unwrap(), Line::TooLong);
        assert_eq!(lines.read().unwrap(), Line::Text(b"half"));
        assert_eq!(lines.read().unwrap(), Line::End);
    }
}
