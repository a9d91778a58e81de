//! What gateways follow: the bundle, and the feed of revocations. Both are signed, so that the road does not matter.

use std::time::Duration;

use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use remit_core::rejection::{Code, Rejection};
use serde::Deserialize;

use super::{Shared, blocking, refusal};
use std::sync::Arc;

use crate::bundle::Published;

/// Longest wait of a poll, in seconds.
const WAIT_S_MAX: u64 = 25;
const NOTE: &str = "text/plain; charset=utf-8";

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    after: Option<u64>,
    wait: Option<u64>,
}

impl After {
    fn wait(&self) -> Duration {
        Duration::from_secs(self.wait.unwrap_or(WAIT_S_MAX).min(WAIT_S_MAX))
    }
}

/// The bundle's note. With `after`, waits for one with a higher version, and answers 304 where none comes.
pub(super) async fn bundle(state: Shared, query: Query<After>, headers: HeaderMap) -> Response {
    let mut offered = state.bundle.subscribe();
    if let Some(after) = query.after {
        let newer = offered.wait_for(|offered| offered.bundle.as_ref().is_some_and(|bundle| bundle.version > after));
        if tokio::time::timeout(query.wait(), newer).await.is_err() {
            return StatusCode::NOT_MODIFIED.into_response();
        }
    }
    let offered = offered.borrow().clone();
    let Some(bundle) = offered.bundle else {
        let why = offered.error.unwrap_or_default();
        let message = format!("there is no valid bundle yet: {why}");
        let help = "mend the policies, then: remit admin reload";
        return refusal(&Rejection::new(Code::PolicyStale, message, help));
    };
    note(&bundle, &headers)
}

fn note(bundle: &Arc<Published>, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", bundle.version);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    if known == Some(tag.as_str()) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response();
    }
    let head = [(header::ETAG, tag), (header::CONTENT_TYPE, NOTE.into()), (header::CACHE_CONTROL, "no-cache".into())];
    (head, bundle.note.clone()).into_response()
}

/// The page of the feed after a position: at once where something follows it, else when something does, and at the
/// latest after the idle time, because an empty page says that the authority is alive.
pub(super) async fn feed(state: Shared, query: Query<After>, headers: HeaderMap) -> Response {
    let after = query.after.unwrap_or(0);
    follows(&state, &headers).await;
    let mut seq = state.feed.subscribe();
    let wait = query.wait().min(state.config.feed_idle);
    let something = seq.wait_for(|seq| *seq > after);
    // Either way the page says what there is.
    tokio::time::timeout(wait, something).await.ok();
    let shared = Arc::clone(&state);
    match blocking(move || shared.feed_page(after)).await {
        Ok(page) => {
            let head = [(header::CONTENT_TYPE, NOTE), (header::CACHE_CONTROL, "no-store")];
            (head, page).into_response()
        }
        Err(rejection) => refusal(&rejection),
    }
}

/// Takes note of how far the gateway that asks follows, where it says so. The page is everybody's.
async fn follows(state: &Shared, headers: &HeaderMap) {
    let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let Some(said) = said.map(ToOwned::to_owned) else { return };
    let state = Arc::clone(state);
    if let Err(rejection) = blocking(move || state.follows(&said)).await {
        tracing::warn!(%rejection, "how far a gateway follows is not known");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: let whoever asks hold a connection for as long as he likes, or longer than an answer is waited for.
    #[test]
    fn a_poll_waits_no_longer_than_the_limit() {
        let longest = Duration::from_secs(25);
        assert!(longest < super::super::ANSWER_TIMEOUT);
        for (asked, waits) in [
            (None, longest),
            (Some(0), Duration::ZERO),
            (Some(25), longest),
            (Some(26), longest),
            (Some(u64::MAX), longest),
        ] {
            assert_eq!(After { after: None, wait: asked }.wait(), waits, "{asked:?}");
        }
    }
}
