//! What the grant and the policy say of a call, and which gates it still depends on.
//!
//! The grant in the token *and* Cedar must both permit. A gate without evidence is never a permit.

use std::collections::BTreeSet;

use crate::arguments::Invalid;
use crate::call::Action;
use crate::claims::Claims;
use crate::evaluate::{Answer, Arguments, Question};
use crate::gate::{Gate, Lifted};
use crate::grant::{Detail, Uncovered};
use crate::identify::{Caller, identify};
use crate::input::{Answers, Input};
use crate::json::Value;
use crate::label::Label;
use crate::method::{METHODS_PER_MINUTE_MIN, opened};
use crate::policy::{Compiled, Exposed};
use crate::registry::Agent;
use crate::rejection::Code;
use crate::target::Target;

/// What a call is decided by, and what grant and policy say of it. Only [`plan`] makes one, and it owns the input: whoever
/// could write one down, or exchange one for another call's, could decide by it.
#[derive(Debug)]
pub struct Plan {
    pub(crate) input: Input,
    pub(crate) finding: Finding,
}

/// What was found, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) outcome: Outcome,
    /// Ids of the determining policies, or of those that could not be evaluated.
    pub(crate) policies: BTreeSet<String>,
    /// The argument or the limit that the outcome is about.
    pub(crate) about: Option<String>,
}

/// What may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The call may be made.
    Permit,
    /// It may be made once these gates are lifted.
    Pending(BTreeSet<Gate>),
    /// It may not be made.
    Forbid(Code),
}

impl Plan {
    /// What may happen.
    pub fn outcome(&self) -> &Outcome {
        &self.finding.outcome
    }
}

impl Finding {
    pub(crate) fn forbid(code: Code) -> Self {
        Self { outcome: Outcome::Forbid(code), policies: BTreeSet::new(), about: None }
    }

    fn is_not_granted(&self) -> bool {
        matches!(self.outcome, Outcome::Forbid(Code::Unknown | Code::InsufficientScope))
    }

    fn about(code: Code, about: impl Into<String>) -> Self {
        Self { about: Some(about.into()), ..Self::forbid(code) }
    }

    fn permit(policies: BTreeSet<String>) -> Self {
        Self { outcome: Outcome::Permit, policies, about: None }
    }
}

/// What the grant and the policy say of the call. Pure: the same arguments give the same plan.
pub fn plan(bundle: &Compiled, input: Input) -> Plan {
    let finding = found(bundle, &input, &Lifted::default());
    Plan { input, finding }
}

/// What is found with this evidence; [`plan`] is this with none.
pub(crate) fn found(bundle: &Compiled, input: &Input, lifted: &Lifted) -> Finding {
    weigh(bundle, input, lifted).unwrap_or_else(|refused| refused)
}

/// `Err` is a refusal found on the way.
fn weigh(bundle: &Compiled, input: &Input, lifted: &Lifted) -> Result<Finding, Finding> {
    let (claims, agent) = match identify(bundle, input) {
        Caller::Known(claims, agent) => (claims, agent),
        Caller::Unknown(code) => return Err(Finding::forbid(code)),
    };
    if let Action::Method(method) = &input.action {
        return derived(bundle, input, claims, agent, method, lifted);
    }
    let exposed = covered_now(bundle, input, claims, agent)?;
    let answers = each(input, input.answers.features.iter().map(|feature| Action::Answer(*feature)));
    for one in &answers {
        covered_now(bundle, one, claims, agent)?;
    }
    within_limits(bundle, claims, input)?;
    let own = permitted(bundle, input, claims, exposed, lifted)?;
    all(own, answers.iter().map(|one| permitted(bundle, one, claims, None, lifted)))
}

/// What comes with a call or is opened by it, as calls of their own.
fn each(input: &Input, actions: impl IntoIterator<Item = Action>) -> Vec<Input> {
    let Input { now, presented, facts, server, state, .. } = input;
    // Each member by its name: what is added to an input must not come along unseen.
    let alone = |action| Input {
        now: *now,
        presented: presented.clone(),
        facts: *facts,
        server: server.clone(),
        action,
        arguments: "{}".into(),
        answers: Answers::default(),
        state: *state,
    };
    actions.into_iter().map(alone).collect()
}

/// The strictest of all: a forbid ends it, and gates add up.
fn all(first: Finding, more: impl Iterator<Item = Result<Finding, Finding>>) -> Result<Finding, Finding> {
    let mut sum = first;
    for plan in more {
        if matches!(sum.outcome, Outcome::Forbid(_)) {
            break;
        }
        let plan = plan?;
        sum.policies.extend(plan.policies);
        match (plan.outcome, &mut sum.outcome) {
            (Outcome::Permit, _) => {}
            (Outcome::Pending(gates), Outcome::Pending(more)) => more.extend(gates),
            (stricter, outcome) => *outcome = stricter,
        }
    }
    Ok(sum)
}

/// What the grant covers, where nothing is locked down.
fn covered_now<'a>(
    bundle: &'a Compiled,
    input: &Input,
    claims: &Claims,
    agent: &Agent,
) -> Result<Option<&'a Exposed>, Finding> {
    let covered = covered(bundle, input, agent, detail(bundle, input, claims));
    // A lockdown is told to those who were granted the thing: to all others it still does not exist.
    if input.facts.locked && !covered.as_ref().is_err_and(Finding::is_not_granted) {
        return Err(Finding::forbid(Code::LockedDown));
    }
    covered
}

/// What policy says of something that the grant covers.
fn permitted(
    bundle: &Compiled,
    input: &Input,
    claims: &Claims,
    exposed: Option<&Exposed>,
    lifted: &Lifted,
) -> Result<Finding, Finding> {
    let question = Question::new(bundle, input, claims).ok_or_else(|| Finding::forbid(Code::PolicyError))?;
    let arguments = arguments(exposed, input, &question)?;
    Ok(answer(&question, &arguments, lifted))
}

/// A method needs a grant for its server, and for each thing that it opens what getting or reading that would need.
fn derived(
    bundle: &Compiled,
    input: &Input,
    claims: &Claims,
    agent: &Agent,
    method: &str,
    lifted: &Lifted,
) -> Result<Finding, Finding> {
    covered_now(bundle, input, claims, agent)?;
    let opened = opened(method, &object(input)?).ok_or_else(|| Finding::forbid(Code::Unknown))?;
    let opened = each(input, opened);
    for one in &opened {
        covered_now(bundle, one, claims, agent)?;
    }
    let most = in_minute(bundle, claims, METHODS_PER_MINUTE_MIN);
    if input.state.calls_in_minute > most {
        return Err(Finding::about(Code::RateLimited, most.to_string()));
    }
    let free = Finding::permit(BTreeSet::new());
    all(free, opened.iter().map(|one| permitted(bundle, one, claims, None, lifted)))
}

/// Whether the root makes more than its rate: what it is refused then need not be written down one by one.
pub fn beyond_rate(bundle: &Compiled, input: &Input) -> bool {
    let Caller::Known(claims, _) = identify(bundle, input) else { return false };
    let least = if matches!(input.action, Action::Method(_)) { METHODS_PER_MINUTE_MIN } else { 0 };
    input.state.calls_in_minute > in_minute(bundle, claims, least)
}

/// The worst of what an answer to the method brings.
///
/// Prompts, resources, and all that is said about them are the server's own words, which nobody reviewed: whoever gets
/// them may have read anything. A list of either brings them only to a run that could get one; to any other it is
/// empty. The rest brings no words: lists of tools are pinned and filtered, and of every other answer the gateway lets
/// only the protocol's own signs through.
pub fn brings(bundle: &Compiled, input: &Input, method: &str) -> Option<Label> {
    let detail = input.claims().and_then(|claims| detail(bundle, input, claims))?;
    let server = bundle.server(&input.server)?;
    let words = match method {
        "prompts/list" => server.prompts.iter().any(|prompt| detail.prompts.contains_key(prompt.as_str())),
        "resources/list" => server.resources && !detail.resources.is_empty(),
        _ => object(input).ok().and_then(|params| opened(method, &params)).is_none_or(|opened| !opened.is_empty()),
    };
    words.then_some(Label::UNKNOWN)
}

/// The part of the grant that speaks of the server that is asked.
fn detail<'a>(bundle: &Compiled, input: &Input, claims: &'a Claims) -> Option<&'a Detail> {
    let resource = bundle.resource(&input.server);
    claims.authorization_details.iter().find(|detail| detail.locations.contains(&resource))
}

/// Whether the grant covers the action; the tool, where it is one.
fn covered<'a>(
    bundle: &'a Compiled,
    input: &Input,
    agent: &Agent,
    detail: Option<&Detail>,
) -> Result<Option<&'a Exposed>, Finding> {
    let unknown = || Finding::forbid(Code::Unknown);
    let server = bundle.server(&input.server).ok_or_else(unknown)?;
    let value = object(input)?;
    let by = |covers: &dyn Fn(&Detail) -> Result<(), Uncovered>| detail.map_or(Err(Uncovered::NotGranted), covers);
    let (exposed, covers) = match &input.action {
        Action::Method(_) => return detail.map(|_| None).ok_or_else(unknown),
        Action::CallTool(tool) => {
            let exposed = bundle.tool(&input.server, tool).ok_or_else(unknown)?;
            (Some(&**exposed), by(&|d| d.covers_tool(tool.as_str(), &value)))
        }
        Action::GetPrompt(prompt) if server.prompts.contains(prompt) => {
            (None, by(&|d| d.covers_prompt(prompt.as_str(), &value)))
        }
        Action::ReadResource(uri) if server.resources => (None, by(&|d| d.covers_resource(uri))),
        Action::Answer(feature) if server.features.contains(feature) => (None, by(&|d| d.covers_feature(*feature))),
        Action::GetPrompt(_) | Action::ReadResource(_) | Action::Answer(_) => return Err(unknown()),
    };
    match covers {
        Err(Uncovered::NotGranted) if declares(agent, input) => Err(Finding::forbid(Code::InsufficientScope)),
        Err(Uncovered::NotGranted) => Err(unknown()),
        _ if exposed.is_some() && input.facts.drifted => Err(Finding::forbid(Code::PinChanged)),
        covers => covers.map(|()| exposed).map_err(uncovered),
    }
}

/// Whether the agent's manifest says that it needs what is asked for.
fn declares(agent: &Agent, input: &Input) -> bool {
    let target = Target::of_action(&input.server, &input.action);
    target.is_some_and(|target| agent.needs.iter().any(|need| need.covers(&target)))
}

fn uncovered(why: Uncovered) -> Finding {
    match why {
        Uncovered::NotGranted => Finding::forbid(Code::Unknown),
        Uncovered::Argument(name) => Finding::about(Code::ArgumentsOutsideGrant, name),
        Uncovered::Inexact(name) => Finding::about(Code::NumberInexact, name),
    }
}

/// What one root may do.
pub(crate) struct Limits {
    pub(crate) calls: u64,
    calls_in_minute: u64,
    repeats: u64,
}

/// The least of what the agents in the lineage allow: counts are the root's, so no agent has more because another, with
/// a larger budget, was begun below it. `None` where one of them is not registered.
pub(crate) fn limits(bundle: &Compiled, claims: &Claims) -> Option<Limits> {
    let all: Vec<_> = claims.lineage().map(|above| bundle.agent(&above.agent)).collect::<Option<_>>()?;
    Some(Limits {
        calls: all.iter().map(|agent| agent.calls_max).min()?,
        calls_in_minute: all.iter().map(|agent| agent.calls_per_minute_max).min()?,
        repeats: all.iter().map(|agent| agent.repeats_max).min()?,
    })
}

/// Calls in a minute, where at least so many are allowed to everybody.
fn in_minute(bundle: &Compiled, claims: &Claims, least: u64) -> u64 {
    limits(bundle, claims).map_or(0, |limits| limits.calls_in_minute).max(least)
}

fn within_limits(bundle: &Compiled, claims: &Claims, input: &Input) -> Result<(), Finding> {
    let state = &input.state;
    let most = limits(bundle, claims).ok_or_else(|| Finding::forbid(Code::AgentUnregistered))?;
    let over = [
        (state.calls > most.calls, Code::BudgetSpent, most.calls),
        (state.calls_in_minute > most.calls_in_minute, Code::RateLimited, most.calls_in_minute),
        (state.repeats > most.repeats, Code::LoopDetected, most.repeats),
    ];
    match over.into_iter().find(|(over, ..)| *over) {
        Some((_, code, limit)) => Err(Finding::about(code, limit.to_string())),
        None => Ok(()),
    }
}

fn arguments(exposed: Option<&Exposed>, input: &Input, question: &Question<'_>) -> Result<Arguments, Finding> {
    let value = object(input)?;
    let Value::Object(members) = &value else {
        return Err(Finding::forbid(Code::ArgumentsInvalid));
    };
    let names = members.iter().map(|(name, _)| name.to_string()).collect();
    let Some(exposed) = exposed else {
        return Ok(Arguments { names, ..Arguments::default() });
    };
    let (typed, inexact) = exposed.declared.typed(&value).map_err(|invalid| match invalid {
        Invalid::NotAnObject => Finding::forbid(Code::ArgumentsInvalid),
        Invalid::Undeclared(name) | Invalid::Missing(name) | Invalid::Type(name) => {
            Finding::about(Code::ArgumentsInvalid, name)
        }
        Invalid::Inexact(name) => Finding::about(Code::NumberInexact, name),
    })?;
    match inexact.iter().find(|name| question.reads(name)) {
        Some(name) => Err(Finding::about(Code::NumberInexact, name)),
        None => Ok(Arguments { typed, inexact, names }),
    }
}

/// The arguments, which are an object or nothing that could be judged.
fn object(input: &Input) -> Result<Value<'_>, Finding> {
    Value::parse(&input.arguments)
        .ok()
        .filter(|value| matches!(value, Value::Object(_)))
        .ok_or_else(|| Finding::forbid(Code::ArgumentsInvalid))
}

fn answer(question: &Question<'_>, arguments: &Arguments, lifted: &Lifted) -> Finding {
    let forbid = |code, policies| Finding { policies, ..Finding::forbid(code) };
    match question.ask(arguments, lifted) {
        Answer::Permit(policies) => Finding::permit(policies),
        Answer::Error(policies) => forbid(Code::PolicyError, policies),
        Answer::Forbid { policies, gates: None } => forbid(Code::PolicyForbid, policies),
        Answer::Forbid { policies, gates: Some(gates) } => {
            // Asking a person is of use only where the answer could be yes.
            match question.ask(arguments, &Lifted { approved: true, dual: true }) {
                Answer::Permit(_) => Finding { outcome: Outcome::Pending(gates), policies, about: None },
                Answer::Forbid { policies, .. } => forbid(Code::PolicyForbid, policies),
                Answer::Error(policies) => forbid(Code::PolicyError, policies),
            }
        }
    }
}

/// Whether a tool is shown to this run: some arguments of it would be permitted, or pending on gates.
pub fn shows(bundle: &Compiled, input: &Input) -> bool {
    let Caller::Known(claims, agent) = identify(bundle, input) else {
        return false;
    };
    if input.facts.locked {
        return false;
    }
    let granted = match &input.action {
        Action::CallTool(tool) => {
            let detail = detail(bundle, input, claims);
            let named = detail
                .is_some_and(|d| d.tools.contains_key(tool.as_str()) || d.tools.contains_key(crate::grant::WILDCARD));
            named && !input.facts.drifted && bundle.tool(&input.server, tool).is_some()
        }
        Action::GetPrompt(prompt) => {
            let detail = detail(bundle, input, claims);
            let served = bundle.server(&input.server).is_some_and(|server| server.prompts.contains(prompt));
            served && detail.is_some_and(|d| d.prompts.contains_key(prompt.as_str()))
        }
        Action::ReadResource(_) | Action::Answer(_) | Action::Method(_) => {
            covered(bundle, input, agent, detail(bundle, input, claims)).is_ok()
        }
    };
    granted && Question::new(bundle, input, claims).is_none_or(|question| question.possible())
}
