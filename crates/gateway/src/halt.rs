//! What ends a call before its answer: its run is revoked, its grant ends, or its sender takes it back.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use remit_core::call::Action;
use remit_core::claims::Claims;
use remit_core::event::Status;
use remit_core::id::ServerName;
use remit_core::rejection::{Code, Rejection};

use crate::Gateway;
use crate::flight::Flight;

impl Gateway {
    /// Whether something took the caller's token back, locked down what it calls, or removed the agent.
    fn is_revoked(&self, claims: &Claims, server: &ServerName, action: &Action) -> bool {
        self.snapshots.latest().is_none_or(|snapshot| {
            snapshot.taken(claims).is_some()
                || snapshot.revoked.is_locked(server, action.tool())
                || snapshot.bundle.agent(&claims.client_id).is_none()
                || snapshot.bundle.server(server).is_none()
        })
    }

    /// Waits until the call must end, and says as what.
    pub(crate) async fn halted(&self, flight: &Flight, server: &ServerName, action: &Action) -> Status {
        let mut snapshots = self.snapshots.watch();
        // What came between the decision and now counts too.
        snapshots.mark_changed();
        let left = flight.claims.grant.until.saturating_sub(self.clock.now_s());
        let end = tokio::time::sleep(Duration::from_secs(u64::try_from(left).unwrap_or(0)));
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = flight.cancelled() => return Status::Cancelled,
                () = &mut end => return Status::Revoked,
                changed = snapshots.changed() => {
                    if changed.is_err() || self.is_revoked(&flight.claims, server, action) {
                        return Status::Revoked;
                    }
                }
            }
        }
    }

    /// Waits for the work, unless the call must end first; then the work is dropped, and with it the upstream call.
    pub(crate) async fn unless_halted<T>(
        &self,
        flight: &Flight,
        server: &ServerName,
        action: &Action,
        work: impl Future<Output = T>,
    ) -> Result<T, Status> {
        tokio::select! {
            biased;
            status = self.halted(flight, server, action) => Err(status),
            done = work => Ok(done),
        }
    }

    /// The answer to a call that had to end before its own.
    pub(crate) async fn ended(&self, flight: Flight, status: Status) -> Result<Response, Rejection> {
        flight.land(status, None).await?;
        if status == Status::Cancelled {
            // Who takes a request back waits for no answer; a stream may end without one.
            let mut response = Response::new(Body::empty());
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            return Ok(response);
        }
        Err(revoked())
    }
}

/// What is said of a call that was ended by a revocation.
pub(crate) fn revoked() -> Rejection {
    let message = "the run, or something it depends on, was revoked while the call was in flight";
    Rejection::new(Code::Revoked, message, "look whether it had its effect: remit log tail")
}

#[cfg(test)]
pub(crate) mod tests;
