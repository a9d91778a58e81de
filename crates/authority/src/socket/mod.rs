//! The unix sockets: one for administrators, one for each live run.
//!
//! Person and agent have the same operating-system user, so what a caller may do is decided by the socket it comes to
//! and by the processes it descends from: a run's socket can only narrow that run, and the admin socket refuses
//! whatever descends from a live run.

mod admin;
pub mod client;
mod grants;
mod org;
pub(crate) mod peer;
mod registry;
mod run;
pub mod wire;

use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use remit_audit::durable;
use remit_core::id::RunId;
use remit_core::rejection::{Code, Rejection};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

use crate::authority::State;
use crate::change::Run;
use crate::config::Home;
use crate::error::AuthorityError;
use peer::Peer;
use wire::{Answer, LINE_BYTES_MAX};

/// Connections that one socket serves at once; the next one waits until there is room.
const CONNECTIONS_MAX: usize = 64;
/// Refused connections that are let finish their line, so that they hear why; more are closed at once.
const REFUSED_MAX: usize = 64;
/// A connection on which no whole line comes within this time is closed: a program of ours writes at once.
const LINE_TIMEOUT: Duration = Duration::from_secs(2);

/// The open sockets of runs.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<HashMap<RunId, Open>>);

#[derive(Debug)]
struct Open {
    task: AbortHandle,
    dir: std::path::PathBuf,
}

impl Sockets {
    fn put(&self, run: RunId, open: Open) {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.insert(run, open);
    }

    /// Closes a run's socket and removes its directory.
    pub(crate) fn close(&self, run: &RunId) {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sockets.remove(run) {
            open.close();
        }
    }

    /// Closes all of them.
    pub(crate) fn close_all(&self) {
        let mut sockets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.drain().for_each(|(_, open)| open.close());
    }
}

impl Open {
    fn close(self) {
        self.task.abort();
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "the run's directory stays");
        }
    }
}

/// Serves the admin socket until it is aborted.
pub(crate) fn serve_admin(state: &Arc<State>) -> Result<AbortHandle, AuthorityError> {
    let path = state.home.admin_socket();
    let listener = bind(&path)?;
    let (shared, state) = (Arc::clone(state), Arc::clone(state));
    let refuse = move |peer| admin::refuse(&shared, peer);
    let handle = move |peer, line: &[u8]| admin::answer(&state, peer, line);
    serve(listener, &path, refuse, handle)
}

/// Serves the sockets of the runs that were live when the authority ended.
pub(crate) fn serve_runs(state: &Arc<State>) -> Result<(), AuthorityError> {
    let live = state.core().journal.store().live_runs(state.config.clock.now())?;
    sweep(&state.home, &live)?;
    for run in live.into_iter().filter(|run| run.key_held) {
        let listener = bind_run(&state.home, &run.id)?;
        serve_run(state, run.id, listener)?;
    }
    Ok(())
}

/// Removes the directories of runs that ended without this process: by a crash, or while it was away.
fn sweep(home: &Home, live: &[Run]) -> Result<(), AuthorityError> {
    let runs = home.runs();
    durable::create_dir(&runs).map_err(AuthorityError::at(&runs))?;
    for entry in std::fs::read_dir(&runs).map_err(AuthorityError::at(&runs))? {
        let path = entry.map_err(AuthorityError::at(&runs))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !live.iter().any(|run| run.id.as_str() == name) {
            std::fs::remove_dir_all(&path).map_err(AuthorityError::at(&path))?;
        }
    }
    Ok(())
}

/// Binds a run's socket.
pub(crate) fn bind_run(home: &Home, run: &RunId) -> Result<StdListener, AuthorityError> {
    let path = home.run_socket(run.as_str());
    if let Some(dir) = path.parent() {
        durable::create_dir(dir).map_err(AuthorityError::at(dir))?;
    }
    bind(&path)
}

/// Serves a run's socket until the run ends.
pub(crate) fn serve_run(state: &Arc<State>, run: RunId, listener: StdListener) -> Result<(), AuthorityError> {
    let path = state.home.run_socket(run.as_str());
    let (shared, id) = (Arc::clone(state), run.clone());
    let refuse = move |peer| run::refuse(&shared, &id, peer);
    let (shared, id) = (Arc::clone(state), run.clone());
    let handle = move |peer, line: &[u8]| run::answer(&shared, &id, peer, line);
    let task = serve(listener, &path, refuse, handle)?;
    let dir = path.parent().unwrap_or(&path).to_owned();
    state.sockets.put(run, Open { task, dir });
    Ok(())
}

fn bind(path: &Path) -> Result<StdListener, AuthorityError> {
    // Whoever has the log open is the only one who may have bound this path.
    durable::remove(path).map_err(AuthorityError::at(path))?;
    let listener = StdListener::bind(path).map_err(AuthorityError::at(path))?;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).map_err(AuthorityError::at(path))?;
    listener.set_nonblocking(true).map_err(AuthorityError::at(path))?;
    Ok(listener)
}

/// Serves connections. Who may not ask at all takes no room from those who may, however long he says nothing.
fn serve<R, H>(listener: StdListener, path: &Path, refuse: R, handle: H) -> Result<AbortHandle, AuthorityError>
where
    R: Fn(Option<Peer>) -> Option<Vec<u8>> + Send + Sync + 'static,
    H: Fn(Option<Peer>, &[u8]) -> Vec<u8> + Send + Sync + 'static,
{
    let listener = UnixListener::from_std(listener).map_err(AuthorityError::at(path))?;
    let (refuse, handle) = (Arc::new(refuse), Arc::new(handle));
    let (room, refused) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), Arc::new(Semaphore::new(REFUSED_MAX)));
    let task = tokio::spawn(async move {
        while let Ok(permit) = Arc::clone(&room).acquire_owned().await {
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, say: the next moment may have some.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (refuse, handle, refused) = (Arc::clone(&refuse), Arc::clone(&handle), Arc::clone(&refused));
            tokio::spawn(async move {
                let peer = peer::peer(&stream);
                let refusal = tokio::task::spawn_blocking(move || refuse(peer)).await;
                match refusal {
                    Ok(None) => converse(stream, peer, handle).await,
                    Ok(Some(refusal)) => {
                        drop(permit);
                        turn_away(stream, refusal, &refused).await;
                    }
                    Err(_) => {}
                }
            });
        }
    });
    Ok(task.abort_handle())
}

/// Says no to a connection, once it has asked.
async fn turn_away(stream: UnixStream, refusal: Vec<u8>, room: &Semaphore) {
    let Ok(_place) = room.try_acquire() else { return };
    let mut stream = BufReader::new(stream);
    if read_line(&mut stream).await.is_some() {
        write_line(&mut stream, refusal).await;
    }
}

/// One line in, one line out, until the other end is done or says something that is no line.
async fn converse<H>(stream: UnixStream, peer: Option<Peer>, handle: Arc<H>)
where
    H: Fn(Option<Peer>, &[u8]) -> Vec<u8> + Send + Sync + 'static,
{
    let mut stream = BufReader::new(stream);
    while let Some(line) = read_line(&mut stream).await {
        let handle = Arc::clone(&handle);
        let answered = tokio::task::spawn_blocking(move || handle(peer, &line)).await;
        let Ok(answer) = answered else { return };
        if !write_line(&mut stream, answer).await {
            return;
        }
    }
}

/// A line may hold a PIN or a credential, so it is wiped.
async fn read_line(stream: &mut BufReader<UnixStream>) -> Option<Zeroizing<Vec<u8>>> {
    let mut line = Zeroizing::new(Vec::new());
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut limited = stream.take(limit);
    let read = tokio::time::timeout(LINE_TIMEOUT, limited.read_until(b'\n', &mut line)).await;
    (matches!(read, Ok(Ok(_))) && line.pop() == Some(b'\n')).then_some(line)
}

async fn write_line(stream: &mut BufReader<UnixStream>, mut answer: Vec<u8>) -> bool {
    answer.push(b'\n');
    let written = tokio::time::timeout(LINE_TIMEOUT, stream.get_mut().write_all(&answer)).await;
    matches!(written, Ok(Ok(())))
}

/// An answer as it stands on its line.
fn line(result: Result<serde_json::Value, AuthorityError>) -> Vec<u8> {
    let answer = result.map_or_else(|error| Answer::Error(error.rejection()), Answer::Ok);
    serde_json::to_vec(&answer).unwrap_or_default()
}

fn reply(value: impl Serialize) -> Result<serde_json::Value, AuthorityError> {
    Ok(serde_json::to_value(value)?)
}

fn not_a_request(error: &serde_json::Error) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(
        Code::RequestInvalid,
        format!("not a request of this socket: {error}"),
        "use the `remit` of the same release as the authority",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream as Client;
    use std::time::Instant;

    /// A socket that answers `yes`, or refuses everybody with `no`.
    fn socket(refuses: bool) -> (tempfile::TempDir, impl Fn(usize) -> Vec<Client>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sock");
        let refusal = move |_| refuses.then(|| b"no".to_vec());
        serve(bind(&path).unwrap(), &path, refusal, |_, _| b"yes".to_vec()).unwrap();
        (dir, move |count| (0..count).map(|_| Client::connect(&path).unwrap()).collect())
    }

    /// What is said on a connection within this time, up to the end of a line.
    fn said(client: &mut Client, within: Duration) -> String {
        client.set_read_timeout(Some(within)).unwrap();
        let (mut said, mut byte) = (String::new(), [0]);
        while !said.ends_with('\n') && client.read(&mut byte).is_ok_and(|read| read == 1) {
            said.push(char::from(byte[0]));
        }
        said
    }

    /// Break: serve as many at once as come, or turn the next one away.
    #[tokio::test(flavor = "multi_thread")]
    async fn beyond_so_many_connections_the_next_one_waits_for_room() {
        let (_dir, connect) = socket(false);
        let began = Instant::now();
        let mut silent = connect(64);
        let mut next = connect(1).remove(0);
        next.write_all(b"x\n").unwrap();
        let early = said(&mut next, Duration::from_millis(300));
        // Whoever says nothing is given up in the end, on a slow machine while we look.
        assert!(early.is_empty() || began.elapsed() >= LINE_TIMEOUT, "there is room for more");
        silent.pop();
        let answer = if early.is_empty() { said(&mut next, Duration::from_mins(1)) } else { early };
        assert_eq!(answer, "yes\n");
    }

    /// How many of so many hear why they are refused, once one was closed without a word; nothing where none is, or
    /// where the machine was too slow to tell it from one that is given up.
    fn heard(count: usize) -> Option<usize> {
        let (_dir, connect) = socket(true);
        let began = Instant::now();
        let mut all = connect(count);
        let mut closed = 0;
        while closed == 0 && began.elapsed() < LINE_TIMEOUT {
            for client in &mut all {
                client.set_nonblocking(true).unwrap();
                closed += usize::from(client.read(&mut [0]).is_ok());
                client.set_nonblocking(false).unwrap();
            }
        }
        for client in &mut all {
            // To one that is closed nothing can be said.
            client.write_all(b"x\n").ok();
        }
        let heard = all.iter_mut().map(|client| usize::from(said(client, LINE_TIMEOUT) == "no\n")).sum();
        (began.elapsed() < LINE_TIMEOUT).then_some(heard)
    }

    /// Break: keep as many that are refused as come, for as long as they say nothing.
    #[tokio::test(flavor = "multi_thread")]
    async fn so_many_hear_why_they_are_refused_and_the_next_one_is_closed_at_once() {
        assert_eq!((0..10).find_map(|_| heard(65)), Some(64));
    }
}
