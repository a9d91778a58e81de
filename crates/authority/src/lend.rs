//! Lending credentials of servers to gateways that prove who they are, sealed to the one request.
//!
//! Where a credential depends on whose call it is, the request names the run. Whose that is says the registry, not the
//! gateway: the most specific credential is lent, and nobody's stands in for another's.
//!
//! **Invariant:** a value leaves this module sealed to the key of one request, after the log has the lease.

use std::sync::Arc;

use remit_audit::letter;
use remit_core::hash::b64;
use remit_core::id::{GatewayName, PrincipalId, ServerName, Team};
use remit_core::json::object;
use remit_core::lease::{Ask, Lease};
use remit_core::registry::Upstream;
use remit_core::rejection::{Code, Rejection};
use remit_core::secret::{Place, Reference, Value};
use zeroize::Zeroizing;

use crate::authority::State;
use crate::broker::record::{Behalf, OauthRecord, Scope};
use crate::broker::{Access, LEASE_SECONDS_MAX, access, on_disk};
use crate::change::{Change, Leased, SecretRecord};
use crate::error::AuthorityError;
use crate::store::Store;

/// Whose call it is: the person, and the team of the agent.
type Caller = (PrincipalId, Team);

/// What is lent for one request, before it is sealed.
struct Picked {
    gateway: GatewayName,
    upstream: Upstream,
    statics: Vec<SecretRecord>,
    oauth: Option<OauthRecord>,
    caller: Option<Caller>,
}

/// What everybody may know of a server's credentials. One that depends on whose call it is has the version of the newest
/// change of any: gateways then ask again.
pub(crate) fn references(store: &Store, server: &ServerName) -> Result<Vec<Reference>, AuthorityError> {
    let mut found: Vec<Reference> = Vec::new();
    for secret in store.secrets(server)? {
        let one = secret.reference();
        match found.iter_mut().find(|known| known.place == one.place) {
            Some(known) => {
                known.version = known.version.max(one.version);
                known.own |= one.own;
                known.plain &= one.plain;
            }
            None => found.push(one),
        }
    }
    let gone = store.secret_gone(server)?;
    found.iter_mut().filter(|one| one.own).for_each(|one| one.version = one.version.max(gone));
    if let Some(record) = store.oauth(server)? {
        let own = record.behalf == Behalf::AuthorizationCode;
        let ended = if own { store.connections_version(server)? } else { 0 };
        found.push(Reference { place: Place::Bearer, version: record.version.max(ended), plain: false, own });
    }
    Ok(found)
}

/// Lends a server's credentials to the gateway that signed the request.
pub(crate) async fn lease(state: &Arc<State>, ask: &str, server: &ServerName) -> Result<String, AuthorityError> {
    let (text, name) = (ask.to_owned(), server.clone());
    let (picked, ask) = on_disk(state, move |state| state.pick(&text, &name)).await?;
    let person = picked.oauth.as_ref().filter(|record| record.behalf == Behalf::AuthorizationCode);
    let person = person.and(picked.caller.as_ref()).map(|(principal, _)| principal);
    let token = match &picked.oauth {
        Some(record) => {
            let token = access(state, server, person, ask.refused.as_deref()).await?;
            // Registered again meanwhile: this token is of another client, and perhaps for another place.
            if token.client != record.version {
                return Err(changed(server));
            }
            Some(token)
        }
        None => None,
    };
    on_disk(state, move |state| state.lend(&picked, token, ask)).await
}

impl State {
    /// Who asks, for whose call, and what is to be lent.
    fn pick(&self, ask: &str, server: &ServerName) -> Result<(Picked, Ask), AuthorityError> {
        let (gateway, ask) = self.asking(ask, server)?;
        let core = self.core();
        let store = core.journal.store();
        let now = references(store, server)?;
        let record = store.server(server)?.filter(|_| !now.is_empty() && now == ask.secrets);
        let record = record.ok_or_else(|| changed(server))?;
        let caller = if now.iter().any(|one| one.own) { Some(self.caller(store, &ask, server)?) } else { None };
        let (mut statics, oauth) = (Vec::new(), store.oauth(server)?);
        let mut all = store.secrets(server)?;
        all.retain(|secret| secret.scope.covers(caller.as_ref()));
        all.sort_by_key(|secret| std::cmp::Reverse(secret.scope.rank()));
        for one in now.iter().take(now.len().saturating_sub(usize::from(oauth.is_some()))) {
            let found = all.iter().find(|secret| secret.place == one.place).cloned();
            statics.push(found.ok_or_else(|| {
                let message = format!("`{server}` has no credential for this person or this agent's team");
                refused(Code::CredentialUnavailable, message, "give it one: remit server secret NAME --team TEAM")
            })?);
        }
        Ok((Picked { gateway, upstream: record.upstream, statics, oauth, caller }, ask))
    }

    /// The person and the team of the run that the request names: a live one, which was granted something of this server.
    fn caller(&self, store: &Store, ask: &Ask, server: &ServerName) -> Result<Caller, AuthorityError> {
        let of_no_run = || {
            let message = format!("the request for `{server}` is for no live run that was granted something of it");
            refused(Code::CredentialUnavailable, message, "ask for a grant: remit request SERVER/TOOL")
        };
        let id = ask.run.as_ref().ok_or_else(of_no_run)?;
        let now = self.config.clock.now();
        let run = store.live_run(id, now)?.ok_or_else(of_no_run)?;
        let place = format!("{}/mcp/{server}", self.config.gateway);
        // A person may have allowed it something beside its ceiling.
        let held = store.held_by(id, now)?;
        if !held.iter().flat_map(|grant| &grant.details).any(|detail| detail.locations.contains(&place)) {
            return Err(of_no_run());
        }
        Ok((run.principal, run.agent.team))
    }

    /// Seals it to the request's key. The log has the lease before the gateway.
    fn lend(&self, picked: &Picked, token: Option<Access>, ask: Ask) -> Result<String, AuthorityError> {
        let opened: Result<Vec<Value>, AuthorityError> =
            picked.statics.iter().map(|secret| self.unseal(secret, &picked.upstream)).collect();
        let mut values = opened?;
        let now = self.config.clock.now();
        let mut own: Vec<(Scope, u64)> = picked.statics.iter().map(|one| (one.scope.clone(), one.version)).collect();
        own.retain(|(scope, _)| !scope.is_all());
        // Of some calls only: for a while, so that what is taken away is gone wherever it was.
        let mut until = picked.caller.is_some().then(|| now.saturating_add(LEASE_SECONDS_MAX));
        let mut renew = None;
        if let Some(token) = token {
            until = Some(until.map_or(token.until, |until| until.min(token.until)));
            renew = Some(token.renew);
            values.push(token.value);
            if let Some((OauthRecord { behalf: Behalf::AuthorizationCode, version, .. }, (principal, _))) =
                picked.oauth.as_ref().zip(picked.caller.clone())
            {
                own.push((Scope::Principal(principal), *version));
            }
        }
        let plain = Zeroizing::new(serde_json::to_vec(&values)?);
        let to = ask.key().ok_or_else(unproven)?;
        let bound = Lease::bound(&ask.jti, &ask.server, &ask.secrets);
        let (epk, sealed) = letter::seal(&to, &bound, &plain).map_err(|_| AuthorityError::Crypto)?;
        let run = ask.run.filter(|_| picked.caller.is_some());
        let (gateway, secrets) = (picked.gateway.clone(), ask.secrets.clone());
        let (server, id) = (ask.server.clone(), ask.jti.clone());
        let leased = Leased { server, gateway, secrets, run, own, until, ask: id, at: now };
        self.core().journal.record(&Change::Leased(leased))?;
        let (epk, sealed) = (b64(&epk), b64(&sealed));
        let lease = Lease { ask: ask.jti, server: ask.server, secrets: ask.secrets, until, renew, epk, sealed };
        let text = lease.write(&self.config.trust_domain).ok_or(AuthorityError::Crypto)?;
        Ok(remit_audit::note::sign(&text, &self.root))
    }

    /// The gateway that signed the request, and what it asks for, once.
    fn asking(&self, text: &str, server: &ServerName) -> Result<(GatewayName, Ask), AuthorityError> {
        use remit_core::jws::Unverified;
        let now = self.config.clock.now();
        let jws = Unverified::parse(text).ok_or_else(unproven)?;
        if jws.header.typ.as_deref() != Some(remit_core::lease::ASK_TYP) {
            return Err(unproven());
        }
        // The key's name only says which key to look up; the signature says whether it is that one.
        let jkt = jws.header.kid.clone().ok_or_else(unproven)?;
        let gateway = self.core().journal.store().gateway_of_key(&jkt)?.ok_or_else(unproven)?;
        let payload = jws.verify(&gateway.key).ok_or_else(unproven)?;
        let ask: Ask = object(&payload).ok_or_else(unproven)?;
        if ask.iss != jkt || !ask.is_for(&self.config.issuer, server, now) {
            return Err(unproven());
        }
        // What was made before this process began counts as used: nobody remembers whether it was.
        if !self.first_use(format!("g {jkt} {}", ask.jti), ask.iat, ask.exp) {
            return Err(unproven());
        }
        Ok((gateway.name, ask))
    }
}

fn changed(server: &ServerName) -> AuthorityError {
    let message = format!("the credential of `{server}` is not the one that the gateway's bundle names");
    refused(Code::CredentialUnavailable, message, "try again in a moment")
}

/// One answer for all of it: which check failed helps nobody but a forger.
fn unproven() -> AuthorityError {
    refused(
        Code::GatewayUnknown,
        "the request is not signed by a gateway that is registered".into(),
        "register it, at the authority: remit gateway add NAME FILE, with the gateway's own identity.jwk",
    )
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
