//! Whether memory is there, asked before something large is begun.
//!
//! A text that cannot be had ends the process: most of what handles one, here and in what we build on,
//! takes its memory without asking. What a client or a host may make large is therefore asked for
//! beforehand, in one piece, and given back untouched. Nothing holds it for the one who asked; it
//! tells the machine that is out of memory from the one that is not.

/// What must be left besides, for all that is too small to be asked for. More than the 32 MiB up to which
/// the C library of Linux serves from what was freed before, so that it is the system that answers.
const RESERVE: usize = 40 * 1024 * 1024;

/// Whether `bytes` could be had now, and leave something.
pub fn is_there(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    let is_there = probe.try_reserve_exact(bytes.saturating_add(RESERVE)).is_ok();
    // What nobody looks at need not be asked for, a compiler may think.
    std::hint::black_box(&probe);
    is_there
}

#[cfg(test)]
mod tests {
    use super::is_there;

    #[test]
    fn a_little_is_there_and_more_than_any_machine_has_is_not() {
        assert!(is_there(0) && is_there(1 << 20));
        assert!(!is_there(isize::MAX as usize) && !is_there(usize::MAX));
    }
}
