//! The control plane: who agents are, what they were granted, and what was taken back.
//!
//! Gateways never link this crate. They follow its bundle and its feed over HTTP, both signed under a root key that
//! they pin, and verify the tokens that it mints.

pub mod actor;
mod approve;
pub mod assertion;
mod authority;
pub mod broker;
mod bundle;
pub mod change;
pub mod clients;
pub mod config;
mod entry;
pub mod error;
mod exchange;
pub mod fetch;
pub mod form;
mod gateways;
pub mod grant;
mod http;
mod journal;
mod keys;
mod known;
pub mod learn;
mod lend;
mod live;
pub mod login;
pub mod metadata;
mod mint;
mod pin;
mod proof;
mod random;
mod register;
mod request;
mod revoke;
mod secrets;
mod servers;
mod signing;
pub mod socket;
mod spawn;
mod store;
pub mod subset;

pub use authority::Authority;
pub use config::{Clock, Config, Home};
pub use error::AuthorityError;
