//! `remit server show`: how a server is reached, and its tools as they were reviewed.

use clap::Args;
use remit_authority::broker::record::Behalf;
use remit_authority::change::ToolRecord;
use remit_authority::socket::wire::{SecretShown, ServerShown};
use remit_core::id::ServerName;
use remit_core::role::OrgRole;

use super::list::reached;
use super::shown;
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};
use crate::time::utc;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit server show tickets")]
pub(crate) struct Show {
    /// The server
    name: ServerName,
}

pub(super) fn run(show: &Show, context: &Context) -> Result<Exit, CliError> {
    let found = shown(context, &show.name)?;
    context.out.facts(&found, |out| {
        let server = &found.server;
        out.line(out.style(Style::Strong, &server.name));
        out.line(format!("reached      {}", reached(&server.upstream)));
        out.line(format!("environment  {}", server.environment.name()));
        let owner = server.owner.clone().unwrap_or(OrgRole::Platform);
        out.line(format!("owner        {owner}"));
        out.line(format!("registered   {} by {}", utc(server.at), server.by));
        if !server.features.is_empty() {
            let features: Vec<_> = server.features.iter().map(|feature| feature.name()).collect();
            out.line(format!("may use      {} of a client", features.join(", ")));
        }
        secrets(&found.secrets, out);
        oauth(&found, out);
        tools(&found.tools, out);
    });
    Ok(Exit::Fine)
}

/// That there are credentials: where each goes and since when, never what it is.
pub(super) fn secrets(secrets: &[SecretShown], out: &Out) {
    for secret in secrets {
        let (place, version) = (&secret.place, secret.version);
        let kind = if secret.plain { "setting   " } else { "credential" };
        let whose = if secret.scope.is_all() { String::new() } else { format!(" for {}", secret.scope) };
        out.line(format!("{kind}   {place}{whose}, version {version}, since {} by {}", utc(secret.at), secret.by));
    }
}

/// How its tokens are got, and who is connected.
pub(super) fn oauth(found: &ServerShown, out: &Out) {
    let Some(record) = &found.oauth else { return };
    let behalf = match record.behalf {
        Behalf::ClientCredentials => "for Remit itself",
        Behalf::AuthorizationCode => "for each person who is connected",
    };
    out.line(format!("tokens       {behalf}, of {} for {}", record.issuer, record.resource));
    out.line(format!(
        "client       {} ({}), since {} by {}",
        record.client,
        word(&record.auth),
        utc(record.at),
        record.by
    ));
    if let Some(redirect) = &found.redirect {
        out.line(format!("sent back to {redirect}"));
    }
    if let Some(key) = &record.key {
        out.line(format!("its key      {}", serde_json::to_string(key).unwrap_or_default()));
    }
    for one in &found.connections {
        let scope = one.scope.as_deref().map_or_else(String::new, |scope| format!(" ({scope})"));
        let (since, renewed) = (utc(one.since), utc(one.renewed));
        out.line(format!("connected    {}{scope}, since {since}, renewed {renewed}", one.principal));
    }
    if record.behalf == Behalf::AuthorizationCode && found.connections.is_empty() {
        out.line(format!("connected    nobody: remit server connect {}", found.server.name));
    }
}

/// A line for each tool.
pub(super) fn tools(tools: &[ToolRecord], out: &Out) {
    for tool in tools {
        let exposed = if tool.exposed { out.style(Style::Good, "exposed") } else { out.style(Style::Quiet, "hidden ") };
        let roles: Vec<String> = tool.roles.iter().map(|(name, role)| format!("{name}:{}", word(role))).collect();
        out.line(format!(
            "  {exposed}  {:<24} {}  returns {}  {}",
            tool.name,
            tool.tier.name(),
            returns(tool),
            roles.join(" ")
        ));
    }
}

/// The worst label of what a tool returns.
pub(super) fn returns(tool: &ToolRecord) -> String {
    format!("{}/{}", word(&tool.returns.trust), word(&tool.returns.sensitivity))
}

/// A word as it is written in files.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}
