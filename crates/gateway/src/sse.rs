//! Server-sent events, taken apart into frames while they arrive, in whatever pieces they arrive.
//!
//! A frame is written again with line feeds as its line ends and every field as it came: readers differ on a lone
//! carriage return, and no upstream may show the client another frame than the one that was judged here.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::mcp::Era;
use crate::mcp::envelope::Envelope;
use crate::mcp::id::IdKey;
use crate::mcp::method::{Class, Kind, Side, classify};

/// Largest frame, in bytes.
pub const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A frame is larger than [`FRAME_BYTES_MAX`].
    #[error("a frame is larger than {FRAME_BYTES_MAX} bytes")]
    TooLarge,
    /// A line is not UTF-8.
    #[error("a frame is not UTF-8")]
    NotUtf8,
}

/// One event, or one comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    data: Option<String>,
    named: bool,
}

/// What a frame is to the request on whose stream it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameKind {
    /// A comment, or an event without data: nothing that a client could read as a message.
    Silent,
    /// A notification, with its method.
    Notification(String),
    /// A request of the upstream to the client, with its method.
    Request(String),
    /// The answer to the request: the final frame.
    Final,
    /// Not a message that belongs here: an answer to something else, another type of event, or not JSON-RPC at all.
    Foreign,
}

impl FrameKind {
    /// Whether the client may see such a frame as it is: what an upstream asks of it is decided first, and what belongs
    /// elsewhere it may not see.
    pub fn may_pass(&self, era: Era) -> bool {
        match self {
            Self::Silent | Self::Final => true,
            Self::Notification(method) => classify(method, Side::Server, Kind::Notification, era) == Class::Derived,
            Self::Request(_) | Self::Foreign => false,
        }
    }
}

impl Frame {
    /// The frame that carries one message. JSON holds line ends only between tokens, where a space does as well.
    pub fn of(message: &str) -> Self {
        let data = message.replace(['\r', '\n'], " ");
        Self { bytes: format!("event: message\ndata: {data}\n\n").into(), data: Some(data), named: false }
    }

    /// The comment that keeps a silent stream open.
    pub fn keep_alive() -> Self {
        Self { bytes: Bytes::from_static(b":\n"), data: None, named: false }
    }

    /// What is sent on.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The message, where there is one.
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref().filter(|data| !data.is_empty())
    }

    /// Whether the upstream asks something of the client.
    pub fn is_question(&self) -> bool {
        self.data().is_some_and(|data| matches!(Envelope::parse_upstream(data.as_bytes()), Ok(Envelope::Request(_))))
    }

    /// What the frame is to the request with this id.
    pub fn kind(&self, request: &IdKey) -> FrameKind {
        let Some(data) = self.data() else {
            return FrameKind::Silent;
        };
        if self.named {
            return FrameKind::Foreign;
        }
        match Envelope::parse_upstream(data.as_bytes()) {
            Ok(Envelope::Notification(it)) => FrameKind::Notification(it.method.into_owned()),
            Ok(Envelope::Request(it)) => FrameKind::Request(it.method.into_owned()),
            Ok(Envelope::Response(it)) if it.id.as_ref().is_some_and(|id| id.key() == *request) => FrameKind::Final,
            Ok(Envelope::Response(_)) | Err(_) => FrameKind::Foreign,
        }
    }
}

/// Takes a stream of bytes apart.
#[derive(Debug, Default)]
pub struct Splitter {
    line: Vec<u8>,
    text: String,
    data: Option<String>,
    named: bool,
    after_return: bool,
    ready: VecDeque<Frame>,
}

impl Splitter {
    /// Takes the next piece.
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), SseError> {
        while let Some((first, after)) = piece.split_first() {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                piece = after;
                continue;
            }
            let end = piece.iter().position(|b| matches!(b, b'\r' | b'\n')).unwrap_or(piece.len());
            let (part, rest) = piece.split_at(end);
            if self.line.len() + self.text.len() + part.len() > FRAME_BYTES_MAX {
                return Err(SseError::TooLarge);
            }
            self.line.extend_from_slice(part);
            piece = match rest.split_first() {
                Some((ending, rest)) => {
                    self.after_return = *ending == b'\r';
                    self.end_line()?;
                    rest
                }
                None => rest,
            };
        }
        Ok(())
    }

    /// The next whole frame.
    pub fn pop(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    /// Whether the stream may end here; a frame that was begun and not ended is not a frame.
    pub fn is_between_frames(&self) -> bool {
        self.line.is_empty() && self.text.is_empty()
    }

    fn end_line(&mut self) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let line = std::str::from_utf8(&line).map_err(|_| SseError::NotUtf8)?;
        // At the start of any line: the frames before may be nothing that is sent on, and a mark that the client then finds
        // at the start of its own stream is no part of the line to it.
        let line = line.trim_start_matches('\u{feff}');
        if line.is_empty() {
            if !self.text.is_empty() {
                self.text.push('\n');
                self.emit();
            }
            return Ok(());
        }
        let fresh = self.text.is_empty();
        self.text.push_str(line);
        self.text.push('\n');
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            // A comment between events goes on at once: it keeps the connection open.
            "" if fresh => self.emit(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "event" => self.named = !matches!(value, "" | "message"),
            _ => {}
        }
        Ok(())
    }

    fn emit(&mut self) {
        let bytes = std::mem::take(&mut self.text).into();
        let data = self.data.take();
        self.ready.push_back(Frame { bytes, data, named: std::mem::take(&mut self.named) });
    }
}

#[cfg(test)]
mod tests;
