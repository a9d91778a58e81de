//! A bundle made ready to decide by: policies parsed, validated and indexed, agents and tools looked up by name.
//!
//! Whatever might fail later fails here: a bundle that does not compile is never decided by.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr as _;
use std::sync::Arc;

use cedar_policy::{
    Effect, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint,
    RestrictedExpression, Schema, ValidationMode, Validator,
};

use crate::arguments::Declared;
use crate::bundle::{PolicyFile, Versioned};
use crate::gate::Gate;
use crate::id::{AgentId, ServerName, Team, ToolName, TrustDomain};
use crate::index::{Index, Parsed};
use crate::owner::{Gated, gated, named};
use crate::registry::{Agent, REGISTRY_ITEMS_MAX, Server, Tool};

/// Why a bundle cannot be decided by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The registry contradicts itself or its limits.
    #[error("registry: {0}")]
    Registry(String),
    /// A policy file does not parse.
    #[error("policy file `{file}` does not parse: {why}")]
    Parse {
        /// The file.
        file: String,
        /// The parser's words.
        why: String,
    },
    /// A policy does not fit the schema of the pinned tools.
    #[error("policy does not fit the pinned tools: {0}")]
    Validation(String),
    /// A team's policy speaks of agents that are not the team's.
    #[error(
        "policy `{policy}` of team `{team}` must name its own agents: `principal in Team::\"{team}\"` or one of them"
    )]
    ForeignPrincipal {
        /// The policy.
        policy: String,
        /// The team whose file it is in.
        team: String,
    },
    /// A policy's annotations ask for something that does not exist.
    #[error("policy `{policy}`: {why}")]
    Annotation {
        /// The policy.
        policy: String,
        /// What is wrong.
        why: String,
    },
}

/// A tool, with what is derived from its pinned schema.
#[derive(Debug)]
pub struct Exposed {
    /// As registered.
    pub tool: Tool,
    /// Its arguments' types.
    pub declared: Declared,
}

/// A bundle by which calls are decided.
pub struct Compiled {
    /// What was compiled.
    pub versioned: Versioned,
    /// The domain whose agents it speaks of.
    pub trust_domain: TrustDomain,
    pub(crate) entities: Entities,
    pub(crate) policies: HashMap<PolicyId, Policy>,
    /// The policies that are gates. Kept, because reading an annotation parses its name: at each call that would be dear.
    pub(crate) gates: BTreeMap<String, Gated>,
    pub(crate) index: Index,
    agents: HashMap<AgentId, Arc<Agent>>,
    servers: HashMap<ServerName, Server>,
    tools: HashMap<(ServerName, ToolName), Arc<Exposed>>,
}

impl Compiled {
    /// The registered agent.
    pub fn agent(&self, id: &AgentId) -> Option<&Arc<Agent>> {
        self.agents.get(id)
    }

    /// The registered server.
    pub fn server(&self, name: &ServerName) -> Option<&Server> {
        self.servers.get(name)
    }

    /// The tool, where the server exposes it.
    pub fn tool(&self, server: &ServerName, tool: &ToolName) -> Option<&Arc<Exposed>> {
        self.tools.get(&(server.clone(), tool.clone()))
    }

    /// The URL of a server's endpoint at the gateway: the audience of its tokens.
    pub fn resource(&self, server: &ServerName) -> String {
        format!("{}/mcp/{server}", self.versioned.bundle.gateway)
    }
}

/// Parses, validates and indexes a bundle.
pub fn compile(versioned: Versioned, trust_domain: TrustDomain) -> Result<Compiled, PolicyError> {
    let bundle = &versioned.bundle;
    let schema = Schema::from_json_value(crate::schema::schema(&bundle.servers))
        .map_err(|e| PolicyError::Registry(e.to_string()))?;
    // Policies name agents without their trust domain, so another domain's agent would pass for one of ours.
    if let Some(foreign) = bundle.agents.iter().find(|a| a.id.trust_domain != trust_domain) {
        return Err(PolicyError::Registry(format!("{} is not of {trust_domain}", foreign.id)));
    }
    let parsed = parse(&versioned)?;
    validate(&schema, &bundle.servers, &parsed)?;
    let entities = entities(&versioned, &trust_domain, &schema)?;
    let index = Index::build(&parsed)?;
    let gates =
        parsed.iter().filter_map(|parsed| gated(&parsed.policy)).map(|gate| (gate.policy.clone(), gate)).collect();
    let policies = parsed.into_iter().map(|parsed| (parsed.policy.id().clone(), parsed.policy)).collect();
    let agents = unique(bundle.agents.iter().map(|a| (a.id.clone(), Arc::new(a.clone()))), "agent")?;
    let servers = unique(bundle.servers.iter().map(|s| (s.name.clone(), s.clone())), "server")?;
    let exposed = bundle.servers.iter().flat_map(|server| {
        server.tools.iter().map(|tool| {
            let exposed = Exposed { declared: Declared::read(&tool.input), tool: tool.clone() };
            ((server.name.clone(), tool.name.clone()), Arc::new(exposed))
        })
    });
    let tools = unique(exposed, "tool")?;
    Ok(Compiled { versioned, trust_domain, entities, policies, gates, index, agents, servers, tools })
}

fn unique<K: std::hash::Hash + Eq + std::fmt::Debug, V>(
    items: impl Iterator<Item = (K, V)>,
    kind: &str,
) -> Result<HashMap<K, V>, PolicyError> {
    let mut map = HashMap::new();
    for (key, value) in items {
        if map.len() == REGISTRY_ITEMS_MAX {
            return Err(PolicyError::Registry(format!("more than {REGISTRY_ITEMS_MAX} {kind}s")));
        }
        let shown = format!("{key:?}");
        if map.insert(key, value).is_some() {
            return Err(PolicyError::Registry(format!("the {kind} {shown} stands there twice")));
        }
    }
    Ok(map)
}

/// Has Cedar build its parsers, for which the first bundle would wait some tens of milliseconds: for a thread that has
/// nothing else to do.
pub fn warm_up() {
    let text = "@gate(\"dual\") forbid (principal is Agent, action == Action::\"CallTool\", resource); ".repeat(2);
    let file = PolicyFile { name: String::new(), text };
    let mut parsed = Vec::new();
    if read_file(&file, "", None, &mut parsed).is_ok() {
        drop(Index::build(&parsed));
    }
}

fn parse(versioned: &Versioned) -> Result<Vec<Parsed>, PolicyError> {
    let mut parsed = Vec::new();
    let bundle = &versioned.bundle;
    for file in &bundle.floor {
        read_file(file, &format!("floor/{}", file.name), None, &mut parsed)?;
    }
    for team in &bundle.teams {
        for file in &team.files {
            read_file(file, &format!("team/{}/{}", team.team, file.name), Some(&team.team), &mut parsed)?;
        }
    }
    let mut ids = HashSet::new();
    match parsed.iter().map(|parsed| parsed.policy.id()).find(|id| !ids.insert(*id)) {
        Some(twice) => {
            Err(PolicyError::Annotation { policy: twice.to_string(), why: "another policy has this id".into() })
        }
        None => Ok(parsed),
    }
}

fn read_file(
    file: &PolicyFile,
    prefix: &str,
    team: Option<&Team>,
    parsed: &mut Vec<Parsed>,
) -> Result<(), PolicyError> {
    let parse = |why: String| PolicyError::Parse { file: prefix.to_owned(), why };
    let set = PolicySet::from_str(&file.text).map_err(|e| parse(e.to_string()))?;
    if set.templates().next().is_some() {
        return Err(parse("templates are not used: write each policy out".into()));
    }
    let mut policies: Vec<_> = set.policies().cloned().collect();
    policies.sort_by_key(|policy| policy.id().to_string().len());
    for policy in policies {
        let name = policy.annotation("id").map_or_else(|| policy.id().to_string(), ToOwned::to_owned);
        let id = format!("{prefix}/{name}");
        if let Some(team) = team
            && !speaks_of(&policy, team)
        {
            return Err(PolicyError::ForeignPrincipal { policy: id, team: team.to_string() });
        }
        check_gate(&policy, &id, team)?;
        let json = policy.to_json().map_err(|e| parse(e.to_string()))?;
        parsed.push(Parsed { policy: policy.new_id(PolicyId::new(&id)), json });
    }
    Ok(())
}

/// A gate is a forbid that stated evidence lifts; which evidence, its annotation says.
fn check_gate(policy: &Policy, id: &str, team: Option<&Team>) -> Result<(), PolicyError> {
    for annotation in ["owner", "approvers"] {
        named(policy, annotation, team).map_err(|why| PolicyError::Annotation { policy: id.to_owned(), why })?;
    }
    let Some(name) = policy.annotation("gate") else {
        return Ok(());
    };
    let wrong = |why: String| PolicyError::Annotation { policy: id.to_owned(), why };
    match (Gate::named(name), policy.effect()) {
        (None, _) => Err(wrong(format!("there is no gate `{name}`"))),
        (Some(_), Effect::Permit) => Err(wrong("a gate is a `forbid`, so that no permit can weaken it".into())),
        (Some(_), Effect::Forbid) => Ok(()),
    }
}

/// Whether the policy's scope names only the team's own agents.
fn speaks_of(policy: &Policy, team: &Team) -> bool {
    let within = |uid: &EntityUid| {
        let id = uid.id().unescaped();
        match uid.type_name().to_string().as_str() {
            "Team" => id == team.as_str(),
            "AgentName" | "Agent" => id.split_once('/').is_some_and(|(owner, _)| owner == team.as_str()),
            _ => false,
        }
    };
    match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => false,
        PrincipalConstraint::In(uid) | PrincipalConstraint::Eq(uid) | PrincipalConstraint::IsIn(_, uid) => within(&uid),
    }
}

fn validate(schema: &Schema, servers: &[Server], parsed: &[Parsed]) -> Result<(), PolicyError> {
    let invalid = |e: String| PolicyError::Validation(e);
    let set = PolicySet::from_policies(parsed.iter().map(|parsed| parsed.policy.clone()))
        .map_err(|e| invalid(e.to_string()))?;
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    let errors = result.validation_errors().map(|e| format!("{}: {e}", e.policy_id()));
    // A warning is a mistake as much as an error is: `has` of a misspelt argument is only ever false, so that the
    // policy can never apply, and characters that look like others deceive whoever reviews the text. Before the first
    // tool is registered, every policy about tools is of that kind, and there is nothing that it could let through.
    let empty = servers.iter().all(|server| server.tools.is_empty());
    let warnings = result.validation_warnings().filter(|_| !empty).map(|w| format!("{}: {w}", w.policy_id()));
    let findings: BTreeSet<String> = errors.chain(warnings).collect();
    if findings.is_empty() { Ok(()) } else { Err(invalid(findings.into_iter().collect::<Vec<_>>().join("; "))) }
}

/// The entity types of our schema, parsed once.
macro_rules! kinds {
    ($($name:ident = $text:literal),+) => {
        pub(crate) mod kind {
            use cedar_policy::EntityTypeName;
            use std::str::FromStr as _;
            use std::sync::LazyLock;
            $(
                pub(crate) static $name: LazyLock<EntityTypeName> =
                    LazyLock::new(|| EntityTypeName::from_str($text).expect("an entity type"));
            )+
        }
    };
}

kinds! {
    ACTION = "Action", AGENT = "Agent", AGENT_NAME = "AgentName", HUMAN = "Human", ORG = "Org",
    PROMPT = "Prompt", SERVER = "Server", TEAM = "Team", TOOL = "Tool"
}

pub(crate) fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

/// Everything that is known before a call comes in: agents, tools and servers with their parents.
fn entities(versioned: &Versioned, domain: &TrustDomain, schema: &Schema) -> Result<Entities, PolicyError> {
    let registry = |e: String| PolicyError::Registry(e);
    let org = uid(&kind::ORG, domain.as_str());
    let mut all = BTreeMap::new();
    let mut add = |uid: EntityUid, attributes: Vec<(&str, RestrictedExpression)>, parents: Vec<EntityUid>| {
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let entity =
            Entity::new(uid.clone(), attributes, parents.into_iter().collect()).map_err(|e| registry(e.to_string()))?;
        all.insert(uid.to_string(), entity);
        Ok::<(), PolicyError>(())
    };
    add(org.clone(), vec![], vec![])?;
    let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
    for agent in &versioned.bundle.agents {
        let (team, name) = (uid(&kind::TEAM, agent.id.team.as_str()), agent_name(&agent.id));
        add(team.clone(), vec![], vec![org.clone()])?;
        add(name.clone(), vec![], vec![team])?;
        let attributes = vec![
            ("team", text(agent.id.team.as_str())),
            ("name", text(agent.id.name.as_str())),
            ("version", text(agent.id.version.as_str())),
            ("purpose", text(&agent.purpose)),
            ("tier", text(agent.tier.name())),
            ("environment", text(agent.environment.name())),
            ("tags", RestrictedExpression::new_set(agent.tags.iter().map(|tag| text(tag)))),
        ];
        add(uid(&kind::AGENT, &agent.id.short()), attributes, vec![name])?;
    }
    for server in &versioned.bundle.servers {
        let owner = uid(&kind::SERVER, server.name.as_str());
        let environment = || ("environment", text(server.environment.name()));
        add(owner.clone(), vec![environment()], vec![])?;
        for tool in &server.tools {
            let attributes = vec![environment(), ("tier", RestrictedExpression::new_long(tool.tier.level()))];
            add(uid(&kind::TOOL, &format!("{}/{}", server.name, tool.name)), attributes, vec![owner.clone()])?;
        }
        for prompt in &server.prompts {
            add(uid(&kind::PROMPT, &format!("{}/{prompt}", server.name)), vec![], vec![owner.clone()])?;
        }
    }
    Entities::from_entities(all.into_values(), Some(schema)).map_err(|e| registry(e.to_string()))
}

pub(crate) fn agent_name(id: &AgentId) -> EntityUid {
    uid(&kind::AGENT_NAME, &format!("{}/{}", id.team, id.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: make ready as many servers, tools or agents as somebody registers. What is larger than a bundle may be is
    /// refused before: this is for many small ones.
    #[test]
    fn a_registry_has_so_many_items_and_no_more() {
        let read = |count: usize| unique((0..count).map(|item| (item, ())), "agent");
        assert_eq!(read(100_000).unwrap().len(), 100_000);
        let refused = PolicyError::Registry("more than 100000 agents".into());
        assert_eq!(read(100_001), Err(refused));
    }
}
