//! A real home in a scratch directory: the desk, `remit up`, and the commands that are typed beside it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::oracle::Oracle;
use super::typed::Typed;
use super::{call, entries, failed};

/// How long a start may take, on a machine that is busy.
const READY_MAX: Duration = Duration::from_mins(1);
/// How long a clean end may take.
const END_MAX: Duration = Duration::from_secs(30);
/// Of zeros, of which most of a segment is.
const BLOCK_BYTES: usize = 4096;
/// How often somebody looks whether something has happened.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Below the ports that outgoing connections take, so that a port is still free after a kill.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

const MANIFEST: &str = r#"[agent]
name = "client"
version = "1.0.0"
team = "fault"
environment = "production"
purpose = "calls while things fail"
bearer = true
[harm]
writes = true
reversible = true
autonomous = false
[[need]]
reason = "to be called"
longest = "15m"
tool = "desk/reply_to_customer"
[[need]]
reason = "to be called"
longest = "15m"
tool = "desk/watch_ticket"
"#;

/// The home, and what was seen of it.
pub(super) struct World {
    /// Where all of it lies.
    pub(super) scratch: PathBuf,
    /// The commands beside it, and its home.
    pub(super) typed: Typed,
    /// Where the gateway listens.
    pub(super) gateway: String,
    /// What was seen so far.
    pub(super) oracle: Oracle,
    /// Counts the loads, so that no id comes twice.
    pub(super) load: u64,
    authority: String,
    desk_address: String,
    desk: Child,
    up: Option<Child>,
}

impl World {
    /// Starts a desk, and a new home in which the agent is registered. It is up.
    pub(super) fn new(root: &Path, scratch: &Path, home: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(scratch)?;
        let (desk, desk_address) = desk(&root.join("target/debug/ticketdesk"))?;
        let mut world = Self {
            scratch: scratch.to_owned(),
            typed: Typed { remit: root.join("target/debug/remit"), home: home.to_owned() },
            gateway: address()?,
            oracle: Oracle::default(),
            load: 0,
            authority: address()?,
            desk_address,
            desk,
            up: None,
        };
        world.start()?;
        let (pin, url) = (world.path("pin"), format!("http://{}/mcp", world.desk_address));
        let expose = "reply_to_customer,watch_ticket";
        world.typed.remit(&["server", "add", "desk", "--url", &url, "--expose", expose, "--pin-file", &pin])?;
        put(&scratch.join("agent.toml"), MANIFEST.as_bytes())?;
        world.typed.remit(&["agent", "register", &world.path("agent.toml"), "--pin-file", &pin])?;
        Ok(world)
    }

    fn path(&self, name: &str) -> String {
        self.scratch.join(name).display().to_string()
    }

    /// The command that serves, without a program before it.
    pub(super) fn line(&self) -> Vec<String> {
        let line = ["--json", "--home", &self.typed.home.display().to_string(), "up", "--pin-file", &self.path("pin")]
            .map(ToOwned::to_owned);
        let listen = ["--listen-authority", &self.authority, "--listen-gateway", &self.gateway].map(ToOwned::to_owned);
        [vec![self.typed.remit.display().to_string()], line.to_vec(), listen.to_vec()].concat()
    }

    /// Starts it, and waits until it is ready; says how long that took.
    pub(super) fn start(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        self.spawn(&[])?;
        while !self.ready() {
            if let Some(how) = self.ended()? {
                return Err(failed(format!("it does not start: {how}: {}", self.last_words())));
            }
            if began.elapsed() > READY_MAX {
                return Err(failed("it is not ready in time"));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(began.elapsed())
    }

    /// Starts it behind another program, and waits for nothing. One worker, so that one thread does what workers do.
    pub(super) fn spawn(&mut self, before: &[&str]) -> io::Result<()> {
        let line = [before.iter().map(|word| (*word).to_owned()).collect(), self.line()].concat();
        let [program, arguments @ ..] = line.as_slice() else { return Err(failed("no program")) };
        let noise = File::options().create(true).append(true).open(self.scratch.join("up.err"))?;
        let mut up = Command::new(program);
        up.args(arguments).env("TOKIO_WORKER_THREADS", "1").stdin(Stdio::null()).stdout(Stdio::null());
        self.up = Some(up.stderr(noise).spawn()?);
        Ok(())
    }

    pub(super) fn ready(&self) -> bool {
        call::get(&self.gateway, "/healthz").is_ok_and(|(status, _)| status == 200)
    }

    /// The process, while it is there.
    pub(super) fn pid(&self) -> io::Result<u32> {
        self.up.as_ref().map(Child::id).ok_or_else(|| failed("it does not run"))
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> io::Result<Option<String>> {
        let Some(up) = &mut self.up else { return Ok(Some("it does not run".into())) };
        Ok(up.try_wait()?.map(|status| status.to_string()))
    }

    /// Ends it as nobody can prevent.
    pub(super) fn kill(&mut self) -> io::Result<()> {
        if let Some(mut up) = self.up.take() {
            up.kill().or_else(gone)?;
            up.wait()?;
        }
        Ok(())
    }

    /// Asks it to end, and waits for it.
    pub(super) fn stop(&mut self) -> io::Result<()> {
        let Some(mut up) = self.up.take() else { return Ok(()) };
        Command::new("kill").args(["-s", "TERM", &up.id().to_string()]).status()?;
        let until = Instant::now() + END_MAX;
        loop {
            match up.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(failed(format!("it ended with {status}: {}", self.last_words()))),
                None if Instant::now() > until => {
                    up.kill()?;
                    up.wait()?;
                    return Err(failed("it does not end"));
                }
                None => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// With the process dead: the directory as the fault left it.
    pub(super) fn fsck(&self) -> io::Result<()> {
        self.typed.remit(&["log", "fsck", &self.typed.home.display().to_string()]).map(drop)
    }

    /// With the process up: what was told and done is in the logs, and nothing is left open of the lives before.
    pub(super) fn check(&mut self) -> io::Result<()> {
        self.oracle.read(&self.typed.home)?;
        let (_, ledger) = call::get(&self.desk_address, "/ledger")?;
        let rows: Vec<Value> = serde_json::from_slice(&ledger)?;
        let id = |row: &Value| row.pointer("/arguments/text").and_then(Value::as_str).map(first_word);
        self.oracle.effects = rows.iter().filter_map(id).collect();
        self.oracle.check()
    }

    /// Ends it cleanly: at rest all of it must verify with the keys that were kept, every decision must be decided
    /// again alike from its sealed frame, and no intent may be open.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.stop()?;
        self.fsck()?;
        self.check()?;
        if self.oracle.open() > 0 {
            return Err(failed(format!("{} intents are open after a clean end", self.oracle.open())));
        }
        self.disclosures()
    }

    /// Every decision is decided again alike, from what was sealed with it.
    pub(super) fn disclosures(&self) -> io::Result<()> {
        let replayed = self.typed.facts(&["log", "replay"])?;
        let count = |name: &str| replayed.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        let lost = ["differs", "erased", "not_replayable"].iter().any(|name| count(name) != 0);
        if lost || count("same") != self.oracle.decisions() {
            return Err(failed(format!("of {} decisions, replay says {replayed}", self.oracle.decisions())));
        }
        Ok(())
    }

    /// After a fault: whatever is left is killed, the directory is read as it lies, and a normal start goes on.
    pub(super) fn recover(&mut self) -> io::Result<Duration> {
        self.kill()?;
        self.fsck()?;
        let took = self.start()?;
        self.check()?;
        Ok(took)
    }

    /// The newest segment of the gateway's log, and where its last group ends.
    pub(super) fn segment(&self) -> io::Result<(PathBuf, u64)> {
        let wal = entries::epoch(&self.typed.home.join("gateway/log"))?.join("wal");
        let names = std::fs::read_dir(wal)?.flatten().map(|entry| entry.path());
        let segments =
            names.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('0')));
        let newest = segments.max().ok_or_else(|| failed("the log has no segment"))?;
        let bytes = std::fs::read(&newest)?;
        // By blocks first: what is looked for goes on meanwhile.
        let mut end = bytes.len();
        while let Some(before) = bytes.get(..end).and_then(|bytes| bytes.strip_suffix(&[0; BLOCK_BYTES])) {
            end = before.len();
        }
        while let Some(before) = bytes.get(..end).and_then(|bytes| bytes.strip_suffix(&[0])) {
            end = before.len();
        }
        Ok((newest, end as u64))
    }

    /// What it said last, for whoever looks for the reason.
    fn last_words(&self) -> String {
        let all = std::fs::read_to_string(self.scratch.join("up.err")).unwrap_or_default();
        all.lines().rev().take(4).collect::<Vec<_>>().join(" | ")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What is gone already cannot be ended again.
        drop(self.kill());
        drop(self.desk.kill().and_then(|()| self.desk.wait()));
    }
}

fn gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::InvalidInput { Ok(()) } else { Err(error) }
}

/// A desk in memory: its ledger is what really was done.
fn desk(program: &Path) -> io::Result<(Child, String)> {
    let mut desk = Command::new(program)
        .args(["--listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(desk.stderr.take().ok_or_else(|| failed("no standard error"))?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    thread::spawn(move || said.lines().for_each(drop));
    let address = line.trim().strip_prefix("ticketdesk: listening on http://").and_then(|url| url.strip_suffix("/mcp"));
    let address = address.ok_or_else(|| failed(format!("the desk says {line}")))?.to_owned();
    Ok((desk, address))
}

/// An address that nobody listens on.
fn address() -> io::Result<String> {
    let span = PORTS.end - PORTS.start;
    let first = u16::try_from(std::process::id() % u32::from(span)).unwrap_or(0);
    for _ in 0..span {
        let port = PORTS.start + (first + NEXT_PORT.fetch_add(1, Ordering::Relaxed) % span) % span;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(format!("127.0.0.1:{port}"));
        }
    }
    Err(failed("no port is free"))
}

/// The id with which a text begins.
fn first_word(text: &str) -> String {
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Writes a scratch file.
pub(super) fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a scratch file need not be durable")]
    std::fs::write(path, bytes)
}
