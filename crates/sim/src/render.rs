//! A world as the real decision gets it: Cedar text in a bundle, claims in an input, approvals in evidence. Everything
//! goes through the same readers as in a gateway.

use remit_core::bundle::{Bundle, Versioned};
use remit_core::gate::{Evidence, Gate, binding};
use remit_core::id::TrustDomain;
use remit_core::input::Input;
use remit_core::policy::{Compiled, compile};
use serde_json::{Value, json};

use crate::world::{
    AGENTS, Agent, Approval, Arguments, Asked, Flaw, Granted, Is, Limit, NOW, OWN, On, Policy, Presented, REGISTERED,
    SERVERS, Server, TOOLS, Token, Tool, When, Who, World,
};

const DOMAIN: &str = "acme.example";
const ISSUER: &str = "https://as.example";
const GATEWAY: &str = "https://gw.example";
const PIN: &str = "sha256:00";

/// The policy as Cedar text.
pub fn cedar(policy: &Policy) -> String {
    let who = match policy.who {
        Who::Anybody => "principal".to_owned(),
        Who::Team(team) => format!("principal in Team::\"{team}\""),
        Who::Name(name) => format!("principal in AgentName::\"{name}\""),
    };
    let on = match policy.on {
        On::Anything => "action, resource".to_owned(),
        On::AnyTool => "action in Action::\"CallTool\", resource".to_owned(),
        On::ToolsOf(server) => {
            format!("action in Action::\"CallTool\", resource in Server::\"{server}\"")
        }
        On::Tool(id) => format!("action == Action::\"{id}\", resource"),
        On::Resources => "action == Action::\"ReadResource\", resource".to_owned(),
        On::Prompts => "action == Action::\"GetPrompt\", resource".to_owned(),
        On::Answers => "action == Action::\"AnswerServer\", resource".to_owned(),
    };
    let effect = if policy.permit { "permit" } else { "forbid" };
    let (gate, unless) = match policy.gate {
        None => (String::new(), ""),
        Some(gate) => (
            format!("@gate(\"{}\") ", gate.name()),
            match gate {
                Gate::Approval => " unless { context.evidence.approved }",
                Gate::Dual => " unless { context.evidence.dual }",
                Gate::Endorsement => " unless { !context.evidence.endorsed.isEmpty() }",
            },
        ),
    };
    let when = condition(policy.when);
    format!("{gate}{effect}({who}, {on}) when {{ {when} }}{unless};\n")
}

fn condition(when: When) -> String {
    match when {
        When::Always => "true".to_owned(),
        When::AmountOver(cents) => format!(
            "context.input has amount && context.input.amount.greaterThan(decimal(\"{}.{:02}\"))",
            cents / 100,
            cents % 100
        ),
        When::To(whom) => format!("context.input has to && context.input.to == \"{whom}\""),
        When::TierFrom(least) => format!("resource.tier >= {least}"),
        When::UntrustedAndTierFrom(least) => {
            format!("context.labels.trust == 2 && resource.tier >= {least}")
        }
        When::SensitivityFrom(least) => format!("context.labels.sensitivity >= {least}"),
        When::Unproven => "!context.prov.unproven.isEmpty()".to_owned(),
        When::AmountTrustFrom(level) => {
            format!("context.trust has amount && context.trust.amount >= {level}")
        }
        When::Bearer => "context.credential == \"bearer\"".to_owned(),
        When::OtherEnvironment => "principal.environment != resource.environment".to_owned(),
        When::Spawned => "context.run.depth > 0".to_owned(),
        When::IdOverflows => "context.input.id * 4611686018427387904 > 0".to_owned(),
        When::UriBelow(top) => format!("context.uri like \"{top}*\""),
        When::CallsOver(n) => format!("context.session.calls > {n}"),
    }
}

/// The bundle with these policies, compiled.
///
/// # Panics
///
/// Where it does not compile: then the renderer is wrong.
#[expect(clippy::panic, reason = "a mistake of the test")]
pub fn bundle(policies: &[Policy]) -> Compiled {
    let text = |team: Option<&str>| {
        let own = policies.iter().filter(|policy| policy.team == team);
        own.map(cedar).collect::<String>()
    };
    let teams: Vec<Value> = ["support", "support-eu", "billing"]
        .into_iter()
        .map(|team| json!({"team": team, "files": [{"name": "own", "text": text(Some(team))}]}))
        .collect();
    let bundle = json!({
        "issuer": ISSUER, "gateway": GATEWAY, "keys": [],
        "servers": SERVERS.iter().map(server).collect::<Vec<_>>(),
        "agents": AGENTS.iter().take(REGISTERED).map(agent).collect::<Vec<_>>(),
        "floor": [{"name": "base", "text": text(None)}], "teams": teams,
    });
    let compiled = serde_json::from_value::<Bundle>(bundle).map_err(|e| e.to_string()).and_then(|bundle| {
        let versioned = Versioned { version: 1, not_after: NOW + 3_600, digest: [0; 32], bundle };
        let domain = TrustDomain::new(DOMAIN).map_err(|e| e.to_string())?;
        compile(versioned, domain).map_err(|e| e.to_string())
    });
    compiled.unwrap_or_else(|why| panic!("the rendered bundle does not compile: {why}"))
}

fn server((name, environment, resources, prompts, features): &Server) -> Value {
    let own = |tool: &&Tool| tool.id.split_once('/').is_some_and(|(server, _)| server == *name);
    json!({
        "name": name, "environment": environment, "resources": resources, "prompts": prompts,
        "features": features, "upstream": {"transport": "http", "url": "https://up.example"},
        "tools": TOOLS.iter().filter(own).map(tool).collect::<Vec<_>>(),
    })
}

fn tool(tool: &Tool) -> Value {
    let kind = |is: Is| match is {
        Is::Integer => json!({"type": "integer"}),
        Is::Number => json!({"type": "number"}),
        Is::Text => json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
        Is::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Is::Opaque => json!({"type": "object"}),
    };
    let arguments = tool.arguments.iter();
    let properties: serde_json::Map<String, Value> =
        arguments.clone().map(|(name, is, _)| ((*name).to_owned(), kind(*is))).collect();
    let required: Vec<_> = arguments.filter(|a| a.2).map(|a| a.0).collect();
    json!({
        "name": tool.id.split_once('/').map(|(_, name)| name), "pin": PIN,
        "tier": format!("T{}", tool.tier),
        "returns": {"trust": "untrusted", "sensitivity": "internal"},
        "input": {"type": "object", "properties": properties, "required": required,
            "additionalProperties": tool.open},
    })
}

fn id(agent: &Agent, domain: &str) -> String {
    format!("spiffe://{domain}/agent/{}/{}", agent.name, agent.version)
}

fn agent(agent: &Agent) -> Value {
    let [calls, in_minute, repeats] = agent.limits;
    json!({
        "id": id(agent, DOMAIN), "purpose": "p", "tier": "medium", "environment": agent.environment,
        "needs": agent.needs, "calls_max": calls, "calls_per_minute_max": in_minute, "repeats_max": repeats,
    })
}

/// The world as the input of a decision.
///
/// # Panics
///
/// Where it does not parse: then the renderer is wrong.
#[expect(clippy::panic, reason = "a mistake of the test")]
pub fn input(world: &World) -> Input {
    let presented = match &world.presented {
        Presented::Nothing => json!("nothing"),
        Presented::Invalid => json!("invalid"),
        Presented::BadProof => json!("bad_proof"),
        Presented::Replayed => json!("replayed"),
        Presented::Token(token) => {
            let credential = if token.bearer { "bearer" } else { "dpop" };
            json!({"token": {"claims": claims(token), "credential": credential}})
        }
    };
    let action = match world.asked {
        Asked::Tool(name) => json!({"call_tool": name}),
        Asked::Prompt(name) => json!({"get_prompt": name}),
        Asked::Resource(uri) => json!({"read_resource": uri}),
        Asked::Answer(feature) => json!({"answer": feature}),
        Asked::Question(feature) => json!({"method": question(feature)}),
        Asked::Method => json!({"method": "ping"}),
        Asked::Complete(_) => json!({"method": "completion/complete"}),
        Asked::Watch(_) => json!({"method": "subscriptions/listen"}),
        Asked::Unheard => json!({"method": "tasks/get"}),
    };
    let arguments = match &world.arguments {
        Arguments::Broken(text) => (*text).to_owned(),
        Arguments::Object(given) => {
            let members = given.iter().map(|(name, value)| format!("\"{name}\":{value}"));
            format!("{{{}}}", opens(&world.asked).into_iter().chain(members).collect::<Vec<_>>().join(","))
        }
    };
    let level =
        |names: &[&'static str], level: i64| usize::try_from(level).ok().and_then(|level| names.get(level).copied());
    let [calls, in_minute, repeats] = world.counts;
    let input = json!({
        "now": NOW, "presented": presented, "server": world.server, "action": action, "arguments": arguments,
        "answers": {"features": world.answers, "text": if world.answers.is_empty() { "" } else { "{}" }},
        "facts": {"revoked": world.revoked, "locked": world.locked, "drifted": world.drifted},
        "state": {"calls": calls, "calls_in_minute": in_minute, "repeats": repeats, "spend": 0, "label": {
            "trust": level(&["verified", "internal", "untrusted"], world.trust),
            "sensitivity": level(&["public", "internal", "confidential", "regulated"], world.sensitivity),
        }},
    });
    serde_json::from_value(input).unwrap_or_else(|why| panic!("the rendered input does not parse: {why}"))
}

fn question(feature: &str) -> &'static str {
    match feature {
        "elicitation" => "elicitation/create",
        "sampling" => "sampling/createMessage",
        _ => "roots/list",
    }
}

/// The parameter that says what a method opens.
fn opens(asked: &Asked) -> Option<String> {
    match asked {
        Asked::Complete(prompt) => Some(format!("\"ref\":{}", json!({"type": "ref/prompt", "name": prompt}))),
        Asked::Watch(uris) => Some(format!("\"notifications\":{}", json!({"resourceSubscriptions": uris}))),
        _ => None,
    }
}

fn resource(server: &str) -> String {
    format!("{GATEWAY}/mcp/{server}")
}

#[expect(clippy::indexing_slicing, reason = "worlds name agents by their place")]
fn claims(token: &Token) -> Value {
    let domain = if token.flaw == Some(Flaw::Domain) { "other.example" } else { DOMAIN };
    let own = id(token.who(), domain);
    let profile = "ai_agent client_instance";
    let mut act = Value::Null;
    for link in (0..=token.depth).rev() {
        let agent = if link == 0 { own.clone() } else { id(&AGENTS[link as usize], DOMAIN) };
        let mut actor = json!({"sub": format!("{agent}/run-{link}"), "iss": ISSUER, "sub_profile": profile});
        if let (Value::Object(actor), false) = (&mut actor, act.is_null()) {
            actor.insert("act".into(), act);
        }
        act = actor;
    }
    let mut claims = json!({
        "ver": 1, "iss": if token.flaw == Some(Flaw::Issuer) { "https://other.example" } else { ISSUER },
        "aud": token.audience.iter().map(|s| resource(s)).collect::<Vec<_>>(),
        "exp": NOW + token.left, "iat": NOW - token.age, "jti": "t-1", "sub": OWN, "sub_profile": "user",
        "client_id": own, "act": act, "run": "run-0", "root": format!("run-{}", token.depth),
        "root_at": NOW - token.age - 60, "root_until": NOW + 7_200, "gid": "g-1",
        "lin": (0..token.depth).map(|n| format!("t-{n}")).collect::<Vec<_>>(),
        "del_depth": token.depth, "del_max_depth": 2, "grant": {"until": NOW + 7_200, "by": "policy"},
        "task": {"id": "task-1", "purpose": "p", "why": "w"},
        "authorization_details": [{
            "type": "mcp_tools", "locations": [resource(token.grant_for)],
            "tools": granted(&token.tools), "prompts": granted(&token.prompts),
            "resources": token.resources.iter().map(|uri| json!({"constraint_type": "exact", "value": uri})).collect::<Vec<_>>(),
            "features": token.features,
        }],
    });
    if let (Value::Object(claims), false) = (&mut claims, token.flaw != Some(Flaw::Incoherent)) {
        // Each way in which claims can contradict each other, by whatever differs between worlds anyway.
        let (name, value) = match token.left % 7 {
            0 => ("ver", json!(2)),
            1 => ("run", json!("run-9")),
            2 => ("root", json!("run-9")),
            3 => ("lin", json!(["t-7", "t-8", "t-9"])),
            4 => ("del_max_depth", json!(9)),
            5 if token.age % 2 == 0 => ("root_until", json!(NOW + 7_199)),
            5 => ("grant", json!({"until": NOW + token.left - 1, "by": "policy"})),
            _ => ("client_id", json!(id(&AGENTS[(token.agent + 1) % REGISTERED], DOMAIN))),
        };
        claims.insert(name.into(), value);
    }
    claims
}

fn granted(list: &[Granted]) -> Value {
    let limit = |limit: &Limit| match limit {
        Limit::Anything => json!({"constraint_type": "wildcard"}),
        Limit::AtMost(cents) => {
            json!({"constraint_type": "range", "max": format!("{}.{:02}", cents / 100, cents % 100)})
        }
        Limit::OneOf(values) => json!({"constraint_type": "one_of", "values": values}),
        Limit::Not(value) => json!({"constraint_type": "not_one_of", "values": [value]}),
    };
    // Where a name stands there twice, the first one counts.
    let mut all = serde_json::Map::new();
    for (name, limits) in list {
        let limits: serde_json::Map<String, Value> =
            limits.iter().map(|(name, l)| ((*name).to_owned(), limit(l))).collect();
        all.entry(*name).or_insert(limits.into());
    }
    all.into()
}

/// The world's evidence. An approval that is not of this call is of one that differs in one thing alone.
///
/// # Panics
///
/// Where it does not parse: then the renderer is wrong.
#[expect(clippy::panic, reason = "a mistake of the test")]
pub fn evidence(world: &World, input: &Input) -> Evidence {
    let pin = world.tool().map_or("", |_| PIN);
    let approvals: Vec<Value> = world
        .approvals
        .iter()
        .map(|approval| {
            let binds = if approval.of_this_call { binding(input, pin) } else { binding(&other(world, approval), pin) };
            json!({"id": "a-1", "binds": binds, "by": approval.by, "until": NOW + approval.left})
        })
        .collect();
    serde_json::from_value(json!({"approvals": approvals}))
        .unwrap_or_else(|why| panic!("the rendered evidence does not parse: {why}"))
}

fn other(world: &World, approval: &Approval) -> Input {
    let mut other = world.clone();
    match (approval.by.len(), approval.left > 1, &world.asked) {
        (0, ..) => other.server = "elsewhere",
        (1, true, Asked::Tool(_)) => other.asked = Asked::Tool("another"),
        (1, true, Asked::Prompt(_)) => other.asked = Asked::Prompt("another"),
        (1, true, Asked::Resource(_)) => other.asked = Asked::Resource("file:///another"),
        (2, true, Asked::Tool(_)) if other.answers.is_empty() => other.answers = vec!["elicitation"],
        _ => other.arguments = Arguments::Object(vec![("another", "1")]),
    }
    input(&other)
}
