//! What an `OpenID` provider says of itself (`OpenID` Connect Discovery 1.0).

use remit_core::json::Value;

use super::{TEXT_BYTES_MAX, WELL_KNOWN};

/// What of it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    /// Where its keys are.
    pub jwks: String,
    /// Where people are sent, where they can log in.
    pub authorization: Option<String>,
    /// Where a code is exchanged.
    pub token: Option<String>,
    /// Whether its answers name it (RFC 9207).
    pub names_itself: bool,
    /// Whether a secret may stand in the form, and not only in the header.
    pub secret_in_form_only: bool,
}

/// Why it is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// Not what a provider says of itself.
    #[error("its OpenID configuration is not one, or names no keys")]
    Form,
    /// Another provider's.
    #[error("its OpenID configuration is of another issuer")]
    Issuer,
}

/// Where a provider describes itself.
pub fn url(issuer: &str) -> String {
    format!("{}{WELL_KNOWN}", issuer.trim_end_matches('/'))
}

/// Reads what was got from [`url`] of `issuer`.
pub fn read(issuer: &str, bytes: &[u8]) -> Result<Provider, DiscoveryError> {
    let text = std::str::from_utf8(bytes).map_err(|_| DiscoveryError::Form)?;
    let document = Value::parse(text).map_err(|_| DiscoveryError::Form)?;
    let text = |name: &str| document.get(name).and_then(Value::as_str).filter(|text| text.len() <= TEXT_BYTES_MAX);
    if text("issuer").ok_or(DiscoveryError::Form)? != issuer {
        return Err(DiscoveryError::Issuer);
    }
    let owned = |name: &str| text(name).map(str::to_owned);
    let methods = match document.get("token_endpoint_auth_methods_supported") {
        Some(Value::Array(methods)) => methods.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    Ok(Provider {
        jwks: owned("jwks_uri").ok_or(DiscoveryError::Form)?,
        authorization: owned("authorization_endpoint"),
        token: owned("token_endpoint"),
        names_itself: document.get("authorization_response_iss_parameter_supported") == Some(&Value::Bool(true)),
        secret_in_form_only: methods.contains(&"client_secret_post") && !methods.contains(&"client_secret_basic"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: take one provider's word for another's.
    #[test]
    fn a_provider_speaks_for_itself_alone() {
        let good = r#"{"issuer":"https://idp.example/x","jwks_uri":"https://idp.example/jwks","token_endpoint":"https://idp.example/t",
            "authorization_response_iss_parameter_supported":true,"token_endpoint_auth_methods_supported":["client_secret_post"]}"#;
        let read_as = |issuer: &str, text: &str| read(issuer, text.as_bytes());
        let provider = read_as("https://idp.example/x", good).unwrap();
        assert!(provider.names_itself && provider.secret_in_form_only && provider.authorization.is_none());
        for other in ["https://idp.example", "https://idp.example/x/", "https://idp.example/X", ""] {
            assert_eq!(read_as(other, good), Err(DiscoveryError::Issuer), "{other}");
        }
        for bad in [
            good.replace("jwks_uri", "keys"),
            good.replace("\"issuer\"", "\"name\""),
            good.replace("\"jwks_uri\"", "\"issuer\":\"https://idp.example/x\",\"jwks_uri\""),
            format!("[{good}]"),
            String::new(),
        ] {
            assert_eq!(read_as("https://idp.example/x", &bad), Err(DiscoveryError::Form), "{bad}");
        }
        assert_eq!(url("https://idp.example/"), "https://idp.example/.well-known/openid-configuration");
    }
}
