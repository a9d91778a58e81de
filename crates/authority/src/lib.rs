//! The control plane.

pub mod change;
pub mod config;
pub mod error;
pub mod grant;
mod keys;
mod random;
mod signing;
mod store;
pub mod subset;
