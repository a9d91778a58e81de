//! Who is calling: a token, its proof and the bundle give a caller, or the reason why there is none.

use std::sync::Arc;

use crate::chain;
use crate::claims::{Claims, TOKEN_TYPE};
use crate::dpop::{self, Proof};
use crate::id::ServerName;
use crate::input::{Credential, Input, Presented, Token};
use crate::json::object;
use crate::jws::{Jwk, Unverified};
use crate::policy::Compiled;
use crate::registry::Agent;
use crate::rejection::Code;

/// How far the authority's clock may be ahead of the gateway's, in seconds. Nothing is accepted past its end.
pub const CLOCK_SKEW_S: i64 = 60;

/// Claims whose signature was verified; only [`verify`] and [`chain::verify`] make one.
#[derive(Debug, Clone)]
pub struct Authentic(Arc<Claims>);

impl Authentic {
    /// The claims: who is meant, and not yet whether it is he who asks.
    pub fn claims(&self) -> &Arc<Claims> {
        &self.0
    }
}

/// The claims of a chain that [`chain::verify`] has verified.
pub(crate) fn handed_on(claims: Claims) -> Authentic {
    Authentic(Arc::new(claims))
}

/// What a request presents. No `Debug`: it holds a token.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The value of `Authorization`.
    pub authorization: Option<&'a str>,
    /// The value of `DPoP`.
    pub proof: Option<&'a str>,
    /// The HTTP method.
    pub method: &'a str,
    /// The URL as the client sees it, without query and fragment.
    pub url: &'a str,
}

/// A known caller, or the reason why there is none. No policy permits an unknown one.
#[derive(Debug, Clone, PartialEq)]
pub enum Caller<'a> {
    /// A registered agent in one of its runs.
    Known(&'a Arc<Claims>, &'a Arc<Agent>),
    /// Anybody.
    Unknown(Code),
}

/// Verifies a token's signature and form. The result depends on nothing but its arguments, so it may be kept.
pub fn verify(keys: &[Jwk], token: &str) -> Option<Authentic> {
    let jws = Unverified::parse(token)?;
    let typ = jws.header.typ.as_deref()?;
    let typ = typ.strip_prefix("application/").unwrap_or(typ);
    if typ != TOKEN_TYPE || jws.header.jwk.is_some() {
        return None;
    }
    let kid = jws.header.kid.as_deref()?;
    let key = keys.iter().find(|key| key.kid.as_deref() == Some(kid))?;
    let claims: Claims = object(&jws.verify(key)?)?;
    claims.coherent().then(|| Authentic(Arc::new(claims)))
}

/// What a request presents, with the proof that its token needs.
///
/// `lookup` gives the verified claims of a token; `first_use` says whether a proof is seen for the first time.
pub fn authenticate(
    request: Request<'_>,
    now: i64,
    lookup: impl FnOnce(&str) -> Option<Authentic>,
    first_use: impl FnOnce(&Proof) -> bool,
) -> Presented {
    let Some(authorization) = request.authorization else {
        return Presented::Nothing;
    };
    let Some((scheme, token)) = authorization.split_once(' ') else {
        return Presented::Invalid;
    };
    let dpop = scheme.eq_ignore_ascii_case("dpop");
    if !dpop && !scheme.eq_ignore_ascii_case("bearer") {
        return Presented::Invalid;
    }
    let Some(Authentic(claims)) = lookup(token) else {
        return Presented::Invalid;
    };
    let Some(bound) = &claims.cnf else {
        let credential = Credential::Bearer;
        return if dpop { Presented::BadProof } else { Presented::Token(Token { claims, credential }) };
    };
    // A bound token presented as a bearer token is a stolen one (RFC 9449 section 7.2).
    let Some(proof) = request.proof.filter(|_| dpop) else {
        return Presented::BadProof;
    };
    let on = dpop::Request { method: request.method, url: request.url, token };
    match dpop::verify(proof, on, now) {
        Ok(proof) if proof.jkt != bound.jkt => Presented::BadProof,
        Ok(proof) if !first_use(&proof) => Presented::Replayed,
        Ok(_) => Presented::Token(Token { claims, credential: Credential::Dpop }),
        Err(_) => Presented::BadProof,
    }
}

/// Who is calling, by what was presented and what is known of it.
pub fn identify<'a>(bundle: &'a Compiled, input: &'a Input) -> Caller<'a> {
    let claims = match &input.presented {
        Presented::Nothing => return Caller::Unknown(Code::TokenMissing),
        Presented::Invalid => return Caller::Unknown(Code::TokenInvalid),
        Presented::BadProof => return Caller::Unknown(Code::ProofInvalid),
        Presented::Replayed => return Caller::Unknown(Code::ProofReplayed),
        Presented::Token(token) => &token.claims,
    };
    let ours = claims.iss == bundle.versioned.bundle.issuer && claims.client_id.trust_domain == bundle.trust_domain;
    if !ours || !claims.coherent() || claims.iat > input.now.saturating_add(CLOCK_SKEW_S) {
        return Caller::Unknown(Code::TokenInvalid);
    }
    if claims.exp <= input.now {
        return Caller::Unknown(Code::TokenExpired);
    }
    if input.facts.revoked.is_some() {
        return Caller::Unknown(Code::Revoked);
    }
    if !is_for(claims, bundle, &input.server) {
        return Caller::Unknown(Code::TokenAudience);
    }
    // Whoever is in the lineage limits what the tree may do, so each must be known.
    let registered = claims.lineage().all(|above| bundle.agent(&above.agent).is_some());
    match bundle.agent(&claims.client_id).filter(|_| registered) {
        Some(_) if !chain::declared(bundle, claims, input.now) => Caller::Unknown(Code::ScopeUndeclared),
        Some(agent) => Caller::Known(claims, agent),
        None => Caller::Unknown(Code::AgentUnregistered),
    }
}

fn is_for(claims: &Claims, bundle: &Compiled, server: &ServerName) -> bool {
    let resource = bundle.resource(server);
    claims.aud.contains(&resource)
}
