//! A running `remit up` in a scratch directory, and the commands that are typed beside it.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{self, Background};
use super::servers::Server;

const READY_MAX: Duration = Duration::from_mins(1);
const COMMAND_MAX: Duration = Duration::from_mins(1);
/// Team and name of the agent for which every client acts.
pub(crate) const AGENT: &str = "interop/client";

/// The scratch home.
pub(crate) struct Home {
    /// The folder around it, where everything else of this run lies too.
    pub(crate) scratch: PathBuf,
    remit: PathBuf,
    up: Background,
    /// Where the gateway listens.
    gateway: String,
    /// Where the authority listens.
    authority: String,
    /// The key of the gateway's log.
    pub(crate) vkey: PathBuf,
}

impl Home {
    /// Starts authority and gateway on ports of their own.
    pub(crate) fn start(root: &Path, scratch: &Path) -> io::Result<Self> {
        let remit = root.join("target/debug/remit");
        let mut up = Command::new(&remit);
        up.arg("--json").arg("--home").arg(scratch.join("home")).arg("up");
        let gateway = format!("127.0.0.1:{}", free_port()?);
        let authority = format!("127.0.0.1:{}", free_port()?);
        // Identity providers and authorization servers of upstreams are on this machine.
        up.env("REMIT__AUTHORITY__INTERNAL_HOSTS", "[\"127.0.0.1\", \"localhost\"]");
        up.args(["--listen-authority", &authority]);
        up.args(["--listen-gateway", &gateway]);
        up.arg("--pin-file").arg(scratch.join("pin"));
        let mut up = Background::start(&mut up, noise(scratch, "up")?)?;
        up.first_line(READY_MAX)
            .map_err(|error| io::Error::other(format!("remit up: {error}, see {}/up.err", scratch.display())))?;
        let home = Self { scratch: scratch.to_owned(), remit, up, gateway, authority, vkey: scratch.join("vkey") };
        // Kept from the beginning, as an auditor would: what signs the log in the end must be this.
        std::fs::copy(home.log()?.join("vkey"), &home.vkey)?;
        Ok(home)
    }

    /// The folder of the binary, for a `PATH`.
    pub(crate) fn programs(&self) -> &Path {
        self.remit.parent().unwrap_or(&self.remit)
    }

    /// Where the gateway listens.
    pub(crate) fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The authority, as its clients and everybody's tokens name it.
    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.authority)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.scratch.join("home")
    }

    /// The directory of the gateway's log, of which there is one epoch.
    pub(crate) fn log(&self) -> io::Result<PathBuf> {
        let all = std::fs::read_dir(self.dir().join("gateway/log"))?;
        let epochs: Vec<PathBuf> = all.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        match epochs.as_slice() {
            [epoch] => Ok(epoch.clone()),
            _ => Err(io::Error::other(format!("{} epochs of the gateway's log", epochs.len()))),
        }
    }

    /// Ends `remit up`, which publishes the last of its log.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        self.up.stop()
    }

    /// A command of `remit`, as it is typed.
    pub(crate) fn line(&self, arguments: &[&str]) -> Vec<String> {
        let mut line =
            vec![self.remit.display().to_string(), "--json".into(), "--home".into(), self.dir().display().to_string()];
        line.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        line
    }

    /// What a command prints; an error where it does not end well.
    pub(crate) fn remit(&self, arguments: &[&str]) -> io::Result<String> {
        let line = self.line(arguments);
        let mut command = Command::new(&self.remit);
        let output = process::run(command.args(line.iter().skip(1)), "", COMMAND_MAX)?;
        if output.good {
            return Ok(output.out);
        }
        Err(io::Error::other(format!("remit {} says: {}{}", arguments.join(" "), output.out.trim(), output.err.trim())))
    }

    /// The one object that a command prints.
    pub(crate) fn facts(&self, arguments: &[&str]) -> io::Result<Value> {
        serde_json::from_str(&self.remit(arguments)?).map_err(io::Error::other)
    }

    pub(crate) fn pin_file(&self) -> String {
        self.scratch.join("pin").display().to_string()
    }

    /// Registers a server, and exposes what a run may be granted of it.
    pub(crate) fn add(&self, server: &Server) -> io::Result<()> {
        let exposed = server.exposed().join(",");
        let pin = self.pin_file();
        let features = server.features.join(",");
        let mut line = vec!["server", "add", server.name, "--expose", &exposed, "--pin-file", &pin];
        let review = self.scratch.join(format!("{}.review", server.name)).display().to_string();
        if !server.features.is_empty() {
            // What its tools return can be trusted, so what makes a run untrusted is what it asks.
            let said =
                |tool: &str| format!("[{tool}]\nreturns = {{ trust = \"internal\", sensitivity = \"internal\" }}\n");
            write(Path::new(&review), &server.granted.iter().map(|tool| said(tool)).collect::<String>())?;
            line.extend(["--client", &features, "--review", &review]);
        }
        match &server.url {
            Some(url) => line.extend(["--url", url]),
            None => line.push("--"),
        }
        line.extend(server.command.iter().filter(|_| server.url.is_none()).map(String::as_str));
        self.remit(&line).map(drop)
    }

    /// Registers the agent, which declares all that is exposed.
    pub(crate) fn register<'a>(&self, servers: impl Iterator<Item = &'a Server>) -> io::Result<()> {
        let mut manifest = String::from(
            "[agent]\nname = \"client\"\nversion = \"1.0.0\"\nteam = \"interop\"\nenvironment = \"production\"\n\
             purpose = \"shows that clients of other makers work\"\nbearer = true\n\
             [harm]\nwrites = false\nreversible = true\nautonomous = false\n",
        );
        for server in servers {
            let tools = server.exposed().into_iter().map(|tool| ("tool", tool));
            for (kind, name) in tools.chain(server.features.iter().map(|feature| ("client", *feature))) {
                manifest += "[[need]]\nreason = \"to be called\"\nlongest = \"15m\"\n";
                writeln!(manifest, "{kind} = \"{}/{name}\"", server.name).map_err(io::Error::other)?;
            }
        }
        let file = self.scratch.join("agent.toml");
        write(&file, &manifest)?;
        self.remit(&["agent", "register", &file.display().to_string(), "--pin-file", &self.pin_file()]).map(drop)
    }

    /// A run of its own, with a grant for this server and these features of its client. Returns the run's id.
    pub(crate) fn request(&self, server: &Server, features: &[&str], why: &str) -> io::Result<String> {
        let mut tools: Vec<String> = server.granted.iter().map(|tool| format!("{}/{tool}", server.name)).collect();
        tools.extend(features.iter().map(|feature| format!("client:{}/{feature}", server.name)));
        let mut line = vec!["request", "--agent", AGENT, "--for", "15m", "--why", why];
        line.extend(tools.iter().map(String::as_str));
        for constraint in &server.constraints {
            line.extend(["--where", constraint]);
        }
        let given = self.facts(&line)?;
        let run = given.pointer("/run/id").and_then(Value::as_str);
        run.map(ToOwned::to_owned).ok_or_else(|| io::Error::other("remit request names no run"))
    }

    /// The headers with which a client of the run reaches a server.
    pub(crate) fn headers(&self, server: &Server, run: &str) -> io::Result<Value> {
        self.facts(&["token", server.name, "--run", run])
    }

    /// Where a client finds the server.
    pub(crate) fn url(&self, server: &Server) -> String {
        format!("http://{}/mcp/{}", self.gateway, server.name)
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The file for what a program says beside the matter.
pub(crate) fn noise(scratch: &Path, name: &str) -> io::Result<std::fs::File> {
    std::fs::OpenOptions::new().create(true).append(true).open(scratch.join(format!("{name}.err")))
}

/// A file of the scratch directory.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    #[expect(clippy::disallowed_methods, reason = "a scratch file need not be durable")]
    std::fs::write(path, text)
}
