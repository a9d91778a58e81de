//! What every command is given: where state lies, what is configured, and where to print.

use std::path::PathBuf;

use crate::config::{self, Env, Flag, Loaded};
use crate::error::CliError;
use crate::home::Home;
use crate::out::Out;

/// The surroundings of a command.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) home: Home,
    /// `--home`, where it was given.
    pub(crate) home_flag: Option<PathBuf>,
    pub(crate) loaded: Loaded,
    pub(crate) env: Env,
    /// What flags say of the configuration.
    pub(crate) flags: Vec<Flag>,
    pub(crate) out: Out,
}

impl Context {
    /// Reads the configuration again, after it was written.
    pub(crate) fn reload(&mut self) -> Result<(), CliError> {
        self.loaded = config::load(&self.loaded.file, &self.env, &self.flags)?.whole()?;
        Ok(())
    }
}
