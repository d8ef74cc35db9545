//! The lines of standard input, each within a bound.

use crate::memory;
use std::io::{self, BufRead, Read};

/// The longest line that is read, without its end.
pub const LONGEST: usize = 64 * 1024 * 1024;
/// A buffer that grew beyond this is given back,
const KEEP: usize = 256 * 1024;
/// but not down to less than this while one large line follows another.
const KEEP_BUSY: usize = 2 * 1024 * 1024;
/// The least that the buffer grows by.
const STEP: usize = 4096;
/// Lines from this size on are taken only where there is memory to handle them,
const LARGE: usize = 1024 * 1024;
/// which is so many times their own: an answer's text, the client's, and the lines of the log.
const HANDLING: usize = 4;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A line without its end; may be blank.
    Text(&'a [u8]),
    /// A line over [`LONGEST`], which was skipped.
    TooLong,
    /// A line that there is no memory for, which was skipped.
    NoMemory,
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
        loop {
            if self.buffer.len() > LONGEST {
                return self.skip(Line::TooLong);
            }
            if self.buffer.try_reserve(STEP).is_err() {
                return self.skip(Line::NoMemory);
            }
            // Never more than there is room for, which would be taken without asking.
            let room = self.buffer.capacity().min(LONGEST + 1) - self.buffer.len();
            let mut within = (&mut self.input).take(room as u64);
            let read = within.read_until(b'\n', &mut self.buffer)?;
            let ends = read > 0 && self.buffer.last() == Some(&b'\n');
            if ends {
                self.buffer.pop();
            } else if read == room {
                continue;
            } else if self.buffer.is_empty() {
                return Ok(Line::End);
            }
            if self.buffer.len() >= LARGE && !memory::is_there(self.buffer.len() * HANDLING) {
                self.buffer = Vec::new();
                return Ok(Line::NoMemory);
            }
            return Ok(Line::Text(&self.buffer));
        }
    }

    /// Reads on to the end of a line that cannot be had.
    fn skip(&mut self, why: Line<'static>) -> io::Result<Line<'_>> {
        self.buffer = Vec::new();
        self.input.skip_until(b'\n')?;
        Ok(why)
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
