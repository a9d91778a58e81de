//! The MCP wire, in both eras. Bytes are judged through a borrowed view and relayed as they came: nothing is parsed
//! and written again, so unknown members, their order and big numbers survive.

pub mod envelope;
pub mod error;
pub mod headers;
pub mod id;
pub mod list;
pub mod mark;
pub mod method;
pub mod mirror;
pub mod params;
pub mod pin;
pub mod reply;
pub mod revision;
pub mod splice;
pub mod tasks;

pub use envelope::{Envelope, MESSAGE_BYTES_MAX};
pub use error::McpError;
pub use id::Id;
pub use revision::{Era, Revision};
