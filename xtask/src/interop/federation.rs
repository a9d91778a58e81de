//! People and workloads of a real identity provider: a person logs in there for a client that knows nothing but our URL; a CI
//! system's token and an identity provider's word (ID-JAG) begin runs. And each once more with what must not get in.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::home::{AGENT, Home, write};
use super::login::Login;
use super::packages::{CURRENT, Group, Packages};
use super::process::{self, Output};
use super::provider::Provider;
use super::servers::Server;

/// What must be installed.
pub(crate) const NEEDS: &[Group] = &[Group::Node, Group::Provider, Group::Mcp];
/// A client that gets in, and one that does not, for each of three ways.
pub(crate) const CELLS: usize = 6;
const LOGIN_MAX: Duration = Duration::from_mins(2);
const CLIENT: &str = "remit";
const SECRET: &str = "a secret that the authority shares with the provider";

/// Puts a provider beside the authority, and lets people and workloads of it in.
pub(crate) fn run(root: &Path, (home, packages): (&Home, &Packages), server: &Server) -> io::Result<Vec<Login>> {
    let provider = Provider::start(root, packages, &home.scratch, "people", config(home))?;
    // The same program as somebody else, whose tokens say what workloads are.
    let ci = Provider::start(root, packages, &home.scratch, "ci", json!({}))?;
    trust(home, &provider, &ci)?;
    let ask = |way: &str, who: &str, issuer: &str| {
        let (call, _) = &server.allowed;
        let mut command = Command::new(packages.of_environment(CURRENT, "python"));
        command.arg("-B").arg(root.join("xtask/interop/federate.py"));
        command.args([way, who, issuer, &home.issuer(), &home.url(server), AGENT, call.tool]);
        command.arg(call.arguments.to_string());
        process::run(&mut command, "", LOGIN_MAX)
    };
    let (_, answered) = &server.allowed;
    let of = |how, words: &str, said: io::Result<Output>| Login { client: "mcp 2.3", how, fault: fault(words, said) };
    Ok(vec![
        of("a person logs in at oidc-provider", answered, ask("person", "ada", &provider.issuer)),
        of("… and is in no group of the team", "not for you", ask("person", "eve", &provider.issuer)),
        of("a CI job brings its own token", answered, ask("job", "acme/api", &ci.issuer)),
        of("… and is of another repository", "invalid_grant", ask("job", "evil/api", &ci.issuer)),
        of("a client brings an ID-JAG", answered, ask("id-jag", "ada", &provider.issuer)),
        of("… and brings it once more", "invalid_grant", ask("id-jag-again", "ada", &provider.issuer)),
    ])
}

fn config(home: &Home) -> Value {
    let redirect = format!("{}/people/callback", home.issuer());
    json!({
        "people": {
            "ada": {"name": "Ada Example", "email": "ada@example.com", "groups": ["engineers"]},
            "eve": {"name": "Eve Example", "email": "eve@example.com", "groups": ["guests"]},
        },
        "clients": [
            {"client_id": CLIENT, "client_secret": SECRET, "redirect_uris": [redirect], "response_types": ["code"],
             "grant_types": ["authorization_code"]},
            {"client_id": AGENT, "client_secret": "x", "redirect_uris": ["http://127.0.0.1:4712/callback"],
             "response_types": ["code"],
             "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange"]},
        ],
    })
}

/// Registers both, as an administrator does.
fn trust(home: &Home, provider: &Provider, ci: &Provider) -> io::Result<()> {
    let file = |name: &str, text: &str| {
        let path = home.scratch.join(name);
        write(&path, text).map(|()| path.display().to_string())
    };
    let pin = home.pin_file();
    let team = AGENT.split('/').next().unwrap_or_default();
    let groups = file("idp.toml", &format!("[[group]]\nname = \"engineers\"\nteams = [\"{team}\"]\n"))?;
    let secret = file("idp.secret", SECRET)?;
    let rules = format!("[[rule]]\nagent = \"{AGENT}\"\nclaims = {{ repository = \"acme/api\" }}\n");
    let rules = file("ci.toml", &rules)?;
    let people = [
        "--kind",
        "people",
        "--client-id",
        CLIENT,
        "--secret-from",
        &secret,
        "--scope",
        "profile",
        "--scope",
        "groups",
    ];
    let add = |url: &str, more: &[&str], rules: &str| {
        let line = [&["issuer", "add", url][..], more, &["--rules", rules, "--pin-file", &pin]].concat();
        home.remit(&line).map(drop)
    };
    add(&provider.issuer, &people, &groups)?;
    add(&ci.issuer, &["--kind", "workload", "--alg", "RS256"], &rules)
}

/// What the program says in the end must hold these words.
fn fault(words: &str, said: io::Result<Output>) -> Option<String> {
    match said {
        Err(error) => Some(error.to_string()),
        Ok(output) if output.good && output.out.contains(words) => None,
        Ok(output) => Some(format!("it says {:?}", output.last_line())),
    }
}
