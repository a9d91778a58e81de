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
use crate::index::Group;
use crate::input::Input;
use crate::policy::{Compiled, agent_name, kind, uid};

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

/// Members of the context, as the schema declares them.
const MEMBERS: &[&str] = &[
    "human",
    "task",
    "run",
    "labels",
    "prov",
    "session",
    "chain",
    "credential",
    "now",
    "evidence",
    "trust",
    "input",
    "uri",
    "feature",
];

/// A question, ready to be asked with different evidence.
pub(crate) struct Question<'a> {
    bundle: &'a Compiled,
    input: &'a Input,
    claims: &'a Claims,
    groups: Vec<&'a Group>,
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
        let groups = bundle.index.candidates(&principals, &actions, &resources);
        let [principal, ..] = principals;
        let (action, resource) = (actions.into_iter().next()?, resources.into_iter().next()?);
        Some(Self { bundle, input, claims, groups, principal, action, resource })
    }

    /// Whether any policy that might apply reads the argument.
    pub(crate) fn reads(&self, argument: &str) -> bool {
        self.groups.iter().any(|group| group.reads.input.contains(argument))
    }

    /// Asks with the arguments and the evidence as they are.
    pub(crate) fn ask(&self, arguments: &Arguments, lifted: &Lifted) -> Answer {
        match self.request(Some(arguments), lifted) {
            Some(request) => self.unforbidden(&request).unwrap_or_else(|| self.each(&request)),
            None => Answer::Error(BTreeSet::new()),
        }
    }

    /// The request, with as much of the context as some policy that might apply reads.
    fn request(&self, arguments: Option<&Arguments>, lifted: &Lifted) -> Option<Request> {
        let context = Context::from_pairs(self.context(arguments, lifted)).ok()?;
        let (principal, action, resource) = (self.principal.clone(), self.action.clone(), self.resource.clone());
        // Without the schema: what is left out would not fit it, and what stands there has its types from this file.
        Request::new(principal, action, resource, context, None).ok()
    }

    /// The answer where no policy forbids or errs.
    fn unforbidden(&self, request: &Request) -> Option<Answer> {
        let mut permits = BTreeSet::new();
        for group in &self.groups {
            let response = Authorizer::new().is_authorized(request, &group.merged, &self.bundle.entities);
            let mut determining = response.diagnostics().reason().peekable();
            if response.diagnostics().errors().next().is_some() {
                return None;
            }
            if let (Decision::Deny, Some(_forbid)) = (response.decision(), determining.peek()) {
                return None;
            }
            permits.extend(determining.map(ToString::to_string));
        }
        Some(if permits.is_empty() {
            Answer::Forbid { policies: permits, gates: None }
        } else {
            Answer::Permit(permits)
        })
    }

    /// The answer of every policy that might apply.
    fn each(&self, request: &Request) -> Answer {
        let Some(policies) = self.policies() else {
            return Answer::Error(BTreeSet::new());
        };
        let response = Authorizer::new().is_authorized(request, &policies, &self.bundle.entities);
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

    fn policies(&self) -> Option<PolicySet> {
        // A policy that names several actions may stand in several groups.
        let ids: BTreeSet<_> = self.groups.iter().flat_map(|group| &group.ids).collect();
        let policies = ids.into_iter().map(|id| self.bundle.policies.get(id).cloned());
        PolicySet::from_policies(policies.collect::<Option<Vec<_>>>()?).ok()
    }

    /// The gates, where every determining forbid is one.
    fn gates(&self, determining: &[PolicyId]) -> Option<BTreeSet<Gate>> {
        let gate = |id: &PolicyId| Some(self.bundle.gates.get::<str>(id.as_ref())?.gate);
        let gates: Option<BTreeSet<Gate>> = determining.iter().map(gate).collect();
        gates.filter(|gates| !gates.is_empty())
    }

    /// Whether some arguments might be permitted, once every gate is lifted: what a list of tools shows.
    pub(crate) fn possible(&self) -> bool {
        let all = Lifted { approved: true, dual: true };
        let (Some(request), Some(policies)) = (self.request(None, &all), self.policies()) else { return false };
        let response = Authorizer::new().is_authorized_partial(&request, &policies, &self.bundle.entities);
        response.definitely_errored().next().is_none() && response.decision() != Some(Decision::Deny)
    }

    fn context(&self, arguments: Option<&Arguments>, lifted: &Lifted) -> Vec<(String, Expression)> {
        let read = |name: &&str| self.groups.iter().any(|group| group.reads.context.contains(name));
        let member = |name: &'static str| Some((name.to_owned(), self.member(name, arguments, lifted)?));
        MEMBERS.iter().copied().filter(read).filter_map(member).collect()
    }

    /// A member of the context. `None` where this action has no such member.
    fn member(&self, name: &str, arguments: Option<&Arguments>, lifted: &Lifted) -> Option<Expression> {
        let Input { state, now, .. } = self.input;
        let trust = || Expression::new_long(state.label.trust.level());
        let long = |n: u64| Expression::new_long(i64::try_from(n).unwrap_or(i64::MAX));
        Some(match name {
            "human" => Expression::new_entity_uid(uid(&kind::HUMAN, self.claims.sub.as_str())),
            "task" => record([("id", text(&self.claims.task.id)), ("purpose", text(&self.claims.task.purpose))]),
            "run" => {
                let direct = self.claims.del_depth == 0 && self.claims.sub_profile == PROFILE_USER;
                record([("direct", Expression::new_bool(direct)), ("depth", long(self.claims.del_depth.into()))])
            }
            "labels" => {
                let sensitivity = Expression::new_long(state.label.sensitivity.level());
                record([("trust", trust()), ("sensitivity", sensitivity)])
            }
            "prov" => {
                let names = arguments.into_iter().flat_map(|arguments| &arguments.names);
                let unproven = names.filter(|_| state.label.trust.level() > 0).map(|name| text(name));
                record([
                    ("context", trust()),
                    // Until values are traced one by one, an argument is as good as the worst that the root has read.
                    ("argument", trust()),
                    ("unproven", Expression::new_set(unproven)),
                    ("sources", Expression::new_set([])),
                ])
            }
            "session" => record([("calls", long(state.calls)), ("spend", long(state.spend))]),
            "chain" => {
                let above = self.claims.lineage().skip(1).map(|link| uid(&kind::AGENT, &link.agent.short()));
                Expression::new_set(above.map(Expression::new_entity_uid))
            }
            "credential" => text(self.input.credential().map_or("none", crate::input::Credential::name)),
            "now" => Expression::new_long(*now),
            "evidence" => record([
                ("approved", Expression::new_bool(lifted.approved)),
                ("dual", Expression::new_bool(lifted.dual)),
                ("endorsed", Expression::new_set([])),
            ]),
            _ => return self.of_the_action(name, arguments),
        })
    }

    /// What only calls, or only resources, have. Unknown arguments are those of a list of tools.
    fn of_the_action(&self, name: &str, arguments: Option<&Arguments>) -> Option<Expression> {
        Some(match (name, &self.input.action, arguments) {
            ("trust", Action::CallTool(_), Some(arguments)) => {
                let names = arguments.typed.keys().chain(&arguments.inexact);
                let trust = || Expression::new_long(self.input.state.label.trust.level());
                record(names.map(|name| (name.as_str(), trust())))
            }
            ("input", Action::CallTool(_), Some(arguments)) => {
                record(arguments.typed.iter().map(|(name, value)| (name.as_str(), typed(value))))
            }
            ("trust" | "input", Action::CallTool(_), None) => Expression::new_unknown(name),
            ("uri", Action::ReadResource(uri), _) => text(uri),
            ("feature", Action::Answer(feature), _) => text(feature.name()),
            _ => return None,
        })
    }
}

fn text(text: &str) -> Expression {
    Expression::new_string(text.to_owned())
}

fn record<'n>(members: impl IntoIterator<Item = (&'n str, Expression)>) -> Expression {
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    // The names come from a map or from this file, so none stands there twice; if one did, a policy that takes a member
    // from the set would err, and the call would be refused.
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
