//! A client's file: whatever is not a server that is adopted stays what it was, byte for byte.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use remit_core::json;
use remit_gateway::mcp::splice::{range_in, splice};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::failed;
use super::sensitive::MASK;
use crate::error::CliError;

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// What clients call the member that holds their servers.
const SERVERS: [&str; 2] = ["mcpServers", "servers"];
/// Members of a server whose values are never kept, whatever they are called.
const HOLD_KEYS: [&str; 2] = ["headers", "env"];

/// A file as it was read.
pub(super) struct File {
    text: Zeroizing<String>,
    path: PathBuf,
    pub(super) mode: u32,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let meta = std::fs::metadata(path).map_err(|error| failed(path, &error))?;
        if meta.len() > FILE_BYTES_MAX {
            return Err(failed(path, &"larger than 4 MiB"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| failed(path, &error))?;
        Ok(Self { text: Zeroizing::new(text), path: path.to_owned(), mode: meta.permissions().mode() & 0o777 })
    }

    /// Its servers in their order, each as it is written.
    pub(super) fn servers(&self) -> Result<Vec<(String, &str)>, CliError> {
        let bad = |why: &dyn std::fmt::Display| failed(&self.path, why);
        let whole: &RawValue = serde_json::from_str(&self.text).map_err(|error| bad(&error))?;
        let members = json::members(whole).map_err(|error| bad(&error))?;
        let found = members.into_iter().find(|(name, _)| SERVERS.contains(&name.as_ref()));
        let (_, servers) = found.ok_or_else(|| bad(&"it has no `mcpServers`"))?;
        let servers = json::members(servers).map_err(|error| bad(&error))?;
        Ok(servers.into_iter().map(|(name, raw)| (name.into_owned(), raw.get())).collect())
    }

    /// The text with each of these slices of it replaced.
    pub(super) fn with(&self, edits: &[(&str, String)]) -> Option<String> {
        let edits = edits.iter().map(|(old, new)| Some((range_in(&self.text, old)?, new.as_str())));
        splice(&self.text, edits.collect::<Option<_>>()?)
    }

    /// The servers as they were, without a value that could be a key.
    pub(super) fn masked(&self) -> Result<String, CliError> {
        let mut servers = serde_json::Map::new();
        for (name, text) in self.servers()? {
            let mut value: Value = serde_json::from_str(text).map_err(|error| failed(&self.path, &error))?;
            for member in HOLD_KEYS {
                for held in value.get_mut(member).and_then(Value::as_object_mut).into_iter().flatten() {
                    *held.1 = MASK.into();
                }
            }
            // What is kept as it is may hold a key where nobody looks for one.
            if !["url", "command"].iter().any(|member| value.get(member).is_some_and(Value::is_string)) {
                value = MASK.into();
            }
            super::sensitive::mask(&mut value);
            servers.insert(name, value);
        }
        let text = serde_json::to_string_pretty(&serde_json::json!({ "mcpServers": servers }));
        text.map(|text| text + "\n").map_err(|error| failed(&self.path, &error))
    }
}
