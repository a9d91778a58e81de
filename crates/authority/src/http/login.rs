//! What the two ways to begin a login have in common: the client, what it asks for, and what it gets in the end.

use std::net::IpAddr;
use std::sync::Arc;

use remit_core::hash::Digest;
use remit_core::target::Target;

use super::blocking;
use super::refused::Refused;
use super::token::details;
use super::wish;
use crate::authority::{Core, State};
use crate::change::AgentRecord;
use crate::clients;
use crate::error::AuthorityError;
use crate::form::Form;
use crate::login::{Flow, LOGIN_SECONDS, Login, Stage};
use crate::request::offers;

/// A client that may ask to act as an agent.
pub(super) struct Client {
    /// As it names itself.
    pub(super) id: String,
    /// The agent.
    pub(super) agent: AgentRecord,
    /// Where its browser may be sent back to.
    pub(super) redirects: Vec<String>,
    /// Whether any program on the person's own machine may be it.
    pub(super) loopback: bool,
}

/// The client of this name; nothing where there is none. A program that has a metadata document is sent back to where
/// that says.
pub(super) async fn client(state: &Arc<State>, id: &str) -> Result<Option<Client>, Refused> {
    let (shared, name) = (Arc::clone(state), id.to_owned());
    let found = blocking(move || clients::agent(shared.core().journal.store(), &name)).await?;
    let Some(agent) = found else { return Ok(None) };
    let id = id.to_owned();
    if !clients::is_url(&id) {
        let redirects = agent.manifest.agent.redirect_uris.clone();
        return Ok(Some(Client { id, agent, redirects, loopback: true }));
    }
    let now = state.config.clock.now();
    let document = state.documents.get(&state.fetcher, &id, now).await;
    let redirects = document.map_err(|error| Refused::new("invalid_client", &error.to_string()))?.redirect_uris;
    Ok(Some(Client { id, agent, redirects, loopback: false }))
}

/// Opens a login, and says what a person types to answer it.
pub(super) fn begin(
    state: &State,
    form: &Form,
    client: Client,
    flow: Flow,
    code: Option<Digest>,
    source: IpAddr,
) -> Result<String, Refused> {
    let details = details(form)?;
    let wish = {
        let kept = state.core();
        let on_offer = offered(&kept)?;
        wish::read(form, details, &client.agent.manifest, &state.config.gateway, on_offer)?
    };
    let now = state.config.clock.now();
    let login = Login {
        client: client.id,
        agent: client.agent.id,
        tools: wish.tools,
        constraints: wish.constraints,
        resources: wish.resources,
        flow,
        source,
        until: now.saturating_add(LOGIN_SECONDS),
        code,
        stage: Stage::Asked,
    };
    let begun = state.logins.begin(login, now)?;
    begun.map_err(|_| Refused::new("temporarily_unavailable", "too many logins are open; answer one: remit approvals"))
}

/// Whether a target is on the menu of its server.
pub(super) fn offered(core: &Core) -> Result<impl Fn(&Target) -> bool, AuthorityError> {
    let offers = offers(core.journal.store())?;
    Ok(move |target: &Target| offers.get(target.server()).is_some_and(|offer| offer.has(target)))
}
