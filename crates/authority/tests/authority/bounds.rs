//! Whatever is sent to the authority has an end, by HTTP and by its sockets.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::common::{Key, MANIFEST, NOW, PIN, World, add_server, asked, put, request};
use remit_authority::socket::client::ClientError;
use remit_authority::socket::wire::{AdminAsk, Requested, ServerShown, Status};
use remit_core::id::ServerName;
use remit_core::registry::Upstream;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::Value;

#[track_caller]
fn refused<T>(what: &str, result: Result<T, ClientError>, says: &str) {
    match result {
        Err(ClientError::Refused(rejection)) => {
            assert!(rejection.to_string().contains(says), "{what}: {rejection}");
        }
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what} was not refused"),
    }
}

fn tools(count: usize) -> String {
    let tool = |n| format!(r#"{{"name":"t{n}","inputSchema":{{"type":"object"}}}}"#);
    format!(r#"{{"tools":[{}]}}"#, (0..count).map(tool).collect::<Vec<_>>().join(","))
}

/// Break: register as many tools, or as long an upstream, as somebody likes.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_has_its_limits() {
    let world = World::start().await;
    world.set_pin().await;
    let stdio = |args: Vec<String>| Upstream::Stdio { command: "serve".into(), args };
    let http = |bytes: usize| Upstream::Http { url: format!("{:x<bytes$}", "http://127.0.0.1:1/") };
    for (what, upstream, count, fits) in [
        ("tools", http(100), 1_024, true),
        ("tools", http(100), 1_025, false),
        ("a URL", http(4_096), 1, true),
        ("a URL", http(4_097), 1, false),
        ("arguments", stdio(vec!["x".into(); 256]), 1, true),
        ("arguments", stdio(vec!["x".into(); 257]), 1, false),
        ("an argument", stdio(vec!["x".repeat(4_096)]), 1, true),
        ("an argument", stdio(vec!["x".repeat(4_097)]), 1, false),
    ] {
        let mut ask = add_server();
        if let AdminAsk::AddServer(add) = &mut ask {
            (add.upstream, add.list, add.expose) = (upstream, tools(count), vec![]);
        }
        let added = world.admin_pin::<ServerShown>(ask, Some(PIN)).await;
        if fits {
            added.unwrap();
        } else {
            refused(what, added, if what == "tools" { "more than 1024 tools" } else { "too long" });
        }
    }
}

/// Break: let a manifest say more than a person reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_has_its_limits() {
    let world = World::start().await;
    world.furnish().await;
    let version = std::cell::Cell::new(1);
    let manifest = |lines: &str, purpose: usize| {
        version.set(version.get() + 1);
        MANIFEST
            .replace("version = \"1\"", &format!("version = \"{}\"\n{lines}", version.get()))
            .replace("sorts tickets", &"p".repeat(purpose))
    };
    let tags = |count: usize, bytes: usize| format!("tags = {:?}", vec!["t".repeat(bytes); count]);
    for (what, text, says) in [
        ("fits", manifest(&tags(64, 64), 1_024), ""),
        ("tags", manifest(&tags(65, 1), 10), "more than 64 tags"),
        ("a tag", manifest(&tags(1, 65), 10), "longer than 64 bytes"),
        ("a purpose", manifest("", 1_025), "longer than 1024 bytes"),
        ("a file", format!("# {}\n{}", "x".repeat(256 * 1024), manifest("", 10)), "larger than 262144 bytes"),
    ] {
        let ask = AdminAsk::RegisterAgent { manifest: text };
        let registered = world.admin_pin::<Value>(ask, Some(PIN)).await;
        if says.is_empty() {
            registered.unwrap();
        } else {
            refused(what, registered, says);
        }
    }
}

/// Break: grant any number of tools, for a reason or to a person of any length.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_its_limits() {
    let world = World::start().await;
    world.furnish().await;
    let ask = |tools: Vec<String>, why: usize, name: usize| {
        let mut ask = request(&[], None);
        if let AdminAsk::Request(request) = &mut ask {
            request.asked = asked(&[]);
            (request.asked.tools, request.asked.why) = (tools, "w".repeat(why));
            request.principal = (name > 0).then(|| "n".repeat(name));
        }
        ask
    };
    let one = || vec!["tickets/read_ticket".to_owned()];
    let mut many = add_server();
    if let AdminAsk::AddServer(add) = &mut many {
        (add.name, add.list, add.expose) = (ServerName::new("many").unwrap(), tools(257), vec![]);
    }
    let _shown: ServerShown = world.admin_pin(many, Some(PIN)).await.unwrap();
    let many = (0..257).map(|n| format!("many/t{n}")).collect();
    for (what, ask, says) in [
        ("fits", ask(one(), 1_024, 1_024), ""),
        ("a reason", ask(one(), 1_025, 0), "longer than 1024 bytes"),
        ("a name", ask(one(), 10, 1_025), "longer than 1024 bytes"),
        ("tools", ask(many, 10, 0), "more than 256 tools"),
    ] {
        let given = world.admin_pin::<Requested>(ask, Some(PIN)).await;
        if says.is_empty() {
            given.unwrap();
        } else {
            refused(what, given, says);
        }
    }
}

/// Break: let the PIN be a text of any length: each guess is hashed many times over.
#[tokio::test(flavor = "multi_thread")]
async fn a_pin_has_its_limits() {
    let world = World::start().await;
    for (bytes, fits) in [(5, false), (129, false), (128, true)] {
        let ask = AdminAsk::SetPin { new: "9".repeat(bytes) };
        let set = world.admin::<Value>(ask).await;
        if fits {
            set.unwrap();
        } else {
            refused("a PIN", set, "between 6 and 128 bytes");
        }
    }
}

/// Break: remember ids of any length, or look up as many resources as a request names.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_request_has_its_limits() {
    const TOKEN_URL: &str = "https://as.example/token";
    const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let key = Key::new(1);
    let world = World::start().await;
    world.furnish().await;
    let requested = world.request(&["tickets/read_ticket"], Some(&key)).await.unwrap();
    for (n, (resources, jti, expected)) in
        [(32, 128, (200, None)), (33, 10, (400, Some("invalid_target"))), (1, 129, (401, Some("invalid_client")))]
            .into_iter()
            .enumerate()
    {
        let assertion = key.assertion(&requested, &format!("{n:x<jti$}"));
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_assertion_type", KIND),
            ("client_assertion", assertion.as_str()),
        ];
        form.extend(vec![("resource", "https://gw.example/mcp/tickets"); resources]);
        let (status, answer) = world.token(&form, Some(&key.proof(TOKEN_URL, NOW, &format!("p{n}")))).await;
        assert_eq!((status, answer["error"].as_str()), expected, "{answer}");
    }
}

/// Break: sign a bundle that no gateway would read.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_no_larger_than_a_gateway_reads() {
    let world = World::start().await;
    let status = async || world.admin::<Status>(AdminAsk::Status {}).await.unwrap();
    let before = status().await.bundle;
    put(&world.path("policies/floor/large.cedar"), &format!("// {}\n", "x".repeat(16 << 20)));
    drop(world.admin::<Value>(AdminAsk::Reload {}).await);
    let after = status().await;
    assert!(after.bundle_error.is_some_and(|error| error.contains("larger than")));
    assert_eq!(after.bundle, before);
}

/// Break: keep a line in memory as long as it grows.
#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_a_socket_has_its_limit() {
    let world = World::start().await;
    let path = world.path("admin.sock");
    let answer = |bytes: usize| {
        let mut socket = UnixStream::connect(&path).unwrap();
        // Who is not listened to any more may not be able to say it all.
        socket.write_all("x".repeat(bytes).as_bytes()).and_then(|()| socket.write_all(b"\n")).ok();
        let mut answer = vec![0; 1_024];
        let read = socket.read(&mut answer).unwrap_or(0);
        String::from_utf8(answer[..read].to_vec()).unwrap()
    };
    let (short, long) = tokio::task::block_in_place(|| (answer(1_000), answer((8 << 20) + 1)));
    assert!(short.contains("not a request of this socket"), "{short}");
    assert_eq!(long, "");
}

/// Break: serve as many connections at once as somebody opens; or wait for ever for what they say.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_make_room_after_a_while() {
    let world = World::start().await;
    let path = world.path("admin.sock");
    let began = Instant::now();
    let silent: Vec<_> = (0..64).map(|_| UnixStream::connect(&path).unwrap()).collect();
    let _status: Status = world.admin(AdminAsk::Status {}).await.unwrap();
    assert!(
        began.elapsed() >= Duration::from_secs(2),
        "{:?}: the first of them is given up no sooner",
        began.elapsed()
    );
    drop(silent);
}

/// Whether there is an answer on a connection within this time.
fn answered(socket: &mut TcpStream, within: Duration) -> bool {
    socket.set_read_timeout(Some(within)).unwrap();
    let mut answer = [0; 12];
    let read = socket.read_exact(&mut answer);
    assert!(read.is_err() || answer == *b"HTTP/1.1 200");
    read.is_ok()
}

/// Break: serve as many connections at once as somebody opens, or turn the next one away.
#[tokio::test(flavor = "multi_thread")]
async fn beyond_so_many_connections_the_next_one_waits_for_room() {
    const CONNECTIONS: usize = 1_024;
    /// A connection on which no request comes is given up then.
    const HEAD: Duration = Duration::from_secs(10);
    // Both ends are of this process.
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
    let world = World::start().await;
    let address = world.address;
    let trial = move || {
        let began = Instant::now();
        let silent: Vec<_> = (1..CONNECTIONS).map(|_| TcpStream::connect(address).unwrap()).collect();
        let ask = || {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.write_all(b"GET /jwks HTTP/1.1\r\nhost: as.example\r\n\r\n").unwrap();
            socket
        };
        let (mut last, deadline) = (ask(), Duration::from_mins(1));
        assert!(answered(&mut last, deadline), "there is room for it");
        let mut next = ask();
        let early = answered(&mut next, Duration::from_millis(500));
        assert!(!early || began.elapsed() >= HEAD, "there is room for more");
        drop(last);
        assert!(early || answered(&mut next, deadline), "there is room again");
        drop(silent);
    };
    tokio::task::spawn_blocking(trial).await.unwrap();
}

/// Break: wait for ever for the rest of a request's head.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_not_waited_for() {
    let world = World::start().await;
    let address = world.address;
    let slow = move || {
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.write_all(b"POST /token HTTP/1.1\r\nhost: as.example\r\n").unwrap();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest)
    };
    tokio::task::spawn_blocking(slow).await.unwrap().unwrap();
}
