//! MCP over stdio, the legacy era (2024-11-05 to 2025-11-25): JSON-RPC lines in and out, the
//! handshake, and the table of tools. The room does not know HTTP or what a tool does.

pub mod arguments;
pub mod outbox;
pub mod rpc;
pub mod server;
pub mod session;
pub mod stdin;
