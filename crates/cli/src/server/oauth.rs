//! How Remit becomes a client of a server's authorization server, and how a command is lent its access token.

use clap::Args;
use remit_authority::socket::wire::{AdminAsk, Borrowed, Given, Oauth, ServerShown};
use remit_core::id::ServerName;
use remit_core::secret::Place;

use super::credential::{CredentialArgs, uncored};
use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::CliError;

#[derive(Debug, Args)]
pub(crate) struct OauthArgs {
    /// The OAuth client that is registered for Remit at the server's authorization server. For oauth-user it can be left
    /// out where that server takes clients that it does not know
    #[arg(long, value_name = "ID", requires = "auth")]
    client_id: Option<String>,
    /// Instead of a secret, a key that the authority makes and keeps (`private_key_jwt`); its public half is shown
    #[arg(long, requires = "client_id", conflicts_with = "secret_from")]
    client_key: bool,
    /// What is asked for, separated by spaces; what the server says that it needs where nothing is said
    #[arg(long, value_name = "SCOPE", requires = "auth")]
    scope: Option<String>,
    /// The authorization server, where the server names none, or several
    #[arg(long, value_name = "URL", requires = "auth")]
    issuer: Option<String>,
}

impl OauthArgs {
    pub(super) fn wanted(&self, credential: &CredentialArgs) -> Result<Option<Oauth>, CliError> {
        let Some(behalf) = credential.behalf() else {
            let said = self.client_id.is_some() || self.client_key || self.scope.is_some() || self.issuer.is_some();
            let help = "say which: --auth oauth-client, or --auth oauth-user";
            return if said {
                Err(CliError::unevaluated("these are for a server that is reached by OAuth", help))
            } else {
                Ok(None)
            };
        };
        let (client, key, scope) = (self.client_id.clone(), self.client_key, self.scope.clone());
        Ok(Some(Oauth { behalf, client, key, scope, issuer: self.issuer.clone() }))
    }
}

/// What a registered server is asked with: the token that its authorization server issues, or what is given again.
pub(super) fn again(
    shown: &ServerShown,
    credential: &CredentialArgs,
    pin: &PinArgs,
    context: &Context,
) -> Result<Vec<Given>, CliError> {
    let mut given = credential.again(&shown.secrets, context)?;
    if shown.oauth.is_some() {
        given.append(&mut borrow(&shown.server.name, pin, context)?);
    }
    Ok(given)
}

/// The access token of a server, or of one's own connection.
pub(super) fn borrow(server: &ServerName, pin: &PinArgs, context: &Context) -> Result<Vec<Given>, CliError> {
    uncored();
    let lent: Borrowed = ask::admin_with_pin(context, &AdminAsk::Borrow { server: server.clone() }, pin)?;
    Ok(vec![Given { place: Place::Bearer, value: lent.access_token, plain: false }])
}
