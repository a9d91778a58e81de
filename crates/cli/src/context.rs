//! What every command is given: where state lies, what is configured, and where to print.

use crate::config::{Env, Loaded};
use crate::home::Home;
use crate::out::Out;

/// The surroundings of a command.
pub(crate) struct Context {
    pub(crate) home: Home,
    pub(crate) loaded: Loaded,
    pub(crate) env: Env,
    pub(crate) out: Out,
}
