//! One server of a client's file: how it is reached, and with which keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_authority::socket::wire::Given;
use remit_core::id::{ID_BYTES_MAX, ServerName};
use remit_core::registry::Upstream;
use remit_core::secret::{Place, Value as Secret};
use serde_json::{Map, Value};

use super::sensitive;
use crate::config::Env;
use crate::context::Context;
use crate::error::CliError;
use crate::mcp;

/// Members that say how a server is reached: these are replaced, all others stay.
const REACHED: [&str; 8] = ["type", "transport", "url", "serverUrl", "headers", "command", "args", "env"];
/// Headers that every client sends by itself, and variables that the gateway sets.
const OWN: [&str; 6] = ["accept", "content-type", "host", "PATH", "HOME", "LANG"];

/// A server with standing keys. No `Debug`.
pub(super) struct Entry {
    pub(super) name: ServerName,
    pub(super) upstream: Upstream,
    pub(super) given: Vec<Given>,
    /// The relay's URL for it.
    url: String,
    /// What the client says of it beside how it is reached.
    rest: Map<String, Value>,
}

impl Entry {
    /// Reads a server; nothing where it leads to the gateway or the relay already.
    pub(super) fn read(
        name: &str,
        text: &str,
        (gateway, relay): (&str, &str),
        context: &Context,
    ) -> Result<Option<Self>, CliError> {
        let value: Value = serde_json::from_str(text).map_err(|error| kept(&error))?;
        let Value::Object(mut members) = value else { return Err(kept(&"it is no object")) };
        let url = members.get("url").or_else(|| members.get("serverUrl")).and_then(Value::as_str);
        let ours = |url: &str| [gateway, relay].iter().any(|own| url.starts_with(&format!("{own}/mcp/")));
        if url.is_some_and(ours) {
            return Ok(None);
        }
        if members.contains_key("headersHelper") {
            return Err(kept(&"another program makes its headers, and nobody here knows what it does"));
        }
        let name = named(name)?;
        let (upstream, given) = match url {
            Some(url) => over_http(&expanded(url, &context.env)?, &members, &context.env)?,
            None => program(&members, context)?,
        };
        let url = format!("{relay}/mcp/{name}");
        members.retain(|name, _| !REACHED.contains(&name.as_str()));
        Ok(Some(Self { name, upstream, given, url, rest: members }))
    }

    /// What stands in its place.
    pub(super) fn replaced(&self, context: &Context) -> String {
        // Said, because the agent that will use it may be one whose tokens go to the gateway.
        let helper = format!("remit{} token {} --to relay", context.home.flag(&context.env), self.name);
        let mut members = Map::new();
        members.insert("type".into(), "http".into());
        members.insert("url".into(), self.url.clone().into());
        members.insert("headersHelper".into(), helper.into());
        members.extend(self.rest.clone());
        serde_json::to_string_pretty(&members).unwrap_or_default().replace('\n', "\n    ")
    }
}

fn kept(why: &dyn std::fmt::Display) -> CliError {
    CliError::finding(why, "register it by hand: remit server add --help")
}

/// The name as it stands in the gateway's URL.
fn named(name: &str) -> Result<ServerName, CliError> {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c.to_ascii_lowercase() } else { '-' };
    let text: String = name.chars().map(fits).take(ID_BYTES_MAX).collect();
    ServerName::new(text.trim_start_matches(['-', '_'])).map_err(|error| kept(&error))
}

type Reached = (Upstream, Vec<Given>);

fn over_http(url: &str, members: &Map<String, Value>, env: &Env) -> Result<Reached, CliError> {
    let kind = members.get("type").or_else(|| members.get("transport")).and_then(Value::as_str);
    if kind.is_some_and(|kind| !["http", "streamable-http", "streamableHttp", "streamable_http"].contains(&kind)) {
        return Err(kept(&"it is reached by another transport than Streamable HTTP"));
    }
    if sensitive::in_url(url) {
        return Err(kept(
            &"its URL holds what looks like a key, and URLs are no secrets: see whether it takes a header",
        ));
    }
    let mut given = Vec::new();
    for (name, value) in texts(members, "headers")? {
        if OWN.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        let value = expanded(value, env)?;
        given.push(header(name, value)?);
    }
    Ok((Upstream::Http { url: url.to_owned() }, given))
}

/// `Authorization` of a scheme that is known is kept without its scheme, so that it can be replaced without it.
fn header(name: &str, value: String) -> Result<Given, CliError> {
    let plain = !sensitive::name(name) && !sensitive::form(&value);
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", ""));
    let known = name.eq_ignore_ascii_case("authorization").then(|| scheme.to_ascii_lowercase());
    let basic = || String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok().filter(|text| text.contains(':'));
    match known.as_deref() {
        Some("bearer") => {
            return Ok(Given { place: Place::Bearer, value: Secret::new(rest.trim().into()), plain: false });
        }
        Some("basic") => {
            if let Some(text) = basic() {
                return Ok(Given { place: Place::Basic, value: Secret::new(text), plain: false });
            }
        }
        _ => {}
    }
    let place = format!("header:{name}").parse().map_err(|error| kept(&error))?;
    Ok(Given { place, value: Secret::new(value), plain })
}

fn program(members: &Map<String, Value>, context: &Context) -> Result<Reached, CliError> {
    let command =
        members.get("command").and_then(Value::as_str).ok_or_else(|| kept(&"it has neither `url` nor `command`"))?;
    if members.contains_key("cwd") {
        return Err(kept(&"it needs a working directory of its own, and programs below the gateway have an empty one"));
    }
    let args = members.get("args").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let arg = |arg: &Value| {
        let text = arg.as_str().ok_or_else(|| kept(&"an argument is no text"))?;
        expanded(text, &context.env)
    };
    let args = args.iter().map(arg).collect::<Result<Vec<_>, _>>()?;
    if sensitive::in_arguments(&args) {
        return Err(kept(
            &"its arguments hold what looks like a key, and arguments are no secrets: see whether it takes a variable",
        ));
    }
    let command = mcp::resolve(&expanded(command, &context.env)?, &context.env)?;
    let mut given = Vec::new();
    for (name, value) in texts(members, "env")? {
        if OWN.contains(&name.as_str()) {
            continue;
        }
        let value = expanded(value, &context.env)?;
        if value.is_empty() {
            continue;
        }
        let plain = !sensitive::name(name) && !sensitive::form(&value) && !sensitive::in_url(&value);
        let place = format!("env:{name}").parse().map_err(|error| kept(&error))?;
        given.push(Given { place, value: Secret::new(value), plain });
    }
    Ok((Upstream::Stdio { command, args }, given))
}

fn texts<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Vec<(&'a String, &'a str)>, CliError> {
    let Some(value) = members.get(name) else { return Ok(Vec::new()) };
    let all = value.as_object().and_then(|object| {
        object.iter().map(|(name, value)| Some((name, value.as_str()?))).collect::<Option<Vec<_>>>()
    });
    all.ok_or_else(|| kept(&format!("`{name}` is no object of texts")))
}

/// `${NAME}` and `${NAME:-other}` as clients read them: from the environment of whoever adopts the file.
fn expanded(text: &str, env: &Env) -> Result<String, CliError> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, behind) = after.split_once('}').ok_or_else(|| kept(&"a variable in it has no end"))?;
        let (name, other) = inner.split_once(":-").map_or((inner, None), |(name, other)| (name, Some(other)));
        let value = env.get(name).filter(|value| !value.is_empty()).or(other);
        out.push_str(before);
        out.push_str(value.ok_or_else(|| kept(&format!("the variable {name} that it names is not set here")))?);
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_read_where_the_file_is_adopted() {
        let env = Env::from([("KEY", "sk-1"), ("EMPTY", "")]);
        for (text, value) in
            [("a", "a"), ("Bearer ${KEY}", "Bearer sk-1"), ("${EMPTY:-x}${NO:-}y", "xy"), ("$KEY", "$KEY")]
        {
            assert_eq!(expanded(text, &env).unwrap(), value);
        }
        assert!(expanded("${NO}", &env).is_err() && expanded("${KEY", &env).is_err());
    }

    #[test]
    fn a_scheme_is_told_from_what_follows_it() {
        let of = |name: &str, value: &str| {
            let given = header(name, value.to_owned()).unwrap();
            (given.place.to_string(), given.value.expose().to_owned(), given.plain)
        };
        let all = |place: &str, value: &str, plain| (place.to_owned(), value.to_owned(), plain);
        assert_eq!(of("Authorization", "Bearer  sk-1"), all("bearer", "sk-1", false));
        assert_eq!(of("authorization", "basic YWRhOng="), all("basic", "ada:x", false));
        assert_eq!(of("Authorization", "Token sk-1"), all("header:authorization", "Token sk-1", false));
        assert_eq!(of("X-Api-Key", "sk-1"), all("header:x-api-key", "sk-1", false));
        assert_eq!(of("X-Toolsets", "all"), all("header:x-toolsets", "all", true));
        assert_eq!(of("X-Any", "ghp_0123456789abcdef"), all("header:x-any", "ghp_0123456789abcdef", false));
    }

    #[test]
    fn a_name_becomes_one_of_a_url() {
        for (name, server) in [("tickets", "tickets"), ("GitHub Copilot", "github-copilot"), ("@acme/x.y", "acme-x-y")]
        {
            assert_eq!(named(name).unwrap().as_str(), server);
        }
        assert!(named("").is_err() && named("---").is_err());
    }
}
