//! Server-sent events of an upstream: the same frames however the bytes are cut, and as every reader reads them.

use remit_gateway::mcp::id::IdKey;
use remit_gateway::mcp::reply;
use remit_gateway::sse::{Frame, FrameKind, Splitter, SseError};
use remit_sim::random::Random;

use crate::parts::choice;

/// The first byte says where the stream is cut, the rest is the stream.
pub fn sse(bytes: &[u8]) {
    let (seed, stream) = choice(bytes);
    let whole = frames([stream].into_iter());
    assert_eq!(frames(stream.chunks(1)), whole, "byte by byte");
    assert_eq!(frames(cut(stream, seed).into_iter()), whole, "in pieces");
    let sent: Vec<u8> = whole.0.iter().flat_map(|frame| frame.bytes().to_vec()).collect();
    // What is sent on is read by the client as it was judged here: by our own reader, and by the standard's.
    assert_eq!(frames([sent.as_slice()].into_iter()), (whole.0.clone(), Ok(true)), "read again");
    let judged: Vec<_> = whole.0.iter().filter_map(judged).collect();
    assert_eq!(standard(&sent), judged, "as the standard reads it");
    for frame in &whole.0 {
        known(frame);
    }
    if let Ok(message) = std::str::from_utf8(stream) {
        carried(message);
    }
}

type Read = (Vec<Frame>, Result<bool, SseError>);

fn frames<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let (mut splitter, mut frames) = (Splitter::default(), Vec::new());
    for piece in pieces {
        let pushed = splitter.push(piece);
        frames.extend(std::iter::from_fn(|| splitter.pop()));
        if let Err(error) = pushed {
            return (frames, Err(error));
        }
    }
    let ends = splitter.is_between_frames();
    (frames, Ok(ends))
}

fn cut(stream: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut random, mut rest, mut pieces) = (Random::new(seed.into()), stream, Vec::new());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.below(24).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

fn is_foreign(frame: &Frame) -> bool {
    frame.kind(&IdKey::number(1)) == FrameKind::Foreign
}

/// The message of a frame, and whether it is one: another type of event is none.
fn judged(frame: &Frame) -> Option<String> {
    frame.data().map(ToOwned::to_owned)
}

/// What a client dispatches: WHATWG HTML, "Interpreting an event stream".
fn standard(stream: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (mut events, mut data) = (Vec::new(), String::new());
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        if line.is_empty() {
            let event = std::mem::take(&mut data);
            events.extend(event.strip_suffix('\n').filter(|event| !event.is_empty()).map(ToOwned::to_owned));
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        if field == "data" {
            data.push_str(value.strip_prefix(' ').unwrap_or(value));
            data.push('\n');
        }
    }
    events
}

/// What counts as the answer is the answer to this request, and nothing that is not may pass for a message.
fn known(frame: &Frame) {
    let id = IdKey::number(1);
    if frame.kind(&id) == FrameKind::Final {
        assert!(frame.data().is_some_and(|data| reply::outcome(data.as_bytes(), &id).is_ok()));
    }
    if frame.data().is_none() {
        assert_eq!(frame.kind(&id), FrameKind::Silent);
    }
}

/// A message that is put into a frame is the frame's message.
fn carried(message: &str) {
    let one = Frame::of(message);
    let (read, ends) = frames([one.bytes().as_ref()].into_iter());
    let data = read.first().and_then(Frame::data);
    assert_eq!((read.len(), ends, data), (1, Ok(true), one.data()));
    assert_eq!(read.first().is_some_and(is_foreign), is_foreign(&one));
}
