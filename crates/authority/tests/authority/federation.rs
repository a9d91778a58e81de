//! Assertions of other issuers as grants: workloads of CI systems and trust domains, and people by an identity provider's
//! word; and what forgers make of them.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{hmac, signature};
use remit_authority::issuer::{self, KeySource};
use remit_authority::socket::client::ClientError;
use remit_authority::socket::wire::{AddIssuer, AdminAsk, Status};
use remit_core::claims::Claims;
use remit_core::hash::b64;
use remit_core::rejection::Code;
use serde_json::{Value, json};

use super::common::{ISSUER, Key, MANIFEST, NOW, PIN, World};
use super::http::{bundle, claims};

pub(crate) const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(crate) const TICKETS: &str = "https://gw.example/mcp/tickets";
const TOKEN_URL: &str = "https://as.example/token";
pub(crate) const CI: &str = "https://ci.example";
pub(crate) const IDP: &str = "https://idp.example";
const DOMAIN: &str = "spiffe://workloads.example";
const CI_RULES: &str = "[[rule]]\nagent = \"support/desk\"\nclaims = { repository = \"acme/api\", ref = \"main\" }\n";

/// Slow to make, so there is one for all tests.
static RSA: LazyLock<RsaKeyPair> = LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
static EC: LazyLock<EcdsaKeyPair> = LazyLock::new(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap());

/// The keys of an issuer, as it publishes them.
pub(crate) fn jwks(usage: &str) -> Value {
    // RSAPublicKey of RFC 8017: a modulus of 256 bytes behind a head of nine, and 65537.
    let modulus = &RSA.public_key().as_ref()[9..265];
    let point = EC.public_key().as_ref();
    let mut ed = serde_json::to_value(&Key::new(7).public).unwrap();
    ed["kid"] = "ed".into();
    let mut keys = vec![
        json!({"kty": "RSA", "kid": "rsa", "alg": "RS256", "n": b64(modulus), "e": "AQAB", "x5t": "x"}),
        json!({"kty": "EC", "crv": "P-256", "kid": "ec", "x": b64(&point[1..33]), "y": b64(&point[33..])}),
        ed,
    ];
    for key in &mut keys {
        key["use"] = usage.into();
    }
    keys.push(json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}));
    keys.push(json!({"kty": "EC", "crv": "P-521", "kid": "big", "x": "AA", "y": "AA"}));
    json!({ "keys": keys })
}

/// A token, signed with the algorithm that its header names; what it names that is none of ours, with the RSA key.
pub(crate) fn sign(header: &Value, payload: &Value) -> String {
    let input = format!("{}.{}", b64(header.to_string().as_bytes()), b64(payload.to_string().as_bytes()));
    let random = SystemRandom::new();
    let signature = match header["alg"].as_str().unwrap() {
        "EdDSA" | "Ed25519" => return Key::new(7).sign(header, payload),
        "ES256" => EC.sign(&random, input.as_bytes()).unwrap().as_ref().to_vec(),
        "none" => Vec::new(),
        // What a verifier accepts that takes the published key for a shared secret.
        "HS256" => {
            let text = jwks("sig")["keys"][0].to_string();
            let key = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
            hmac::sign(&key, input.as_bytes()).as_ref().to_vec()
        }
        _ => {
            let mut signature = vec![0; RSA.public_modulus_len()];
            RSA.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).unwrap();
            signature
        }
    };
    format!("{input}.{}", b64(&signature))
}

pub(crate) fn merged(mut whole: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(whole.as_object_mut().unwrap().remove(name)),
            value => whole[name] = value.clone(),
        }
    }
    whole
}

/// The token of a CI job.
pub(crate) fn job(header: &Value, payload: &Value) -> String {
    let whole = json!({"iss": CI, "sub": "repo:acme/api", "aud": ISSUER, "iat": NOW, "exp": NOW + 300, "jti": "job-1",
        "repository": "acme/api", "ref": "main"});
    sign(&merged(json!({"alg": "RS256", "typ": "JWT", "kid": "rsa"}), header), &merged(whole, payload))
}

/// An identity provider's word for a person and a client.
pub(crate) fn word(header: &Value, payload: &Value) -> String {
    let whole = json!({"iss": IDP, "sub": "ada", "aud": ISSUER, "iat": NOW, "exp": NOW + 300, "jti": "word-1",
        "client_id": "support/desk", "resource": TICKETS, "name": "Ada Example"});
    sign(&merged(json!({"alg": "ES256", "typ": "oauth-id-jag+jwt", "kid": "ec"}), header), &merged(whole, payload))
}

/// A JWT-SVID.
fn svid(header: &Value, payload: &Value) -> String {
    let whole = json!({"sub": format!("{DOMAIN}/ci/runner"), "aud": [ISSUER], "iat": NOW, "exp": NOW + 300});
    sign(&merged(json!({"alg": "EdDSA", "kid": "ed"}), header), &merged(whole, payload))
}

pub(crate) fn issuer(url: &str, kind: issuer::Kind, rules: &str, keys: KeySource) -> AddIssuer {
    AddIssuer {
        url: url.into(),
        kind,
        audiences: vec![],
        algorithms: vec![],
        keys,
        rules: issuer::Rules::parse(rules).unwrap(),
        client: None,
        scopes: vec![],
    }
}

pub(crate) async fn trust(world: &World, add: AddIssuer) -> Result<Value, ClientError> {
    world.admin_pin(AdminAsk::AddIssuer(Box::new(add)), Some(PIN)).await
}

/// An authority that trusts one issuer of each kind by given keys, and an agent whose clients need no key of their own.
pub(crate) async fn world() -> World {
    let world = World::start().await;
    world.furnish().await;
    let bearer = MANIFEST.replace("\"triage\"", "\"desk\"").replace("purpose", "bearer = true\npurpose");
    let ask = AdminAsk::RegisterAgent { manifest: bearer };
    let _registered: Value = world.admin_pin(ask, Some(PIN)).await.unwrap();
    let given = |usage| KeySource::Given(jwks(usage).to_string());
    let runner = format!(
        "[[rule]]\nagent = \"support/desk\"\nprincipal = \"ci\"\nclaims = {{ sub = \"{DOMAIN}/ci/runner\" }}\n"
    );
    for (url, kind, rules, usage) in [
        (CI, issuer::Kind::Workload, CI_RULES, "sig"),
        (IDP, issuer::Kind::People, "", "sig"),
        (DOMAIN, issuer::Kind::Spiffe, &runner, "jwt-svid"),
    ] {
        trust(&world, issuer(url, kind, rules, given(usage))).await.unwrap();
    }
    world
}

pub(crate) async fn show(world: &World, assertion: &str, more: &[(&str, &str)], proof: Option<&str>) -> (u16, Value) {
    let mut form = vec![("grant_type", GRANT), ("assertion", assertion), ("resource", TICKETS)];
    for (name, value) in more {
        form.retain(|(known, _)| known != name);
        form.push((name, value));
    }
    world.token(&form, proof).await
}

pub(crate) async fn said(world: &World, given: &Value) -> Claims {
    claims(&bundle(world).await, given["access_token"].as_str().unwrap())
}

/// Whether the authority's log says this. Its files move while they are read, so it is looked at again.
pub(crate) async fn logged(world: &World, words: &str) -> bool {
    let dir = world.path("log");
    let says = || {
        let all = super::login::walk(&dir);
        all.iter().any(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).contains(words))
    };
    for _ in 0..50 {
        if says() {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    false
}

/// Entries of the authority's log.
pub(crate) async fn entries(world: &World) -> u64 {
    world.admin::<Status>(AdminAsk::Status {}).await.unwrap().log_size
}

/// One that must be refused: with this error, leaving an entry that says why, and no run.
pub(crate) async fn refused(world: &World, (status, answer): (u16, Value), error: &str, why: &str, what: &str) {
    assert_eq!((status, answer["error"].as_str()), (400, Some(error)), "{what}: {answer}");
    let live: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    assert_eq!(live.runs, 0, "{what}");
    assert!(logged(world, &format!("\"id\":\"{why}\"")).await, "{what}: no entry says `{why}`");
}

/// Break: forget one of the algorithms, or whose run it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_begins_a_run_as_the_agent_of_its_rule_with_each_algorithm() {
    let world = world().await;
    for (n, alg, kid) in [(1, "RS256", "rsa"), (2, "ES256", "ec"), (3, "EdDSA", "ed"), (4, "Ed25519", "ed")] {
        let token = job(&json!({"alg": alg, "kid": kid}), &json!({"jti": n.to_string()}));
        let (status, given) = show(&world, &token, &[], None).await;
        assert_eq!((status, given["token_type"].as_str()), (200, Some("Bearer")), "{alg}: {given}");
        assert!(given.get("refresh_token").is_none());
        let claims = said(&world, &given).await;
        assert!(claims.coherent());
        assert_eq!(claims.client_id.short(), "support/desk@1");
        assert_eq!(claims.name.as_deref(), Some("https://ci.example#repo:acme/api"));
        assert_eq!(claims.sub_profile, "ai_agent client_instance", "no person stands behind it");
        assert_eq!((claims.task.why.as_str(), claims.aud.as_slice()), ("sorts tickets", &[TICKETS.to_owned()][..]));
    }
    // Without a name of its key each key of the issuer is tried.
    let token = job(&json!({"kid": null, "typ": null}), &json!({"jti": "5"}));
    assert_eq!(show(&world, &token, &[], None).await.0, 200);
}

/// Break: mint a bearer token for who proved a key, or let another key's proof pass.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_bound_to_the_key_that_was_proved() {
    let world = world().await;
    let key = Key::new(1);
    let proof = key.proof(TOKEN_URL, NOW, "p1");
    let (status, given) = show(&world, &job(&json!({}), &json!({})), &[("why", "release 7")], Some(&proof)).await;
    assert_eq!((status, given["token_type"].as_str()), (200, Some("DPoP")), "{given}");
    let claims = said(&world, &given).await;
    assert_eq!(claims.cnf.map(|cnf| cnf.jkt), Some(key.public.thumbprint()));
    assert_eq!(claims.task.why, "release 7");
    let again = show(&world, &job(&json!({}), &json!({"jti": "2"})), &[], Some(&proof)).await;
    assert_eq!((again.0, again.1["error"].as_str()), (400, Some("invalid_dpop_proof")));
    // An assertion that is bound itself is of no use without its key.
    let bound = |jti: &str| word(&json!({}), &json!({"jti": jti, "cnf": {"jkt": key.public.thumbprint()}}));
    let client = [("client_id", "support/desk")];
    let other = Key::new(2).proof(TOKEN_URL, NOW, "p2");
    for proof in [None, Some(other.as_str())] {
        let (status, answer) = show(&world, &bound("w1"), &client, proof).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_dpop_proof")), "{answer}");
    }
    let own = key.proof(TOKEN_URL, NOW, "p3");
    assert_eq!(show(&world, &bound("w1"), &client, Some(&own)).await.0, 200);
    let by_certificate = word(&json!({}), &json!({"jti": "w2", "cnf": {"x5t#S256": "x"}}));
    assert_eq!(show(&world, &by_certificate, &client, None).await.1["error"], "invalid_grant");
    // Whose clients must prove a key gets nothing without one, and no run is left behind.
    let triage = "[[rule]]\nagent = \"support/triage\"\nclaims = { repository = \"acme/api\" }\n";
    let given = KeySource::Given(jwks("sig").to_string());
    trust(&world, issuer(CI, issuer::Kind::Workload, triage, given)).await.unwrap();
    let runs = |status: Status| status.runs;
    let before = runs(world.admin(AdminAsk::Status {}).await.unwrap());
    let (status, answer) = show(&world, &job(&json!({}), &json!({"jti": "3"})), &[], None).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_request")), "{answer}");
    assert_eq!(runs(world.admin(AdminAsk::Status {}).await.unwrap()), before);
}

/// Break: ask for no key, or look the algorithm up in the header alone.
#[tokio::test(flavor = "multi_thread")]
async fn algorithm_confusion_none_and_other_keys_are_refused_and_recorded() {
    let world = world().await;
    let forger = Key::new(9);
    let jwk = serde_json::to_value(&forger.public).unwrap();
    for (header, why) in [
        (json!({"alg": "none"}), "form"),
        (json!({"alg": "HS256"}), "form"),
        (json!({"alg": "RS512"}), "form"),
        (json!({"alg": "PS256"}), "form"),
        (json!({"alg": "ES256", "kid": "rsa"}), "signature"),
        (json!({"alg": "RS256", "kid": "ec"}), "signature"),
        (json!({"kid": "shared"}), "signature"),
        (json!({"kid": "unknown"}), "signature"),
        (json!({"jwk": jwk}), "form"),
        (json!({"jku": "https://evil.example/jwks"}), "form"),
        (json!({"x5u": "https://evil.example/chain"}), "form"),
        (json!({"x5c": ["AA"]}), "form"),
        (json!({"crit": ["exp"]}), "form"),
        (json!({"b64": false}), "form"),
    ] {
        let what = header.to_string();
        refused(&world, show(&world, &job(&header, &json!({})), &[], None).await, "invalid_grant", why, &what).await;
    }
    // Its own key under the name of a known one, and a signature that belongs to another text.
    let text = json!({"iss": CI, "sub": "repo:acme/api", "aud": ISSUER, "iat": NOW, "exp": NOW + 300, "jti": "job-1",
        "repository": "acme/api", "ref": "main"});
    let substituted = forger.sign(&json!({"alg": "EdDSA", "kid": "ed"}), &text);
    refused(&world, show(&world, &substituted, &[], None).await, "invalid_grant", "signature", "substituted").await;
    let good = job(&json!({}), &json!({}));
    let (_, signature) = good.rsplit_once('.').unwrap();
    let other = job(&json!({}), &json!({"sub": "repo:evil/api"}));
    let (input, _) = other.rsplit_once('.').unwrap();
    refused(
        &world,
        show(&world, &format!("{input}.{signature}"), &[], None).await,
        "invalid_grant",
        "signature",
        "moved",
    )
    .await;
    for text in ["", "x", "a.b.c", &format!("{good}="), &format!("{good}.x")] {
        let (status, _) = show(&world, text, &[], None).await;
        assert_eq!(status, 400, "{text}");
    }
    assert_eq!(show(&world, &good, &[], None).await.0, 200, "and the good one is as good as before");
}

/// Break: let an issuer use an algorithm that its registration does not allow.
#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_signs_with_the_algorithms_of_its_registration() {
    let world = world().await;
    let given = KeySource::Given(jwks("sig").to_string());
    let mut add = issuer(CI, issuer::Kind::Workload, CI_RULES, given);
    add.algorithms = vec![issuer::Algorithm::ES256];
    trust(&world, add).await.unwrap();
    refused(&world, show(&world, &job(&json!({}), &json!({})), &[], None).await, "invalid_grant", "signature", "RS256")
        .await;
    assert_eq!(show(&world, &job(&json!({"alg": "ES256", "kid": "ec"}), &json!({})), &[], None).await.0, 200);
}

/// Break: look at no time, at no audience, at no type, or at no subject.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_for_this_authority_now_and_of_its_own_kind() {
    let client = [("client_id", "support/desk")];
    let hour = 3_600;
    let cases = [
        (job(&json!({}), &json!({"iat": NOW - hour - 300, "exp": NOW - hour})), "time"),
        (job(&json!({}), &json!({"iat": NOW + hour, "exp": NOW + hour + 300})), "time"),
        (job(&json!({}), &json!({"nbf": NOW + hour})), "time"),
        (job(&json!({}), &json!({"nbf": "soon"})), "time"),
        (job(&json!({}), &json!({"exp": NOW})), "time"),
        (job(&json!({}), &json!({"exp": null})), "time"),
        (job(&json!({}), &json!({"iat": null})), "time"),
        (job(&json!({}), &json!({"exp": NOW + 86_401})), "time"),
        (word(&json!({}), &json!({"exp": NOW + 3_601})), "time"),
        (job(&json!({}), &json!({"aud": "https://other.example"})), "audience"),
        (job(&json!({}), &json!({"aud": [ISSUER, "https://other.example"]})), "audience"),
        (job(&json!({}), &json!({"aud": []})), "audience"),
        (job(&json!({}), &json!({"aud": null})), "audience"),
        (word(&json!({}), &json!({"aud": [ISSUER, ISSUER]})), "audience"),
        (svid(&json!({}), &json!({"aud": ["https://as.example/"]})), "audience"),
        (job(&json!({"typ": "oauth-id-jag+jwt"}), &json!({})), "type"),
        (job(&json!({"typ": "at+jwt"}), &json!({})), "type"),
        (job(&json!({"typ": "dpop+jwt"}), &json!({})), "type"),
        (word(&json!({"typ": "JWT"}), &json!({})), "type"),
        (word(&json!({"typ": null}), &json!({})), "type"),
        (job(&json!({}), &json!({"sub": null})), "subject"),
        (job(&json!({}), &json!({"sub": 7})), "subject"),
        (job(&json!({}), &json!({"sub": "a\nb"})), "subject"),
        (svid(&json!({}), &json!({"sub": "spiffe://other.example/ci/runner"})), "issuer"),
        (svid(&json!({}), &json!({"iss": DOMAIN, "sub": "spiffe://other.example/ci/runner"})), "subject"),
        (svid(&json!({}), &json!({"iss": DOMAIN, "sub": format!("{DOMAIN}.evil.example/ci/runner")})), "subject"),
        (job(&json!({}), &json!({"iss": "https://evil.example"})), "issuer"),
        (job(&json!({}), &json!({"iss": null})), "issuer"),
        (word(&json!({}), &json!({"jti": null})), "again"),
    ];
    // Of more than so many within a minute not each has an entry of its own.
    for some in cases.chunks(15) {
        let world = world().await;
        for (token, why) in some {
            let what = format!("{why}: {token}");
            refused(&world, show(&world, token, &client, None).await, "invalid_grant", why, &what).await;
        }
    }
}

/// Break: remember nothing, or what was signed only by its signature.
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_that_comes_again_is_refused_and_recorded() {
    let mut world = world().await;
    let client = [("client_id", "support/desk")];
    for (n, make) in [
        |n: &str| job(&json!({}), &json!({"jti": n})),
        |n: &str| word(&json!({}), &json!({"jti": n})),
        |_: &str| svid(&json!({}), &json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let token = make(&n.to_string());
        assert_eq!(show(&world, &token, &client, None).await.0, 200, "{n}");
        let before = entries(&world).await;
        let (status, answer) = show(&world, &token, &client, None).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")), "{n}: {answer}");
        assert_eq!(entries(&world).await, before + 1);
    }
    assert!(logged(&world, "\"id\":\"again\"").await);
    // The same id with another text is the same assertion.
    assert_eq!(show(&world, &job(&json!({}), &json!({"jti": "0", "more": 1})), &client, None).await.0, 400);
    // Nobody remembers what was shown before a restart, so it counts as shown.
    world.clock.set(NOW + 10);
    world.restart().await;
    assert_eq!(show(&world, &job(&json!({}), &json!({"jti": "new"})), &client, None).await.0, 400);
    assert_eq!(show(&world, &job(&json!({}), &json!({"jti": "new", "iat": NOW + 10})), &client, None).await.0, 200);
}

/// Break: take a prefix, another case, or a rule of another issuer.
#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_fulfils_no_rule_begins_nothing() {
    let world = world().await;
    for (payload, more, error) in [
        (json!({"repository": "acme/api2"}), &[][..], "invalid_grant"),
        (json!({"repository": "Acme/api"}), &[], "invalid_grant"),
        (json!({"repository": null}), &[], "invalid_grant"),
        (json!({"ref": "refs/heads/main"}), &[], "invalid_grant"),
        (json!({}), &[("client_id", "support/triage")], "invalid_grant"),
        (json!({}), &[("client_id", "support/nobody")], "invalid_grant"),
        (json!({}), &[("resource", "https://gw.example/mcp/other")], "invalid_scope"),
        (json!({}), &[("resource", "https://evil.example/mcp/tickets")], "invalid_target"),
        (json!({}), &[("resource", "")], "invalid_target"),
        (json!({}), &[("scope", "tickets/delete_ticket")], "invalid_scope"),
        (json!({}), &[("for", "2h")], "invalid_scope"),
        (json!({}), &[("authorization_details", "x")], "invalid_authorization_details"),
    ] {
        let what = format!("{payload} {more:?}");
        refused(&world, show(&world, &job(&json!({}), &payload), more, None).await, error, error, &what).await;
    }
    // One that was refused for what it asked for may be shown again with something else.
    let (status, given) = show(&world, &job(&json!({}), &json!({})), &[("scope", "tickets/read_ticket")], None).await;
    assert_eq!(status, 200, "{given}");
    let tools: Vec<String> =
        said(&world, &given).await.authorization_details[0].tools.keys().map(ToString::to_string).collect();
    assert_eq!(tools, ["read_ticket"]);
    let (status, given) = show(&world, &svid(&json!({}), &json!({})), &[], None).await;
    assert_eq!(status, 200, "{given}");
    assert_eq!(said(&world, &given).await.name.as_deref(), Some("ci"));
}

/// Break: trust without a person, or go on after it was taken away.
#[tokio::test(flavor = "multi_thread")]
async fn trust_needs_the_pin_ends_at_once_and_outlives_a_restart() {
    let mut world = world().await;
    let add =
        || issuer("https://new.example", issuer::Kind::Workload, CI_RULES, KeySource::Given(jwks("sig").to_string()));
    let unproved = world.admin::<Value>(AdminAsk::AddIssuer(Box::new(add()))).await;
    assert!(matches!(unproved, Err(ClientError::Refused(refused)) if refused.code == Code::AdminRequired));
    let everybody = issuer(
        "https://token.actions.githubusercontent.com",
        issuer::Kind::Workload,
        "[[rule]]\nagent = \"support/desk\"\nclaims = { ref = \"refs/heads/main\" }\n",
        KeySource::Discovered,
    );
    for bad in [
        everybody,
        AddIssuer { url: "http://ci.example".into(), keys: KeySource::Discovered, ..add() },
        AddIssuer { url: "https://169.254.169.254".into(), keys: KeySource::Discovered, ..add() },
        AddIssuer { url: "spiffe://x".into(), ..add() },
        AddIssuer { keys: KeySource::Given("{\"keys\":[]}".into()), ..add() },
        AddIssuer { kind: issuer::Kind::People, ..add() },
        AddIssuer { client: Some("remit".into()), ..add() },
    ] {
        let url = bad.url.clone();
        assert!(
            matches!(trust(&world, bad).await, Err(ClientError::Refused(r)) if r.code == Code::RequestInvalid),
            "{url}"
        );
    }
    world.restart().await;
    assert_eq!(show(&world, &job(&json!({}), &json!({})), &[], None).await.0, 200);
    let _removed: Value = world.admin(AdminAsk::RemoveIssuer { url: CI.into() }).await.unwrap();
    let (status, answer) = show(&world, &job(&json!({}), &json!({"jti": "2"})), &[], None).await;
    assert_eq!((status, answer["error"].as_str()), (400, Some("invalid_grant")));
    let listed: Vec<Value> = world.admin(AdminAsk::Issuers {}).await.unwrap();
    let urls: Vec<&str> = listed.iter().map(|issuer| issuer["url"].as_str().unwrap()).collect();
    assert_eq!(urls, [IDP, DOMAIN]);
    assert!(world.admin::<Value>(AdminAsk::RemoveIssuer { url: CI.into() }).await.is_err());
}

/// Break: give each refusal an entry, however many there are, or none at all.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_beyond_a_rate_are_summed_up() {
    let world = world().await;
    let before = entries(&world).await;
    for _ in 0..30 {
        assert_eq!(show(&world, "x", &[], None).await.0, 400);
    }
    assert_eq!(entries(&world).await, before + 20);
    world.clock.set(NOW + 61);
    assert_eq!(show(&world, "x", &[], None).await.0, 400);
    assert_eq!(entries(&world).await, before + 22);
    assert!(logged(&world, "\"object\":\"more\"").await);
}

/// A program without these functions would not notice that a library's name for it has changed.
#[test]
fn the_signatures_of_the_tests_are_genuine() {
    let token = job(&json!({}), &json!({}));
    let (input, signed) = token.rsplit_once('.').unwrap();
    let key = signature::UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, RSA.public_key().as_ref());
    assert!(key.verify(input.as_bytes(), &remit_core::hash::unb64(signed).unwrap()).is_ok());
}
