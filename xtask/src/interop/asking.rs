//! Servers that ask something of the user, the model or the client while they work, and how they are registered.

use std::io;
use std::path::Path;

use serde_json::json;

use super::clients::Era;
use super::home::{Home, free_port};
use super::packages::Packages;
use super::process::Background;
use super::servers::{Call, Server, arithmetic, call, of_everything};

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
}

/// All that can be run here. The one that was made with the package `mcp` runs already: it has a second name.
pub(crate) fn all(packages: &Packages, servers: &[Server]) -> io::Result<Vec<Asking>> {
    let everything = packages.module("@modelcontextprotocol/server-everything/dist/index.js").display().to_string();
    let node = packages.node().display().to_string();
    let command = |transport: &str| vec![node.clone(), everything.clone(), transport.to_owned()];
    let http = Server {
        url: Some(format!("http://127.0.0.1:{}/mcp", free_port()?)),
        ..of_everything("everything-asks", command("streamableHttp"))
    };
    let stdio = of_everything("everything-stdio-asks", command("stdio"));
    let mut all = vec![
        Asking { server: asks(http), eras: &[Era::Legacy], probes: of_each() },
        Asking { server: asks(stdio), eras: &[Era::Legacy], probes: of_each() },
    ];
    if let Some(url) = servers.iter().find(|server| server.name == "arithmetic").and_then(|found| found.url.clone()) {
        let server = Server {
            name: "arithmetic-asks",
            granted: &["add", "introduce"],
            features: FEATURES,
            constraints: Vec::new(),
            ..arithmetic(url, Vec::new())
        };
        all.push(Asking { server, eras: &[Era::Legacy, Era::Modern], probes: of_all_at_once() });
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
    /// Starts it where it is a program of its own, and registers it.
    pub(crate) fn add(&self, home: &Home, scratch: &Path) -> io::Result<Option<Background>> {
        let running = self.server.start(scratch)?;
        home.add(&self.server)?;
        Ok(running)
    }
}
