//! Why an access token of an upstream cannot be had. Nothing of it was said by a stranger but a code of letters.

use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};

use crate::error::AuthorityError;
use crate::fetch::FetchError;

/// Longest error code of somebody else that is repeated, in bytes.
const CODE_BYTES_MAX: usize = 64;

/// Why there is no access token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// A document or an endpoint was not reached.
    #[error("{0}: {1}")]
    Fetch(&'static str, FetchError),
    /// What was found is not what the standards ask for.
    #[error("{0}")]
    Invalid(&'static str),
    /// The authorization server refuses, with this code (RFC 6749 section 5.2).
    #[error("the authorization server refuses: {0}")]
    Refused(String),
    /// The person has not connected the server.
    #[error("the person for whom this runs has not connected it")]
    Unconnected,
    /// The authorization server has ended the connection: its tokens are good for nothing any more.
    #[error("the authorization server has ended the connection of the person for whom this runs")]
    Ended,
    /// The server refuses a token of a person, and nothing was given to get another one.
    #[error(
        "the server refuses the access token of the person for whom this runs, and there is nothing to get another one with"
    )]
    Unrenewable,
    /// The server has refused a token that was issued just now: another one would be no better.
    #[error("the server refuses an access token that was issued just now")]
    Unwanted,
    /// The last attempt failed; the next one is made after a pause.
    #[error("the last attempt failed, and the next one is made in {0} s")]
    Paused(i64),
}

impl BrokerError {
    /// What the authorization server says, as far as it is repeated.
    pub(crate) fn said(code: &str) -> Self {
        let plain = code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let short = !code.is_empty() && code.len() <= CODE_BYTES_MAX;
        Self::Refused(if plain && short { code.to_owned() } else { "an error without a name".to_owned() })
    }

    /// Whether what was given for it is not good any more, whoever asks again.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Refused(code) if code == "invalid_grant")
    }

    /// The refusal, with the one next step.
    pub(crate) fn of(self, server: &ServerName) -> AuthorityError {
        let help = match &self {
            Self::Unconnected | Self::Ended | Self::Unrenewable => {
                format!("that person types, outside every run: remit server connect {server}")
            }
            Self::Unwanted => format!("see what it wants: remit server show {server}; its own log says why it refuses"),
            Self::Refused(_) => {
                format!("see who we are there: remit server show {server}; register it again with what it wants")
            }
            Self::Fetch(_, FetchError::Inside) => {
                "where that host is yours, name it in authority.internal_hosts, and start the authority again"
                    .to_owned()
            }
            _ => "try again in a moment; what it names itself can be read: curl -i its URL".to_owned(),
        };
        let message = format!("the access token of `{server}` cannot be had: {self}");
        let person = matches!(self, Self::Unconnected | Self::Ended | Self::Unrenewable);
        let rejection = Rejection::new(Code::CredentialUnavailable, message, help);
        if person { AuthorityError::Unconnected(rejection) } else { AuthorityError::Refused(rejection) }
    }
}
