//! `remit gateway …`: which gateways may be lent the credentials of servers.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use remit_authority::change::GatewayRecord;
use remit_authority::socket::wire::AdminAsk;
use remit_core::id::GatewayName;
use serde_json::{Value, json};

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::jwk;
use crate::out::Style;
use crate::time::utc;

/// Where a gateway keeps its public key.
const KEY_FILE: &str = "name the gateway's own file: gateway/identity.jwk in its home";

#[derive(Debug, Args)]
pub(crate) struct Gateway {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let a gateway be lent credentials, by the key that it made at its first start
    #[command(after_help = "Example:
  remit gateway add edge identity.jwk        the file is in the gateway's own home, below `gateway`

`remit up` registers the gateway of its own home by itself.")]
    Add {
        /// Its name
        name: GatewayName,
        /// Its public key: `identity.jwk`, brought here by a road that you trust
        file: PathBuf,
        #[command(flatten)]
        pin: PinArgs,
    },
    /// List registered gateways
    List,
    /// Lend a gateway nothing any more
    #[command(
        after_help = "Example:\n  remit gateway remove edge\n\nWhat it was lent is in its memory: replace it too, with \
                            `remit server secret NAME --rotate`."
    )]
    Remove {
        /// Its name
        name: GatewayName,
    },
}

pub(crate) fn run(gateway: &Gateway, context: &Context) -> Result<Exit, CliError> {
    match &gateway.command {
        Command::Add { name, file, pin } => {
            let ask = AdminAsk::AddGateway { name: name.clone(), key: jwk::read(file, KEY_FILE)? };
            let added: GatewayRecord = ask::admin_with_pin(context, &ask, pin)?;
            context.out.facts(&added, |out| {
                out.line(format!("{}  {name}  {}", out.style(Style::Good, "registered"), added.key.thumbprint()));
            });
        }
        Command::List => {
            let gateways: Vec<GatewayRecord> = ask::admin(context, &AdminAsk::Gateways {})?;
            context.out.facts(&json!({ "gateways": gateways }), |out| {
                for gateway in &gateways {
                    let (thumbprint, since) = (gateway.key.thumbprint(), utc(gateway.at));
                    out.line(format!("{:<20} {thumbprint}  since {since} by {}", gateway.name, gateway.by));
                }
                if gateways.is_empty() {
                    out.line("no gateway may be lent credentials: remit gateway add NAME identity.jwk");
                }
            });
        }
        Command::Remove { name } => {
            ask::admin::<Value>(context, &AdminAsk::RemoveGateway { name: name.clone() })?;
            context.out.facts(&json!({ "removed": name }), |out| out.line(format!("removed {name}")));
        }
    }
    Ok(Exit::Fine)
}
