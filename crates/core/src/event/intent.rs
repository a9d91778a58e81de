//! The intent: the decision on a call, recorded before its effect.

use serde::Serialize;
use serde_json::value::RawValue;

use super::canon::{Map, Node, map};
use super::commitment::{Disclosure, Purpose, Random, Seal, commit};
use super::{Event, EventError, Head, Kind, person, plain};
use crate::call::Action;
use crate::claims::Claims;
use crate::decide::{Decided, Verdict};
use crate::gate::Evidence;
use crate::hash::{b64, sha256, sha256_text};
use crate::input::Input;
use crate::json::members;
use crate::label::{Label, Trust, label};
use crate::plan::{brings, limits};
use crate::policy::{Compiled, Exposed};
use crate::rejection::Code;
use crate::snapshot::SnapshotId;

/// The subject under whose key frames of unknown callers are sealed.
pub const NOBODY: &str = "nobody";

/// What the record of a decision needs beside the decision.
pub struct IntentContext<'a> {
    /// The event's head.
    pub head: Head,
    /// The bundle that was decided by.
    pub bundle: &'a Compiled,
    /// The snapshot that was decided by.
    pub snapshot: SnapshotId,
}

/// A leaf and its sealed frame, ready to be committed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The leaf.
    pub leaf: Vec<u8>,
    /// The frame, encrypted.
    pub sealed: Vec<u8>,
    /// The label that the root has from this call on, whatever comes back.
    pub label_after: Label,
}

/// Writes the record of a decision. From then on the decision knows its own leaf, and no other receipt fits it.
///
/// `seal` encrypts a frame under the subject's key.
pub fn intent(
    decided: &mut Decided,
    context: &IntentContext<'_>,
    random: Random<'_>,
    seal: Seal<'_>,
) -> Result<Intent, EventError> {
    let kind = match decided.input().action {
        Action::Method(_) => Kind::Method,
        _ => Kind::CallIntent,
    };
    record(kind, decided, context, random, seal)
}

/// Writes the record of a decision on a built-in tool of an agent runtime, which Remit decides and does not send.
pub fn hook_call(
    decided: &mut Decided,
    context: &IntentContext<'_>,
    random: Random<'_>,
    seal: Seal<'_>,
) -> Result<Intent, EventError> {
    record(Kind::HookCall, decided, context, random, seal)
}

fn record(
    kind: Kind,
    decided: &mut Decided,
    context: &IntentContext<'_>,
    random: Random<'_>,
    seal: Seal<'_>,
) -> Result<Intent, EventError> {
    let (frame, secrets) = disclose(decided, random)?;
    let subject = decided.input().claims().map_or(NOBODY, |claims| claims.sub.as_str()).to_owned();
    let sealed = seal(&subject, frame.as_bytes()).ok_or(EventError::Seal)?;
    let label_after = label_after(decided, context.bundle);
    let (ocsf, remit) = members_of(decided, context, &secrets, (&subject, &sealed), label_after);
    let event = Event { kind, ocsf, remit };
    let leaf = event.leaf(&context.head)?;
    decided.recorded(&leaf);
    Ok(Intent { leaf, sealed, label_after })
}

/// What stands in the leaf for what does not.
struct Commitments {
    digests: Vec<String>,
    arguments: String,
    input: String,
}

/// The frame's text, and the commitments to what is in it.
fn disclose(decided: &Decided, random: Random<'_>) -> Result<(String, Commitments), EventError> {
    let mut disclosures = Vec::new();
    let mut state = |name: &str, value: &str| disclosures.push(Disclosure::new(random(), name, value));
    let input = decided.input();
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    if let Some(claims) = input.claims() {
        state("why", &quoted(&claims.task.why));
        if let Some(name) = &claims.name {
            state("user", &quoted(name));
        }
    }
    if let Action::ReadResource(uri) = &input.action {
        state("uri", &quoted(uri));
    }
    if let Some(raw) = serde_json::from_str::<&RawValue>(&input.arguments).ok().and_then(|raw| members(raw).ok()) {
        for (name, value) in raw {
            state(&format!("arg.{name}"), value.get());
        }
    }
    if !input.answers.is_empty() {
        state("answers", &input.answers.text);
    }
    let (args_key, input_key) = (random(), random());
    // The whole input of the decision; `log replay` decides by it again.
    let whole = serde_json::to_string(&Whole { evidence: decided.evidence(), input }).map_err(|_| EventError::Seal)?;
    let commitments = Commitments {
        digests: disclosures.iter().map(Disclosure::digest).collect(),
        arguments: commit(Purpose::Arguments, &args_key, decided.call().arguments()),
        input: commit(Purpose::Input, &input_key, whole.as_bytes()),
    };
    let texts: Vec<&str> = disclosures.iter().map(Disclosure::text).collect();
    let (args_key, input_key) = (b64(&args_key), b64(&input_key));
    let frame = Frame { args_key, decided: &whole, disclosures: &texts, input_key, v: 1 };
    Ok((serde_json::to_string(&frame).map_err(|_| EventError::Seal)?, commitments))
}

/// All by which a call was decided, beside the bundle.
#[derive(Serialize)]
struct Whole<'a> {
    evidence: &'a Evidence,
    input: &'a Input,
}

/// What is sealed.
#[derive(Serialize)]
struct Frame<'a> {
    args_key: String,
    decided: &'a str,
    disclosures: &'a [&'a str],
    input_key: String,
    v: u32,
}

/// The worst that the root can have read after this call; a call that is not made brings nothing.
fn label_after(decided: &Decided, bundle: &Compiled) -> Label {
    let input = decided.input();
    let before = input.state.label;
    if *decided.verdict() != Verdict::Permit {
        return before;
    }
    match &input.action {
        Action::Method(method) => brings(bundle, input, method).map_or(before, |words| label(before, words)),
        Action::CallTool(tool) => {
            label(before, bundle.tool(&input.server, tool).map_or(Label::UNKNOWN, |exposed| exposed.tool.returns))
        }
        Action::GetPrompt(_) | Action::ReadResource(_) => label(before, Label::UNKNOWN),
        // What is answered was asked before, and nothing comes back.
        Action::Answer(_) => before,
    }
}

fn members_of(
    decided: &Decided,
    context: &IntentContext<'_>,
    commitments: &Commitments,
    (subject, sealed): (&str, &[u8]),
    label_after: Label,
) -> (Map, Map) {
    let input = decided.input();
    let mut ocsf = ocsf(decided, context.bundle);
    let mut remit = map([
        ("decision", Some(decision(decided, context.bundle).into())),
        ("snapshot", Some(snapshot(&context.snapshot).into())),
        ("labels", Some(label_node(input.state.label))),
        ("labels_after", Some(label_node(label_after))),
        ("counts", Some(counts(decided).into())),
        ("budget", budget(decided, context.bundle)),
        ("approvals", Some(decided.evidence().approvals.iter().map(|approval| approval.id.as_str()).collect())),
        ("credential", Some(input.credential().map_or("none", crate::input::Credential::name).into())),
        ("tool_use_id", decided.call().tool_use_id.as_deref().and_then(plain)),
        ("owners", owners(decided, context.bundle)),
        ("tier", Some(tiers(decided, context.bundle).into())),
        ("args", Some(arguments(decided, context.bundle))),
        ("args_bytes", Some((decided.call().arguments().len() as u64).into())),
        ("answers", answers(decided)),
        ("args_commit", Some(commitments.arguments.as_str().into())),
        ("input_commit", Some(commitments.input.as_str().into())),
        ("_sd_alg", Some("sha-256".into())),
        ("_sd", Some(sorted(&commitments.digests))),
        ("sealed", Some(sealed_node(subject, sealed).into())),
    ]);
    if let Some(claims) = input.claims() {
        remit.extend(caller(claims));
        ocsf.extend(identity(claims));
    } else {
        ocsf.extend(stranger());
    }
    (ocsf, remit)
}

fn sorted(digests: &[String]) -> Node {
    // In the order of the digests, so that the order of the fields says nothing (RFC 9901 section 4.2.4.1).
    let mut digests = digests.to_vec();
    digests.sort_unstable();
    digests.into_iter().collect()
}

pub(super) fn sealed_node(subject: &str, sealed: &[u8]) -> Map {
    map([
        ("subject", Some(subject.into())),
        ("digest", Some(sha256_text(&sha256(&[sealed])).into())),
        ("bytes", Some((sealed.len() as u64).into())),
    ])
}

/// The caller's part of `unmapped.remit`.
pub(super) fn caller(claims: &Claims) -> Map {
    let untrusted = claims.task.trust != Trust::Verified;
    let task = map([
        ("id", plain(&claims.task.id)),
        ("purpose", Some(claims.task.purpose.as_str().into())),
        // Of the committed reason: whose words they are must be seen without opening it.
        ("why_trust", untrusted.then(|| claims.task.trust.name().into())),
    ]);
    let grant = map([
        ("id", Some(claims.gid.as_str().into())),
        ("until", Some(claims.grant.until.into())),
        ("by", plain(&claims.grant.by)),
    ]);
    map([
        ("run", Some(claims.run.as_str().into())),
        ("root", Some(claims.root.as_str().into())),
        ("root_until", Some(claims.root_until.into())),
        ("lineage", Some(claims.lineage().map(ToString::to_string).collect())),
        ("task", Some(task.into())),
        ("grant", Some(grant.into())),
        ("token", plain(&claims.jti)),
        ("path", claims.path.as_deref().and_then(plain)),
    ])
}

/// The caller's part of OCSF.
pub(super) fn identity(claims: &Claims) -> Map {
    let agent = &claims.client_id;
    let actor = map([
        ("user", Some(map([("uid", Some(claims.sub.as_str().into()))]).into())),
        ("app_uid", Some(agent.to_string().into())),
    ]);
    let ai_agent = map([
        ("uid", Some(agent.to_string().into())),
        ("instance_uid", Some(claims.run.as_str().into())),
        ("name", Some(agent.name.as_str().into())),
        ("version", Some(agent.version.as_str().into())),
    ]);
    let delegation = map([("uid", Some(claims.gid.as_str().into())), ("issuer_uid", Some(claims.iss.as_str().into()))]);
    map([
        ("actor", Some(actor.into())),
        ("ai_agent", Some(ai_agent.into())),
        ("delegation", Some(delegation.into())),
        ("src_endpoint", Some(map([("uid", Some(claims.act.sub.to_string().into()))]).into())),
    ])
}

/// The same for a caller of whom nothing is known.
fn stranger() -> Map {
    let endpoint = map([("name", Some("unknown".into()))]);
    map([("actor", person(NOBODY)), ("src_endpoint", Some(endpoint.into()))])
}

fn ocsf(decided: &Decided, bundle: &Compiled) -> Map {
    let input = decided.input();
    let allowed = *decided.verdict() == Verdict::Permit;
    let service = map([("name", Some(input.server.as_str().into()))]);
    let request = decided.call().tool_use_id.as_deref().and_then(plain).map(|id| map([("uid", Some(id))]).into());
    let api = map([
        ("operation", plain(input.action.method()).or_else(|| Some("unknown".into()))),
        ("service", Some(service.into())),
        ("version", plain(&decided.call().revision)),
        ("request", request),
    ]);
    let policies = decided.policies().iter().map(|id| {
        let policy = map([("uid", Some(id.as_str().into()))]);
        map([("decision", Some(decided.verdict().name().into())), ("policy", Some(policy.into()))])
    });
    let code: i64 = if allowed { 1 } else { 2 };
    map([
        ("action_id", Some(code.into())),
        ("disposition_id", Some(code.into())),
        ("status_id", Some(code.into())),
        ("api", Some(api.into())),
        ("authorizations", Some(policies.collect())),
        ("resources", Some(Node::List(resource(decided, bundle).into_iter().map(Node::from).collect()))),
    ])
}

fn resource(decided: &Decided, bundle: &Compiled) -> Option<Map> {
    let input = decided.input();
    let (kind, name) = match &input.action {
        Action::CallTool(tool) => ("mcp.tool", tool.as_str()),
        Action::GetPrompt(prompt) => ("mcp.prompt", prompt.as_str()),
        Action::ReadResource(_) => ("mcp.resource", ""),
        Action::Answer(feature) => ("mcp.client", feature.name()),
        Action::Method(_) => return None,
    };
    let exposed = exposed(decided, bundle);
    let environment = bundle.server(&input.server).map(|server| format!("environment:{}", server.environment.name()));
    Some(map([
        ("type", Some(kind.into())),
        ("name", plain(name)),
        ("uid", Some(format!("{}/{name}", input.server).into())),
        ("version", exposed.map(|exposed| exposed.tool.pin.as_str().into())),
        ("labels", environment.map(|label| [label].into_iter().collect())),
    ]))
}

/// By which features the server asked what the call answers; the answers themselves are only committed to.
fn answers(decided: &Decided) -> Option<Node> {
    let features = &decided.input().answers.features;
    (!features.is_empty()).then(|| features.iter().map(|feature| feature.name()).collect())
}

fn decision(decided: &Decided, bundle: &Compiled) -> Map {
    let limit = matches!(decided.verdict().code(), Some(Code::BudgetSpent | Code::RateLimited | Code::LoopDetected));
    // A limit, or a declared argument; the name of any other is a stranger's word.
    let about = decided.about().filter(|about| limit || declares(decided, bundle, about));
    let gates = match decided.verdict() {
        Verdict::Pending(gates) => Some(gates.iter().map(|gate| gate.name()).collect()),
        _ => None,
    };
    map([
        ("verdict", Some(decided.verdict().name().into())),
        ("code", decided.verdict().code().map(|code| code.name().into())),
        ("gates", gates),
        ("about", about.and_then(plain)),
        ("policies", Some(decided.policies().iter().map(String::as_str).collect())),
        ("at", Some(decided.input().now.into())),
    ])
}

fn snapshot(id: &SnapshotId) -> Map {
    map([
        ("bundle", Some(id.bundle.into())),
        ("digest", Some(id.digest.as_str().into())),
        ("revocations", Some(id.revocations.into())),
    ])
}

pub(super) fn label_node(label: Label) -> Node {
    map([("trust", Some(label.trust.name().into())), ("sensitivity", Some(label.sensitivity.name().into()))]).into()
}

fn counts(decided: &Decided) -> Map {
    let state = &decided.input().state;
    map([
        ("calls", Some(state.calls.into())),
        ("calls_in_minute", Some(state.calls_in_minute.into())),
        ("repeats", Some(state.repeats.into())),
    ])
}

fn budget(decided: &Decided, bundle: &Compiled) -> Option<Node> {
    let limits = limits(bundle, decided.input().claims()?)?;
    let calls = map([
        ("name", Some("calls".into())),
        ("unit", Some("call".into())),
        ("used", Some(decided.input().state.calls.into())),
        ("limit", Some(limits.calls.into())),
    ]);
    Some([calls].into_iter().collect())
}

/// Who answers for it; nothing where an older bundle says of nobody.
fn owners(decided: &Decided, bundle: &Compiled) -> Option<Node> {
    let owners = decided.owners();
    let said = bundle.says_owner(decided.input()) && !owners.is_empty();
    said.then(|| owners.iter().map(ToString::to_string).collect())
}

fn tiers(decided: &Decided, bundle: &Compiled) -> Map {
    let input = decided.input();
    let agent = input.claims().and_then(|claims| bundle.agent(&claims.client_id));
    let exposed = exposed(decided, bundle);
    map([
        ("agent", agent.map(|agent| agent.tier.name().into())),
        ("tool", exposed.map(|exposed| exposed.tool.tier.name().into())),
    ])
}

fn exposed<'a>(decided: &Decided, bundle: &'a Compiled) -> Option<&'a Exposed> {
    let tool = decided.input().action.tool()?;
    bundle.tool(&decided.input().server, tool).map(|exposed| &**exposed)
}

fn declares(decided: &Decided, bundle: &Compiled, argument: &str) -> bool {
    exposed(decided, bundle).is_some_and(|e| e.declared.types.contains_key(argument))
}

/// Each declared argument with its trust and the entries that it came from. Undeclared ones are only committed to,
/// because their names are a stranger's words.
fn arguments(decided: &Decided, bundle: &Compiled) -> Node {
    let input = decided.input();
    let Some(exposed) = exposed(decided, bundle) else {
        return Node::List(Vec::new());
    };
    let raw = serde_json::from_str::<&RawValue>(&input.arguments).ok().and_then(|raw| members(raw).ok());
    let names = raw.unwrap_or_default().into_iter().map(|(name, _)| name.into_owned());
    names
        .filter(|name| exposed.declared.types.contains_key(name))
        .map(|name| {
            map([
                ("name", Some(name.into())),
                // Until values are traced one by one, an argument is as good as the worst that the root has read.
                ("trust", Some(input.state.label.trust.name().into())),
                ("from", Some(Node::List(Vec::new()))),
            ])
        })
        .collect()
}
