//! Token exchange: less of one's own, and what is handed on to an agent that has a key of its own.

use super::common::{ISSUER, Key, NOW, PIN, World};
use super::delegation::{
    Party, READER, TICKETS, TOKEN_URL, WRITER, actor, claims, detail, furnished, root, root_of, text,
};
use super::http::page;
use remit_authority::change::Run;
use remit_authority::socket::wire::{AdminAsk, Status};
use remit_core::claims::EXCHANGES_MAX;
use remit_core::label::Trust;
use remit_core::revoked::{Kind, Revocation, Revoked};
use serde_json::{Value, json};

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const READ: &str = r#"{"read_ticket":{}}"#;
const READ_4: &str = r#"{"read_ticket":{"id":{"constraint_type":"exact","value":4}}}"#;
const BOTH: &str = r#"{"read_ticket":{},"reply":{}}"#;

#[track_caller]
fn refused((status, answer): (u16, Value), error: &str) {
    assert_eq!((status, &answer["error"]), (400, &Value::from(error)), "{answer}");
}

async fn runs(world: &World) -> Vec<Run> {
    world.admin(AdminAsk::Runs {}).await.unwrap()
}

async fn entries(world: &World) -> u64 {
    world.admin::<Status>(AdminAsk::Status {}).await.unwrap().log_size
}

async fn revoke(world: &World, kind: Kind, id: &str) {
    let ask = AdminAsk::Revoke { kind, id: id.into(), why: "x".into() };
    let _done: Revocation = world.admin_pin(ask, Some(PIN)).await.unwrap();
}

/// Break: judge by the grant and not by the token that is shown, or let its end begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_given_for_one_that_says_less_and_never_for_more() {
    let world = furnished().await;
    let mut run = root(&world, 1).await;
    let first = run.token(&world).await;
    let said = claims(&world, &first).await;
    run.wait(&world, NOW + 100);
    let before = entries(&world).await;
    let (status, answer) = run.less(&world, &first, &[("authorization_details", &detail(READ_4))]).await;
    assert_eq!((status, &answer["issued_token_type"]), (200, &Value::from(ACCESS_TOKEN)), "{answer}");
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("DPoP"), &json!(500)));
    assert_eq!(answer["authorization_details"], serde_json::from_str::<Value>(&detail(READ_4)).unwrap());
    assert_eq!(entries(&world).await, before + 1, "it has its entry");
    let second = text(&answer);
    let less = claims(&world, &second).await;
    assert_eq!((less.exp, &less.run, &less.gid, less.del_depth), (said.exp, &said.run, &said.gid, 0));
    assert_eq!((&less.via, &less.cnf), (&vec![said.jti.clone()], &said.cnf));
    // All of these are within the run's grant, and none is within what is shown.
    for tools in [READ, BOTH, r#"{"reply":{}}"#, r#"{"*":{}}"#] {
        let wider = run.less(&world, &second, &[("authorization_details", &detail(tools))]).await;
        refused(wider, "invalid_authorization_details");
    }
    // Where nothing is said it is all of it, and where the target is named it is that.
    for more in [&[][..], &[("resource", TICKETS)], &[("audience", TICKETS)]] {
        let (status, answer) = run.less(&world, &second, more).await;
        assert_eq!(status, 200, "{answer}");
        let same = claims(&world, &text(&answer)).await;
        assert_eq!((same.authorization_details, same.aud), (less.authorization_details.clone(), less.aud.clone()));
    }
    for more in [("resource", "https://gw.example/mcp/other"), ("audience", "tickets"), ("audience", ISSUER)] {
        refused(run.less(&world, &second, &[more]).await, "invalid_target");
    }
    refused(run.exchange(&world, &second, &[], None).await, "invalid_request");
}

/// Break: let a bound token become one that needs no proof, where the agent may have such.
#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_is_given_for_a_bound_one_only() {
    let world = furnished().await;
    let run = root_of(&world, 1, "support/carrier").await;
    let bound = run.token(&world).await;
    refused(run.exchange(&world, &bound, &[], None).await, "invalid_request");
    assert_eq!(run.less(&world, &bound, &[]).await.0, 200);
    let (_, bearer) = run.ask(&world, "/token", &[("grant_type", "client_credentials")], None).await;
    let (status, answer) = run.exchange(&world, &text(&bearer), &[], None).await;
    assert_eq!((status, &answer["token_type"]), (200, &json!("Bearer")), "{answer}");
}

/// Break: take any token that verifies, whoever holds it and whatever became of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_a_live_token_of_that_very_run() {
    let world = furnished().await;
    let mut run = root(&world, 1).await;
    let other = root(&world, 2).await;
    let (own, theirs) = (run.token(&world).await, other.token(&world).await);
    let child_key = Key::new(3);
    let (_, handed) =
        run.hand(&world, &own, &actor(&child_key, READER, NOW), &[("authorization_details", &detail(READ))]).await;
    let childs = text(&handed);
    let before = (entries(&world).await, runs(&world).await.len());
    let forged = {
        let mut parts: Vec<&str> = own.split('.').collect();
        parts[2] = theirs.rsplit('.').next().unwrap();
        parts.join(".")
    };
    let own_header = run.key.sign(&json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "x"}), &json!({}));
    for subject in [theirs.as_str(), childs.as_str(), forged.as_str(), own_header.as_str(), "x", ""] {
        refused(run.less(&world, subject, &[]).await, "invalid_request");
        let actor = actor(&Key::new(4), READER, NOW);
        refused(
            run.hand(&world, subject, &actor, &[("authorization_details", &detail(READ))]).await,
            "invalid_request",
        );
    }
    for (name, value) in [
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ("subject_token_type", ""),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"),
        ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt"),
    ] {
        refused(run.less(&world, &own, &[(name, value)]).await, "invalid_request");
    }
    refused(run.less(&world, &own, &[("scope", "all")]).await, "invalid_scope");
    let jti = claims(&world, &own).await.jti;
    assert_eq!((entries(&world).await, runs(&world).await.len()), before, "what is refused leaves nothing");
    revoke(&world, Kind::Token, &jti).await;
    refused(run.less(&world, &own, &[]).await, "invalid_request");
    // The run itself is not revoked; its next token ends by time.
    let next = run.token(&world).await;
    assert_eq!(run.less(&world, &next, &[]).await.0, 200);
    run.wait(&world, NOW + 600);
    refused(run.less(&world, &next, &[]).await, "invalid_request");
}

/// Break: leave the key to the parent, or the lineage to the request.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_with_a_key_of_its_own_begins_a_run_below() {
    let world = furnished().await;
    let run = root(&world, 1).await;
    let own = run.token(&world).await;
    let said = claims(&world, &own).await;
    let key = Key::new(2);
    let more = [("authorization_details", &*detail(READ)), ("for", "12m")];
    let (status, answer) = run.hand(&world, &own, &actor(&key, READER, NOW), &more).await;
    assert_eq!((status, &answer["issued_token_type"]), (200, &json!(ACCESS_TOKEN)), "{answer}");
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("DPoP"), &json!(600)));
    let first = claims(&world, &text(&answer)).await;
    let lineage: Vec<String> = first.lineage().map(ToString::to_string).collect();
    assert_eq!(lineage, [format!("{READER}/{}", first.run), run.id.clone()]);
    assert_eq!((&first.root, &first.sub, &first.lin), (&said.root, &said.sub, &vec![said.jti.clone()]));
    assert_eq!((first.del_depth, first.grant.until, first.root_until), (1, NOW + 720, said.root_until));
    assert_eq!(first.cnf.as_ref().unwrap().jkt, key.public.thumbprint(), "of the child, and not of who asked");
    assert_eq!((first.task.why.as_str(), first.task.trust), ("the reader looks", Trust::Untrusted));
    let begun = runs(&world).await.into_iter().find(|live| live.id == first.run).unwrap();
    assert_eq!((begun.parent.as_ref(), begun.key_held, begun.key), (Some(&said.run), false, key.public.clone()));
    assert!(!world.path("runs").join(first.run.as_str()).exists(), "there is no socket for a key from elsewhere");

    // From now on it asks for itself, and no more than it was given.
    let mut child = Party::child(key, &first);
    child.wait(&world, NOW + 700);
    let later = claims(&world, &child.token(&world).await).await;
    assert_eq!((later.exp, &later.lin, later.authorization_details.len()), (NOW + 720, &first.lin, 1));
    assert_eq!(later.authorization_details, first.authorization_details);
    // And it ends with its time.
    world.clock.set(NOW + 720);
    child.now = NOW + 720;
    let form = [("grant_type", "client_credentials")];
    refused(child.ask(&world, "/token", &form, Some(&child.proof())).await, "invalid_grant");
}

/// Break: say nothing of how long, and mean the parent's whole time.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_of_which_no_time_is_said_ends_with_the_token_that_was_shown() {
    let world = furnished().await;
    let mut run = root(&world, 1).await;
    let own = run.token(&world).await;
    run.wait(&world, NOW + 60);
    let read = detail(READ);
    let (_, answer) =
        run.hand(&world, &own, &actor(&Key::new(2), READER, run.now), &[("authorization_details", &read)]).await;
    let child = claims(&world, &text(&answer)).await;
    assert_eq!((child.exp, child.grant.until), (NOW + 600, NOW + 600));
    for (time, error) in [
        ("14m", None),
        ("15m", Some("invalid_request")),
        ("0s", Some("invalid_request")),
        ("x", Some("invalid_request")),
    ] {
        let actor = actor(&Key::new(3), READER, run.now);
        let answer = run.hand(&world, &own, &actor, &[("authorization_details", &read), ("for", time)]).await;
        match error {
            None => assert_eq!(claims(&world, &text(&answer.1)).await.exp, NOW + 600, "whatever its run may"),
            Some(error) => refused(answer, error),
        }
    }
}

/// Break: take the actor's word for which agent it is, for its key, or take it twice.
#[tokio::test(flavor = "multi_thread")]
async fn each_actor_that_may_not_act_is_refused_and_leaves_nothing() {
    let world = furnished().await;
    let run = root(&world, 1).await;
    let own = run.token(&world).await;
    let key = Key::new(2);
    let read = detail(READ);
    let good = actor(&key, READER, NOW);
    let (status, answer) = run.hand(&world, &own, &good, &[("authorization_details", &read)]).await;
    assert_eq!(status, 200, "{answer}");
    let before = (entries(&world).await, runs(&world).await.len());
    refused(run.hand(&world, &own, &good, &[("authorization_details", &read)]).await, "invalid_request");

    let theirs = |header: Value, claims: Value| {
        let mut whole = [
            json!({"alg": "EdDSA", "typ": "JWT", "jwk": key.public}),
            json!({"iss": READER, "sub": READER, "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": claims.to_string()}),
        ];
        for (whole, changes) in whole.iter_mut().zip([header, claims]) {
            changes.as_object().unwrap().iter().for_each(|(name, value)| whole[name] = value.clone());
        }
        key.sign(&whole[0], &whole[1])
    };
    let child = claims(&world, &text(&answer)).await.act.sub.to_string();
    for actor in [
        theirs(json!({"jwk": run.key.public}), json!({})),
        theirs(json!({"alg": "none"}), json!({"x": 1})),
        theirs(json!({"typ": "dpop+jwt"}), json!({"x": 2})),
        theirs(json!({}), json!({"aud": TOKEN_URL})),
        theirs(json!({}), json!({"exp": NOW - 1})),
        theirs(json!({}), json!({"iss": child, "sub": child})),
        // A client assertion of a run that exists, and a proof.
        key.proof(TOKEN_URL, NOW, "x"),
        own.clone(),
    ] {
        refused(run.hand(&world, &own, &actor, &[("authorization_details", &read)]).await, "invalid_request");
    }
    let nobody = READER.replace("reader", "nobody");
    let abroad = READER.replace("acme", "evil");
    let carrier = READER.replace("reader", "carrier");
    for (key, agent, more, error) in [
        (&key, nobody.as_str(), ("authorization_details", read.as_str()), "actor_unauthorized"),
        (&key, abroad.as_str(), ("authorization_details", read.as_str()), "actor_unauthorized"),
        (&key, carrier.as_str(), ("authorization_details", read.as_str()), "actor_unauthorized"),
        (&run.key, READER, ("authorization_details", read.as_str()), "actor_unauthorized"),
        // More than its manifest declares is not cut to what it does.
        (&key, READER, ("resource", TICKETS), "actor_unauthorized"),
        (&key, WRITER, ("authorization_details", "[]"), "invalid_authorization_details"),
        (&key, WRITER, ("resource", "https://gw.example/mcp/other"), "invalid_target"),
        (&key, WRITER, ("why", " "), "invalid_request"),
        (&key, WRITER, ("actor_token_type", ACCESS_TOKEN), "invalid_request"),
    ] {
        refused(run.hand(&world, &own, &actor(key, agent, NOW), &[more]).await, error);
    }
    assert_eq!((entries(&world).await, runs(&world).await.len()), before);
}

/// Break: let whoever asks prove its own key in the place of the actor's.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_beside_an_actor_token_is_of_the_actors_key() {
    let world = furnished().await;
    let run = root(&world, 1).await;
    let own = run.token(&world).await;
    let key = Key::new(2);
    let before = (entries(&world).await, runs(&world).await.len());
    let form = |actor: &str| {
        vec![
            ("actor_token".to_owned(), actor.to_owned()),
            ("actor_token_type".into(), "urn:ietf:params:oauth:token-type:jwt".into()),
            ("why".into(), "x".into()),
        ]
    };
    for (proof, error) in [(run.proof(), Some("invalid_dpop_proof")), (key.proof(TOKEN_URL, NOW, "own"), None)] {
        let form = form(&actor(&key, WRITER, NOW));
        let form: Vec<(&str, &str)> = form.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let answer = run.exchange(&world, &own, &form, Some(&proof)).await;
        match error {
            Some(error) => refused(answer, error),
            None => assert_eq!(answer.0, 200, "{}", answer.1),
        }
    }
    assert_eq!((entries(&world).await, runs(&world).await.len()), (before.0 + 2, before.1 + 1));
}

/// Break: look at the parent alone, and not at who acts or at what it signs with.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_revoked_acts_for_nobody() {
    let world = furnished().await;
    let run = root(&world, 1).await;
    let own = run.token(&world).await;
    let key = Key::new(2);
    assert_eq!(run.hand(&world, &own, &actor(&key, WRITER, NOW), &[]).await.0, 200);
    revoke(&world, Kind::Key, &key.public.thumbprint()).await;
    refused(run.hand(&world, &own, &actor(&key, WRITER, NOW), &[]).await, "actor_unauthorized");
    revoke(&world, Kind::Agent, "support/writer").await;
    refused(run.hand(&world, &own, &actor(&Key::new(3), WRITER, NOW), &[]).await, "actor_unauthorized");
}

/// Break: cut what is too deep, or count for each parent.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_so_deep_and_so_wide_and_no_more() {
    let world = furnished().await;
    let mut party = root(&world, 1).await;
    let mut own = party.token(&world).await;
    let read = detail(READ);
    for seed in 2..=5 {
        let key = Key::new(seed);
        let answer = party.hand(&world, &own, &actor(&key, READER, NOW), &[("authorization_details", &read)]).await;
        if seed == 5 {
            refused(answer, "invalid_request");
            break;
        }
        own = text(&answer.1);
        party = Party::child(key, &claims(&world, &own).await);
    }
    assert_eq!(runs(&world).await.len(), 4);
    let root = root(&world, 10).await;
    let own = root.token(&world).await;
    for seed in 11..=43 {
        let answer =
            root.hand(&world, &own, &actor(&Key::new(seed), READER, NOW), &[("authorization_details", &read)]).await;
        let expected = if seed == 43 { 503 } else { 200 };
        assert_eq!(answer.0, expected, "{seed}: {}", answer.1);
    }
}

/// Break: forget of which token one came, so that what was handed on outlives what it was handed on by.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_back_takes_all_with_it_that_came_of_it() {
    for nth in 0..3 {
        let world = furnished().await;
        let run = root(&world, 1).await;
        let first = run.token(&world).await;
        let read = detail(READ);
        let (_, answer) = run.less(&world, &first, &[("authorization_details", &read)]).await;
        let second = text(&answer);
        let key = Key::new(2);
        let (_, answer) = run.hand(&world, &second, &actor(&key, READER, NOW), &[]).await;
        let child = Party::child(key, &claims(&world, &text(&answer)).await);
        let third = child.token(&world).await;
        let fourth = text(&child.less(&world, &third, &[]).await.1);
        let sibling = run.token(&world).await;
        let tokens = [first, second, text(&answer), third, fourth, sibling];
        let mut said = Vec::new();
        for token in &tokens {
            said.push(claims(&world, token).await);
        }
        assert_eq!((said[3].via.len(), said[4].via.len(), said[4].lin.len()), (1, 2, 1));
        revoke(&world, Kind::Token, &said[nth].jti).await;
        let mut all = Revoked::default();
        page(&world, 0).await.entries.into_iter().for_each(|entry| all.apply(entry).unwrap());
        let revoked: Vec<usize> = (0..6).filter(|n| all.token(&said[*n]).is_some()).collect();
        let expected = [&[0, 1, 2, 3, 4][..], &[1, 2, 3, 4], &[2]][nth];
        assert_eq!(revoked, expected, "the token {nth}");
        assert_eq!(runs(&world).await.len(), if nth < 2 { 1 } else { 2 });
    }
}

/// Break: let a chain of exchanges grow until no gateway takes the token.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_exchanged_so_often_and_no_more() {
    let world = furnished().await;
    let run = root(&world, 1).await;
    let mut own = run.token(&world).await;
    for _ in 0..EXCHANGES_MAX {
        own = text(&run.less(&world, &own, &[]).await.1);
    }
    assert_eq!(claims(&world, &own).await.via.len(), EXCHANGES_MAX);
    refused(run.less(&world, &own, &[]).await, "invalid_request");
}

/// Break: let a child that was begun over HTTP live on without its parent.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_ends_with_its_parent_and_is_there_after_the_database_is_lost() {
    let mut world = furnished().await;
    let run = root(&world, 1).await;
    let own = run.token(&world).await;
    let key = Key::new(2);
    let (_, answer) =
        run.hand(&world, &own, &actor(&key, READER, NOW), &[("authorization_details", &detail(READ))]).await;
    let child = Party::child(key, &claims(&world, &text(&answer)).await);
    let was = runs(&world).await;
    world.stop().await;
    for name in ["authority.db", "authority.db-wal", "authority.db-shm"] {
        std::fs::remove_file(world.path(name)).ok();
    }
    world.serve().await;
    assert_eq!(runs(&world).await, was);
    child.token(&world).await;
    let id = was[0].id.clone();
    let _done: Value = world.admin(AdminAsk::End { run: id }).await.unwrap();
    assert!(runs(&world).await.is_empty());
    let form = [("grant_type", "client_credentials")];
    refused(child.ask(&world, "/token", &form, Some(&child.proof())).await, "invalid_grant");
}
