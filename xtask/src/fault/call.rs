//! One call of a tool over HTTP, as small a client as can be: what it calls acknowledged was read to its last byte.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::failed;

const REVISION: &str = "2026-07-28";
/// How long an answer may take. The log answers within its deadline, also where the disk does not.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// Longest body of an answer, in bytes: a ledger has all effects of a home.
const BODY_BYTES_MAX: usize = 256 << 20;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// The tool's own result.
    Result,
    /// A refusal of the gateway: its code, and the entry of the log that it names.
    Refused(String, Option<u64>),
}

/// A connection to the gateway.
pub(super) struct Caller {
    address: String,
    authorization: String,
    stream: BufReader<TcpStream>,
}

impl Caller {
    /// Connects.
    pub(super) fn connect(address: &str, authorization: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_nodelay(true)?;
        Ok(Self { address: address.into(), authorization: authorization.into(), stream: BufReader::new(stream) })
    }

    /// Calls a tool of the desk. The id is that of this use of the tool, by which the log names the call.
    pub(super) fn call(&mut self, id: &str, tool: &str, arguments: &Value) -> io::Result<Answer> {
        let meta = json!({
            "claudecode/toolUseId": id,
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "load", "version": "1" },
        });
        let params = json!({ "name": tool, "arguments": arguments, "_meta": meta });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }).to_string();
        let head = format!(
            "POST /mcp/desk HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {REVISION}\r\n\
             Mcp-Method: tools/call\r\nMcp-Name: {tool}\r\nContent-Length: {}\r\n\r\n",
            self.address,
            self.authorization,
            body.len()
        );
        self.stream.get_mut().write_all(format!("{head}{body}").as_bytes())?;
        let (_, body) = response(&mut self.stream)?;
        answer(&body)
    }
}

/// Asks for a page, with a connection of its own.
pub(super) fn get(address: &str, path: &str) -> io::Result<(u16, Vec<u8>)> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let mut stream = BufReader::new(stream);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes())?;
    response(&mut stream)
}

fn response(stream: &mut BufReader<TcpStream>) -> io::Result<(u16, Vec<u8>)> {
    let status = line(stream)?.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(stream)?.to_ascii_lowercase();
        match header.split_once(": ") {
            None => break,
            Some(("content-length", bytes)) => length = bytes.parse().map_err(|_| malformed())?,
            Some(("transfer-encoding", coding)) => chunked = coding == "chunked",
            Some(_) => {}
        }
    }
    let mut body = Vec::new();
    if !chunked {
        take(stream, length, &mut body)?;
        return Ok((status, body));
    }
    loop {
        let size = usize::from_str_radix(&line(stream)?, 16).map_err(|_| malformed())?;
        take(stream, size, &mut body)?;
        line(stream)?;
        if size == 0 {
            return Ok((status, body));
        }
    }
}

fn take(stream: &mut BufReader<TcpStream>, bytes: usize, body: &mut Vec<u8>) -> io::Result<()> {
    if bytes + body.len() > BODY_BYTES_MAX {
        return Err(failed("the answer is too large"));
    }
    let from = body.len();
    body.resize(from + bytes, 0);
    stream.read_exact(body.get_mut(from..).unwrap_or_default())
}

fn line(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// Of a stream the last message.
fn answer(body: &[u8]) -> io::Result<Answer> {
    let text = String::from_utf8_lossy(body);
    let last = text.lines().filter_map(|line| line.strip_prefix("data:")).next_back();
    let message: Value = serde_json::from_str(last.unwrap_or(&text)).map_err(|_| failed(format!("it says {text}")))?;
    let places = ["/result/_meta/dev.remit~1rejection", "/error/data", ""];
    let coded = |place: &str| {
        let rejection = message.pointer(place)?;
        Some((rejection.get("code")?.as_str()?.to_owned(), rejection.get("decision").and_then(Value::as_u64)))
    };
    if let Some((code, decision)) = places.iter().find_map(|place| coded(place)) {
        return Ok(Answer::Refused(code, decision));
    }
    if message.pointer("/result/isError") == Some(&Value::Bool(false)) {
        return Ok(Answer::Result);
    }
    Err(failed(format!("it says {text}")))
}

fn malformed() -> io::Error {
    failed("the answer is not HTTP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_and_refusals_are_told_apart() {
        let check = |body: &str, expected: Answer| assert_eq!(answer(body.as_bytes()).unwrap(), expected);
        check("data: {\"result\":{\"isError\":false}}\n\n", Answer::Result);
        let refused = |index| Answer::Refused("rate_limited".into(), index);
        let meta =
            r#"{"result":{"isError":true,"_meta":{"dev.remit/rejection":{"code":"rate_limited","decision":7}}}}"#;
        check(meta, refused(Some(7)));
        check(r#"{"error":{"code":-32000,"data":{"code":"rate_limited"}}}"#, refused(None));
        check(r#"{"code":"rate_limited"}"#, refused(None));
        for neither in ["", "{}", r#"{"result":{"isError":true}}"#] {
            assert!(answer(neither.as_bytes()).is_err(), "{neither}");
        }
    }
}
