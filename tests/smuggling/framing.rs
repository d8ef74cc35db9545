//! Where a body ends, said twice, falsely or in disguise; and bodies where none is expected.

use crate::cases::{
    Case, GOOD, HIDDEN,
    Holds::{Ahead, Answers, Ends, Refused, RefusedAlone},
    case, post,
};

/// CL.TE and TE.CL: both framings at once.
pub fn two_framings() -> Vec<Case> {
    let length = 5 + HIDDEN.len();
    let body = format!("0\r\n\r\n{HIDDEN}");
    let mut cases: Vec<Case> = [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".into(),
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n".into(),
        format!("Content-Length: {length}\r\nTransfer-Encoding: identity\r\n"),
        format!("Content-Length: {length}\r\nTransfer-Encoding: \r\n"),
        format!("Content-Length: {length}\r\ntransfer-encoding: CHUNKED\r\n"),
        format!("Content-Length: {length}\r\nX: y\r\nTransfer-Encoding: chunked\r\nX: z\r\n"),
        format!("Content-Length: {length}\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"),
    ]
    .into_iter()
    .map(|headers| case("both framings", post(&headers, &body), Refused))
    .collect();
    cases.push(case(
        "TE.CL with the hidden request in a chunk",
        post(
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            &format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len()),
        ),
        Refused,
    ));
    cases
}

/// TE.TE: a Transfer-Encoding that one reader takes for chunked and another does not.
pub fn encodings() -> Vec<Case> {
    let body = format!("0\r\n\r\n{HIDDEN}");
    let refused = [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chunk",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked; foo=bar",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: chunked chunked",
        "Transfer-Encoding: x chunked y",
        "Transfer-Encoding: deflate",
        "Transfer-Encoding: trailers",
        "Transfer-Encoding:",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: \x0cchunked",
        "Transfer-Encoding: chunked\x0b",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: \0chunked",
        "Transfer-Encoding: ch\u{96}unked",
        "Transfer-Encoding: \u{a0}chunked",
        "Transfer-Encoding: chun\u{212a}ed",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: chunked\r\nTransfer-encoding: x",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding:\r\n\tchunked",
        "Transfer-Encoding: chunked\r\n ",
        "Transfer-Encoding: chunked\r\n , identity",
        "Transfer-Encoding:\n chunked",
        "Transfer-Encoding: chunked\r",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: \rxTransfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\r\rTransfer-Encoding: chunked",
        "X: y\r\n\rTransfer-Encoding: chunked",
    ];
    let mut cases: Vec<Case> = refused
        .map(|line| case("odd encoding", post(&format!("{line}\r\n"), &body), Refused))
        .into_iter()
        .collect();
    // By these nothing is hidden: they are chunked by every rule, and the rest is a request of its own.
    for line in [
        "Transfer-Encoding:chunked",
        "Transfer-Encoding:\tchunked \t",
        "transfer-ENCODING: ChUnKeD",
    ] {
        let good = format!("{:x}\r\n{GOOD}\r\n0\r\n\r\n{HIDDEN}", GOOD.len());
        cases.push(case("chunked", post(&format!("{line}\r\n"), &good), Ahead(&[200, 404])));
    }
    cases
}

/// Content-Length as numbers are not to be written, and twice.
pub fn lengths() -> Vec<Case> {
    let n = GOOD.len();
    let mut cases = Vec::new();
    let mut add = |said: String, holds| {
        cases.push(case("length", post(&format!("Content-Length: {said}\r\n"), GOOD), holds));
    };
    for said in [
        "-1",
        "-0",
        "+5",
        "+0",
        "0x5",
        "0X2d",
        "0o5",
        "0b1",
        "5_0",
        "5.0",
        "5,",
        ",5",
        "5e0",
        "1e1",
        "5 5",
        "5\t5",
        "5;5",
        "\"5\"",
        "'5'",
        "five",
        "",
        " ",
        "NaN",
        "5\0",
        "\x0b5",
        "5\x0c",
        "\u{ff15}",
        "\u{b2}",
        "5\r",
        "5\r\n 5",
        "5\r\n\t",
        "\r\n 5",
        "5\n",
        "0xffffffffffffffff",
        "1 000",
    ] {
        add(said.into(), Refused);
    }
    for two in [
        "5, 5",
        "5,5",
        "5,6",
        "5, 6",
        "0, 5",
        "5\r\nContent-Length: 6",
        "0\r\nContent-Length: 5",
        "5\r\nContent-Length: 0",
        "5\r\nX: y\r\ncontent-length: 6",
        "5\r\nContent-Length: -5",
        "5\r\nContent-Length:",
        "5\r\nContent-Length: 5, 5",
        "5\r\nContent-Length: +5",
    ] {
        add(two.into(), Refused);
    }
    // Numbers past every bound do not come round to a small one.
    for wrap in [1 << 32, 1 << 33, 1u128 << 64, 1 << 65, (1 << 64) - 1, 1 << 63, 1 << 31] {
        add((wrap + n as u128).to_string(), Ends(&[413]));
    }
    add("9".repeat(400), Ends(&[413]));
    add("100000000000".into(), Ends(&[413]));
    for same in [
        format!("{n}"),
        format!("000{n}"),
        format!("  {n} \t"),
        format!("{n}\r\ncontent-length: 0{n}"),
        format!("{n}\r\nX: y\r\nContent-Length: {n}"),
    ] {
        add(same, Answers(&[200]));
    }
    // Said too long, the next request is its body, and the wait for the rest ends.
    add((n + 1000).to_string(), Ends(&[408]));
    // Said too short or not at all, the rest is no request.
    add((n - 1).to_string(), Ends(&[400, 400]));
    cases.push(case("no length", post("", GOOD), Ends(&[400, 400])));
    cases.push(case("length 0", post("Content-Length: 0\r\n", HIDDEN), Ahead(&[400, 404])));
    cases.push(case("length 00", post("Content-Length: 00\r\n", HIDDEN), Ahead(&[400, 404])));
    cases.push(case("no body", post("", HIDDEN), Ahead(&[400, 404])));
    cases
}

/// CL.0 and 0.CL: bodies of requests that have none as a rule, and of those that are refused.
pub fn bodies_of_bodiless() -> Vec<Case> {
    let mut cases = Vec::new();
    let n = HIDDEN.len();
    // Bodies are read only for whom they are good for; else the connection may end with the refusal.
    for (line, by_length, by_chunks) in [
        ("GET /health", Answers(&[200]), Answers(&[200])),
        ("GET /v1/models", Answers(&[200]), Answers(&[200])),
        ("OPTIONS /health", Answers(&[204]), Answers(&[204])),
        ("DELETE /v1/responses/resp_x", Answers(&[404]), Answers(&[404])),
        ("POST /v1/messages/count_tokens", Answers(&[400]), Answers(&[400])),
        ("GET /nothing", RefusedAlone(404), Ends(&[404])),
        ("POST /nothing", RefusedAlone(404), Ends(&[404])),
        ("DELETE /health", RefusedAlone(405), Ends(&[405])),
        ("POST /health", RefusedAlone(405), Ends(&[405])),
        ("PUT /v1/messages", RefusedAlone(405), Ends(&[405])),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n");
        let with_length = format!("{head}Content-Length: {n}\r\n\r\n{HIDDEN}");
        cases.push(case("a body all the same", with_length, by_length));
        let chunks =
            format!("{head}Transfer-Encoding: chunked\r\n\r\n{n:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
        cases.push(case("chunks all the same", chunks, by_chunks));
    }
    let partial = format!(
        "POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
        n + 1000
    );
    cases.push(case("a refused body that is not there yet", partial, Ends(&[404])));
    let closing =
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n{HIDDEN}");
    cases.push(case("more behind the last request", closing, Ends(&[200])));
    let ahead = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n{HIDDEN}{HIDDEN}");
    cases.push(case("honest requests ahead", ahead, Ahead(&[200, 404, 404])));
    for named in
        ["Content-Length", "close, Content-Length", "keep-alive, Transfer-Encoding", "Host"]
    {
        let closes = named.starts_with("close");
        let request = format!(
            "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: {named}\r\nContent-Length: {n}\r\n\r\n{HIDDEN}"
        );
        cases.push(case(
            "a header named as the connection's",
            request,
            if closes { Ends(&[200]) } else { Answers(&[200]) },
        ));
    }
    cases
}
