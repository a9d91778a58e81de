//! `remit server list`.

use remit_authority::change::ServerRecord;
use remit_authority::socket::wire::AdminAsk;
use remit_core::registry::Upstream;
use serde_json::json;

use crate::ask;
use crate::context::Context;
use crate::error::{CliError, Exit};

pub(super) fn run(context: &Context) -> Result<Exit, CliError> {
    let servers: Vec<ServerRecord> = ask::admin(context, &AdminAsk::Servers {})?;
    context.out.facts(&json!({ "servers": servers }), |out| {
        for server in &servers {
            out.line(format!("{:<20} {:<12} {}", server.name, server.environment.name(), reached(&server.upstream)));
        }
        if servers.is_empty() {
            out.line("no server is registered: remit server add NAME --url URL --expose TOOL");
        }
    });
    Ok(Exit::Fine)
}

pub(super) fn reached(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Http { url } => url.clone(),
        Upstream::Stdio { command, args } => format!("{command} {}", args.join(" ")).trim_end().to_owned(),
    }
}
