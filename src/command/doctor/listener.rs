//! Which process listens at a port, where the system tells without a tool.

/// The process and its name; `None` where that cannot be seen, such as another user's.
#[cfg(target_os = "linux")]
pub fn of(port: u16) -> Option<(u32, String)> {
    use std::fs;
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.iter().filter_map(|table| fs::read_to_string(table).ok());
    let tables: Vec<String> = tables.collect();
    let lines = tables.iter().flat_map(|table| table.lines());
    let inodes: Vec<String> = lines
        .filter_map(|line| inode(line, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Gone meanwhile, or not ours to see.
        let Ok(open) = fs::read_dir(process.path().join("fd")) else { continue };
        let has_it = open
            .flatten()
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|to| to.to_str().is_some_and(|to| inodes.iter().any(|inode| inode == to)));
        if has_it {
            let name = fs::read_to_string(process.path().join("comm")).ok()?;
            return Some((pid, name.trim().to_owned()));
        }
    }
    None
}

#[cfg(not(target_os = "linux"))]
pub fn of(_: u16) -> Option<(u32, String)> {
    None
}

/// The inode of a socket that listens at the port, by a line of `/proc/net/tcp` (proc(5)).
#[cfg(target_os = "linux")]
fn inode(line: &str, port: u16) -> Option<&str> {
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, state, _, _, _, _, _, inode, ..] = fields[..] else { return None };
    let (_, found) = local.rsplit_once(':')?;
    let is_it = state == LISTEN && u16::from_str_radix(found, 16) == Ok(port);
    is_it.then_some(inode)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_table_tells_who_listens_at_the_port() {
        let line = "   0: 0100007F:2253 00000000:0000 0A 00000000:00000000 00:00000000 00000000  \
                    1000        0 12345 1 0000000000000000 100 0 0 10 0";
        assert_eq!(inode(line, 0x2253), Some("12345"));
        assert_eq!(inode(line, 80), None);
        assert_eq!(inode(&line.replace(" 0A ", " 01 "), 0x2253), None);
        assert_eq!(inode("  sl  local_address", 80), None);
    }

    #[test]
    fn a_listener_of_ours_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = of(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(found.0, std::process::id());
    }
}
