//! Issuers that are trusted: identity providers of people, and whoever vouches for workloads (CI systems, SPIFFE servers).
//!
//! An issuer is registered with the PIN, and only for what its rules say: nobody is anybody here because some issuer of
//! the internet says so.

pub mod assertion;
pub mod claims;
pub mod discovery;
pub(crate) mod event;
pub mod jws;
pub(crate) mod keeper;
pub mod keys;
pub(crate) mod person;
mod registered;
pub mod rules;
pub(crate) mod signed_in;
pub(crate) mod visit;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use registered::AddIssuer;
pub use rules::Rules;

/// Most issuers.
pub const ISSUERS_MAX: usize = 64;
/// Longest URL, and most bytes of any other text of a registration.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Most audiences that are accepted besides the authority's own name.
pub const AUDIENCES_MAX: usize = 16;
/// Where an `OpenID` provider describes itself, below its own URL.
pub const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// A trusted issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerRecord {
    /// Its name, to the letter as its tokens have it in `iss`; of SPIFFE `spiffe://<trust domain>`.
    pub url: String,
    /// What it vouches for.
    pub kind: Kind,
    /// The names under which tokens may mean this authority.
    pub audiences: Vec<String>,
    /// Algorithms that its signatures may have.
    pub algorithms: BTreeSet<Algorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// For whom it may speak, and as what.
    pub rules: Rules,
    /// How people log in there, where they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<RelyingParty>,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub by: String,
}

/// What an issuer vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// People: an `OpenID` provider, also of ID-JAGs.
    People,
    /// Workloads with OIDC tokens of their own, as CI systems give them.
    Workload,
    /// Workloads with JWT-SVIDs.
    Spiffe,
}

/// An algorithm of signatures. There is no `none`, and nothing with a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// Ed25519, also under its newer name (RFC 9864).
    #[serde(alias = "Ed25519")]
    EdDSA,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// Where its `OpenID` configuration says.
    Discovered,
    /// At this URL: a key set, or the bundle endpoint of a SPIFFE trust domain.
    At(String),
    /// In this key set, which nobody fetches.
    Given(String),
}

/// How the authority is known to an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelyingParty {
    /// Its `client_id` there.
    pub client_id: String,
    /// Its secret there, sealed, in base64url; none where it is a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What is asked for besides `openid`.
    #[serde(default)]
    pub scopes: Vec<String>,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::RS256, Self::ES256, Self::EdDSA];

    /// The algorithm of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::RS256),
            "ES256" => Some(Self::ES256),
            "EdDSA" | "Ed25519" => Some(Self::EdDSA),
            _ => None,
        }
    }
}

impl IssuerRecord {
    /// The one name of a subject of this issuer among all principals.
    pub fn subject(&self, sub: &str) -> String {
        match self.kind {
            // It names its trust domain itself.
            Kind::Spiffe => sub.to_owned(),
            Kind::People | Kind::Workload => format!("{}#{sub}", self.url),
        }
    }

    /// Whether what is registered can be meant, or why not.
    pub fn check(&self) -> Result<(), String> {
        let plain = |text: &str| {
            !text.is_empty() && text.len() <= TEXT_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let web = |url: &str| {
            plain(url) && (url.starts_with("https://") || url.starts_with("http://")) && !url.contains(['#', '?', '@'])
        };
        match self.kind {
            Kind::Spiffe if trust_domain(&self.url).is_none() => {
                return Err("an issuer of SPIFFE is named by its trust domain: spiffe://DOMAIN".into());
            }
            Kind::Spiffe if self.keys == KeySource::Discovered => {
                return Err(
                    "where the keys of a trust domain are has to be said: its bundle endpoint, or a file".into()
                );
            }
            Kind::People | Kind::Workload if !web(&self.url) => {
                return Err("an issuer is an https URL without a user, a query or a fragment".into());
            }
            _ => {}
        }
        if self.algorithms.is_empty() {
            return Err("no algorithm is allowed".into());
        }
        if self.audiences.len() > AUDIENCES_MAX || !self.audiences.iter().all(|audience| plain(audience)) {
            return Err(format!("more than {AUDIENCES_MAX} audiences, or one that is no name"));
        }
        match &self.keys {
            KeySource::At(url) if !web(url) => return Err("the keys are at an https URL".into()),
            KeySource::Given(text) => drop(keys::read(text.as_bytes()).map_err(|error| error.to_string())?),
            KeySource::At(_) | KeySource::Discovered => {}
        }
        match &self.client {
            Some(_) if self.kind != Kind::People => return Err("only people log in".into()),
            Some(_) if self.keys != KeySource::Discovered => {
                return Err("where people log in stands in what the provider says of itself, and so do its keys".into());
            }
            Some(client) if !plain(&client.client_id) => return Err("the client's id is no name".into()),
            _ => {}
        }
        self.rules.check(self.kind, &self.url)
    }
}

/// The trust domain that a text names and nothing else.
pub(crate) fn trust_domain(url: &str) -> Option<&str> {
    let domain = url.strip_prefix("spiffe://")?;
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    (!domain.is_empty() && domain.len() <= 255 && domain.bytes().all(letters)).then_some(domain)
}
