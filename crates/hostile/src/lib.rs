//! What must hold of any bytes whatever: one function for each parser of a stranger's bytes. Never in a release.
//!
//! Each function takes bytes and panics where its property does not hold: beyond "it does not crash", that what is read
//! prints back, that a second reader sees the same, and that what is judged is what is sent. `fuzz/` searches for bytes
//! that break one of them; the test of this crate replays those that were kept.

#![expect(clippy::missing_panics_doc, reason = "a property panics where it does not hold, and is for nothing else")]

mod bundle;
mod chain;
mod client;
mod envelope;
mod fixed;
mod form;
mod grant;
mod headers;
mod issuer;
mod json;
mod leaf;
mod list;
mod manifest;
mod names;
mod note;
mod parts;
mod planted;
mod policy;
mod schema;
mod second;
mod segment;
mod sse;
mod tile;
mod token;
mod wire;
pub mod worst;

pub use bundle::bundle;
pub use chain::chain;
pub use client::client;
pub use envelope::envelope;
pub use form::form;
pub use grant::grant;
pub use headers::headers;
pub use issuer::issuer;
pub use json::json;
pub use leaf::leaf;
pub use list::list;
pub use manifest::manifest;
pub use names::names;
pub use note::note;
pub use planted::{Mistake, planted};
pub use policy::policy;
pub use schema::schema;
pub use segment::segment;
pub use sse::sse;
pub use tile::tile;
pub use token::token;
pub use wire::wire;

/// Panics where it does not hold of these bytes.
pub type Property = fn(&[u8]);

/// Every property by its name, which is that of its target and of its corpus.
pub const ALL: [(&str, Property); 21] = [
    ("bundle", bundle),
    ("chain", chain),
    ("client", client),
    ("envelope", envelope),
    ("form", form),
    ("grant", grant),
    ("headers", headers),
    ("issuer", issuer),
    ("json", json),
    ("leaf", leaf),
    ("list", list),
    ("manifest", manifest),
    ("names", names),
    ("note", note),
    ("policy", policy),
    ("schema", schema),
    ("segment", segment),
    ("sse", sse),
    ("tile", tile),
    ("token", token),
    ("wire", wire),
];
