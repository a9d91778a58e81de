//! Bodies: read for who has shown a token, into room that is counted; passed over for everybody else.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use remit_core::rejection::Rejection;

use crate::mcp::McpError;
use crate::mcp::envelope::MESSAGE_BYTES_MAX;
use crate::places::Place;

/// How long a request's body may take to come.
pub const BODY_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a stranger's body may take to come to nobody.
const STRANGER_BODY_TIME_MAX: Duration = Duration::from_millis(500);
/// How much of it is let come, in bytes.
const STRANGER_BODY_BYTES_MAX: usize = 64 * 1024;

/// Why there is no body.
#[derive(Debug)]
pub enum Unread {
    /// It is not one.
    Bad(McpError),
    /// There is no room for it.
    NoRoom(Rejection),
}

/// The whole body, held in the room of its call.
pub async fn read(body: Body, place: &mut Place) -> Result<Bytes, Unread> {
    let bad = |why| Unread::Bad(McpError::Shape(why));
    let reading = async {
        let (mut body, mut whole) = (body, BytesMut::new());
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame.map_err(|_| bad("it did not come whole"))?.into_data() else { continue };
            if whole.len().saturating_add(piece.len()) > MESSAGE_BYTES_MAX {
                return Err(Unread::Bad(McpError::TooLarge { max: MESSAGE_BYTES_MAX }));
            }
            place.hold(piece.len()).map_err(Unread::NoRoom)?;
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    };
    tokio::time::timeout(BODY_TIME_MAX, reading).await.unwrap_or_else(|_| Err(bad("it did not come in time")))
}

/// Lets a short body come to nobody: a connection that is closed over unread bytes may lose its answer.
pub async fn pass_over(mut body: Body) {
    let passing = async {
        let mut passed = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            passed = passed.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if passed > STRANGER_BODY_BYTES_MAX {
                break;
            }
        }
    };
    let _stalled = tokio::time::timeout(STRANGER_BODY_TIME_MAX, passing).await.is_err();
}
