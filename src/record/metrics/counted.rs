//! A way back to a client that counts the bytes of bodies that go by it.

use crate::http::{Headers, Responder, Response};
use std::io;

/// The way back, and how much went by it.
pub struct Counted<'a> {
    responder: &'a mut dyn Responder,
    /// Bytes of the body so far.
    pub bytes: usize,
}

impl<'a> Counted<'a> {
    /// Nothing yet.
    pub fn new(responder: &'a mut dyn Responder) -> Self {
        Counted { responder, bytes: 0 }
    }
}

impl Responder for Counted<'_> {
    fn respond(&mut self, response: &Response) -> io::Result<()> {
        self.bytes += response.body.len();
        self.responder.respond(response)
    }

    fn begin(&mut self, status: u16, headers: &Headers) -> io::Result<()> {
        self.responder.begin(status, headers)
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.bytes += data.len();
        self.responder.write(data)
    }

    fn end(&mut self, data: &[u8]) -> io::Result<()> {
        self.bytes += data.len();
        self.responder.end(data)
    }

    fn is_gone(&mut self) -> bool {
        self.responder.is_gone()
    }
}
