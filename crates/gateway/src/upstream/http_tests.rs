//! Against a real server on loopback that misbehaves in every way a server can.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Method, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::http::HttpUpstreams;
use super::*;
use crate::sse::FrameKind;

mod bounds;

const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#;
const ANSWER: &str = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;

/// Short for a test that waits for one, long for a busy machine that must not meet one.
fn deadlines() -> Deadlines {
    let s = Duration::from_secs;
    Deadlines { connect: s(5), first_byte: s(2), idle: s(2), total: s(8) }
}

/// Serves raw bytes: the first for every connection, then as many more, one every 20 ms, as `rest` says.
struct Server {
    address: SocketAddr,
    seen: mpsc::Receiver<String>,
    hung_up: mpsc::Receiver<()>,
    connections: Arc<AtomicUsize>,
}

async fn serve(first: Vec<u8>, rest: Option<(Vec<u8>, usize)>, then_close: bool) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen_in, seen) = mpsc::channel(8);
    let (hung_up_in, hung_up) = mpsc::channel(8);
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(one(stream, first.clone(), rest.clone(), then_close, seen_in.clone(), hung_up_in.clone()));
        }
    });
    Server { address, seen, hung_up, connections }
}

async fn one(
    mut stream: TcpStream,
    first: Vec<u8>,
    rest: Option<(Vec<u8>, usize)>,
    then_close: bool,
    seen: mpsc::Sender<String>,
    hung_up: mpsc::Sender<()>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"}}") {
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(n) if n > 0 => request.extend_from_slice(&piece[..n]),
            _ => return,
        }
    }
    seen.send(String::from_utf8(request).unwrap()).await.unwrap();
    let _closed_early = stream.write_all(&first).await;
    if let Some((piece, times)) = rest {
        for _ in 0..times {
            if stream.write_all(&piece).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    if !then_close {
        let mut rest = [0; 16];
        while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
        hung_up.send(()).await.ok();
    }
}

fn response(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nset-cookie: a=b\r\nmcp-session-id: s1\r\n\r\n{body}")
        .into_bytes()
}

fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_vec()
}

fn outgoing(standing: bool) -> Outgoing {
    let headers = HeaderMap::from_iter([(::http::header::AUTHORIZATION, HeaderValue::from_static("Bearer up"))]);
    Outgoing {
        body: Bytes::from_static(BODY.as_bytes()),
        headers,
        method: Method::POST,
        standing,
        reviewed: BTreeSet::new(),
    }
}

async fn send(server: &Server, standing: bool) -> Result<Reply, UpstreamError> {
    let url = format!("http://{}/mcp", server.address).parse().unwrap();
    HttpUpstreams::new(deadlines()).send(&url, outgoing(standing)).await
}

async fn collect(reply: Reply) -> Vec<Result<Frame, UpstreamError>> {
    let Reply::Stream { frames, .. } = reply else { panic!("a stream, not {reply:?}") };
    frames.collect().await
}

#[tokio::test]
async fn a_message_and_its_answer_are_relayed() {
    let mut server = serve(response("200 OK", "application/json; charset=utf-8", ANSWER), None, false).await;
    let Reply::Json { status, headers, body } = send(&server, false).await.unwrap() else { panic!("one message") };
    assert_eq!((status, &*body), (StatusCode::OK, ANSWER.as_bytes()));
    let mut names: Vec<&str> = headers.keys().map(::http::HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-type", "mcp-session-id"]);
    let seen = server.seen.recv().await.unwrap();
    assert!(seen.starts_with("POST /mcp HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("authorization: Bearer up\r\n") && seen.ends_with(BODY), "{seen}");
}

#[track_caller]
fn is(reply: Result<Reply, UpstreamError>, expected: UpstreamError) {
    assert_eq!(reply.map(|reply| format!("{reply:?}")), Err(expected));
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    let malformed = |why| UpstreamError::Malformed(why);
    let encoded =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}";
    let endless_head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", REPLY_BYTES_MAX + 1);
    let cut = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{\"jso".to_vec();
    for (bytes, close, expected) in [
        (response("200 OK", "text/html", "<p>"), false, malformed("neither JSON nor a stream")),
        (encoded.to_vec(), false, malformed("an encoded body")),
        (endless_head.into_bytes(), false, UpstreamError::TooLarge),
        (cut.clone(), true, UpstreamError::Closed),
        (cut, false, UpstreamError::Timeout),
        (b"not HTTP at all\r\n\r\n".to_vec(), false, UpstreamError::Closed),
        (Vec::new(), true, UpstreamError::Closed),
        (Vec::new(), false, UpstreamError::Timeout),
    ] {
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        let server = serve(bytes, None, close).await;
        assert_eq!(send(&server, false).await.map(|r| format!("{r:?}")), Err(expected), "{shown:?}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = serve(response("200 OK", "application/json", ANSWER), None, false).await;
    for status in ["301", "302", "303", "307", "308"] {
        let head = format!(
            "HTTP/1.1 {status} Elsewhere\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
            elsewhere.address
        );
        let server = serve(head.into_bytes(), None, false).await;
        is(send(&server, false).await, UpstreamError::Malformed("a redirect"));
    }
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn nobody_is_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    is(HttpUpstreams::new(deadlines()).send(&url, outgoing(false)).await, UpstreamError::Unreachable);
}

#[tokio::test]
async fn errors_keep_their_status_and_lose_their_page() {
    let server = serve(response("404 Not Found", "application/json", "{}"), None, false).await;
    let Reply::Json { status, body, .. } = send(&server, false).await.unwrap() else { panic!("one message") };
    assert_eq!((status, &*body), (StatusCode::NOT_FOUND, b"{}".as_slice()));
    let server = serve(response("401 Unauthorized", "text/html", "<p>token up"), None, false).await;
    let Reply::Json { status, headers, body } = send(&server, false).await.unwrap() else { panic!("one message") };
    assert_eq!((status, body.len(), headers.len()), (StatusCode::UNAUTHORIZED, 0, 0));
    let server = serve(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_vec(), None, false).await;
    assert!(matches!(send(&server, false).await, Ok(Reply::Accepted)));
}

#[tokio::test]
async fn nothing_is_an_answer_in_chunks_too() {
    for head in ["content-length: 0\r\n\r\n", "transfer-encoding: chunked\r\n\r\n0\r\n\r\n"] {
        let server = serve(format!("HTTP/1.1 200 OK\r\n{head}").into_bytes(), None, false).await;
        let Reply::Json { status, body, .. } = send(&server, false).await.unwrap() else { panic!("no message") };
        assert_eq!((status, body.len()), (StatusCode::OK, 0));
    }
    let something = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec();
    let server = serve(something, None, false).await;
    is(send(&server, false).await, UpstreamError::Malformed("a body of no kind"));
}

#[tokio::test]
async fn a_stream_arrives_frame_by_frame() {
    let note = r#"{"jsonrpc":"2.0","method":"notifications/message"}"#;
    let body = format!(":\r\n\r\nevent: message\r\ndata: {note}\r\n\r\ndata: {ANSWER}\n\n");
    let server = serve([stream_head(), body.into_bytes()].concat(), None, true).await;
    let frames = collect(send(&server, false).await.unwrap()).await;
    let one = crate::mcp::id::IdKey::number(1);
    let kinds: Vec<FrameKind> = frames.iter().map(|frame| frame.as_ref().unwrap().kind(&one)).collect();
    assert_eq!(kinds, [FrameKind::Silent, FrameKind::Notification("notifications/message".into()), FrameKind::Final]);
}

#[tokio::test]
async fn streams_end_where_they_may_not() {
    for (body, close, expected) in [
        ("data: cut", true, UpstreamError::Closed),
        (": hi\n", false, UpstreamError::Timeout),
        ("data: \u{0}\n\n: x", false, UpstreamError::Timeout),
    ] {
        let server = serve([stream_head(), body.as_bytes().to_vec()].concat(), None, close).await;
        let frames = collect(send(&server, false).await.unwrap()).await;
        assert_eq!(frames.last(), Some(&Err(expected)), "{body}");
    }
    let server = serve([stream_head(), b"data: \xff\n\n".to_vec()].concat(), None, true).await;
    let frames = collect(send(&server, false).await.unwrap()).await;
    assert_eq!(frames, [Err(UpstreamError::Malformed("a stream is not UTF-8"))]);
    let server = serve(stream_head(), Some((vec![b'a'; 1 << 20], 32)), true).await;
    let frames = collect(send(&server, false).await.unwrap()).await;
    assert_eq!(frames, [Err(UpstreamError::TooLarge)]);
}

#[tokio::test]
async fn an_endless_stream_ends_and_a_standing_one_does_not() {
    let upstreams = HttpUpstreams::new(Deadlines { total: Duration::from_millis(900), ..deadlines() });
    let server = serve(stream_head(), Some((b": on\n".to_vec(), 1000)), true).await;
    let url = format!("http://{}/mcp", server.address).parse().unwrap();
    let frames = collect(upstreams.send(&url, outgoing(false)).await.unwrap()).await;
    assert_eq!(frames.last(), Some(&Err(UpstreamError::Timeout)));
    let Reply::Stream { frames, .. } = upstreams.send(&url, outgoing(true)).await.unwrap() else { panic!("a stream") };
    let past_total = frames.take(60).all(|frame| async move { frame.is_ok() }).await;
    assert!(past_total, "60 frames take longer than the whole of a call may");
}

#[tokio::test]
async fn whoever_leaves_ends_the_request() {
    let mut server = serve(stream_head(), None, false).await;
    let reply = send(&server, true).await.unwrap();
    assert!(server.hung_up.try_recv().is_err());
    drop(reply);
    server.hung_up.recv().await.unwrap();

    let mut server = serve(Vec::new(), None, false).await;
    let url = format!("http://{}/mcp", server.address).parse().unwrap();
    let patient = Deadlines { first_byte: Duration::from_mins(1), ..deadlines() };
    let upstreams = HttpUpstreams::new(patient);
    let sending = tokio::spawn(async move { upstreams.send(&url, outgoing(false)).await });
    server.seen.recv().await.unwrap();
    sending.abort();
    server.hung_up.recv().await.unwrap();
}
