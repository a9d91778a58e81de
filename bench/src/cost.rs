//! Where the time of one governed call goes, step by step, each by the function that the gateway calls for it.
//!
//! In this process and one call after the other: what is missing to the whole is HTTP, twice, and waiting for a turn.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use remit_audit::vault::{Kek, Vault};
use remit_audit::{Entry, Log};
use remit_core::decide::decide;
use remit_core::event::{Head, IntentContext, Outcome, Status, intent};
use remit_core::gate::Evidence;
use remit_core::identify::{Request, authenticate, verify};
use remit_core::input::{Presented, Token};
use remit_core::json::Value;
use remit_core::label::Label;
use remit_core::plan::plan;
use remit_core::snapshot::SnapshotId;

use crate::key::now;
use crate::log;
use crate::report::Table;
use crate::sample::{Sample, difference, shown};
use crate::token::Known;
use crate::world::{QUIET, World, body, call, input, url};

/// The steps, in their order.
const STEPS: &[&str] = &[
    "parse: the body, and the call in it",
    "verify: proof of possession, and the token that was verified before",
    "plan: caller, grant, policy",
    "decide",
    "write the intent: event, commitments, sealed frame",
    "commit the intent: durable",
    "write the outcome",
    "commit the outcome: durable",
];
/// A slow disk gets fewer calls.
const TIME_MAX: Duration = Duration::from_secs(15);
const RESULT: &[u8] = br#"{"content":[{"type":"text","text":"hi 1"}],"isError":false,"resultType":"complete"}"#;

/// What was measured of whole calls over HTTP at one caller: direct, and governed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole {
    pub(crate) direct: Duration,
    pub(crate) governed: Duration,
}

/// What the steps need.
struct Desk {
    world: World,
    known: Known,
    token: String,
    url: String,
    log: Log,
    vault: Vault,
    snapshot: SnapshotId,
}

pub(crate) fn measure(dir: &Path, runs: usize, whole: Option<Whole>) -> io::Result<Table> {
    let scratch = dir.join("cost");
    let desk = Desk::new(&scratch)?;
    let proofs = desk.world.caller.proofs(runs, &desk.url, Some(&desk.token));
    let mut steps: Vec<Vec<Duration>> = vec![Vec::with_capacity(runs); STEPS.len()];
    let end = Instant::now() + TIME_MAX;
    for (number, proof) in (1..).zip(&proofs).take_while(|_| Instant::now() < end) {
        for (step, time) in steps.iter_mut().zip(desk.one(number, proof)?) {
            step.push(time);
        }
    }
    drop(desk);
    std::fs::remove_dir_all(&scratch)?;
    let steps: Vec<Sample> = steps.into_iter().map(Sample::new).collect();
    Ok(table(&steps, whole))
}

fn table(steps: &[Sample], whole: Option<Whole>) -> Table {
    let mut table = Table {
        title: "Where the time of a governed call goes",
        about: "In process, one call after the other, by the functions that the gateway calls for it; the upstream is the direct \
                call of this run at one caller. What is left is HTTP on the side of the client and of the upstream, the relay, \
                and waiting for a turn on a processor."
            .to_owned(),
        head: vec!["step", "p50", "p99"],
        rows: Vec::new(),
    };
    let mut sum = Duration::ZERO;
    for (name, times) in STEPS.iter().zip(steps) {
        table.row([(*name).to_owned(), shown(times.p50()), shown(times.p99())]);
        sum += times.p50();
    }
    if let Some(Whole { direct, governed }) = whole {
        table.row(["the upstream: the direct call".to_owned(), shown(direct), String::new()]);
        sum += direct;
        table.row(["what is left".to_owned(), difference(governed, sum), String::new()]);
        table.row(["**the governed call**".to_owned(), shown(governed), String::new()]);
    } else {
        table.row(["sum".to_owned(), shown(sum), String::new()]);
    }
    table
}

impl Desk {
    fn new(dir: &Path) -> io::Result<Self> {
        let world = World::new("")?;
        let (token, url) = (world.token(QUIET), url(QUIET.server));
        let authentic = verify(&world.bundle.versioned.bundle.keys, &token);
        let known = Known::default();
        known.keep(&token, authentic.ok_or_else(|| io::Error::other("the token does not verify"))?);
        let log = log::open(&dir.join("log"))?;
        let vault = Vault::open(&dir.join("vault"), Kek::from_bytes([8; 32])).map_err(io::Error::other)?;
        let snapshot = SnapshotId { bundle: 1, digest: "sha256:00".into(), revocations: 0 };
        Ok(Self { world, known, token, url, log, vault, snapshot })
    }

    /// The steps of one call, each with its time.
    fn one(&self, number: u64, proof: &str) -> io::Result<[Duration; 8]> {
        let bundle = &self.world.bundle;
        let mut clock = Clock(Instant::now());
        let body = body(number);
        let parsed = Value::parse(&body).map_err(io::Error::other)?;
        let call = call(QUIET, &body)?;
        drop(parsed);
        let parse = clock.lap();
        let presented = self.present(proof)?;
        let verify = clock.lap();
        let plan = plan(bundle, input(presented, &call));
        let planned = clock.lap();
        let mut decided = decide(bundle, call, plan, Evidence::default());
        let decide = clock.lap();
        let context = IntentContext { head: self.head(number), bundle, snapshot: self.snapshot.clone() };
        let seal = &mut |subject: &str, frame: &[u8]| self.seal(&context.head.uid, subject, frame);
        let intent = intent(&mut decided, &context, &mut random, seal).map_err(io::Error::other)?;
        let written = clock.lap();
        let receipt = self.commit(intent.leaf, intent.sealed)?;
        let committed = clock.lap();
        let head = self.head(number);
        let seal = &mut |subject: &str, frame: &[u8]| self.seal(&head.uid, subject, frame);
        let outcome = Outcome {
            intent: receipt,
            run: Some(("run-1", "run-1")),
            status: Status::Ok,
            duration_us: 50,
            label_after: Label::UNKNOWN,
            result: Some(RESULT),
            subject: "u-7f3a",
        };
        let (leaf, sealed) = outcome.write(&head, &mut random, seal).map_err(io::Error::other)?;
        let outcome = clock.lap();
        self.commit(leaf, sealed)?;
        Ok([parse, verify, planned, decide, written, committed, outcome, clock.lap()])
    }

    fn present(&self, proof: &str) -> io::Result<Presented> {
        let authorization = format!("DPoP {}", self.token);
        let (authorization, proof) = (Some(authorization.as_str()), Some(proof));
        let request = Request { authorization, proof, method: "POST", url: &self.url };
        match authenticate(request, now(), |token| self.known.lookup(token), |_| true) {
            presented @ Presented::Token(Token { .. }) => Ok(presented),
            other => Err(io::Error::other(format!("the caller is {other:?}"))),
        }
    }

    fn commit(&self, leaf: Vec<u8>, sealed: Vec<u8>) -> io::Result<u64> {
        let receipt = self.log.commit_wait(Entry { leaf, sealed }).map_err(io::Error::other)?;
        Ok(receipt.index())
    }

    fn head(&self, number: u64) -> Head {
        let at_ms = now().saturating_mul(1_000);
        Head { uid: format!("{number:022}"), at_ms, log: self.log.origin().to_owned() }
    }

    fn seal(&self, uid: &str, subject: &str, frame: &[u8]) -> Option<Vec<u8>> {
        self.vault.seal(subject, uid.as_bytes(), frame).ok()
    }
}

/// Time since it was asked last.
struct Clock(Instant);

impl Clock {
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.0, now))
    }
}

fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Without randomness the salts are equal: nobody is harmed, and the time is the same.
    rand::fill(&mut bytes).ok();
    bytes
}
