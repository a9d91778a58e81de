//! Who asks: a run authenticates by `private_key_jwt`, and may prove possession of its key (RFC 9449) beside it.
//!
//! **Invariant:** an assertion and a proof work once, at this authority alone.

use axum::http::{HeaderMap, StatusCode};
use remit_core::dpop::{self, PROOF_WINDOW_S};
use remit_core::id::RunId;
use remit_core::jws::Jwk;

use super::refused::Refused;
use crate::assertion::{self, ASSERTION_TYPE};
use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::Form;

/// The run that authenticates, and the thumbprint of its key.
pub(super) fn client(state: &State, form: &Form) -> Result<(RunId, String), Refused> {
    // One answer for all of it: which check failed helps nobody but a forger.
    let bad = || Refused {
        status: StatusCode::UNAUTHORIZED,
        error: "invalid_client",
        description: "the client assertion is not accepted".into(),
    };
    if form.one("client_assertion_type") != Some(ASSERTION_TYPE) {
        return Err(bad());
    }
    let text = form.one("client_assertion").ok_or_else(bad)?;
    let instance = assertion::claimed(text).ok_or_else(bad)?;
    if form.one("client_id").is_some_and(|id| id != instance.to_string()) {
        return Err(bad());
    }
    let run = state.core().journal.store().run(&instance.run);
    let run = run.map_err(AuthorityError::rejection)?.ok_or_else(bad)?;
    if run.agent != instance.agent {
        return Err(bad());
    }
    let issuer = &state.config.issuer;
    let endpoint = format!("{issuer}/token");
    let now = state.config.clock.now();
    let asserted = assertion::verify(text, &instance, &run.key, [issuer, &endpoint], now).ok_or_else(bad)?;
    if !state.first_use(format!("a {} {}", run.id, asserted.jti), asserted.made, asserted.exp) {
        return Err(bad());
    }
    Ok((run.id, run.key.thumbprint()))
}

/// Whether the request proves possession of the run's key; a proof of another key, or a bad one, is refused.
pub(super) fn possession(state: &State, headers: &HeaderMap, jkt: &str) -> Result<bool, Refused> {
    match proven(state, headers)? {
        None => Ok(false),
        Some(key) if key.thumbprint() == jkt => Ok(true),
        Some(_) => Err(bad()),
    }
}

fn bad() -> Refused {
    Refused::new("invalid_dpop_proof", "the proof is not accepted")
}

/// The key of which the request proves possession, where it proves any. A proof works once.
pub(super) fn proven(state: &State, headers: &HeaderMap) -> Result<Option<Jwk>, Refused> {
    shown(state, headers)?.map(|shown| shown.once(state)).transpose()
}

/// A proof that was verified, and not noted as used yet.
pub(super) struct Shown {
    pub(super) key: Jwk,
    id: String,
    made: i64,
    until: i64,
}

/// The same for whoever may be anybody: the proof is noted once it is known that they are not, because what can be noted is
/// bounded for all together.
pub(super) fn shown(state: &State, headers: &HeaderMap) -> Result<Option<Shown>, Refused> {
    let mut proofs = headers.get_all("dpop").iter();
    let Some(proof) = proofs.next() else {
        return Ok(None);
    };
    let text = proof.to_str().map_err(|_| bad())?;
    let now = state.config.clock.now();
    let url = format!("{}/token", state.config.issuer);
    let proven = dpop::verify_bare(text, "POST", &url, now).map_err(|_| bad())?;
    if proofs.next().is_some() {
        return Err(bad());
    }
    let id = format!("p {} {}", proven.key.thumbprint(), proven.jti);
    let until = now.saturating_add(PROOF_WINDOW_S.saturating_mul(2));
    Ok(Some(Shown { key: proven.key, id, made: proven.made, until }))
}

impl Shown {
    /// The key, where the proof was not used before.
    pub(super) fn once(self, state: &State) -> Result<Jwk, Refused> {
        if state.first_use(self.id, self.made, self.until) { Ok(self.key) } else { Err(bad()) }
    }
}
