//! Features of a client that a server may use: asking the user, asking the model, listing folders.
//!
//! Each lets an upstream put its own words before the user or the model, and takes something home that no argument of a
//! call named. So each is off unless it was granted.

use serde::{Deserialize, Serialize};

/// A feature that clients offer to servers ("client features" of MCP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// Asking the user: `elicitation/create`.
    Elicitation,
    /// Asking the model: `sampling/createMessage`.
    Sampling,
    /// The folders that the user works in: `roots/list`.
    Roots,
}

impl Feature {
    /// Every one.
    pub const ALL: [Feature; 3] = [Feature::Elicitation, Feature::Sampling, Feature::Roots];

    /// Its name, as clients declare it among their capabilities.
    pub fn name(self) -> &'static str {
        match self {
            Feature::Elicitation => "elicitation",
            Feature::Sampling => "sampling",
            Feature::Roots => "roots",
        }
    }

    /// The method by which a server uses it.
    pub fn method(self) -> &'static str {
        match self {
            Feature::Elicitation => "elicitation/create",
            Feature::Sampling => "sampling/createMessage",
            Feature::Roots => "roots/list",
        }
    }

    /// The feature with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }

    /// The feature that a server uses by this method.
    pub fn used_by(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.method() == method)
    }
}
