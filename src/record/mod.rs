//! What happened: lines on stderr, and the ring of recent events. Nothing here makes a request wait.

pub mod events;
pub mod log;
