//! The command line as it is typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Flag;
use crate::{
    admin, adopt, agent, approve, completion, doctor, gateway, grant, issuer, lockdown, log, person, request, revoke,
    role, serve, server, status, team, token, up,
};

#[derive(Debug, Parser)]
#[command(
    name = "remit",
    version,
    about = "Zero trust for AI agents: every call is identified, decided, recorded, forwarded and proved",
    after_help = "Examples:
  remit demo                                                       the whole story in a minute
  remit up                                                         authority and gateway on this machine
  remit request tickets/read_ticket --for 15m --why \"INC-42\"       a scoped token, at once
  remit log verify                                                 prove that nothing was changed

Exit codes: 0 fine, 1 findings or denied, 2 usage or could not evaluate, 3 not signed in,
4 authority or gateway unreachable, 5 approval pending.",
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[arg(long, global = true, value_name = "DIR", help = "Where Remit keeps its state [env: REMIT__HOME]")]
    pub(crate) home: Option<PathBuf>,
    /// Another configuration than `remit.toml` in the home
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Print facts as one JSON object
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play the whole story on this machine, in a scratch directory, ending with a verified log
    #[cfg(feature = "demo")]
    #[command(after_help = "Examples:
  remit demo
  remit demo --home /tmp/demo && remit --home /tmp/demo log tail")]
    Demo,
    /// Run authority and gateway on this machine, in one process
    Up(up::Up),
    /// Run the authority, or a gateway, alone
    Serve(serve::Serve),
    /// Register agents, renew or stop them, and see how they stand
    Agent(agent::Agent),
    /// Register teams, which own agents
    Team(team::Team),
    /// Say who holds which role
    Role(role::Role),
    /// Make people known by name
    Person(person::Person),
    /// Register MCP servers, review and expose their tools
    Server(server::Server),
    /// Move a client's file of MCP servers off its standing keys: seal them, and lead it to the relay
    Adopt(adopt::Adopt),
    /// Say which gateways may be lent the credentials of servers
    Gateway(gateway::Gateway),
    /// Say whose word for people and workloads counts, and for what
    Issuer(issuer::Issuer),
    /// Get a scoped grant, at once
    Request(request::RequestArgs),
    /// See what is held and for how long, renew it, give it back, or follow what a person was asked for
    Grant(grant::GrantArgs),
    /// Print the headers with which an MCP client reaches a server
    Token(token::Token),
    /// Show what waits for a person's word
    #[command(after_help = "Example:\n  remit approvals")]
    Approvals,
    /// Let a program act as an agent, when it asks for it by its code
    Approve(approve::Approve),
    /// Say no to it
    Deny(approve::Deny),
    /// Take something back, everywhere, in seconds
    Revoke(revoke::Revoke),
    /// Stop a server or a tool for everybody
    Lockdown(lockdown::Lockdown),
    /// Read, prove and check the logs
    Log(log::Log),
    /// Show what runs and what holds; inside a run, what it may do
    Status(status::StatusArgs),
    /// Find what is wrong here, and how to mend it
    Doctor(doctor::Doctor),
    /// The authority's own affairs: PIN, policies, keys
    Admin(admin::Admin),
    /// Show the configuration, and where each value came from
    Config(ConfigArgs),
    /// Print what a shell needs to complete commands
    Completion(completion::Completion),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key, its value, and where the value came from
    #[command(after_help = "Example:\n  REMIT__GATEWAY__CALLS_MAX=64 remit config show")]
    Show,
}

impl Command {
    /// What the command's flags say of the configuration.
    pub(crate) fn flags(&self) -> Vec<Flag> {
        let flag = |key, name, value: &Option<std::net::SocketAddr>| value.map(|value| (key, name, value.to_string()));
        let found = match self {
            Self::Up(up) => [
                flag("authority.listen", "--listen-authority", &up.listen_authority),
                flag("gateway.listen", "--listen-gateway", &up.listen_gateway),
            ],
            Self::Serve(serve) => match &serve.command {
                serve::Command::Authority { listen } => [flag("authority.listen", "--listen", listen), None],
                serve::Command::Gateway { listen } => [flag("gateway.listen", "--listen", listen), None],
            },
            _ => [None, None],
        };
        found.into_iter().flatten().collect()
    }
}
