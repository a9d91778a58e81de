//! The control plane.

pub mod change;
pub mod config;
mod entry;
pub mod error;
pub mod grant;
mod journal;
mod keys;
pub mod learn;
mod proof;
mod random;
mod signing;
mod store;
pub mod subset;
