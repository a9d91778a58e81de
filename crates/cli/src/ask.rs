//! Asking the authority over its sockets, with the PIN where that is needed.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AdminAsk, RunAsk};
use remit_core::rejection::{Code, Rejection};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::CliError;

/// Longest PIN file, in bytes.
const PIN_FILE_BYTES_MAX: u64 = 4096;

/// Where the administrators' PIN comes from, where one is needed.
#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// Read the administrators' PIN from a file, instead of asking for it on the terminal
    #[arg(long, value_name = "FILE")]
    pub(crate) pin_file: Option<PathBuf>,
}

/// Asks the admin socket for what needs no PIN.
pub(crate) fn admin<R: DeserializeOwned>(context: &Context, ask: &AdminAsk) -> Result<R, CliError> {
    client::admin(context.home.authority().path(), ask, None).map_err(|error| failed(context, error))
}

/// The same for what may need the PIN: it is asked for only when the authority wants it.
pub(crate) fn admin_with_pin<R: DeserializeOwned>(
    context: &Context,
    ask: &AdminAsk,
    pin: &PinArgs,
) -> Result<R, CliError> {
    let home = context.home.authority();
    let file = pin.pin_file.as_deref().or(context.loaded.config.admin.pin_file.as_deref());
    let given = file.map(read_pin).transpose()?;
    match client::admin(home.path(), ask, given.as_deref()) {
        Err(ClientError::Refused(refused)) if refused.code == Code::AdminRequired && given.is_none() => {
            let typed = prompt(&refused)?;
            client::admin(home.path(), ask, Some(&typed)).map_err(|error| failed(context, error))
        }
        answer => answer.map_err(|error| failed(context, error)),
    }
}

/// Asks a run's socket.
pub(crate) fn run<R: DeserializeOwned>(context: &Context, socket: &Path, ask: &RunAsk) -> Result<R, CliError> {
    client::run(socket, ask).map_err(|error| match error {
        ClientError::Unreachable { path, source } => CliError::unreachable(
            format!("the run's socket {} does not answer: {source}", path.display()),
            "the run may be over: remit request SERVER/TOOL --for 15m --why \"…\" begins a new one",
        ),
        other => failed(context, other),
    })
}

/// The socket of the run that `--run` or `REMIT_RUN` names: by its path, or by the run's id.
pub(crate) fn run_socket(context: &Context, flag: Option<&str>) -> Option<PathBuf> {
    let named = flag.or_else(|| context.env.get("REMIT_RUN")).filter(|text| !text.is_empty())?;
    if named.contains('/') { Some(PathBuf::from(named)) } else { Some(context.home.authority().run_socket(named)) }
}

fn failed(context: &Context, error: ClientError) -> CliError {
    let home = context.home.flag(&context.env);
    match error {
        ClientError::Refused(rejection) => CliError::Refused(rejection),
        ClientError::Unreachable { path, source } => CliError::unreachable(
            format!("the authority does not answer at {}: {source}", path.display()),
            format!("start it: remit{home} up"),
        ),
        ClientError::Answer(error) => CliError::unevaluated(
            format!("the authority's answer is not understood: {error}"),
            "use the `remit` of the same release as the authority, and see: remit doctor",
        ),
    }
}

/// Reads a PIN from a file.
pub(crate) fn read_pin(path: &Path) -> Result<String, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        CliError::unevaluated(format!("{}: {why}", path.display()), "name a file that holds the PIN: --pin-file FILE")
    };
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > PIN_FILE_BYTES_MAX => return Err(failed(&"larger than a PIN")),
        _ => {}
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks the person at the terminal, without showing what is typed.
fn prompt(refused: &Rejection) -> Result<String, CliError> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let help = "run it on a terminal, or give the PIN: --pin-file FILE";
        return Err(CliError::Refused(Rejection { help: help.into(), ..refused.clone() }));
    }
    drop(write!(std::io::stderr(), "{}\nPIN: ", refused.message));
    let no_terminal = |error: &dyn std::fmt::Display| {
        CliError::unevaluated(format!("the terminal does not work: {error}"), "give the PIN: --pin-file FILE")
    };
    let shown = tcgetattr(&stdin).map_err(|error| no_terminal(&error))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &hidden).map_err(|error| no_terminal(&error))?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    let restored = tcsetattr(&stdin, OptionalActions::Now, &shown);
    drop(writeln!(std::io::stderr()));
    read.map_err(|error| no_terminal(&error))?;
    restored.map_err(|error| no_terminal(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
