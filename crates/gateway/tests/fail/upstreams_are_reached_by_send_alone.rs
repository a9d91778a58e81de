//! There is no other door to an upstream than `send`.

use http::Uri;
use remit_gateway::upstream::http::HttpUpstreams;
use remit_gateway::upstream::process::Program;
use remit_gateway::upstream::stdio::{ChildKey, Children};
use remit_gateway::upstream::Outgoing;

async fn past_the_permit(http: &HttpUpstreams, url: &Uri, outgoing: Outgoing) {
    let _reply = http.send(url, outgoing).await;
}

async fn past_it_again(children: &Children, key: &ChildKey, program: &Program, outgoing: Outgoing) {
    let _reply = children.send(key, program, "run", outgoing).await;
}

fn main() {}
