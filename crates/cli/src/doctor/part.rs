//! Which part of Remit a home is of. What is served apart is started apart: `remit up` would make the other part beside it.

use crate::context::Context;
use crate::home::Home;

/// What lies in a home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Both parts, or nothing yet.
    Both,
    /// The authority alone.
    Authority,
    /// A gateway alone.
    Gateway,
}

impl Part {
    pub(crate) fn of(home: &Home) -> Self {
        match (home.authority().path().exists(), home.gateway().exists()) {
            (true, false) => Self::Authority,
            (false, true) => Self::Gateway,
            _ => Self::Both,
        }
    }
}

/// The command that starts what lies here.
pub(crate) fn start(context: &Context) -> String {
    let command = match Part::of(&context.home) {
        Part::Both => "up",
        Part::Authority => "serve authority",
        Part::Gateway => "serve gateway",
    };
    format!("remit{} {command}", context.home.flag(&context.env))
}
