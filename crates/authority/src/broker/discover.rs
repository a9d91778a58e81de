//! Which authorization server a resource names, and what that says of itself (RFC 9728, RFC 8414, `OpenID` Connect Discovery).
//!
//! **Invariant:** a resource speaks for itself alone, and an authorization server is who it is looked up as, byte for byte.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use remit_core::json::object;
use serde::Deserialize;

use super::error::BrokerError;
use crate::fetch::{FetchError, Fetcher};

/// Most authorization servers, scopes and methods that are looked at in one document.
const NAMES_MAX: usize = 256;
/// Longest scope, in bytes.
pub(crate) const SCOPE_BYTES_MAX: usize = 4_096;
/// What asks a server for its challenge: a message that does nothing, in every revision.
const PING: &[u8] = br#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#;

/// What a server wants of whoever comes without a token (RFC 6750 section 3, RFC 9728 section 5.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where its metadata are.
    pub metadata: Option<String>,
    /// What it needs, separated by spaces.
    pub scope: Option<String>,
}

/// A protected resource's own metadata.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Protected {
    /// Its identifier.
    pub resource: String,
    /// Who issues tokens for it.
    #[serde(default)]
    pub authorization_servers: Vec<String>,
    /// What can be asked for.
    #[serde(default)]
    pub scopes_supported: Option<Vec<String>>,
}

/// An authorization server's metadata.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// Who it is.
    pub issuer: String,
    /// Where a browser is sent.
    #[serde(default)]
    pub authorization_endpoint: Option<String>,
    /// Where tokens are issued.
    pub token_endpoint: String,
    /// Where clients register themselves (RFC 7591).
    #[serde(default)]
    pub registration_endpoint: Option<String>,
    /// Where tokens are given back (RFC 7009).
    #[serde(default)]
    pub revocation_endpoint: Option<String>,
    /// What can be asked for.
    #[serde(default)]
    pub scopes_supported: Option<Vec<String>>,
    /// Of PKCE.
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
    /// How clients authenticate; only by `client_secret_basic` where nothing is said.
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Whether an answer in the browser names its issuer (RFC 9207).
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
    /// Whether a client may name itself by the URL of its metadata.
    #[serde(default)]
    pub client_id_metadata_document_supported: bool,
}

/// What a server's own words lead to.
pub(crate) struct Found {
    /// The identifier for which tokens are asked.
    pub(crate) resource: String,
    /// What it says that it needs.
    pub(crate) scope: Option<String>,
    /// Its authorization server.
    pub(crate) server: Metadata,
}

/// Follows a server's words to its authorization server; to the one that is named instead, where one is.
pub(crate) async fn discover(fetcher: &Fetcher, url: &str, named: Option<&str>) -> Result<Found, BrokerError> {
    let asked = challenged(fetcher, url).await?;
    let protected = protected(fetcher, url, &asked).await?;
    let (resource, issuer, offered) = match (protected, named) {
        (Some(found), _) => {
            let issuer = match named {
                None => found.authorization_servers.first().cloned(),
                Some(named) => found.authorization_servers.iter().find(|one| *one == named).cloned(),
            };
            let other = "the server names another authorization server than the one that is registered for it";
            let none = if named.is_some() { other } else { "the server names no authorization server" };
            (found.resource, issuer.ok_or(BrokerError::Invalid(none))?, found.scopes_supported)
        }
        (None, Some(named)) => (url.to_owned(), named.to_owned(), None),
        (None, None) => {
            let why = "the server has no protected resource metadata (RFC 9728), so it names no authorization server";
            return Err(BrokerError::Invalid(why));
        }
    };
    let scope = asked.scope.or_else(|| offered.filter(|all| !all.is_empty()).map(|all| all.join(" ")));
    let scope = scope.filter(|scope| scope.len() <= SCOPE_BYTES_MAX);
    Ok(Found { resource, scope, server: server(fetcher, &issuer).await? })
}

async fn challenged(fetcher: &Fetcher, url: &str) -> Result<Challenge, BrokerError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    let answer = fetcher.ask(Method::POST, url, &headers, Bytes::from_static(PING)).await;
    let answer = answer.map_err(|error| BrokerError::Fetch("the server", error))?;
    Ok(challenge(&answer.headers))
}

async fn protected(fetcher: &Fetcher, url: &str, asked: &Challenge) -> Result<Option<Protected>, BrokerError> {
    const WHAT: &str = "the server's protected resource metadata";
    let urls = match &asked.metadata {
        Some(named) => vec![named.clone()],
        None => well_known(url, "oauth-protected-resource"),
    };
    for place in &urls {
        let bytes = match fetcher.json(place).await {
            Ok(bytes) => bytes,
            // Where the server itself has said where they are, they are there.
            Err(FetchError::Missing | FetchError::Answer) if asked.metadata.is_none() => continue,
            Err(error) => return Err(BrokerError::Fetch(WHAT, error)),
        };
        let found: Protected = object(&bytes).ok_or(BrokerError::Fetch(WHAT, FetchError::Answer))?;
        if !covers(&found.resource, url) {
            return Err(BrokerError::Invalid("its protected resource metadata are of another resource"));
        }
        if found.authorization_servers.len() > NAMES_MAX {
            return Err(BrokerError::Fetch(WHAT, FetchError::Answer));
        }
        return Ok(Some(found));
    }
    Ok(None)
}

/// What an authorization server says of itself.
pub(crate) async fn server(fetcher: &Fetcher, issuer: &str) -> Result<Metadata, BrokerError> {
    const WHAT: &str = "the authorization server's metadata";
    let mut places = well_known(issuer, "oauth-authorization-server");
    places.truncate(1);
    places.extend(well_known(issuer, "openid-configuration").into_iter().take(1));
    places.push(format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/')));
    places.dedup();
    let mut last = FetchError::Missing;
    for place in &places {
        match fetcher.json(place).await {
            Ok(bytes) => return read(issuer, &bytes),
            Err(error @ (FetchError::Missing | FetchError::Answer)) => last = error,
            Err(error) => return Err(BrokerError::Fetch(WHAT, error)),
        }
    }
    Err(BrokerError::Fetch(WHAT, last))
}

/// Reads the metadata of the authorization server of this name.
pub fn read(issuer: &str, bytes: &[u8]) -> Result<Metadata, BrokerError> {
    let found: Option<Metadata> = object(bytes);
    let found = found.ok_or(BrokerError::Fetch("the authorization server's metadata", FetchError::Answer))?;
    if found.issuer != issuer {
        return Err(BrokerError::Invalid("the authorization server's metadata are of another issuer"));
    }
    let all = [&found.scopes_supported, &found.token_endpoint_auth_methods_supported];
    if all.into_iter().flatten().chain([&found.code_challenge_methods_supported]).any(|all| all.len() > NAMES_MAX) {
        return Err(BrokerError::Invalid("the authorization server's metadata have too many members"));
    }
    Ok(found)
}

/// The well-known places of a URL: with its path after the name, and of its host (RFC 8414 section 3.1, RFC 9728 section 3.1).
fn well_known(url: &str, name: &str) -> Vec<String> {
    let Some((origin, path)) = parts(url) else { return Vec::new() };
    let path = path.trim_end_matches('/');
    let mut places = vec![format!("{origin}/.well-known/{name}{path}"), format!("{origin}/.well-known/{name}")];
    places.dedup();
    places
}

/// Origin and path of a URL.
fn parts(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    Some((format!("{}://{}", uri.scheme_str()?, uri.authority()?.as_str().to_ascii_lowercase()), uri.path().to_owned()))
}

/// Whether a resource's identifier stands for a URL: it is that, or a folder above it.
pub fn covers(resource: &str, url: &str) -> bool {
    let (Some((origin, path)), Some((of, at))) = (parts(resource), parts(url)) else { return false };
    let path = path.trim_end_matches('/');
    origin == of
        && !resource.contains(['#', '?'])
        && at.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a 401 or 403 says in `WWW-Authenticate`.
pub fn challenge(headers: &HeaderMap) -> Challenge {
    let mut found = Challenge::default();
    for value in headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()) {
        for (name, value) in parameters(value) {
            match name.as_str() {
                "resource_metadata" if found.metadata.is_none() => found.metadata = Some(value),
                "scope" if found.scope.is_none() && !value.is_empty() => found.scope = Some(value),
                _ => {}
            }
        }
    }
    found
}

/// `name=value` and `name="value"`, wherever they stand: schemes are words without a value.
fn parameters(text: &str) -> Vec<(String, String)> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('=') {
        let (before, after) = rest.split_at(at);
        let name = before.rsplit([' ', ',', '\t']).next().unwrap_or_default().to_ascii_lowercase();
        let after = after.get(1..).unwrap_or_default();
        let (value, left) = if let Some(quoted) = after.strip_prefix('"') {
            unquoted(quoted)
        } else {
            let end = after.find([',', ' ']).unwrap_or(after.len());
            let (value, left) = after.split_at(end);
            (value.to_owned(), left)
        };
        found.push((name, value));
        rest = left;
    }
    found
}

/// A quoted string without its quotes, and what follows it.
fn unquoted(text: &str) -> (String, &str) {
    let (mut value, mut escaped) = (String::new(), false);
    for (at, letter) in text.char_indices() {
        match letter {
            '"' if !escaped => return (value, text.get(at.saturating_add(1)..).unwrap_or_default()),
            '\\' if !escaped => escaped = true,
            letter => {
                value.push(letter);
                escaped = false;
            }
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: compare resources by how their texts begin.
    #[test]
    fn a_resource_speaks_for_itself_and_what_is_below_it() {
        let url = "https://a.example/mcp/one";
        for good in
            ["https://a.example", "https://a.example/", "https://A.example/mcp", "https://a.example/mcp/one/", url]
        {
            assert!(covers(good, url), "{good}");
        }
        for bad in [
            "https://a.example/mcp/on",
            "https://a.example/mcp/one/more",
            "https://b.example/mcp/one",
            "http://a.example/mcp/one",
            "https://a.example:444/mcp",
            "https://a.example.evil/mcp",
            "https://a.example/mcp?x=1",
            "",
        ] {
            assert!(!covers(bad, url), "{bad}");
        }
    }

    #[test]
    fn well_known_places_are_those_of_the_standards() {
        let places = well_known("https://as.example/tenant/", "oauth-authorization-server");
        assert_eq!(places[0], "https://as.example/.well-known/oauth-authorization-server/tenant");
        assert_eq!(places[1], "https://as.example/.well-known/oauth-authorization-server");
        assert_eq!(well_known("https://as.example", "x"), ["https://as.example/.well-known/x"]);
        assert!(well_known("as.example", "x").is_empty());
    }

    #[test]
    fn a_challenge_is_read_however_it_is_quoted() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::WWW_AUTHENTICATE, text.parse().unwrap());
            challenge(&headers)
        };
        let full = read(r#"Bearer error="invalid_token", resource_metadata="https://a/x?y=z", scope="a b""#);
        assert_eq!(full.metadata.as_deref(), Some("https://a/x?y=z"));
        assert_eq!(full.scope.as_deref(), Some("a b"));
        assert_eq!(read(r#"Basic realm="a, scope=\"x\"", Bearer scope=one"#).scope.as_deref(), Some("one"));
        assert_eq!(read("Bearer"), Challenge::default());
        assert_eq!(read(r#"Bearer scope=""#).scope, None);
    }

    /// Break: take the metadata of one issuer for another's, or trim what stands there.
    #[test]
    fn metadata_are_of_the_issuer_that_was_asked() {
        let text = br#"{"issuer":"https://as.example","token_endpoint":"https://as.example/token"}"#;
        assert_eq!(read("https://as.example", text).unwrap().token_endpoint, "https://as.example/token");
        for other in ["https://as.example/", "https://AS.example", "https://other.example"] {
            assert!(matches!(read(other, text), Err(BrokerError::Invalid(_))), "{other}");
        }
        assert!(read("https://as.example", b"[]").is_err());
    }
}
