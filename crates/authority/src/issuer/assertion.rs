//! Assertions of other issuers, shown as grants (RFC 7521, RFC 7523): a workload's own token, or an identity provider's
//! word for a person and a client (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant).
//!
//! **Invariant:** an assertion counts once, here, now, signed by the issuer that it names, and as the kind of token that
//! this issuer may give.

use remit_core::hash::b64;

use super::claims::{Bound, Claims};
use super::jws::Foreign;
use super::keeper::KeeperError;
use super::{IssuerRecord, Kind, trust_domain};
use crate::assertion::{JTI_BYTES_MAX, SKEW_S};
use crate::authority::State;
use crate::error::AuthorityError;
use crate::fetch::FetchError;

/// The media type of an ID-JAG.
pub const ID_JAG: &str = "oauth-id-jag+jwt";
/// Longest life of a person's assertion, in seconds.
pub const PERSON_SECONDS_MAX: i64 = 3_600;
/// Longest life of a workload's token, in seconds: some CI systems let one live as long as its job may.
pub const WORKLOAD_SECONDS_MAX: i64 = 86_400;
/// Longest subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 512;

/// An assertion that was verified; whether it is shown for the first time is for the caller to see.
pub(crate) struct Assertion {
    pub(crate) issuer: IssuerRecord,
    pub(crate) subject: String,
    pub(crate) claims: Claims,
    jkt: Option<String>,
    /// What makes it the same one when it comes again.
    id: String,
    made: i64,
    exp: i64,
}

/// Why an assertion is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// Not a token, of an algorithm that nobody may use, or with a key of its own.
    #[error("it is not a signed token of a kind that is accepted")]
    Form,
    /// Nobody trusts who says so.
    #[error("its issuer is not trusted")]
    Issuer,
    /// The issuer's keys cannot be had now.
    #[error("the keys of its issuer cannot be had: {0}")]
    Unreachable(FetchError),
    /// The issuer's keys cannot be used.
    #[error("the keys of its issuer cannot be used: {0}")]
    Keys(String),
    /// No key of the issuer made the signature.
    #[error("no key of its issuer made the signature")]
    Signature,
    /// Another kind of token.
    #[error("it is a token of another kind, by its `typ`")]
    Type,
    /// For somebody else.
    #[error("it is not for this authority alone: its `aud` has another name")]
    Audience,
    /// Not now.
    #[error("it is over, not yet valid, or lives too long")]
    Time,
    /// It says not who.
    #[error("it has no subject that its issuer may speak for")]
    Subject,
    /// Shown before.
    #[error("it was shown before, or was made before the authority started")]
    Again,
}

impl Unfit {
    /// What it is called in the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Unfit::Form => "form",
            Unfit::Issuer => "issuer",
            Unfit::Unreachable(_) => "unreachable",
            Unfit::Keys(_) => "keys",
            Unfit::Signature => "signature",
            Unfit::Type => "type",
            Unfit::Audience => "audience",
            Unfit::Time => "time",
            Unfit::Subject => "subject",
            Unfit::Again => "again",
        }
    }
}

impl From<KeeperError> for Unfit {
    fn from(error: KeeperError) -> Self {
        match error {
            KeeperError::Fetch(FetchError::Unreachable) => Unfit::Unreachable(FetchError::Unreachable),
            other => Unfit::Keys(other.to_string()),
        }
    }
}

/// Verifies what a client shows. The result of the database is beside that of the assertion.
pub(crate) async fn verify(state: &State, text: &str) -> Result<Result<Assertion, Unfit>, AuthorityError> {
    let Some(token) = Foreign::parse(text) else { return Ok(Err(Unfit::Form)) };
    let Some(issuer) = issuer_of(state, &token.claims)? else { return Ok(Err(Unfit::Issuer)) };
    let now = state.config.clock.now();
    let known = match state.keeper.get(&state.fetcher, &issuer, token.kid.as_deref(), now).await {
        Ok(known) => known,
        Err(error) => return Ok(Err(error.into())),
    };
    if !token.is_signed_by(&known.keys, &issuer) {
        return Ok(Err(Unfit::Signature));
    }
    Ok(judged(token, issuer, &state.config.issuer, now))
}

/// The issuer whose keys are looked up: the one that the token names, or that of the trust domain of its subject.
fn issuer_of(state: &State, claims: &Claims) -> Result<Option<IssuerRecord>, AuthorityError> {
    let core = state.core();
    let store = core.journal.store();
    if let Some(url) = claims.text("iss")
        && let Some(issuer) = store.issuer(url)?
    {
        return Ok(Some(issuer));
    }
    // A JWT-SVID need not name its issuer, and its subject names the trust domain.
    let domain =
        claims.text("sub").and_then(|sub| sub.strip_prefix("spiffe://")).and_then(|rest| rest.split('/').next());
    domain.map_or(Ok(None), |domain| store.issuer(&format!("spiffe://{domain}")))
}

/// Everything but the signature.
fn judged(token: Foreign<'_>, issuer: IssuerRecord, own: &str, now: i64) -> Result<Assertion, Unfit> {
    let digest = b64(&token.digest());
    let Foreign { typ, claims, .. } = token;
    let fits = match issuer.kind {
        Kind::People => typ.as_deref() == Some(ID_JAG),
        Kind::Workload => matches!(typ.as_deref(), None | Some("jwt")),
        Kind::Spiffe => matches!(typ.as_deref(), None | Some("jwt" | "jose")),
    };
    if !fits {
        return Err(Unfit::Type);
    }
    let named = claims.list("aud").unwrap_or_default();
    // Of a person's assertion there is one audience, by our own name.
    let accepted =
        |name: &&str| *name == own || (issuer.kind != Kind::People && issuer.audiences.iter().any(|a| a == name));
    if named.is_empty() || !named.iter().all(accepted) || (issuer.kind == Kind::People && named.len() != 1) {
        return Err(Unfit::Audience);
    }
    let (made, exp) = times(&claims, issuer.kind, now).ok_or(Unfit::Time)?;
    let subject = subject(&claims, &issuer).ok_or(Unfit::Subject)?;
    let jti = claims.text("jti");
    if jti.is_some_and(|jti| jti.len() > JTI_BYTES_MAX) || (issuer.kind == Kind::People && jti.is_none()) {
        return Err(Unfit::Again);
    }
    // Without an id, what is signed is what makes it this one.
    let id = jti.map_or_else(|| format!("f {} {digest}", issuer.url), |jti| format!("j {} {jti}", issuer.url));
    let jkt = match claims.bound() {
        Bound::Nothing => None,
        Bound::Key(jkt) => Some(jkt.to_owned()),
        Bound::Otherwise => return Err(Unfit::Type),
    };
    Ok(Assertion { issuer, subject, claims, jkt, id, made, exp })
}

/// When it was made and when it ends, where it is valid now.
pub(crate) fn times(claims: &Claims, kind: Kind, now: i64) -> Option<(i64, i64)> {
    let (exp, made) = (claims.time("exp")?, claims.time("iat")?);
    let longest = if kind == Kind::People { PERSON_SECONDS_MAX } else { WORKLOAD_SECONDS_MAX };
    let soon = now.saturating_add(SKEW_S);
    let begun = made <= soon && (!claims.has("nbf") || claims.time("nbf")? <= soon);
    (begun && exp > now && exp.saturating_sub(made) <= longest).then_some((made, exp))
}

pub(crate) fn subject(claims: &Claims, issuer: &IssuerRecord) -> Option<String> {
    let sub = claims.text("sub").filter(|sub| sub.len() <= SUBJECT_BYTES_MAX && !sub.contains(char::is_control))?;
    let within = |domain: &str| {
        let rest = sub.strip_prefix("spiffe://").and_then(|rest| rest.strip_prefix(domain));
        rest.is_some_and(|path| path.starts_with('/'))
    };
    // A trust domain vouches for nobody of another one.
    (issuer.kind != Kind::Spiffe || trust_domain(&issuer.url).is_some_and(within)).then(|| sub.to_owned())
}

impl Assertion {
    /// The key that whoever shows it must prove to have, by thumbprint.
    pub(crate) fn bound_to(&self) -> Option<&str> {
        self.jkt.as_deref()
    }

    /// When it was made, in seconds since 1970.
    pub(crate) fn made(&self) -> i64 {
        self.made
    }

    /// Uses it up; `false` where it was shown before.
    pub(crate) fn is_first(&self, state: &State) -> bool {
        state.first_use(self.id.clone(), self.made, self.exp.saturating_add(SKEW_S))
    }
}
