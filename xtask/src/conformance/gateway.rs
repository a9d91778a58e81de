//! The gateway between suite and fixture: everything that the suite uses is exposed and granted, as one would by hand.

use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use serde_json::Value;

use super::fixture::Menu;
use super::listener::{self, Identity};
use crate::interop::home::{Home, write};

/// The fixture's name at the gateway.
const SERVER: &str = "conformance";
/// The agent for which the suite acts.
const AGENT: &str = "interop/suite";
/// The agent as which it logs in: it sends no proofs of possession, and the floor lets such tokens do little.
pub(crate) const CLIENT: &str = "interop/login";
const FEATURES: [&str; 3] = ["elicitation", "sampling", "roots"];
/// The suite says more in a minute than any agent.
const BUDGET: &str = "[budget]\ncalls = 10000\ncalls_per_minute = 10000\nrepeats = 1000\n";

/// A running home, and two addresses at which it looks like the fixture.
pub(crate) struct Between {
    pub(crate) home: Home,
    /// The authority's name.
    pub(crate) issuer: String,
    /// As a run that was granted everything.
    pub(crate) all: SocketAddr,
    /// As a run that was granted the first tool and nothing else.
    pub(crate) little: SocketAddr,
}

impl Between {
    /// Starts the gateway, registers the fixture, begins the runs, and listens as each of them.
    pub(crate) fn start(root: &Path, scratch: &Path, url: &str, menu: &Menu) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        // The suite says where it comes from as a web page would, and must be let in for that.
        let origins = format!("[gateway]\norigins = [\"http://{}\"]\n", listener.local_addr()?);
        write(&scratch.join("home/remit.toml"), &origins)?;
        let home = Home::start(root, scratch)?;
        let pin = home.pin_file();
        let (tools, prompts, features) = (menu.tools.join(","), menu.prompts.join(","), FEATURES.join(","));
        let what = ["--expose", &tools, "--prompts", &prompts, "--resources", "--client", &features];
        home.remit(&[&["server", "add", SERVER, "--url", url, "--pin-file", &pin], what.as_slice()].concat())?;
        let targets = targets(menu);
        let file = scratch.join("agent.toml");
        let login = targets.get(..1).unwrap_or_default();
        for text in [manifest("suite", false, &targets)?, manifest("login", true, login)?] {
            write(&file, &text)?;
            home.remit(&["agent", "register", &file.display().to_string(), "--pin-file", &pin])?;
        }
        let all = listener::serve(listener, begin(&home, &targets)?)?;
        let little = targets.get(..1).unwrap_or_default();
        let little = listener::serve(TcpListener::bind(("127.0.0.1", 0))?, begin(&home, little)?)?;
        let status = home.facts(&["status"])?;
        let issuer = status.pointer("/authority/issuer").and_then(Value::as_str);
        let issuer = issuer.ok_or_else(|| io::Error::other("remit status names no issuer"))?.to_owned();
        Ok(Self { home, issuer, all, little })
    }

    /// What a client asks a token for.
    pub(crate) fn resource(&self) -> String {
        format!("http://{}/mcp/{SERVER}", self.home.gateway())
    }
}

/// A run that is granted these, and its identity.
fn begin(home: &Home, targets: &[(&str, String)]) -> io::Result<Identity> {
    let asked: Vec<String> = targets.iter().map(|(kind, name)| asked(kind, name)).collect();
    let mut line = vec!["request", "--agent", AGENT, "--for", "15m", "--why", "conformance"];
    line.extend(asked.iter().map(String::as_str));
    let given = home.facts(&line)?;
    let socket = given.get("socket").and_then(Value::as_str);
    let socket = socket.ok_or_else(|| io::Error::other("remit request names no socket"))?;
    Ok(Identity { socket: socket.into(), gateway: home.gateway().to_owned(), path: format!("/mcp/{SERVER}") })
}

/// Everything, by kind and name.
fn targets(menu: &Menu) -> Vec<(&'static str, String)> {
    let all = [("tool", &menu.tools), ("prompt", &menu.prompts), ("resource", &menu.resources)];
    let named = all.into_iter().flat_map(|(kind, names)| names.iter().map(move |name| (kind, name.clone())));
    named.chain(FEATURES.map(|feature| ("client", feature.to_owned()))).collect()
}

/// As it is asked for on the command line.
fn asked(kind: &str, name: &str) -> String {
    if kind == "tool" { format!("{SERVER}/{name}") } else { format!("{kind}:{SERVER}/{name}") }
}

fn manifest(name: &str, bearer: bool, targets: &[(&str, String)]) -> io::Result<String> {
    let mut manifest = format!(
        "[agent]\nname = \"{name}\"\nversion = \"1.0.0\"\nteam = \"interop\"\nenvironment = \"production\"\n\
         purpose = \"shows what the gateway changes of the protocol\"\nbearer = {bearer}\n\
         [harm]\nwrites = false\nreversible = true\nautonomous = false\n",
    );
    manifest += BUDGET;
    for (kind, name) in targets {
        let need = format!("[[need]]\n{kind} = \"{SERVER}/{name}\"\nreason = \"the suite uses it\"\nlongest = \"15m\"");
        writeln!(manifest, "{need}").map_err(io::Error::other)?;
    }
    Ok(manifest)
}
