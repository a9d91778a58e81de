//! One event of every kind, from fixed inputs.

use std::ops::Range;

use remit_core::call::{Action, Call};
use remit_core::decide::{Decided, Verdict, decide};
use remit_core::event::{
    BundleSeen, Change, Epoch, EventError, Head, Heartbeat, Intent, IntentContext, KeyDestroyed, Kind, Outcome,
    OutcomeUnknown, Refusals, Revoked, Status, hook_call, intent,
};
use remit_core::gate::Evidence;
use remit_core::id::ServerName;
use remit_core::input::Input;
use remit_core::label::Label;
use remit_core::method::opens_something;
use remit_core::plan::plan;
use remit_core::policy::Compiled;
use remit_core::rejection::Code;
use remit_core::revoked::{self, Revocation};
use remit_core::snapshot::SnapshotId;
use serde_json::{Value, json};

use crate::common::{AGENT, ALL, NOW, bundle, input_of, read};

pub(crate) fn head() -> Head {
    Head { uid: "01JD5Z".into(), at_ms: NOW * 1000 + 123, log: "acme.example/log/gw1".into() }
}

/// Bytes that look random and are the same each time.
pub(crate) fn counter() -> impl FnMut() -> [u8; 32] {
    let mut n = 0_u32;
    move || {
        n += 1;
        remit_core::hash::sha256(&[b"test", &n.to_be_bytes()])
    }
}

/// A seal that hides nothing from a test that looks for the frame, and everything from one that looks at the leaf.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every seal; a real one can fail")]
pub(crate) fn seal(_: &str, frame: &[u8]) -> Option<Vec<u8>> {
    Some(frame.iter().rev().map(|byte| byte ^ 0x5a).collect())
}

pub(crate) fn open(sealed: &[u8]) -> Vec<u8> {
    sealed.iter().rev().map(|byte| byte ^ 0x5a).collect()
}

/// The decision on a call that asks what the input says.
pub(crate) fn decided(bundle: &Compiled, input: Input, evidence: Evidence) -> Decided {
    let (body, all) = match &input.action {
        Action::Method(name) if opens_something(name) => (format!("{{\"params\":{}}}", input.arguments), 0..0),
        _ => (input.arguments.clone(), Range { start: 0, end: input.arguments.len() }),
    };
    let (start, text) = (body.len(), &input.answers.text);
    let body = [body.as_bytes(), text.as_bytes()].concat();
    let call = Call::new(input.server.clone(), input.action.clone(), body, all).unwrap();
    let mut call = call.answering(input.answers.features.clone(), start..start + text.len());
    call.tool_use_id = Some("toolu_01".into());
    call.revision = "2026-07-28".into();
    let plan = plan(bundle, input);
    decide(bundle, call, plan, evidence)
}

pub(crate) fn context(bundle: &Compiled) -> IntentContext<'_> {
    let snapshot = SnapshotId { bundle: 7, digest: format!("sha256:{}", "22".repeat(32)), revocations: 3 };
    IntentContext { head: head(), bundle, snapshot }
}

pub(crate) fn record(bundle: &Compiled, input: Value, evidence: Evidence) -> Result<Intent, EventError> {
    let mut decided = decided(bundle, read(input), evidence);
    intent(&mut decided, &context(bundle), &mut counter(), &mut seal)
}

/// A refund that policy permits: the example of most tests.
pub(crate) fn refund() -> Value {
    let mut input = input_of("issue_refund", "{\"to\":\"DE89 3704\", \"amount\":12.50}");
    input["state"]["label"] = json!({"trust": "untrusted", "sensitivity": "internal"});
    input["state"]["calls"] = json!(4);
    input
}

fn of_stranger() -> Value {
    let mut input = input_of("drop_everything", "{\"x\":1}");
    input["presented"] = json!("invalid");
    input
}

fn of_method() -> Value {
    let mut input =
        input_of("", r#"{"ref":{"type":"ref/prompt","name":"greet"},"argument":{"name":"name","value":"A"}}"#);
    input["action"] = json!({"method": "completion/complete"});
    input
}

fn of_resource() -> Value {
    let mut input = input_of("", "{}");
    input["action"] = json!({"read_resource": "file:///ada/diary"});
    input
}

fn of_prompt() -> Value {
    let mut input = input_of("", "{\"name\":\"Ada\"}");
    input["action"] = json!({"get_prompt": "greet"});
    input
}

/// Where the server may ask the user.
fn eliciting(mut input: Value) -> Value {
    input["presented"]["token"]["claims"]["authorization_details"][0]["features"] = json!(["elicitation"]);
    input
}

fn of_answer() -> Value {
    let mut input = input_of("", r#"{"action":"accept","content":{"name":"Ada"}}"#);
    input["action"] = json!({"answer": "elicitation"});
    eliciting(input)
}

fn with_answers() -> Value {
    let mut input = eliciting(refund());
    input["answers"] = json!({"features": ["elicitation"], "text": r#"{"q":{"action":"accept"}}"#});
    input
}

fn of_question() -> Value {
    let mut input = input_of("", r#"{"message":"Which Ada?","requestedSchema":{}}"#);
    input["action"] = json!({"method": "elicitation/create"});
    eliciting(input)
}

/// Every event that there is, by the name of its golden file.
pub(crate) fn all() -> Vec<(&'static str, Kind, Vec<u8>)> {
    [intents(), changes(), of_the_log()].concat()
}

fn intents() -> Vec<(&'static str, Kind, Vec<u8>)> {
    let permits = bundle(ALL);
    let gate = "@gate(\"approval\") forbid(principal, action, resource) unless { context.evidence.approved };";
    let gated = bundle(&[ALL, gate].concat());
    let leaf = |bundle, input| record(bundle, input, Evidence::default()).unwrap().leaf;
    let mut hook = decided(&permits, read(refund()), Evidence::default());
    let hook = hook_call(&mut hook, &context(&permits), &mut counter(), &mut seal).unwrap();
    let outcome = |run, status, result: Option<&'static [u8]>| Outcome {
        intent: 41,
        run,
        status,
        duration_us: 1_234,
        label_after: Label::UNKNOWN,
        result,
        subject: "u-7f3a",
    };
    let written = |outcome: Outcome<'_>| outcome.write(&head(), &mut counter(), &mut seal).unwrap().0;
    let run = Some(("run-2", "run-1"));
    let unknown = OutcomeUnknown { intent: 41, epoch: 2, run };
    vec![
        ("call_intent", Kind::CallIntent, leaf(&permits, refund())),
        ("call_intent_pending", Kind::CallIntent, leaf(&gated, refund())),
        ("call_intent_stranger", Kind::CallIntent, leaf(&permits, of_stranger())),
        ("call_intent_resource", Kind::CallIntent, leaf(&permits, of_resource())),
        ("call_intent_prompt", Kind::CallIntent, leaf(&permits, of_prompt())),
        ("call_intent_answer", Kind::CallIntent, leaf(&permits, of_answer())),
        ("call_intent_with_answers", Kind::CallIntent, leaf(&permits, with_answers())),
        ("method", Kind::Method, leaf(&permits, of_method())),
        ("method_question", Kind::Method, leaf(&permits, of_question())),
        ("hook_call", Kind::HookCall, hook.leaf),
        ("call_outcome", Kind::CallOutcome, written(outcome(run, Status::Ok, Some(b"{\"content\":[]}")))),
        (
            "call_outcome_asked",
            Kind::CallOutcome,
            written(outcome(run, Status::Asked, Some(b"{\"inputRequests\":{}}"))),
        ),
        ("call_outcome_not_sent", Kind::CallOutcome, written(outcome(None, Status::NotSent, None))),
        ("outcome_unknown", Kind::OutcomeUnknown, unknown.write(&head()).unwrap()),
    ]
}

fn changes() -> Vec<(&'static str, Kind, Vec<u8>)> {
    let digest = format!("sha256:{}", "33".repeat(32));
    let sealed: (&str, &[u8]) = ("u-7f3a", b"sealed");
    let base = Change { by: Some("u-9"), sealed: Some(sealed), ..Change::default() };
    let of_run = Change { run: Some(("run-2", "run-1")), agent: Some(AGENT), grant: Some("g-5"), ..base.clone() };
    let token = Change { what: "mint", object: "token", id: "tok-2", until: Some(NOW + 900), ..of_run.clone() };
    let grant = Change { what: "give", object: "grant", id: "g-5", wildcard: true, ..of_run.clone() };
    let agent = Change { what: "add", object: "agent", id: AGENT, digest: Some(&digest), ..base.clone() };
    let asked = Change { what: "ask", object: "approval", id: "a-1", ..of_run.clone() };
    let answered = Change { what: "give", object: "approval", id: "a-1", ..of_run.clone() };
    let endorsed = Change { what: "endorse", object: "value", id: "e-1", ..of_run };
    let entry = |kind, id: &str| Revocation { seq: 4, kind, id: id.into(), at: NOW };
    let revoked = |entry: &Revocation| Revoked { entry, by: "admin", sealed: None }.write(&head()).unwrap();
    let bundle = BundleSeen { what: "loaded", version: 7, digest: &digest, why: None, sealed: None };
    let write = |kind, change: &Change<'_>| change.write(kind, &head()).unwrap();
    vec![
        ("token", Kind::Token, write(Kind::Token, &token)),
        ("grant", Kind::Grant, write(Kind::Grant, &grant)),
        ("registration", Kind::Registration, write(Kind::Registration, &agent)),
        ("approval_asked", Kind::ApprovalAsked, write(Kind::ApprovalAsked, &asked)),
        ("approval_answered", Kind::ApprovalAnswered, write(Kind::ApprovalAnswered, &answered)),
        ("endorsement", Kind::Endorsement, write(Kind::Endorsement, &endorsed)),
        ("revocation", Kind::Revocation, revoked(&entry(revoked::Kind::Run, "run-2"))),
        ("lockdown", Kind::Lockdown, revoked(&entry(revoked::Kind::Lockdown, "tickets/issue_refund"))),
        ("bundle", Kind::Bundle, bundle.write(&head()).unwrap()),
    ]
}

fn of_the_log() -> Vec<(&'static str, Kind, Vec<u8>)> {
    let destroyed = KeyDestroyed { subject: "u-7f3a", ground: "erasure-request", by: "u-9" };
    let epoch = Epoch { epoch: 2, previous: Some("acme.example/log/gw1/1\n41\nabc=\n\n— k sig\n") };
    let counts = [(Code::TokenMissing, 900), (Code::TokenInvalid, 12)];
    let refusals = Refusals { source: "b3JpZ2lu", counts: &counts, span: (NOW - 60, NOW) };
    vec![
        ("key_destroyed", Kind::KeyDestroyed, destroyed.write(&head()).unwrap()),
        ("epoch", Kind::Epoch, epoch.write(&head()).unwrap()),
        ("heartbeat", Kind::Heartbeat, Heartbeat { low_water: 17, open: 2, bundle: 41 }.write(&head()).unwrap()),
        ("refusals", Kind::Refusals, refusals.write(&head()).unwrap()),
    ]
}

/// A call of a tool, whatever it is, that is refused before anything else is looked at.
#[test]
fn an_input_of_another_call_is_never_permitted() {
    let bundle = bundle(ALL);
    let input = read(refund());
    let check = |server: &str, action: Action, body: &str| {
        let range = Range { start: 0, end: body.len() };
        let call = Call::new(ServerName::new(server).unwrap(), action, body.into(), range).unwrap();
        let plan = plan(&bundle, input.clone());
        decide(&bundle, call, plan, Evidence::default()).verdict().clone()
    };
    let (own, text) = (input.action.clone(), input.arguments.as_str());
    assert_eq!(check("tickets", own.clone(), text), Verdict::Permit);
    let internal = Verdict::Forbid(Code::Internal);
    assert_eq!(check("lab", own.clone(), text), internal);
    assert_eq!(check("tickets", own, &text.replace("12.50", "12.5")), internal);
    assert_eq!(check("tickets", Action::Method("tools/call".into()), text), internal);
}
