//! An upstream that says exactly what a test tells it to say, and keeps all that it hears.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

/// What the stub heard.
#[derive(Clone)]
pub struct Heard {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Heard {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The method of the message, however strange the rest of it is.
    pub fn named(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Named {
            method: String,
        }
        serde_json::from_slice::<Named>(&self.body).map_or_else(|_| String::new(), |it| it.method)
    }

    /// The id as it was written.
    pub fn id(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Id<'a> {
            #[serde(borrow)]
            id: &'a serde_json::value::RawValue,
        }
        serde_json::from_slice::<Id<'_>>(&self.body).map_or("null", |id| id.id.get()).to_owned()
    }
}

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;
type Script = Arc<dyn Fn(Heard) -> Answering + Send + Sync>;

/// A scripted upstream.
pub struct Stub {
    pub url: String,
    pub heard: Mutex<Vec<Heard>>,
    /// The text of the array of tools.
    pub tools: Mutex<String>,
    script: Script,
}

impl Stub {
    pub async fn start<F, R>(tools: &str, script: F) -> Arc<Self>
    where
        F: Fn(Heard) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        Self::at(tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(), tools, script)
    }

    /// The same, where it is known already.
    pub fn at<F, R>(listener: tokio::net::TcpListener, tools: &str, script: F) -> Arc<Self>
    where
        F: Fn(Heard) -> R + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        let stub = Arc::new(Self {
            url: format!("http://{}/mcp", listener.local_addr().unwrap()),
            heard: Mutex::default(),
            tools: Mutex::new(tools.into()),
            script: Arc::new(move |heard| Box::pin(script(heard))),
        });
        let router = Router::new().fallback(all).with_state(Arc::clone(&stub));
        tokio::spawn(async move { axum::serve(listener, router).await });
        stub
    }

    /// What was heard of a method.
    pub fn of(&self, method: &str) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|heard| heard.named() == method).cloned().collect()
    }

    /// A stream, and what its frames are put into.
    pub fn stream() -> (Response, mpsc::Sender<String>) {
        let (sender, receiver) = mpsc::channel::<String>(64);
        let body = futures_util::stream::unfold(receiver, |mut receiver| async {
            let frame = receiver.recv().await?;
            Some((Ok::<_, Infallible>(frame), receiver))
        });
        let mut response = Response::new(Body::from_stream(body));
        let kind = http::HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert("content-type", kind);
        (response, sender)
    }
}

/// A stub whose answers wait until the test lets them go. One that is asked for a stream begins it at once.
pub async fn holding(tools: &str) -> (Arc<Stub>, watch::Sender<bool>) {
    let go = watch::Sender::new(false);
    let held = go.clone();
    let stub = Stub::start(tools, move |heard| {
        let mut held = held.subscribe();
        async move {
            let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{}}}}"#, heard.id());
            if heard.json()["params"]["arguments"]["t"] != "stream" {
                held.wait_for(|go| *go).await.unwrap();
                return json(answer);
            }
            let (response, sender) = Stub::stream();
            tokio::spawn(async move {
                let note = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#;
                sender.send(format!("data: {note}\n\n")).await.ok();
                held.wait_for(|go| *go).await.ok();
                sender.send(format!("data: {answer}\n\n")).await.ok();
            });
            response
        }
    })
    .await;
    (stub, go)
}

/// A JSON answer of these very bytes.
pub fn json(body: impl Into<Body>) -> Response {
    with(200, "application/json", body)
}

/// An answer of any kind.
pub fn with(status: u16, kind: &str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    if !kind.is_empty() {
        response.headers_mut().insert("content-type", kind.parse().unwrap());
    }
    response
}

async fn all(State(stub): State<Arc<Stub>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let heard = Heard { method: parts.method, headers: parts.headers, body };
    stub.heard.lock().unwrap().push(heard.clone());
    let tools = stub.tools.lock().unwrap().clone();
    // Where it has none, the script lists them.
    if heard.named() == "tools/list" && !tools.is_empty() {
        return json(format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"tools":{tools},"ttlMs":0,"cacheScope":"public","resultType":"complete"}}}}"#,
            heard.id()
        ));
    }
    (stub.script)(heard).await
}
