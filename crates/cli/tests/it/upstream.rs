//! An upstream MCP server over HTTP that wants a credential, keeps all that it hears, and repeats what it should not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::apart::tools;

/// What it wants, as a whole header line in lower case but for the value; and all that it heard.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    wants: Arc<Mutex<String>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub(crate) fn start(wants: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (wants, heard) = (Arc::new(Mutex::new(wants.to_owned())), Arc::new(Mutex::new(Vec::new())));
        let (mine, kept) = (Arc::clone(&wants), Arc::clone(&heard));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mine, kept) = (Arc::clone(&mine), Arc::clone(&kept));
                std::thread::spawn(move || serve(stream, &mine, &kept));
            }
        });
        Self { address, wants, heard }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// From now on it wants something else.
    pub(crate) fn wants(&self, header: &str) {
        header.clone_into(&mut self.wants.lock().unwrap());
    }

    /// All requests, head and body.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, wants: &Mutex<String>, heard: &Mutex<Vec<String>>) {
    while let Some((head, body)) = request(&mut stream) {
        heard.lock().unwrap().push(format!("{head}\r\n\r\n{body}"));
        let asked: Value = serde_json::from_str(&body).unwrap_or_default();
        let expected = wants.lock().unwrap().clone();
        let name = expected.split(':').next().unwrap().to_owned();
        let given = head.lines().find(|line| line.to_lowercase().starts_with(&format!("{name}:")));
        let given = given.map_or(String::new(), |line| format!("{name}:{}", line.split_once(':').unwrap().1));
        let (status, answer) = if given == expected {
            (200, answer(&asked, &given))
        } else {
            (401, error(&asked, &format!("bad {given}")))
        };
        let text = if asked["id"].is_null() { String::new() } else { answer.to_string() };
        let status = if text.is_empty() { 202 } else { status };
        let media = if text.is_empty() { "" } else { "content-type: application/json\r\n" };
        let prefix = format!("HTTP/1.1 {status} x\r\n{media}content-length: {}\r\n\r\n", text.len());
        if stream.write_all(format!("{prefix}{text}").as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(asked: &Value, given: &str) -> Value {
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
            "serverInfo": { "name": "notes", "version": "1" },
        }),
        "tools/list" => serde_json::from_str(&tools("Reads a note.")).unwrap(),
        // Whoever asks for note 13 is told what the server was told.
        "tools/call" if asked["params"]["arguments"]["id"] == 13 => return error(asked, &format!("you said {given}")),
        "tools/call" if asked["params"]["arguments"]["id"] == 14 => {
            json!({ "content": [{ "type": "text", "text": format!("you said {given}") }] })
        }
        "tools/call" => json!({ "content": [{ "type": "text", "text": "the note says hello" }] }),
        _ => return error(asked, "no such method"),
    };
    json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result })
}

fn error(asked: &Value, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": asked["id"], "error": { "code": -32000, "message": message } })
}

fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break at;
        }
        read(stream, &mut bytes)?;
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let whole = end + 4 + length.unwrap_or(0);
    while bytes.len() < whole {
        read(stream, &mut bytes)?;
    }
    Some((head, String::from_utf8(bytes[end + 4..whole].to_vec()).ok()?))
}

fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut some = [0; 4096];
    let read = stream.read(&mut some).ok().filter(|read| *read > 0)?;
    bytes.extend(&some[..read]);
    Some(())
}
