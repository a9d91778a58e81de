//! What is taken back between a decision and the wait for its answer is seen.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use remit_audit::note::{Signer, sign};
use remit_core::bundle::{Bundle, FeedPage, Versioned};
use remit_core::id::{RunId, ToolName, TrustDomain};
use remit_core::label::Label;
use remit_core::revoked::{Kind, Revocation};
use serde_json::json;

use super::*;
use crate::Config;
use crate::clock::Fixed;
use crate::flights::Sent;

const NOW: i64 = 1_795_250_400;
const AGENT: &str = "spiffe://acme.example/agent/support/triage/1";

fn domain() -> TrustDomain {
    TrustDomain::new("acme.example").unwrap()
}

fn root() -> Signer {
    Signer::from_seed("acme.example/root", &[7; 32]).unwrap()
}

/// A gateway that has loaded a bundle, in which the server and the agent are registered.
pub(crate) async fn gateway(home: &Path) -> Arc<Gateway> {
    let config = Config {
        home: home.to_owned(),
        trust_domain: domain(),
        instance: "gw1".into(),
        url: "https://gw.example".into(),
        authority: "http://127.0.0.1:9".into(),
        root: root().vkey().to_owned(),
        snapshot_age_max: Duration::from_mins(1),
        origins: vec![],
        calls_max: 4,
    };
    let gateway = Gateway::open(config, Arc::new(Fixed::at_ms(NOW * 1_000))).await.unwrap();
    let bundle: Bundle = serde_json::from_value(json!({
        "issuer": "https://as.example", "gateway": "https://gw.example", "keys": [],
        "servers": [{"name": "tickets", "environment": "production", "resources": false, "prompts": [], "tools": [],
            "upstream": {"transport": "http", "url": "https://up.example/mcp"}}],
        "agents": [{"id": AGENT, "purpose": "p", "tags": [], "tier": "light", "environment": "production", "needs": [],
            "calls_max": 9, "calls_per_minute_max": 9, "repeats_max": 9}],
        "floor": [], "teams": [],
    }))
    .unwrap();
    let note = sign(&Versioned::write(&domain(), 1, NOW + 3_600, &bundle).unwrap(), &root());
    gateway.snapshots.offer(&note, &gateway.recorder, NOW).await.unwrap();
    gateway
}

fn flight(gateway: &Arc<Gateway>, server: &ServerName) -> Flight {
    let claims: Claims = serde_json::from_value(json!({
        "ver": 1, "iss": "https://as.example", "aud": [], "exp": NOW + 900, "iat": NOW, "jti": "t", "sub": "p-1",
        "sub_profile": "user", "client_id": AGENT,
        "act": {"sub": format!("{AGENT}/r1"), "iss": "https://as.example", "sub_profile": "ai_agent"},
        "authorization_details": [], "task": {"id": "t", "purpose": "p", "why": "w"}, "run": "r1", "root": "r1",
        "root_at": 1, "root_until": NOW + 3_600, "gid": "g", "lin": [], "del_depth": 0, "del_max_depth": 0,
        "grant": {"until": NOW + 900, "by": "policy"},
    }))
    .unwrap();
    let sent = Sent { run: claims.run.clone(), server: server.clone(), id: None };
    Flight::new(Arc::clone(gateway), Arc::new(claims), 0, Label::FRESH, sent)
}

/// A page that says that nothing was taken back.
pub(crate) fn hear(gateway: &Gateway) {
    let page = FeedPage { seq: 0, at: NOW, entries: vec![] }.write(&domain()).unwrap();
    gateway.snapshots.apply(&sign(&page, &root())).unwrap();
}

fn revoke(gateway: &Gateway, seq: u64, kind: Kind, id: &str) {
    let entries = vec![Revocation { seq, kind, id: id.into(), at: NOW }];
    let page = FeedPage { seq, at: NOW, entries }.write(&domain()).unwrap();
    gateway.snapshots.apply(&sign(&page, &root())).unwrap();
}

/// Break: wait for the next change alone. The call was decided by a snapshot that says nothing of the revocation, and
/// the wait for its answer begins when the revocation is there already: no change comes after it.
#[tokio::test]
async fn what_was_taken_back_before_the_wait_began_ends_the_call() {
    let home = tempfile::tempdir().unwrap();
    let gateway = gateway(home.path()).await;
    let (server, action) = (ServerName::new("tickets").unwrap(), Action::CallTool(ToolName::new("read").unwrap()));
    let flight = flight(&gateway, &server);
    let halted = || gateway.halted(&flight, &server, &action).now_or_never();
    assert_eq!(halted(), None, "nothing ends it yet");
    revoke(&gateway, 1, Kind::Run, "another");
    assert_eq!(halted(), None, "what is taken back of others is nothing to it");
    revoke(&gateway, 2, Kind::Run, RunId::new("r1").unwrap().as_str());
    assert_eq!(halted(), Some(Status::Revoked));
}
