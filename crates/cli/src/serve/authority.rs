//! The authority as a service of this process.

use std::future::Future;

use remit_audit::durable;
use remit_authority::{Authority, AuthorityError, Config};
use remit_core::id::TrustDomain;
use tokio::net::TcpListener;

use crate::context::Context;
use crate::error::CliError;

/// The org floor that a new home begins with.
const FLOOR: &str = include_str!("../../../../policies/floor/base.cedar");

/// Under which names it is known.
#[derive(Debug, Clone)]
pub(crate) struct Urls {
    pub(crate) domain: TrustDomain,
    pub(crate) authority: String,
    pub(crate) gateway: String,
}

impl Urls {
    /// As configured: all of them must be.
    pub(crate) fn configured(context: &Context) -> Result<Self, CliError> {
        let (loaded, config) = (&context.loaded, &context.loaded.config);
        Ok(Self {
            domain: loaded.required("trust.domain", config.trust.domain.as_ref())?.clone(),
            authority: loaded.required("authority.url", config.authority.url.as_ref())?.clone(),
            gateway: loaded.required("gateway.url", config.gateway.url.as_ref())?.clone(),
        })
    }
}

/// Opens it, with the relay on a listener of its own.
pub(crate) fn open(context: &Context, urls: &Urls, relay: TcpListener) -> Result<Authority, CliError> {
    let home = context.home.authority();
    let floor = home.floor();
    if !floor.exists() {
        let file = floor.join("base.cedar");
        let written = durable::create_dir(&floor).and_then(|()| durable::write(&file, FLOOR.as_bytes(), 0o600));
        written.map_err(|error| {
            CliError::unevaluated(
                format!("{}: {error}", file.display()),
                "look who may write there, or choose another: --home DIR",
            )
        })?;
    }
    let mut config = Config::new(urls.domain.clone(), &urls.authority, &urls.gateway);
    config.token_seconds = context.loaded.config.authority.token_life.seconds();
    config.internal_hosts.clone_from(&context.loaded.config.authority.internal_hosts);
    Authority::open(home.path(), config).and_then(|authority| authority.relay(relay)).map_err(failed)
}

pub(crate) async fn serve(
    authority: Authority,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), CliError> {
    authority.serve(listener, stop).await.map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "it is the argument of `map_err`")]
fn failed(error: AuthorityError) -> CliError {
    let help = match &error {
        AuthorityError::Log(remit_audit::OpenError::Locked) => "it is running already: remit status",
        AuthorityError::HomeTooLong { .. } => "choose a shorter home: remit --home DIR …",
        AuthorityError::RelayOpen { .. } => "choose a loopback address for relay.listen: remit config show",
        AuthorityError::TokenLife { .. } => "set authority.token_life to at most 10m: remit config show",
        AuthorityError::Newer { .. } => "use the newer `remit`",
        _ => "see what is wrong: remit doctor",
    };
    CliError::unevaluated(format!("the authority does not start: {error}"), help)
}
