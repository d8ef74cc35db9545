//! modeltap lends the model inside an MCP host to every OpenAI or Anthropic client on this machine.
//!
//! The crate is a program; its rooms are public for its own tests and benches, and promise nothing
//! to anybody else. The way of one request through them:
//!
//! ```text
//!  HTTP client                                                     MCP host (owns the model)
//!      │ POST /v1/…                                                        ▲ │
//!      ▼                                                                   │ ▼
//!   http     bytes → Request, within limits                   mcp    JSON-RPC lines
//!      │                                                                   ▲ │
//!   routes   which path, and `access`: which key                           │ │
//!      │                                                                   │ │
//!   relay    api: the dialect → Ask ────── Ask ─────────────► host   hook, sampling, pull,
//!      ▲                                                           channel, forward
//!      └──── exchange: who waits for which answer ◄──────── Events ──────────┘
//! ```

pub mod access;
pub mod allocator;
pub mod api;
pub mod bridge;
pub mod chat;
pub mod clock;
pub mod command;
pub mod config;
pub mod control;
pub mod demo;
pub mod exchange;
pub mod host;
pub mod http;
pub mod last_host;
pub mod mailbox;
pub mod mcp;
pub mod memory;
pub mod names;
pub mod page;
pub mod record;
pub mod relay;
pub mod reply;
pub mod routes;
pub mod store;
pub mod tools;
pub mod visit;
