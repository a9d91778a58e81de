//! Registering servers: a deliberate menu. What a server offers is learned and pinned, and exposed only when it is named.

use std::collections::BTreeMap;

use remit_core::id::{PrincipalId, ServerName, ToolName};
use remit_core::registry::Upstream;
use remit_core::rejection::{Code, Rejection};

use crate::authority::State;
use crate::broker::setup::Prepared;
use crate::change::{Change, ServerRecord, ToolRecord};
use crate::error::AuthorityError;
use crate::learn::{Override, learn};
use crate::secrets::{alone, fitting};
use crate::socket::wire::{AddServer, Changed, Diff, Given};

/// Longest URL or program of an upstream, in bytes, and most arguments of one.
const UPSTREAM_BYTES_MAX: usize = 4_096;
const UPSTREAM_ARGS_MAX: usize = 256;

impl State {
    /// Registers a server with what it offers. `by` is the administrator.
    /// Its credentials are sealed before anything of it is on a menu.
    pub(crate) fn add_server(
        &self,
        add: &AddServer,
        given: &[Given],
        oauth: Option<Prepared>,
        by: &PrincipalId,
    ) -> Result<(), AuthorityError> {
        bounded(&add.upstream)?;
        let mut tools = learned(&add.list)?;
        let mut core = self.core();
        let before = core.journal.store().tools(&add.name)?;
        reviewed(&mut tools, &before, &add.overrides)?;
        show(&mut tools, &add.expose, true)?;
        // What a server no longer offers leaves the menu with its registration.
        for old in before {
            if !tools.iter().any(|tool| tool.name == old.name) {
                tools.push(ToolRecord { exposed: false, ..old });
            }
        }
        let at = self.config.clock.now();
        let old = core.journal.store().server(&add.name)?;
        let record = ServerRecord {
            name: add.name.clone(),
            environment: add.environment,
            owner: add.owner.clone().or(old.as_ref().and_then(|old| old.owner.clone())),
            upstream: add.upstream.clone(),
            prompts: add.prompts.clone(),
            resources: add.resources,
            features: add.features.clone(),
            at,
            by: by.to_string(),
        };
        let moves = old.is_some_and(|old| old.upstream != add.upstream);
        let stay = if moves { Vec::new() } else { core.journal.store().secrets(&add.name)? };
        let keeps = !moves && core.journal.store().oauth(&add.name)?.is_some();
        if oauth.is_some() || keeps {
            alone(&add.upstream, &stay, given)?;
        }
        fitting(&add.upstream, &stay, given)?;
        core.journal.record(&Change::Server(record.clone()))?;
        self.sweep_secrets(&core)?;
        self.seal(&mut core, &record, given, by)?;
        if let Some(prepared) = oauth {
            self.put_oauth(&mut core, prepared, by)?;
        }
        let server = add.name.clone();
        let by = by.to_string();
        core.journal.record(&Change::Tools { server, tools, at, by })?;
        Ok(())
    }

    /// A server as it is registered.
    pub(crate) fn server(&self, name: &ServerName) -> Result<(ServerRecord, Vec<ToolRecord>), AuthorityError> {
        let core = self.core();
        let store = core.journal.store();
        let server = store.server(name)?.ok_or_else(|| {
            let message = format!("no server `{name}` is registered");
            refused(Code::ServerUnknown, message, "see what is: remit server list")
        })?;
        Ok((server, store.tools(name)?))
    }

    /// What a server offers now against what was reviewed.
    pub(crate) fn diff(&self, name: &ServerName, list: &str) -> Result<Diff, AuthorityError> {
        let (_, reviewed) = self.server(name)?;
        let now = learned(list)?;
        let mut diff = Diff::default();
        for tool in &now {
            match reviewed.iter().find(|old| old.name == tool.name) {
                None => diff.added.push(tool.name.clone()),
                Some(old) if old.pin != tool.pin => diff.changed.push(Changed {
                    tool: tool.name.clone(),
                    reviewed: old.definition.clone(),
                    now: tool.definition.clone(),
                }),
                Some(_) => {}
            }
        }
        let gone = reviewed.iter().filter(|old| !now.iter().any(|tool| tool.name == old.name));
        diff.removed = gone.map(|old| old.name.clone()).collect();
        Ok(diff)
    }

    /// Accepts what the named tools are now. Whether they are exposed stays as it is.
    pub(crate) fn accept(
        &self,
        name: &ServerName,
        list: &str,
        accepted: &[ToolName],
        overrides: &BTreeMap<String, Override>,
        by: &PrincipalId,
    ) -> Result<(), AuthorityError> {
        let (_, before) = self.server(name)?;
        let mut tools = learned(list)?;
        show(&mut tools, accepted, true)?;
        tools.retain(|tool| accepted.contains(&tool.name));
        for tool in &mut tools {
            let old = before.iter().find(|old| old.name == tool.name);
            tool.exposed = old.is_some_and(|old| old.exposed);
        }
        reviewed(&mut tools, &before, overrides)?;
        self.put_tools(name, tools, by)
    }

    /// Puts tools on the menu, or takes them from it.
    pub(crate) fn menu(
        &self,
        name: &ServerName,
        expose: &[ToolName],
        hide: &[ToolName],
        by: &PrincipalId,
    ) -> Result<(), AuthorityError> {
        let (_, mut tools) = self.server(name)?;
        show(&mut tools, expose, true)?;
        show(&mut tools, hide, false)?;
        self.put_tools(name, tools, by)
    }

    fn put_tools(&self, name: &ServerName, tools: Vec<ToolRecord>, by: &PrincipalId) -> Result<(), AuthorityError> {
        self.core().journal.record(&Change::Tools {
            server: name.clone(),
            tools,
            at: self.config.clock.now(),
            by: by.to_string(),
        })?;
        Ok(())
    }
}

fn learned(list: &str) -> Result<Vec<ToolRecord>, AuthorityError> {
    learn(list).map_err(|error| {
        let help = "see what the server answers to tools/list";
        refused(Code::UpstreamInvalid, error.to_string(), help)
    })
}

/// The words of the earlier review, then those of this one: what a server says of itself takes neither back.
fn reviewed(
    tools: &mut [ToolRecord],
    before: &[ToolRecord],
    overrides: &BTreeMap<String, Override>,
) -> Result<(), AuthorityError> {
    for tool in tools.iter_mut() {
        let old = before.iter().find(|old| old.name == tool.name);
        if let Some(words) = old.and_then(|old| old.review.as_ref()) {
            words.apply(tool);
        }
    }
    for (name, words) in overrides {
        let tool = tools.iter_mut().find(|tool| tool.name.as_str() == name);
        words.apply(tool.ok_or_else(|| not_offered(name))?);
    }
    Ok(())
}

fn show(tools: &mut [ToolRecord], named: &[ToolName], exposed: bool) -> Result<(), AuthorityError> {
    for name in named {
        let tool = tools.iter_mut().find(|tool| tool.name == *name);
        tool.ok_or_else(|| not_offered(name.as_str()))?.exposed = exposed;
    }
    Ok(())
}

fn not_offered(name: &str) -> AuthorityError {
    let message = format!("the server offers no tool `{name}`");
    refused(Code::Unknown, message, "see what it offers: remit server show SERVER")
}

fn bounded(upstream: &Upstream) -> Result<(), AuthorityError> {
    let fits = match upstream {
        Upstream::Http { url } => {
            url.len() <= UPSTREAM_BYTES_MAX && (url.starts_with("https://") || url.starts_with("http://"))
        }
        Upstream::Stdio { command, args } => {
            !command.is_empty()
                && args.len() <= UPSTREAM_ARGS_MAX
                && std::iter::once(command).chain(args).all(|part| part.len() <= UPSTREAM_BYTES_MAX)
        }
    };
    if fits {
        return Ok(());
    }
    let message = "the upstream is neither an http(s) URL nor a command, or is too long";
    Err(refused(Code::RequestInvalid, message.into(), "remit server add --help"))
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
