//! Bodies of the upstream's answers: one that is there, or a stream that stands until its reader goes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Streams that stand now.
static OPEN: AtomicU64 = AtomicU64::new(0);

/// How many streams stand.
pub(crate) fn open() -> u64 {
    OPEN.load(Ordering::Relaxed)
}

/// The body of an answer.
pub(crate) struct Body {
    next: Option<Bytes>,
    stands: Option<Stands>,
}

/// One stream; dropped, it is gone.
struct Stands;

impl Drop for Stands {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Body {
    pub(crate) fn whole(text: String) -> Self {
        Self { next: (!text.is_empty()).then(|| text.into()), stands: None }
    }

    /// A stream of events in which nothing happens.
    pub(crate) fn standing() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self { next: Some(Bytes::from_static(b": open\n\n")), stands: Some(Stands) }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match (self.next.take(), &self.stands) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, None) => Poll::Ready(None),
            // Nothing will ever wake it: the connection is watched by who drives it, and drops it when the reader goes.
            (None, Some(_)) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next.is_none() && self.stands.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.next, &self.stands) {
            (_, Some(_)) => SizeHint::default(),
            (next, None) => SizeHint::with_exact(next.as_ref().map_or(0, |bytes| bytes.len() as u64)),
        }
    }
}
