//! The token endpoint of an upstream's authorization server, as its client asks it (RFC 6749, RFC 7523, RFC 8707, RFC 7009).
//!
//! **Invariant:** a secret stands in a header or a body, never in a URL, and no word of an answer is repeated but its code.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use remit_core::json::object;
use remit_core::secret::{Place, VALUE_BYTES_MAX, Value};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::discover::SCOPE_BYTES_MAX;
use super::error::BrokerError;
use super::key::ClientKey;
use super::record::{ClientAuth, OauthRecord};
use crate::assertion::ASSERTION_TYPE;
use crate::fetch::{Answer, FetchError, Fetcher};
use crate::random;

/// Life of an assertion, in seconds.
const ASSERTION_SECONDS: i64 = 60;
/// Longest life of a token that is believed, in seconds: a year.
const LIFE_SECONDS_MAX: i64 = 31_536_000;
/// A shorter life is over before a call is made with it, in seconds.
const LIFE_SECONDS_MIN: i64 = 5;

/// Who asks.
pub(crate) struct Client {
    pub(crate) record: OauthRecord,
    pub(crate) secret: Option<Value>,
}

/// What was issued. No `Debug`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tokens {
    /// What the server gets.
    pub(crate) access: Value,
    /// What gets the next one: it never leaves the authority but to where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refresh: Option<Value>,
    /// Its end, in seconds since 1970, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<i64>,
    /// When it was issued, in seconds since 1970.
    pub(crate) got: i64,
}

#[derive(Deserialize)]
struct Issued {
    access_token: Value,
    token_type: String,
    #[serde(default)]
    expires_in: Option<i64>,
    #[serde(default)]
    refresh_token: Option<Value>,
    #[serde(default)]
    scope: Option<String>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    error: String,
}

/// Parameters of a request, none of them the client's own.
pub(crate) type Parameters<'a> = Vec<(&'a str, &'a str)>;

/// Asks for tokens. What is said of their scope comes with them.
pub(crate) async fn tokens(
    fetcher: &Fetcher,
    endpoint: &str,
    client: &Client,
    parameters: Parameters<'_>,
    now: i64,
) -> Result<(Tokens, Option<String>), BrokerError> {
    let answer = post(fetcher, endpoint, client, parameters, now).await?;
    let unreadable = BrokerError::Invalid("the authorization server's answer is not understood");
    let body = answer.json.ok_or_else(|| unreadable.clone())?;
    if !answer.status.is_success() {
        let said: Option<Said> = object(&body);
        return Err(BrokerError::said(&said.ok_or(unreadable)?.error));
    }
    let issued: Issued = object(&body).ok_or(unreadable)?;
    if !issued.token_type.eq_ignore_ascii_case("bearer") || !Place::Bearer.takes(issued.access_token.expose()) {
        return Err(BrokerError::Invalid("what the authorization server issues is no bearer token"));
    }
    if issued.expires_in.is_some_and(|life| life < LIFE_SECONDS_MIN) {
        return Err(BrokerError::Invalid("what the authorization server issues ends before it can be used"));
    }
    if issued.refresh_token.as_ref().is_some_and(|refresh| refresh.expose().len() > VALUE_BYTES_MAX) {
        return Err(BrokerError::Invalid("the authorization server's refresh token is too long"));
    }
    let life = issued.expires_in.map(|life| life.min(LIFE_SECONDS_MAX));
    let until = life.map(|life| now.saturating_add(life));
    let scope = issued.scope.filter(|scope| scope.len() <= SCOPE_BYTES_MAX);
    Ok((Tokens { access: issued.access_token, refresh: issued.refresh_token, until, got: now }, scope))
}

/// Gives a token back; whether that was heard.
pub(crate) async fn give_back(fetcher: &Fetcher, endpoint: &str, client: &Client, token: &Value, now: i64) -> bool {
    let answer = post(fetcher, endpoint, client, vec![("token", token.expose())], now).await;
    answer.is_ok_and(|answer| answer.status.is_success())
}

async fn post(
    fetcher: &Fetcher,
    endpoint: &str,
    client: &Client,
    mut parameters: Parameters<'_>,
    now: i64,
) -> Result<Answer, BrokerError> {
    let broken = BrokerError::Invalid("our own credential there cannot be used");
    let (record, mut headers) = (&client.record, HeaderMap::new());
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    headers.insert(header::CONTENT_TYPE, kind);
    let assertion;
    match (record.auth, &client.secret) {
        (ClientAuth::None, _) => parameters.push(("client_id", &record.client)),
        (ClientAuth::ClientSecretBasic, Some(secret)) => {
            let value = basic(&record.client, secret).ok_or(broken)?;
            headers.insert(header::AUTHORIZATION, value);
        }
        (ClientAuth::ClientSecretPost, Some(secret)) => {
            parameters.extend([("client_id", record.client.as_str()), ("client_secret", secret.expose())]);
        }
        (ClientAuth::PrivateKeyJwt, Some(secret)) => {
            assertion = asserted(record, secret, now).ok_or(broken)?;
            parameters.extend([
                ("client_id", record.client.as_str()),
                ("client_assertion_type", ASSERTION_TYPE),
                ("client_assertion", assertion.expose()),
            ]);
        }
        (_, None) => return Err(broken),
    }
    let body = {
        let mut form = form_urlencoded::Serializer::new(String::new());
        Bytes::from_owner(Zeroizing::new(form.extend_pairs(&parameters).finish().into_bytes()))
    };
    let answer = fetcher.ask(Method::POST, endpoint, &headers, body).await;
    answer.map_err(|error| match error {
        FetchError::Answer | FetchError::Missing => {
            BrokerError::Invalid("the authorization server's answer is not understood")
        }
        error => BrokerError::Fetch("the authorization server", error),
    })
}

/// Both parts as forms have them, because they may hold a colon (RFC 6749 section 2.3.1).
fn basic(client: &str, secret: &Value) -> Option<HeaderValue> {
    let part = |text: &str| Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>());
    let pair = Zeroizing::new(format!("{}:{}", *part(client), *part(secret.expose())));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn asserted(record: &OauthRecord, secret: &Value, now: i64) -> Option<Value> {
    let key = ClientKey::read(secret)?;
    let claims = serde_json::json!({
        "iss": record.client,
        "sub": record.client,
        "aud": record.issuer,
        "jti": random::jti().ok()?,
        "iat": now,
        "exp": now.saturating_add(ASSERTION_SECONDS),
    });
    key.sign(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_secret_with_colons_stay_two() {
        let value = basic("a:b", &Value::new("c d:é".into())).unwrap();
        assert!(value.is_sensitive());
        let text = STANDARD.decode(value.to_str().unwrap().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(text, b"a%3Ab:c+d%3A%C3%A9");
    }
}
