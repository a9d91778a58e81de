//! What an OAuth client asks for when it wants to act as an agent: `resource` (RFC 8707) says where, and
//! `authorization_details` (RFC 9396) or `scope` what; without these it is all that the agent declares there.

use remit_core::constraint::{Constraint, Scalar};
use remit_core::grant::{Detail, WILDCARD};
use remit_core::id::ServerName;
use remit_core::manifest::Manifest;
use remit_core::target::Target;

use super::refused::Refused;
use crate::form::Form;
use crate::grant::Where;

/// Scopes that name no target: clients send them by habit, and they open nothing.
pub(in crate::http) const EMPTY_SCOPES: [&str; 2] = ["mcp:tools", "offline_access"];

/// What is asked for, in the words of a request.
pub(super) struct Wish {
    pub(super) tools: Vec<String>,
    pub(super) constraints: Vec<Where>,
    pub(super) resources: Vec<String>,
}

/// Reads it. `known` are the servers that are registered, each with whether a target of it is on offer.
pub(super) fn read(
    form: &Form,
    details: Option<Vec<Detail>>,
    manifest: &Manifest,
    gateway: &str,
    offered: impl Fn(&Target) -> bool,
) -> Result<Wish, Refused> {
    let resources = form.resources.clone();
    let servers = resources.iter().map(|resource| server(gateway, resource)).collect::<Result<Vec<_>, _>>()?;
    if servers.is_empty() {
        return Err(Refused::new("invalid_target", "`resource` is missing: name the MCP server's URL"));
    }
    let (tools, constraints) = match details {
        Some(details) => detailed(&details, gateway, &servers)?,
        None => (scoped(form, &servers, manifest, offered)?, Vec::new()),
    };
    if tools.is_empty() {
        let why = "the agent declares nothing that is on offer there";
        return Err(Refused::new("invalid_scope", why));
    }
    Ok(Wish { tools, constraints, resources })
}

fn server(gateway: &str, resource: &str) -> Result<ServerName, Refused> {
    let unknown = || Refused::new("invalid_target", "`resource` is no MCP server of the gateway");
    let name = resource.strip_prefix(gateway).and_then(|rest| rest.strip_prefix("/mcp/")).ok_or_else(unknown)?;
    ServerName::new(name).map_err(|_| unknown())
}

/// The targets that `scope` names, or all that are declared.
fn scoped(
    form: &Form,
    servers: &[ServerName],
    manifest: &Manifest,
    offered: impl Fn(&Target) -> bool,
) -> Result<Vec<String>, Refused> {
    let scopes = form.one("scope").unwrap_or_default().split(' ').filter(|scope| !scope.is_empty());
    let mut named = Vec::new();
    for scope in scopes.filter(|scope| !EMPTY_SCOPES.contains(scope)) {
        let target: Target = scope
            .parse()
            .map_err(|_| Refused::new("invalid_scope", "a scope is SERVER/TOOL, as the gateway names it"))?;
        within(servers, target.server())?;
        named.push(target.to_string());
    }
    if named.is_empty() {
        let declared = manifest.needs.iter().map(|need| &need.target);
        let here = declared.filter(|target| servers.contains(target.server()) && offered(target));
        named.extend(here.map(ToString::to_string));
    }
    Ok(named)
}

/// The targets that the details name, with their constraints.
fn detailed(details: &[Detail], gateway: &str, servers: &[ServerName]) -> Result<(Vec<String>, Vec<Where>), Refused> {
    let bad = |why: &str| Refused::new("invalid_authorization_details", why);
    let (mut tools, mut constraints) = (Vec::new(), Vec::new());
    for detail in details {
        if !detail.well_formed() {
            return Err(bad("a detail is not of type `mcp_tools`, or exceeds its limits"));
        }
        let [location] = detail.locations.as_slice() else { return Err(bad("a detail has one location")) };
        let server = server(gateway, location)?;
        within(servers, &server)?;
        let named = detail.tools.iter().map(|(tool, arguments)| (format!("{server}/{tool}"), arguments));
        let prompts = detail.prompts.iter().map(|(name, arguments)| (format!("prompt:{server}/{name}"), arguments));
        for (target, arguments) in named.chain(prompts) {
            constraints.extend(arguments.iter().map(|(argument, constraint)| Where {
                tool: Some(target.clone()),
                argument: argument.clone(),
                constraint: constraint.clone(),
            }));
            tools.push(target);
        }
        for resource in &detail.resources {
            tools.push(match resource {
                Constraint::Exact { value: Scalar::Text(uri) } => format!("resource:{server}/{uri}"),
                Constraint::Wildcard {} => format!("resource:{server}/{WILDCARD}"),
                _ => return Err(bad("a resource is one URI, or all of them")),
            });
        }
        tools.extend(detail.features.iter().map(|feature| format!("client:{server}/{}", feature.name())));
    }
    Ok((tools, constraints))
}

fn within(servers: &[ServerName], server: &ServerName) -> Result<(), Refused> {
    if servers.contains(server) {
        return Ok(());
    }
    Err(Refused::new("invalid_target", "what is asked for is of another server than `resource` names"))
}
