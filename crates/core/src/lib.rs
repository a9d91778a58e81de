//! The decision, and the words in which it is made. Pure: no async, no I/O, no clock, no randomness; every input is
//! an argument, so that every decision can be replayed from the log.
//!
//! The verbs are the files [`identify`], [`plan`], [`decide`] and [`label`], in the order in which a call meets them.

pub mod arguments;
pub mod bundle;
pub mod call;
pub mod chain;
pub mod claims;
pub mod confirm;
pub mod constraint;
pub mod decide;
pub mod dpop;
pub mod event;
pub mod feature;
pub mod gate;
pub mod grant;
pub mod hash;
pub mod id;
pub mod identify;
pub mod input;
pub mod json;
pub mod jws;
pub mod label;
pub mod lease;
pub mod manifest;
pub mod method;
pub mod number;
pub mod owner;
pub mod pin;
pub mod plan;
pub mod policy;
pub mod registry;
pub mod rejection;
pub mod revoked;
pub mod role;
pub mod secret;
pub mod snapshot;
pub mod steady;
pub mod subset;
pub mod target;

mod evaluate;
mod index;
mod merge;
mod reads;
mod schema;
