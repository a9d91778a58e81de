//! `watch_ticket`: a call that holds its stream open, and notices when nobody listens any more.
//!
//! Invariant: a watch ends in one ledger row, `read` or `cancelled`, however it ends.

use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::ProgressNotificationParam;
use rmcp::service::RequestContext;
use serde_json::Value;
use tokio::time::{Instant, interval};

use crate::desk::Desk;

pub(crate) const TOOL: &str = "watch_ticket";

/// Between two progress notifications.
const TICK: Duration = Duration::from_millis(500);

/// Reports progress until the time is up; false when the client left before that.
///
/// The caller writes the ledger row of a watch that ran its time, together with the answer.
pub(crate) async fn watch(desk: &Desk, arguments: &Value, seconds: u64, context: &RequestContext<RoleServer>) -> bool {
    let mut row = CancelledRow { desk, arguments, armed: true };
    let ran = tokio::select! {
        biased;
        () = context.ct.cancelled() => false,
        () = report(Duration::from_secs(seconds), context) => true,
    };
    row.armed = !ran;
    ran
}

async fn report(time: Duration, context: &RequestContext<RoleServer>) {
    let end = Instant::now() + time;
    let mut ticks = interval(TICK);
    let mut step = 0.0;
    while ticks.tick().await < end {
        step += 1.0;
        // Without a token the client asked for no progress, and MCP forbids to send any.
        let Some(token) = context.meta.get_progress_token() else {
            continue;
        };
        let progress = ProgressNotificationParam::new(token, step).with_message("still open");
        // If the stream is gone, the request's cancellation follows, or the time runs out.
        drop(context.peer.notify_progress(progress).await);
    }
}

/// Writes `cancelled` when it is dropped armed: also when the whole task is dropped, which is how
/// a transport may end a request whose client disconnected.
struct CancelledRow<'a> {
    desk: &'a Desk,
    arguments: &'a Value,
    armed: bool,
}

impl Drop for CancelledRow<'_> {
    fn drop(&mut self) {
        if self.armed {
            // Nobody is left to be told of a failure; a test finds the row missing.
            drop(self.desk.cancelled(TOOL, self.arguments));
        }
    }
}
