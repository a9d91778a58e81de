//! A change as an entry of the log: the leaf says what happened without personal data, the sealed frame is the change.

mod asked;

use remit_core::event::{self, BundleSeen, Head, KeyDestroyed, Kind, Revoked};
use remit_core::hash::{sha256, sha256_text};
use remit_core::id::PrincipalId;

use crate::broker::record::OauthRecord;
use crate::change::{Change, Grant, Leased, RefusedRecord, ToolRecord};
use crate::error::AuthorityError;

/// The subject under whose key changes lie that concern no person.
pub(crate) const ORGANIZATION: &str = "org";
/// What begins from outside every run. All other grants are asked for from inside, in words that a model may have chosen.
const LAUNCH: &str = "launch";

/// The subject under whose key a change is sealed.
pub(crate) fn subject(change: &Change) -> &str {
    change.subject().map_or(ORGANIZATION, |principal| principal.as_str())
}

/// The leaf of a change, whose frame is `sealed`.
pub(crate) fn leaf(change: &Change, sealed: &[u8], head: &Head) -> Result<Vec<u8>, AuthorityError> {
    let frame = Some((subject(change), sealed));
    let leaf = match change {
        Change::Revoked { revocation, by, .. } => Revoked { entry: revocation, by, sealed: frame }.write(head),
        Change::Bundle { version, digest, .. } => {
            BundleSeen { what: "published", version: *version, digest, why: None, sealed: frame }.write(head)
        }
        Change::Erased { principal, ground, by } => {
            KeyDestroyed { subject: principal.as_str(), ground, by }.write(head)
        }
        Change::Token(token) => event::Change {
            what: "mint",
            object: "token",
            id: &token.jti,
            grant: Some(token.grant.as_str()),
            run: Some((token.run.as_str(), token.root.as_str())),
            agent: Some(&token.agent.to_string()),
            until: Some(token.exp),
            sealed: frame,
            ..event::Change::default()
        }
        .write(Kind::Token, head),
        Change::Refused(refused) => refusal(refused, frame).write(Kind::Token, head),
        Change::Leased(leased) => lease(leased, head, frame),
        Change::Lent { server, by, .. } => event::Change {
            what: "lend",
            object: "secret",
            id: server.as_str(),
            by: Some(by.as_str()),
            sealed: frame,
            ..event::Change::default()
        }
        .write(Kind::Token, head),
        Change::Launched { run, grant } if run.parent.is_some() => granted("spawn", grant, frame).write_grant(head),
        Change::Launched { grant, .. } => granted(LAUNCH, grant, frame).write_grant(head),
        Change::Granted(grant) if grant.ask.is_some() => granted("elevate", grant, frame).write_grant(head),
        Change::Granted(grant) => granted("narrow", grant, frame).write_grant(head),
        Change::Login(login) => event::Change {
            what: if login.allowed { "allow" } else { "deny" },
            object: "login",
            id: &login.id,
            digest: Some(&digest(&login.tools)),
            by: Some(login.by.as_str()),
            agent: Some(&login.agent.to_string()),
            sealed: frame,
            ..event::Change::default()
        }
        .write(Kind::ApprovalAnswered, head),
        other => registration(other, frame, head),
    };
    leaf.map_err(|error| AuthorityError::Leaf(error.to_string()))
}

/// The erasure that a leaf records. It has no frame: the leaf is all of it.
pub(crate) fn erasure(leaf: &[u8]) -> Option<Change> {
    let (kind, node) = event::read(leaf)?;
    let text = |name| node.text(&["unmapped", "remit", name]).map(str::to_owned);
    let principal = PrincipalId::new(text("subject")?).ok()?;
    let (ground, by) = (text("ground").unwrap_or_default(), text("by").unwrap_or_default());
    (kind == Kind::KeyDestroyed).then_some(Change::Erased { principal, ground, by })
}

/// The subject of the frame that goes with a leaf; nothing where the leaf has none, or is not one of ours.
pub(crate) fn subject_of(leaf: &[u8]) -> Option<String> {
    let (_, node) = event::read(leaf)?;
    let subject = node.text(&["unmapped", "remit", "sealed", "subject"])?;
    Some(subject.to_owned())
}

type Frame<'a> = event::Sealed<'a>;
type Leaf = Result<Vec<u8>, event::EventError>;

struct GrantLeaf<'a> {
    what: &'static str,
    grant: &'a Grant,
    agent: String,
    digest: String,
    frame: Frame<'a>,
}

fn granted<'a>(what: &'static str, grant: &'a Grant, frame: Frame<'a>) -> GrantLeaf<'a> {
    GrantLeaf { what, grant, agent: grant.agent.to_string(), digest: digest(&grant.details), frame }
}

impl GrantLeaf<'_> {
    fn write_grant(&self, head: &Head) -> Leaf {
        event::Change {
            what: self.what,
            object: "grant",
            id: self.grant.id.as_str(),
            digest: Some(&self.digest),
            by: Some(&self.grant.by),
            run: Some((self.grant.run.as_str(), self.grant.root.as_str())),
            agent: Some(&self.agent),
            grant: Some(self.grant.id.as_str()),
            gateway: None,
            version: None,
            until: Some(self.grant.until),
            wildcard: self.grant.wildcard,
            inside: self.what != LAUNCH,
            sealed: self.frame,
        }
        .write(Kind::Grant, head)
    }
}

/// Which gateway was lent which version: the highest of a server's versions names the state of all of them. Where it was
/// not everybody's, the id says whose.
fn lease(leased: &Leased, head: &Head, sealed: Frame<'_>) -> Leaf {
    let own: Vec<String> = leased.own.iter().map(|(scope, _)| format!(" {scope}")).collect();
    let id = format!("{}{}", leased.server, own.concat());
    let all = leased.secrets.iter().map(|secret| secret.version).max();
    event::Change {
        what: "lease",
        object: "secret",
        id: &id,
        gateway: Some(leased.gateway.as_str()),
        version: leased.own.iter().map(|(_, version)| *version).max().or(all),
        until: leased.until,
        sealed,
        ..event::Change::default()
    }
    .write(Kind::Token, head)
}

/// What is registered of credentials, and who is connected. Never what is sealed.
fn brokered(change: &Change, frame: Frame<'_>, head: &Head) -> Leaf {
    let write = |what, object, id: &str, digest: Option<String>, by: Option<&str>| {
        let (digest, sealed) = (digest.as_deref(), frame);
        event::Change { what, object, id, digest, by, sealed, ..event::Change::default() }
            .write(Kind::Registration, head)
    };
    match change {
        Change::SecretGone { server, scope, by, .. } => {
            write("remove", "secret", &format!("{server} {scope}"), None, Some(by))
        }
        Change::Oauth(o) => {
            let id = format!("{}/{}", o.server, o.version);
            let said = OauthRecord { sealed: None, ..o.clone() };
            write("put", "oauth", &id, Some(digest(&said)), Some(&o.by))
        }
        Change::Connected(c) => {
            let what = if c.since == c.at { "connect" } else { "renew" };
            write(what, "connection", &format!("{}/{}", c.server, c.version), None, Some(c.principal.as_str()))
        }
        Change::Disconnected { server, principal, .. } => {
            write("end", "connection", server.as_str(), None, Some(principal.as_str()))
        }
        _ => Err(event::EventError::Seal),
    }
}

/// What was refused, and why, in the words that are ours.
fn refusal<'a>(refused: &'a RefusedRecord, sealed: Frame<'a>) -> event::Change<'a> {
    event::Change { what: "refuse", object: &refused.what, id: &refused.why, sealed, ..event::Change::default() }
}

/// Everything else that is registered, changed or retired.
fn registration(change: &Change, frame: Frame<'_>, head: &Head) -> Leaf {
    let write = |what, object, id: &str, digest: Option<String>, by: Option<&str>, run, wildcard| {
        event::Change {
            what,
            object,
            id,
            digest: digest.as_deref(),
            by,
            run,
            wildcard,
            sealed: frame,
            ..event::Change::default()
        }
        .write(Kind::Registration, head)
    };
    match change {
        Change::Principal(p) => write("add", "principal", p.id.as_str(), None, None, None, false),
        Change::Agent(a) => {
            let wildcard = a.manifest.needs.iter().any(|need| need.wildcard);
            let what = if a.widened { "widen" } else { "put" };
            let digest = Some(digest(&a.manifest));
            write(what, "agent", &a.id.to_string(), digest, Some(&a.by), None, wildcard)
        }
        Change::Server(s) => write("put", "server", s.name.as_str(), Some(digest(s)), Some(&s.by), None, false),
        Change::Tools { server, tools, by, .. } => {
            let digest = Some(digest(tools));
            write(menu(tools), "tools", server.as_str(), digest, Some(by), None, false)
        }
        Change::Ended { run, .. } => write("end", "run", run.as_str(), None, None, None, false),
        Change::Rekeyed { run, key, .. } => write("rekey", "run", run.as_str(), Some(digest(key)), None, None, false),
        Change::Key(k) => {
            write("add", "key", k.key.kid.as_deref().unwrap_or_default(), Some(digest(&k.key)), None, None, false)
        }
        Change::Extended(_) | Change::Ask(_) | Change::AskAnswered(_) | Change::AskEnded(_) => {
            asked::asked(change, frame, head)
        }
        Change::KeyRetired { kid, .. } => write("retire", "key", kid, None, None, None, false),
        Change::Secret(s) => {
            let id = format!("{}/{}", s.server, s.version);
            write("seal", "secret", &id, Some(digest(&s.reference())), Some(&s.by), None, false)
        }
        Change::Team(_) | Change::Role(_) | Change::Renewed(_) | Change::Owned(_) | Change::Import(_) => {
            organization(change, frame, head)
        }
        Change::SecretGone { .. } | Change::Oauth(_) | Change::Connected(_) | Change::Disconnected { .. } => {
            brokered(change, frame, head)
        }
        Change::Gateway(_) | Change::GatewayGone { .. } | Change::Issuer(_) | Change::IssuerGone { .. } => {
            trusted(change, frame, head)
        }
        Change::Launched { .. }
        | Change::Refused(_)
        | Change::Granted(_)
        | Change::Token(_)
        | Change::Login(_)
        | Change::Leased(_)
        | Change::Lent { .. }
        | Change::Erased { .. }
        | Change::Revoked { .. }
        | Change::Bundle { .. } => Err(event::EventError::Seal),
    }
}

/// Gateways to which credentials are lent, and issuers whose word counts.
fn trusted(change: &Change, sealed: Frame<'_>, head: &Head) -> Leaf {
    let write = |what, object, id: &str, digest: Option<String>, by: &str| {
        let (digest, by) = (digest.as_deref(), Some(by));
        event::Change { what, object, id, digest, by, sealed, ..event::Change::default() }
            .write(Kind::Registration, head)
    };
    match change {
        Change::Gateway(g) => write("put", "gateway", g.name.as_str(), Some(digest(&g.key)), &g.by),
        Change::GatewayGone { name, by, .. } => write("remove", "gateway", name.as_str(), None, by),
        Change::Issuer(i) => write("trust", "issuer", &i.url, Some(digest(i)), &i.by),
        Change::IssuerGone { url, by, .. } => write("remove", "issuer", url, None, by),
        _ => Err(event::EventError::Seal),
    }
}

/// Teams, roles, and how registrations stand.
fn organization(change: &Change, sealed: Frame<'_>, head: &Head) -> Leaf {
    let write = |what, object, id: &str, digest: Option<String>, by: &str| {
        let change = event::Change {
            what,
            object,
            id,
            digest: digest.as_deref(),
            by: Some(by),
            sealed,
            ..event::Change::default()
        };
        change.write(Kind::Registration, head)
    };
    match change {
        Change::Team(t) => {
            write(if t.removed { "remove" } else { "add" }, "team", t.name.as_str(), None, t.by.as_str())
        }
        Change::Role(r) => {
            let (what, id) = (if r.holds { "give" } else { "take" }, format!("{} {}", r.role, r.person));
            write(what, "role", &id, None, r.by.as_str())
        }
        Change::Renewed(r) => write("renew", "agent", &r.agent.to_string(), None, &r.by),
        Change::Owned(o) => write("own", "agent", &o.agent, Some(digest(&o.team)), o.by.as_str()),
        Change::Import(i) => {
            let what = i.taken.map_or("bring", |taken| if taken { "take" } else { "deny" });
            write(what, "import", &i.agent.to_string(), Some(i.digest.clone()), i.by.as_str())
        }
        _ => Err(event::EventError::Seal),
    }
}

fn menu(tools: &[ToolRecord]) -> &'static str {
    if tools.iter().any(|tool| tool.exposed) { "expose" } else { "pin" }
}

/// Digest of the thing as it is now, so that an auditor who is given it can compare.
fn digest(thing: &impl serde::Serialize) -> String {
    let text = serde_json::to_vec(thing).unwrap_or_default();
    sha256_text(&sha256(&[&text]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Run;
    use remit_core::id::{AgentId, GrantId, RunId};
    use remit_core::jws::Jwk;

    fn grant(ceiling: bool, wildcard: bool) -> Box<Grant> {
        Box::new(Grant {
            id: GrantId::new("g-1").unwrap(),
            run: RunId::new("r-1").unwrap(),
            root: RunId::new("r-1").unwrap(),
            agent: AgentId::parse("spiffe://acme.example/agent/support/triage/1").unwrap(),
            principal: PrincipalId::new("p-1").unwrap(),
            details: vec![],
            why: "Ada's own words".into(),
            until: 1_600,
            by: "policy".into(),
            ceiling,
            wildcard,
            ask: None,
            took_us: None,
            at: 1_000,
        })
    }

    fn run(parent: Option<&str>) -> Box<Run> {
        let grant = grant(true, false);
        Box::new(Run {
            id: grant.run,
            root: grant.root,
            parent: parent.map(|parent| RunId::new(parent).unwrap()),
            agent: grant.agent,
            principal: grant.principal,
            key: Jwk::ed25519(&[7; 32], None),
            key_held: true,
            process: None,
            until: grant.until,
            golden: false,
            lin: vec![],
            via: vec![],
            at: grant.at,
        })
    }

    #[test]
    fn a_grant_says_whose_words_its_reason_is_and_whether_it_is_an_exception() {
        let head = Head { uid: "e-1".into(), at_ms: 1, log: "acme.example/log/authority".into() };
        let begun = |wildcard, parent| Change::Launched { run: run(parent), grant: grant(true, wildcard) };
        let narrowed = |wildcard| Change::Granted(grant(false, wildcard));
        for (change, what, inside, wildcard) in [
            (begun(false, None), "launch", false, false),
            (begun(true, None), "launch", false, true),
            (begun(false, Some("r-0")), "spawn", true, false),
            (begun(true, Some("r-0")), "spawn", true, true),
            (narrowed(false), "narrow", true, false),
            (narrowed(true), "narrow", true, true),
        ] {
            let leaf = leaf(&change, b"sealed", &head).unwrap();
            let (kind, node) = event::read(&leaf).unwrap();
            let remit = |name| ["unmapped", "remit", name];
            assert_eq!((kind, node.text(&remit("what"))), (Kind::Grant, Some(what)));
            assert_eq!(node.text(&remit("why_trust")), inside.then_some("untrusted"));
            assert_eq!(node.int(&remit("wildcard")), wildcard.then_some(1));
            assert_eq!((node.int(&remit("until")), node.text(&remit("root"))), (Some(1_600), Some("r-1")));
            assert!(!String::from_utf8_lossy(&leaf).contains("Ada"));
        }
    }
}
