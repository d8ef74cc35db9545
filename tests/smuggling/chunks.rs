//! Chunks: their sizes, the lines between them, and what stands behind the last.

use crate::cases::{
    Case, GOOD, HIDDEN,
    Holds::{Ahead, Answers, Ends, Refused},
    case, chunked, one_chunk,
};

/// Chunk sizes as hexadecimal numbers are not to be written.
pub fn chunk_sizes() -> Vec<Case> {
    let n = GOOD.len();
    let mut cases = Vec::new();
    for size in [
        format!("0x{n:x}"),
        format!("+{n:x}"),
        format!("-{n:x}"),
        format!(" {n:x}"),
        format!("\t{n:x}"),
        format!("{n:x} "),
        format!("{n:x}\t"),
        format!("{n:x}_0"),
        format!("0_{n:x}"),
        format!("{n:x}h"),
        format!("{n:x} 0"),
        format!("{n:x},0"),
        format!("{n:x}.0"),
        format!("\"{n:x}\""),
        format!("{n:x}\0"),
        format!("\0{n:x}"),
        format!("{n:x}\x0b"),
        format!("{n:x}\u{a0}"),
        format!("\u{ff12}{n:x}"),
        "x".into(),
        String::new(),
        " ".into(),
        "-0".into(),
        "+0".into(),
        "0x0".into(),
        "0_0".into(),
        "\r0".into(),
        ";".into(),
        ";a=b".into(),
        format!("{n:x};"),
        format!("{n:x}; "),
        format!("{n:x};;a"),
        format!("{n:x};a;"),
        format!("{n:x}:a"),
        format!("{n:x}these-bytes"),
        format!("1{:016x}", n),
        "f".repeat(17),
        "0".repeat(17),
        "0".repeat(5000),
        format!("{n:x};{}", "e".repeat(5000)),
    ] {
        cases.push(case("chunk size", one_chunk(&format!("{size}\r\n"), "\r\n0\r\n\r\n"), Refused));
    }
    for size in [
        format!("{n:x}"),
        format!("{n:X}"),
        format!("000000{n:x}"),
        format!("{n:x};a"),
        format!("{n:x} ; a=b"),
        format!("{n:x};a=\"b c\";d"),
        format!("{n:x};a\t=b"),
    ] {
        cases.push(case(
            "chunk size",
            one_chunk(&format!("{size}\r\n"), "\r\n0\r\n\r\n"),
            Answers(&[200]),
        ));
    }
    for size in
        ["ffffffff", "fffffffffffffff0", "ffffffffffffffff", "8000000000000000", "100000000"]
    {
        cases.push(case(
            "chunk size",
            one_chunk(&format!("{size}\r\n"), "\r\n0\r\n\r\n"),
            Ends(&[413]),
        ));
    }
    // The data are longer, or shorter, than the size says.
    for size in [n - 1, n + 1, n + 2, 1] {
        cases.push(case(
            "chunk spills",
            one_chunk(&format!("{size:x}\r\n"), "\r\n0\r\n\r\n"),
            Refused,
        ));
    }
    cases
}

/// The ends of the lines between chunks.
pub fn chunk_lines() -> Vec<Case> {
    let n = GOOD.len();
    let mut cases = Vec::new();
    for end in [
        "\n",
        "\r",
        "\r\r\n",
        "\n\r\n",
        "\r\n\n",
        ";a\nb\r\n",
        ";\n\r\n",
        ";a\rb\r\n",
        ";a=\"\n\"\r\n",
        ";a\0\r\n",
        ";a\x7f\r\n",
        "\0\r\n",
        "\x0b\r\n",
        ";a\r\r\n",
    ] {
        cases.push(case("line end", one_chunk(&format!("{n:x}{end}"), "\r\n0\r\n\r\n"), Refused));
    }
    for end in [
        "\n0\r\n\r\n",
        "\r0\r\n\r\n",
        "0\r\n\r\n",
        "xx0\r\n\r\n",
        "\r\r\n0\r\n\r\n",
        "\n\r0\r\n\r\n",
        "\r\n\r\n0\r\n\r\n",
        "\r\n0\n\r\n",
        "\r\n0\r\n\n",
        "\r\n0\r\r\n\r\n",
        "\r\n0\n\n",
        "\r\n0;a\nb\r\n\r\n",
        "\r\n0\r\n\rx\r\n",
    ] {
        cases.push(case("data end", one_chunk(&format!("{n:x}\r\n"), end), Refused));
    }
    // One reader ends a line at the LF within an extension, and then finds a chunk there.
    let hidden = format!("{:x};\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len() + 7);
    cases.push(case("an extension hides a chunk", chunked(&hidden), Refused));
    let spilled = format!("2;\nxx\r\n{:x}\r\n0\r\n\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len() + 5);
    cases.push(case("an extension hides a chunk", chunked(&spilled), Refused));
    cases.push(case(
        "the end of chunks is lost",
        chunked(&format!("{n:x}\r\n{GOOD}\r\n")),
        Refused,
    ));
    cases
}

/// What stands behind the last chunk.
pub fn trailers() -> Vec<Case> {
    let chunk = format!("{:x}\r\n", GOOD.len());
    let with = |trailers: &str| one_chunk(&chunk, &format!("\r\n0\r\n{trailers}\r\n"));
    let mut cases = Vec::new();
    for good in [
        "",
        "A: b\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: evil\r\nConnection: close\r\n",
        "Expect: 100-continue\r\n",
        "A:\r\nB: c\t\r\n",
    ] {
        cases.push(case("trailer", with(good), Answers(&[200])));
    }
    for bad in [
        HIDDEN,
        "GET /smuggled HTTP/1.1\r\n",
        "A\r\n",
        "A : b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        ": b\r\n",
        "A: b\0\r\n",
        "A: b\rc\r\n",
        "A: b\n",
        "A: b\n\r\n",
        "A\0: b\r\n",
        "A B: c\r\n",
        "5\r\nhello\r\n0\r\n",
        "\u{e9}: b\r\n",
    ] {
        cases.push(case("trailer", with(bad), Refused));
    }
    cases.push(case("endless trailers", with(&"A: b\r\n".repeat(5000)), Refused));
    cases.push(case("behind the trailers", with("A: b\r\n") + HIDDEN, Ahead(&[200, 404])));
    cases
}
