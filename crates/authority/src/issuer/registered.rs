//! Trusting an issuer, and no longer.

use std::collections::BTreeSet;

use remit_core::id::PrincipalId;
use remit_core::rejection::{Code, Rejection};
use serde::{Deserialize, Serialize};

use super::{Algorithm, ISSUERS_MAX, IssuerRecord, KeySource, Kind, RelyingParty, Rules};
use crate::authority::State;
use crate::change::Change;
use crate::error::AuthorityError;
use crate::socket::wire::Given;

/// An issuer to trust.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddIssuer {
    /// Its name, to the letter.
    pub url: String,
    /// What it vouches for.
    pub kind: Kind,
    /// Names under which its tokens may mean this authority, besides its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Algorithms that its signatures may have; all that are known where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// For whom it may speak.
    #[serde(default)]
    pub rules: Rules,
    /// As which client people are sent there to log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What is asked for besides `openid`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// Under whose data key the secret of a relying party lies: each registration has one of its own.
fn drawer(issuer: &IssuerRecord) -> String {
    format!("issuer {} {}", issuer.url, issuer.at)
}

impl State {
    /// Trusts an issuer for what its rules say, or for something else than before.
    pub(crate) fn add_issuer(
        &self,
        add: &AddIssuer,
        given: &[Given],
        by: &PrincipalId,
    ) -> Result<IssuerRecord, AuthorityError> {
        let algorithms: BTreeSet<Algorithm> =
            if add.algorithms.is_empty() { Algorithm::ALL.into() } else { add.algorithms.iter().copied().collect() };
        let mut record = IssuerRecord {
            url: add.url.clone(),
            kind: add.kind,
            audiences: add.audiences.clone(),
            algorithms,
            keys: add.keys.clone(),
            rules: add.rules.clone(),
            client: add.client.as_ref().map(|client_id| RelyingParty {
                client_id: client_id.clone(),
                secret: None,
                scopes: add.scopes.clone(),
            }),
            at: self.config.clock.now(),
            by: by.to_string(),
        };
        record.check().map_err(|why| refused(&why, "see: remit issuer add --help"))?;
        if record.kind != Kind::Spiffe && record.keys == KeySource::Discovered {
            let url = super::discovery::url(&record.url);
            self.fetcher
                .may_ask(&url)
                .map_err(|error| refused(&format!("the issuer cannot be asked: {error}"), INSIDE))?;
        }
        self.seal_client(&mut record, given)?;
        let mut core = self.core();
        let all = core.journal.store().issuers()?;
        if all.len() >= ISSUERS_MAX && all.iter().all(|issuer| issuer.url != record.url) {
            return Err(refused("there are too many issuers", "remove one: remit issuer remove URL"));
        }
        core.journal.record(&Change::Issuer(Box::new(record.clone())))?;
        self.keeper.forget(&record.url);
        self.visits.forget(&record.url, self.config.clock.now());
        // The log keeps what was sealed before; from here on nobody opens it.
        if let Some(before) = all.iter().find(|issuer| issuer.url == record.url && issuer.at != record.at) {
            self.secrets.destroy(&drawer(before))?;
        }
        Ok(record)
    }

    fn seal_client(&self, record: &mut IssuerRecord, given: &[Given]) -> Result<(), AuthorityError> {
        let (url, drawer) = (record.url.clone(), drawer(record));
        let Some(client) = &mut record.client else {
            return if given.is_empty() {
                Ok(())
            } else {
                Err(refused("the secret is of no client", "say --client-id"))
            };
        };
        let [given] = given else {
            return if given.is_empty() { Ok(()) } else { Err(refused("a client has one secret", "give one")) };
        };
        let value = given.value.expose();
        if value.is_empty() || value.contains(char::is_control) {
            return Err(refused("the client's secret is empty, or not one line", "look at what it is read from"));
        }
        let bound = bound(&url, &client.client_id);
        let sealed = self.secrets.seal(&drawer, &bound, value.as_bytes())?;
        client.secret = Some(remit_core::hash::b64(&sealed));
        Ok(())
    }

    /// Those that are trusted. Of a sealed secret is said that there is one, and no more.
    pub(crate) fn issuers(&self) -> Result<Vec<IssuerRecord>, AuthorityError> {
        let mut all = self.core().journal.store().issuers()?;
        let secrets = all.iter_mut().filter_map(|issuer| issuer.client.as_mut()?.secret.as_mut());
        secrets.for_each(String::clear);
        Ok(all)
    }

    /// The secret of the relying party, for one request to its provider.
    pub(crate) fn client_secret(
        &self,
        issuer: &IssuerRecord,
    ) -> Result<Option<zeroize::Zeroizing<Vec<u8>>>, AuthorityError> {
        let Some(client) = &issuer.client else { return Ok(None) };
        let Some(sealed) = &client.secret else { return Ok(None) };
        let sealed = remit_core::hash::unb64(sealed).ok_or(AuthorityError::Crypto)?;
        let plain = self.secrets.open_sealed(&drawer(issuer), &bound(&issuer.url, &client.client_id), &sealed)?;
        Ok(Some(zeroize::Zeroizing::new(plain)))
    }

    /// From now on nothing that it says counts. What was begun by it goes on until its end, or is revoked.
    pub(crate) fn remove_issuer(&self, url: &str, by: &PrincipalId) -> Result<(), AuthorityError> {
        let mut core = self.core();
        let Some(before) = core.journal.store().issuer(url)? else {
            return Err(refused("no such issuer is trusted", "see which are: remit issuer list"));
        };
        let (at, by) = (self.config.clock.now(), by.to_string());
        core.journal.record(&Change::IssuerGone { url: url.to_owned(), at, by })?;
        self.keeper.forget(url);
        self.visits.forget(url, self.config.clock.now());
        self.secrets.destroy(&drawer(&before))?;
        Ok(())
    }
}

const INSIDE: &str = "name its host in the configuration, where it is inside: authority.internal_hosts";

/// What a sealed secret is bound to: no other provider, and no other client, is sent it.
fn bound(url: &str, client: &str) -> Vec<u8> {
    format!("remit.issuer/v1\n{url}\n{client}").into_bytes()
}

fn refused(message: &str, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
