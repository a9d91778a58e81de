//! The bundle: everything by which gateways decide that is not a revocation, as one signed, versioned text.
//!
//! On the wire it is a C2SP signed note under the root key that each gateway pins in its configuration. The note's
//! text is four header lines and the content, one line of JSON:
//!
//! ```text
//! remit.bundle/v1 <trust domain>
//! version <n>
//! not_after <seconds since 1970>
//! sha256 <hex of the content line, without its newline>
//! {…}
//! ```
//!
//! The feed of revocations is signed in the same way, page by page:
//!
//! ```text
//! remit.feed/v1 <trust domain>
//! seq <position of the page's last entry>
//! at <seconds since 1970>
//! [{…},…]
//! ```

use serde::{Deserialize, Serialize};

use crate::hash::{Digest, sha256, sha256_text};
use crate::id::TrustDomain;
use crate::jws::Jwk;
use crate::registry::{Agent, Server};
use crate::revoked::Revocation;

/// Largest bundle with its signature, in bytes: the largest note that is read.
pub const BUNDLE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most entries in one page of the feed.
pub const FEED_PAGE_MAX: usize = 1_000;

const BUNDLE_KIND: &str = "remit.bundle/v1";
const FEED_KIND: &str = "remit.feed/v1";

/// A text that was signed, but is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not the header lines, or of another kind or trust domain.
    #[error("the signed text is not a {0} of this trust domain")]
    Header(&'static str),
    /// The content is not what the header's digest says.
    #[error("the content does not have the digest that the header names")]
    Digest,
    /// The content does not parse: an unknown key is an error, because it might restrict something.
    #[error("the content does not parse: {0}")]
    Content(String),
}

/// A bundle as it was read, before its policies are compiled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The authority's name in `iss`.
    pub issuer: String,
    /// The gateway's URL as clients see it, without a slash at the end.
    pub gateway: String,
    /// Keys that sign tokens.
    pub keys: Vec<Jwk>,
    /// Registered servers and their pinned tools.
    pub servers: Vec<Server>,
    /// Registered agents.
    pub agents: Vec<Agent>,
    /// The org floor: what no team can weaken.
    pub floor: Vec<PolicyFile>,
    /// Each team's own policies.
    pub teams: Vec<TeamPolicies>,
}

/// A file of Cedar policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// Its name, for errors and policy ids: `<name>` without `.cedar`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// One team's policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamPolicies {
    /// The team, of whose agents alone they may speak.
    pub team: crate::id::Team,
    /// Its files.
    pub files: Vec<PolicyFile>,
}

/// A bundle with what its header says.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned {
    /// Monotone: a gateway refuses one below the highest that it logged.
    pub version: u64,
    /// When it ends, in seconds since 1970.
    pub not_after: i64,
    /// Digest of the content.
    pub digest: Digest,
    /// The content.
    pub bundle: Bundle,
}

/// One page of the revocation feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    /// Position of the feed's last entry at that time; the page may end before it.
    pub seq: u64,
    /// When the authority signed the page, in seconds since 1970.
    pub at: i64,
    /// The entries that follow the position that was asked for.
    pub entries: Vec<Revocation>,
}

impl Versioned {
    /// The text to sign.
    pub fn write(trust_domain: &TrustDomain, version: u64, not_after: i64, bundle: &Bundle) -> Option<String> {
        let content = serde_json::to_string(bundle).ok()?;
        let digest = sha256_text(&sha256(&[content.as_bytes()]));
        let digest = digest.trim_start_matches("sha256:");
        Some(format!(
            "{BUNDLE_KIND} {trust_domain}\nversion {version}\nnot_after {not_after}\nsha256 {digest}\n{content}\n"
        ))
    }

    /// Reads a text whose signature was verified.
    pub fn read(text: &str, trust_domain: &TrustDomain) -> Result<Self, BundleError> {
        let bad = || BundleError::Header("bundle");
        let [kind, version, not_after, digest, content] = lines(text).ok_or_else(bad)?;
        if kind != format!("{BUNDLE_KIND} {trust_domain}") {
            return Err(bad());
        }
        let version = field(version, "version ").ok_or_else(bad)?;
        let not_after = field(not_after, "not_after ").ok_or_else(bad)?;
        let found = sha256(&[content.as_bytes()]);
        if digest.strip_prefix("sha256 ") != Some(sha256_text(&found).trim_start_matches("sha256:")) {
            return Err(BundleError::Digest);
        }
        let bundle = serde_json::from_str(content).map_err(|e| BundleError::Content(e.to_string()))?;
        Ok(Self { version, not_after, digest: found, bundle })
    }
}

impl FeedPage {
    /// The text to sign.
    pub fn write(&self, trust_domain: &TrustDomain) -> Option<String> {
        let entries = serde_json::to_string(&self.entries).ok()?;
        Some(format!("{FEED_KIND} {trust_domain}\nseq {}\nat {}\n{entries}\n", self.seq, self.at))
    }

    /// Reads a text whose signature was verified.
    pub fn read(text: &str, trust_domain: &TrustDomain) -> Result<Self, BundleError> {
        let bad = || BundleError::Header("feed page");
        let [kind, seq, at, entries] = lines(text).ok_or_else(bad)?;
        if kind != format!("{FEED_KIND} {trust_domain}") {
            return Err(bad());
        }
        let seq = field(seq, "seq ").ok_or_else(bad)?;
        let at = field(at, "at ").ok_or_else(bad)?;
        let entries: Vec<Revocation> =
            serde_json::from_str(entries).map_err(|e| BundleError::Content(e.to_string()))?;
        if entries.len() > FEED_PAGE_MAX || entries.last().is_some_and(|last| last.seq > seq) {
            return Err(bad());
        }
        Ok(Self { seq, at, entries })
    }
}

fn lines<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.strip_suffix('\n')?.split('\n').collect::<Vec<_>>().try_into().ok()
}

/// A decimal number after `name`, in its one canonical form.
fn field<T: std::str::FromStr + ToString>(line: &str, name: &str) -> Option<T> {
    let text = line.strip_prefix(name)?;
    let value: T = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            issuer: "https://as.example".into(),
            gateway: "https://gw.example".into(),
            keys: vec![],
            servers: vec![],
            agents: vec![],
            floor: vec![PolicyFile { name: "base".into(), text: "permit(principal,action,resource);\n".into() }],
            teams: vec![],
        }
    }

    #[test]
    fn a_bundle_reads_back_and_nothing_else_does() {
        let domain = TrustDomain::new("acme.example").unwrap();
        let text = Versioned::write(&domain, 7, 1_795_250_400, &bundle()).unwrap();
        let read = Versioned::read(&text, &domain).unwrap();
        assert_eq!((read.version, read.not_after, &read.bundle), (7, 1_795_250_400, &bundle()));
        let other = TrustDomain::new("other.example").unwrap();
        assert_eq!(Versioned::read(&text, &other), Err(BundleError::Header("bundle")));
        for (from, to) in [("version 7", "version 07"), ("version 7", "version +7"), ("\nsha256", "\n\nsha256")] {
            assert_eq!(Versioned::read(&text.replacen(from, to, 1), &domain), Err(BundleError::Header("bundle")));
        }
        assert_eq!(Versioned::read(&text.replacen("permit", "forbid", 1), &domain), Err(BundleError::Digest));
    }

    #[test]
    fn a_feed_page_reads_back() {
        let domain = TrustDomain::new("acme.example").unwrap();
        let entry = Revocation { seq: 3, kind: crate::revoked::Kind::Run, id: "r".into(), at: 5 };
        let page = FeedPage { seq: 3, at: 9, entries: vec![entry] };
        let text = page.write(&domain).unwrap();
        assert_eq!(FeedPage::read(&text, &domain).unwrap(), page);
        assert!(FeedPage::read(&text.replacen("seq 3", "seq 2", 1), &domain).is_err());
    }
}
