//! The floor: the smallest pass-through over the same sockets and pipes. A child process of the
//! bench that knows no JSON: a thread for each connection reads a request by its Content-Length,
//! writes it as one line to the host, waits for the host's line with its number, and writes that
//! to the client with one system call. What a bridge costs beyond this is its own.
//!
//! Lines to the host: `{"jsonrpc":"2.0","id":N,"method":"floor","params":BODY}`; for a request to
//! `/pieces` the method is `floor/pieces`. Lines from the host: `{"jsonrpc":"2.0","id":N,…}`; a piece
//! that is not the last one has `,"last":0` behind the id. A request to `/whole` is answered with
//! the line, others with a stream of the lines.

use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

const ID: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";
/// What stands behind the id of a piece that others follow.
pub const MORE: &str = ",\"last\":0";
/// An answer up to this size is copied behind its head, a larger one written from where it lies.
const COPY: usize = 16 * 1024;
/// The buffer that a connection begins with.
const FIRST: usize = 2 * 1024;
/// A request's number is that of its connection, and that of the request in it below these bits.
const WITHIN: u32 = 32;

/// Each connection's way to its thread, by its number.
#[derive(Clone, Default)]
struct Connections(Arc<Mutex<HashMap<u64, Sender<Vec<u8>>>>>);

impl Connections {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Sender<Vec<u8>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A child that answers one line and no more: the floor of a start.
pub fn one_line() -> io::Result<()> {
    let mut stdin = io::stdin().lock();
    stdin.read_line(&mut String::new())?;
    io::stdout().write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n")?;
    // Stays until the host closes the pipe, as a bridge does.
    io::copy(&mut stdin, &mut io::sink())?;
    Ok(())
}

/// The floor itself, until stdin ends. Its answer to the first line tells its port.
pub fn run() -> io::Result<()> {
    let mut stdin = BufReader::with_capacity(64 * 1024, io::stdin());
    let mut line = Vec::new();
    stdin.read_until(b'\n', &mut line)?;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(4096)?;
    let listener = TcpListener::from(socket);
    let port = listener.local_addr()?.port();
    let told = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"port\":{port}}}}}\n");
    io::stdout().write_all(told.as_bytes())?;

    let connections = Connections::default();
    let open = connections.clone();
    thread::spawn(move || accept(&listener, &connections));
    loop {
        line.clear();
        if stdin.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if let Some((id, _)) = id(&line)
            && let Some(to) = open.lock().get(&(id >> WITHIN))
        {
            // A client that left wants nothing more.
            let _ = to.send(std::mem::take(&mut line));
        }
    }
}

/// The number of a line from the host, and what follows it.
fn id(line: &[u8]) -> Option<(u64, &[u8])> {
    let rest = line.strip_prefix(ID)?;
    let end = rest.iter().position(|b| !b.is_ascii_digit())?;
    let id = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((id, &rest[end..]))
}

fn accept(listener: &TcpListener, connections: &Connections) {
    for (number, stream) in (1..).zip(listener.incoming()) {
        let (Ok(stream), connections) = (stream, connections.clone()) else { continue };
        let thread = thread::Builder::new().stack_size(64 * 1024);
        // A thread that cannot be had closes the connection, which its client will tell.
        let _ = thread.spawn(move || {
            let (give, answers) = channel();
            connections.lock().insert(number, give);
            let _ = serve(&stream, number << WITHIN, &answers);
            connections.lock().remove(&number);
        });
    }
}

/// What was read of a connection: the first `have` of these bytes.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    have: usize,
}

/// A request whose body lies in a buffer from `body` to `end`.
struct Request {
    stream: bool,
    pieces: bool,
    body: usize,
    end: usize,
}

/// Serves one connection; its requests are numbered from `first` on.
fn serve(stream: &TcpStream, first: u64, answers: &Receiver<Vec<u8>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut read, mut line, mut out) = (Buffer::default(), Vec::new(), Vec::new());
    for number in first.. {
        let Some(request) = read.request(stream)? else { return Ok(()) };
        let method = if request.pieces { "floor/pieces" } else { "floor" };
        line.clear();
        line.extend_from_slice(ID);
        write!(line, "{number},\"method\":\"{method}\",\"params\":")?;
        line.extend_from_slice(&read.bytes[request.body..request.end]);
        line.extend_from_slice(b"}\n");
        // It is locked for as long as this takes, and written with one system call.
        io::stdout().write_all(&line)?;
        read.have -= request.end;
        match request.stream {
            false => whole(stream, answers, &mut out)?,
            true => streamed(stream, answers, &mut out)?,
        }
    }
    Ok(())
}

impl Buffer {
    /// Reads until there is a request; `None` once the client is gone. Clients of the bench send the
    /// next one only after the answer, so that a buffer begins with a request.
    fn request(&mut self, mut stream: &TcpStream) -> io::Result<Option<Request>> {
        let mut request: Option<Request> = None;
        loop {
            let want = request.as_ref().map_or(self.have + 1, |request| request.end);
            if self.bytes.len() < want {
                self.bytes.resize(want.max(FIRST), 0);
            }
            if self.have >= want {
                return Ok(request);
            }
            let n = stream.read(&mut self.bytes[self.have..])?;
            self.have += n;
            if n == 0 {
                return Ok(None);
            }
            if request.is_none() {
                request = head(&self.bytes[..self.have]);
            }
        }
    }
}

/// Reads the head, once it is there.
fn head(bytes: &[u8]) -> Option<Request> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length?.parse().ok()?;
    let path = text.split(' ').nth(1)?;
    let body = end + 4;
    Some(Request { stream: path != "/whole", pieces: path == "/pieces", body, end: body + length })
}

fn next(answers: &Receiver<Vec<u8>>) -> io::Result<Vec<u8>> {
    answers.recv().map_err(|_| io::ErrorKind::BrokenPipe.into())
}

fn whole(mut stream: &TcpStream, answers: &Receiver<Vec<u8>>, out: &mut Vec<u8>) -> io::Result<()> {
    let answer = next(answers)?;
    out.clear();
    write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len())?;
    if answer.len() > COPY {
        stream.write_all(out)?;
        return stream.write_all(&answer);
    }
    out.extend_from_slice(&answer);
    stream.write_all(out)
}

/// Head and first piece in one write, and each further piece in one: fewer cannot be.
fn streamed(
    mut stream: &TcpStream,
    answers: &Receiver<Vec<u8>>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    out.clear();
    out.extend_from_slice(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    loop {
        let piece = next(answers)?;
        let is_last = !id(&piece).is_some_and(|(_, rest)| rest.starts_with(MORE.as_bytes()));
        write!(out, "{:x}\r\n", piece.len())?;
        out.extend_from_slice(&piece);
        out.extend_from_slice(if is_last { b"\r\n0\r\n\r\n" } else { b"\r\n" });
        stream.write_all(out)?;
        out.clear();
        if is_last {
            return Ok(());
        }
    }
}
