//! OpenAI's `POST /v1/responses`, and what is kept of its answers.

mod answer;
mod items;
mod kept;
mod request;
mod stream;
#[cfg(test)]
mod tests;

pub use kept::{deleted, input_items};
pub use request::parse;
