//! What is refused at the door, before anything of it is looked at.

use std::net::Ipv4Addr;

use http::header::RETRY_AFTER;

use super::*;
use crate::doors::Doors;
use crate::halt::tests::{gateway, hear};

async fn asked(gateway: &Arc<Gateway>) -> (u16, bool) {
    let request = Request::builder().method(Method::POST).uri("/mcp/tickets").header(HOST, "gw.example");
    let seat = Arc::new(Doors::new(1 << 10)).enter(IpAddr::from(Ipv4Addr::LOCALHOST)).unwrap();
    let response = answer(Arc::clone(gateway), seat, request.body(Body::empty()).unwrap()).await;
    (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER))
}

/// Break: let those who must be refused wait, or do anything for them first.
#[tokio::test]
async fn whoever_comes_when_no_turn_is_left_is_refused_at_once() {
    let home = tempfile::tempdir().unwrap();
    let gateway = gateway(home.path()).await;
    hear(&gateway);
    assert_eq!(asked(&gateway).await, (401, false));
    let all = gateway.turns.take_all();
    assert_eq!(asked(&gateway).await, (503, true));
    drop(all);
    assert_eq!(asked(&gateway).await, (401, false));
}
