//! Links that hold and links that do not, one change at a time.

mod names;
mod never_wider;

use std::sync::Arc;

use super::*;
use crate::bundle::{Bundle, Versioned};
use crate::claims::TEXT_BYTES_MAX;
use crate::id::TrustDomain;
use crate::identify::{Caller, identify};
use crate::input::{Credential, Input, Presented, Token};
use crate::jws::Jwk;
use crate::policy::compile;
use crate::rejection::Code;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

const NOW: i64 = 1_795_250_400;
const TRIAGE: &str = "spiffe://acme.example/agent/support/triage/1";
const READER: &str = "spiffe://acme.example/agent/support/reader/2";
const WRITER: &str = "spiffe://acme.example/agent/support/writer/3";
const TICKETS: &str = "https://gw.example/mcp/tickets";
/// Seeds of keys.
const AUTHORITY: u8 = 1;
const PARENT: u8 = 2;
const CHILD: u8 = 3;
const GRANDCHILD: u8 = 4;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn jwk(seed: u8) -> Jwk {
    Jwk::ed25519(pair(seed).public_key().as_ref(), None)
}

fn jkt(seed: u8) -> String {
    jwk(seed).thumbprint()
}

fn jws(header: &Value, payload: &Value, seed: u8) -> String {
    let input = format!("{}.{}", b64(header.to_string().as_bytes()), b64(payload.to_string().as_bytes()));
    format!("{input}.{}", b64(pair(seed).sign(input.as_bytes()).as_ref()))
}

/// A bundle in which these may be handed to the reader.
fn bundle(offline: &Value) -> Compiled {
    let agent = |id: &str, offline: &Value| {
        json!({"id": id, "purpose": format!("purpose of {id}"), "tier": "medium", "environment": "production",
            "offline": offline, "calls_max": 100, "calls_per_minute_max": 10, "repeats_max": 3})
    };
    let everything = json!([{"target": "tickets/*", "seconds": 9_999, "until": NOW + 9_999}]);
    let bundle: Bundle = serde_json::from_value(json!({
        "issuer": "https://as.example", "gateway": "https://gw.example", "servers": [], "floor": [], "teams": [],
        "keys": [Jwk { kid: Some("k1".into()), ..jwk(AUTHORITY) }],
        "agents": [agent(TRIAGE, &json!([])), agent(READER, offline), agent(WRITER, &everything)],
    }))
    .unwrap();
    let versioned = Versioned { version: 1, not_after: NOW + 9_999, digest: [0; 32], bundle };
    compile(versioned, TrustDomain::new("acme.example").unwrap()).unwrap()
}

/// One in which the reader may have all that the tests hand on.
fn open() -> Compiled {
    bundle(&json!([{"target": "tickets/*", "seconds": 900, "until": NOW + 9_999}]))
}

fn details(tools: &Value) -> Value {
    json!([{"type": "mcp_tools", "locations": [TICKETS], "tools": tools}])
}

/// Claims of the run that hands on.
fn parent() -> Value {
    let pay = json!({"amount": {"constraint_type": "range", "max": 100}});
    json!({
        "ver": 1, "iss": "https://as.example", "aud": [TICKETS], "exp": NOW + 600, "iat": NOW - 5, "jti": "t-1",
        "sub": "p-1", "sub_profile": "user", "name": "Ada", "client_id": TRIAGE, "cnf": {"jkt": jkt(PARENT)},
        "act": {"sub": format!("{TRIAGE}/r-1"), "iss": "https://as.example", "sub_profile": "ai_agent client_instance"},
        "authorization_details": details(&json!({"read": {}, "pay": pay})),
        "task": {"id": "g-1", "purpose": "sorts tickets", "why": "a person said so"}, "run": "r-1", "root": "r-1",
        "root_at": NOW - 60, "root_until": NOW + 3_600, "gid": "g-1", "via": ["t-0"], "del_depth": 0, "del_max_depth": 3,
        "grant": {"until": NOW + 3_000, "by": "policy"}, "path": "golden",
    })
}

fn token(claims: &Value) -> String {
    jws(&json!({"typ": "at+jwt", "alg": "EdDSA", "kid": "k1"}), claims, AUTHORITY)
}

/// Header and payload of a link, before anything is changed.
fn lawful(before: &str, depth: u32, signer: u8, heir: u8, agent: &str) -> (Value, Value) {
    let header = json!({"typ": LINK_TYPE, "alg": "EdDSA", "jwk": jwk(signer)});
    let payload = json!({
        "iss": format!("{THUMBPRINT_URN}{}", jkt(signer)), "act": {"sub": agent}, "iat": NOW, "exp": NOW + 300,
        "par_hash": b64(&sha256(&[signed(before).unwrap().as_bytes()])), "cnf": {"jkt": jkt(heir)},
        "authorization_details": details(&json!({"read": {}})), "del_depth": depth, "del_max_depth": 3,
        "why": "the reader looks",
    });
    (header, payload)
}

fn link(before: &str, depth: u32, signer: u8, heir: u8, agent: &str) -> String {
    let (header, payload) = lawful(before, depth, signer, heir, agent);
    jws(&header, &payload, signer)
}

/// Puts members in the place of others; `null` takes one away.
fn change(whole: &mut Value, changes: &Value) {
    let members = whole.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        members.remove(name);
        if !value.is_null() {
            members.insert(name.clone(), value.clone());
        }
    }
}

/// A token with one link that was changed.
fn changed(claims: &Value, header: &Value, payload: &Value) -> String {
    let token = token(claims);
    let mut link = lawful(&token, 1, PARENT, CHILD, READER);
    change(&mut link.0, header);
    change(&mut link.1, payload);
    format!("{token}~{}", jws(&link.0, &link.1, PARENT))
}

fn chain() -> String {
    changed(&parent(), &json!({}), &json!({}))
}

fn claims(text: &str) -> Arc<Claims> {
    Arc::clone(verify(&open(), text).expect("a chain that holds").claims())
}

/// Break: leave anything of the child's identity to its parent's claims, or to whoever signed.
#[test]
fn a_link_makes_a_principal_of_its_own_below_the_same_root() {
    let child = claims(&chain());
    assert!(is_linked(child.run.as_str()) && is_linked(&child.jti) && child.jti != child.run.as_str());
    assert_eq!((child.client_id.to_string(), &child.act.sub.run), (READER.to_owned(), &child.run));
    assert_eq!(child.act.iss, format!("{THUMBPRINT_URN}{}", jkt(PARENT)));
    let lineage: Vec<String> = child.lineage().map(ToString::to_string).collect();
    assert_eq!(lineage, [format!("{READER}/{}", child.run), format!("{TRIAGE}/r-1")]);
    assert_eq!(
        (&child.lin, &child.via, &child.lin_jkt),
        (&vec!["t-1".into()], &vec!["t-0".into()], &vec![jkt(PARENT)])
    );
    assert_eq!((child.root.as_str(), child.gid.as_str(), child.sub.as_str()), ("r-1", "g-1", "p-1"));
    assert_eq!((child.root_at, child.root_until), (NOW - 60, NOW + 3_600));
    assert_eq!((child.exp, child.grant.until, child.del_depth, child.del_max_depth), (NOW + 300, NOW + 300, 1, 3));
    assert_eq!((child.task.why.as_str(), child.task.trust), ("the reader looks", Trust::Untrusted));
    assert_eq!((child.task.purpose.as_str(), child.path.as_deref()), (&*format!("purpose of {READER}"), None));
    assert_eq!(child.cnf.as_ref().unwrap().jkt, jkt(CHILD));
    assert!(child.coherent());
    // A token alone is what it always was.
    assert_eq!(claims(&token(&parent())).lin_jkt, Vec::<String>::new());
}

#[track_caller]
fn refused(claims: &Value, header: &Value, payload: &Value) {
    let text = changed(claims, header, payload);
    assert!(verify(&open(), &text).is_none(), "{header} {payload}");
}

/// Break: any one condition on what a link says.
#[test]
fn a_link_that_says_anything_wrong_is_nothing() {
    assert!(verify(&open(), &chain()).is_some());
    let one = |detail: Value| json!({"authorization_details": [detail]});
    let tools = |tools: Value| json!({"authorization_details": details(&tools)});
    for payload in [
        json!({"iss": format!("{THUMBPRINT_URN}{}", jkt(CHILD))}),
        json!({"iss": "https://as.example"}),
        json!({"act": {"sub": "spiffe://other.example/agent/support/reader/2"}}),
        json!({"act": {"sub": format!("{READER}/r-9")}}),
        json!({"act": {"sub": READER, "act": {"sub": TRIAGE}}}),
        json!({"exp": NOW + 601}),
        json!({"exp": NOW - 5}),
        json!({"exp": null}),
        json!({"iat": NOW + 300}),
        json!({"par_hash": b64(&[0; 32])}),
        json!({"par_hash": null}),
        json!({"cnf": {"jkt": jkt(PARENT)}}),
        json!({"cnf": {"jkt": "key"}}),
        json!({"cnf": null}),
        json!({"del_depth": 0}),
        json!({"del_depth": 2}),
        json!({"del_max_depth": 0}),
        json!({"del_max_depth": 4}),
        json!({"why": " "}),
        json!({"why": "x".repeat(TEXT_BYTES_MAX + 1)}),
        json!({"aud": [TICKETS]}),
        json!({"authorization_details": []}),
        json!({"authorization_details": vec![details(&json!({"read": {}}))[0].clone(); LINK_DETAILS_MAX + 1]}),
        tools(json!({"write": {}})),
        tools(json!({"*": {}})),
        tools(json!({"pay": {}})),
        tools(json!({"pay": {"amount": {"constraint_type": "range", "max": 101}}})),
        one(json!({"type": "mcp_tools", "locations": ["https://gw.example/mcp/bank"], "tools": {"read": {}}})),
        one(json!({"type": "mcp_tools", "locations": [TICKETS], "prompts": {"hi": {}}})),
        one(json!({"type": "mcp_tools", "locations": [TICKETS], "features": ["sampling"]})),
        one(json!({"type": "other", "locations": [TICKETS], "tools": {"read": {}}})),
    ] {
        refused(&parent(), &json!({}), &payload);
    }
    let early = changed(&parent(), &json!({}), &json!({"iat": NOW - 100}));
    assert_eq!(claims(&early).iat, NOW - 5, "not before the token itself");
}

/// Break: take another JWS of the same key for a link, or a link of whoever sends it; hand on what is bound to no key.
#[test]
fn only_the_key_of_the_token_hands_it_on() {
    for header in [
        json!({"typ": "dpop+jwt"}),
        json!({"typ": "at+jwt"}),
        json!({"typ": null}),
        json!({"kid": "k1"}),
        json!({"jwk": null}),
        json!({"jwk": jwk(CHILD)}),
        json!({"alg": "none"}),
        json!({"alg": "ES256"}),
    ] {
        refused(&parent(), &header, &json!({}));
    }
    // Whoever has seen the token signs, in the name of its key.
    let token = token(&parent());
    let (header, mut payload) = lawful(&token, 1, GRANDCHILD, CHILD, READER);
    payload["iss"] = format!("{THUMBPRINT_URN}{}", jkt(PARENT)).into();
    assert!(verify(&open(), &format!("{token}~{}", jws(&header, &payload, GRANDCHILD))).is_none());
    for changes in [
        json!({"cnf": null}),
        json!({"cnf": {"jkt": jkt(GRANDCHILD)}}),
        json!({"aud": ["https://gw.example/mcp/bank"]}),
    ] {
        let mut claims = parent();
        change(&mut claims, &changes);
        refused(&claims, &json!({}), &json!({}));
    }
}

/// Break: look at the signature of the last link alone, or at each without what it names as the one before.
#[test]
fn a_chain_is_whole_or_nothing() {
    let token = token(&parent());
    let first = link(&token, 1, PARENT, CHILD, READER);
    let second = link(&first, 2, CHILD, GRANDCHILD, WRITER);
    let whole = format!("{token}~{first}~{second}");
    let leaf = claims(&whole);
    assert_eq!((leaf.del_depth, leaf.lineage().count(), leaf.lin.len()), (2, 3, 2));
    assert_eq!(leaf.lin_jkt, [jkt(PARENT), jkt(CHILD)]);
    let unsigned = second.rsplit_once('.').unwrap().0;
    let again = link(&second, 3, GRANDCHILD, CHILD, READER);
    let stranger = link(&token, 1, GRANDCHILD, CHILD, READER);
    let deeper = link(&token, 2, PARENT, CHILD, READER);
    let not_deeper = link(&deeper, 2, CHILD, GRANDCHILD, WRITER);
    for broken in [
        format!("{token}~{second}"),
        format!("{token}~{second}~{first}"),
        format!("{token}~{first}~{first}"),
        format!("{first}~{second}"),
        format!("{token}~{first}~{second}~"),
        format!("{token}~~{first}"),
        format!("~{token}~{first}"),
        format!("{token}~{first}~{unsigned}.{}", b64(&[0; 64])),
        format!("{token}~{stranger}"),
        format!("{token}~{deeper}~{not_deeper}"),
        // A key that is already above it.
        format!("{whole}~{again}"),
    ] {
        assert!(verify(&open(), &broken).is_none(), "{broken}");
    }
    assert!(identify::verify(&open().versioned.bundle.keys, &whole).is_none(), "which takes no chains");
}

/// Break: accept one link more than the token allows, or let a link raise that.
#[test]
fn what_is_too_deep_is_refused_and_not_cut() {
    let deepest = |most: u32| {
        let mut claims = parent();
        (claims["del_max_depth"], claims["cnf"]) = (most.into(), json!({"jkt": jkt(10)}));
        let (mut text, mut before) = (token(&claims), token(&claims));
        let mut accepted = 0;
        for depth in 1..=9_u8 {
            let (header, mut payload) = lawful(&before, depth.into(), 9 + depth, 10 + depth, WRITER);
            payload["del_max_depth"] = most.into();
            before = jws(&header, &payload, 9 + depth);
            text = format!("{text}~{before}");
            accepted += u32::from(verify(&open(), &text).is_some());
        }
        accepted
    };
    assert_eq!([0, 1, 3, 8].map(deepest), [0, 1, 3, 8]);
}

/// Break: read links and chains of any length.
#[test]
fn what_is_too_long_is_not_looked_at() {
    let of =
        |bytes: usize| changed(&parent(), &json!({}), &json!({"why": "w", "authorization_details": padded(bytes)}));
    let link = |text: &str| text.split_once(SEPARATOR).unwrap().1.len();
    let fits = (0..LINK_BYTES_MAX).rev().step_by(64).map(of).find(|text| link(text) <= LINK_BYTES_MAX).unwrap();
    assert!(link(&fits) + 128 > LINK_BYTES_MAX && verify(&open(), &fits).is_some());
    assert!(verify(&open(), &of(LINK_BYTES_MAX)).is_none());
}

/// Details with a constraint that makes them long.
fn padded(bytes: usize) -> Value {
    let value = "x".repeat(bytes);
    details(&json!({"read": {"id": {"constraint_type": "exact", "value": value}}}))
}

fn judged(bundle: &Compiled, text: &str, now: i64) -> Result<String, Code> {
    let claims = Arc::clone(verify(bundle, text).unwrap().claims());
    let mut input: Input = serde_json::from_value(json!({
        "now": now, "presented": "nothing", "facts": {"revoked": null, "locked": false, "drifted": false},
        "server": "tickets", "action": {"call_tool": "read"}, "arguments": "{}",
        "state": {"label": {"trust": "verified", "sensitivity": "public"}, "calls": 1, "calls_in_minute": 1,
            "repeats": 1, "spend": 0},
    }))
    .unwrap();
    input.presented = Presented::Token(Token { claims, credential: Credential::Dpop });
    match identify(bundle, &input) {
        Caller::Known(claims, _) => Ok(claims.client_id.to_string()),
        Caller::Unknown(code) => Err(code),
    }
}

fn offline(target: &str, seconds: i64, until: i64) -> Value {
    json!({"target": target, "seconds": seconds, "until": NOW + until})
}

/// Break: let an agent begin by a link because it is registered, or for longer than it needs anything.
#[test]
fn an_agent_gets_by_a_link_what_its_manifest_lets_it_have_by_one() {
    let code = |offline: &Value| judged(&bundle(offline), &chain(), NOW);
    assert_eq!(code(&json!([offline("tickets/read", 300, 1)])), Ok(READER.to_owned()));
    assert_eq!(code(&json!([offline("tickets/*", 300, 1)])), Ok(READER.to_owned()));
    for offline in [
        json!([]),
        json!([offline("tickets/write", 300, 1)]),
        json!([offline("bank/read", 300, 1)]),
        json!([offline("prompt:tickets/read", 300, 1)]),
        json!([offline("tickets/read", 299, 1)]),
        json!([offline("tickets/read", 300, 0)]),
        // The exact need counts, and not the wildcard beside it.
        json!([offline("tickets/*", 900, 900), offline("tickets/read", 60, 900)]),
    ] {
        assert_eq!(code(&offline), Err(Code::ScopeUndeclared), "{offline}");
    }
    let nothing = changed(&parent(), &json!({}), &json!({"authorization_details": details(&json!({}))}));
    assert_eq!(judged(&open(), &nothing, NOW), Err(Code::ScopeUndeclared), "what names nothing is no grant");
}

/// Break: ask the last of a chain alone, or let one be used before or after its time.
#[test]
fn whoever_is_between_counts_too_and_so_does_the_time() {
    let token = token(&parent());
    let first = link(&token, 1, PARENT, CHILD, READER);
    let leaf = format!("{token}~{first}~{}", link(&first, 2, CHILD, GRANDCHILD, WRITER));
    assert_eq!(judged(&open(), &leaf, NOW), Ok(WRITER.to_owned()));
    assert_eq!(judged(&bundle(&json!([])), &leaf, NOW), Err(Code::ScopeUndeclared));
    let nobody = json!({"act": {"sub": "spiffe://acme.example/agent/support/nobody/1"}});
    let nobody = changed(&parent(), &json!({}), &nobody);
    assert_eq!(judged(&open(), &nobody, NOW), Err(Code::AgentUnregistered));
    assert_eq!(judged(&open(), &chain(), NOW + 299), Ok(READER.to_owned()));
    assert_eq!(judged(&open(), &chain(), NOW + 300), Err(Code::TokenExpired));
    let later = changed(&parent(), &json!({}), &json!({"iat": NOW + 61}));
    assert_eq!(judged(&open(), &later, NOW), Err(Code::TokenInvalid));
}
