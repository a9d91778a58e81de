//! The control plane.

pub mod change;
pub mod config;
mod entry;
pub mod error;
pub mod grant;
mod journal;
mod keys;
mod random;
mod signing;
mod store;
pub mod subset;
