//! A listener with one fixed identity: whatever comes to it goes to the gateway as one run, with its token and a proof of
//! possession for each request. The suite knows no tokens, so without it nothing would pass.
//!
//! **Invariant:** this exists in no program that is released: it makes whoever reaches it that run.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// Stands in every answer, and so in every program that holds this code.
pub(crate) const MARK: &str = concat!("X-Fixed-", "Identity");

const HEAD_BYTES_MAX: u64 = 64 * 1024;
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
const READ_MAX: Duration = Duration::from_mins(1);
/// What the listener says in its own place: whose these are, and that a connection carries one request.
const OWN: &[&str] = &["authorization", "dpop", "connection"];

/// As whom, and where.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The run's own socket.
    pub(crate) socket: PathBuf,
    /// Where the gateway listens.
    pub(crate) gateway: String,
    /// The path of the server there.
    pub(crate) path: String,
}

/// Listens until this program ends.
pub(crate) fn serve(listener: TcpListener, identity: Identity) -> io::Result<SocketAddr> {
    let own = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let identity = identity.clone();
            thread::spawn(move || {
                if let Err(error) = forward(&client, own, &identity) {
                    refuse(client, &error);
                }
            });
        }
    });
    Ok(own)
}

/// One request and its answer, which may be a stream.
fn forward(client: &TcpStream, own: SocketAddr, identity: &Identity) -> io::Result<()> {
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(READ_MAX))?;
    let request = Request::read(&mut BufReader::new(client))?;
    let headers = identity.headers(&request.method)?;
    let mut gateway = TcpStream::connect(&identity.gateway)?;
    gateway.set_nodelay(true)?;
    gateway.write_all(&request.written(own, identity, &headers))?;
    client.set_read_timeout(None)?;
    follow(client.try_clone()?, gateway.try_clone()?);
    answer(&mut BufReader::new(&gateway), client).ok();
    // Either end may be gone already.
    gateway.shutdown(Shutdown::Both).ok();
    client.shutdown(Shutdown::Both).ok();
    Ok(())
}

/// A client that goes away ends its request at the gateway, too.
fn follow(mut client: TcpStream, gateway: TcpStream) {
    thread::spawn(move || {
        io::copy(&mut client, &mut io::sink()).ok();
        gateway.shutdown(Shutdown::Both).ok();
    });
}

/// The answer as it comes, with the mark behind its first line.
fn answer(gateway: &mut BufReader<&TcpStream>, mut client: &TcpStream) -> io::Result<()> {
    let mut status = String::new();
    gateway.read_line(&mut status)?;
    client.write_all(format!("{status}{MARK}: 1\r\n").as_bytes())?;
    io::copy(gateway, &mut client).map(drop)
}

fn refuse(mut client: TcpStream, error: &io::Error) {
    let text = format!("the listener of the conformance suite: {error}");
    let length = text.len();
    let said = format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}");
    client.write_all(said.as_bytes()).ok();
}

impl Identity {
    /// The run's headers for one request, from the run's own socket, as `remit token` gets them.
    fn headers(&self, method: &str) -> io::Result<Map<String, Value>> {
        let ask = json!({ "op": "headers", "url": format!("http://{}{}", self.gateway, self.path), "method": method });
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.write_all(format!("{}\n", json!({ "ask": ask })).as_bytes())?;
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line)?;
        let headers = said.get("ok").and_then(Value::as_object).cloned();
        headers.ok_or_else(|| io::Error::other(format!("no headers for {method}: {line}")))
    }
}

/// A request of HTTP/1.1.
struct Request {
    method: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    fn read(from: &mut impl io::BufRead) -> io::Result<Self> {
        let mut head = from.by_ref().take(HEAD_BYTES_MAX);
        let mut line = || {
            let mut line = String::new();
            head.read_line(&mut line)?;
            Ok::<_, io::Error>(line.trim_end_matches(['\r', '\n']).to_owned())
        };
        let first = line()?;
        let method = first.split(' ').next().unwrap_or_default().to_owned();
        let mut headers = Vec::new();
        loop {
            let line = line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.map_or(Ok(0), |(_, value)| value.trim().parse::<usize>()).map_err(io::Error::other)?;
        if length > BODY_BYTES_MAX {
            return Err(io::Error::other(format!("{length} bytes of a body")));
        }
        let mut body = vec![0; length];
        from.read_exact(&mut body)?;
        Ok(Self { method, headers, body })
    }

    /// As it goes to the gateway. What names the listener names the gateway there; all else that the suite says, right or
    /// wrong, it says to the gateway.
    fn written(&self, own: SocketAddr, identity: &Identity, headers: &Map<String, Value>) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, identity.path);
        for (name, value) in &self.headers {
            let lower = name.to_ascii_lowercase();
            let value = match lower.as_str() {
                "host" if value.trim() == own.to_string() => identity.gateway.as_str(),
                lower if OWN.contains(&lower) => continue,
                _ => value.as_str(),
            };
            head.extend([name, ":", value, "\r\n"]);
        }
        for (name, value) in headers {
            head.extend([name, ": ", value.as_str().unwrap_or_default(), "\r\n"]);
        }
        head += "Connection: close\r\n\r\n";
        [head.as_bytes(), &self.body].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_the_listener_is_said_to_the_gateway() {
        let sent = "POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:9\r\nMcp-Name:   x  \r\nAuthorization: mine\r\n\
                    Content-Length: 2\r\nConnection: keep-alive\r\n\r\n{}";
        let request = Request::read(&mut sent.as_bytes()).unwrap();
        let identity =
            Identity { socket: "s".into(), gateway: "127.0.0.1:7".into(), path: "/mcp/conformance".to_owned() };
        let headers = Map::from_iter([("Authorization".to_owned(), json!("DPoP t"))]);
        let written = request.written("127.0.0.1:9".parse().unwrap(), &identity, &headers);
        let expected = "POST /mcp/conformance HTTP/1.1\r\nhost:127.0.0.1:7\r\nMcp-Name:   x  \r\nContent-Length: 2\r\n\
                        Authorization: DPoP t\r\nConnection: close\r\n\r\n{}";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn another_host_stays_another_host() {
        let request = Request::read(&mut "GET /mcp HTTP/1.1\r\nHost: evil.example.com\r\n\r\n".as_bytes()).unwrap();
        let identity = Identity { socket: "s".into(), gateway: "g".into(), path: "/p".into() };
        let written = request.written("127.0.0.1:9".parse().unwrap(), &identity, &Map::new());
        assert!(String::from_utf8(written).unwrap().contains("Host: evil.example.com\r\n"));
    }
}
