//! The relay, before a gateway that looks at each token and each proof as the real one does, and after clients that know of
//! neither.

use std::collections::{BTreeSet, HashSet};
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use remit_authority::Clock;
use remit_authority::config::TOKEN_SECONDS_MAX;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AdminAsk, RelayGiven, Requested, RunAsk, Status};
use remit_core::dpop;
use remit_core::identify::verify;
use remit_core::jws::Jwk;
use remit_core::rejection::Code;
use remit_core::revoked::Kind;
use serde_json::Value;
use tokio::sync::mpsc;

use super::common::{GATEWAY, MANIFEST, NOW, PIN, World};
use super::federation::{entries, logged};

const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"z":1,"a":12345678901234567890123}}"#;

/// What a gateway heard of somebody whom it knows.
struct Heard {
    method: String,
    target: String,
    headers: HeaderMap,
    body: Bytes,
    /// The token's id.
    jti: String,
}

#[derive(Default)]
struct Kept {
    clock: Option<Clock>,
    keys: Vec<Jwk>,
    heard: Vec<Heard>,
    proofs: HashSet<String>,
    refused: usize,
    streams: Vec<mpsc::Sender<&'static str>>,
}

/// A gateway that knows a token by its signature, audience, time and proof, and answers with no more than that.
#[derive(Clone)]
struct Gate {
    url: String,
    kept: Arc<Mutex<Kept>>,
}

/// A body that comes piece by piece.
struct Pieces(mpsc::Receiver<&'static str>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}

impl Gate {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let gate = Self { url, kept: Arc::default() };
        let own = gate.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let gate = own.clone();
                let service = service_fn(move |request| {
                    let gate = gate.clone();
                    async move { Ok::<_, Infallible>(gate.answer(request).await) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        gate
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Response::new(Full::default().boxed());
        };
        let (target, method) = (parts.uri.to_string(), parts.method.to_string());
        let Some(jti) = self.known(&method, parts.uri.path(), &parts.headers) else {
            self.kept().refused += 1;
            return Response::builder().status(401).body(Full::from("not known").boxed()).unwrap();
        };
        self.kept().heard.push(Heard { method: method.clone(), target, headers: parts.headers, body, jti });
        let answer = Response::builder()
            .header("mcp-session-id", "s-1")
            .header("content-type", if method == "GET" { "text/event-stream" } else { "application/json" })
            .header("connection", "x-hop")
            .header("x-hop", "1");
        if method == "GET" {
            let (send, pieces) = mpsc::channel(1);
            self.kept().streams.push(send);
            return answer.body(Pieces(pieces).boxed()).unwrap();
        }
        answer.body(Full::from(r#"{"n":12345678901234567890123}"#).boxed()).unwrap()
    }

    /// The id of the token of a request that proves its key.
    fn known(&self, method: &str, path: &str, headers: &HeaderMap) -> Option<String> {
        let url = format!("{}{path}", self.url);
        let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("DPoP ")?;
        let mut kept = self.kept();
        let now = kept.clock.as_ref().map_or(NOW, Clock::now);
        let authentic = verify(&kept.keys, token)?;
        let claims = authentic.claims();
        let proof = dpop::verify(headers.get("dpop")?.to_str().ok()?, dpop::Request { method, url: &url, token }, now);
        let proof = proof.ok()?;
        let good = claims.exp > now && claims.aud == [url] && claims.cnf.as_ref()?.jkt == proof.jkt;
        (good && kept.proofs.insert(proof.jti)).then(|| claims.jti.clone())
    }

    /// How many requests it knew, and how many it did not.
    fn counts(&self) -> (usize, usize) {
        let kept = self.kept();
        (kept.heard.len(), kept.refused)
    }

    /// How many tokens were seen.
    fn tokens(&self) -> usize {
        self.kept().heard.iter().map(|heard| heard.jti.clone()).collect::<BTreeSet<_>>().len()
    }
}

/// A gate, an authority whose tokens live so long, and a run.
async fn world(token_seconds: i64) -> (World, Gate, Requested) {
    let gate = Gate::start().await;
    let world = World::start_for(&gate.url, token_seconds).await;
    gate.kept().clock = Some(world.clock.clone());
    world.furnish().await;
    let requested = world.request(&["tickets/read_ticket"], None).await.unwrap();
    gate.kept().keys = super::http::bundle(&world).await.bundle.keys;
    (world, gate, requested)
}

async fn given(of: &Requested, always: bool) -> Result<RelayGiven, ClientError> {
    let (socket, server) = (of.socket.clone(), "tickets".parse().unwrap());
    let ask = RunAsk::Relay { server, grant: None, always };
    tokio::task::spawn_blocking(move || client::run(&socket, &ask)).await.unwrap()
}

/// The bearer value of a run.
async fn value(of: &Requested) -> String {
    given(of, false).await.unwrap().value.unwrap()
}

type Said = (u16, HeaderMap, String);

async fn begin(world: &World, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = tokio::net::TcpStream::connect(world.relay).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

async fn send(world: &World, request: Request<Full<Bytes>>) -> Said {
    let (head, body) = begin(world, request).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// What is answered to these very bytes.
async fn raw(world: &World, text: String) -> Said {
    let address = world.relay;
    let exchange = move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = tokio::task::spawn_blocking(exchange).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), HeaderMap::new(), body.to_owned())
}

/// A request as a stock client sends it.
fn request(world: &World, method: &str, value: &str) -> http::request::Builder {
    let bearer = format!("Bearer {value}");
    let request = Request::builder().method(method).uri("/mcp/tickets").header("host", world.relay.to_string());
    request.header("authorization", bearer).header("content-type", "application/json")
}

async fn call(world: &World, value: &str) -> Said {
    send(world, request(world, "POST", value).body(Full::from(BODY)).unwrap()).await
}

#[track_caller]
fn refused(said: &Said, status: u16, code: Code) {
    let body: Value = serde_json::from_str(&said.2).unwrap();
    assert_eq!((said.0, body["error"]["data"]["code"].as_str()), (status, Some(code.name())), "{body}");
    let help = body["error"]["data"]["help"].as_str().unwrap();
    assert!(body["error"]["message"].as_str().unwrap().contains(help) && body["jsonrpc"] == "2.0", "{body}");
    assert_eq!(said.1.contains_key("www-authenticate"), status == 401 && !said.1.is_empty());
}

/// Break: pass a header of the client's connection or a credential of his; change the body; drop an answer's header.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_and_is_told_is_the_same_but_for_who_says_it() {
    let (world, gate, requested) = world(600).await;
    let given = given(&requested, false).await.unwrap();
    assert_eq!(given.url, format!("http://{}/mcp/tickets", world.relay));
    let status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    assert_eq!(status.relay, Some(format!("http://{}", world.relay)));
    let value = given.value.unwrap();
    for method in ["POST", "DELETE"] {
        let request = request(&world, method, &value)
            .uri("/mcp/tickets?a=%2F")
            .header("cookie", "a=1")
            .header("dpop", "mine")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("mcp-session-id", "s-1")
            .header("mcp-protocol-version", "2025-06-18")
            .header("last-event-id", "7");
        let said = send(&world, request.body(Full::from(BODY)).unwrap()).await;
        assert_eq!((said.0, said.2.as_str()), (200, r#"{"n":12345678901234567890123}"#), "{method}");
        assert!(said.1["mcp-session-id"] == "s-1" && !said.1.contains_key("x-hop"));
        let heard = gate.kept().heard.pop().unwrap();
        assert_eq!((heard.method.as_str(), heard.target.as_str()), (method, "/mcp/tickets?a=%2F"));
        assert_eq!(heard.body, BODY.as_bytes());
        let mut names: Vec<&str> = heard.headers.keys().map(http::HeaderName::as_str).collect();
        names.sort_unstable();
        let expected = [
            "authorization",
            "content-length",
            "content-type",
            "dpop",
            "host",
            "last-event-id",
            "mcp-protocol-version",
            "mcp-session-id",
        ];
        assert_eq!(names, expected);
        let all = format!("{:?}", heard.headers);
        assert!(!all.contains(&value) && !all.contains("mine") && heard.headers.get_all("dpop").iter().count() == 1);
    }
    assert_eq!(gate.kept().refused, 0);
}

/// Break: keep the answer until it ends; go on with it after the client has gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_passes_piece_by_piece_and_ends_with_either_end() {
    let (world, gate, requested) = world(600).await;
    let value = value(&requested).await;
    let standing = || request(&world, "GET", &value).header("accept", "text/event-stream");
    let mut response = begin(&world, standing().body(Full::default()).unwrap()).await;
    assert!(response.status() == 200 && response.headers()["content-type"] == "text/event-stream");
    let stream = gate.kept().streams.pop().unwrap();
    for piece in ["data: 1\n\n", "data: 2\n\n"] {
        stream.send(piece).await.unwrap();
        let frame = response.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, piece);
    }
    drop(stream);
    assert!(response.frame().await.is_none());

    let response = begin(&world, standing().body(Full::default()).unwrap()).await;
    let stream = gate.kept().streams.pop().unwrap();
    drop(response);
    tokio::time::timeout(Duration::from_secs(10), stream.closed()).await.unwrap();
}

/// Break: renew after the end, or at each call; mint for each of those who wait; mint again what cannot live longer.
#[tokio::test(flavor = "multi_thread")]
async fn calls_across_many_lives_of_a_token_never_fail_and_renewals_are_few() {
    let (world, gate, requested) = world(30).await;
    assert_eq!(requested.run.until, NOW + 900);
    let value = value(&requested).await;
    for second in 0..120 {
        world.clock.set(NOW + second);
        assert_eq!(call(&world, &value).await.0, 200, "second {second}");
    }
    // A token of half a minute is renewed when half of that is over.
    assert_eq!((gate.tokens(), gate.kept().refused), (8, 0));

    let world = Arc::new(world);
    for moment in [140, 165, 900 - 25] {
        world.clock.set(NOW + moment);
        let before = gate.tokens();
        let calls: Vec<_> = (0..32)
            .map(|_| {
                let (world, value) = (Arc::clone(&world), value.clone());
                tokio::spawn(async move { call(&world, &value).await.0 })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), 200, "all at once at {moment}");
        }
        assert_eq!(gate.tokens(), before + 1, "one renewal for all of them");
    }
    // The last token ends with the grant, and so would any other.
    let before = gate.tokens();
    for moment in 886..900 {
        world.clock.set(NOW + moment);
        assert_eq!(call(&world, &value).await.0, 200, "second {moment}");
    }
    assert_eq!(gate.tokens(), before);
    world.clock.set(NOW + 900);
    let said = call(&world, &value).await;
    refused(&said, 401, Code::TokenExpired);
    assert!(said.2.contains("remit request SERVER/TOOL"), "{}", said.2);
    assert_eq!(gate.kept().refused, 0);
}

/// Break: take any value for good, take it for any server, serve a page, or read a body of any size.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_is_refused_in_the_gateways_words_and_never_sent_on() {
    let (world, gate, requested) = world(TOKEN_SECONDS_MAX).await;
    let value = value(&requested).await;
    let before = entries(&world).await;
    let mut forged = value.clone();
    forged.pop();
    forged.push(if value.ends_with('A') { 'E' } else { 'A' });
    refused(&call(&world, &forged).await, 401, Code::TokenInvalid);
    refused(&call(&world, "eyJhbGciOiJFZERTQSJ9.e30.x").await, 401, Code::TokenInvalid);
    assert_eq!(entries(&world).await, before + 2);
    let other = request(&world, "POST", &value).uri("/mcp/docs").body(Full::from(BODY)).unwrap();
    refused(&send(&world, other).await, 401, Code::TokenAudience);
    assert!(logged(&world, "\"object\":\"relay\"").await);

    let plain =
        |method: &str, uri: &str| Request::builder().method(method).uri(uri).header("host", world.relay.to_string());
    let empty = |request: http::request::Builder| request.body(Full::default()).unwrap();
    refused(&send(&world, empty(plain("POST", "/mcp/tickets"))).await, 401, Code::TokenMissing);
    for uri in ["/", "/mcp/", "/mcp/tickets/x", "/mcp/%74ickets", "/healthz", "/.well-known/oauth-protected-resource"] {
        refused(&send(&world, empty(plain("GET", uri))).await, 404, Code::ServerUnknown);
    }
    let page = request(&world, "POST", &value).header("origin", "http://evil.example");
    refused(&send(&world, empty(page)).await, 403, Code::OriginForbidden);
    assert_eq!(send(&world, empty(request(&world, "PUT", &value))).await.0, 405);
    let head = format!(
        "POST /mcp/tickets HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {value}\r\nconnection: close\r\n",
        world.relay
    );
    let large = 4 * 1024 * 1024 + 1;
    let announced = format!("{head}content-length: {large}\r\n\r\n");
    refused(&raw(&world, announced).await, 413, Code::RequestTooLarge);
    let unannounced =
        format!("{head}transfer-encoding: chunked\r\n\r\n{large:x}\r\n{}\r\n0\r\n\r\n", " ".repeat(large));
    refused(&raw(&world, unannounced).await, 413, Code::RequestTooLarge);
    assert!(gate.counts() == (0, 0));
    assert_eq!(call(&world, &value).await.0, 200);
}

/// Break: let a value live on after its run, or after the process that gave it.
#[tokio::test(flavor = "multi_thread")]
async fn a_value_ends_with_its_run_and_with_the_authority_that_gave_it() {
    let (mut world, gate, requested) = world(600).await;
    let first = value(&requested).await;
    assert_eq!(call(&world, &first).await.0, 200);
    world.restart().await;
    refused(&call(&world, &first).await, 401, Code::TokenInvalid);
    let second = value(&requested).await;
    assert_eq!((call(&world, &second).await.0, second == first), (200, false));

    let revoke = |kind, id: String| AdminAsk::Revoke { kind, id, why: "x".into() };
    let _seq: Value = world.admin(revoke(Kind::Run, requested.run.id.to_string())).await.unwrap();
    refused(&call(&world, &second).await, 401, Code::Revoked);
    let other = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let third = value(&other).await;
    let _ended: Value = world.admin(AdminAsk::End { run: other.run.id.clone() }).await.unwrap();
    refused(&call(&world, &third).await, 401, Code::TokenExpired);
    assert_eq!(gate.counts(), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_gone_is_said_to_be() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let world = World::start_for(&url, 600).await;
    world.furnish().await;
    let requested = world.request(&["tickets/read_ticket"], None).await.unwrap();
    refused(&call(&world, &value(&requested).await).await, 502, Code::UpstreamUnreachable);
}

/// Break: give a value where it is not needed, or bind no token because the manifest says that it may be so.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_whose_tokens_need_no_proof_has_no_relay_unless_it_wants_one() {
    let gate = Gate::start().await;
    let world = World::start_for(&gate.url, 600).await;
    world.set_pin().await;
    let _shown: Value = world.admin_pin(super::common::add_server(), Some(PIN)).await.unwrap();
    let manifest = MANIFEST.replace("purpose", "bearer = true\npurpose");
    let _new: Value = world.admin_pin(AdminAsk::RegisterAgent { manifest }, Some(PIN)).await.unwrap();
    let requested = world.request(&["tickets/read_ticket"], None).await.unwrap();
    gate.kept().keys = super::http::bundle(&world).await.bundle.keys;
    assert!(given(&requested, false).await.unwrap().value.is_none());
    let wanted = given(&requested, true).await.unwrap().value.unwrap();
    assert_eq!(call(&world, &wanted).await.0, 200);
    assert_ne!(world.gateway, GATEWAY);
}

/// What a process does that has a value: one call, and what it is told.
#[test]
#[ignore = "it is a part of the next test"]
#[expect(clippy::print_stdout, reason = "the other process reads it")]
fn child() {
    let mut lines = std::io::stdin().lines().map_while(Result::ok);
    let address: SocketAddr = lines.next().unwrap().parse().unwrap();
    let value = lines.next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /mcp/tickets HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {value}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    println!("\nCHILD {}", answer.split(' ').nth(1).unwrap());
}

/// The status that a process hears which was started with this in `REMIT_RUN`.
async fn status_of(world: &World, mark: Option<&str>, value: &str) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "relay::child", "--ignored", "--nocapture"]).env_remove("REMIT_RUN");
    command.envs(mark.map(|mark| ("REMIT_RUN", mark))).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{}\n{value}", world.relay).unwrap();
    let said = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.filter_map(|line| line.strip_prefix("CHILD ").map(ToOwned::to_owned)).last();
        child.wait().unwrap();
        said
    });
    said.await.unwrap().unwrap()
}

/// Break: do not ask whose process it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_value_is_worth_nothing_in_a_process_of_another_run() {
    let (world, gate, own) = world(600).await;
    let other = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let value = value(&own).await;
    let (own, other) = (own.run.id.to_string(), other.run.id.to_string());
    assert_eq!(status_of(&world, Some(&own), &value).await, "200");
    assert_eq!(status_of(&world, None, &value).await, "200");
    let before = entries(&world).await;
    assert_eq!(status_of(&world, Some(&other), &value).await, "403");
    assert_eq!(status_of(&world, Some("r-over"), &value).await, "403");
    assert_eq!(entries(&world).await, before + 2);
    assert_eq!(gate.counts(), (2, 0));
}
