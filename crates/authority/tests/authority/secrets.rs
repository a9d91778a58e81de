//! What lies on the authority's disk: no private key outside its own file, no token, no PIN, and nothing for others to
//! read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::common::{GATEWAY, PIN, World};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use remit_authority::socket::client;
use remit_authority::socket::wire::RunAsk;

/// All that is below a directory, directories too.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let and_inner = |path: PathBuf| {
        let inner = if path.is_dir() { below(&path) } else { vec![] };
        [inner, vec![path]].concat()
    };
    entries.flat_map(and_inner).collect()
}

/// What a file holds, without the room that a log keeps for later. One that goes away while we look is not at rest.
fn contents(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.chunks(4_096).filter(|chunk| **chunk != [0; 4_096][..chunk.len()]).collect::<Vec<_>>().concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn holds(all: &[u8], secret: &[u8]) -> bool {
    let first = secret[0];
    all.iter().enumerate().any(|(at, byte)| *byte == first && all[at..].starts_with(secret))
}

/// Break: put a key into the database, the log or a bundle; keep a token or the PIN; or make a file for everybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_its_own_file_or_nowhere() {
    let mut world = World::start().await;
    world.furnish().await;
    let requested = world.request(&["tickets/read_ticket"], None).await.unwrap();
    let ask = RunAsk::Headers { url: format!("{GATEWAY}/mcp/tickets"), method: "POST".into(), grant: None };
    let socket = requested.socket.clone();
    let asked = tokio::task::spawn_blocking(move || client::run::<BTreeMap<String, String>>(&socket, &ask));
    let headers = asked.await.unwrap().unwrap();
    let check = |world: &World, state: &str| {
        let home = world.dir.path();
        let (keys, others): (Vec<_>, Vec<_>) =
            below(home).into_iter().filter(|path| path.is_file()).partition(|path| path.starts_with(home.join("keys")));
        let mut all = others.iter().map(|path| contents(path)).collect::<Vec<_>>().concat();
        let seeds: Vec<Vec<u8>> = keys.iter().map(|path| contents(path)).filter(|bytes| bytes.len() == 32).collect();
        assert_eq!(seeds.len(), 2, "the root key and one that signs tokens");
        // The PIN is not even in its own file.
        all.extend(keys.iter().flat_map(|path| contents(path)));
        let mut secrets = vec![PIN.to_owned(), URL_SAFE_NO_PAD.encode(PIN), STANDARD.encode(PIN), hex(PIN.as_bytes())];
        secrets.extend(headers.values().map(|value| value.rsplit('.').next().unwrap().to_owned()));
        for seed in &seeds {
            secrets.extend([URL_SAFE_NO_PAD.encode(seed), STANDARD.encode(seed), hex(seed)]);
            let elsewhere = others.iter().filter(|path| holds(&contents(path), seed)).count();
            assert_eq!(elsewhere, 0, "a key stands outside its file, {state}");
        }
        let all = String::from_utf8_lossy(&all);
        assert!(all.contains(requested.run.id.as_str()), "the search finds what is there, {state}");
        for secret in secrets {
            assert!(!all.contains(&secret), "{secret} {state}");
        }
        for path in below(home) {
            // A file that goes away while we look is not at rest.
            let mode = std::fs::metadata(&path).map_or(0, |meta| meta.permissions().mode());
            // What the test itself made, and the public half of the root key, may be seen.
            let open = path.starts_with(home.join("policies")) || path == home.join("root.vkey");
            let others = mode & 0o077;
            assert!(open || others == 0, "{} {mode:o} {state}", path.display());
        }
    };
    check(&world, "while it runs");
    world.stop().await;
    check(&world, "at rest");
}
