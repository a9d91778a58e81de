//! The authority through its real HTTP endpoints and sockets, on scratch homes.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may panic")]

mod asks;
mod asks_in_browser;
mod bounds;
mod broker;
mod brokered;
mod common;
mod connections;
mod delegation;
mod documented;
mod events;
mod exchange;
mod federation;
mod federation_keys;
mod federation_words;
mod followed;
mod grants;
mod http;
mod hygiene;
mod inside;
mod introspect;
mod login;
mod offline;
mod people;
mod places;
mod posture;
mod refusals;
mod relay;
mod secrets;
mod sockets;
mod spawn;
mod teams;
mod upstream;
