//! The demo's world: a ticket desk, an authority and a gateway, each listening on loopback, in one directory.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use ticketdesk::Desk;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use crate::error::CliError;

/// How long `remit up` may take until it is ready.
const READY: Duration = Duration::from_secs(10);
/// How long it may take to end.
const END: Duration = Duration::from_secs(10);
/// The PIN of the demo's administrator: it protects a directory that is thrown away.
pub(super) const PIN: &str = "demo-pin-2718";

/// Everything that runs.
pub(super) struct World {
    /// The home of authority and gateway.
    pub(super) home: PathBuf,
    /// The desk, whose ledger counts real effects.
    pub(super) desk: Desk,
    /// URL of the desk's MCP endpoint.
    pub(super) desk_url: String,
    /// URL of the authority.
    pub(super) authority: String,
    /// URL of the gateway.
    pub(super) gateway: String,
    up: Child,
    stop_desk: Option<oneshot::Sender<()>>,
    /// Goes last, when nothing writes to it any more.
    _scratch: Option<Scratch>,
}

/// What a command printed, and how it ended.
pub(super) struct Printed {
    /// Exit code.
    pub(super) code: i32,
    /// The first line of standard output as JSON, where it is.
    pub(super) json: serde_json::Value,
    /// All of its lines.
    pub(super) lines: Vec<serde_json::Value>,
    /// Standard error.
    pub(super) err: String,
    /// How long the whole process took.
    pub(super) ms: u64,
}

impl World {
    /// Starts everything, in `home` or in a directory that is removed at the end.
    pub(super) async fn start(home: Option<&Path>) -> Result<Self, CliError> {
        let scratch = home.is_none().then(Scratch::new).transpose()?;
        let home = home.or_else(|| Some(scratch.as_ref()?.0.as_path())).unwrap_or(Path::new(".")).to_owned();
        empty(&home)?;
        let home = std::path::absolute(&home).map_err(|error| failed(error.to_string()))?;
        let desk = Desk::open(None).map_err(|error| failed(error.to_string()))?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| failed(error.to_string()))?;
        let desk_url = format!("http://{}/mcp", address(&listener)?);
        let (stop_desk, stopped) = oneshot::channel();
        tokio::spawn(ticketdesk::serve_http(listener, desk.clone(), async { drop(stopped.await) }));
        let (authority, gateway) = (free_port().await?, free_port().await?);
        let pin = home.join("pin");
        remit_audit::durable::write(&pin, PIN.as_bytes(), 0o600).map_err(|error| failed(error.to_string()))?;
        let up = command(&home)?
            .args(["up", "--pin-file"])
            .arg(&pin)
            .args(["--listen-authority", &authority, "--listen-gateway", &gateway])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed(format!("remit up does not start: {error}")))?;
        let [authority, gateway] = [authority, gateway].map(|address| format!("http://{address}"));
        let mut world =
            Self { home, desk, desk_url, authority, gateway, up, stop_desk: Some(stop_desk), _scratch: scratch };
        world.ready().await?;
        Ok(world)
    }

    async fn ready(&mut self) -> Result<(), CliError> {
        let until = Instant::now() + READY;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.up.try_wait() {
                return Err(failed(format!("remit up ended with {status}: {}", self.complaint().await)));
            }
            if super::agent::get(&format!("{}/healthz", self.gateway)).await.is_some_and(|status| status == 200) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(failed("remit up is not ready in time".into()))
    }

    async fn complaint(&mut self) -> String {
        let mut text = String::new();
        if let Some(mut stderr) = self.up.stderr.take() {
            drop(tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut text).await);
        }
        text
    }

    /// Runs one of our own commands, as a process of its own, on the demo's home.
    pub(super) async fn remit(&self, args: &[&str]) -> Result<Printed, CliError> {
        let began = Instant::now();
        let mut command = command(&self.home)?;
        let output = command.arg("--json").args(args).stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.map_err(|error| failed(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<serde_json::Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Printed {
            code: output.status.code().unwrap_or(-1),
            json: lines.first().cloned().unwrap_or_default(),
            lines,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            ms: super::millis(began),
        })
    }

    /// Ends authority and gateway cleanly: afterwards every byte of their logs counts.
    pub(super) async fn stop(&mut self) -> Result<(), CliError> {
        if let Some(stop) = self.stop_desk.take() {
            stop.send(()).ok();
        }
        let pid = self.up.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        match tokio::time::timeout(END, self.up.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(failed(format!("remit up ended with {status}: {}", self.complaint().await))),
            _ => Err(failed("remit up does not end".into())),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if matches!(self.up.try_wait(), Ok(Some(_))) {
            return;
        }
        self.up.start_kill().ok();
        let until = Instant::now() + END;
        while matches!(self.up.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A directory of its own, which is removed with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, CliError> {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| failed("the system gives no random bytes".into()))?;
        let path = std::env::temp_dir().join(format!("remit-demo-{:016x}", u64::from_be_bytes(random)));
        // Where there is no place for temporary files, none is made.
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            let help = "name a directory for it: remit demo --home DIR, or TMPDIR=DIR remit demo";
            CliError::unevaluated(format!("{}: {error}", path.display()), help)
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Makes the home; what is in one already is not the demo's to change.
fn empty(home: &Path) -> Result<(), CliError> {
    let failed = |error: std::io::Error| failed(format!("{}: {error}", home.display()));
    std::fs::create_dir_all(home).map_err(failed)?;
    if std::fs::read_dir(home).map_err(failed)?.next().is_none() {
        return Ok(());
    }
    Err(CliError::unevaluated(
        format!("{} is not empty, and the demo begins with nothing", home.display()),
        "name a new directory: remit demo --home DIR",
    ))
}

/// This very program, on the demo's home, with nothing of the caller's environment that could steer it.
fn command(home: &Path) -> Result<Command, CliError> {
    let exe = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(exe);
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("REMIT__ADMIN__PIN_FILE", home.join("pin"));
    command.arg("--home").arg(home);
    Ok(command)
}

fn address(listener: &TcpListener) -> Result<String, CliError> {
    listener.local_addr().map(|address| address.to_string()).map_err(|error| failed(error.to_string()))
}

async fn free_port() -> Result<String, CliError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| failed(error.to_string()))?;
    address(&listener)
}

pub(super) fn failed(message: String) -> CliError {
    CliError::unevaluated(message, "run it again; if it stays, see: remit doctor")
}
