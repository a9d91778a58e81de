//! What is compared with what: needs, menus and ceilings.

use super::*;
use remit_core::id::{AgentId, GrantId, PrincipalId, RunId};

const GATEWAY: &str = "https://gw.example";

fn manifest() -> Manifest {
    Manifest::parse(
        r#"
        [agent]
        name = "triage"
        version = "1"
        team = "support"
        purpose = "sorts tickets"
        [harm]
        writes = true
        reversible = true
        autonomous = true
        [[need]]
        tool = "tickets/read_ticket"
        reason = "to read"
        longest = "15m"
        [[need]]
        tool = "tickets/hidden"
        reason = "to read"
        longest = "15m"
        [[need]]
        tool = "live/read"
        reason = "to read"
        longest = "15m"
        [[need]]
        tool = "docs/*"
        reason = "to read"
        longest = "5m"
        wildcard = true
        [[need]]
        prompt = "docs/greet"
        reason = "to read"
        longest = "5m"
        [[need]]
        prompt = "docs/hidden"
        reason = "to read"
        longest = "5m"
        [[need]]
        resource = "docs/file:///guide"
        reason = "to read"
        longest = "5m"
        [[need]]
        resource = "tickets/file:///all"
        reason = "to read"
        longest = "5m"
        [[need]]
        client = "docs/elicitation"
        reason = "it asks which chapter is meant"
        longest = "5m"
        [[need]]
        client = "tickets/elicitation"
        reason = "it asks"
        longest = "5m"
        "#,
    )
    .unwrap()
}

fn offers() -> BTreeMap<ServerName, Offer> {
    let offer = |environment, tools: &[&str]| Offer {
        environment,
        exposed: tools.iter().map(|t| ToolName::new(*t).unwrap()).collect(),
        prompts: vec![ToolName::new("greet").unwrap()],
        resources: tools == ["search"],
        features: if tools == ["search"] { [Feature::Elicitation].into() } else { BTreeSet::new() },
    };
    [
        ("tickets", offer(Environment::Staging, &["read_ticket", "delete_ticket"])),
        ("docs", offer(Environment::Staging, &["search"])),
        ("live", offer(Environment::Production, &["read"])),
    ]
    .map(|(name, offer)| (ServerName::new(name).unwrap(), offer))
    .into()
}

fn asked(tools: &[&str], duration: &str, why: &str) -> Asked {
    Asked {
        tools: tools.iter().map(ToString::to_string).collect(),
        constraints: vec![],
        duration: duration.into(),
        why: why.into(),
    }
}

fn ask(asked: &Asked) -> Result<Granted, Rejection> {
    grant(&manifest(), &offers(), GATEWAY, asked)
}

#[track_caller]
fn refused(tools: &[&str], duration: &str, why: &str, code: Code, says: &str) {
    let rejection = ask(&asked(tools, duration, why)).unwrap_err();
    assert_eq!(rejection.code, code, "{rejection}");
    let whole = format!("{} {}", rejection.message, rejection.help);
    assert!(whole.contains(says), "{whole}");
}

#[test]
fn no_scope_without_a_reason_an_end_and_a_declared_need() {
    let read = ["tickets/read_ticket"];
    refused(&read, "15m", " ", Code::GrantIncomplete, "--why");
    refused(&read, "", "x", Code::GrantIncomplete, "--for 15m");
    refused(&read, "0m", "x", Code::GrantIncomplete, "--for 15m");
    refused(&[], "15m", "x", Code::GrantIncomplete, "SERVER/TOOL");
    refused(&read, "16m", "x", Code::GrantIncomplete, "at most 15m");
    refused(
        &["tickets/read_ticket", "tickets/delete_ticket"],
        "10m",
        "clean \"up\"",
        Code::ScopeUndeclared,
        "[[need]]\ntool = \"tickets/delete_ticket\"\nreason = 'clean \"up\"'\nlongest = \"10m\"\n",
    );
    refused(&["tickets/hidden"], "5m", "x", Code::Unknown, "remit server show tickets");
    refused(&["live/read"], "5m", "x", Code::PolicyForbid, "of production");
    refused(&["docs/../x"], "5m", "x", Code::Unknown, "docs/../x");
    refused(&["Docs/x"], "5m", "x", Code::RequestInvalid, "Docs");
}

#[test]
fn a_wildcard_is_an_exception_of_the_manifest_and_is_marked() {
    let granted = ask(&asked(&["docs/*"], "5m", "x")).unwrap();
    assert!(granted.wildcard);
    assert!(granted.details[0].tools.contains_key(WILDCARD));
    assert!(!ask(&asked(&["docs/search"], "5m", "x")).unwrap().wildcard);
    refused(&["tickets/*"], "5m", "x", Code::ScopeUndeclared, "wildcard = true");
    refused(&["docs/*"], "6m", "x", Code::GrantIncomplete, "at most 5m");
}

#[test]
fn prompts_and_resources_are_granted_one_by_one() {
    let mut request = asked(&["docs/search", "prompt:docs/greet", "resource:docs/file:///guide"], "5m", "x");
    request.constraints = vec![with("who", Some("prompt:docs/greet"), r#"{"constraint_type":"exact","value":"ada"}"#)];
    let granted = ask(&request).unwrap();
    let [docs] = granted.details.as_slice() else { panic!("one server") };
    assert!(!granted.wildcard && docs.tools["search"].is_empty() && docs.prompts["greet"].contains_key("who"));
    assert_eq!(docs.covers_resource("file:///guide"), Ok(()));
    assert!(docs.covers_resource("file:///guide/../secret").is_err() && docs.covers_resource("file:///").is_err());
    // A wildcard of tools is none of resources; what is declared is not what is exposed.
    let undeclared = "[[need]]\nresource = \"docs/file:///other\"\nreason = \"x\"\nlongest = \"5m\"\n";
    refused(&["resource:docs/file:///other"], "5m", "x", Code::ScopeUndeclared, undeclared);
    refused(&["resource:docs/*"], "5m", "x", Code::ScopeUndeclared, "wildcard = true");
    refused(&["prompt:docs/other"], "5m", "x", Code::ScopeUndeclared, "prompt = \"docs/other\"");
    refused(&["prompt:docs/hidden"], "5m", "x", Code::Unknown, "not exposed");
    refused(&["resource:tickets/file:///all"], "5m", "x", Code::Unknown, "not exposed");
    refused(&["prompt:docs/greet"], "6m", "x", Code::GrantIncomplete, "at most 5m");
    let alone = Asked {
        constraints: vec![with("x", None, r#"{"constraint_type":"wildcard"}"#)],
        ..asked(&["resource:docs/file:///guide"], "5m", "x")
    };
    assert_eq!(ask(&alone).unwrap_err().code, Code::RequestInvalid);
}

#[test]
fn features_of_the_client_are_granted_one_by_one() {
    let granted = ask(&asked(&["docs/search", "client:docs/elicitation"], "5m", "x")).unwrap();
    let [docs] = granted.details.as_slice() else { panic!("one server") };
    assert_eq!(docs.covers_feature(Feature::Elicitation), Ok(()));
    assert!(docs.covers_feature(Feature::Sampling).is_err());
    assert!(ask(&asked(&["docs/search"], "5m", "x")).unwrap().details[0].features.is_empty());
    refused(&["client:docs/sampling"], "5m", "x", Code::ScopeUndeclared, "client = \"docs/sampling\"");
    refused(&["client:tickets/elicitation"], "5m", "x", Code::Unknown, "not exposed");
}

fn with(argument: &str, tool: Option<&str>, constraint: &str) -> Where {
    Where {
        tool: tool.map(ToOwned::to_owned),
        argument: argument.into(),
        constraint: serde_json::from_str(constraint).unwrap(),
    }
}

#[test]
fn constraints_reach_the_tools_that_they_name() {
    let mut request = asked(&["tickets/read_ticket", "docs/search"], "5m", "x");
    request.constraints = vec![
        with("id", Some("tickets/read_ticket"), r#"{"constraint_type":"range","min":1}"#),
        with("id", Some("tickets/read_ticket"), r#"{"constraint_type":"range","max":9}"#),
    ];
    let granted = ask(&request).unwrap();
    let [docs, tickets] = granted.details.as_slice() else { panic!("two servers") };
    assert_eq!(tickets.locations, ["https://gw.example/mcp/tickets"]);
    assert!(docs.tools["search"].is_empty());
    assert!(matches!(&tickets.tools["read_ticket"]["id"], Constraint::All { constraints } if constraints.len() == 2));
    request.constraints = vec![with("id", Some("tickets/other"), r#"{"constraint_type":"wildcard"}"#)];
    assert_eq!(ask(&request).unwrap_err().code, Code::RequestInvalid);
    request.constraints = vec![with("id", None, r#"{"constraint_type":"range"}"#)];
    assert_eq!(ask(&request).unwrap_err().code, Code::RequestInvalid);
}

#[test]
fn a_run_never_leaves_its_ceiling() {
    let mut wide = asked(&["tickets/read_ticket"], "10m", "x");
    wide.constraints = vec![with("id", None, r#"{"constraint_type":"range","max":9}"#)];
    let ceiling = Grant {
        id: GrantId::new("g").unwrap(),
        run: RunId::new("r").unwrap(),
        root: RunId::new("r").unwrap(),
        agent: AgentId::parse("spiffe://acme.example/agent/support/triage/1").unwrap(),
        principal: PrincipalId::new("p").unwrap(),
        details: ask(&wide).unwrap().details,
        why: "x".into(),
        until: 1_600,
        by: "policy".into(),
        ceiling: true,
        wildcard: false,
        ask: None,
        took_us: None,
        at: 1_000,
    };
    let check = |asked: &Asked| narrow(&ceiling, &ask(asked).unwrap(), 1_000);
    assert_eq!(check(&wide), Ok(1_600));
    let mut narrower = wide.clone();
    narrower.constraints = vec![with("id", None, r#"{"constraint_type":"exact","value":4}"#)];
    assert_eq!(check(&narrower), Ok(1_600));
    for wider in [
        asked(&["tickets/read_ticket"], "10m", "x"),
        asked(&["docs/search"], "5m", "x"),
        asked(&["prompt:docs/greet"], "5m", "x"),
        asked(&["resource:docs/file:///guide"], "5m", "x"),
        Asked { duration: "11m".into(), ..wide.clone() },
        Asked { constraints: vec![with("id", None, r#"{"constraint_type":"range","max":10}"#)], ..wide.clone() },
    ] {
        assert_eq!(check(&wider).unwrap_err().code, Code::InsufficientScope, "{wider:?}");
    }
}
