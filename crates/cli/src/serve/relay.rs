//! Where the relay of this machine's MCP clients listens, and under which URL it is found.

use std::io::ErrorKind;

use remit_authority::socket::wire::{AdminAsk, Status};
use tokio::net::TcpListener;

use crate::ask;
use crate::config::Source;
use crate::context::Context;
use crate::error::CliError;

const KEY: &str = "relay.listen";

/// Listens where the configuration says. Where nobody chose an address, and the usual one is taken, any other will do:
/// `remit token` says which one it is.
pub(crate) async fn bind(context: &Context) -> Result<TcpListener, CliError> {
    let address = context.loaded.config.relay.listen;
    let mut bound = TcpListener::bind(address).await;
    let chosen = !matches!(context.loaded.values.get(KEY), Some((_, Source::Default)));
    if !chosen && bound.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse) {
        bound = TcpListener::bind((address.ip(), 0)).await;
    }
    bound.map_err(|error| {
        CliError::unevaluated(
            format!("the relay cannot listen on {address}: {error}"),
            format!(
                "see who does: ss -ltnp 'sport = :{}'; or choose another address in {}:\n\n[relay]\nlisten = \"127.0.0.1:0\"",
                address.port(),
                context.loaded.file.display()
            ),
        )
    })
}

/// The relay's URL for what is written into a client's configuration: of the running one, else as it is configured.
pub(crate) fn url(context: &Context) -> String {
    let status: Option<Status> = ask::admin(context, &AdminAsk::Status {}).ok();
    let configured = || format!("http://{}", context.loaded.config.relay.listen);
    status.and_then(|status| status.relay).unwrap_or_else(configured)
}
