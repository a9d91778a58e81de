//! The largest inputs that each parser takes, each as dear as it can be made: a corpus is too small to show what they
//! cost. Read by the parser alone, with nothing of a property beside it.

use remit_authority::form::{FORM_BYTES_MAX, Form};
use remit_core::call::ARGS_BYTES_MAX;
use remit_core::event::LEAF_BYTES_MAX;
use remit_core::json::{DEPTH_MAX, MEMBERS_MAX, Value};
use remit_core::jws::{JWS_BYTES_MAX, Unverified};
use remit_core::manifest::{MANIFEST_BYTES_MAX, Manifest};
use remit_gateway::mcp::list::LIST_BYTES_MAX;
use remit_gateway::mcp::list::{List, ListKind};
use remit_gateway::mcp::{Envelope, MESSAGE_BYTES_MAX};
use remit_gateway::sse::{FRAME_BYTES_MAX, Splitter};
use remit_gateway::upstream::REPLY_BYTES_MAX;

/// An input and its reader.
pub struct Worst {
    /// Which parser, and what is dear about the input.
    pub name: &'static str,
    /// Builds it.
    pub input: fn() -> Vec<u8>,
    /// Reads it.
    pub read: fn(&[u8]),
}

/// All of them.
pub const ALL: [Worst; 19] = [
    Worst { name: "message, deep", input: || message(&deep(MESSAGE_BYTES_MAX - ROOM, DEPTH_MAX - 4)), read: client },
    Worst { name: "message, many elements", input: || message(&elements(MESSAGE_BYTES_MAX - ROOM)), read: client },
    Worst { name: "message, many members", input: || message(&members(MESSAGE_BYTES_MAX - ROOM)), read: client },
    Worst { name: "message, many objects", input: || message(&objects(MESSAGE_BYTES_MAX - ROOM)), read: client },
    Worst { name: "message, one text of escapes", input: || message(&escapes(MESSAGE_BYTES_MAX - ROOM)), read: client },
    Worst { name: "message, brackets without end", input: || b"[".repeat(MESSAGE_BYTES_MAX), read: client },
    Worst { name: "answer, deep", input: || answer(&deep(REPLY_BYTES_MAX - ROOM, 120)), read: upstream },
    Worst { name: "answer, many elements", input: || answer(&elements(REPLY_BYTES_MAX - ROOM)), read: upstream },
    Worst { name: "tools, many", input: || tools(LIST_BYTES_MAX - ROOM), read: listed },
    Worst { name: "tools, one of deep schema", input: || one_tool(LIST_BYTES_MAX - ROOM), read: listed },
    Worst { name: "events, many", input: || b"data:\n\n".repeat(PIECE_BYTES / 7), read: events },
    Worst { name: "events, one of many lines", input: || b"data:x\n".repeat(FRAME_BYTES_MAX / 7), read: events },
    Worst { name: "events, comments", input: || b":\n".repeat(PIECE_BYTES / 2), read: events },
    Worst { name: "arguments, deep", input: || deep(ARGS_BYTES_MAX, DEPTH_MAX), read: value },
    Worst { name: "leaf, deep", input: || deep(LEAF_BYTES_MAX, DEPTH_MAX), read: leaf },
    Worst { name: "manifest, deep", input: || toml(MANIFEST_BYTES_MAX), read: manifest },
    Worst { name: "form, many parameters", input: || parameters(FORM_BYTES_MAX), read: form },
    Worst { name: "form, one text of escapes", input: || b"%25".repeat(FORM_BYTES_MAX / 3), read: form },
    Worst { name: "token, no end", input: || b"e30.".repeat(JWS_BYTES_MAX / 4), read: token },
];

/// For what stands around the dear part.
const ROOM: usize = 4096;
/// More of a stream than any read gives at once.
const PIECE_BYTES: usize = 64 << 10;

fn client(bytes: &[u8]) {
    drop(Envelope::parse(bytes));
}

fn upstream(bytes: &[u8]) {
    drop(Envelope::parse_upstream(bytes));
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn listed(bytes: &[u8]) {
    if let Ok(Some(list)) = List::parse(ListKind::Tools, text(bytes)) {
        let keep = |entry: &remit_gateway::mcp::list::Entry<'_>| entry.pin().is_ok();
        drop(list.filter(keep));
    }
}

fn events(bytes: &[u8]) {
    let mut splitter = Splitter::default();
    for piece in bytes.chunks(PIECE_BYTES) {
        if splitter.push(piece).is_err() {
            return;
        }
        while splitter.pop().is_some() {}
    }
}

fn value(bytes: &[u8]) {
    drop(Value::parse(text(bytes)));
}

fn leaf(bytes: &[u8]) {
    drop(remit_core::event::read(bytes));
}

fn manifest(bytes: &[u8]) {
    drop(Manifest::parse(text(bytes)));
}

fn form(bytes: &[u8]) {
    drop(Form::read(bytes));
}

fn token(bytes: &[u8]) {
    drop(Unverified::parse(text(bytes)));
}

/// A call with these arguments.
fn message(arguments: &[u8]) -> Vec<u8> {
    let head = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":"#;
    [head.as_slice(), arguments, b"}}}"].concat()
}

fn answer(result: &[u8]) -> Vec<u8> {
    [br#"{"jsonrpc":"2.0","id":1,"result":{"a":"#.as_slice(), result, b"}}"].concat()
}

/// All the bytes at the bottom of as many levels.
fn deep(bytes: usize, levels: usize) -> Vec<u8> {
    let inner = elements(bytes - 2 * levels);
    [b"[".repeat(levels), inner, b"]".repeat(levels)].concat()
}

fn elements(bytes: usize) -> Vec<u8> {
    [b"[".as_slice(), &b"1,".repeat(bytes / 2 - 1), b"1]"].concat()
}

fn objects(bytes: usize) -> Vec<u8> {
    [b"[".as_slice(), &b"{\"\":{}},".repeat(bytes / 8 - 1), b"{}]"].concat()
}

/// As many objects as fit, each as wide as one may be.
fn members(bytes: usize) -> Vec<u8> {
    let member = |at: usize| format!("\"\\u0061{at}\":1");
    let one = format!("{{{}}}", (0..MEMBERS_MAX).map(member).collect::<Vec<_>>().join(","));
    let all = vec![one.as_str(); bytes / (one.len() + 1)];
    format!("[{}]", all.join(",")).into_bytes()
}

fn escapes(bytes: usize) -> Vec<u8> {
    [b"\"".as_slice(), &b"\\u20ac".repeat(bytes / 6 - 1), b"\""].concat()
}

fn tools(bytes: usize) -> Vec<u8> {
    let tool = |at: usize| format!("{{\"name\":\"t{at}\",\"inputSchema\":{}}}", text(&deep(1900, DEPTH_MAX - 2)));
    let all: Vec<String> = (0..bytes / 2000).map(tool).collect();
    format!("{{\"result\":{{\"tools\":[{}]}}}}", all.join(",")).into_bytes()
}

fn one_tool(bytes: usize) -> Vec<u8> {
    let schema = deep(bytes, DEPTH_MAX - 2);
    format!("{{\"result\":{{\"tools\":[{{\"name\":\"t\",\"inputSchema\":{}}}]}}}}", text(&schema)).into_bytes()
}

fn parameters(bytes: usize) -> Vec<u8> {
    let all: Vec<String> = (0..bytes / 5).map(|at| format!("{at:x}&")).collect();
    all.concat().into_bytes().into_iter().take(bytes).collect()
}

fn toml(bytes: usize) -> Vec<u8> {
    let deep = format!("x = {}{}\n", "[".repeat(60), "]".repeat(60));
    let keys: Vec<String> = (0..bytes / 24).map(|at| format!("[[need]]\n[a.b{at}.c]\n")).collect();
    (deep + &keys.concat()).into_bytes().into_iter().take(bytes).collect()
}
