//! The authority's keys rotate while calls go on: none fails, and a key counts from the bundle that names it to the one that
//! does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_core::jws::Jwk;

use crate::authority::jws;
use crate::client::Run;
use crate::world::World;

const READ: &str = r#"{"read_ticket":{}}"#;
const NEXT_SEED: [u8; 32] = [42; 32];

fn next_key() -> Jwk {
    let pair = Ed25519KeyPair::from_seed_unchecked(&NEXT_SEED).unwrap();
    Jwk::ed25519(pair.public_key().as_ref(), Some("k2".into()))
}

/// The same run with a token that the next key signed.
fn renewed(run: &Run) -> Run {
    let payload = serde_json::to_string(&run.claims).unwrap();
    Run { token: jws(r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k2"}"#, &payload, NEXT_SEED), ..run.clone() }
}

/// Calls until it is told to stop, and gives what was answered.
async fn calls(run: Run, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut answers = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        // Not the same twice in a row, which would be a loop.
        for id in [41, 42] {
            answers.push(run.refusal("read_ticket", &format!(r#"{{"id":{id}}}"#)).await);
        }
    }
    answers
}

/// Break: forget the old key with the first bundle that names a new one, know the new one only after a restart, or keep what a
/// key has signed that is gone.
#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_while_calls_go_on_and_none_fails() {
    let mut world = World::new().await;
    let old = world.run("r1", READ);
    let new = renewed(&world.run("r2", READ));
    assert_eq!(new.refusal("read_ticket", r#"{"id":41}"#).await, "token_invalid", "before it is known");
    let stop = Arc::new(AtomicBool::new(false));
    let going = tokio::spawn(calls(old.clone(), Arc::clone(&stop)));
    world.publish(2, |bundle| bundle.keys.push(next_key())).await;
    for id in [41, 42] {
        assert_eq!(new.refusal("read_ticket", &format!(r#"{{"id":{id}}}"#)).await, "ok", "{}", world.story());
    }
    stop.store(true, Ordering::SeqCst);
    let answers = going.await.unwrap();
    assert!(answers.len() > 1 && answers.iter().all(|answer| answer == "ok"), "{answers:?}");
    // The last token of the old key is over: what it signed is nobody's.
    world.publish(3, |bundle| drop(bundle.keys.remove(0))).await;
    assert_eq!(old.refusal("read_ticket", r#"{"id":41}"#).await, "token_invalid");
    assert_eq!(new.refusal("read_ticket", r#"{"id":41}"#).await, "ok");
}
