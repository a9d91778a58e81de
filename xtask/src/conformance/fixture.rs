//! The fixture: a server under the suite's own names, which passes all that is asked here when it is asked directly.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::interop::home::{free_port, noise};
use crate::interop::process::Background;

const READY_MAX: Duration = Duration::from_secs(30);
/// What the suite reads beside what is listed: one of a template, and one that does not exist.
const BESIDE: [&str; 2] = ["test://template/123/data", "test://nonexistent-resource-for-conformance-testing"];

/// What it offers, by name.
pub(crate) struct Menu {
    pub(crate) tools: Vec<String>,
    pub(crate) prompts: Vec<String>,
    pub(crate) resources: Vec<String>,
}

/// A running fixture. It ends when this is dropped.
pub(crate) struct Fixture {
    pub(crate) url: String,
    pub(crate) menu: Menu,
    _running: Background,
}

impl Fixture {
    pub(crate) fn start(root: &Path, scratch: &Path) -> io::Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(root.join("target/debug/conformance"));
        let mut running = Background::start(command.arg(&address), noise(scratch, "fixture")?)?;
        let said: Value = serde_json::from_str(&running.first_line(READY_MAX)?)?;
        let names = |kind: &str| {
            let names = said.get(kind).and_then(Value::as_array).into_iter().flatten();
            names.filter_map(Value::as_str).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let resources = names("resources").into_iter().chain(BESIDE.map(ToOwned::to_owned)).collect();
        let menu = Menu { tools: names("tools"), prompts: names("prompts"), resources };
        Ok(Self { url: format!("http://{address}/mcp"), menu, _running: running })
    }
}
