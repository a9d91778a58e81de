//! What clients must know before they ask: metadata (RFC 8414), keys (RFC 7517), and whether the authority is well.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::{Shared, token};

const GRANT_TYPES: [&str; 6] = [
    token::code::GRANT_TYPE,
    token::refresh::GRANT_TYPE,
    token::device::GRANT_TYPE,
    token::client_credentials::GRANT_TYPE,
    token::exchange::GRANT_TYPE,
    token::jwt_bearer::GRANT_TYPE,
];
const METHODS: [&str; 1] = ["private_key_jwt"];
const ALGORITHMS: [&str; 2] = ["EdDSA", "ES256"];

pub(super) async fn metadata(state: Shared) -> Json<Value> {
    let issuer = &state.config.issuer;
    Json(json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/token"),
        "introspection_endpoint": format!("{issuer}/introspect"),
        "introspection_endpoint_auth_methods_supported": METHODS,
        "introspection_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "revocation_endpoint": format!("{issuer}/revoke"),
        "revocation_endpoint_auth_methods_supported": METHODS,
        "revocation_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "jwks_uri": format!("{issuer}/jwks"),
        "authorization_endpoint": format!("{issuer}/authorize"),
        "device_authorization_endpoint": format!("{issuer}/device_authorization"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "grant_types_supported": GRANT_TYPES,
        "authorization_grant_profiles_supported": [token::jwt_bearer::ID_JAG_PROFILE],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ALGORITHMS,
        "client_id_metadata_document_supported": true,
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "authorization_details_types_supported": [remit_core::grant::DETAIL_TYPE],
    }))
}

pub(super) async fn jwks(state: Shared) -> Response {
    let keys = state.core().keys.public();
    // A verifier that meets an unknown `kid` asks again at once; all others may keep the set for a while.
    let caching = [(header::CACHE_CONTROL, "public, max-age=60")];
    (caching, Json(json!({ "keys": keys }))).into_response()
}

pub(super) async fn healthz(state: Shared) -> Response {
    let offered = state.bundle.borrow().clone();
    let version = offered.bundle.map(|bundle| bundle.version);
    let status = if version.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "bundle": version, "current": offered.error.is_none() }))).into_response()
}
