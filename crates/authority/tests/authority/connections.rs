//! Connections of people to servers, at their edges: answers at another's place, tokens that cannot be renewed, and servers
//! that are registered anew in between.

use std::sync::Arc;
use std::time::Duration;

use remit_authority::broker::connect::Ended;
use remit_authority::broker::record::Behalf;
use remit_authority::socket::wire::{AdminAsk, ServerShown};
use remit_core::hash::{b64, sha256};
use tokio::sync::Notify;

use super::broker::{add, begin, connect, finish, machine, oauth, page, people, tickets};
use super::brokered::given;
use super::common::{NOW, World};
use super::upstream::{Upstream, lent, lent_of, references};

async fn connected(world: &World) -> usize {
    let shown: ServerShown = world.admin(AdminAsk::Server { name: tickets() }).await.unwrap();
    shown.connections.len()
}

/// Break: send browsers of all authorization servers back to one place.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_at_another_authorization_servers_place_is_not_taken() {
    let upstream = Upstream::start().await;
    let (world, ..) = people(&upstream).await;
    upstream.set(|manners| manners.metadata["authorization_response_iss_parameter_supported"] = false.into());
    let url = begin(&world).await;
    let back = upstream.back(&url, &[("iss", None)]);
    let place = back.strip_prefix("/callback/").unwrap().split_once('?').unwrap().0;
    let shown: ServerShown = world.admin(AdminAsk::Server { name: tickets() }).await.unwrap();
    assert_eq!(shown.redirect, Some(format!("https://as.example/callback/{place}")), "it is said what to register");
    let other = b64(&sha256(&[b"another"]));
    assert_eq!(page(&world, &back.replace(place, &other)).await, None);
    assert_eq!(world.get(&back.replace(place, "x")).await.0, 404);
    assert_eq!(upstream.heard("/token").len(), 0, "nothing is redeemed");
    assert!(page(&world, &back).await.is_some());
    // Each reads who we are at a place of its own, too.
    let (_, _, document) = world.get(&format!("/client/{place}")).await;
    assert!(document.contains(&format!("/callback/{place}\"")), "{document}");
    assert_eq!(world.get("/client/x").await.0, 404);
}

/// Break: end a connection because a server refuses a token that has nothing behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_refresh_token_lives_as_long_as_its_token() {
    let upstream = Upstream::start().await;
    let (world, gateway, ..) = people(&upstream).await;
    upstream.set(|manners| manners.refresh = false);
    connect(&world, &upstream).await;
    let at = async |seconds: i64, refused: Option<&str>| {
        world.clock.set(NOW + seconds);
        let run = world.request(&["tickets/read_ticket"], None).await.unwrap().run.id;
        lent(&world, &gateway, Some(&run), refused).await
    };
    let token = at(1, None).await.unwrap();
    let (status, said) = at(40, Some(&token[0])).await.unwrap_err();
    assert_eq!((status, said.contains("nothing to get another one with")), (409, true), "{said}");
    assert_eq!((connected(&world).await, at(50, None).await), (1, Ok(token.clone())));
    assert_eq!((at(560, None).await, connected(&world).await), (Ok(token), 1), "to its own end");
    assert_eq!((at(599, None).await.unwrap_err().0, connected(&world).await), (409, 0));
    assert_eq!(upstream.heard("/token").len(), 1);
}

/// Break: take tokens that have ended before they arrive, and ask for another one with each call.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_at_once_is_no_token() {
    let upstream = Upstream::start().await;
    let (world, gateway) = machine(&upstream).await;
    upstream.set(|manners| manners.expires_in = Some(4));
    for _ in 0..3 {
        assert_eq!(lent(&world, &gateway, None, None).await.unwrap_err().0, 503);
    }
    assert_eq!(upstream.heard("/token").len(), 1);
}

/// Break: record what was issued to a client that is not ours any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_registered_anew_meanwhile_connects_nobody() {
    let upstream = Upstream::start().await;
    let (world, ..) = people(&upstream).await;
    let url = begin(&world).await;
    let code = page(&world, &upstream.back(&url, &[])).await.unwrap();
    add(&world, &upstream, oauth(Behalf::AuthorizationCode, Some("another")), vec![]).await.unwrap();
    assert!(finish(&world, &code).await.is_err());
    assert_eq!(connected(&world).await, 0);
}

/// Break: lend the token of the client that is registered now to a request that knows the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_client_is_not_lent_in_its_place() {
    let upstream = Upstream::start().await;
    let (world, gateway) = machine(&upstream).await;
    let hold = Arc::new(Notify::new());
    upstream.set(|manners| manners.hold = Some(Arc::clone(&hold)));
    let known = references(&world).await;
    let ask = || lent_of(&world, &gateway, known.clone(), None, None);
    let again = async {
        while upstream.heard("/token").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let wanted = oauth(Behalf::ClientCredentials, Some("another"));
        add(&world, &upstream, wanted, vec![given("bearer", "cs-another-0123456789")]).await.unwrap();
        upstream.set(|manners| manners.hold = None);
        hold.notify_waiters();
    };
    // One is on its way there, the other waits for it, and the server is registered with another client.
    let (one, other, ()) = tokio::join!(ask(), ask(), again);
    let lent = [one, other].into_iter().filter_map(Result::ok).collect::<Vec<_>>();
    assert_eq!(lent, [["at-1-0123456789"]]);
}

/// Break: name what there is by the connections that have ended alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_version_rises_with_each_end_and_each_beginning() {
    let upstream = Upstream::start().await;
    let (world, ..) = people(&upstream).await;
    let mut last = references(&world).await[0].version;
    for _ in 0..2 {
        connect(&world, &upstream).await;
        let began = references(&world).await[0].version;
        let ended: Ended = world.admin(AdminAsk::Disconnect { server: tickets() }).await.unwrap();
        let now = references(&world).await[0].version;
        assert!(ended.was && last < began && began < now, "{last} {began} {now}");
        last = now;
    }
}

/// Break: record what was renewed for a connection that has ended meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_on_its_way_undoes_no_end() {
    let upstream = Upstream::start().await;
    let (world, gateway, ..) = people(&upstream).await;
    connect(&world, &upstream).await;
    let hold = Arc::new(Notify::new());
    upstream.set(|manners| manners.hold = Some(Arc::clone(&hold)));
    world.clock.set(NOW + 541);
    let run = world.request(&["tickets/read_ticket"], None).await.unwrap().run.id;
    let end = async {
        while upstream.heard("/token").len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let ended: Ended = world.admin(AdminAsk::Disconnect { server: tickets() }).await.unwrap();
        assert!(ended.was);
        upstream.set(|manners| manners.hold = None);
        hold.notify_waiters();
    };
    let (lent, ()) = tokio::join!(lent(&world, &gateway, Some(&run), None), end);
    assert_eq!((lent.unwrap_err().0, connected(&world).await), (409, 0));
}
