//! Asking the authority over its sockets, with the PIN where that is needed.

use std::io::{IsTerminal as _, Read, Stdin, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::Args;
use remit_authority::change::Run;
use remit_authority::socket::client::{self, ClientError};
use remit_authority::socket::wire::{AdminAsk, Given, RunAsk};
use remit_core::rejection::{Code, Rejection};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::doctor::part::{Part, start};
use crate::error::CliError;
use crate::out::visible;

/// Longest PIN file, in bytes.
const PIN_FILE_BYTES_MAX: u64 = 4096;
/// Longest PIN that is typed, in bytes.
const PIN_BYTES_MAX: usize = 4096;
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// Where the administrators' PIN comes from, where one is needed.
#[derive(Debug, Default, Args)]
pub(crate) struct PinArgs {
    /// Read the administrators' PIN from a file, instead of asking for it on the terminal
    #[arg(long, value_name = "FILE")]
    pub(crate) pin_file: Option<PathBuf>,
    /// Who you are, by the name of `remit person add`; the PIN is then your own [default: the operating-system user]
    #[arg(id = "as", long = "as", value_name = "NAME")]
    pub(crate) person: Option<String>,
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
    admin_with(context, ask, pin, &[])
}

/// The same, with credentials of a server.
pub(crate) fn admin_with<R: DeserializeOwned>(
    context: &Context,
    ask: &AdminAsk,
    pin: &PinArgs,
    secrets: &[Given],
) -> Result<R, CliError> {
    let home = context.home.authority();
    let person = pin.person.as_deref();
    // The file of the configuration holds the administrators' PIN, which is nobody's own.
    let configured = context.loaded.config.admin.pin_file.as_deref().filter(|_| person.is_none());
    let given = pin.pin_file.as_deref().or(configured).map(read_pin).transpose()?;
    let who = |pin| client::Who { person, pin };
    match client::admin_as(home.path(), ask, who(given.as_deref()), secrets) {
        Err(ClientError::Refused(refused)) if refused.code == Code::AdminRequired && given.is_none() => {
            let typed = prompt(&refused)?;
            client::admin_as(home.path(), ask, who(Some(&typed)), secrets).map_err(|error| failed(context, error))
        }
        answer => answer.map_err(|error| failed(context, error)),
    }
}

/// Asks a run's socket.
pub(crate) fn run<R: DeserializeOwned>(context: &Context, socket: &Path, ask: &RunAsk) -> Result<R, CliError> {
    client::run(socket, ask).map_err(|error| match error {
        ClientError::Unreachable { path, source } => {
            let (over, help) = silent_run(context, &path, &source);
            CliError::unreachable(format!("the run's socket {} does not answer: {over}", path.display()), help)
        }
        other => failed(context, other),
    })
}

/// The socket of the run that `--run` or `REMIT_RUN` names: by its path, or by the run's id.
pub(crate) fn run_socket(context: &Context, flag: Option<&str>) -> Option<PathBuf> {
    let named = flag.or_else(|| context.env.get("REMIT_RUN")).filter(|text| !text.is_empty())?;
    if named.contains('/') { Some(PathBuf::from(named)) } else { Some(context.home.authority().run_socket(named)) }
}

/// A run takes its socket with it. One that is there and that nobody serves is of an authority that was killed.
fn silent_run(context: &Context, socket: &Path, source: &std::io::Error) -> (String, String) {
    let home = context.home.flag(&context.env);
    // At its own end it takes the sockets of all runs with it, and makes them again at the next start.
    let served = UnixStream::connect(context.home.authority().admin_socket()).is_ok();
    match source.kind() {
        std::io::ErrorKind::NotFound if served && has_own_key(context, socket) => (
            "its key is kept elsewhere, so there are neither headers nor a relay for it here".into(),
            "ask for its tokens with that key, over OAuth: docs/delegation.md".into(),
        ),
        std::io::ErrorKind::NotFound if served => (
            "the run is over".into(),
            format!("begin a new one: remit{home} request SERVER/TOOL --for 15m --why \"…\""),
        ),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
            ("the authority is down".into(), format!("start it: {}", start_authority(context)))
        }
        _ => (source.to_string(), format!("see what is wrong: remit{home} doctor")),
    }
}

/// Whether a run without a socket is live: it brought its own key.
fn has_own_key(context: &Context, socket: &Path) -> bool {
    let id = socket.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    let runs: Result<Vec<Run>, _> = client::admin(context.home.authority().path(), &AdminAsk::Runs {}, None);
    runs.is_ok_and(|runs| runs.iter().any(|run| Some(run.id.as_str()) == id && !run.key_held))
}

/// The command that starts the authority of this home. Where only a gateway lives, there is none to start.
fn start_authority(context: &Context) -> String {
    match Part::of(&context.home) {
        Part::Gateway => "remit serve authority, where it lives; its commands are given there".into(),
        Part::Both | Part::Authority => start(context),
    }
}

fn failed(context: &Context, error: ClientError) -> CliError {
    let start = start_authority(context);
    match error {
        ClientError::Refused(rejection) => CliError::Refused(rejection),
        ClientError::Unreachable { path, source } => CliError::unreachable(
            format!("the authority does not answer at {}: {source}", path.display()),
            if path.exists() {
                format!("if it is starting, try again in a moment; if it was killed, start it: {start}")
            } else {
                format!("start it: {start}")
            },
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
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(failed(&"there is nothing in it")),
        pin if pin.contains(['\r', '\n']) => Err(failed(&"more than one line, so it is not clear which is the PIN")),
        pin => Ok(pin.to_owned()),
    }
}

/// Asks the person at the terminal, without showing what is typed.
fn prompt(refused: &Rejection) -> Result<String, CliError> {
    let stdin = std::io::stdin();
    let refused = |help: &str| CliError::Refused(Rejection { help: help.into(), ..refused.clone() });
    if !stdin.is_terminal() {
        return Err(refused("run it on a terminal, or give the PIN: --pin-file FILE"));
    }
    let no_terminal = |error: &dyn std::fmt::Display| {
        CliError::unevaluated(format!("the terminal does not work: {error}"), "give the PIN: --pin-file FILE")
    };
    drop(write!(std::io::stderr(), "{}\nPIN: ", visible(&refused("").to_string())));
    let hidden = Hidden::from(&stdin).map_err(|error| no_terminal(&error))?;
    let typed = typed(&mut stdin.lock());
    drop(hidden);
    drop(writeln!(std::io::stderr()));
    match typed.map_err(|error| no_terminal(&error))? {
        Typed::Line(pin) if !pin.is_empty() => Ok(pin),
        Typed::Line(_) => {
            Err(refused("no PIN was typed, so none was tried: run it again, or give it: --pin-file FILE"))
        }
        Typed::Interrupted => Err(CliError::unevaluated("interrupted, and nothing was changed", "run it again")),
    }
}

/// A terminal that shows nothing of what is typed, and sends no signals for it; with this value it is as it was.
struct Hidden<'a> {
    terminal: &'a Stdin,
    shown: Termios,
}

impl<'a> Hidden<'a> {
    fn from(terminal: &'a Stdin) -> rustix::io::Result<Self> {
        let shown = tcgetattr(terminal)?;
        let mut modes = shown.clone();
        // Ctrl-C and Ctrl-D are read like all else: a signal would end this process before it puts the terminal right.
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG | LocalModes::ICANON);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(terminal, OptionalActions::Now, &modes)?;
        Ok(Self { terminal, shown })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        tcsetattr(self.terminal, OptionalActions::Now, &self.shown).ok();
    }
}

enum Typed {
    Line(String),
    Interrupted,
}

/// A line from a terminal that edits nothing by itself.
fn typed(terminal: &mut impl Read) -> std::io::Result<Typed> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while line.len() < PIN_BYTES_MAX && terminal.read(&mut byte)? == 1 {
        match byte {
            [b'\n' | b'\r' | CTRL_D] => break,
            [CTRL_C] => return Ok(Typed::Interrupted),
            [CTRL_U] => line.clear(),
            // All bytes of the last character.
            [BACKSPACE | DELETE] => while line.pop().is_some_and(|last| last & 0xc0 == 0x80) {},
            [other] => line.push(other),
        }
    }
    String::from_utf8(line).map(Typed::Line).map_err(std::io::Error::other)
}
