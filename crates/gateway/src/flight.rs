//! A call in flight: it was recorded, so it must have an outcome, however it ends.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use remit_core::claims::Claims;
use remit_core::event::{Outcome, Status};
use remit_core::label::Label;
use remit_core::rejection::Rejection;
use tokio::sync::Notify;

use crate::Gateway;
use crate::flights::Sent;

/// An intent whose outcome is not recorded yet. Dropping it records that the call was cancelled.
pub struct Flight {
    gateway: Arc<Gateway>,
    /// The caller.
    pub claims: Arc<Claims>,
    /// Index of the intent.
    pub intent: u64,
    /// The root's label from now on.
    pub label_after: Label,
    cancel: Arc<Notify>,
    began: Instant,
    landed: bool,
}

impl Flight {
    /// The flight of a recorded intent.
    pub fn new(gateway: Arc<Gateway>, claims: Arc<Claims>, intent: u64, label_after: Label, sent: Sent) -> Self {
        let cancel = gateway.flights.enter(intent, sent);
        Self { gateway, claims, intent, label_after, cancel, began: Instant::now(), landed: false }
    }

    /// Waits until the sender takes the call back.
    pub async fn cancelled(&self) {
        self.cancel.notified().await;
    }

    /// Records the outcome, durably: what the client gets waits for it.
    ///
    /// In a task of its own: whoever waits for it may go away, and the call has ended all the same.
    pub async fn land(mut self, status: Status, result: Option<Bytes>) -> Result<(), Rejection> {
        self.landed = true;
        let rest = self.rest();
        let recorded = tokio::spawn(async move { rest.record(status, result.as_deref()).await });
        recorded.await.unwrap_or_else(|_| Err(Gateway::broken()))
    }

    async fn record(&self, status: Status, result: Option<&[u8]>) -> Result<(), Rejection> {
        let outcome = Outcome {
            intent: self.intent,
            run: Some((self.claims.run.as_str(), self.claims.root.as_str())),
            status,
            duration_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            label_after: self.label_after,
            result,
            subject: self.claims.sub.as_str(),
        };
        let recorded = self.gateway.recorder.outcome(&outcome).await;
        self.gateway.flights.leave(self.intent, recorded.is_ok());
        // The number of the intent is all that can be told of the call.
        recorded.map(drop).map_err(|lost| Rejection { decision: Some(self.intent), ..lost })
    }

    fn rest(&self) -> Self {
        Self {
            gateway: Arc::clone(&self.gateway),
            claims: Arc::clone(&self.claims),
            intent: self.intent,
            label_after: self.label_after,
            cancel: Arc::clone(&self.cancel),
            began: self.began,
            landed: true,
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.landed {
            return;
        }
        // The client went away: whoever drops us waits for nothing, so a task of its own records it.
        let rest = self.rest();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = rest.record(Status::Cancelled, None).await {
                    tracing::error!(%error, intent = rest.intent, "a cancelled call has no outcome until the next start");
                }
            });
        }
    }
}
