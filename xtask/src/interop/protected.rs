//! Servers that are protected by OAuth, with an authorization server of other makers: one is reached on behalf of the person
//! who has consented there, one by a client of our own. Agents and their clients see nothing of either.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::browser::Browser;
use super::home::{Home, free_port, write};
use super::packages::{Group, Packages};
use super::process::Background;
use super::provider::Provider;
use super::servers::{Server, call};
use crate::conformance::broker::connect_to;

/// What must be installed for them.
const NEEDS: &[Group] = &[Group::Node, Group::Provider, Group::Mcp];
/// The person who consents.
const PERSON: &str = "ada";
/// Our own client there, and its secret.
const CLIENT: (&str, &str) = ("remit-own", "cs-interop-0123456789abcdef0123456789abcdef");
/// How long their tokens are good, in seconds: less than this takes, so that they are renewed.
const SECONDS: u64 = 12;

/// Both of them; which of them is on behalf of a person, the name says.
pub(crate) fn all(root: &Path, packages: &Packages) -> io::Result<Vec<Server>> {
    let server = |name, says| -> io::Result<Server> {
        let port = free_port()?;
        let script = root.join("xtask/interop/protected.py").display().to_string();
        Ok(Server {
            name,
            needs: NEEDS,
            modern: true,
            url: Some(format!("http://127.0.0.1:{port}/mcp")),
            command: vec![packages.python("python").display().to_string(), script, port.to_string()],
            granted: &["add", "whoami"],
            features: &[],
            constraints: vec![format!("{name}/add:a<=1000"), format!("{name}/add:b=*")],
            allowed: (call("whoami", json!({})), says),
            outside: call("add", json!({ "a": 1001, "b": 2 })),
            declared: call("multiply", json!({ "a": 1, "b": 2 })),
            hidden: call("double", json!({ "a": 1 })),
        })
    };
    Ok(vec![server("of-a-person", "token of ada for")?, server("of-a-client", "for remit-own")?])
}

/// Starts them with their authorization server, registers them, and lets the person consent.
pub(crate) fn start(
    root: &Path,
    home: &Home,
    packages: &Packages,
    servers: &mut [Server],
) -> io::Result<(Provider, Vec<Background>)> {
    let urls = servers.iter().filter_map(|server| server.url.clone());
    let resource = json!({ "scope": "notes", "seconds": SECONDS, "format": "jwt" });
    let resources: serde_json::Map<String, Value> = urls.map(|url| (url, resource.clone())).collect();
    let config = json!({
        "clients": [{
            "client_id": CLIENT.0,
            "client_secret": CLIENT.1,
            "grant_types": ["client_credentials"],
            "token_endpoint_auth_method": "client_secret_basic",
        }],
        "people": { PERSON: { "name": "Ada" } },
        "signed_in": PERSON,
        "resources": resources,
        "registration": true,
    });
    let provider = Provider::start(root, packages, &home.scratch, "upstream-provider", config)?;
    let mut running = Vec::new();
    for server in servers {
        server.command.push(provider.issuer.clone());
        running.extend(server.start(&home.scratch)?);
        register(home, server)?;
    }
    Ok((provider, running))
}

fn register(home: &Home, server: &Server) -> io::Result<()> {
    let (pin, exposed) = (home.pin_file(), server.exposed());
    let url = server.url.as_deref().unwrap_or_default();
    let add = ["server", "add", server.name, "--url", url, "--pin-file", &pin];
    if server.name == "of-a-client" {
        let secret = home.scratch.join("client-secret").display().to_string();
        write(Path::new(&secret), CLIENT.1)?;
        let with = ["--auth", "oauth-client", "--client-id", CLIENT.0, "--secret-from", &secret];
        return home.remit(&[&add[..], &with, &["--expose", &exposed.join(",")]].concat()).map(drop);
    }
    home.remit(&[&add[..], &["--auth", "oauth-user"]].concat())?;
    if home.remit(&["server", "diff", server.name, "--pin-file", &pin]).is_ok() {
        return Err(io::Error::other("control: the server answers before anybody has consented"));
    }
    connect_to(home, server.name, &mut Browser::default())?;
    home.remit(&[&add[..], &["--expose", &exposed.join(",")]].concat()).map(drop)
}
