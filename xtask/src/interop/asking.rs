//! Servers that ask something of the user, the model or the client while they work, and how they are registered.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use super::clients::Era;
use super::home::{Home, free_port, noise, write};
use super::packages::Packages;
use super::process::Background;
use super::servers::{Call, Server, arithmetic, call, of_everything};

const READY_MAX: Duration = Duration::from_secs(30);
/// All that a client can offer, in the order in which the servers ask for it here.
const FEATURES: &[&str] = &["elicitation", "sampling", "roots"];
/// What the gateway answers a server in the legacy era for a client that was not granted the feature.
const NOT_OFFERED: &str = "this client does not offer it";

/// A call whose server asks something first, or in between.
pub(crate) struct Probe {
    pub(crate) call: Call,
    /// The features by which it asks.
    pub(crate) asks: &'static [&'static str],
    /// A part of the result that holds what the client answered.
    pub(crate) told: &'static str,
    /// A part of the result where the client was never asked, in the legacy era and in the modern one.
    pub(crate) untold: [&'static str; 2],
}

/// A server that asks.
pub(crate) struct Asking {
    pub(crate) server: Server,
    pub(crate) eras: &'static [Era],
    pub(crate) probes: Vec<Probe>,
    /// The program to list the tools of, where it shows them only to a client with features: `remit server add` has none.
    shy: Option<Shy>,
}

struct Shy {
    python: PathBuf,
    declares: PathBuf,
    program: Vec<String>,
}

/// All that can be run here. The one that was made with the package `mcp` runs already: it has a second name.
pub(crate) fn all(root: &Path, packages: &Packages, servers: &[Server], scratch: &Path) -> io::Result<Vec<Asking>> {
    let everything = packages.module("@modelcontextprotocol/server-everything/dist/index.js").display().to_string();
    let node = packages.node().display().to_string();
    let command = |transport: &str| vec![node.clone(), everything.clone(), transport.to_owned()];
    let shy = || Shy {
        python: packages.python("python"),
        declares: root.join("xtask/interop/declares.py"),
        program: command("stdio"),
    };
    let script = scratch.join("everything-asks.sh").display().to_string();
    let http = Server {
        url: Some(format!("http://127.0.0.1:{}/mcp", free_port()?)),
        ..of_everything("everything-asks", command("streamableHttp"))
    };
    let stdio = of_everything("everything-stdio-asks", vec!["/bin/sh".into(), script]);
    let mut all = vec![
        Asking { server: asks(http), eras: &[Era::Legacy], probes: of_each(), shy: Some(shy()) },
        Asking { server: asks(stdio), eras: &[Era::Legacy], probes: of_each(), shy: Some(shy()) },
    ];
    if let Some(url) = servers.iter().find(|server| server.name == "arithmetic").and_then(|found| found.url.clone()) {
        let server = Server {
            name: "arithmetic-asks",
            granted: &["add", "introduce"],
            features: FEATURES,
            constraints: Vec::new(),
            ..arithmetic(url, Vec::new())
        };
        all.push(Asking { server, eras: &[Era::Legacy, Era::Modern], probes: of_all_at_once(), shy: None });
    }
    Ok(all)
}

fn asks(server: Server) -> Server {
    Server {
        granted: &["echo", "get-roots-list", "trigger-elicitation-request", "trigger-sampling-request"],
        features: FEATURES,
        constraints: Vec::new(),
        ..server
    }
}

/// One feature after the other, and then a call that asks nothing.
fn of_each() -> Vec<Probe> {
    let no_roots = "no roots are currently configured";
    let probe = |tool, arguments, asks, told, untold| Probe {
        call: call(tool, arguments),
        asks,
        told,
        untold: [untold, untold],
    };
    vec![
        probe("trigger-elicitation-request", json!({}), &["elicitation"], "Name: the answer of a user", NOT_OFFERED),
        probe(
            "trigger-sampling-request",
            json!({ "prompt": "say something", "maxTokens": 16 }),
            &["sampling"],
            "the answer of a model",
            NOT_OFFERED,
        ),
        probe("get-roots-list", json!({}), &["roots"], "the folder of a user", no_roots),
        probe("echo", json!({ "message": "as before" }), &[], "as before", "as before"),
    ]
}

/// All three in one call: in the modern era before it is answered, in one batch.
fn of_all_at_once() -> Vec<Probe> {
    let told = "the answer of a user; the answer of a model; the folder of a user";
    let add = call("add", json!({ "a": 40, "b": 2 }));
    vec![
        Probe { call: call("introduce", json!({})), asks: FEATURES, told, untold: [NOT_OFFERED, "insufficient_scope"] },
        Probe { call: add, asks: &[], told: "42", untold: ["42", "42"] },
    ]
}

impl Asking {
    /// Registers it, and starts it where it is a program of its own.
    pub(crate) fn add(&self, home: &Home, scratch: &Path) -> io::Result<Option<Background>> {
        let script = self.server.command.last().filter(|_| self.server.url.is_none());
        match (&self.shy, script) {
            (None, _) => home.add(&self.server)?,
            (Some(shy), Some(script)) => {
                let script = Path::new(script);
                write(script, &shell(&shy.line("-")))?;
                home.add(&self.server)?;
                write(script, &shell(&shy.program))?;
            }
            (Some(shy), None) => {
                let port = self.server.url.as_deref().and_then(|url| url.trim_end_matches("/mcp").rsplit(':').next());
                let line = shy.line(port.unwrap_or_default());
                let [program, arguments @ ..] = line.as_slice() else { return Ok(None) };
                let mut stand_in =
                    Background::start(Command::new(program).args(arguments), noise(scratch, "declares")?)?;
                stand_in.first_line(READY_MAX)?;
                home.add(&self.server)?;
            }
        }
        self.server.start(scratch)
    }
}

impl Shy {
    fn line(&self, port: &str) -> Vec<String> {
        let mut line = vec![self.python.display().to_string(), "-B".into(), self.declares.display().to_string()];
        line.push(port.to_owned());
        line.extend(self.program.iter().cloned());
        line
    }
}

/// A script that becomes this program.
fn shell(line: &[String]) -> String {
    let quoted: Vec<String> = line.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    format!("exec {}\n", quoted.join(" "))
}
