//! How the C library's allocator is to treat what was freed.
//!
//! glibc reads that from the environment before `main`, and else only from a function that safe code
//! cannot call; so the process that serves executes itself once more, under the same number and with
//! the same pipes, after the environment says it.

/// Executes this program once more with settings for the allocator, unless the environment has some.
/// Returns where there is nothing to be done, or it cannot be done.
///
/// By itself glibc keeps what was freed, in three ways (mallopt(3), and the manual's "Memory Allocation
/// Tunables"). Each thread keeps up to seven freed pieces of each size up to 1032 bytes: by and by, and
/// that is what grows through hours, some 90 KB a connection. Each core gets eight arenas. And each large
/// piece that is freed raises the size from which pieces are given back to the system, up to 32 MiB, and
/// with it how much may lie free at the end of an arena. After minutes of a hundred clients with bodies of
/// up to a megabyte that is 150 MB, and grows; as it is set here it is 30 MB and stays there, some 6 of them
/// in use. The 4 MiB that are kept at the end of each arena are what a request of a megabyte takes, for
/// which page faults would else cost about as much as all else. The smaller cache costs about a tenth of
/// the p50 with eight clients on two cores, and nothing to be seen with 64.
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
    let tunables = format!(
        "glibc.malloc.tcache_max=256:glibc.malloc.arena_max={}:glibc.malloc.mmap_threshold=4194304:\
         glibc.malloc.top_pad=4194304",
        cores.clamp(2, 8)
    );
    let mut args = std::env::args_os();
    let (Some(name), Ok(program)) = (args.next(), std::env::current_exe()) else { return };
    // It comes back only with an error, such as that the file was replaced meanwhile: serving with
    // the allocator as it is is what is left then.
    let _ = std::process::Command::new(program)
        .arg0(name)
        .args(args)
        .env("GLIBC_TUNABLES", tunables)
        .exec();
}

/// Other allocators give back by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn settle() {}
