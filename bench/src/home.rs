//! The real program: `remit up` as a process of its own, and the commands that are typed beside it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::key::Key;
use crate::mint;
use crate::road::Credentials;

const READY_MAX: Duration = Duration::from_mins(15);
/// How long a program may take to end by itself once it is asked to.
const STOP_MAX: Duration = Duration::from_secs(30);
/// The agent of the measured calls.
pub(crate) const CALLER: &str = "bench/caller";
/// An agent of another team.
pub(crate) const NEIGHBOUR: &str = "other/caller";
/// The agent of the measured calls: the usual budget of an agent would end them after a thousand.
const MANIFEST: &str = r#"
[agent]
name = "caller"
version = "1.0.0"
team = "bench"
environment = "production"
purpose = "measures what a governed call costs"

[harm]
writes = false
reversible = true
autonomous = false

[budget]
calls = 1000000000
calls_per_minute = 1000000000
"#;

/// A home with an authority and a gateway.
pub(crate) struct Home {
    remit: PathBuf,
    dir: PathBuf,
    authority: SocketAddr,
    gateway: SocketAddr,
    /// What is set in the environment of every command.
    settings: Vec<(&'static str, String)>,
    up: Option<Child>,
    /// Kept open: a program whose reader is gone may end over it.
    out: Option<BufReader<ChildStdout>>,
}

/// A run of the agent, whose key is this process's own.
pub(crate) struct Run {
    pub(crate) key: Arc<Key>,
    id: String,
    /// The acting instance, as tokens name it.
    pub(crate) instance: String,
}

impl Home {
    /// A fresh home in `dir`, with its processes on ports that are free now.
    pub(crate) fn create(remit: &Path, dir: &Path) -> io::Result<Self> {
        Self::with(remit, dir, Vec::new())
    }

    /// The same with settings that differ from the usual ones.
    pub(crate) fn with(remit: &Path, dir: &Path, settings: Vec<(&'static str, String)>) -> io::Result<Self> {
        let free = || TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let (remit, dir) = (remit.to_owned(), dir.join("home"));
        let mut home = Self { remit, dir, authority: free()?, gateway: free()?, settings, up: None, out: None };
        home.start()?;
        Ok(home)
    }

    /// Starts `remit up`, and says how long it takes until the gateway would decide and record a call.
    pub(crate) fn start(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        let mut command = self.command(&["up"]);
        if !self.dir.exists() {
            let (authority, gateway) = (self.authority.to_string(), self.gateway.to_string());
            command.args(["--listen-authority", &authority, "--listen-gateway", &gateway]);
            command.arg("--pin-file").arg(self.pin_file());
        }
        let noise = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.with_extension("err"))?;
        self.up = Some(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(noise).spawn()?);
        while !self.is_well() {
            if began.elapsed() > READY_MAX {
                return Err(io::Error::other("remit up does not become ready"));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let ready = began.elapsed();
        // What it prints once all of it is done: only then is its configuration there for other commands.
        self.out = self.up.as_mut().and_then(|up| up.stdout.take()).map(BufReader::new);
        if let Some(out) = &mut self.out {
            out.read_line(&mut String::new())?;
        }
        Ok(ready)
    }

    fn is_well(&self) -> bool {
        is_well(self.gateway).unwrap_or(false)
    }

    /// Asks `remit up` to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        let Some(mut up) = self.up.take() else { return Ok(()) };
        Command::new("kill").args(["-s", "TERM", &up.id().to_string()]).status()?;
        let end = Instant::now() + STOP_MAX;
        while up.try_wait()?.is_none() {
            if Instant::now() > end {
                up.kill()?;
                up.wait()?;
                return Err(io::Error::other("remit up did not end by itself"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.up.as_ref().map(Child::id)
    }

    /// A command of `remit`, as it is typed.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.remit);
        command.arg("--json").arg("--home").arg(&self.dir).args(arguments);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The same, to its end, which must be good.
    pub(crate) fn remit(&self, arguments: &[&str]) -> io::Result<Output> {
        let output = self.command(arguments).stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(output);
        }
        let said = [output.stdout, output.stderr].concat();
        Err(io::Error::other(format!("remit {}: {}", arguments.join(" "), String::from_utf8_lossy(&said).trim())))
    }

    /// Registers the echo twice, over HTTP as `echo` and as a child process as `pipe`, and the agent that needs both.
    pub(crate) fn register(&self, echo: &str, program: &Path) -> io::Result<()> {
        let (pin, program) = (self.pin_file().display().to_string(), program.display().to_string());
        let add = |name: &str, rest: &[&str]| {
            let line = [&["server", "add", name, "--expose", "echo,count", "--pin-file", &pin], rest].concat();
            self.remit(&line).map(drop)
        };
        add("echo", &["--url", echo])?;
        add("pipe", &["--", &program, "stdio"])?;
        let mut manifest = MANIFEST.to_owned();
        for tool in ["echo/echo", "echo/count", "pipe/echo", "pipe/count"] {
            manifest.extend(["[[need]]\ntool = \"", tool, "\"\nreason = \"to be measured\"\nlongest = \"24h\"\n"]);
        }
        self.register_agent(&manifest)
    }

    /// Registers an agent of another team.
    pub(crate) fn register_neighbour(&self) -> io::Result<()> {
        let need = "[[need]]\ntool = \"echo/echo\"\nreason = \"to be measured\"\nlongest = \"24h\"\n";
        self.register_agent(&format!("{}{need}", MANIFEST.replace("\"bench\"", "\"other\"")))
    }

    fn register_agent(&self, manifest: &str) -> io::Result<()> {
        let (file, pin) = (self.dir.with_extension("agent.toml"), self.pin_file().display().to_string());
        write(&file, manifest)?;
        self.remit(&["agent", "register", &file.display().to_string(), "--pin-file", &pin]).map(drop)
    }

    /// A run of that agent, asked for on the admin socket: only there can its key be another one's than the authority's.
    pub(crate) fn run(&self) -> io::Result<Run> {
        self.run_of(&["echo/echo", "echo/count", "pipe/echo", "pipe/count"], "1h")
    }

    /// The same with these tools alone, for so long.
    pub(crate) fn run_of(&self, tools: &[&str], time: &str) -> io::Result<Run> {
        self.run_as(CALLER, tools, time)
    }

    /// The same of this agent.
    pub(crate) fn run_as(&self, agent: &str, tools: &[&str], time: &str) -> io::Result<Run> {
        let key = Key::generate()?;
        let ask = json!({ "ask": { "op": "request", "agent": agent, "key": key.public(), "asked": {
            "tools": tools, "for": time, "why": "the benchmark" } } });
        let answer = asked(&self.socket(), &ask)?;
        let part = |name: &str| answer.pointer(name).and_then(Value::as_str);
        let named = part("/run/agent").zip(part("/run/id"));
        let (agent, id) = named.ok_or_else(|| io::Error::other(answer.to_string()))?;
        Ok(Run { key: Arc::new(key), id: id.to_owned(), instance: format!("{agent}/{id}") })
    }

    /// Takes a run back; asked for beside whatever else is done.
    pub(crate) async fn revoke(&self, run: &Run) -> io::Result<()> {
        let ask = json!({ "ask": { "op": "revoke", "kind": "run", "id": run.id, "why": "the benchmark" } });
        let socket = self.socket();
        let done = tokio::task::spawn_blocking(move || asked(&socket, &ask));
        done.await.map_err(io::Error::other)?.map(drop)
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("authority/admin.sock")
    }

    /// What `remit status` says.
    pub(crate) fn status(&self) -> io::Result<Value> {
        serde_json::from_slice(&self.remit(&["status"])?.stdout).map_err(io::Error::other)
    }

    /// Registers a gateway of another home.
    pub(crate) fn admit(&self, name: &str, identity: &Path) -> io::Result<()> {
        let (pin, identity) = (self.pin_file().display().to_string(), identity.display().to_string());
        self.remit(&["gateway", "add", name, &identity, "--pin-file", &pin]).map(drop)
    }

    /// The binary.
    pub(crate) fn program(&self) -> &Path {
        &self.remit
    }

    /// What a call of this server at the gateway must carry: a token that was minted just now.
    pub(crate) async fn credentials(&self, run: &Run, server: &str) -> io::Result<Credentials> {
        let mut minter = mint::Minter::new(self, run, &self.url(server)).await?;
        let (token, _) = minter.mint().await?;
        Ok(Credentials { key: Arc::clone(&run.key), token: token.into() })
    }

    pub(crate) fn url(&self, server: &str) -> String {
        format!("http://{}/mcp/{server}", self.gateway)
    }

    /// Where the gateway listens.
    pub(crate) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Where the gateway's log is, a directory for each epoch.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("gateway/log")
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.authority)
    }

    pub(crate) fn authority(&self) -> SocketAddr {
        self.authority
    }

    fn pin_file(&self) -> PathBuf {
        self.dir.with_extension("pin")
    }
}

/// Whether a gateway would decide and record a call.
pub(crate) fn is_well(gateway: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(gateway)?;
    write!(stream, "GET /healthz HTTP/1.1\r\nhost: {gateway}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.starts_with("HTTP/1.1 200"))
}

/// Writes a scratch file, which need not be durable, into a directory that is made for it.
pub(crate) fn write(file: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = file.parent() {
        std::fs::create_dir_all(dir)?;
    }
    #[expect(clippy::disallowed_methods, reason = "a scratch file need not be durable")]
    std::fs::write(file, text)
}

/// One line to a socket of the authority, and what it answers.
fn asked(socket: &Path, ask: &Value) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(format!("{ask}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let mut answer: Value = serde_json::from_str(&line)?;
    answer.get_mut("ok").map(Value::take).ok_or_else(|| io::Error::other(line))
}

impl Drop for Home {
    fn drop(&mut self) {
        // It fails only where it is gone already.
        self.stop().ok();
    }
}
