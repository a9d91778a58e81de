//! A permit that was used is gone.

use remit_core::policy::Compiled;
use remit_gateway::accept::Asked;
use remit_gateway::permit::Permit;
use remit_gateway::send::{Upstreams, send};
use remit_gateway::sessions::Sessions;

async fn twice(upstreams: &Upstreams, sessions: &Sessions, bundle: &Compiled, permit: Permit, asked: &Asked) {
    let _first = send(upstreams, sessions, bundle, permit, asked).await;
    let _second = send(upstreams, sessions, bundle, permit, asked).await;
}

fn main() {}
