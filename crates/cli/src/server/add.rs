//! `remit server add`: what a server offers is asked for, pinned, and exposed only where it is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use remit_authority::broker::record::Behalf;
use remit_authority::change::ToolRecord;
use remit_authority::learn::Override;
use remit_authority::socket::wire::{AddServer, AdminAsk, Oauth, ServerShown};
use remit_core::feature::Feature;
use remit_core::id::{ServerName, ToolName};
use remit_core::registry::{Environment, Upstream};
use remit_core::rejection::Code;
use remit_core::role::OrgRole;

use super::changed::{Facts, changed, lines};
use super::credential::CredentialArgs;
use super::oauth::{self, OauthArgs};
use super::{show, shown as registered};
use crate::agent::published;
use crate::ask::{self, PinArgs};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::mcp;
use crate::out::Style;

/// Largest review, in bytes.
const REVIEW_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  remit server add tickets --url http://127.0.0.1:8931/mcp --expose list_tickets,read_ticket
  remit server add tracker --url https://tracker.example/mcp --auth bearer --secret-from tracker.key
  remit server add crm --url https://crm.example/mcp --auth oauth-client --client-id remit --secret-from crm.key
  remit server add mail --url https://mail.example/mcp --auth oauth-user
  remit server add git --expose git_log -- mcp-server-git --repository /srv/repository")]
pub(crate) struct Add {
    /// Its name, as agents will say it: NAME/TOOL
    name: ServerName,
    /// Its MCP endpoint
    #[arg(long, value_name = "URL", required_unless_present = "command", conflicts_with = "command")]
    url: Option<String>,
    /// The program that is the server, with its arguments: found on your PATH now, run with nothing of your environment
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
    /// Where it belongs: agents of staging never reach production
    #[arg(long, value_name = "ENVIRONMENT", default_value = "production", value_parser = environment)]
    environment: Environment,
    /// Who answers for what its tools do: platform, agent-security or TEAM/owner; shown in refusals and in the log [default:
    /// as before, or platform]
    #[arg(long, value_name = "ROLE")]
    owner: Option<OrgRole>,
    /// Tools to expose; what is not named is exposed to nobody
    #[arg(long, value_name = "TOOL", value_delimiter = ',')]
    expose: Vec<ToolName>,
    /// What you say of its tools instead of what their hints say: [TOOL] tier, returns, roles. What an earlier review
    /// said stays said
    #[arg(long, value_name = "FILE")]
    review: Option<PathBuf>,
    /// Prompts to expose
    #[arg(long, value_name = "PROMPT", value_delimiter = ',')]
    prompts: Vec<ToolName>,
    /// Let its resources be read
    #[arg(long)]
    resources: bool,
    /// Features of a client that it may use where that is granted: elicitation, sampling, roots. Each puts its own words
    /// before the user or the model
    #[arg(long, value_name = "FEATURE", value_delimiter = ',', value_parser = feature)]
    client: Vec<Feature>,
    #[command(flatten)]
    credential: CredentialArgs,
    #[command(flatten)]
    oauth: OauthArgs,
    #[command(flatten)]
    pin: PinArgs,
}

pub(crate) fn environment(text: &str) -> Result<Environment, String> {
    match text {
        "production" => Ok(Environment::Production),
        "staging" => Ok(Environment::Staging),
        _ => Err("it is `production` or `staging`".into()),
    }
}

fn feature(text: &str) -> Result<Feature, String> {
    Feature::named(text).ok_or_else(|| "it is `elicitation`, `sampling` or `roots`".into())
}

pub(super) fn run(add: &Add, context: &Context) -> Result<Exit, CliError> {
    let before = match registered(context, &add.name) {
        Ok(before) => Some(before),
        Err(CliError::Refused(refused)) if refused.code == Code::ServerUnknown => None,
        Err(error) => return Err(error),
    };
    let upstream = upstream(add, context)?;
    let was = before.as_ref().map(|before| before.tools.clone()).unwrap_or_default();
    if let Some(wanted) = add.oauth.wanted(&add.credential)? {
        return with_tokens(add, (upstream, wanted), &was, context);
    }
    // Reached elsewhere, it is somebody else, who gets none of what was sealed before.
    let kept = before.as_ref().filter(|before| before.server.upstream == upstream);
    let given = match kept {
        Some(kept) => oauth::again(kept, &add.credential, &add.pin, context)?,
        None => add.credential.again(&[], context)?,
    };
    let list = mcp::list_tools(&upstream, &add.features(), &given, context)?;
    // What was borrowed for the question is not sealed.
    let borrowed = kept.is_some_and(|kept| kept.oauth.is_some());
    let given = if borrowed { Vec::new() } else { given };
    let shown: ServerShown = ask::admin_with(context, &add.ask(upstream, list, None)?, &add.pin, &given)?;
    done(add, context, &was, &shown)
}

/// Of one that is reached by OAuth: it is registered first, because nobody can ask it anything before there is a token.
fn with_tokens(
    add: &Add,
    (upstream, wanted): (Upstream, Oauth),
    was: &[ToolRecord],
    context: &Context,
) -> Result<Exit, CliError> {
    let secret = add.credential.client_secret(context)?;
    let own = wanted.behalf == Behalf::AuthorizationCode;
    if own && !add.expose.is_empty() {
        return Err(CliError::unevaluated(
            "what the server offers is seen by whoever is connected, and nobody is yet",
            format!("leave out --expose; then: remit server connect {}", add.name),
        ));
    }
    let ask = add.ask(upstream.clone(), mcp::NOTHING.to_owned(), Some(wanted))?;
    let shown: ServerShown = ask::admin_with(context, &ask, &add.pin, &secret)?;
    if own {
        return done(add, context, was, &shown);
    }
    let given = oauth::borrow(&add.name, &add.pin, context).map_err(|error| unlisted(error, &shown))?;
    let list = mcp::list_tools(&upstream, &add.features(), &given, context)?;
    let shown: ServerShown = ask::admin_with_pin(context, &add.ask(upstream, list, None)?, &add.pin)?;
    done(add, context, was, &shown)
}

impl Add {
    fn features(&self) -> std::collections::BTreeSet<Feature> {
        self.client.iter().copied().collect()
    }

    /// With nothing offered, nothing is exposed either.
    fn ask(&self, upstream: Upstream, list: String, oauth: Option<Oauth>) -> Result<AdminAsk, CliError> {
        let nothing = list == mcp::NOTHING;
        let overrides = self.review.as_deref().filter(|_| !nothing).map(review).transpose()?.unwrap_or_default();
        Ok(AdminAsk::AddServer(Box::new(AddServer {
            name: self.name.clone(),
            environment: self.environment,
            owner: self.owner.clone(),
            upstream,
            list,
            expose: if nothing { Vec::new() } else { self.expose.clone() },
            overrides,
            prompts: self.prompts.clone(),
            resources: self.resources,
            features: self.features(),
            oauth,
        })))
    }
}

/// It is registered, but its authorization server does not know us yet: with a key that was just made, it cannot.
fn unlisted(error: CliError, shown: &ServerShown) -> CliError {
    let Some(key) = shown.oauth.as_ref().and_then(|record| record.key.as_ref()) else { return error };
    let key = serde_json::to_string(key).unwrap_or_default();
    CliError::unevaluated(
        format!("it is registered, and no token is issued yet: {error}"),
        format!("register this key there, then type the same without --auth: {key}"),
    )
}

fn done(add: &Add, context: &Context, before: &[ToolRecord], shown: &ServerShown) -> Result<Exit, CliError> {
    let changed = changed(before, &shown.tools);
    context.out.facts(&Facts { shown, changed: &changed }, |out| {
        out.line(format!("{}  {}", out.style(Style::Good, "registered"), add.name));
        show::secrets(&shown.secrets, out);
        show::oauth(shown, out);
        show::tools(&shown.tools, out);
        lines(&changed, out);
        let hidden: Vec<&str> =
            shown.tools.iter().filter(|tool| !tool.exposed).map(|tool| tool.name.as_str()).collect();
        if !hidden.is_empty() {
            out.line(format!("to expose more: remit server expose {} {}", add.name, hidden.join(" ")));
        }
    });
    published(shown.bundle_error.as_deref())
}

fn upstream(add: &Add, context: &Context) -> Result<Upstream, CliError> {
    Ok(match (&add.url, add.command.split_first()) {
        (None, Some((command, args))) => {
            Upstream::Stdio { command: mcp::resolve(command, &context.env)?, args: args.to_vec() }
        }
        (url, _) => Upstream::Http { url: url.clone().unwrap_or_default() },
    })
}

/// A reviewer's words: a table for each tool.
pub(super) fn review(path: &Path) -> Result<BTreeMap<String, Override>, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        CliError::unevaluated(
            format!("{}: {why}", path.display()),
            "write a table for each tool:\n\n[read_ticket]\ntier = \"T1\"\nreturns = { trust = \"untrusted\", sensitivity = \"confidential\" }",
        )
    };
    let text = match std::fs::metadata(path) {
        Ok(meta) if meta.len() > REVIEW_BYTES_MAX => return Err(failed(&"larger than 1 MiB")),
        _ => std::fs::read_to_string(path).map_err(|error| failed(&error))?,
    };
    toml::from_str(&text).map_err(|error| failed(&error))
}
