//! What it costs to know who is calling: the token's signature, the token that was verified before, and the proof.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use remit_core::dpop;
use remit_core::hash::{Digest, sha256};
use remit_core::identify::{Authentic, verify};

use crate::key::now;
use crate::report::Table;
use crate::sample::{Sample, shown};
use crate::world::{QUIET, World, url};

/// Tokens that a gateway remembers at most; so many are remembered here.
const REMEMBERED: usize = 20_000;

/// Tokens whose signature was verified before, as the gateway remembers them: by their digest.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<Digest, Authentic>>);

impl Known {
    pub(crate) fn lookup(&self, token: &str) -> Option<Authentic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&sha256(&[token.as_bytes()])).cloned()
    }

    pub(crate) fn keep(&self, token: &str, authentic: Authentic) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256(&[token.as_bytes()]), authentic);
    }
}

pub(crate) fn measure(runs: usize) -> io::Result<Table> {
    let world = World::new("")?;
    let (token, url) = (world.token(QUIET), url(QUIET.server));
    let keys = &world.bundle.versioned.bundle.keys;
    let authentic = verify(keys, &token).ok_or_else(|| io::Error::other("the token does not verify"))?;
    let known = Known::default();
    for number in 0..REMEMBERED {
        known.keep(&number.to_string(), authentic.clone());
    }
    known.keep(&token, authentic);
    let proofs = world.caller.proofs(runs, &url, Some(&token));
    let on = dpop::Request { method: "POST", url: &url, token: &token };
    let proven = |run: usize| proofs.get(run).and_then(|proof| dpop::verify(proof, on, now()).ok());
    if (0..runs).any(|run| proven(run).is_none()) {
        return Err(io::Error::other("a proof does not verify"));
    }
    let rows = [
        ("token, cold: Ed25519 and its claims", Sample::of(runs, |_| verify(keys, &token))),
        ("token, verified before: digest and lookup among 20,000", Sample::of(runs, |_| known.lookup(&token))),
        ("DPoP proof: Ed25519, URL, method, token, time", Sample::of(runs, proven)),
    ];
    let mut table = Table {
        title: "Who is calling",
        about: "In process, one thread. Every call has a proof of its own, which is verified each time.".to_owned(),
        head: vec!["what", "p50", "p99"],
        rows: Vec::new(),
    };
    for (what, times) in rows {
        table.row([what.to_owned(), shown(times.p50()), shown(times.p99())]);
    }
    Ok(table)
}
