//! A small HTTP client: for health, for what a server offers, and for the agent of the demo. Bounded, with deadlines,
//! and it follows no redirect.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The URL or a header is not one.
    #[error("not a valid request: {0}")]
    Request(#[from] http::Error),
    /// No connection, or it broke.
    #[error("cannot be reached: {0}")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    /// No answer in time.
    #[error("does not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// The answer is larger than it may be, or broke off.
    #[error("its answer broke off, or is larger than {ANSWER_BYTES_MAX} bytes")]
    Body,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A client; its connections are kept for its life.
#[derive(Clone)]
pub(crate) struct Http(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Http {
    pub(crate) fn new() -> Self {
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    /// The answer's head; its body is still to be read.
    pub(crate) async fn begin(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        Ok(self.0.request(request).await?)
    }

    /// The whole answer.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>, deadline: Duration) -> Result<Answer, HttpError> {
        let answer = async {
            let (head, body) = self.begin(request).await?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| HttpError::Body)?;
            Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() })
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or(Err(HttpError::Timeout(deadline)))
    }

    pub(crate) async fn get(&self, url: &str, deadline: Duration) -> Result<Answer, HttpError> {
        self.send(Request::get(url).body(Full::default())?, deadline).await
    }
}
