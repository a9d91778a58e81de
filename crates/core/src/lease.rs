//! How a gateway asks the authority for a server's credential, and the text that answers.
//!
//! The request is a JWS of the gateway's own key. The answer is a signed note of the root key, like the bundle, and holds
//! the values sealed to a key that the gateway made for this one request:
//!
//! ```text
//! remit.lease/v1 <trust domain>
//! {"ask":"<jti>","server":…,"secrets":[…],"until":…,"epk":"…","sealed":"…"}
//! ```
//!
//! **Invariant:** what is sealed opens for one request of one gateway, for one server and these versions.

use serde::{Deserialize, Serialize};

use crate::hash::unb64;
use crate::id::{RunId, ServerName, TrustDomain};
use crate::secret::Reference;

/// `typ` of a request: no other text of the same key passes for one.
pub const ASK_TYP: &str = "remit-lease+jwt";
/// Longest life of a request, in seconds.
pub const ASK_SECONDS_MAX: i64 = 60;
/// How far the clocks of gateway and authority may differ, in seconds.
pub const ASK_SKEW_S: i64 = 30;
/// Largest answer, in bytes.
pub const LEASE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest id of a request, in bytes.
const JTI_BYTES_MAX: usize = 128;

const KIND: &str = "remit.lease/v1";

/// What a gateway asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Thumbprint of the gateway's key.
    pub iss: String,
    /// The authority's name.
    pub aud: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// Its end, in seconds since 1970.
    pub exp: i64,
    /// Its id: it is good once.
    pub jti: String,
    /// The server.
    pub server: ServerName,
    /// The versions that the gateway's bundle names.
    pub secrets: Vec<Reference>,
    /// The run for whose call it is, where the credential depends on whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// SHA-256 of the value that the server has just refused, in base64url: it is not to be lent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// The key that was made for the answer: X25519, in base64url.
    pub epk: String,
}

impl Ask {
    /// Whether it is meant for this authority, about this server, and of now.
    pub fn is_for(&self, issuer: &str, server: &ServerName, now: i64) -> bool {
        let begun = self.iat <= now.saturating_add(ASK_SKEW_S);
        let short = self.exp <= self.iat.saturating_add(ASK_SECONDS_MAX);
        let named = !self.jti.is_empty() && self.jti.len() <= JTI_BYTES_MAX;
        self.aud == issuer && self.server == *server && begun && short && self.exp > now && named
    }

    /// The key to which the answer is to be sealed.
    pub fn key(&self) -> Option<[u8; 32]> {
        unb64(&self.epk)?.try_into().ok()
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// Id of the request.
    pub ask: String,
    /// The server.
    pub server: ServerName,
    /// What is sealed, in this order.
    pub secrets: Vec<Reference>,
    /// Until when it may be used, in seconds since 1970, where it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// From when on the next one can be had, in seconds since 1970: only of what is issued anew by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<i64>,
    /// The sender's key for this answer: X25519, in base64url.
    pub epk: String,
    /// A JSON array of the values, sealed, in base64url.
    pub sealed: String,
}

impl Lease {
    /// What the seal is bound to.
    pub fn bound(ask: &str, server: &ServerName, secrets: &[Reference]) -> Vec<u8> {
        let secrets = serde_json::to_string(secrets).unwrap_or_default();
        format!("{KIND}\n{ask}\n{server}\n{secrets}").into_bytes()
    }

    /// The text to sign.
    pub fn write(&self, trust_domain: &TrustDomain) -> Option<String> {
        Some(format!("{KIND} {trust_domain}\n{}\n", serde_json::to_string(self).ok()?))
    }

    /// Reads a text whose signature was verified, where it answers this request.
    pub fn read(text: &str, trust_domain: &TrustDomain, ask: &Ask) -> Option<Self> {
        let (kind, content) = text.strip_suffix('\n')?.split_once('\n')?;
        let lease: Self = serde_json::from_str(content).ok()?;
        let answers = lease.ask == ask.jti && lease.server == ask.server && lease.secrets == ask.secrets;
        (kind == format!("{KIND} {trust_domain}") && answers).then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Place;

    fn ask() -> Ask {
        Ask {
            iss: "thumb".into(),
            aud: "https://as.example".into(),
            iat: 1_000,
            exp: 1_060,
            jti: "j-1".into(),
            server: ServerName::new("tickets").unwrap(),
            secrets: vec![Reference { place: Place::Bearer, version: 3, plain: false, own: false }],
            run: None,
            refused: None,
            epk: crate::hash::b64(&[7; 32]),
        }
    }

    #[test]
    fn a_request_is_for_one_authority_one_server_and_one_minute() {
        let (here, server) = ("https://as.example", ServerName::new("tickets").unwrap());
        assert!(ask().is_for(here, &server, 1_000) && ask().is_for(here, &server, 1_059));
        assert!(!ask().is_for(here, &server, 1_060) && !ask().is_for(here, &server, 969));
        assert!(!ask().is_for("https://other.example", &server, 1_000));
        assert!(!ask().is_for(here, &ServerName::new("other").unwrap(), 1_000));
        assert!(!Ask { exp: 1_061, ..ask() }.is_for(here, &server, 1_000));
        assert!(!Ask { jti: String::new(), ..ask() }.is_for(here, &server, 1_000));
        assert!(ask().key().is_some() && Ask { epk: "AA".into(), ..ask() }.key().is_none());
    }

    #[test]
    fn an_answer_is_for_its_own_request() {
        let domain = TrustDomain::new("acme.example").unwrap();
        let lease = Lease {
            ask: "j-1".into(),
            server: ask().server,
            secrets: ask().secrets,
            until: None,
            renew: None,
            epk: "A".into(),
            sealed: "B".into(),
        };
        let text = lease.write(&domain).unwrap();
        assert_eq!(Lease::read(&text, &domain, &ask()).as_ref(), Some(&lease));
        let other = |change: fn(&mut Ask)| {
            let mut ask = ask();
            change(&mut ask);
            Lease::read(&text, &domain, &ask)
        };
        assert_eq!(other(|ask| ask.jti = "j-2".into()), None);
        assert_eq!(other(|ask| ask.server = ServerName::new("other").unwrap()), None);
        assert_eq!(other(|ask| ask.secrets.iter_mut().for_each(|secret| secret.version = 4)), None);
        assert_eq!(Lease::read(&text, &TrustDomain::new("other.example").unwrap(), &ask()), None);
        assert_eq!(Lease::read(&text.replacen("lease", "feed", 1), &domain, &ask()), None);
    }
}
