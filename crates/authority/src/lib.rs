//! The control plane: who agents are, what they were granted, and what was taken back.
//!
//! Gateways never link this crate. They follow its bundle and its feed over HTTP, both signed under a root key that
//! they pin, and verify the tokens that it mints.

pub mod actor;
mod approve;
pub mod asks;
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
pub mod followers;
pub mod form;
mod gateways;
pub mod grant;
pub mod held;
mod http;
pub mod hygiene;
pub mod issuer;
mod journal;
mod kept;
mod keys;
mod known;
pub mod learn;
mod lend;
mod live;
pub mod login;
pub mod metadata;
mod mint;
mod offline;
pub mod org;
mod people;
mod pin;
pub mod posture;
mod proof;
mod random;
mod refusals;
mod register;
mod relay;
mod request;
mod revoke;
mod roles;
mod secrets;
pub mod separation;
mod servers;
mod signing;
pub mod socket;
mod spawn;
mod standing;
mod store;
pub mod times;
mod used;
mod veto;
mod ways;

pub use authority::Authority;
pub use config::{Clock, Config, Home};
pub use error::AuthorityError;
