//! Heads: names, line ends, versions, request lines, hosts, and what a client asks for besides.

use crate::cases::{
    Case, GOOD, HIDDEN,
    Holds::{Ahead, Answers, Ends, Refused, RefusedAlone},
    case, post,
};

/// Header names that nearly are others, and headers that are none.
pub fn names() -> Vec<Case> {
    let n = GOOD.len();
    let mut cases = Vec::new();
    for name in [
        "Content-Length ",
        "Content-Length\t",
        "Content Length",
        " Content-Length",
        "\tContent-Length",
        "Content-Length\0",
        "\0Content-Length",
        "Content-Length\x0b",
        "Content-Length\r",
        "Content\r-Length",
        "Content\n-Length",
        "Content-Length\u{a0}",
        "C\u{f6}ntent-Length",
        "\u{feff}Content-Length",
        "Content-Length:\r\n",
        "(Content-Length)",
        "Content-Length,",
        "Content/Length",
        "",
        "[Content-Length]",
        "Content-Length\x7f",
    ] {
        cases.push(case("odd name", post(&format!("{name}: {n}\r\n"), GOOD), Refused));
    }
    for headers in [
        "no colon\r\n",
        "nocolon\r\n",
        ": value\r\n",
        "X: y\r\n folded\r\n",
        "X: y\r\n\tfolded\r\n",
        "X: a\0b\r\n",
        "X: a\x01b\r\n",
        "X: a\x7fb\r\n",
        "X: a\rb\r\n",
        "\x01X: y\r\n",
    ] {
        cases.push(case("no header", post(headers, ""), Refused));
    }
    // Other headers, however like: the body has no length, and what follows is a request.
    for name in [
        "Content_Length",
        "Content-Lengt",
        "X-Content-Length",
        "Content-Length-X",
        "Content-Length'",
        "Transfer_Encoding",
    ] {
        cases.push(case(
            "another header",
            post(&format!("{name}: 43\r\n"), HIDDEN),
            Ahead(&[400, 404]),
        ));
    }
    cases
}

/// Line ends of the head.
pub fn line_ends() -> Vec<Case> {
    let length = format!("Content-Length: {}", HIDDEN.len());
    [
        "GET /health HTTP/1.1\nHost: localhost\r\n\r\n".to_owned(),
        "GET /health HTTP/1.1\r\nHost: localhost\n\r\n".into(),
        "GET /health HTTP/1.1\r\nHost: localhost\r\n\n".into(),
        "GET /health HTTP/1.1\r\nHost: localhost\n\n".into(),
        "GET /health HTTP/1.1\nHost: localhost\n\n".into(),
        "GET /health HTTP/1.1\rHost: localhost\r\r".into(),
        "GET /health HTTP/1.1\r\rHost: localhost\r\n\r\n".into(),
        "GET /health HTTP/1.1\r\nHost: localhost\r\r\n\r\n".into(),
        "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\r\n".into(),
        format!("GET /health HTTP/1.1\r\nHost: localhost\nX: y\r\n{length}\r\n\r\n{HIDDEN}"),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: y\n\n{HIDDEN}"),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: y\n{length}\r\n\r\n{HIDDEN}"),
        format!("GET /health HTTP/1.1\r\nHost: localhost\r\nX: y\r{length}\r\n\r\n{HIDDEN}"),
    ]
    .map(|bytes| case("line end of a head", bytes, Refused))
    .into()
}

/// What is not HTTP/1.1.
pub fn versions() -> Vec<Case> {
    let mut cases = Vec::new();
    for version in [
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/1.10",
        "HTTP/1.",
        "HTTP/1",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/2",
        "HTTP/2.0",
        "HTTP/3.0",
        "HTTP/9.9",
        "http/1.1",
        "Http/1.1",
        "HTTP /1.1",
        "HTTP/ 1.1",
        "HTTP/1 .1",
        "HTTP/1.1 ",
        "HTTP/1.1\t",
        "HTTP/1.1x",
        "HTTP/+1.1",
        "HTTP/-1.1",
        "HTTP/1,1",
        "HTTPS/1.1",
        "ICY/1.1",
        "RTSP/1.0",
        "",
        "1.1",
    ] {
        cases.push(case(
            "version",
            format!("GET /health {version}\r\nHost: localhost\r\n\r\n"),
            Refused,
        ));
    }
    cases.push(case("HTTP/0.9", "GET /health\r\n\r\n", Refused));
    cases.push(case("HTTP/0.9", "GET /health\r\n", Refused));
    cases.push(case("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refused));
    cases.push(case("TLS", *b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Refused));
    for other in [
        &b"\xff\xfe\xfd\xfc\r\n\r\n"[..],
        b"{\"jsonrpc\":\"2.0\"}\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
        b"SSH-2.0-x\r\n\r\n",
    ] {
        cases.push(case("no HTTP", other, Refused));
    }
    // HTTP/1.0 knows no chunks, and closes unless asked to keep.
    let (n, old) = (HIDDEN.len(), "POST /v1/messages/count_tokens HTTP/1.0\r\nHost: localhost\r\n");
    for headers in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ] {
        cases.push(case(
            "HTTP/1.0 with chunks",
            format!("{old}{headers}\r\n0\r\n\r\n{HIDDEN}"),
            Refused,
        ));
    }
    let good = format!("{old}Content-Length: {}\r\n\r\n{GOOD}{HIDDEN}", GOOD.len());
    cases.push(case("HTTP/1.0 with more behind it", good, Ends(&[200])));
    let kept = format!(
        "GET /health HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\nContent-Length: {n}\r\n\r\n{HIDDEN}"
    );
    cases.push(case("HTTP/1.0 that is kept", kept, Answers(&[200])));
    cases
}

/// Request lines that one reader would mend and another would not.
pub fn request_lines() -> Vec<Case> {
    let mut cases = Vec::new();
    for line in [
        "GET  /health HTTP/1.1",
        "GET /health  HTTP/1.1",
        "GET\t/health HTTP/1.1",
        "GET /health\tHTTP/1.1",
        " GET /health HTTP/1.1",
        "\tGET /health HTTP/1.1",
        "GET /he alth HTTP/1.1",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "GET",
        "/health HTTP/1.1",
        "\0GET /health HTTP/1.1",
        "G\0T /health HTTP/1.1",
        "GET /health\0 HTTP/1.1",
        "GET /\0health HTTP/1.1",
        "G(T /health HTTP/1.1",
        "GET /health\r HTTP/1.1",
        "\u{feff}GET /health HTTP/1.1",
        "GET /health HTTP/1.1 GET /smuggled HTTP/1.1",
        "GET\x0b/health HTTP/1.1",
        "\rGET /health HTTP/1.1",
        "\nGET /health HTTP/1.1",
        " \r\nGET /health HTTP/1.1",
        "\n\nGET /health HTTP/1.1",
        "\r\r\nGET /health HTTP/1.1",
    ] {
        cases.push(case("request line", format!("{line}\r\nHost: localhost\r\n\r\n"), Refused));
    }
    for blank in ["\r\n", "\r\n\r\n\r\n"] {
        cases.push(case(
            "blank lines ahead",
            format!("{blank}GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            Answers(&[200]),
        ));
    }
    // Methods count as they are written, and no header changes them.
    for method in ["get", "GPOST", "Get", "TRACE", "CONNECT", "0GET"] {
        let request = format!(
            "{method} /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
            HIDDEN.len()
        );
        cases.push(case("method", request, RefusedAlone(405)));
    }
    let overriding = "GET /v1/messages/count_tokens HTTP/1.1\r\nHost: localhost\r\nX-HTTP-Method-Override: POST\r\n\r\n";
    cases.push(case("method", overriding, Answers(&[405])));
    cases.push(case(
        "tunnel",
        "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n",
        Answers(&[404]),
    ));
    cases
}

/// Who is asked, said twice or not at all.
pub fn hosts() -> Vec<Case> {
    let mut cases = Vec::new();
    for headers in [
        "",
        "X: y\r\n",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: localhost\r\nhost: evil\r\n",
        "Host : localhost\r\n",
        " Host: localhost\r\n",
        "Host: localhost, evil\r\n",
        "Host: localhost evil\r\n",
        "Host: user@localhost\r\n",
        "Host: localhost/path\r\n",
        "Host: localhost?x\r\n",
        "Host: localhost#x\r\n",
        "Host: local\\host\r\n",
        "Host: loc\u{e4}l\r\n",
        "Host: localhost\0\r\n",
        "Host: \"localhost\"\r\n",
        "Host: localhost\r\n evil\r\n",
        "Host: <localhost>\r\n",
    ] {
        cases.push(case("host", format!("GET /health HTTP/1.1\r\n{headers}\r\n"), Refused));
    }
    for (target, host) in [
        ("http://evil/health", "localhost"),
        ("http://localhost/health", "evil"),
        ("http://localhost:1/health", "localhost"),
        ("http://evil@localhost/health", "localhost"),
        ("http://localhost@evil/health", "localhost"),
        ("https://evil/health", "localhost"),
        ("HTTP://evil/health", "localhost"),
        ("http:///health", "localhost"),
        ("http://evil?/health", "localhost"),
        ("http://evil#/health", "localhost"),
        ("http://localhost.evil/health", "localhost"),
    ] {
        cases.push(case(
            "two hosts",
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            Refused,
        ));
    }
    cases.push(case(
        "a target for a host",
        "GET http://localhost/health HTTP/1.1\r\n\r\n",
        Refused,
    ));
    cases.push(case(
        "a target for a host",
        "GET http://localhost/health HTTP/1.0\r\n\r\n",
        Refused,
    ));
    for target in [
        "http://localhost/health",
        "HTTP://LOCALHOST/health",
        "http://localhost/health?http://evil/",
        "http://localhost",
        "http://localhost?/health",
    ] {
        cases.push(case(
            "one host",
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            Answers(&[200]),
        ));
    }
    for target in ["//localhost/health", "/http://localhost/health", "ftp://localhost/health", "*"]
    {
        cases.push(case(
            "not there",
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            Answers(&[404]),
        ));
    }
    cases
}

/// Other protocols asked for on the way.
pub fn switches() -> Vec<Case> {
    let n = HIDDEN.len();
    ["Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n", "Upgrade: h2c\r\n", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n"]
    .map(|headers| {
        let request = format!("GET /health HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {n}\r\n\r\n{HIDDEN}");
        case("upgrade", request, Answers(&[200]))
    })
    .into()
}

/// Expect: who waits for what before the body.
pub fn expectations() -> Vec<Case> {
    let n = GOOD.len();
    let mut cases = Vec::new();
    for expect in [
        "100-continue",
        "100-Continue",
        "y 100-continue",
        "100-continue, x",
        "200-ok",
        "",
        "100-continue\r\nExpect: 100-continue",
    ] {
        // A whole body is there already, so that nobody is told to send it.
        let request = post(
            &format!("Expect: {expect}\r\nContent-Length: {n}\r\n"),
            &format!("{GOOD}{HIDDEN}"),
        );
        cases.push(case("expects", request, Ahead(&[200, 404])));
        let hidden = format!(
            "GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: {expect}\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
            HIDDEN.len()
        );
        cases.push(case("expects, and has no use for it", hidden, Answers(&[200])));
    }
    cases
}
