//! `remit issuer …`: whose word for people and workloads counts, and for what.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use remit_authority::issuer::{self, IssuerRecord, KeySource, Rules};
use remit_authority::socket::wire::{AddIssuer, AdminAsk, Given};
use remit_core::secret::Place;
use serde_json::{Value, json};

use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};
use crate::server::credential;
use crate::time::utc;

/// Largest file of keys or rules, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

#[derive(Debug, Args)]
pub(crate) struct Issuer {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trust an issuer for what a file of rules says, or for something else than before
    #[command(after_help = "Examples:
  remit issuer add https://token.actions.githubusercontent.com --kind workload --rules github.toml
  remit issuer add spiffe://acme.example --kind spiffe --keys https://spire.acme.example/bundle --rules spire.toml
  remit issuer add https://idp.acme.example --kind people --client-id remit --secret-from idp.secret --scope groups --rules idp.toml

A rule lets workloads begin runs as one agent; each claim must be there, to the letter:
  [[rule]]
  agent = \"support/triage\"
  claims = { repository = \"acme/api\", ref = \"refs/heads/main\" }

A group says for agents of which teams its members may answer:
  [[group]]
  name = \"support-engineers\"
  teams = [\"support\"]")]
    Add(Box<Add>),
    /// List trusted issuers
    List,
    /// Trust an issuer no more. What was begun by it goes on until its end, or is revoked
    #[command(after_help = "Example:\n  remit issuer remove https://idp.acme.example")]
    Remove {
        /// Its URL, as it was registered
        url: String,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// Its URL, to the letter as its tokens have it in `iss`; of SPIFFE `spiffe://TRUST-DOMAIN`
    url: String,
    /// What it vouches for
    #[arg(long, value_enum)]
    kind: Kind,
    /// For whom it may speak: rules of workloads, or groups of people
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Where its keys are: a URL or a file [default: where it says itself]
    #[arg(long, value_name = "URL|FILE")]
    keys: Option<String>,
    /// Another name under which its tokens may mean this authority
    #[arg(long = "audience", value_name = "NAME")]
    audiences: Vec<String>,
    /// An algorithm that its signatures may have: `RS256`, `ES256` or `EdDSA` [default: all of them]
    #[arg(long = "alg", value_name = "ALG", value_parser = algorithm)]
    algorithms: Vec<issuer::Algorithm>,
    /// As which client people are sent there to log in
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Where the client's secret is read from: FILE, env:NAME or - (standard input). It is sealed
    #[arg(long, value_name = "FROM", requires = "client_id")]
    secret_from: Option<String>,
    /// What is asked for there besides `openid`
    #[arg(long = "scope", value_name = "SCOPE", requires = "client_id")]
    scopes: Vec<String>,
    #[command(flatten)]
    pin: PinArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// People: an identity provider
    People,
    /// Workloads with OIDC tokens, as CI systems give them
    Workload,
    /// Workloads with JWT-SVIDs
    Spiffe,
}

fn algorithm(text: &str) -> Result<issuer::Algorithm, String> {
    issuer::Algorithm::named(text).ok_or_else(|| "it is RS256, ES256 or EdDSA".into())
}

pub(crate) fn run(issuer: &Issuer, context: &Context) -> Result<Exit, CliError> {
    match &issuer.command {
        Command::Add(add) => {
            let given = secret(add, context)?;
            let ask = AdminAsk::AddIssuer(Box::new(asked(add)?));
            let added: IssuerRecord = ask::admin_with(context, &ask, &add.pin, &given)?;
            context.out.facts(&shown(&added), |out| {
                out.line(format!("{}  {}", out.style(Style::Good, "trusted"), added.url));
                if added.client.is_some() {
                    out.line("register there, as where people are sent back to: ISSUER/people/callback, with this authority's URL");
                }
            });
        }
        Command::List => {
            let issuers: Vec<IssuerRecord> = ask::admin(context, &AdminAsk::Issuers {})?;
            context.out.facts(&json!({ "issuers": issuers.iter().map(shown).collect::<Vec<_>>() }), |out| {
                for issuer in &issuers {
                    line(issuer, out);
                }
                if issuers.is_empty() {
                    out.line("no issuer is trusted: remit issuer add URL --kind people|workload|spiffe");
                }
            });
        }
        Command::Remove { url } => {
            ask::admin::<Value>(context, &AdminAsk::RemoveIssuer { url: url.clone() })?;
            context.out.facts(&json!({ "removed": url }), |out| out.line(format!("removed {url}")));
        }
    }
    Ok(Exit::Fine)
}

/// Without the sealed secret, which is of no use to anybody here.
fn shown(issuer: &IssuerRecord) -> Value {
    let mut shown = json!(issuer);
    if let Some(client) = shown.get_mut("client").and_then(Value::as_object_mut) {
        let secret = client.remove("secret").is_some();
        client.insert("secret".into(), secret.into());
    }
    shown
}

fn line(issuer: &IssuerRecord, out: &Out) {
    let kind = match issuer.kind {
        issuer::Kind::People => "people",
        issuer::Kind::Workload => "workload",
        issuer::Kind::Spiffe => "spiffe",
    };
    out.line(format!("{kind:<9} {}  since {} by {}", issuer.url, utc(issuer.at), issuer.by));
    for rule in &issuer.rules.rules {
        let claims: Vec<String> = rule.claims.iter().map(|(name, value)| format!("{name}={value}")).collect();
        out.line(format!("          {} where {}", rule.agent, claims.join(", ")));
    }
    for group in &issuer.rules.groups {
        let teams: Vec<&str> = group.teams.iter().map(remit_core::id::Team::as_str).collect();
        let role = if group.approver { ", approvers" } else { "" };
        out.line(format!("          group {}: {}{role}", group.name, teams.join(", ")));
    }
}

fn asked(add: &Add) -> Result<AddIssuer, CliError> {
    let rules = match &add.rules {
        None => Rules::default(),
        Some(path) => Rules::parse(&file(path)?).map_err(|why| {
            CliError::unevaluated(
                format!("{}: {why}", path.display()),
                "see what stands in one: remit issuer add --help",
            )
        })?,
    };
    let keys = match &add.keys {
        None => KeySource::Discovered,
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => KeySource::At(url.clone()),
        Some(path) => KeySource::Given(file(Path::new(path))?),
    };
    Ok(AddIssuer {
        url: add.url.clone(),
        kind: match add.kind {
            Kind::People => issuer::Kind::People,
            Kind::Workload => issuer::Kind::Workload,
            Kind::Spiffe => issuer::Kind::Spiffe,
        },
        audiences: add.audiences.clone(),
        algorithms: add.algorithms.clone(),
        keys,
        rules,
        client: add.client_id.clone(),
        scopes: add.scopes.clone(),
    })
}

fn secret(add: &Add, context: &Context) -> Result<Vec<Given>, CliError> {
    let Some(from) = &add.secret_from else { return Ok(Vec::new()) };
    credential::uncored();
    Ok(vec![Given { place: Place::Bearer, value: credential::read(from, context)?, plain: false }])
}

fn file(path: &Path) -> Result<String, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        CliError::unevaluated(format!("{}: {why}", path.display()), "name a file that can be read")
    };
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > FILE_BYTES_MAX => return Err(failed(&"it is too large")),
        _ => {}
    }
    std::fs::read_to_string(path).map_err(|error| failed(&error))
}
