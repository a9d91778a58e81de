//! Fetching a document whose URL somebody else chose. Nothing of this machine or of the organization can be reached that
//! way, unless the configuration names the host.
//!
//! **Invariant:** an address is judged when it is connected to, so no name can mean another one a moment later. Redirects
//! are not followed, nothing is sent along but what the caller says, and what comes has a bound in bytes and in time.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;

/// Largest document, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// The longest that one is waited for.
const DEADLINE: Duration = Duration::from_secs(5);

/// Why a document is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Not a URL that is fetched.
    #[error("it is not an https URL with a host and a path, without a user, a fragment or dots")]
    Url,
    /// The host, or one of its addresses, is inside.
    #[error("its host is not a public one, and `authority.internal_hosts` does not name it")]
    Inside,
    /// Nobody answers.
    #[error("it cannot be reached in {} s", DEADLINE.as_secs())]
    Unreachable,
    /// There is nothing.
    #[error("it answers that there is nothing")]
    Missing,
    /// Something else than a JSON document of allowed size is answered.
    #[error("it answers with something else than a JSON document of at most {DOCUMENT_BYTES_MAX} bytes")]
    Answer,
}

/// Fetches documents.
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector<Public>>, Full<Bytes>>,
    internal: Arc<[String]>,
}

impl Fetcher {
    /// `internal` are hosts, as URLs have them, that may be inside, and that may speak plain HTTP.
    pub fn new(internal: &[String]) -> Self {
        let internal: Arc<[String]> = internal.into();
        let mut tcp = HttpConnector::new_with_resolver(Public { internal: Arc::clone(&internal) });
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(DEADLINE));
        let tls = HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(tcp);
        // Nothing is kept open to a stranger.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(tls);
        Self { client, internal }
    }

    /// A JSON document that somebody else named: its URL has a path.
    pub async fn json(&self, url: &str) -> Result<Bytes, FetchError> {
        let path = url.parse::<Uri>().map_err(|_| FetchError::Url)?;
        if path.path() == "/" {
            return Err(FetchError::Url);
        }
        let answer = self.ask(Method::GET, url, &HeaderMap::new(), Bytes::new()).await?;
        match answer.status {
            StatusCode::OK => answer.json.ok_or(FetchError::Answer),
            status if status.is_client_error() => Err(FetchError::Missing),
            _ => Err(FetchError::Answer),
        }
    }

    /// The JSON document with which a form is answered.
    pub async fn form(&self, url: &str, form: String, basic: Option<HeaderValue>) -> Result<Bytes, FetchError> {
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        headers.extend(basic.map(|basic| (header::AUTHORIZATION, basic)));
        let answer = self.ask(Method::POST, url, &headers, Bytes::from(form)).await?;
        answer.json.filter(|_| answer.status == StatusCode::OK).ok_or(FetchError::Answer)
    }

    /// One request, and what is answered: of the body only JSON of allowed size.
    pub(crate) async fn ask(
        &self,
        method: Method,
        url: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Answer, FetchError> {
        let uri = self.checked(url)?;
        let mut request = Request::new(Full::new(body));
        *request.uri_mut() = uri;
        *request.method_mut() = method;
        request.headers_mut().extend(headers.clone());
        request.headers_mut().entry(header::ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        let asked = async { whole(self.send(request).await?).await };
        tokio::time::timeout(DEADLINE, asked).await.unwrap_or(Err(FetchError::Unreachable))
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, FetchError> {
        self.client.request(request).await.map_err(|error| {
            let inside = std::iter::successors(std::error::Error::source(&error), |error| error.source());
            let mut kinds = inside.filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind);
            if kinds.any(|kind| kind == io::ErrorKind::PermissionDenied) {
                FetchError::Inside
            } else {
                FetchError::Unreachable
            }
        })
    }

    /// Whether a URL may be asked, or a browser be sent to it, as far as that can be seen before it is looked up.
    pub(crate) fn allows(&self, url: &str) -> bool {
        self.may_ask(url).is_ok()
    }

    /// The same, with the reason why not.
    pub(crate) fn may_ask(&self, url: &str) -> Result<(), FetchError> {
        self.checked(url).map(drop)
    }

    /// What a URL must be before anything is looked up.
    fn checked(&self, url: &str) -> Result<Uri, FetchError> {
        let plain = url.bytes().all(|byte| byte.is_ascii_graphic() && !b"#@\\".contains(&byte));
        let uri: Uri = url.parse().map_err(|_| FetchError::Url)?;
        let dots = uri.path().split('/').any(|part| matches!(part, "." | ".."));
        let Some(host) = uri.host().filter(|_| plain && !dots) else {
            return Err(FetchError::Url);
        };
        let known = self.internal.iter().any(|known| known == host);
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if known => {}
            _ => return Err(FetchError::Url),
        }
        // A name is judged when it is looked up; an address is not looked up.
        match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
            Ok(address) if !known && !is_public(address) => Err(FetchError::Inside),
            _ => Ok(uri),
        }
    }
}

/// What was answered. No `Debug`: it may hold tokens.
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body, where it is JSON.
    pub(crate) json: Option<Bytes>,
}

/// What is no JSON is not read: an event stream, say, has no end.
async fn whole(response: Response<Incoming>) -> Result<Answer, FetchError> {
    let (head, body) = response.into_parts();
    let kind = head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let json = if kind == "application/json" || kind.ends_with("+json") {
        let body = Limited::new(body, DOCUMENT_BYTES_MAX).collect().await.map_err(|_| FetchError::Answer)?;
        Some(body.to_bytes())
    } else {
        None
    };
    Ok(Answer { status: head.status, headers: head.headers, json })
}

/// Looks names up, and finds public addresses alone.
#[derive(Clone)]
struct Public {
    internal: Arc<[String]>,
}

type Found = Pin<Box<dyn Future<Output = io::Result<std::vec::IntoIter<SocketAddr>>> + Send>>;

impl tower_service::Service<Name> for Public {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Found;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Found {
        let known = self.internal.iter().any(|known| known == name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One that is inside makes all of them doubtful.
            if !known && !found.iter().all(|address| is_public(address.ip())) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "an address that is not public"));
            }
            Ok(found.into_iter())
        })
    }
}

/// Whether an address belongs to the internet, and not to a machine, a site or a document (RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => embedded(address).map_or_else(|| is_public_v6(address), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19)))
}

/// Only what is handed out for the internet, `2000::/3`, and of that not what has another meaning.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (0x2000..0x4000).contains(&a) && !(a == 0x2001 && (b < 0x0200 || b == 0x0db8)) && a != 0x3fff
}

/// The `IPv4` address that stands in one of `IPv6`: mapped, translated, or tunnelled.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let v4 = |at: usize| {
        let bytes = octets.get(at..at.saturating_add(4))?;
        <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
    };
    if octets.starts_with(&[0x20, 0x02]) {
        return v4(2);
    }
    if octets.starts_with(&[0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0]) {
        return v4(12);
    }
    address.to_ipv4_mapped()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: forget one of the kinds, or look at how an address is written.
    #[test]
    fn an_address_inside_is_told_however_it_is_written() {
        for inside in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:db8::1",
            "2001::1",
            "fec0::1",
            "::7f00:1",
            "3fff::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "64:ff9b::1.1.1.1",
            "2002:101:101::",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[track_caller]
    fn check(url: &str, expected: Option<&FetchError>) {
        assert_eq!(Fetcher::new(&["inside.example".into()]).checked(url).err().as_ref(), expected, "{url}");
    }

    #[test]
    fn a_url_that_means_two_things_is_not_fetched() {
        check("https://app.example/client.json", None);
        check("http://inside.example:8080/client.json", None);
        for bad in [
            "http://app.example/client.json",
            "https://user@app.example/c",
            "https://app.example/a/../c",
            "https://app.example/c#x",
            "https://app.example\\@other.example/c",
            "ftp://app.example/c",
            "/client.json",
            "",
        ] {
            check(bad, Some(&FetchError::Url));
        }
        for inside in
            ["https://127.0.0.1/c", "https://[::1]/c", "https://[::ffff:10.0.0.1]/c", "https://169.254.169.254/latest/"]
        {
            check(inside, Some(&FetchError::Inside));
        }
    }

    /// Break: take the first page of a host for a document that somebody named.
    #[tokio::test]
    async fn a_document_has_a_path() {
        for url in ["https://app.example", "https://app.example/", "https://app.example/?a=b"] {
            assert_eq!(Fetcher::new(&[]).json(url).await.unwrap_err(), FetchError::Url, "{url}");
        }
    }

    /// Break: judge a name by how it looks, or an address before it is looked up.
    #[tokio::test]
    async fn a_name_that_means_this_machine_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = Fetcher::new(&[]).json(&format!("https://localhost:{port}/client.json")).await.unwrap_err();
        assert_eq!(error, FetchError::Inside);
        let connected = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(connected.is_err(), "somebody connected");
    }
}
