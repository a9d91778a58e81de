//! Where things lie below Remit's home directory.

use std::path::{Path, PathBuf};

use crate::config::Env;
use crate::error::CliError;

/// The home directory.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// `--home`, else `REMIT__HOME`, else `$XDG_STATE_HOME/remit`, else `~/.local/state/remit`.
    pub(crate) fn find(flag: Option<&Path>, env: &Env) -> Result<Self, CliError> {
        let set = |name: &str| env.get(name).filter(|text| !text.is_empty()).map(PathBuf::from);
        let found = flag
            .map(Path::to_owned)
            .or_else(|| set("REMIT__HOME"))
            .or_else(|| Some(set("XDG_STATE_HOME")?.join("remit")))
            .or_else(|| Some(set("HOME")?.join(".local/state/remit")));
        let path = found.ok_or_else(|| {
            CliError::unevaluated("there is no home directory to keep state in", "name one: remit --home DIR …")
        })?;
        // Sockets and children of other directories must find it too.
        let path = std::path::absolute(&path).map_err(|error| {
            CliError::unevaluated(format!("{}: {error}", path.display()), "name a directory: remit --home DIR …")
        })?;
        Ok(Self(path))
    }

    /// The home that this directory is.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration. It is never looked for in the working directory: a project that is checked out, or an agent
    /// that writes into it, must not say whom to trust.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("remit.toml")
    }

    pub(crate) fn authority(&self) -> remit_authority::config::Home {
        remit_authority::config::Home::new(&self.0.join("authority"))
    }

    pub(crate) fn gateway(&self) -> PathBuf {
        self.0.join("gateway")
    }

    pub(crate) fn gateway_log(&self) -> PathBuf {
        self.gateway().join("log")
    }

    pub(crate) fn gateway_vault(&self) -> PathBuf {
        self.gateway().join("vault")
    }

    pub(crate) fn gateway_vault_key(&self) -> PathBuf {
        self.gateway().join("keys").join("vault")
    }

    /// The bundle of a version that the gateway loaded.
    pub(crate) fn bundle(&self, version: u64) -> PathBuf {
        self.gateway().join("bundles").join(format!("{version}.note"))
    }

    /// `--home …` as it is typed, where the home is not the usual one.
    pub(crate) fn flag(&self, env: &Env) -> String {
        match Self::find(None, env) {
            Ok(usual) if usual.0 == self.0 => String::new(),
            _ => format!(" --home {}", typed(&self.0)),
        }
    }
}

/// A path as a shell must be given it.
pub(crate) fn typed(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_copied_whatever_the_home_is_called() {
        for (path, flag) in [
            ("/h/a-b_c.d", " --home /h/a-b_c.d"),
            ("/h/My Home", " --home '/h/My Home'"),
            ("/h/it's", " --home '/h/it'\\''s'"),
            ("/h/$(x)", " --home '/h/$(x)'"),
        ] {
            assert_eq!(Home::at(Path::new(path)).flag(&Env::default()), flag);
        }
    }
}
