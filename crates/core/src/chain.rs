//! A chain: a token, and the links by which its holders handed on less of it themselves, with no call to the authority.
//!
//! `<token>~<link>~<link>…` is one value of `Authorization: DPoP`, so a proof is over all of it. A link is a JWS of
//! `typ` [`LINK_TYPE`] that the key signs to which the token or link before it is bound (`cnf.jkt`); that key stands in
//! its header. Its claim names are those of the attenuating-agent-tokens draft (draft-niyikiza-oauth-attenuating-agent-tokens-01).
//!
//! **Invariant:** what comes out is within the token on every axis: tools, arguments, prompts, resources, features,
//! audience, time, depth, and what has to be proved; and whatever takes back the token, or anything that it depends on, takes it back.

use serde::Deserialize;

use crate::claims::{Actor, Claims, Confirmation, Decision, PROFILE_AGENT, Task};
use crate::grant::Detail;
use crate::hash::{Digest, b64, sha256, sha256_text, unb64};
use crate::id::{AgentId, Instance, RunId, ServerName};
use crate::identify::{self, Authentic};
use crate::json::object;
use crate::jws::Unverified;
use crate::label::Trust;
use crate::policy::Compiled;
use crate::registry::Agent;
use crate::subset::details_within;
use crate::target::Target;

/// The `typ` of a link.
pub const LINK_TYPE: &str = "link+jwt";
/// Stands between a token and its links, and in neither.
pub const SEPARATOR: char = '~';
/// Longest chain that is looked at, in bytes.
pub const CHAIN_BYTES_MAX: usize = 32 * 1024;
/// Longest link, in bytes.
pub const LINK_BYTES_MAX: usize = 8 * 1024;
/// Most authorization details in one link.
pub const LINK_DETAILS_MAX: usize = 16;
/// What `iss` of a link begins with; the thumbprint of the key that signed it follows (RFC 9278).
pub const THUMBPRINT_URN: &str = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";

/// What the ids of runs and tokens begin with that the authority never heard of.
const LINKED: &str = "link-";
/// Hexadecimal digits after that.
const LINKED_DIGITS: usize = 32;

/// A link's payload. A claim that is not known here might restrict something, so it refuses the link.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Link {
    iss: String,
    act: Heir,
    iat: i64,
    exp: i64,
    par_hash: String,
    cnf: Confirmation,
    authorization_details: Vec<Detail>,
    del_depth: u32,
    del_max_depth: u32,
    why: String,
}

/// The agent that shall act, without a run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Heir {
    sub: AgentId,
}

/// Verifies a token, or a chain that begins with one, by the keys and the registry of a bundle. The result depends on nothing
/// but its arguments, so it may be kept.
pub fn verify(bundle: &Compiled, text: &str) -> Option<Authentic> {
    let keys = &bundle.versioned.bundle.keys;
    let Some((token, links)) = text.split_once(SEPARATOR) else {
        return identify::verify(keys, text);
    };
    if text.len() > CHAIN_BYTES_MAX {
        return None;
    }
    let mut claims = Claims::clone(identify::verify(keys, token)?.claims());
    let mut before = token;
    // Each link is one deeper, and what is too deep ends it.
    for link in links.split(SEPARATOR) {
        claims = handed_on(bundle, &claims, before, link)?;
        before = link;
    }
    // Which looks at depth and lengths again.
    claims.coherent().then(|| identify::handed_on(claims))
}

/// The claims of whoever a link is for, where its parent may say so.
fn handed_on(bundle: &Compiled, parent: &Claims, before: &str, text: &str) -> Option<Claims> {
    // What is bound to no key can be handed on by nobody.
    let bound = &parent.cnf.as_ref()?.jkt;
    let link = opened(text, bound)?;
    let above = || parent.lin_jkt.iter().chain([bound]);
    let held = link.iss.strip_prefix(THUMBPRINT_URN) == Some(bound.as_str())
        && link.par_hash == b64(&sha256(&[signed(before)?.as_bytes()]))
        && Some(link.del_depth) == parent.del_depth.checked_add(1)
        && link.del_max_depth <= parent.del_max_depth
        // Here and not in the end, so that nobody has more signatures checked than a chain may have.
        && link.del_depth <= link.del_max_depth
        && link.exp <= parent.exp
        && link.act.sub.trust_domain == parent.client_id.trust_domain
        && is_thumbprint(&link.cnf.jkt)
        // Else a run could act as another one, and nobody could tell which of the two it was.
        && above().all(|jkt| *jkt != link.cnf.jkt)
        && !link.why.trim().is_empty()
        && (1..=LINK_DETAILS_MAX).contains(&link.authorization_details.len())
        && details_within(&link.authorization_details, &parent.authorization_details);
    let mut aud: Vec<String> = link.authorization_details.iter().flat_map(|d| d.locations.clone()).collect();
    aud.sort();
    aud.dedup();
    let lin_jkt = above().cloned().collect();
    (held && aud.iter().all(|here| parent.aud.contains(here)))
        .then(|| child(bundle, parent, link, &jti(text), (aud, lin_jkt)))?
}

/// Reads a link that this key signed.
fn opened(text: &str, bound: &str) -> Option<Link> {
    if text.len() > LINK_BYTES_MAX {
        return None;
    }
    let jws = Unverified::parse(text)?;
    let key = jws.header.jwk.clone()?;
    // A proof is signed by the same key, and must not pass for this.
    if jws.header.typ.as_deref() != Some(LINK_TYPE) || jws.header.kid.is_some() || key.thumbprint() != bound {
        return None;
    }
    object(&jws.verify(&key)?)
}

/// What of the token's claims stays, and what the link puts in the place of the rest.
fn child(
    bundle: &Compiled,
    parent: &Claims,
    link: Link,
    jti: &str,
    (aud, lin_jkt): (Vec<String>, Vec<String>),
) -> Option<Claims> {
    let run = run(&parent.run, &link.act.sub, &link.cnf.jkt)?;
    let agent = link.act.sub;
    let purpose = bundle.agent(&agent).map(|agent| agent.purpose.clone()).unwrap_or_default();
    Some(Claims {
        aud,
        exp: link.exp,
        iat: link.iat.max(parent.iat),
        jti: jti.to_owned(),
        client_id: agent.clone(),
        act: Actor {
            sub: Instance { agent, run: run.clone() },
            iss: link.iss,
            sub_profile: PROFILE_AGENT.into(),
            act: Some(Box::new(parent.act.clone())),
        },
        cnf: Some(link.cnf),
        authorization_details: link.authorization_details,
        // What is asked for inside a tree, a model may have worded.
        task: Task { purpose, why: link.why, trust: Trust::Untrusted, ..parent.task.clone() },
        run,
        lin: parent.lin.iter().chain([&parent.jti]).cloned().collect(),
        lin_jkt,
        del_depth: link.del_depth,
        del_max_depth: link.del_max_depth,
        grant: Decision { until: link.exp.min(parent.grant.until), ..parent.grant.clone() },
        // The prescribed way begins outside.
        path: None,
        ..parent.clone()
    })
}

/// The part of a compact JWS that is signed. Names are made of this alone: a signature has more than one form.
fn signed(compact: &str) -> Option<&str> {
    compact.rsplit_once('.').map(|(signed, _)| signed)
}

/// The id of the token that a link amounts to.
fn jti(link: &str) -> String {
    named(&sha256(&[signed(link).unwrap_or(link).as_bytes()]))
}

/// The id of the run of an agent with a key of its own that another run began: the same as long as they are the same, so that
/// it outlives each link, and whoever revokes it revokes those that come after.
fn run(parent: &RunId, agent: &AgentId, jkt: &str) -> Option<RunId> {
    let agent = agent.to_string();
    let parts: [&[u8]; 6] =
        [b"remit run by a link\0", parent.as_str().as_bytes(), b"\0", agent.as_bytes(), b"\0", jkt.as_bytes()];
    RunId::new(named(&sha256(&parts))).ok()
}

fn named(digest: &Digest) -> String {
    let hex = sha256_text(digest);
    let hex = hex.trim_start_matches("sha256:");
    format!("{LINKED}{}", hex.get(..LINKED_DIGITS).unwrap_or(hex))
}

/// Whether an id is one of those that links make, of which the authority never heard.
pub fn is_linked(id: &str) -> bool {
    let digits = id.strip_prefix(LINKED).unwrap_or_default();
    digits.len() == LINKED_DIGITS && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether a text has the form of a key's thumbprint (RFC 7638, SHA-256).
pub fn is_thumbprint(text: &str) -> bool {
    text.len() == 43 && unb64(text).is_some_and(|digest| digest.len() == 32)
}

/// Whether each agent that began by a link may have by one what the caller says it has, now and for so long.
pub(crate) fn declared(bundle: &Compiled, claims: &Claims, now: i64) -> bool {
    if claims.lin_jkt.is_empty() {
        return true;
    }
    let Some(targets) = targets(bundle, &claims.authorization_details) else {
        return false;
    };
    let seconds = claims.exp.saturating_sub(claims.iat);
    let lets = |agent: &Agent, target: &Target| {
        // The exact need before a wildcard, as in the manifest.
        let exact = agent.offline.iter().find(|may| may.target == *target);
        let may = exact.or_else(|| agent.offline.iter().find(|may| may.target.covers(target)));
        may.is_some_and(|may| seconds <= may.seconds && now < may.until)
    };
    let mut begun = claims.lineage().take(claims.lin_jkt.len());
    !targets.is_empty()
        && begun
            .all(|link| bundle.agent(&link.agent).is_some_and(|agent| targets.iter().all(|target| lets(agent, target))))
}

/// Everything that details name, at each of their servers; `None` where one is no server's.
fn targets(bundle: &Compiled, details: &[Detail]) -> Option<Vec<Target>> {
    let gateway = &bundle.versioned.bundle.gateway;
    let mut targets = Vec::new();
    for detail in details {
        for location in &detail.locations {
            let server = location.strip_prefix(gateway)?.strip_prefix("/mcp/")?;
            targets.extend(Target::of_detail(&ServerName::new(server).ok()?, detail).ok()?);
        }
    }
    Some(targets)
}

#[cfg(test)]
mod tests;
