//! How the C library's allocator is to treat what was freed.
//!
//! glibc reads that from the environment before `main`, and else only from a function that safe code
//! cannot call; so the process that serves executes itself once more, under the same number and with
//! the same pipes, after the environment says it.

/// Executes this program once more with settings for the allocator, unless the environment has some.
/// Returns where there is nothing to be done, or it cannot be done.
///
/// By itself glibc keeps what was freed: each core gets eight arenas, each of which holds on to what
/// was once needed in it, and each large piece that is freed raises the size from which pieces are
/// given back to the system, from 128 KiB up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD). After some
/// minutes of bodies of a megabyte that is 150 MB, and grows; with an arena a core, and that size held
/// where it begins, it is 40 to 50 MB through an hour, 6 of them in use. What it costs are the page
/// faults of bodies beyond it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn settle() {
    use std::os::unix::process::CommandExt;
    let is_set = |name: &std::ffi::OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(b"MALLOC_") || name == b"GLIBC_TUNABLES"
    };
    if std::env::vars_os().any(|(name, _)| is_set(&name)) {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut args = std::env::args_os();
    let (Some(name), Ok(program)) = (args.next(), std::env::current_exe()) else { return };
    // It comes back only with an error, such as that the file was replaced meanwhile: serving with
    // the allocator as it is is what is left then.
    let _ = std::process::Command::new(program)
        .arg0(name)
        .args(args)
        .env("MALLOC_ARENA_MAX", cores.max(2).to_string())
        .env("MALLOC_MMAP_THRESHOLD_", "131072")
        .exec();
}

/// Other allocators give back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle() {}
