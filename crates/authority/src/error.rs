//! What can go wrong in the authority, by what its caller can do about it.

use std::path::PathBuf;

use remit_core::rejection::{Code, Rejection};

use crate::config::{SOCKET_PATH_BYTES_MAX, TOKEN_SECONDS_MAX};

/// Why the authority does not open, or could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// What was asked is refused; asking otherwise may help.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// Refused, because the person concerned has not connected the server.
    #[error(transparent)]
    Unconnected(Rejection),
    /// The change could not be recorded, so it was not made; asking again may help.
    #[error("the change could not be recorded, so it was not made: {0}")]
    Unavailable(#[from] remit_audit::Unavailable),
    /// No run could have its socket in the home.
    #[error(
        "the path {} is too long: a run's socket in it would have {bytes} bytes of path, and the system takes {max}",
        home.display(),
        max = SOCKET_PATH_BYTES_MAX
    )]
    HomeTooLong {
        /// The home.
        home: PathBuf,
        /// Bytes of the path of a run's socket.
        bytes: usize,
    },
    /// Tokens would live longer than their signing key is kept, or not at all.
    #[error("a token's life of {given}s is not between 1s and {max}s", max = TOKEN_SECONDS_MAX)]
    TokenLife {
        /// What was configured, in seconds.
        given: i64,
    },
    /// Others than this machine could reach the relay.
    #[error("the relay would listen on {address}, which is not this machine alone")]
    RelayOpen {
        /// Where it would listen.
        address: std::net::SocketAddr,
    },
    /// The relay's listener could not be used.
    #[error("the relay: {source}")]
    Relay {
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or directory of the home could not be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The database could not be used.
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    /// The database was written by a newer release.
    #[error("the database has version {found}, this release knows versions up to {known}")]
    Newer {
        /// Its version.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// Log and database cannot both be right.
    #[error("the database holds {applied} entries of the log, the log has {size}: {help}")]
    Diverged {
        /// Entries that the database has applied.
        applied: u64,
        /// Entries of the log.
        size: u64,
        /// What to do.
        help: &'static str,
    },
    /// An entry of the log is not a change, or does not apply.
    #[error("entry {index} of the log does not apply: {why}")]
    Entry {
        /// Its index.
        index: u64,
        /// Why.
        why: String,
    },
    /// A change has no leaf.
    #[error("the change cannot be recorded: {0}")]
    Leaf(String),
    /// What has to be sealed cannot be.
    #[error(transparent)]
    Vault(#[from] remit_audit::vault::VaultError),
    /// The log does not open.
    #[error("log: {0}")]
    Log(#[from] remit_audit::OpenError),
    /// The log cannot be read.
    #[error("log: {0}")]
    Read(#[from] remit_audit::ReadError),
    /// A key file cannot be used.
    #[error("key: {0}")]
    Key(#[from] remit_audit::KeyError),
    /// A stored text is not what was stored.
    #[error("stored data: {0}")]
    Stored(#[from] serde_json::Error),
    /// The bundle cannot be built of what is registered and of the policy files.
    #[error("bundle: {0}")]
    Bundle(String),
    /// The system gives no randomness, or the cryptography refuses its input.
    #[error("cryptography failed")]
    Crypto,
}

impl AuthorityError {
    /// The file or directory in the error.
    pub(crate) fn at(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// What the caller is told: refusals whole, and of everything else no more than that it failed.
    pub fn rejection(self) -> Rejection {
        match self {
            Self::Refused(rejection) | Self::Unconnected(rejection) => rejection,
            Self::Unavailable(_) => {
                Rejection::new(Code::AuditUnavailable, self.to_string(), "try again; if it stays so: remit doctor")
            }
            Self::Bundle(why) => Rejection::new(
                Code::RequestInvalid,
                format!("the bundle is not valid, the last good one stays: {why}"),
                "mend the named policy, then: remit admin reload",
            ),
            other => {
                tracing::error!(error = %other, "request failed");
                Rejection::new(
                    Code::Internal,
                    "the authority failed to do this",
                    "see the authority's own log output, then: remit doctor",
                )
            }
        }
    }
}

impl From<aws_lc_rs::error::Unspecified> for AuthorityError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self::Crypto
    }
}
