//! The faults of this world, each really done to the running bridge, and what it did:
//! `cargo test --test faults` prints them as one table, which README.md holds. After each the bridge
//! serves the next request, has no thread and no descriptor left over, and keeps little memory.
//! `RENEW=1` writes the table into README.md; a word behind `--` runs the rows whose name has it.
#![cfg_attr(any(not(unix), feature = "tiny_http"), allow(dead_code, unused_imports))]

mod common;

#[path = "smuggling/cases.rs"]
mod cases;
#[path = "smuggling/chunks.rs"]
mod chunks;
#[path = "faults/clients.rs"]
mod clients;
#[path = "faults/floods.rs"]
mod floods;
#[path = "smuggling/framing.rs"]
mod framing;
#[path = "chaos/garbage.rs"]
mod garbage;
#[path = "smuggling/heads.rs"]
mod heads;
#[path = "faults/host.rs"]
mod host;
#[path = "faults/lengths.rs"]
mod lengths;
#[path = "faults/machine.rs"]
mod machine;
#[path = "faults/nesting.rs"]
mod nesting;
#[path = "faults/pipes.rs"]
mod pipes;
#[allow(dead_code)] // It has more than is needed here.
#[path = "chaos/random.rs"]
mod random;
#[path = "faults/resets.rs"]
mod resets;
#[path = "faults/scarce.rs"]
mod scarce;
#[path = "faults/stage.rs"]
mod stage;
#[path = "faults/table.rs"]
mod table;

use table::Row;

/// The rows, as the table has them.
const ROWS: &[Row] = &[
    Row { name: "slow heads", run: clients::slow_heads },
    Row { name: "slow bodies", run: clients::slow_bodies },
    Row { name: "slow readers", run: clients::slow_readers },
    Row { name: "half-closed sockets", run: clients::half_closed },
    Row { name: "resets at every byte of a request", run: resets::of_requests },
    Row { name: "resets at every byte of an answer", run: resets::of_answers },
    Row { name: "false lengths", run: lengths::false_lengths },
    Row { name: "framing conflicts", run: lengths::conflicts },
    Row { name: "a header line of 100 MB", run: floods::header_line },
    Row { name: "2,000,000 header lines", run: floods::header_lines },
    Row { name: "chunk-line floods", run: floods::chunk_lines },
    Row { name: "10,000 pipelined requests", run: floods::pipelined },
    Row { name: "nesting bombs from clients", run: nesting::from_clients },
    Row { name: "nesting bombs from the host", run: nesting::from_the_host },
    Row { name: "no descriptors left", run: scarce::descriptors },
    Row { name: "no threads left", run: scarce::threads },
    Row { name: "no memory for a body", run: scarce::memory },
    Row { name: "more bodies than there is room for", run: scarce::bodies },
    Row { name: "disk full", run: machine::disk },
    Row { name: "clock set back", run: machine::clock },
    Row { name: "a stuck stdout", run: pipes::stdout },
    Row { name: "a stuck stderr", run: pipes::stderr },
    Row { name: "a full stderr", run: pipes::full_stderr },
    Row { name: "a host that dies mid-line", run: host::dies },
    Row { name: "a host that sends garbage", run: host::garbage },
];

fn main() {
    #[cfg(any(not(unix), feature = "tiny_http"))]
    println!("faults: skipped; they are done to the native engine, on Unix");
    #[cfg(all(unix, not(feature = "tiny_http")))]
    table::main(ROWS);
}
