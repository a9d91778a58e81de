//! Credentials of upstream servers: sealed when they are given, for everybody's calls or for those of a team or a person.
//!
//! Each value has a data key of its own, wrapped under a key in a file, so that log and database hold sealed bytes alone,
//! and a value that was replaced can be destroyed although the log keeps what was sealed.
//!
//! **Invariant:** a value opens for its server as it is reached now, for whose calls it was given, in one place and version,
//! and for nothing else.

use remit_core::hash::{b64, sha256, sha256_text};
use remit_core::id::{PrincipalId, ServerName};
use remit_core::registry::Upstream;
use remit_core::rejection::{Code, Rejection};
use remit_core::secret::{Place, Reference, SECRETS_MAX, Value};

use crate::authority::{Core, State};
use crate::broker::record::Scope;
use crate::change::{Change, SecretRecord, ServerRecord};
use crate::error::AuthorityError;
use crate::socket::wire::Given;

/// Where an access token goes.
const AUTHORIZATION: &str = "authorization";

impl State {
    /// Seals what was given for a registered server. `rotate` says whether it takes the place of what is there.
    pub(crate) fn put_secrets(
        &self,
        server: &ServerName,
        given: &[Given],
        (rotate, scope): (bool, &Scope),
        by: &PrincipalId,
    ) -> Result<(), AuthorityError> {
        let mut core = self.core();
        let record = core.journal.store().server(server)?;
        let record = record.ok_or_else(|| {
            let message = format!("no server `{server}` is registered");
            refused(Code::ServerUnknown, message, "see what is: remit server list")
        })?;
        let there = core.journal.store().secrets(server)?;
        if given.is_empty() {
            return Err(invalid("no credential is given", "say from where it is read: --secret-from FILE"));
        }
        for given in given {
            let has = there.iter().any(|secret| secret.place == given.place && secret.scope == *scope);
            if has != rotate {
                let (what, help) = if rotate {
                    ("has no credential", "leave --rotate away")
                } else {
                    ("has a credential already", "replace it: remit server secret NAME --rotate")
                };
                let whose = if scope.is_all() { String::new() } else { format!(" for {scope}") };
                return Err(invalid(&format!("`{server}` {what}{whose} at {}", given.place), help));
            }
        }
        if core.journal.store().oauth(server)?.is_some()
            && given.iter().any(|one| one.place.header() == Some(AUTHORIZATION))
        {
            return Err(invalid(
                "the server gets its access token there",
                "give it at another header: --auth header:NAME",
            ));
        }
        self.seal_for(&mut core, &record, given, (scope, by))
    }

    /// The same with the registration: whatever is there for everybody is replaced.
    pub(crate) fn seal(
        &self,
        core: &mut Core,
        server: &ServerRecord,
        given: &[Given],
        by: &PrincipalId,
    ) -> Result<(), AuthorityError> {
        self.seal_for(core, server, given, (&Scope::All, by))
    }

    fn seal_for(
        &self,
        core: &mut Core,
        server: &ServerRecord,
        given: &[Given],
        (scope, by): (&Scope, &PrincipalId),
    ) -> Result<(), AuthorityError> {
        fitting(&server.upstream, &core.journal.store().secrets(&server.name)?, given)?;
        for one in given {
            let before = core.journal.store().secrets(&server.name)?;
            let before = before.into_iter().find(|secret| secret.place == one.place && secret.scope == *scope);
            let version = core.journal.store().secret_version(&server.name)?.saturating_add(1);
            let mut record = SecretRecord {
                server: server.name.clone(),
                place: one.place.clone(),
                version,
                plain: one.plain,
                scope: scope.clone(),
                sealed: String::new(),
                at: self.config.clock.now(),
                by: by.to_string(),
            };
            let sealed = self.secrets.seal(
                &subject(&record),
                &bound(&record, &server.upstream)?,
                one.value.expose().as_bytes(),
            )?;
            record.sealed = b64(&sealed);
            core.journal.record(&Change::Secret(record))?;
            // The log keeps what was sealed before; from here on nobody opens it.
            if let Some(before) = before {
                self.secrets.destroy(&subject(&before))?;
            }
        }
        Ok(())
    }

    /// Takes away what was only for some calls.
    pub(crate) fn take_secrets(
        &self,
        server: &ServerName,
        scope: &Scope,
        by: &PrincipalId,
    ) -> Result<(), AuthorityError> {
        let mut core = self.core();
        let there = core.journal.store().secrets(server)?;
        let gone: Vec<SecretRecord> = there.into_iter().filter(|one| one.scope == *scope && !scope.is_all()).collect();
        if gone.is_empty() {
            return Err(invalid(
                &format!("`{server}` has no credential for {scope}"),
                "see which: remit server show NAME",
            ));
        }
        for SecretRecord { server, place, scope, .. } in gone {
            let version = core.journal.store().secret_version(&server)?.saturating_add(1);
            let (at, by) = (self.config.clock.now(), by.to_string());
            core.journal.record(&Change::SecretGone { server, place, scope, version, at, by })?;
        }
        self.sweep_secrets(&core)
    }

    pub(crate) fn unseal(&self, secret: &SecretRecord, upstream: &Upstream) -> Result<Value, AuthorityError> {
        self.opened(&subject(secret), &bound(secret, upstream)?, &secret.sealed)
    }

    /// Destroys the keys of values that were taken away, or that a crash has left after they were replaced.
    pub(crate) fn sweep_secrets(&self, core: &Core) -> Result<(), AuthorityError> {
        for gone in core.journal.store().replaced_secrets()? {
            self.secrets.destroy(&gone)?;
        }
        Ok(())
    }
}

impl SecretRecord {
    /// What everybody may know of it.
    pub fn reference(&self) -> Reference {
        Reference { place: self.place.clone(), version: self.version, plain: self.plain, own: !self.scope.is_all() }
    }
}

/// Under whose data key a value lies.
fn subject(secret: &SecretRecord) -> String {
    format!("{} {} {}", secret.server, secret.place, secret.version)
}

/// Whoever can write the database moves no value to another server, place, version or person, nor the server to another address.
fn bound(secret: &SecretRecord, upstream: &Upstream) -> Result<Vec<u8>, AuthorityError> {
    let upstream = sha256_text(&sha256(&[&serde_json::to_vec(upstream)?]));
    let whose = if secret.scope.is_all() { String::new() } else { format!("\n{}", secret.scope) };
    Ok(format!("remit.secret/v1\n{}\n{}\n{}\n{upstream}{whose}", secret.server, secret.place, secret.version)
        .into_bytes())
}

/// Whether these can stand where they shall, beside those that stay.
pub(crate) fn fitting(upstream: &Upstream, there: &[SecretRecord], given: &[Given]) -> Result<(), AuthorityError> {
    let over_http = matches!(upstream, Upstream::Http { .. });
    let help = "for a URL: --auth bearer, basic or header:NAME; for a program: --env NAME=FILE";
    for (index, one) in given.iter().enumerate() {
        if one.place.is_header() != over_http {
            return Err(invalid(&format!("a credential at {} is not for a server of this kind", one.place), help));
        }
        if !one.place.takes(one.value.expose()) {
            return Err(invalid(
                &format!("what is given cannot stand at {}: it is empty, too long, or has other characters", one.place),
                "look at what it is read from: one line, without quotes; for basic, USER:PASSWORD",
            ));
        }
        let earlier = given.iter().take(index).map(|one| &one.place);
        let kept = there.iter().map(|secret| &secret.place).filter(|place| **place != one.place);
        if earlier.chain(kept).any(|place| same(place, &one.place)) {
            return Err(invalid(&format!("two credentials would stand at {}", one.place), help));
        }
    }
    let more = given.iter().filter(|one| there.iter().all(|secret| secret.place != one.place)).count();
    if there.len().saturating_add(more) > SECRETS_MAX {
        return Err(invalid("the server would have too many credentials", help));
    }
    cleartext(upstream)
}

/// Whether an access token would stand there alone, and travel safely.
pub(crate) fn alone(upstream: &Upstream, there: &[SecretRecord], given: &[Given]) -> Result<(), AuthorityError> {
    let mut places = there.iter().map(|one| &one.place).chain(given.iter().map(|one| &one.place));
    if places.any(|place| place.header() == Some(AUTHORIZATION)) {
        let help = "register it under another name, or give the other credential at another header";
        return Err(invalid("a credential stands already where the access token goes", help));
    }
    cleartext(upstream)
}

/// A credential is not sent where everybody on the way can read it.
fn cleartext(upstream: &Upstream) -> Result<(), AuthorityError> {
    let Upstream::Http { url } = upstream else { return Ok(()) };
    if url.starts_with("https://") || url.parse::<http::Uri>().is_ok_and(|url| is_loopback(&url)) {
        return Ok(());
    }
    Err(invalid(
        "the server's URL is http and not on this machine: a credential would travel in clear",
        "register it with its https URL",
    ))
}

/// Whether a URL leads to this machine, whatever a name server says.
pub(crate) fn is_loopback(url: &http::Uri) -> bool {
    let host = url.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn same(left: &Place, right: &Place) -> bool {
    left == right || (left.is_header() && left.header() == right.header())
}

fn invalid(message: &str, help: &str) -> AuthorityError {
    refused(Code::RequestInvalid, message.into(), help)
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
