//! One question to Cedar: the request and its context from typed values, and the answer without its trap.
//!
//! Cedar skips a policy that fails to evaluate, so a forbid that errs does not forbid. Here any error is a forbid.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, EntityUid, PolicyId, PolicySet, Request,
    RestrictedExpression as Expression,
};

use crate::arguments::Typed;
use crate::call::Action;
use crate::claims::{Claims, PROFILE_USER};
use crate::gate::{Gate, Lifted};
use crate::input::Input;
use crate::policy::{Compiled, Rule, agent_name, kind, uid};

/// A call's arguments as policy sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// Those that policy can read.
    pub(crate) typed: BTreeMap<String, Typed>,
    /// Numbers that no policy reads, because they cannot be held exactly. Their trust is still known.
    pub(crate) inexact: Vec<String>,
    /// The name of every argument, declared or not.
    pub(crate) names: BTreeSet<String>,
}

/// What Cedar says, with errors turned into forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Permitted by these policies.
    Permit(BTreeSet<String>),
    /// Forbidden by these policies; by none, where no policy permits.
    Forbid { policies: BTreeSet<String>, gates: Option<BTreeSet<Gate>> },
    /// These policies could not be evaluated, or the request could not be built.
    Error(BTreeSet<String>),
}

/// A question, ready to be asked with different evidence.
pub(crate) struct Question<'a> {
    bundle: &'a Compiled,
    input: &'a Input,
    claims: &'a Claims,
    policies: PolicySet,
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
}

impl<'a> Question<'a> {
    /// The question whether policy permits a decided action; `None` for a method that follows a decided one.
    pub(crate) fn new(bundle: &'a Compiled, input: &'a Input, claims: &'a Claims) -> Option<Self> {
        let id = &claims.client_id;
        let principals = [
            uid(&kind::AGENT, &id.short()),
            agent_name(id),
            uid(&kind::TEAM, id.team.as_str()),
            uid(&kind::ORG, bundle.trust_domain.as_str()),
        ];
        let server = uid(&kind::SERVER, input.server.as_str());
        let (actions, resources) = match &input.action {
            Action::CallTool(tool) => {
                let name = format!("{}/{tool}", input.server);
                (vec![uid(&kind::ACTION, &name), uid(&kind::ACTION, "CallTool")], vec![uid(&kind::TOOL, &name), server])
            }
            Action::GetPrompt(prompt) => {
                let name = format!("{}/{prompt}", input.server);
                (vec![uid(&kind::ACTION, "GetPrompt")], vec![uid(&kind::PROMPT, &name), server])
            }
            Action::ReadResource(_) => (vec![uid(&kind::ACTION, "ReadResource")], vec![server]),
            Action::Answer(_) => (vec![uid(&kind::ACTION, "AnswerServer")], vec![server]),
            Action::Method(_) => return None,
        };
        let found = bundle.index.candidates(&principals, &actions, &resources);
        let policies =
            PolicySet::from_policies(found.iter().filter_map(|id| bundle.rules.get(id)).map(|r| r.policy.clone()));
        let [principal, ..] = principals;
        let (action, resource) = (actions.into_iter().next()?, resources.into_iter().next()?);
        Some(Self { bundle, input, claims, policies: policies.ok()?, principal, action, resource })
    }

    /// Whether any policy that might apply reads the argument.
    pub(crate) fn reads(&self, argument: &str) -> bool {
        self.policies.policies().filter_map(|p| self.bundle.rules.get(p.id())).any(|rule| rule.reads.reads(argument))
    }

    /// Asks with the arguments and the evidence as they are.
    pub(crate) fn ask(&self, arguments: &Arguments, lifted: &Lifted) -> Answer {
        let failed = || Answer::Error(BTreeSet::new());
        let Ok(context) = Context::from_pairs(self.context(Some(arguments), lifted)) else {
            return failed();
        };
        let request = Request::new(
            self.principal.clone(),
            self.action.clone(),
            self.resource.clone(),
            context,
            Some(&self.bundle.schema),
        );
        let Ok(request) = request else {
            return failed();
        };
        let response = Authorizer::new().is_authorized(&request, &self.policies, &self.bundle.entities);
        let names = |ids: Vec<PolicyId>| ids.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let erred: Vec<_> = response
            .diagnostics()
            .errors()
            .map(|AuthorizationError::PolicyEvaluationError(e)| e.policy_id().clone())
            .collect();
        if !erred.is_empty() {
            return Answer::Error(names(erred));
        }
        let determining: Vec<_> = response.diagnostics().reason().cloned().collect();
        match response.decision() {
            Decision::Allow => Answer::Permit(names(determining)),
            Decision::Deny => Answer::Forbid { gates: self.gates(&determining), policies: names(determining) },
        }
    }

    /// The gates, where every determining forbid is one.
    fn gates(&self, determining: &[PolicyId]) -> Option<BTreeSet<Gate>> {
        let gate = |id: &PolicyId| self.bundle.rules.get(id).and_then(|rule: &Rule| rule.gate);
        let gates: Option<BTreeSet<Gate>> = determining.iter().map(gate).collect();
        gates.filter(|gates| !gates.is_empty())
    }

    /// Whether some arguments might be permitted, once every gate is lifted: what a list of tools shows.
    pub(crate) fn possible(&self) -> bool {
        let all = Lifted { approved: true, dual: true };
        let Ok(context) = Context::from_pairs(self.context(None, &all)) else {
            return false;
        };
        // Without the schema, because an unknown record has no type yet.
        let request = Request::new(self.principal.clone(), self.action.clone(), self.resource.clone(), context, None);
        let Ok(request) = request else { return false };
        let response = Authorizer::new().is_authorized_partial(&request, &self.policies, &self.bundle.entities);
        response.definitely_errored().next().is_none() && response.decision() != Some(Decision::Deny)
    }

    fn context(&self, arguments: Option<&Arguments>, lifted: &Lifted) -> Vec<(String, Expression)> {
        let Input { state, now, .. } = self.input;
        let long = |n: u64| Expression::new_long(i64::try_from(n).unwrap_or(i64::MAX));
        let level = Expression::new_long;
        let chain = self.claims.lineage().skip(1).map(|link| uid(&kind::AGENT, &link.agent.short()));
        let direct = self.claims.del_depth == 0 && self.claims.sub_profile == PROFILE_USER;
        let context_trust = state.label.trust.level();
        let unproven = arguments
            .into_iter()
            .flat_map(|arguments| &arguments.names)
            .map(|name| text(name))
            .filter(|_| context_trust > 0);
        let mut context = vec![
            ("human", Expression::new_entity_uid(uid(&kind::HUMAN, self.claims.sub.as_str()))),
            ("task", record([("id", text(&self.claims.task.id)), ("purpose", text(&self.claims.task.purpose))])),
            ("run", record([("direct", Expression::new_bool(direct)), ("depth", long(self.claims.del_depth.into()))])),
            (
                "labels",
                record([("trust", level(context_trust)), ("sensitivity", level(state.label.sensitivity.level()))]),
            ),
            (
                "prov",
                record([
                    ("context", level(context_trust)),
                    // Until values are traced one by one, an argument is as good as the worst that the root has read.
                    ("argument", level(context_trust)),
                    ("unproven", Expression::new_set(unproven)),
                    ("sources", Expression::new_set([])),
                ]),
            ),
            ("session", record([("calls", long(state.calls)), ("spend", long(state.spend))])),
            ("chain", Expression::new_set(chain.map(Expression::new_entity_uid))),
            ("credential", text(self.input.credential().map_or("none", crate::input::Credential::name))),
            ("now", Expression::new_long(*now)),
            (
                "evidence",
                record([
                    ("approved", Expression::new_bool(lifted.approved)),
                    ("dual", Expression::new_bool(lifted.dual)),
                    ("endorsed", Expression::new_set([])),
                ]),
            ),
        ];
        context.extend(self.of_the_action(arguments));
        context.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What only calls, or only resources, have. Unknown arguments are those of a list of tools.
    fn of_the_action(&self, arguments: Option<&Arguments>) -> Vec<(&'static str, Expression)> {
        let trust = || Expression::new_long(self.input.state.label.trust.level());
        match (&self.input.action, arguments) {
            (Action::CallTool(_), Some(arguments)) => {
                let names = arguments.typed.keys().chain(&arguments.inexact);
                let input = arguments.typed.iter().map(|(name, value)| (name.as_str(), typed(value)));
                vec![("trust", record(names.map(|name| (name.as_str(), trust())))), ("input", record(input))]
            }
            (Action::CallTool(_), None) => {
                vec![("trust", Expression::new_unknown("trust")), ("input", Expression::new_unknown("input"))]
            }
            (Action::ReadResource(uri), _) => vec![("uri", text(uri))],
            (Action::Answer(feature), _) => vec![("feature", text(feature.name()))],
            (Action::GetPrompt(_) | Action::Method(_), _) => Vec::new(),
        }
    }
}

fn text(text: &str) -> Expression {
    Expression::new_string(text.to_owned())
}

fn record<'n>(members: impl IntoIterator<Item = (&'n str, Expression)>) -> Expression {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    // The names come from a map or from this file, so none stands there twice; if one did, the empty record would
    // not fit the schema, and the call would be refused.
    Expression::new_record(members).unwrap_or_else(|_| Expression::new_set([]))
}

fn typed(value: &Typed) -> Expression {
    match value {
        Typed::Text(value) => text(value),
        Typed::Integer(value) => Expression::new_long(*value),
        Typed::Number(value) => Expression::new_decimal(value),
        Typed::Boolean(value) => Expression::new_bool(*value),
        Typed::Set(items) => Expression::new_set(items.iter().map(typed)),
    }
}
