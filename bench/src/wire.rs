//! The client's side of HTTP/1.1, as lean as can be: whatever the client costs is missing from what is measured on the
//! same processors.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Longest answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One connection, which is kept open.
pub(crate) struct Connection {
    stream: TcpStream,
    /// The answer that came last.
    bytes: Vec<u8>,
}

/// An answer, lent by its connection until the next request.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    head: &'a [u8],
    /// As it came: chunked, where the server sends it so.
    pub(crate) body: &'a [u8],
}

#[cfg(test)]
impl<'a> Answer<'a> {
    pub(crate) fn new(status: u16, head: &'a [u8], body: &'a [u8]) -> Self {
        Self { status, head, body }
    }
}

impl Answer<'_> {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(self.head, name)
    }

    /// The JSON of the body, whether it stands alone, in chunks, or in the last event of a stream.
    pub(crate) fn json(&self) -> io::Result<serde_json::Value> {
        let text = String::from_utf8_lossy(self.body);
        let lines = text.lines().map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
        let found = lines.rev().find_map(|line| serde_json::from_str(line).ok().filter(serde_json::Value::is_object));
        found.ok_or_else(|| io::Error::other(format!("status {}, no JSON: {text}", self.status)))
    }
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect(to).await?)
    }

    /// From another address of this machine: another source.
    pub(crate) async fn open_from(source: IpAddr, to: SocketAddr) -> io::Result<Self> {
        let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(SocketAddr::new(source, 0))?;
        Self::over(socket.connect(to).await?)
    }

    fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, bytes: Vec::with_capacity(4096) })
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.until(request, ANSWER_BYTES_MAX, whole).await
    }

    /// The same of an answer that may be long.
    pub(crate) async fn exchange_long(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.until(request, usize::MAX, whole).await
    }

    /// The same of an answer whose body may have no end: what has come of it with its head, and no more.
    pub(crate) async fn begin(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.until(request, ANSWER_BYTES_MAX, head).await
    }

    async fn until(
        &mut self,
        request: &[u8],
        most: usize,
        there: fn(&[u8]) -> io::Result<Option<(u16, usize)>>,
    ) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.bytes.clear();
        loop {
            if self.stream.read_buf(&mut self.bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.bytes.len() > most {
                return Err(io::Error::other("the answer is too long"));
            }
            if let Some((status, body)) = there(&self.bytes)? {
                let (head, body) = self.bytes.split_at_checked(body).unwrap_or_default();
                return Ok(Answer { status, head, body });
            }
        }
    }
}

/// Status, and where the body begins, once the head of the answer is there.
fn head(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let status = status.ok_or_else(|| io::Error::other("not an HTTP answer"))?;
    Ok(Some((status, end + 4)))
}

/// The same, once all of the answer is there.
fn whole(bytes: &[u8]) -> io::Result<Option<(u16, usize)>> {
    let Some((status, begin)) = head(bytes)? else { return Ok(None) };
    let (head, body) = bytes.split_at_checked(begin).unwrap_or_default();
    let there = match header(head, "content-length") {
        Some(length) => body.len() >= length.parse().unwrap_or(usize::MAX),
        None if header(head, "transfer-encoding").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => true,
    };
    Ok(there.then_some((status, begin)))
}

fn header(head: &[u8], name: &str) -> Option<String> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":").filter(|_| found.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(String::from_utf8_lossy(value).trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(u16, &str)>) {
        let found = whole(text.as_bytes()).unwrap();
        assert_eq!(found.map(|(status, body)| (status, text.get(body..).unwrap())), expected);
    }

    #[test]
    fn an_answer_is_whole_when_its_length_or_its_last_chunk_is_there() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", None);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Some((200, "{}")));
        check("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", None);
        check(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            Some((200, "2\r\n{}\r\n0\r\n\r\n")),
        );
        check("HTTP/1.1 202 Accepted\r\n\r\n", Some((202, "")));
        check("HTTP/1.1 200 OK\r\nContent-", None);
        assert!(whole(b"nonsense\r\n\r\n").is_err());
    }

    #[test]
    fn json_is_found_in_a_body_in_chunks_and_in_an_event() {
        for body in ["{\"a\":1}", "7\r\n{\"a\":1}\r\n0\r\n\r\n", "event: message\ndata: {\"a\":1}\n\n"] {
            let answer = Answer { status: 200, head: b"", body: body.as_bytes() };
            assert_eq!(answer.json().unwrap()["a"], 1, "{body}");
        }
    }
}
