//! The event, which is for ever: its bytes, what it hides, what it proves.

#[path = "../common/mod.rs"]
mod common;

mod golden;
mod make;
mod ocsf;
mod proof;
mod secret;
