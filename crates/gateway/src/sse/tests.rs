//! Frames, however the bytes are cut.

use proptest::prelude::*;

use super::*;

fn split(pieces: &[&[u8]]) -> Result<Vec<Frame>, SseError> {
    let mut splitter = Splitter::default();
    let mut frames = Vec::new();
    for piece in pieces {
        splitter.push(piece)?;
        frames.extend(std::iter::from_fn(|| splitter.pop()));
    }
    Ok(frames)
}

fn key(text: &str) -> IdKey {
    let raw: &serde_json::value::RawValue = serde_json::from_str(text).unwrap();
    crate::mcp::Id::read(raw).unwrap().key()
}

#[track_caller]
fn check(stream: &str, expected: &[(&str, Option<&str>)]) {
    let frames = split(&[stream.as_bytes()]).unwrap();
    let seen: Vec<(&str, Option<&str>)> =
        frames.iter().map(|f| (std::str::from_utf8(f.bytes()).unwrap(), f.data())).collect();
    assert_eq!(seen, expected, "{stream:?}");
}

#[test]
fn line_ends_comments_and_fields() {
    check("data: a\n\n", &[("data: a\n\n", Some("a"))]);
    check(
        "data: a\r\n\r\ndata:b\r\rdata:c\n\n",
        &[("data: a\n\n", Some("a")), ("data:b\n\n", Some("b")), ("data:c\n\n", Some("c"))],
    );
    check(
        "id: 7\nevent: message\ndata: {\ndata:  1}\nretry: 5\nx\n\n",
        &[("id: 7\nevent: message\ndata: {\ndata:  1}\nretry: 5\nx\n\n", Some("{\n 1}"))],
    );
    check(":\r\n: hi\n\n\n\ndata: a\n:in\n\n", &[(":\n", None), (": hi\n", None), ("data: a\n:in\n\n", Some("a"))]);
    check("id: 1\ndata:\n\n", &[("id: 1\ndata:\n\n", None)]);
    check("\u{feff}data: a\n\n", &[("data: a\n\n", Some("a"))]);
    // Not at the start of what came, and yet at the start of what the client is sent.
    check("\n\u{feff}data: a\n\n", &[("data: a\n\n", Some("a"))]);
    check("data: not ended\n", &[]);
    check("database: no\n\n", &[("database: no\n\n", None)]);
}

#[test]
fn bounds_and_encoding() {
    assert_eq!(split(&[b"data: \xff\n\n"]), Err(SseError::NotUtf8));
    let mut splitter = Splitter::default();
    let piece = vec![b'a'; 1 << 20];
    let refused = (0..16).find_map(|_| splitter.push(&piece).err());
    assert_eq!(refused, Some(SseError::TooLarge));
    let mut splitter = Splitter::default();
    let refused = (0..16).find_map(|_| splitter.push(&piece).and_then(|()| splitter.push(b"\n")).err());
    assert_eq!(refused, Some(SseError::TooLarge), "many lines");
}

#[test]
fn the_final_frame_is_the_answer_to_this_request() {
    let kind = |stream: &str, id: &str| split(&[stream.as_bytes()]).unwrap()[0].kind(&key(id));
    let answer = "data: {\"jsonrpc\":\"2.0\",\"id\":\"a\",\ndata: \"result\":{}}\n\n";
    assert_eq!(kind(answer, "\"\\u0061\""), FrameKind::Final);
    assert_eq!(kind(answer, "\"b\""), FrameKind::Foreign);
    assert_eq!(kind("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}\n\n", "1"), FrameKind::Final);
    assert_eq!(kind("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{}}\n\n", "\"1\""), FrameKind::Foreign);
    assert_eq!(kind("data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n", "1"), FrameKind::Notification("x".into()));
    assert_eq!(kind("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}\n\n", "1"), FrameKind::Request("x".into()));
    assert_eq!(kind("event: ping\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n", "1"), FrameKind::Foreign);
    assert_eq!(kind("data: [{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}]\n\n", "1"), FrameKind::Foreign);
    assert_eq!(kind(": hi\n", "1"), FrameKind::Silent);
    let made = Frame::of("{\"jsonrpc\":\"2.0\",\r\n\"id\":1,\"result\":{}}");
    assert_eq!(split(&[made.bytes()]).unwrap(), [made]);
}

#[test]
fn an_upstream_asks_the_client_nothing() {
    let note = |method: &str| FrameKind::Notification(method.into());
    for (kind, legacy, modern) in [
        (FrameKind::Silent, true, true),
        (FrameKind::Final, true, true),
        (FrameKind::Foreign, false, false),
        (FrameKind::Request("elicitation/create".into()), false, false),
        (FrameKind::Request("ping".into()), false, false),
        (note("notifications/progress"), true, true),
        (note("notifications/tasks/status"), true, false),
        (note("notifications/elicitation/complete"), false, false),
        (note("notifications/unknown"), false, false),
    ] {
        assert_eq!((kind.may_pass(Era::Legacy), kind.may_pass(Era::Modern)), (legacy, modern), "{kind:?}");
    }
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof!["data: ?[a-c: \u{e9}]{0,6}", ":[a-c ]{0,4}", "event: ?(message|x)", "[a-z]{1,6}", Just(String::new())]
}

proptest! {
    /// However the bytes are cut, and whichever line ends they have, the frames are the same.
    #[test]
    fn cuts_do_not_matter(
        lines in proptest::collection::vec((line(), 0usize..3), 0..20),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let ends = ["\n", "\r\n", "\r"];
        let plain: String = lines.iter().flat_map(|(line, _)| [line.as_str(), "\n"]).collect();
        let mixed: String = lines.iter().flat_map(|(line, end)| [line.as_str(), ends[*end]]).collect();
        // An empty line that begins with "\n" right after a line that ends in "\r" would be one line end, not two.
        prop_assume!(!lines.windows(2).any(|w| w[0].1 == 2 && w[1].0.is_empty() && w[1].1 == 0));
        let bytes = mixed.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        let whole = split(&[plain.as_bytes()]).unwrap();
        prop_assert_eq!(&split(&pieces).unwrap(), &whole);
        // What goes on reads the same when it is read again.
        let again: Vec<u8> = whole.iter().flat_map(|frame| frame.bytes().to_vec()).collect();
        prop_assert_eq!(split(&[&again]).unwrap(), whole);
    }

    #[test]
    fn never_panics(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..10)) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let _frames_or_error = split(&pieces);
    }
}
