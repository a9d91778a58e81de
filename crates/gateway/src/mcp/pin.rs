//! The pin of a tool: the same function for the authority that reviews it and the gateway that meets it.

pub use remit_core::pin::pin;
