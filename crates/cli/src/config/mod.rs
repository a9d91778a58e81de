//! The configuration: defaults < `remit.toml` < `REMIT__SECTION__KEY` < flags, parsed once into one typed value.
//!
//! **Invariant:** an unknown key is an error wherever it stands, because it might have restricted something.

mod add;
#[cfg(test)]
mod docs;
mod env;
mod keys;
mod layers;
pub(crate) mod show;
mod span;

pub(crate) use add::{Added, add};
pub(crate) use env::Env;
pub(crate) use keys::KEYS;
pub(crate) use layers::{Flag, Loaded, Source, load};

use crate::error::CliError;

impl Loaded {
    /// The value of a key that has no default; its absence is an error that names it and shows a line to paste.
    pub(crate) fn required<'a, T>(&self, name: &str, value: Option<&'a T>) -> Result<&'a T, CliError> {
        value.ok_or_else(|| {
            let (section, key) = name.split_once('.').unwrap_or(("", name));
            let like = KEYS.iter().find(|key| key.name == name).map_or("", |key| key.like);
            CliError::unevaluated(
                format!("`{name}` is not set, and there is no default for what grants trust"),
                format!("add to {}:\n\n[{section}]\n{key} = \"{like}\"", self.file.display()),
            )
        })
    }
}
