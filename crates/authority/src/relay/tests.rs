//! What no client can ask for by any socket.

use std::sync::Arc;

use remit_core::id::{RunId, ServerName, ToolName, TrustDomain};
use remit_core::registry::{Environment, Upstream};
use remit_core::rejection::Code;

use super::value::Of;
use crate::authority::{Authority, State};
use crate::config::{Clock, Config};
use crate::error::AuthorityError;
use crate::grant::Asked;
use crate::signing::PrivateKey;
use crate::socket::wire::{AddServer, Request};

const NOW: i64 = 1_795_250_400;
const MANIFEST: &str = r#"
[agent]
name = "triage"
version = "1"
team = "support"
purpose = "sorts tickets"
[harm]
writes = false
reversible = true
autonomous = true
[[need]]
tool = "tickets/read"
reason = "to read"
longest = "1h"
"#;

/// An authority with a server and an agent.
fn world(dir: &std::path::Path) -> Arc<State> {
    let mut config = Config::new(TrustDomain::new("acme.example").unwrap(), "https://as.example", "https://gw.example");
    config.clock = Clock::stopped(NOW);
    let state = Authority::open(dir, config).unwrap().state;
    let by = state.principal(&mut state.core(), "ada").unwrap();
    let add = AddServer {
        name: ServerName::new("tickets").unwrap(),
        environment: Environment::Staging,
        owner: None,
        upstream: Upstream::Http { url: "http://127.0.0.1:1/mcp".into() },
        list: r#"{"tools":[{"name":"read","inputSchema":{"type":"object"}}]}"#.into(),
        expose: vec![ToolName::new("read").unwrap()],
        overrides: std::collections::BTreeMap::new(),
        prompts: vec![],
        resources: false,
        features: std::collections::BTreeSet::new(),
        oauth: None,
    };
    state.add_server(&add, &[], None, &by).unwrap();
    let (record, _) = state.review(MANIFEST).unwrap();
    state.register(record, &by).unwrap();
    state
}

/// Begins a run that brings its own key, or one whose key is kept here.
fn begin(state: &Arc<State>, key: Option<&PrivateKey>) -> RunId {
    let asked =
        Asked { tools: vec!["tickets/read".into()], constraints: vec![], duration: "10m".into(), why: "x".into() };
    let request = Request {
        agent: "support/triage".into(),
        asked,
        principal: None,
        pid: None,
        key: key.map(|key| key.public().clone()),
        golden: false,
    };
    state.launch(&request, "ada", None).unwrap().run.id
}

fn refused<T>(result: Result<T, AuthorityError>, code: Code) {
    match result {
        Err(AuthorityError::Refused(rejection)) => assert_eq!(rejection.code, code, "{rejection}"),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// Break: make a key for whoever has none here.
#[tokio::test]
async fn a_run_that_brought_its_own_key_is_given_no_other_and_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let state = world(dir.path());
    state.relay.at(([127, 0, 0, 1], 1).into());
    let (own, _) = PrivateKey::generate().unwrap();
    let (outside, kept) = (begin(&state, Some(&own)), begin(&state, None));
    let server = ServerName::new("tickets").unwrap();
    let size = || state.core().journal.log().size();
    let before = size();
    refused(state.relay_value(&outside, &server, None, true), Code::RequestInvalid);
    // Not even with a value that nobody gave it.
    let of = Of { run: outside, server: server.clone(), grant: None };
    refused(state.prove_for(&of, "POST"), Code::RequestInvalid);
    assert_eq!(size(), before, "no key was made, and no token");
    assert!(state.relay_value(&kept, &server, None, true).unwrap().value.is_some());
    assert_eq!(size(), before + 1);
}

/// Break: look whether a token is good at its minting alone.
#[tokio::test]
async fn a_token_in_use_is_dropped_with_its_run_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let state = world(dir.path());
    let run = begin(&state, None);
    let of = Of { run: run.clone(), server: ServerName::new("tickets").unwrap(), grant: None };
    let first = state.prove_for(&of, "POST").unwrap();
    let second = state.prove_for(&of, "GET").unwrap();
    assert!(first.token == second.token && first.proof != second.proof);
    state.end(&mut state.core(), &run).unwrap();
    refused(state.prove_for(&of, "POST"), Code::TokenExpired);
}
