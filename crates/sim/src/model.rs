//! The naive model: the verdict as the words of the design give it, with no index, no Cedar and no cleverness.
//!
//! It shares no code with `remit_core`, only names of codes and gates: where both agree on a million worlds, a mistake
//! must have been made twice. Where the words leave an order open, it is: caller, grant, lockdown, pin, limits of the
//! grant, limits of the root, arguments, policy.

use std::collections::BTreeSet;

use remit_core::decide::Verdict;
use remit_core::gate::Gate;
use remit_core::rejection::Code;

use crate::value::{CENT, UNIT, exact, fits, held, is_number, is_scalar, text};
use crate::world::{Approval, Arguments, Asked, Granted, Limit, OWN, On, Policy, Presented};
use crate::world::{REGISTERED, Token, When, Who, World};

type Limits = [(&'static str, Limit)];
const UNLIMITED: &Limits = &[];

/// The verdict of a world under these policies.
pub fn judge(policies: &[Policy], world: &World) -> Verdict {
    verdict(policies, world).unwrap_or_else(Verdict::Forbid)
}

fn verdict(policies: &[Policy], world: &World) -> Result<Verdict, Code> {
    let token = caller(world)?;
    let granted = granted(world, token);
    refuse(world.locked && !matches!(granted, Err(Code::Unknown | Code::InsufficientScope)), Code::LockedDown)?;
    let Some(limits) = granted? else {
        return Ok(Verdict::Permit);
    };
    within_grant(limits, world)?;
    let ([all, minute, row], most) = (world.counts, token.who().limits);
    refuse(all > most[0], Code::BudgetSpent)?;
    refuse(minute > most[1], Code::RateLimited)?;
    refuse(row > most[2], Code::LoopDetected)?;
    let asked: Vec<Policy> = policies.iter().filter(|policy| speaks_of(policy, world, token)).copied().collect();
    within_schema(&asked, world)?;
    ask(&asked, world, token)
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

/// What the grant limits the arguments to; nothing for a method that needs no more than a grant for its server.
fn granted<'a>(world: &World, token: &'a Token) -> Result<Option<&'a Limits>, Code> {
    let server = world.server().ok_or(Code::Unknown)?;
    let broken = matches!(world.arguments, Arguments::Broken(_));
    refuse(broken, Code::ArgumentsInvalid)?;
    let ours = token.grant_for == world.server;
    let find = |list: &'a [Granted], name| list.iter().find(|g| ours && g.0 == name).map(|g| &*g.1);
    match world.asked {
        Asked::Method => refuse(!ours, Code::Unknown).map(|()| None),
        Asked::Resource(uri) => {
            let covered = ours && server.2 && token.resources.contains(&uri);
            refuse(!covered, Code::Unknown).map(|()| Some(UNLIMITED))
        }
        Asked::Prompt(name) => {
            refuse(!server.3.contains(&name), Code::Unknown)?;
            find(&token.prompts, name).ok_or(Code::Unknown).map(Some)
        }
        Asked::Tool(name) => {
            let id = world.tool().ok_or(Code::Unknown)?.id;
            let declared = token.who().needs.contains(&id);
            let found = find(&token.tools, name).or_else(|| find(&token.tools, "*"));
            refuse(found.is_none() && declared, Code::InsufficientScope)?;
            let found = found.ok_or(Code::Unknown)?;
            refuse(world.drifted, Code::PinChanged).map(|()| Some(found))
        }
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
        let fit = declared.is_none_or(|a| a.map_or(tool.is_some_and(|t| t.open), |a| fits(a.1, value)));
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
fn ask(asked: &[Policy], world: &World, token: &Token) -> Result<Verdict, Code> {
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
    refuse(forbidden || !permitted, Code::PolicyForbid)?;
    Ok(if gates.is_empty() { Verdict::Permit } else { Verdict::Pending(gates) })
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
    };
    who && on
}

fn reads(when: When) -> &'static str {
    match when {
        When::AmountOver(_) => "amount",
        When::IdOverflows => "id",
        _ => "",
    }
}

/// Whether the condition holds; `None` where it cannot be evaluated.
fn applies(when: When, world: &World, token: &Token) -> Option<bool> {
    let amount = world.value("amount").and_then(exact);
    let tier = world.tool().map_or(0, |tool| tool.tier);
    let environment = world.server().map_or("", |server| server.1);
    Some(match when {
        When::Always => true,
        When::AmountOver(most) => amount.is_some_and(|n| n > i128::from(most) * CENT),
        When::To(whom) => world.value("to").and_then(text) == Some(whom),
        When::TierFrom(least) => tier >= least,
        When::UntrustedAndTierFrom(least) => world.trust == 2 && tier >= least,
        When::SensitivityFrom(least) => world.sensitivity >= least,
        When::Unproven => world.trust > 0 && !world.given().is_empty(),
        When::AmountTrustFrom(level) => world.value("amount").is_some() && world.trust >= level,
        When::Bearer => token.bearer,
        When::OtherEnvironment => environment != token.who().environment,
        When::Spawned => token.depth > 0,
        When::IdOverflows => i64::try_from((exact(world.value("id")?)? / UNIT) << 62).ok()? > 0,
        When::UriBelow(top) => matches!(world.asked, Asked::Resource(uri) if uri.starts_with(top)),
        When::CallsOver(n) => world.counts[0] > n,
    })
}
