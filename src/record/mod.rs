//! What happened: lines on stderr, the ring of recent events, and the audit file. Nothing here makes
//! a request wait.

pub mod address;
pub mod audit;
pub mod events;
pub mod log;
