//! The command line as it is typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::{completion, log};

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
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    /// Where Remit keeps its state [env: REMIT__HOME]
    #[arg(long, global = true, value_name = "DIR")]
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
    /// Read, prove and check the logs
    Log(log::Log),
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
