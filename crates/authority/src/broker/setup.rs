//! Becoming a client of a server's authorization server: under a name that was given, by the document that says who we are,
//! or by registering there, as it offers (RFC 7591).
//!
//! **Invariant:** the authorization server is found once, and written down. Our secret goes to that one alone, whatever the
//! server says later.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use remit_core::hash::b64;
use remit_core::id::{PrincipalId, ServerName};
use remit_core::json::object;
use remit_core::registry::Upstream;
use remit_core::rejection::{Code, Rejection};
use remit_core::secret::{VALUE_BYTES_MAX, Value};
use serde::{Deserialize, Serialize};

use super::connect::browser_endpoint;
use super::discover::{self, Metadata, SCOPE_BYTES_MAX};
use super::error::BrokerError;
use super::key::ClientKey;
use super::place::Place;
use super::record::{Behalf, ClientAuth, OauthRecord};
use crate::authority::{Core, State};
use crate::change::Change;
use crate::error::AuthorityError;
use crate::socket::wire::Oauth;

/// Longest name of a client, in bytes.
const CLIENT_BYTES_MAX: usize = 2_048;

/// What was found and decided, before anything is registered here.
pub(crate) struct Prepared {
    record: OauthRecord,
    secret: Option<Value>,
}

#[derive(Deserialize)]
struct Registered {
    client_id: String,
    #[serde(default)]
    client_secret: Option<Value>,
    #[serde(default)]
    token_endpoint_auth_method: Option<ClientAuth>,
}

/// Who the authority is, for authorization servers that read it from its own URL.
#[derive(Serialize)]
pub(crate) struct OwnMetadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    client_name: &'static str,
    redirect_uris: [String; 1],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    application_type: &'static str,
    token_endpoint_auth_method: ClientAuth,
}

/// What the document says that tells one authorization server who we are.
pub(crate) fn own(state: &State, client_id: Option<String>, auth: ClientAuth, place: &Place) -> OwnMetadata {
    let web = state.config.issuer.starts_with("https://");
    OwnMetadata {
        client_id,
        client_name: "Remit",
        redirect_uris: [place.redirect(state)],
        grant_types: ["authorization_code", "refresh_token"],
        response_types: ["code"],
        application_type: if web { "web" } else { "native" },
        token_endpoint_auth_method: auth,
    }
}

/// Finds the server's authorization server, and becomes its client.
pub(crate) async fn prepare(
    state: &Arc<State>,
    server: &ServerName,
    upstream: &Upstream,
    wanted: &Oauth,
    secret: Option<Value>,
) -> Result<Prepared, AuthorityError> {
    let Upstream::Http { url } = upstream else {
        return Err(invalid("OAuth is for servers at a URL", "give a program its credential: --env NAME=FROM"));
    };
    let long = |text: &Option<String>, max| text.as_ref().is_some_and(|text| text.len() > max || text.is_empty());
    let secret_long = secret.as_ref().is_some_and(|secret| secret.expose().len() > VALUE_BYTES_MAX);
    if long(&wanted.client, CLIENT_BYTES_MAX) || long(&wanted.scope, SCOPE_BYTES_MAX) || secret_long {
        return Err(invalid("the client's name, secret or scope is empty or too long", "remit server add --help"));
    }
    let found = discover::discover(&state.fetcher, url, wanted.issuer.as_deref()).await;
    let found = found.map_err(|why| why.of(server))?;
    if wanted.behalf == Behalf::AuthorizationCode {
        browser_endpoint(state, &found.server).map_err(|why| why.of(server))?;
    }
    let (client, auth, secret, key) = match &wanted.client {
        Some(client) => preset(client, wanted, secret, &found.server)?,
        None if wanted.behalf == Behalf::ClientCredentials || secret.is_some() || wanted.key => {
            return Err(invalid("the client has no name", "say how it is registered there: --client-id ID"));
        }
        None if found.server.client_id_metadata_document_supported && state.config.issuer.starts_with("https://") => {
            (Place::of(&found.server.issuer).document(state), ClientAuth::None, None, None)
        }
        None => register(state, &found.server).await.map_err(|why| why.of(server))?,
    };
    let record = OauthRecord {
        server: server.clone(),
        version: 0,
        behalf: wanted.behalf,
        issuer: found.server.issuer,
        resource: found.resource,
        // Of our own, what the server says that it needs is asked for each time.
        scope: wanted.scope.clone().or(found.scope.filter(|_| wanted.behalf == Behalf::ClientCredentials)),
        client,
        auth,
        key,
        sealed: None,
        at: state.config.clock.now(),
        by: String::new(),
    };
    Ok(Prepared { record, secret })
}

type Client = (String, ClientAuth, Option<Value>, Option<remit_core::jws::Jwk>);

/// A client that somebody has registered there.
fn preset(client: &str, wanted: &Oauth, secret: Option<Value>, server: &Metadata) -> Result<Client, AuthorityError> {
    let offers = |method: &str| {
        server.token_endpoint_auth_methods_supported.as_ref().is_none_or(|all| all.iter().any(|one| one == method))
    };
    let client = client.to_owned();
    match secret {
        Some(_) if wanted.key => {
            Err(invalid("a client has a secret or a key, not both", "leave out --secret-from, or --client-key"))
        }
        None if wanted.key => {
            let (key, text) = ClientKey::generate()?;
            Ok((client, ClientAuth::PrivateKeyJwt, Some(text), Some(key.public().clone())))
        }
        Some(secret) if offers("client_secret_basic") => {
            Ok((client, ClientAuth::ClientSecretBasic, Some(secret), None))
        }
        Some(secret) => Ok((client, ClientAuth::ClientSecretPost, Some(secret), None)),
        None if wanted.behalf == Behalf::AuthorizationCode => Ok((client, ClientAuth::None, None, None)),
        None => Err(invalid(
            "a client that acts for itself has a secret or a key",
            "name one: --secret-from FROM, or --client-key for a key that the authority makes",
        )),
    }
}

/// Registers us there.
async fn register(state: &Arc<State>, server: &Metadata) -> Result<Client, BrokerError> {
    const REFUSES: BrokerError = BrokerError::Invalid("the authorization server does not register us as its client");
    let Some(url) = &server.registration_endpoint else {
        return Err(BrokerError::Invalid(
            "the authorization server takes no client that is not known there: register one, and name it with --client-id",
        ));
    };
    let offered = server.token_endpoint_auth_methods_supported.as_ref();
    let offers = |method: &str| offered.is_none_or(|all| all.iter().any(|one| one == method));
    let auth = if offers("client_secret_basic") {
        ClientAuth::ClientSecretBasic
    } else if offers("client_secret_post") {
        ClientAuth::ClientSecretPost
    } else {
        ClientAuth::None
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = serde_json::to_vec(&own(state, None, auth, &Place::of(&server.issuer))).map_err(|_| REFUSES)?;
    let answer = state.fetcher.ask(Method::POST, url, &headers, Bytes::from(body)).await;
    let answer = answer.map_err(|error| BrokerError::Fetch("the authorization server's registration", error))?;
    let registered: Option<Registered> = answer.json.as_deref().filter(|_| answer.status.is_success()).and_then(object);
    let registered = registered.filter(|one| one.client_id.len() <= CLIENT_BYTES_MAX).ok_or(REFUSES)?;
    let auth = registered.token_endpoint_auth_method.unwrap_or(auth);
    let auth = if registered.client_secret.is_none() { ClientAuth::None } else { auth };
    Ok((registered.client_id, auth, registered.client_secret.filter(|_| auth != ClientAuth::None), None))
}

impl State {
    /// Seals the client's secret, and records it with the server.
    pub(crate) fn put_oauth(
        &self,
        core: &mut Core,
        prepared: Prepared,
        by: &PrincipalId,
    ) -> Result<(), AuthorityError> {
        let Prepared { mut record, secret } = prepared;
        record.version = core.journal.store().secret_version(&record.server)?.saturating_add(1);
        record.by = by.to_string();
        if let Some(secret) = secret {
            let sealed = self.secrets.seal(&record.subject(), &record.bound()?, secret.expose().as_bytes())?;
            record.sealed = Some(b64(&sealed));
        }
        core.journal.record(&Change::Oauth(record))?;
        self.sweep_secrets(core)
    }
}

fn invalid(message: &str, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
