//! Credentials of upstream servers: sealed when they are given, and lent to gateways that prove who they are.
//!
//! Each value has a data key of its own, wrapped under a key in a file, so that log and database hold sealed bytes alone,
//! and a value that was replaced can be destroyed although the log keeps what was sealed.
//!
//! **Invariant:** a value leaves this module sealed: for the database, or for the one request of a gateway. It opens for its
//! server as it is reached now, in one place and version, and for nothing else.

use remit_audit::letter;
use remit_audit::vault::VaultError;
use remit_core::hash::{b64, sha256, sha256_text, unb64};
use remit_core::id::{GatewayName, PrincipalId, ServerName};
use remit_core::lease::{Ask, Lease};
use remit_core::registry::Upstream;
use remit_core::rejection::{Code, Rejection};
use remit_core::secret::{Place, Reference, SECRETS_MAX, Value};
use zeroize::Zeroizing;

use crate::authority::{Core, State};
use crate::change::{Change, Leased, SecretRecord, ServerRecord};
use crate::error::AuthorityError;
use crate::socket::wire::Given;

impl State {
    /// Seals what was given for a registered server. `rotate` says whether it takes the place of what is there.
    pub(crate) fn put_secrets(
        &self,
        server: &ServerName,
        given: &[Given],
        rotate: bool,
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
            let has = there.iter().any(|secret| secret.place == given.place);
            if has != rotate {
                let (what, help) = if rotate {
                    ("has no credential", "leave --rotate away")
                } else {
                    ("has a credential already", "replace it: remit server secret NAME --rotate")
                };
                return Err(invalid(&format!("`{server}` {what} at {}", given.place), help));
            }
        }
        self.seal(&mut core, &record, given, by)
    }

    /// The same with the registration: whatever is there is replaced.
    pub(crate) fn seal(
        &self,
        core: &mut Core,
        server: &ServerRecord,
        given: &[Given],
        by: &PrincipalId,
    ) -> Result<(), AuthorityError> {
        fitting(&server.upstream, &core.journal.store().secrets(&server.name)?, given)?;
        for one in given {
            let before = core.journal.store().secrets(&server.name)?;
            let before = before.into_iter().find(|secret| secret.place == one.place);
            let version = core.journal.store().secret_version(&server.name)?.saturating_add(1);
            let mut record = SecretRecord {
                server: server.name.clone(),
                place: one.place.clone(),
                version,
                plain: one.plain,
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

    /// Lends a server's credentials to the gateway that signed the request. The log has the lease before the gateway.
    pub(crate) fn lease(&self, ask: &str, server: &ServerName) -> Result<String, AuthorityError> {
        let (gateway, ask) = self.asking(ask, server)?;
        let mut core = self.core();
        let store = core.journal.store();
        let secrets = store.secrets(server)?;
        let now: Vec<Reference> = secrets.iter().map(SecretRecord::reference).collect();
        let record = store.server(server)?.filter(|_| !now.is_empty() && now == ask.secrets);
        let Some(record) = record else {
            let message = format!("the credential of `{server}` is not the one that the gateway's bundle names");
            return Err(refused(Code::CredentialUnavailable, message, "try again in a moment"));
        };
        let opened: Result<Vec<Value>, AuthorityError> =
            secrets.iter().map(|secret| self.unseal(secret, &record.upstream)).collect();
        let plain = Zeroizing::new(serde_json::to_vec(&opened?)?);
        let to = ask.key().ok_or_else(unproven)?;
        let bound = Lease::bound(&ask.jti, server, &now);
        let (epk, sealed) = letter::seal(&to, &bound, &plain).map_err(|_| AuthorityError::Crypto)?;
        core.journal.record(&Change::Leased(Leased {
            server: server.clone(),
            gateway,
            secrets: now.clone(),
            ask: ask.jti.clone(),
            at: self.config.clock.now(),
        }))?;
        let (epk, sealed) = (b64(&epk), b64(&sealed));
        let lease = Lease { ask: ask.jti, server: server.clone(), secrets: now, until: None, epk, sealed };
        let text = lease.write(&self.config.trust_domain).ok_or(AuthorityError::Crypto)?;
        Ok(remit_audit::note::sign(&text, &self.root))
    }

    fn unseal(&self, secret: &SecretRecord, upstream: &Upstream) -> Result<Value, AuthorityError> {
        let sealed = unb64(&secret.sealed).ok_or(VaultError::Corrupt)?;
        let plain = self.secrets.open_sealed(&subject(secret), &bound(secret, upstream)?, &sealed)?;
        // The bytes move into the value, which wipes them.
        String::from_utf8(plain).map(Value::new).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            VaultError::Corrupt.into()
        })
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
        let ask: Ask = serde_json::from_slice(&payload).map_err(|_| unproven())?;
        if ask.iss != jkt || !ask.is_for(&self.config.issuer, server, now) {
            return Err(unproven());
        }
        // What was made before this process began counts as used: nobody remembers whether it was.
        if !self.first_use(format!("g {jkt} {}", ask.jti), ask.iat, ask.exp) {
            return Err(unproven());
        }
        Ok((gateway.name, ask))
    }

    /// Destroys the keys of values that were taken away, or that a crash has left after they were replaced.
    pub(crate) fn sweep_secrets(&self, core: &Core) -> Result<(), AuthorityError> {
        for (server, place, gone) in core.journal.store().replaced_secrets()? {
            self.secrets.destroy(&subject_of(&server, &place, gone))?;
        }
        Ok(())
    }
}

impl SecretRecord {
    /// What everybody may know of it.
    pub fn reference(&self) -> Reference {
        Reference { place: self.place.clone(), version: self.version, plain: self.plain }
    }
}

/// Under whose data key a value lies.
fn subject(secret: &SecretRecord) -> String {
    subject_of(&secret.server, &secret.place, secret.version)
}

fn subject_of(server: &ServerName, place: &Place, version: u64) -> String {
    format!("{server} {place} {version}")
}

/// Whoever can write the database moves no value to another server, place or version, nor the server to another address.
fn bound(secret: &SecretRecord, upstream: &Upstream) -> Result<Vec<u8>, AuthorityError> {
    let upstream = sha256_text(&sha256(&[&serde_json::to_vec(upstream)?]));
    Ok(format!("remit.secret/v1\n{}\n{}\n{}\n{upstream}", secret.server, secret.place, secret.version).into_bytes())
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

/// One answer for all of it: which check failed helps nobody but a forger.
fn unproven() -> AuthorityError {
    refused(
        Code::GatewayUnknown,
        "the request is not signed by a gateway that is registered".into(),
        "register it, at the authority: remit gateway add NAME FILE, with the gateway's own identity.jwk",
    )
}

fn invalid(message: &str, help: &str) -> AuthorityError {
    refused(Code::RequestInvalid, message.into(), help)
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
