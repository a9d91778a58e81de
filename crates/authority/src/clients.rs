//! OAuth clients: every registered agent is one, under its own id, and so is a program whose metadata document the agent's
//! manifest names (draft-ietf-oauth-client-id-metadata-document). Nobody else is: nothing registers itself.

use remit_core::id::AgentId;
use remit_core::manifest::CLIENT_URL_BYTES_MAX;

use crate::change::AgentRecord;
use crate::error::AuthorityError;
use crate::store::Store;

/// The agent as which a client acts; nothing where it is unknown, or two agents name it.
pub(crate) fn agent(store: &Store, client: &str) -> Result<Option<AgentRecord>, AuthorityError> {
    if client.len() > CLIENT_URL_BYTES_MAX {
        return Ok(None);
    }
    if !is_url(client) {
        return match AgentId::parse(client) {
            Ok(id) => store.agent(&id),
            Err(_) => store.agent_named(client),
        };
    }
    let mut named = store.agents()?;
    named.retain(|record| record.manifest.agent.clients.iter().any(|known| known == client));
    let newest = named.iter().max_by_key(|record| record.at).cloned();
    // Of one agent the version that was registered last; where two agents name it, it is neither's.
    let one = |record: &AgentRecord| {
        named.iter().all(|other| (&other.id.team, &other.id.name) == (&record.id.team, &record.id.name))
    };
    Ok(newest.filter(one))
}

/// Whether a client is named by its metadata document.
pub(crate) fn is_url(client: &str) -> bool {
    client.starts_with("https://") || client.starts_with("http://")
}

/// Whether a browser may be sent there: a URL that is listed, to the letter, or a program on the person's own machine, on
/// any port (RFC 8252 section 7.3), where `loopback` says so.
pub fn redirects(listed: &[String], loopback: bool, uri: &str) -> bool {
    if uri.len() > CLIENT_URL_BYTES_MAX || !plain(uri) {
        return false;
    }
    if listed.iter().any(|known| known == uri) {
        return true;
    }
    let Some((host, path)) = local(uri) else { return false };
    loopback || listed.iter().filter_map(|known| local(known)).any(|known| known == (host, path))
}

/// One line of what a URL can hold, without a fragment.
fn plain(uri: &str) -> bool {
    uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&byte))
}

/// Host and path of a URL of this machine, whatever its port.
fn local(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let host = ["127.0.0.1", "localhost", "[::1]"].into_iter().find(|host| authority.starts_with(host))?;
    let port = authority.strip_prefix(host)?;
    let plain = match port.strip_prefix(':') {
        Some(port) => !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    plain.then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(listed: &[&str], loopback: bool, uri: &str, allowed: bool) {
        let listed: Vec<String> = listed.iter().map(ToString::to_string).collect();
        assert_eq!(redirects(&listed, loopback, uri), allowed, "{uri}");
    }

    /// Break: compare prefixes, hosts, or what stands before an `@`.
    #[test]
    fn a_browser_is_sent_to_this_machine_or_to_what_is_listed_to_the_letter() {
        for uri in ["http://127.0.0.1:7/cb", "http://localhost/cb?x=1", "http://[::1]:65535/", "http://127.0.0.1"] {
            check(&[], true, uri, true);
            check(&[], false, uri, false);
        }
        for uri in [
            "https://127.0.0.1:7/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1@evil.example/cb",
            "http://localhost:7@evil.example/cb",
            "http://localhost:/cb",
            "http://localhost:123456/cb",
            "http://evil.example/cb",
            "http://127.0.0.1:7/cb#x",
            "http://127.0.0.1:7/c b",
            "http://127.0.0.1:7\\@evil.example/",
            "javascript:alert(1)",
            "cursor://x",
            "",
        ] {
            check(&[], true, uri, false);
        }
        let listed = ["https://app.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb"];
        for uri in ["https://app.example/cb", "http://127.0.0.1:80/cb", "com.example.app:/cb"] {
            check(&listed, false, uri, true);
        }
        for uri in
            ["https://app.example/cb/", "https://app.example/cb?x", "http://127.0.0.1:80/other", "http://localhost/cb"]
        {
            check(&listed, false, uri, false);
        }
    }
}
