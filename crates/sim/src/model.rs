//! The naive model: the verdict as the words of the design give it, with no index, no Cedar and no cleverness.
//!
//! It shares no code with `remit_core`, only names of codes and gates: where both agree on a million worlds, a mistake
//! must have been made twice. Where the words leave an order open, it is: caller, grant, lockdown, pin, limits of the
//! grant, limits of the root, arguments, policy.

use std::collections::BTreeSet;

use remit_core::decide::Verdict;
use remit_core::gate::Gate;
use remit_core::rejection::Code;

use crate::value::{CENT, exact, fits, held, is_number, is_scalar, text};
use crate::when::{applies, reads};
use crate::world::{Approval, Arguments, Asked, Granted, Limit, OWN, On, Policy, Presented};
use crate::world::{REGISTERED, Token, Who, World};

type Limits = [(&'static str, Limit)];
const UNLIMITED: &Limits = &[];

/// The verdict of a world under these policies.
pub fn judge(policies: &[Policy], world: &World) -> Verdict {
    verdict(policies, world).unwrap_or_else(Verdict::Forbid)
}

fn verdict(policies: &[Policy], world: &World) -> Result<Verdict, Code> {
    let token = caller(world)?;
    let covered = granted(world, token);
    refuse(world.locked && !matches!(covered, Err(Code::Unknown | Code::InsufficientScope)), Code::LockedDown)?;
    covered?;
    let (opened, call) = opened(world)?;
    for one in &opened {
        within_grant(granted(one, token)?, one)?;
    }
    let ([all, minute, row], most) = (world.counts, token.limits());
    refuse(call && all > most[0], Code::BudgetSpent)?;
    refuse(minute > if call { most[1] } else { most[1].max(30) }, Code::RateLimited)?;
    refuse(call && row > most[2], Code::LoopDetected)?;
    let mut gates = BTreeSet::new();
    for one in &opened {
        let asked: Vec<Policy> = policies.iter().filter(|policy| speaks_of(policy, one, token)).copied().collect();
        within_schema(&asked, one)?;
        gates.extend(ask(&asked, one, token)?);
    }
    Ok(if gates.is_empty() { Verdict::Permit } else { Verdict::Pending(gates) })
}

/// What is really asked for, as calls of their own, and whether the call itself is one.
fn opened(world: &World) -> Result<(Vec<World>, bool), Code> {
    let as_call = |asked| World { asked, arguments: Arguments::Object(vec![]), answers: vec![], ..world.clone() };
    let opened = match world.asked {
        Asked::Tool(_) | Asked::Prompt(_) | Asked::Resource(_) | Asked::Answer(_) => {
            let answers = world.answers.iter().map(|feature| as_call(Asked::Answer(feature)));
            return Ok(([world.clone()].into_iter().chain(answers).collect(), true));
        }
        Asked::Question(feature) => return Ok((vec![as_call(Asked::Answer(feature))], false)),
        Asked::Method => return Ok((vec![], false)),
        Asked::Unheard => return Err(Code::Unknown),
        Asked::Complete(prompt) => vec![as_call(Asked::Prompt(prompt))],
        Asked::Watch(uris) => uris.iter().map(|uri| as_call(Asked::Resource(uri))).collect(),
    };
    refuse(!world.given().is_empty(), Code::Unknown).map(|()| (opened, false))
}

fn refuse(bad: bool, code: Code) -> Result<(), Code> {
    if bad { Err(code) } else { Ok(()) }
}

fn caller(world: &World) -> Result<&Token, Code> {
    let token = match &world.presented {
        Presented::Nothing => return Err(Code::TokenMissing),
        Presented::Invalid => return Err(Code::TokenInvalid),
        Presented::BadProof => return Err(Code::ProofInvalid),
        Presented::Replayed => return Err(Code::ProofReplayed),
        Presented::Token(token) => token,
    };
    refuse(token.flaw.is_some() || token.age < -60, Code::TokenInvalid)?;
    refuse(token.left <= 0, Code::TokenExpired)?;
    refuse(world.revoked.is_some(), Code::Revoked)?;
    refuse(!token.audience.contains(&world.server), Code::TokenAudience)?;
    refuse(token.agent >= REGISTERED, Code::AgentUnregistered)?;
    Ok(token)
}

/// What the grant limits the arguments to.
fn granted<'a>(world: &World, token: &'a Token) -> Result<&'a Limits, Code> {
    let server = world.server().ok_or(Code::Unknown)?;
    refuse(matches!(world.arguments, Arguments::Broken(_)), Code::ArgumentsInvalid)?;
    let ours = token.grant_for == world.server;
    let lacks = |kind: &str, name| {
        let declared = token.who().needs.contains(&&*format!("{kind}{}/{name}", world.server));
        if declared { Code::InsufficientScope } else { Code::Unknown }
    };
    let find = |list: &'a [Granted], name| list.iter().find(|g| ours && g.0 == name).map(|g| &*g.1);
    match world.asked {
        Asked::Resource(uri) => {
            refuse(!server.2, Code::Unknown)?;
            refuse(!ours || !token.resources.contains(&uri), lacks("resource:", uri)).map(|()| UNLIMITED)
        }
        Asked::Answer(feature) => {
            refuse(!server.4.contains(&feature), Code::Unknown)?;
            refuse(!ours || !token.features.contains(&feature), lacks("client:", feature)).map(|()| UNLIMITED)
        }
        Asked::Prompt(name) => {
            refuse(!server.3.contains(&name), Code::Unknown)?;
            find(&token.prompts, name).ok_or(lacks("prompt:", name))
        }
        Asked::Tool(name) => {
            world.tool().ok_or(Code::Unknown)?;
            let found = find(&token.tools, name).or_else(|| find(&token.tools, "*"));
            let found = found.ok_or(lacks("", name))?;
            refuse(world.drifted, Code::PinChanged).map(|()| found)
        }
        _ => refuse(!ours, Code::Unknown).map(|()| UNLIMITED),
    }
}

/// Closed world: once a tool's arguments are limited, one that no limit names is refused, and an absent one satisfies
/// only "anything".
fn within_grant(limits: &Limits, world: &World) -> Result<(), Code> {
    let named = |name| limits.is_empty() || limits.iter().any(|limit| limit.0 == name);
    let all = world.given().iter().all(|(name, _)| named(*name));
    refuse(!all, Code::ArgumentsOutsideGrant)?;
    for (name, limit) in limits.iter().filter(|limit| limit.1 != Limit::Anything) {
        let value = world.argument(name).ok_or(Code::ArgumentsOutsideGrant)?;
        refuse(is_number(value) && exact(value).is_none(), Code::NumberInexact)?;
        let inside = match limit {
            Limit::Anything => true,
            Limit::AtMost(most) => exact(value).is_some_and(|n| n <= i128::from(*most) * CENT),
            Limit::OneOf(allowed) => text(value).is_some_and(|text| allowed.contains(&text)),
            Limit::Not(bad) => is_scalar(value) && text(value) != Some(bad),
        };
        refuse(!inside, Code::ArgumentsOutsideGrant)?;
    }
    Ok(())
}

/// The reviewed schema; a number that policy cannot hold matters where it is required, or where a policy reads it.
fn within_schema(asked: &[Policy], world: &World) -> Result<(), Code> {
    let tool = world.tool();
    for (name, value) in world.given() {
        let declared = tool.map(|tool| tool.arguments.iter().find(|a| a.0 == *name));
        let like = tool.is_some_and(|tool| tool.arguments.iter().any(|a| a.0.eq_ignore_ascii_case(name)));
        let fit = declared.is_none_or(|a| a.map_or(tool.is_some_and(|t| t.open) && !like, |a| fits(a.1, value)));
        refuse(!fit, Code::ArgumentsInvalid)?;
    }
    for (name, is, required) in tool.into_iter().flat_map(|tool| tool.arguments) {
        refuse(*required && world.value(name).is_none(), Code::ArgumentsInvalid)?;
        let unheld = world.value(name).is_some_and(|value| !held(*is, value));
        let read = asked.iter().any(|policy| reads(policy.when) == *name);
        refuse(unheld && (*required || read), Code::NumberInexact)?;
    }
    Ok(())
}

/// A forbid wins over every permit, an error over both; a gate is a forbid that evidence lifts.
fn ask(asked: &[Policy], world: &World, token: &Token) -> Result<BTreeSet<Gate>, Code> {
    let (mut permitted, mut gates) = (false, BTreeSet::new());
    let (lifted, mut forbidden) = (lifted(world), false);
    for policy in asked {
        let hit = applies(policy.when, world, token).ok_or(Code::PolicyError);
        match (policy.permit, policy.gate) {
            _ if !hit? => {}
            (true, _) => permitted = true,
            (false, None | Some(Gate::Endorsement)) => forbidden = true,
            (false, Some(gate)) if lifted.contains(&gate) => {}
            (false, Some(gate)) => drop(gates.insert(gate)),
        }
    }
    refuse(forbidden || !permitted, Code::PolicyForbid).map(|()| gates)
}

fn lifted(world: &World) -> BTreeSet<Gate> {
    let good = |a: &&Approval| a.of_this_call && a.left > 0;
    let by = world.approvals.iter().filter(good).flat_map(|a| &a.by);
    let others: BTreeSet<_> = by.filter(|by| **by != OWN).collect();
    let gates = [(1, Gate::Approval), (2, Gate::Dual)].into_iter();
    gates.filter(|(n, _)| others.len() >= *n).map(|(_, gate)| gate).collect()
}

fn speaks_of(policy: &Policy, world: &World, token: &Token) -> bool {
    let (agent, tool) = (token.who(), world.tool().map(|tool| tool.id));
    let who = match policy.who {
        Who::Anybody => true,
        Who::Team(team) => agent.team == team,
        Who::Name(name) => agent.name == name,
    };
    let on = match policy.on {
        On::Anything => true,
        On::AnyTool => tool.is_some(),
        On::ToolsOf(server) => tool.is_some() && world.server == server,
        On::Tool(id) => tool == Some(id),
        On::Resources => matches!(world.asked, Asked::Resource(_)),
        On::Prompts => matches!(world.asked, Asked::Prompt(_)),
        On::Answers => matches!(world.asked, Asked::Answer(_)),
    };
    who && on
}
