//! Who asks: a run authenticates by `private_key_jwt`, and may prove possession of its key (RFC 9449) beside it.
//!
//! **Invariant:** an assertion and a proof work once, at this authority alone.

use axum::http::{HeaderMap, StatusCode};
use remit_core::dpop::{self, PROOF_WINDOW_S};
use remit_core::id::RunId;

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
    let bad = || Refused::new("invalid_dpop_proof", "the proof is not accepted");
    let mut proofs = headers.get_all("dpop").iter();
    let Some(proof) = proofs.next() else {
        return Ok(false);
    };
    let text = proof.to_str().map_err(|_| bad())?;
    let now = state.config.clock.now();
    let url = format!("{}/token", state.config.issuer);
    let proven = dpop::verify_bare(text, "POST", &url, now).map_err(|_| bad())?;
    let until = now.saturating_add(PROOF_WINDOW_S.saturating_mul(2));
    let same = proofs.next().is_none() && proven.key.thumbprint() == jkt;
    if same && state.first_use(format!("p {jkt} {}", proven.jti), proven.made, until) {
        return Ok(true);
    }
    Err(bad())
}
