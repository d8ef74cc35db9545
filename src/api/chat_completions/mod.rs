//! OpenAI's `POST /v1/chat/completions`.

mod answer;
mod request;

pub use answer::UsageBody;
pub use request::{StreamOptions, parse};
