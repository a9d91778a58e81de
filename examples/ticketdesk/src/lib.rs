//! A small customer-support desk as an MCP server: the upstream that demos and tests play against.
//!
//! It is deliberately trusting. Whoever reaches it may call every tool, and one of its tickets
//! (41) carries a text that tries to make an agent misuse them. What stands between is not here.
//!
//! Invariant: every executed call leaves exactly one row in the ledger, written in the same
//! transaction as its effect, so a test can ask what really happened and believe the answer.

mod call;
mod desk;
mod ledger;
mod mcp;
mod seed;
mod serve;
mod tools;
mod watch;

pub use desk::{Desk, DeskError};
pub use ledger::{Effect, Outcome};
pub use seed::{ATTACKER_IBAN, ATTACKER_URL, POISONED_TICKET};
pub use serve::{serve_http, serve_stdio};
