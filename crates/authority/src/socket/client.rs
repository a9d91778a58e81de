//! The other end of the sockets, for the command line: blocking, because a command asks once and ends.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use remit_core::rejection::Rejection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::wire::{AdminAsk, Answer, Given, LINE_BYTES_MAX, RunAsk};
use crate::config::Home;

/// The longest that an answer is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] Rejection),
    /// Nobody serves the socket, or the connection broke.
    #[error("the authority cannot be reached at {path}: {source}")]
    Unreachable {
        /// The socket.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The answer is not one of this release.
    #[error("the authority's answer is not understood: {0}")]
    Answer(#[from] serde_json::Error),
}

/// Who asks, and what shows it. No `Debug`: it holds a PIN.
#[derive(Clone, Copy, Default)]
pub struct Who<'a> {
    /// A person who is known by name; the operating-system user where nobody is named.
    pub person: Option<&'a str>,
    /// The person's PIN, or the administrators'.
    pub pin: Option<&'a str>,
}

/// Asks the admin socket of a home.
pub fn admin<R: DeserializeOwned>(home: &Path, ask: &AdminAsk, pin: Option<&str>) -> Result<R, ClientError> {
    ask_socket(&Home::new(home).admin_socket(), ask, Who { person: None, pin }, &[])
}

/// The same, with credentials of a server.
pub fn admin_with<R: DeserializeOwned>(
    home: &Path,
    ask: &AdminAsk,
    pin: Option<&str>,
    secrets: &[Given],
) -> Result<R, ClientError> {
    admin_as(home, ask, Who { person: None, pin }, secrets)
}

/// The same, for a person who is known by name.
pub fn admin_as<R: DeserializeOwned>(
    home: &Path,
    ask: &AdminAsk,
    who: Who<'_>,
    secrets: &[Given],
) -> Result<R, ClientError> {
    ask_socket(&Home::new(home).admin_socket(), ask, who, secrets)
}

/// Asks a run's socket.
pub fn run<R: DeserializeOwned>(socket: &Path, ask: &RunAsk) -> Result<R, ClientError> {
    ask_socket(socket, ask, Who::default(), &[])
}

/// [`super::wire::Line`], of what is only lent.
#[derive(Serialize)]
struct Asking<'a, T> {
    #[serde(rename = "as", skip_serializing_if = "Option::is_none")]
    person: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Given]>::is_empty")]
    secrets: &'a [Given],
    ask: &'a T,
}

fn ask_socket<R: DeserializeOwned>(
    path: &Path,
    ask: &impl Serialize,
    Who { person, pin }: Who<'_>,
    secrets: &[Given],
) -> Result<R, ClientError> {
    let mut text = Zeroizing::new(serde_json::to_vec(&Asking { person, pin, secrets, ask })?);
    text.push(b'\n');
    let answer = exchange(path, &text).map_err(|source| ClientError::Unreachable { path: path.to_owned(), source })?;
    match serde_json::from_slice(&answer)? {
        Answer::Ok(reply) => Ok(reply),
        Answer::Error(rejection) => Err(rejection.into()),
    }
}

fn exchange(path: &Path, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    stream.write_all(text)?;
    let mut answer = Vec::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    BufReader::new(stream).take(limit).read_until(b'\n', &mut answer)?;
    Ok(answer)
}
