//! One request: who it is of, and the same to the gateway with the run's token and a proof.
//!
//! **Invariant:** nothing goes on before the value, its server and the process that sent it fit together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::header::{AUTHORIZATION, CONNECTION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use remit_core::call::CALL_BYTES_MAX;
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};

use super::held::Proven;
use super::refuse::{not_allowed, pass_over, refusal};
use super::value::Of;
use crate::authority::State;
use crate::error::AuthorityError;
use crate::http::blocking;
use crate::socket::peer::Place;

/// The longest that an answer's head is waited for: longer than the gateway waits for the servers behind it.
const ANSWER_TIME_MAX: Duration = Duration::from_mins(16);
/// What belongs to one connection and not to the message (RFC 9110 section 7.6.1), and what the client of a
/// connection makes itself.
const OF_A_CONNECTION: [&str; 10] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "proxy-authenticate",
    "proxy-authorization",
];
/// What a client says of itself, to us.
const OF_THE_CLIENT: [&str; 5] = ["authorization", "dpop", "cookie", "host", "content-length"];
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Answers one request of a connection that belongs there.
pub(super) async fn answer(
    state: Arc<State>,
    place: Option<Place>,
    own: SocketAddr,
    request: Request<Incoming>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if ![Method::POST, Method::GET, Method::DELETE].contains(&parts.method) {
        return not_allowed();
    }
    let proven = match meant(&parts, &body, own) {
        Ok((server, value)) => prove(&state, place, server, value, parts.method.clone()).await,
        Err(rejection) => Err(rejection),
    };
    let proven = match proven {
        Ok(proven) => proven,
        Err(rejection) => {
            pass_over(body).await;
            return refusal(&rejection);
        }
    };
    send(&state, &parts, body, &proven).await.unwrap_or_else(|rejection| refusal(&rejection))
}

/// The server and the value that a request names, where it comes from a program and is for this relay.
fn meant(parts: &Parts, body: &Incoming, own: SocketAddr) -> Result<(ServerName, String), Rejection> {
    if !from_a_program(&parts.headers, own) {
        let message = "the request comes from a web page, or for another host";
        return Err(Rejection::new(Code::OriginForbidden, message, "call from an MCP client"));
    }
    let name = parts.uri.path().strip_prefix("/mcp/").and_then(|name| ServerName::new(name).ok());
    let Some(server) = name else {
        return Err(Rejection::new(Code::ServerUnknown, "there is nothing here", "speak to /mcp/SERVER"));
    };
    if body.size_hint().lower() > u64::try_from(CALL_BYTES_MAX).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(|text| text.split_once(' ')),
        (None, _) => return Err(Rejection::new(Code::TokenMissing, "the request carries no token", ask(&server))),
        (Some(_), Some(_)) => None,
    };
    let value = value.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    // What is no value is told from a forged one by nothing.
    Ok((server, value.map_or_else(String::new, |(_, value)| value.trim_matches(' ').to_owned())))
}

/// No page of the web, by its own name or by one that was bound to this address.
fn from_a_program(headers: &HeaderMap, own: SocketAddr) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let port = own.port();
    let named = [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}"), own.to_string()];
    named.iter().any(|name| name.eq_ignore_ascii_case(host)) && !headers.contains_key(ORIGIN)
}

/// The token and the proof for one request, off the threads that serve; what is not ours to prove is recorded.
async fn prove(
    state: &Arc<State>,
    place: Option<Place>,
    server: ServerName,
    value: String,
    method: Method,
) -> Result<Proven, Rejection> {
    let state = Arc::clone(state);
    blocking(move || match fits(&state, place, &server, &value) {
        Ok(of) => state.prove_for(&of, method.as_str()),
        Err(rejection) => {
            state.refuse("relay", rejection.code.name(), &rejection.message, None)?;
            Err(AuthorityError::Refused(rejection))
        }
    })
    .await
}

/// What a value is of, where it is for this server and comes from a process that may ask for its run.
fn fits(state: &State, place: Option<Place>, server: &ServerName, value: &str) -> Result<Of, Rejection> {
    let Some(of) = state.relay.key.read(value) else {
        let message = "the token is none that this relay gave, or it gave it before it was started again";
        return Err(Rejection::new(Code::TokenInvalid, message, ask(server)));
    };
    if of.server != *server {
        let message = format!("the token is for `{}`, and not for `{server}`", of.server);
        return Err(Rejection::new(Code::TokenAudience, message, ask(server)));
    }
    if !place.is_some_and(|place| place.may_ask(&of.run)) {
        let message = "the token is another run's, or nobody knows whose process this is";
        return Err(Rejection::new(Code::InsufficientScope, message, ask(server)));
    }
    Ok(of)
}

fn ask(server: &ServerName) -> String {
    format!("get your own run's: remit token {server} --run RUN --to relay")
}

/// The request, as it came but for who it is of; its answer as it comes.
async fn send(state: &State, parts: &Parts, body: Incoming, proven: &Proven) -> Result<Response<Body>, Rejection> {
    let mut request = Request::new(Limited::new(body, CALL_BYTES_MAX));
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = target(&proven.url, &parts.uri)?;
    *request.headers_mut() = kept(&parts.headers, &OF_THE_CLIENT);
    request.headers_mut().insert(AUTHORIZATION, secret(&format!("DPoP {}", proven.token))?);
    request.headers_mut().insert(DPOP, secret(&proven.proof)?);
    let sent = tokio::time::timeout(ANSWER_TIME_MAX, state.relay.client.request(request)).await;
    let answered = sent.map_err(|_| {
        let message = "the gateway did not answer in time";
        Rejection::new(Code::UpstreamTimeout, message, "see how it is: remit status")
    })?;
    let (head, body) = answered.map_err(|error| unsent(&error))?.into_parts();
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = head.status;
    *response.headers_mut() = kept(&head.headers, &[]);
    Ok(response)
}

fn target(url: &str, asked: &Uri) -> Result<Uri, Rejection> {
    let query = asked.query().map_or_else(String::new, |query| format!("?{query}"));
    format!("{url}{query}").parse().map_err(|_| internal())
}

/// All headers but those of the connection, and those that are named.
fn kept(headers: &HeaderMap, but: &[&str]) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let stays = |name: &HeaderName| {
        !OF_A_CONNECTION.contains(&name.as_str()) && !but.contains(&name.as_str()) && !named.contains(name)
    };
    let all = headers.iter().filter(|(name, _)| stays(name));
    let mut kept = HeaderMap::with_capacity(headers.len());
    for (name, value) in all {
        kept.append(name, value.clone());
    }
    kept
}

fn secret(text: &str) -> Result<HeaderValue, Rejection> {
    let mut value = HeaderValue::from_str(text).map_err(|_| internal())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Why there is no answer. The gateway may have heard the request, so it is not sent again.
fn unsent(error: &hyper_util::client::legacy::Error) -> Rejection {
    let mut causes = std::iter::successors(std::error::Error::source(error), |error| error.source());
    if causes.any(<dyn std::error::Error>::is::<LengthLimitError>) {
        return too_large();
    }
    let message = "the gateway cannot be reached, or closed the connection";
    Rejection::new(Code::UpstreamUnreachable, message, "see how it is: remit status")
}

fn too_large() -> Rejection {
    let message = format!("the request has more than {CALL_BYTES_MAX} bytes");
    Rejection::new(Code::RequestTooLarge, message, "send less at once")
}

fn internal() -> Rejection {
    AuthorityError::Crypto.rejection()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    /// Break: leave one of them out of its list; do not read what `Connection` names.
    #[test]
    fn no_credential_of_the_client_and_nothing_of_its_connection_passes() {
        let sent = headers(&[
            ("authorization", "Bearer relay~x"),
            ("dpop", "x"),
            ("cookie", "x"),
            ("host", "127.0.0.1:1"),
            ("content-length", "3"),
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "x"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "x"),
            ("proxy-connection", "x"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("mcp-session-id", "s"),
            ("mcp-param-a", "1"),
            ("last-event-id", "7"),
            ("accept", "application/json"),
            ("accept", "text/event-stream"),
        ]);
        let expected = headers(&[
            ("mcp-session-id", "s"),
            ("mcp-param-a", "1"),
            ("last-event-id", "7"),
            ("accept", "application/json"),
            ("accept", "text/event-stream"),
        ]);
        assert_eq!(kept(&sent, &OF_THE_CLIENT), expected);
    }

    /// Break: look at the name alone, or at the first of two.
    #[test]
    fn a_page_and_a_rebound_name_are_no_programs() {
        let check = |pairs: &[(&'static str, &'static str)], expected: bool| {
            assert_eq!(from_a_program(&headers(pairs), "127.0.0.1:7463".parse().unwrap()), expected, "{pairs:?}");
        };
        check(&[("host", "127.0.0.1:7463")], true);
        check(&[("host", "LocalHost:7463")], true);
        for host in ["evil.example:7463", "127.0.0.1", "127.0.0.1:7462", "localhost.evil.example:7463", ""] {
            check(&[("host", host)], false);
        }
        check(&[("host", "127.0.0.1:7463"), ("origin", "http://127.0.0.1:7463")], false);
        check(&[("host", "127.0.0.1:7463"), ("host", "127.0.0.1:7463")], false);
        check(&[], false);
    }
}
