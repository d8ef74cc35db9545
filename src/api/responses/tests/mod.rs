//! Both directions of the dialect as tables.

mod asked;
mod told;

use super::super::{Context, Kept, Parsed};
use super::parse;
use crate::api::error::ApiError;
use serde_json::Value;
use std::sync::Arc;

/// Reads `body` with what `stored` keeps, and hands on what came of it.
fn read<T>(
    body: &Value,
    stored: Option<&Arc<Kept>>,
    then: impl FnOnce(Result<Parsed, ApiError>) -> T,
) -> T {
    let stored = |id: &str| stored.filter(|kept| kept.id == id).cloned();
    let context = Context { id: "x".into(), created: 7, message_chars: Some(99), stored: &stored };
    then(parse(body.to_string().as_bytes(), &context))
}
