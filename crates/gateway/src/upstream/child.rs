//! One child that speaks MCP over its standard streams, shared by the runs of one root.
//!
//! The tasks here end with the process: it is killed as a group when it is idle, stopped, or says what nobody can read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use remit_core::feature::Feature;
use rustix::process::Signal;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{OnceCell, broadcast, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::process::{Process, Program, Surroundings, drain, read_line, start};
use super::rewrite::{inbound, renamed};
use super::routes::{Answer, Pending, Routes};
use super::{Deadlines, REPLY_BYTES_MAX, UpstreamError, own_answer};
use crate::mcp::envelope::{Envelope, Notification};
use crate::mcp::method::{Class, Kind, Side, classify};
use crate::mcp::{Era, Id};
use crate::sse::Frame;

/// Most messages that wait to be written to a child, in messages.
const QUEUE_MAX: usize = 64;
/// Most notifications that wait for a slow standing stream, in messages.
const NOTICES_MAX: usize = 64;
/// How long a child may take to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(2);

/// A running child.
pub(super) struct Child {
    pub(super) deadlines: Deadlines,
    /// The result of the handshake, once it was made.
    pub(super) legacy: OnceCell<String>,
    /// Whether it speaks the modern era, once it was asked.
    pub(super) modern: OnceCell<bool>,
    pub(super) notices: broadcast::Sender<Frame>,
    routes: Mutex<Routes>,
    used: Mutex<Instant>,
    queue: mpsc::Sender<Bytes>,
    halt: watch::Sender<Option<Halt>>,
    end: watch::Sender<Option<Instant>>,
}

/// Why a child is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Halt {
    /// Nobody needs it any more.
    Stopped,
    /// It ended by itself, or cannot be understood.
    Failed,
}

impl Child {
    /// Starts the program and the tasks around it.
    pub(super) fn start(
        program: &Program,
        around: &Surroundings,
        deadlines: Deadlines,
        idle: Duration,
    ) -> Result<Arc<Self>, UpstreamError> {
        let mut process = start(program, around).map_err(|error| {
            tracing::warn!(command = program.command, %error, "a child does not start");
            UpstreamError::Unreachable
        })?;
        let (queue, queued) = mpsc::channel(QUEUE_MAX);
        let child = Arc::new(Self {
            deadlines,
            legacy: OnceCell::new(),
            modern: OnceCell::new(),
            notices: broadcast::channel(NOTICES_MAX).0,
            routes: Mutex::default(),
            used: Mutex::new(Instant::now()),
            queue,
            halt: watch::channel(None).0,
            end: watch::channel(None).0,
        });
        let streams = (process.child.stdin.take(), process.child.stdout.take(), process.child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(UpstreamError::Unreachable);
        };
        let secrets = program.vars.iter().map(|(_, value)| value.clone()).collect();
        tokio::spawn(drain(stderr, secrets));
        tokio::spawn(write(stdin, queued, child.halt.subscribe()));
        tokio::spawn(read(stdout, Arc::clone(&child)));
        tokio::spawn(watch_over(process, Arc::clone(&child), idle));
        Ok(child)
    }

    pub(super) fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a line; waits no longer than a connection may take.
    pub(super) async fn write(&self, message: String) -> Result<(), UpstreamError> {
        self.touch();
        match timeout(self.deadlines.connect, self.queue.send(line(message))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(UpstreamError::Closed),
            Err(_) => Err(UpstreamError::Timeout),
        }
    }

    /// Queues a line where there is room: for what must not wait.
    pub(super) fn write_now(&self, message: String) {
        if self.queue.try_send(line(message)).is_err() {
            tracing::debug!("a message to a child is dropped, because it reads nothing");
        }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.halt.borrow().is_none()
    }

    /// Whether nobody waits for it.
    pub(super) fn is_idle(&self) -> bool {
        self.routes().is_empty() && self.notices.receiver_count() == 0
    }

    pub(super) fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When its process group was gone.
    pub(super) fn end(&self) -> Option<Instant> {
        *self.end.borrow()
    }

    /// Asks it to end; all that waits for it is told at once.
    pub(super) fn stop(&self) {
        self.halt(Halt::Stopped);
    }

    /// Ends it, because it does not do what a server does.
    pub(super) fn fail(&self) {
        self.halt(Halt::Failed);
    }

    /// Whether it is to end because nobody needed it.
    pub(super) fn was_stopped(&self) -> bool {
        *self.halt.borrow() == Some(Halt::Stopped)
    }

    fn halt(&self, why: Halt) {
        self.halt.send_if_modified(|halt| {
            let first = halt.is_none();
            halt.get_or_insert(why);
            first
        });
        self.routes().close();
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits until its process group is gone.
    pub(super) async fn ended(&self) {
        let mut end = self.end.subscribe();
        // The sender lives as long as `self`.
        let _never = end.wait_for(Option::is_some).await.map(|_| ());
    }

    /// Tells when it is to end.
    pub(super) fn halted(&self) -> watch::Receiver<Option<Halt>> {
        self.halt.subscribe()
    }

    fn route(&self, text: &str) {
        match Envelope::parse_upstream(text.as_bytes()) {
            Ok(Envelope::Response(response)) => {
                let number = response.id.and_then(|id| id.key().as_number());
                let Some((number, pending)) = number.and_then(|n| Some((n, self.routes().remove(n)?))) else {
                    return;
                };
                self.touch();
                match inbound(text, number, &pending.original) {
                    Ok(message) => pending.answer(Answer::Message(message)),
                    Err(error) => tracing::warn!(%error, "a child's answer is dropped"),
                }
            }
            Ok(Envelope::Request(request)) => {
                if !self.asked(&request.method, text) {
                    self.write_now(own_answer(&request));
                }
            }
            Ok(Envelope::Notification(notification)) => self.notified(text, &notification),
            Err(error) => tracing::debug!(%error, "a child's line is no message"),
        }
    }

    /// Puts a question on the way to the caller whose call the child is at work on, where it is decided and recorded like
    /// one that came over HTTP, whatever was granted. Where more than one could be meant, it is nobody's.
    fn asked(&self, method: &str, text: &str) -> bool {
        let asks = Feature::used_by(method).is_some();
        asks && self.routes().of_one_caller().is_some_and(|pending| pending.note(text.to_owned()))
    }

    fn notified(&self, text: &str, notification: &Notification<'_>) {
        let eras = [Era::Legacy, Era::Modern];
        let class = |era| classify(&notification.method, Side::Server, Kind::Notification, era);
        if !eras.into_iter().any(|era| class(era) == Class::Derived) {
            tracing::debug!("a child's notification is refused");
            return;
        }
        let params = &notification.params;
        let number_of = |id: &Id<'_>| id.key().as_number();
        match (&*notification.method, &params.meta.subscription_id) {
            ("notifications/cancelled", _) => {
                self.unsubscribed(params.request_id.as_ref().and_then(number_of));
            }
            ("notifications/progress", _) => {
                let Some(token) = &params.progress_token else {
                    return;
                };
                let routes = self.routes();
                let pending = number_of(token).and_then(|number| routes.get(number));
                let Some((pending, original)) = pending.and_then(|it| Some((it, it.original.token.as_deref()?))) else {
                    return;
                };
                noted(pending, renamed(text, token, original));
            }
            (_, Some(subscription)) => {
                let routes = self.routes();
                let Some(pending) = number_of(subscription).and_then(|number| routes.get(number)) else {
                    return;
                };
                noted(pending, renamed(text, subscription, &pending.original.id));
            }
            // Nobody may be listening.
            (_, None) => drop(self.notices.send(Frame::of(text))),
        }
    }

    /// A server may only end a subscription; anything else has to be answered.
    fn unsubscribed(&self, number: Option<u64>) {
        let mut routes = self.routes();
        let number = number.filter(|number| routes.get(*number).is_some_and(|pending| pending.standing));
        if let Some(pending) = number.and_then(|number| routes.remove(number)) {
            pending.answer(Answer::Ended);
        }
    }
}

fn noted(pending: &Pending, message: Result<String, UpstreamError>) {
    match message {
        Ok(message) => drop(pending.note(message)),
        Err(error) => tracing::debug!(%error, "a child's notification is dropped"),
    }
}

fn line(mut message: String) -> Bytes {
    message.push('\n');
    message.into()
}

async fn write(mut stdin: ChildStdin, mut queued: mpsc::Receiver<Bytes>, mut halt: watch::Receiver<Option<Halt>>) {
    let all = async {
        while let Some(line) = queued.recv().await {
            if stdin.write_all(&line).await.is_err() || stdin.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = all => {}
        _halted = halt.wait_for(Option::is_some) => {}
    }
}

async fn read(stdout: ChildStdout, child: Arc<Child>) {
    let mut from = BufReader::new(stdout);
    let mut line = Vec::new();
    loop {
        match read_line(&mut from, &mut line, REPLY_BYTES_MAX).await {
            Ok(true) => match std::str::from_utf8(&line) {
                Ok(text) if !text.trim().is_empty() => child.route(text.trim_end_matches('\r')),
                _ => {}
            },
            Ok(false) => break,
            Err(error) => {
                tracing::warn!(%error, "a child is ended, because its output cannot be read");
                break;
            }
        }
    }
    // Without an output it answers nobody.
    child.halt(Halt::Failed);
}

/// Ends the process group when the child ends, is stopped, or was idle for too long.
async fn watch_over(mut process: Process, child: Arc<Child>, idle: Duration) {
    let mut halt = child.halt.subscribe();
    loop {
        let rest = (child.used() + idle).saturating_duration_since(Instant::now());
        tokio::select! {
            _status = process.child.wait() => child.halt(Halt::Failed),
            _halted = halt.wait_for(Option::is_some) => break,
            () = sleep(rest) => {
                if child.is_idle() {
                    child.stop();
                } else {
                    child.touch();
                }
            }
        }
    }
    if child.was_stopped() {
        process.group.signal(Signal::TERM);
        // Whether it obeys or not, what is left is killed.
        let _ended = timeout(GRACE, process.child.wait()).await;
    }
    process.group.kill();
    // Killed, so it ends; the wait only takes its status away.
    let _reaped = timeout(GRACE, process.child.wait()).await;
    drop(process);
    child.end.send_replace(Some(Instant::now()));
}
