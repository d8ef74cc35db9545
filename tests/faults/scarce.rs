//! A machine that has no more to give: descriptors, threads, memory.

use crate::common::http::{self, Client};
use crate::common::scarce::{has_answer, take_all, with_few_descriptors};
use crate::common::{Bridge, PATIENCE, chat, command, sampled};
use crate::stage::{PATH, Stage, request};
use crate::table::Told;
use rlimit::Resource;
use serde_json::{Value, json};
use std::io::Write;
#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

pub fn descriptors() -> Told {
    let mut stage = Stage::of(with_few_descriptors());
    let mut served = take_all(&mut stage.bridge, stage.addr);
    assert!(served.len() > 20, "only {}", served.len());
    for _ in 0..3 {
        assert_eq!(http::get(stage.addr, "/health").status, 503);
    }
    for (_, asked) in &served {
        stage.bridge.answer(asked, "Hi");
    }
    for (client, _) in &mut served {
        assert_eq!(client.answer().content(), "Hi");
    }
    drop(served);
    stage.settle(
        "ulimit -n 40, and clients that wait for the model until none is left",
        "503 with Retry-After to the next; those who wait are answered",
        16,
    )
}

/// Sets the soft limit of a running bridge; `None` gives back what it may have at most.
#[cfg(target_os = "linux")]
pub fn limit(bridge: &Bridge, resource: Resource, soft: Option<u64>) {
    let (mut now, mut most) = (0, 0);
    let pid = i32::try_from(bridge.pid()).unwrap();
    rlimit::prlimit(pid, resource, None, Some((&mut now, &mut most))).expect("it is our child");
    let wanted = (soft.unwrap_or(most), most);
    rlimit::prlimit(pid, resource, Some(wanted), None).expect("it is our child");
}

#[cfg(not(target_os = "linux"))]
pub fn threads() -> Told {
    Told::Skipped("only Linux limits a process that runs already".into())
}

#[cfg(not(target_os = "linux"))]
pub fn memory() -> Told {
    Told::Skipped("only Linux limits a process that runs already".into())
}

/// The threads that it may have for connections.
#[cfg(target_os = "linux")]
const MOST: usize = 20;

/// A command for the binary with no more threads than these, and what is to be removed afterwards. Root
/// is bound by no limit of threads, so that it must become somebody else; and who is not root has other
/// threads that count, so that the limit is set later, when those that may be are there.
#[cfg(target_os = "linux")]
fn bound_by_limits() -> Result<(Command, Option<PathBuf>), String> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    if std::fs::metadata("/proc/self").map_or(0, |me| me.uid()) != 0 {
        return Ok((command(), None));
    }
    // Nobody else may be let in where the binary lies.
    let id = std::process::id();
    let place = std::env::temp_dir().join(format!("modeltap-faults-{id}"));
    std::fs::copy(command().get_program(), &place)
        .and_then(|_| std::fs::set_permissions(&place, PermissionsExt::from_mode(0o755)))
        .map_err(|e| format!("the binary cannot be copied: {e}"))?;
    let mut other = Bridge::sampling(&[]);
    // Once it tells its address, all of its own threads are there.
    other.addr();
    let own = std::fs::read_dir(format!("/proc/{}/task", other.pid())).map(Iterator::count);
    let most = own.map_err(|e| format!("threads cannot be counted: {e}"))? + MOST;
    let mut become_another = Command::new("prlimit");
    become_another
        .arg(format!("--nproc={most}:{most}"))
        .args(["setpriv", &format!("--reuid={}", 100_000 + id), "--regid=65534", "--clear-groups"])
        .arg(&place)
        .env_clear()
        .env("PATH", "/bin:/usr/bin");
    Ok((become_another, Some(place)))
}

#[cfg(target_os = "linux")]
pub fn threads() -> Told {
    let (command, copy) = match bound_by_limits() {
        Ok(command) => command,
        Err(why) => return Told::Skipped(why),
    };
    let mut bridge = Bridge::spawn_as(command, &[]);
    bridge.initialize("test-host", json!({"sampling": {}}));
    if let Some(copy) = &copy {
        let _ = std::fs::remove_file(copy);
    }
    let mut stage = Stage::of(bridge);
    let ask = |stage: &mut Stage| {
        let mut client = stage.client();
        client.post(PATH, "", &chat("Hello"));
        let asked = stage.asked();
        (client, asked)
    };
    let answer = |stage: &Stage, served: &mut [(Client, Value)]| {
        for (_, asked) in served.iter() {
            stage.bridge.answer(asked, "Hi");
        }
        for (client, _) in served {
            assert_eq!(client.answer().content(), "Hi");
        }
    };
    let mut served: Vec<(Client, Value)> = (0..MOST).map(|_| ask(&mut stage)).collect();
    if copy.is_none() {
        limit(&stage.bridge, Resource::NPROC, Some(1));
    }
    for _ in 0..3 {
        let refused = http::get(stage.addr, "/health");
        assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    }
    stage.bridge.wait_stderr("for want of a thread");
    // Who has been answered and sits idle makes room.
    answer(&stage, &mut served[..1]);
    let deadline = Instant::now() + PATIENCE;
    let next = loop {
        let mut next = stage.client();
        next.get("/health");
        match next.answer().status {
            200 => break next,
            // It has its answer, but may not be known as idle yet.
            503 if Instant::now() < deadline => {}
            status => panic!("{status}"),
        }
    };
    assert!(served[0].0.is_closed());
    answer(&stage, &mut served[1..]);
    drop((served, next));
    if copy.is_none() {
        limit(&stage.bridge, Resource::NPROC, None);
    }
    stage.settle(
        "no thread to be had beyond 20, and 20 clients that wait for the model",
        "the longest idle connection makes room, else 503 with Retry-After; those who wait are answered",
        16,
    )
}

#[cfg(target_os = "linux")]
pub fn memory() -> Told {
    let mut bridge = Bridge::sampling(&[("MODELTAP_LOG", "full")]);
    let addr = bridge.addr();
    bridge.serve(|message| {
        let text = message["params"]["messages"][0]["content"]["text"].as_str().unwrap_or_default();
        let said = if text.len() < 100 { format!("echo: {text}") } else { "Much.".to_owned() };
        vec![sampled(message, &said)]
    });
    let stage = Stage::on(bridge, addr, true);
    let large = request(&format!("{}\n", "All work. ".repeat(10)).repeat(30 * (1 << 20) / 101));
    // No thread is left of the first request, so that one must be started where there is nothing.
    let deadline = Instant::now() + PATIENCE;
    while stage.has_extra_threads() {
        assert!(Instant::now() < deadline, "threads are left");
        std::thread::sleep(Duration::from_millis(50));
    }
    let lack_all_but = |mib: u64| {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", stage.bridge.pid())).unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kib: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        limit(&stage.bridge, Resource::AS, Some((kib + mib * 1024) * 1024));
    };
    let (mut refused, mut served) = (0, 0);
    for spare in [1, 8, 32, 64, 128, 160, 256, 512] {
        lack_all_but(spare);
        let mut client = stage.client();
        // Who is refused may be cut off before all is sent.
        let _ = client.stream.write_all(&large);
        let answer = client.answer();
        drop(client);
        match answer.status {
            200 => served += 1,
            503 => {
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                refused += 1;
            }
            status => panic!("{spare} MiB: {status}"),
        }
        limit(&stage.bridge, Resource::AS, None);
    }
    assert!(refused > 0 && served > 0, "{refused} refused, {served} served");
    // With the less there is no room for the line itself, with the more none to handle it.
    let line = "x".repeat(60 << 20) + "\n";
    for (told, spare) in [(1, 8), (2, 200)] {
        lack_all_but(spare);
        stage.bridge.send_raw(line.as_bytes());
        let deadline = Instant::now() + PATIENCE;
        while stage.bridge.stderr().matches("there is no memory for it").count() < told {
            assert!(Instant::now() < deadline, "{spare} MiB: it is not told");
            std::thread::sleep(Duration::from_millis(50));
        }
        limit(&stage.bridge, Resource::AS, None);
    }
    stage.settle(
        "a body of 30 MiB, 8 times, with 1 to 512 MiB of address space to spare; a line of 60 MiB from the host with 8 and 200",
        "503 with Retry-After until there is enough, then 200; the line is skipped and told",
        256,
    )
}

pub fn bodies() -> Told {
    let env = [
        ("MODELTAP_MAX_BODY_MEMORY", "8000000"),
        ("MODELTAP_MAX_BODY", "2000000"),
        ("MODELTAP_LOG", "off"),
    ];
    let mut stage = Stage::new(&env);
    let body = chat(&"x".repeat(1_000_000)).to_string();
    let length = body.len();
    // Of a chunked one nobody knows beforehand how much comes.
    let heads = [
        format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"),
        format!(
            "POST {PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n"
        ),
    ];
    let ends = ["", "\r\n0\r\n\r\n"];
    for round in 0..2 {
        let mut clients: Vec<Client> = (0..32).map(|_| stage.client()).collect();
        for (at, client) in clients.iter_mut().enumerate() {
            // Who is refused need not take the rest.
            let _ = client.stream.write_all(heads[(at + round) % 2].as_bytes());
            let _ = client.stream.write_all(&body.as_bytes()[..body.len() - 1]);
        }
        // Small ones need no room.
        stage.serves();
        let mut statuses = Vec::new();
        for (at, client) in clients.iter_mut().enumerate() {
            if !has_answer(client) {
                let _ = client.stream.write_all(&body.as_bytes()[body.len() - 1..]);
                let _ = client.stream.write_all(ends[(at + round) % 2].as_bytes());
            }
            let answer = client.answer();
            assert!(
                answer.status == 200 || answer.header("retry-after") == Some("1"),
                "{answer:?}"
            );
            statuses.push(answer.status);
        }
        let count = |status| statuses.iter().filter(|s| **s == status).count();
        assert_eq!(count(200) + count(503), 32, "{statuses:?}");
        assert!(count(200) >= 4 && count(503) >= 4, "round {round}: {statuses:?}");
    }
    // What was said beforehand, and cannot be there, is refused before it comes.
    let claim =
        format!("POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n");
    let mut held: Vec<Client> = (0..4).map(|_| stage.client()).collect();
    for client in &mut held {
        client.send(&claim);
        client.send("x".repeat(1_999_999));
    }
    // Once all that they sent is read, nobody else is asked for more than a little.
    let asking = claim.replace("2000000\r\n\r\n", "400000\r\nExpect: 100-continue\r\n\r\n");
    let deadline = Instant::now() + PATIENCE;
    let refused = loop {
        let mut last = stage.client();
        last.send(&asking);
        let answer = last.head();
        if answer.status != 100 {
            break answer.status;
        }
        assert!(Instant::now() < deadline, "there is room for ever");
    };
    assert_eq!(refused, 503);
    // Nor does one find room that does not say how much will come.
    let mut last = stage.client();
    let _ = last.stream.write_all(heads[1].as_bytes());
    let _ = last.stream.write_all(body.as_bytes());
    assert_eq!(last.answer().status, 503);
    drop(last);
    stage.serves();
    drop(held);
    stage.settle(
        "--max-body-memory 8 MB, and twice 32 bodies of 1 MB at once, half of them in chunks; then 4 of 2 MB that lack a byte",
        "503 with Retry-After to those that find no room, before 100 Continue; small ones are served",
        48,
    )
}
