//! The gateway's own requests to the authority: bounded, with a deadline, and never redirected.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Why the authority gave no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No connection, or no answer in time.
    #[error("the authority cannot be reached")]
    Unreachable,
    /// An answer other than 200 or 304.
    #[error("the authority answers with status {0}")]
    Status(u16),
    /// An answer that is larger than the limit, or not text.
    #[error("the authority's answer is too large or not text")]
    Invalid,
}

/// A client of one authority.
#[derive(Clone)]
pub struct Authority {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    url: String,
}

impl Authority {
    /// A client of the authority at `url`.
    pub fn new(url: &str) -> Self {
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        Self { client: Client::builder(TokioExecutor::new()).build(connector), url: url.to_owned() }
    }

    /// The text at `path`; `None` where there is nothing new (304 or 204).
    pub async fn get(&self, path: &str, bytes_max: usize, deadline: Duration) -> Result<Option<String>, FetchError> {
        self.get_as(path, None, bytes_max, deadline).await
    }

    /// The same, with a request that the gateway signed: it stands in a header, because URLs are written down.
    pub async fn get_as(
        &self,
        path: &str,
        signed: Option<&str>,
        bytes_max: usize,
        deadline: Duration,
    ) -> Result<Option<String>, FetchError> {
        let mut request = Request::get(format!("{}{path}", self.url));
        if let Some(signed) = signed {
            request = request.header(http::header::AUTHORIZATION, format!("Bearer {signed}"));
        }
        let request = request.body(Empty::new()).map_err(|_| FetchError::Unreachable)?;
        let answer = async {
            let response = self.client.request(request).await.map_err(|_| FetchError::Unreachable)?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_MODIFIED | StatusCode::NO_CONTENT => return Ok(None),
                other => return Err(FetchError::Status(other.as_u16())),
            }
            let body = Limited::new(response.into_body(), bytes_max).collect().await;
            let body = body.map_err(|_| FetchError::Invalid)?.to_bytes();
            String::from_utf8(body.into()).map(Some).map_err(|_| FetchError::Invalid)
        };
        tokio::time::timeout(deadline, answer).await.unwrap_or(Err(FetchError::Unreachable))
    }
}
