//! How long it takes until a run that was revoked is refused at every gateway, and whether anybody else notices.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::home::{CALLER, Home, NEIGHBOUR, is_well, write};
use crate::report::{Goal, Table};
use crate::road::{Credentials, Endpoint, Era, echoed, text};
use crate::sample::{Sample, grouped, shown};
use crate::wire::Connection;

/// Gateways beside the one of the home.
const MORE: usize = 2;
const P99: Duration = Duration::from_secs(2);
const READY_MAX: Duration = Duration::from_secs(30);
/// Later than this a gateway does not follow at all.
const GIVEN_UP: Duration = Duration::from_secs(20);
const NEIGHBOURS_CALL_EVERY: Duration = Duration::from_millis(5);

/// A gateway of the same fleet, in a home of its own. Dropped, it ends.
struct Gateway {
    child: Child,
    at: SocketAddr,
}

impl Gateway {
    /// It answers for the same URL as the first one, as behind a load balancer.
    fn start(home: &Home, dir: &Path, name: &str) -> io::Result<Self> {
        let at = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let (dir, status) = (dir.join(name), home.status()?);
        let part = |name: &str| status.pointer(&format!("/authority/{name}")).and_then(serde_json::Value::as_str);
        let (Some(domain), Some(root)) = (part("trust_domain"), part("root_vkey")) else {
            return Err(io::Error::other("remit status names no root key"));
        };
        let config = format!(
            "[trust]\ndomain = \"{domain}\"\nroot = \"{root}\"\n\n[authority]\nurl = \"{}\"\n\n[gateway]\nname = \"{name}\"\n\
             url = \"http://{}\"\nlisten = \"{at}\"\n",
            home.issuer(),
            home.gateway()
        );
        write(&dir.join("remit.toml"), &config)?;
        let noise = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("err"))?;
        let mut serve = Command::new(home.program());
        serve.arg("--home").arg(&dir).args(["serve", "gateway"]);
        let child = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(noise).spawn()?;
        let gateway = Self { child, at };
        let began = Instant::now();
        while !is_well(at).unwrap_or(false) {
            if began.elapsed() > READY_MAX {
                return Err(io::Error::other(format!("{name} does not become ready")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        home.admit(name, &dir.join("gateway/identity.jwk"))?;
        Ok(gateway)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It fails only where it is gone already.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// What others saw meanwhile.
#[derive(Default)]
struct Others {
    calls: u64,
    failed: u64,
}

/// One caller at one gateway, whose calls differ.
struct Caller {
    endpoint: Endpoint,
    connection: Connection,
    calls: u64,
}

impl Caller {
    async fn new(home: &Home, with: &Credentials, at: SocketAddr) -> io::Result<Self> {
        let mut endpoint = Endpoint::new(&home.url("echo"), Era::Modern, Some(with.clone()))?;
        endpoint.at = at;
        Ok(Self { connection: Connection::open(at).await?, endpoint, calls: 0 })
    }

    /// The status of a call, and whether it was answered as the upstream answers it.
    async fn call(&mut self) -> io::Result<(u16, bool)> {
        self.calls += 1;
        let said = text(self.calls);
        let body = Era::Modern.call(self.calls, "echo", &format!(r#"{{"text":"{said}"}}"#));
        let proof = self.endpoint.proofs(1).and_then(|mut proofs| proofs.pop());
        let request = self.endpoint.request("tools/call", Some("echo"), proof.as_deref(), &body);
        let answer = self.connection.exchange(&request).await?;
        Ok((answer.status, answer.status == 200 && echoed(&said, answer.body)))
    }

    /// Calls until it is refused as nobody's.
    async fn refused(mut self, began: Instant) -> io::Result<Duration> {
        loop {
            let (status, done) = self.call().await?;
            match (status, done) {
                (401, _) => return Ok(began.elapsed()),
                (_, true) if began.elapsed() < GIVEN_UP => {}
                (status, _) => return Err(io::Error::other(format!("after the revocation: status {status}"))),
            }
        }
    }
}

pub(crate) async fn measure(home: &Home, dir: &Path, trials: usize) -> io::Result<(Table, Vec<Goal>)> {
    home.register_neighbour()?;
    let more: io::Result<Vec<Gateway>> =
        (0..MORE).map(|number| Gateway::start(home, dir, &format!("edge-{number}"))).collect();
    let more = more?;
    let gateways: Vec<SocketAddr> =
        std::iter::once(home.gateway()).chain(more.iter().map(|gateway| gateway.at)).collect();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut others = JoinSet::new();
    for agent in [CALLER, NEIGHBOUR] {
        let run = home.run_as(agent, &["echo/echo"], "1h")?;
        let with = home.credentials(&run, "echo").await?;
        for at in &gateways {
            others.spawn(neighbour(Caller::new(home, &with, *at).await?, stopped.clone()));
        }
    }
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for _ in 0..trials {
        let times = trial(home, &gateways).await?;
        first.extend(times.iter().min());
        all.extend(times.iter().max());
    }
    stop.send_replace(true);
    let mut seen = Others::default();
    while let Some(one) = others.join_next().await {
        let one = one.map_err(io::Error::other)?;
        (seen.calls, seen.failed) = (seen.calls + one.calls, seen.failed + one.failed);
    }
    Ok(report(trials, &Sample::new(first), &Sample::new(all), &seen))
}

/// A run that calls at every gateway, until each refuses it.
async fn trial(home: &Home, gateways: &[SocketAddr]) -> io::Result<Vec<Duration>> {
    let run = home.run_as(CALLER, &["echo/echo"], "15m")?;
    let with = home.credentials(&run, "echo").await?;
    let mut callers = Vec::new();
    for at in gateways {
        let mut caller = Caller::new(home, &with, *at).await?;
        if !caller.call().await?.1 {
            return Err(io::Error::other("a call before the revocation fails"));
        }
        callers.push(caller);
    }
    let began = Instant::now();
    let revoked = home.revoke(&run);
    let mut calling = JoinSet::new();
    for caller in callers {
        calling.spawn(caller.refused(began));
    }
    revoked.await?;
    let mut times = Vec::new();
    while let Some(time) = calling.join_next().await {
        times.push(time.map_err(io::Error::other)??);
    }
    Ok(times)
}

/// Somebody whom none of it concerns. It ends when its token does, which is later.
async fn neighbour(mut caller: Caller, stopped: tokio::sync::watch::Receiver<bool>) -> Others {
    let mut seen = Others::default();
    while !*stopped.borrow() {
        seen.calls += 1;
        match caller.call().await {
            Ok((_, true)) => {}
            _ => seen.failed += 1,
        }
        tokio::time::sleep(NEIGHBOURS_CALL_EVERY).await;
    }
    seen
}

fn report(trials: usize, first: &Sample, all: &Sample, others: &Others) -> (Table, Vec<Goal>) {
    let about = format!(
        "{} runs, one after the other, call at {} gateways until each refuses them; the time begins before the revocation is \
         asked for at the authority. Beside them, other runs of the same agent and of another team's call all the time.",
        grouped(trials as u64),
        MORE + 1
    );
    let head = vec!["refused", "p50", "p99"];
    let mut table = Table { title: "Revocation", about, head, rows: Vec::new() };
    for (what, sample) in [("at the first gateway", first), ("at every gateway", all)] {
        table.row([what.to_owned(), shown(sample.p50()), shown(sample.p99())]);
    }
    let goals = vec![
        Goal {
            what: "a revoked run is refused at every gateway",
            asked: format!("p99 ≤ {}", shown(P99)),
            measured: shown(all.p99()),
            reached: all.p99() <= P99,
        },
        Goal {
            what: "calls of others that fail meanwhile",
            asked: "0 of ≥ 1,000".to_owned(),
            measured: format!("{} of {}", grouped(others.failed), grouped(others.calls)),
            reached: others.failed == 0 && others.calls >= 1_000,
        },
    ];
    (table, goals)
}
