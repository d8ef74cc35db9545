//! The commands beside `serve` and `demo`: what the bridge wrote, read by people.

pub mod audit;
