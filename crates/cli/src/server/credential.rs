//! Where a credential of a server is read from, and where it goes. It is read once, passed on, and wiped; no flag takes one,
//! because what is typed stands in the shell's history and in the list of processes.

use std::io::Read;

use clap::Args;
use remit_authority::broker::record::Behalf;
use remit_authority::socket::wire::{Given, SecretShown};
use remit_core::secret::{Place, VALUE_BYTES_MAX, Value};
use rustix::process::{Resource, Rlimit, setrlimit};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::CliError;

const FROM: &str = "a file, `env:NAME` for a variable, or `-` for standard input";

#[derive(Debug, Args)]
pub(crate) struct CredentialArgs {
    /// How a server at a URL is authenticated to: bearer, basic (of USER:PASSWORD) or header:NAME; oauth-client or
    /// oauth-user, where its own authorization server issues the tokens to Remit
    #[arg(long, value_name = "KIND", value_parser = auth)]
    auth: Option<Auth>,
    /// Where the credential is read from, or the secret of the OAuth client: FILE, env:NAME or - (standard input). It is
    /// sealed; agents never see it
    #[arg(long, value_name = "FROM")]
    secret_from: Option<String>,
    /// A variable of a server that is a program, and where its value is read from: NAME=FILE, NAME=env:NAME or NAME=-
    #[arg(long, value_name = "NAME=FROM", value_parser = variable)]
    env: Vec<(Place, String)>,
}

/// How a server is authenticated to.
#[derive(Debug, Clone)]
enum Auth {
    Static(Place),
    Oauth(Behalf),
}

fn auth(text: &str) -> Result<Auth, String> {
    match text {
        "oauth-client" => Ok(Auth::Oauth(Behalf::ClientCredentials)),
        "oauth-user" => Ok(Auth::Oauth(Behalf::AuthorizationCode)),
        _ => text.parse().map(Auth::Static).map_err(|_| {
            "it is bearer, basic, header:NAME, oauth-client or oauth-user, or a credential cannot stand there"
                .to_owned()
        }),
    }
}

fn variable(text: &str) -> Result<(Place, String), String> {
    let (name, from) = text.split_once('=').ok_or("it is NAME=FROM")?;
    let place = format!("env:{name}").parse().map_err(|_| format!("`{name}` cannot be a credential's variable"))?;
    Ok((place, from.to_owned()))
}

impl CredentialArgs {
    /// On whose behalf tokens are got, where that is how.
    pub(super) fn behalf(&self) -> Option<Behalf> {
        match &self.auth {
            Some(Auth::Oauth(behalf)) => Some(*behalf),
            _ => None,
        }
    }

    /// The secret of an OAuth client, where one is given.
    pub(super) fn client_secret(&self, context: &Context) -> Result<Vec<Given>, CliError> {
        uncored();
        let read = |from: &String| Ok(Given { place: Place::Bearer, value: read(from, context)?, plain: false });
        self.secret_from.iter().map(read).collect()
    }

    /// What is given, for a server that has these already.
    pub(super) fn read(&self, there: &[SecretShown], context: &Context) -> Result<Vec<Given>, CliError> {
        uncored();
        let mut given = Vec::new();
        let place = match &self.auth {
            Some(Auth::Oauth(_)) => {
                return Err(CliError::unevaluated(
                    "how tokens are got is said when the server is registered",
                    "register it: remit server add NAME --url URL --auth oauth-client",
                ));
            }
            Some(Auth::Static(place)) => Some(place.clone()),
            None => None,
        };
        if place.is_some() && self.secret_from.is_none() {
            return Err(CliError::unevaluated(
                "the credential is not given",
                format!("say from where it is read, {FROM}: --secret-from FROM"),
            ));
        }
        if let Some(from) = &self.secret_from {
            let place = place.or_else(|| only(there)).ok_or_else(|| {
                CliError::unevaluated(
                    "it is not clear where the credential goes",
                    "say it: --auth bearer, --auth basic or --auth header:NAME",
                )
            })?;
            given.push(Given { place, value: read(from, context)?, plain: false });
        }
        for (place, from) in &self.env {
            given.push(Given { place: place.clone(), value: read(from, context)?, plain: false });
        }
        Ok(given)
    }

    /// The same, for asking a registered server something: what it is reached with is shown to nobody, so it is given again.
    pub(super) fn again(&self, there: &[SecretShown], context: &Context) -> Result<Vec<Given>, CliError> {
        let given = self.read(there, context)?;
        let mut everybodys = there.iter().filter(|secret| secret.scope.is_all());
        let missing = everybodys.find(|secret| given.iter().all(|given| given.place != secret.place));
        match missing {
            None => Ok(given),
            Some(secret) => Err(CliError::unevaluated(
                format!("the server is reached with a credential ({}), which is shown to nobody", secret.place),
                match &secret.place {
                    Place::Env(name) => format!("give it for this question: --env {name}=FROM"),
                    _ => "give it for this question: --secret-from FROM".to_owned(),
                },
            )),
        }
    }
}

/// The one place that there is.
fn only(there: &[SecretShown]) -> Option<Place> {
    let first = there.first()?;
    there.iter().all(|one| one.place == first.place).then(|| first.place.clone())
}

pub(crate) fn read(from: &str, context: &Context) -> Result<Value, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        CliError::unevaluated(format!("{from}: {why}"), format!("name where the credential is read from: {FROM}"))
    };
    let text = match (from, from.strip_prefix("env:")) {
        (_, Some(name)) => {
            let value = context.env.get(name).ok_or_else(|| failed(&"there is no such variable"))?;
            return Ok(Value::new(line(value).to_owned()));
        }
        ("-", _) => bounded(std::io::stdin().lock()),
        (path, _) => std::fs::File::open(path).and_then(bounded),
    };
    let text = text.map_err(|error| failed(&error))?;
    match line(&text) {
        "" => Err(failed(&"there is nothing in it")),
        text => Ok(Value::new(text.to_owned())),
    }
}

fn bounded(from: impl Read) -> std::io::Result<Zeroizing<String>> {
    // In one piece from the start: growing would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(VALUE_BYTES_MAX + 2));
    from.take(VALUE_BYTES_MAX as u64 + 2).read_to_string(&mut text)?;
    Ok(text)
}

/// Without the end of its last line, which editors add.
fn line(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// No core dump of a command that holds a credential.
pub(crate) fn uncored() {
    // Where it cannot be lowered it is zero already.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).ok();
}

/// The words of somebody else, without any of these.
pub(crate) fn blotted(text: &str, given: &[Given]) -> String {
    given.iter().filter(|given| !given.plain).fold(text.to_owned(), |text, given| {
        let value = given.value.expose();
        let last = value.rsplit([' ', ':']).next().unwrap_or(value);
        [value, last].iter().filter(|part| !part.is_empty()).fold(text, |text, part| text.replace(part, "[credential]"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_one_line_and_is_blotted_out_of_what_others_say() {
        for (text, value) in [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), ("a\n\n", "a\n"), ("\n", "")] {
            assert_eq!(line(text), value);
        }
        let given = |place: &str, value: &str| Given {
            place: place.parse().unwrap(),
            value: Value::new(value.into()),
            plain: false,
        };
        let given = [given("bearer", "sk-1"), given("basic", "ada:horse")];
        assert_eq!(blotted("bad sk-1, or horse of ada", &given), "bad [credential], or [credential] of ada");
    }
}
