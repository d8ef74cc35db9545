//! MCP over stdio in both eras (2024-11-05 to 2025-11-25, and 2026-07-28): JSON-RPC lines in and
//! out, the handshake, and the calls of tools. The room does not know HTTP or what a tool does.

pub mod arguments;
pub mod methods;
pub mod modern;
pub mod outbox;
pub mod rpc;
pub mod server;
pub mod session;
pub mod stdin;
pub mod tool;
