//! The data plane: every call of every agent passes here, and nothing passes undecided or unrecorded.

pub mod mcp;
pub mod sse;
pub mod upstream;
