//! What a run's client is told of the relay.

use serde::{Deserialize, Serialize};

/// What a client brings to the relay. No `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayGiven {
    /// The server's URL at the relay.
    pub url: String,
    /// The bearer value; nothing where the agent's tokens need no proof, and so no relay.
    pub value: Option<String>,
}
