//! Portable posture: what this authority says of one of its agents, signed, so that another one can take it over.
//!
//! **Invariant:** nothing is registered by bringing a statement. It becomes a request, which a person of the team, or of the
//! platform, confirms; from then on the agent is one of this authority, under its own floor.

use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_audit::note::Verifier;
use remit_core::hash::{sha256, sha256_text};
use remit_core::id::{AgentId, PrincipalId, Team};
use remit_core::identify::CLOCK_SKEW_S;
use remit_core::json::object;
use remit_core::jws::{Jwk, Unverified};
use remit_core::manifest::{DAY_S, Manifest};
use remit_core::rejection::{Code, Rejection};
use serde::{Deserialize, Serialize};

use crate::authority::State;
use crate::change::{AgentRecord, Change};
use crate::error::AuthorityError;
use crate::org::Import;
use crate::random;
use crate::signing::PrivateKey;
use crate::socket::wire::{Answered, Approval, Word};

/// The `typ` of a statement: nothing else that a root key signs has it.
pub const POSTURE_TYPE: &str = "remit-posture+jwt";
/// How long a statement can be brought to another authority, in seconds.
const POSTURE_SECONDS: i64 = 30 * DAY_S;
/// Longest statement, in bytes.
pub const POSTURE_BYTES_MAX: usize = 1024 * 1024;
/// Longest verifier key that is read, in bytes.
const VKEY_BYTES_MAX: usize = 256;
/// Most imports that wait for a word.
const IMPORTS_MAX: usize = 64;

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posture {
    /// The issuer of the authority that says it.
    pub iss: String,
    /// The agent.
    pub sub: AgentId,
    /// When, in seconds since 1970.
    pub iat: i64,
    /// Until when it can be brought elsewhere, in seconds since 1970.
    pub exp: i64,
    /// Its id.
    pub jti: String,
    /// What the agent declares: its needs with their reasons and ends, its budget, its tags.
    pub manifest: Manifest,
    /// The control tier.
    pub tier: String,
    /// The team that answers for it.
    pub owner: Team,
    /// The end of its registration, in seconds since 1970.
    pub expires: i64,
    /// The bundle under which it acts, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleSaid>,
    /// Digest of each file of the floor and of the team's policies.
    pub policies: Vec<FileSaid>,
}

/// Which bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleSaid {
    /// Its version.
    pub version: u64,
    /// Digest of its content.
    pub digest: String,
}

/// Which file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSaid {
    /// `floor/<name>` or `team/<team>/<name>`.
    pub name: String,
    /// Digest of its text.
    pub digest: String,
}

#[derive(Serialize)]
struct Header<'a> {
    typ: &'a str,
    alg: &'a str,
    kid: &'a str,
}

/// States an agent, signed by the root key: the one that others pin.
pub(crate) fn export(state: &State, agent: &AgentRecord, owner: &Team) -> Result<String, AuthorityError> {
    let now = state.config.clock.now();
    let bundle = state.bundle.borrow().bundle.clone();
    let posture = Posture {
        iss: state.config.issuer.clone(),
        sub: agent.id.clone(),
        iat: now,
        exp: now.saturating_add(POSTURE_SECONDS),
        jti: random::jti()?,
        manifest: agent.manifest.clone(),
        tier: agent.manifest.tier().name().to_owned(),
        owner: owner.clone(),
        expires: state.core().journal.store().expires(&agent.id)?.unwrap_or(now),
        bundle: bundle.map(|bundle| BundleSaid { version: bundle.version, digest: bundle.digest.clone() }),
        policies: state.policy_digests(&agent.id.team)?,
    };
    let path = state.home.keys().join("root.key");
    let root = PrivateKey::load(&path)?.ok_or(AuthorityError::Crypto)?;
    root.sign(&Header { typ: POSTURE_TYPE, alg: "EdDSA", kid: state.root.name() }, &posture)
}

/// Reads a statement by the key that signs for the other authority.
pub fn verify(statement: &str, vkey: &str, now: i64) -> Result<Posture, Rejection> {
    let (name, key) = key(vkey).ok_or_else(|| {
        refused("the key is not a verifier key of an authority", "name the other authority's root.vkey: --from FILE")
    })?;
    let bad = |why: &str| {
        refused(why, "have it exported again, and name the key of that authority: remit agent import FILE --from KEY")
    };
    let statement = statement.trim();
    if statement.len() > POSTURE_BYTES_MAX {
        return Err(bad("the statement is larger than one may be"));
    }
    let jws = Unverified::parse(statement).ok_or_else(|| bad("this is no signed statement about an agent"))?;
    if jws.header.typ.as_deref() != Some(POSTURE_TYPE) || jws.header.jwk.is_some() {
        return Err(bad("this is no signed statement about an agent"));
    }
    let payload = jws.verify(&key).ok_or_else(|| bad("the statement is not signed by that key"))?;
    let posture: Posture = object(&payload).ok_or_else(|| bad("the statement does not say what one must"))?;
    if posture.iat > now.saturating_add(CLOCK_SKEW_S) || posture.exp <= now {
        return Err(bad("the statement's time is over, or has not begun"));
    }
    let about = &posture.manifest.agent;
    let own = (&posture.sub.team, &posture.sub.name, &posture.sub.version);
    // The root key is of one domain, and speaks of that domain's agents alone.
    let domain = name.strip_suffix("/root") == Some(posture.sub.trust_domain.as_str());
    if !domain || own != (&about.team, &about.name, &about.version) {
        return Err(bad("the statement contradicts itself"));
    }
    Ok(posture)
}

/// Name and key of a C2SP verifier key.
fn key(vkey: &str) -> Option<(String, Jwk)> {
    let vkey = vkey.trim();
    if vkey.len() > VKEY_BYTES_MAX {
        return None;
    }
    let verifier = Verifier::parse(vkey).ok()?;
    let bytes = STANDARD.decode(vkey.splitn(3, '+').nth(2)?).ok()?;
    let (kind, public) = bytes.split_first()?;
    (*kind == 1 && public.len() == 32).then(|| (verifier.name().to_owned(), Jwk::ed25519(public, None)))
}

impl State {
    /// Keeps a statement of another authority until a person has answered it.
    pub(crate) fn bring(&self, statement: &str, vkey: &str, by: &PrincipalId) -> Result<Import, AuthorityError> {
        let now = self.config.clock.now();
        let posture = verify(statement, vkey, now)?;
        // What could never be registered is said now, and not to whoever confirms.
        self.review_manifest(posture.manifest.clone())?;
        let digest = sha256_text(&sha256(&[statement.trim().as_bytes()]));
        let mut core = self.core();
        let open = core.journal.store().open_imports()?;
        if let Some(same) = open.iter().find(|import| import.digest == digest) {
            return Ok(same.clone());
        }
        if open.len() >= IMPORTS_MAX {
            let message = format!("{IMPORTS_MAX} imports wait for a word, and there may be no more");
            return Err(refused(&message, "answer some: remit approvals").into());
        }
        let import = Import {
            id: random::user_code()?,
            issuer: posture.iss,
            key: vkey.trim().to_owned(),
            agent: posture.sub,
            manifest: posture.manifest,
            digest,
            taken: None,
            why: String::new(),
            at: now,
            by: by.clone(),
        };
        core.journal.record(&Change::Import(Box::new(import.clone())))?;
        Ok(import)
    }

    /// The import that waits under this id, as a person types it.
    pub(crate) fn import_named(&self, typed: &str) -> Result<Option<Import>, AuthorityError> {
        let letters = |text: &str| -> String {
            text.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase()).collect()
        };
        let open = self.core().journal.store().open_imports()?;
        Ok(open.into_iter().find(|import| letters(&import.id) == letters(typed)))
    }

    /// Registers what was brought, or not. It is judged again: the floor may be another one by now.
    pub(crate) fn answer_import(
        &self,
        import: Import,
        word: &Word,
        by: &PrincipalId,
    ) -> Result<Answered, AuthorityError> {
        if word.allow && word.why.trim().is_empty() {
            return Err(refused("no reason is given", "say why: --why \"…\"").into());
        }
        let _one = self.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let record = if word.allow { Some(self.review_manifest(import.manifest.clone())?.0) } else { None };
        let import = Import {
            taken: Some(word.allow),
            why: if word.allow { word.why.clone() } else { String::new() },
            at: self.config.clock.now(),
            by: by.clone(),
            ..import
        };
        {
            let mut core = self.core();
            let open = core.journal.store().import(&import.id)?.is_some_and(|import| import.taken.is_none());
            if !open {
                return Err(refused("it was answered already", "see what waits: remit approvals").into());
            }
            core.journal.record(&Change::Import(Box::new(import.clone())))?;
        }
        if let Some(record) = record {
            self.register(record, by)?;
        }
        Ok(Answered { approval: Approval::Import(Box::new(import)), asked: None })
    }
}

fn refused(message: &str, help: &str) -> Rejection {
    Rejection::new(Code::RequestInvalid, message, help)
}
