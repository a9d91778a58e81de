//! Whether what is asked for exists: to declare in a manifest what nobody offers would help nobody.
//!
//! **Invariant:** from inside a run nobody is told what else is registered; there only the arguments of what was granted
//! are looked at.

use remit_core::arguments::Declared;
use remit_core::rejection::{Code, Rejection};
use remit_core::target::Target;

use crate::change::ToolRecord;
use crate::error::AuthorityError;
use crate::grant::{Asked, Where};
use crate::store::Store;

/// Servers and tools that are asked for from outside every run. What is no target at all is refused elsewhere.
pub(crate) fn registered(store: &Store, asked: &Asked) -> Result<(), AuthorityError> {
    for target in targets(asked) {
        let server = target.server();
        if store.server(server)?.is_none() {
            let message = format!("no server `{server}` is registered");
            return Err(refused(Code::ServerUnknown, message, "see what is: remit server list".into()));
        }
        if let Target::Tool(_, Some(name)) = &target
            && !store.tools(server)?.iter().any(|tool| tool.name == *name)
        {
            let message = format!("the server `{server}` has no tool `{name}`");
            return Err(refused(Code::Unknown, message, format!("see what it has: remit server show {server}")));
        }
    }
    Ok(())
}

/// Constrained arguments of tools that were granted: one that the reviewed schema does not have would leave a grant
/// under which every call is refused.
pub(crate) fn arguments(store: &Store, asked: &Asked) -> Result<(), AuthorityError> {
    if asked.constraints.is_empty() {
        return Ok(());
    }
    for target in targets(asked) {
        let Target::Tool(server, Some(name)) = &target else { continue };
        let full = target.to_string();
        let tools = store.tools(server)?;
        if let Some(tool) = tools.iter().find(|tool| tool.name == *name) {
            let meant = asked.constraints.iter().filter(|entry| entry.tool.as_ref().is_none_or(|meant| *meant == full));
            declared(&full, tool, meant)?;
        }
    }
    Ok(())
}

fn declared<'a>(
    full: &str,
    tool: &ToolRecord,
    mut meant: impl Iterator<Item = &'a Where>,
) -> Result<(), AuthorityError> {
    let schema = Declared::read(&tool.input);
    let unknown = meant.find(|entry| !schema.open && !schema.types.contains_key(&entry.argument));
    let Some(entry) = unknown else { return Ok(()) };
    let names: Vec<&str> = schema.types.keys().map(String::as_str).collect();
    let help = match names.as_slice() {
        [] => "it has none: leave out --where".to_owned(),
        names => format!("name one of its own, {}; or one tool alone: --where SERVER/TOOL:ARG=VALUE", names.join(", ")),
    };
    Err(refused(Code::RequestInvalid, format!("`{full}` has no argument `{}`", entry.argument), help))
}

fn targets(asked: &Asked) -> impl Iterator<Item = Target> {
    asked.tools.iter().filter_map(|text| text.parse().ok())
}

fn refused(code: Code, message: String, help: String) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
