//! Anthropic's `POST /v1/messages`, and the counting of its tokens beforehand.

mod answer;
mod blocks;
mod request;

pub use request::{count_tokens, parse};
