//! The npm package `oidc-provider` in the background: an identity provider for people and workloads, and an authorization
//! server for whatever is protected by OAuth. `xtask/interop/provider.mjs` says what it can be told.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::home::{free_port, noise, write};
use super::packages::Packages;
use super::process::Background;

const READY_MAX: Duration = Duration::from_secs(30);

/// A running provider. Dropping it ends it.
pub(crate) struct Provider {
    /// Its issuer, and so the prefix of everything that it serves.
    pub(crate) issuer: String,
    _running: Background,
}

impl Provider {
    /// Starts one on a port of its own, under a name that is its own among the files of `scratch`. `config` is what the
    /// program reads, but for the port.
    pub(crate) fn start(
        root: &Path,
        packages: &Packages,
        scratch: &Path,
        name: &str,
        mut config: Value,
    ) -> io::Result<Self> {
        let port = free_port()?;
        if let Some(members) = config.as_object_mut() {
            members.insert("port".into(), json!(port));
        }
        let file = scratch.join(format!("{name}.json"));
        write(&file, &config.to_string())?;
        let mut command = Command::new(packages.node());
        command.arg(root.join("xtask/interop/provider.mjs")).arg(packages.modules()).arg(&file);
        let mut running = Background::start(&mut command, noise(scratch, name)?)?;
        running.first_line(READY_MAX).map_err(|error| io::Error::other(format!("the provider {name}: {error}")))?;
        Ok(Self { issuer: format!("http://127.0.0.1:{port}"), _running: running })
    }
}
