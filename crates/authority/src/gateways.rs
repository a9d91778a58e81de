//! The gateways that may be lent credentials, each by the key that it made at its first start.

use remit_core::id::{GatewayName, PrincipalId};
use remit_core::jws::Jwk;
use remit_core::rejection::{Code, Rejection};

use crate::authority::State;
use crate::change::{Change, GatewayRecord};
use crate::error::AuthorityError;

impl State {
    /// Registers a gateway, or another key of it. `by` is the administrator, or `up` where both share a home.
    pub(crate) fn add_gateway(&self, name: &GatewayName, key: &Jwk, by: &str) -> Result<GatewayRecord, AuthorityError> {
        let key = Jwk { kid: None, alg: None, usage: None, ..key.clone() };
        if key.kty != "OKP" || key.crv != "Ed25519" || remit_core::hash::unb64(&key.x).is_none_or(|x| x.len() != 32) {
            let help = "name the file that the gateway made: identity.jwk in its home";
            return Err(refused("the key is not one of a gateway", help));
        }
        let mut core = self.core();
        if let Some(other) = core.journal.store().gateway_of_key(&key.thumbprint())? {
            if other.name == *name {
                return Ok(other);
            }
            let message = format!("this is the key of the gateway `{}`", other.name);
            return Err(refused(&message, "each gateway has a key of its own: see remit gateway list"));
        }
        let record = GatewayRecord { name: name.clone(), key, at: self.config.clock.now(), by: by.to_owned() };
        core.journal.record(&Change::Gateway(record.clone()))?;
        Ok(record)
    }

    /// From now on it is lent nothing. What it holds in memory it keeps until its credentials are replaced.
    pub(crate) fn remove_gateway(&self, name: &GatewayName, by: &PrincipalId) -> Result<(), AuthorityError> {
        let mut core = self.core();
        if !core.journal.store().gateways()?.iter().any(|gateway| gateway.name == *name) {
            return Err(refused(&format!("no gateway `{name}` is registered"), "see which are: remit gateway list"));
        }
        let (at, by) = (self.config.clock.now(), by.to_string());
        core.journal.record(&Change::GatewayGone { name: name.clone(), at, by })?;
        Ok(())
    }
}

fn refused(message: &str, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}
