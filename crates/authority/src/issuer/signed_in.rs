//! Who it is, by the provider's own word: the code is exchanged, and the ID token verified (`OpenID` Connect Core 3.1.3).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use remit_core::json::Value;
use zeroize::Zeroizing;

use super::assertion::{subject, times};
use super::discovery::Provider;
use super::jws::Foreign;
use super::keeper::Known;
use super::person::Who;
use super::visit::{Arrival, Person};
use super::{IssuerRecord, Kind};
use crate::authority::State;
use crate::error::AuthorityError;

/// Why it is not known who it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotKnown {
    /// The provider cannot be asked, or has no log-in.
    #[error("the identity provider cannot be used: {0}")]
    Provider(String),
    /// It gave nothing for the code.
    #[error("the identity provider gave no ID token for the code")]
    Code,
    /// Its ID token is not one for this log-in.
    #[error("the identity provider's ID token is not accepted: {0}")]
    IdToken(&'static str),
}

impl NotKnown {
    /// What it is called in the log.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            NotKnown::Provider(_) => "provider",
            NotKnown::Code => "code",
            NotKnown::IdToken(_) => "id_token",
        }
    }
}

/// What a provider says of itself, with its keys.
pub(crate) async fn provider(
    state: &State,
    issuer: &IssuerRecord,
    kid: Option<&str>,
) -> Result<std::sync::Arc<Known>, NotKnown> {
    let now = state.config.clock.now();
    let known = state.keeper.get(&state.fetcher, issuer, kid, now).await;
    known.map_err(|error| NotKnown::Provider(error.to_string()))
}

/// Exchanges the code, and says who it is.
pub(crate) async fn person(
    state: &State,
    issuer: &IssuerRecord,
    code: &str,
    arrival: &Arrival,
) -> Result<Result<Person, NotKnown>, AuthorityError> {
    let known = match provider(state, issuer, None).await {
        Ok(known) => known,
        Err(error) => return Ok(Err(error)),
    };
    let secret = state.client_secret(issuer)?;
    let Some((url, form, basic)) = request(state, issuer, known.provider.as_ref(), code, (arrival, secret)) else {
        return Ok(Err(NotKnown::Provider("it says nowhere where a code is exchanged".into())));
    };
    let Ok(answer) = state.fetcher.form(&url, form, basic).await else { return Ok(Err(NotKnown::Code)) };
    let text = std::str::from_utf8(&answer).ok().and_then(|text| Value::parse(text).ok());
    let Some(token) = text.as_ref().and_then(|answer| answer.get("id_token")).and_then(Value::as_str) else {
        return Ok(Err(NotKnown::Code));
    };
    let Some(token) = Foreign::parse(token) else { return Ok(Err(NotKnown::IdToken("its form"))) };
    // Its keys may be newer than those that are kept.
    let known = match provider(state, issuer, token.kid.as_deref()).await {
        Ok(known) => known,
        Err(error) => return Ok(Err(error)),
    };
    if !token.is_signed_by(&known.keys, issuer) {
        return Ok(Err(NotKnown::IdToken("its signature")));
    }
    Ok(judged(&token, issuer, &arrival.nonce, state.config.clock.now()).map_err(NotKnown::IdToken))
}

type Secret = Option<Zeroizing<Vec<u8>>>;

/// Where a code is exchanged, and what is sent there.
fn request(
    state: &State,
    issuer: &IssuerRecord,
    provider: Option<&Provider>,
    code: &str,
    (arrival, secret): (&Arrival, Secret),
) -> Option<(String, String, Option<HeaderValue>)> {
    let (provider, client) = (provider?, issuer.client.as_ref()?);
    let back = callback(state);
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs([
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &back),
        ("code_verifier", &arrival.verifier),
    ]);
    let secret = secret.as_ref().and_then(|secret| std::str::from_utf8(secret).ok());
    let basic = match secret {
        Some(secret) if !provider.secret_in_form_only => {
            // RFC 6749 section 2.3.1: each half is encoded as in a form.
            let half = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            let both = Zeroizing::new(format!("{}:{}", half(&client.client_id), half(secret)));
            let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(both.as_bytes()))).ok()?;
            value.set_sensitive(true);
            Some(value)
        }
        secret => {
            form.append_pair("client_id", &client.client_id);
            if let Some(secret) = secret {
                form.append_pair("client_secret", secret);
            }
            None
        }
    };
    Some((provider.token.clone()?, form.finish(), basic))
}

/// Where the provider sends the browser back to.
pub(crate) fn callback(state: &State) -> String {
    format!("{}/people/callback", state.config.issuer)
}

fn judged(token: &Foreign<'_>, issuer: &IssuerRecord, nonce: &str, now: i64) -> Result<Person, &'static str> {
    let claims = &token.claims;
    let client = issuer.client.as_ref().map(|client| client.client_id.as_str());
    if !matches!(token.typ.as_deref(), None | Some("jwt")) {
        return Err("its type");
    }
    if claims.text("iss") != Some(&issuer.url) {
        return Err("its issuer");
    }
    let audience = claims.list("aud").unwrap_or_default();
    if audience.is_empty() || !audience.iter().all(|name| Some(*name) == client) {
        return Err("its audience");
    }
    if claims.has("azp") && claims.text("azp") != client {
        return Err("its audience");
    }
    if claims.text("nonce") != Some(nonce) {
        return Err("its nonce");
    }
    // Providers let ID tokens live as long as CI systems theirs; it is used now, and never again.
    times(claims, Kind::Workload, now).ok_or("its time")?;
    let sub = subject(claims, issuer).ok_or("its subject")?;
    Ok(Person { who: Who::person(issuer, &sub, claims), standing: issuer.rules.standing(claims) })
}
