//! The authorization endpoint (OAuth 2.1 section 3.1): a browser waits here until a person has answered, and goes back to
//! the client with a code.
//!
//! **Invariant:** nothing is sent to a URL that is not the client's, and an answer names its issuer (RFC 9207).

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse as _, Response};
use remit_core::hash::sha256;

use super::refused::Refused;
use super::{Shared, Source, blocking, login, page, people, person_page};
use crate::authority::State;
use crate::clients;
use crate::form::{FORM_BYTES_MAX, Form};
use crate::login::{Flow, Page};
use crate::random;

/// Length of an S256 challenge, in bytes (RFC 7636 section 4.2).
const CHALLENGE_BYTES: usize = 43;
/// Longest `state`, in bytes.
const STATE_BYTES_MAX: usize = 2_048;

/// What is said where nobody may be sent back.
struct Stays(String);

pub(super) async fn begin(state: Shared, source: Extension<Source>, RawQuery(query): RawQuery) -> Response {
    let (state, from) = (Arc::clone(&state), source.0.0);
    let query = query.unwrap_or_default();
    if query.len() > FORM_BYTES_MAX {
        return page::refusal("The request is too long.");
    }
    let Ok(form) = Form::read(query.as_bytes()) else { return page::refusal("A parameter stands there twice.") };
    let (client, redirect) = match whose(&state, &form).await {
        Ok(found) => found,
        Err(Stays(why)) => return page::refusal(&why),
    };
    let begun = blocking(move || Ok(answer(&state, &form, client, &redirect, from))).await;
    begun.unwrap_or_else(|rejection| Refused::from(rejection).into_response())
}

fn answer(state: &State, form: &Form, client: login::Client, redirect: &str, from: IpAddr) -> Response {
    let mark = form.one("state").map(str::to_owned);
    match ticket(state, form, client, redirect, from) {
        Ok(ticket) => page::away(&waits(state, &ticket)),
        Err(refused) => {
            let why = [("error", refused.error), ("error_description", refused.description.as_str())];
            back(state, redirect, mark.as_deref(), &why)
        }
    }
}

/// Where the browser waits: at the provider, where people log in at exactly one.
fn waits(state: &State, ticket: &str) -> String {
    let issuer = &state.config.issuer;
    match people::providers(state) {
        Ok(providers) if providers.len() == 1 => format!("{issuer}/people/begin?ticket={ticket}"),
        _ => format!("{issuer}/authorize/{ticket}"),
    }
}

/// The client and where its browser may be sent back to. Before both are known, nobody is sent anywhere.
async fn whose(state: &Arc<State>, form: &Form) -> Result<(login::Client, String), Stays> {
    let stays = |why: &str| Stays(why.to_owned());
    let id = form.one("client_id").ok_or_else(|| stays("`client_id` is missing."))?;
    let client = login::client(state, id).await.map_err(|refused| Stays(refused.description))?;
    let client = client
        .ok_or_else(|| stays("No agent is registered under this `client_id`, and none names it as its client."))?;
    match form.one("redirect_uri") {
        Some(uri) if clients::redirects(&client.redirects, client.loopback, uri) => Ok((client, uri.to_owned())),
        Some(_) => Err(stays("The `redirect_uri` is not one of this client's.")),
        None => Err(stays("`redirect_uri` is missing.")),
    }
}

/// Opens the login, and gives the secret name of the page that waits.
fn ticket(state: &State, form: &Form, client: login::Client, redirect: &str, from: IpAddr) -> Result<String, Refused> {
    if form.one("response_type") != Some("code") {
        return Err(Refused::new("unsupported_response_type", "`response_type` is `code`"));
    }
    let challenge = form.one("code_challenge").unwrap_or_default();
    let plain = challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if form.one("code_challenge_method") != Some("S256") || challenge.len() != CHALLENGE_BYTES || !plain {
        return Err(Refused::new("invalid_request", "a `code_challenge` of the method S256 is missing"));
    }
    let mark = form.one("state");
    if mark.is_some_and(|mark| mark.len() > STATE_BYTES_MAX) {
        return Err(Refused::new("invalid_request", "`state` is too long"));
    }
    let ticket = random::secret()?;
    let flow = Flow::Browser {
        ticket: sha256(&[ticket.as_bytes()]),
        redirect: redirect.to_owned(),
        state: mark.map(str::to_owned),
        challenge: challenge.to_owned(),
        jkt: form.one("dpop_jkt").map(str::to_owned),
    };
    login::begin(state, form, client, flow, None, from)?;
    Ok(ticket)
}

/// The page that waits.
pub(super) async fn wait(state: Shared, Path(ticket): Path<String>) -> Response {
    let now = state.config.clock.now();
    match state.logins.page(&ticket, now) {
        Ok(Page::Waiting(login)) => match people::providers(&state) {
            Ok(providers) => page::waiting(&login, &person_page::links(&providers, ("ticket", &ticket))),
            Err(error) => Refused::from(error).into_response(),
        },
        Ok(Page::Back { redirect, state: mark, code }) => {
            let denied = [("error", "access_denied")];
            match &code {
                Some(code) => back(&state, &redirect, mark.as_deref(), &[("code", code)]),
                None => back(&state, &redirect, mark.as_deref(), &denied),
            }
        }
        Ok(Page::Gone) => page::refusal("This login is over. Begin it again in the program that started it."),
        Err(error) => Refused::from(error).into_response(),
    }
}

/// Sends the browser back to the client.
fn back(state: &State, redirect: &str, mark: Option<&str>, parameters: &[(&str, &str)]) -> Response {
    page::away(&back_to(state, redirect, mark, parameters))
}

/// Where the browser goes back to.
pub(super) fn back_to(state: &State, redirect: &str, mark: Option<&str>, parameters: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(parameters);
    if let Some(mark) = mark {
        query.append_pair("state", mark);
    }
    query.append_pair("iss", &state.config.issuer);
    joined(redirect, &query.finish())
}

/// A URL with more parameters.
pub(super) fn joined(url: &str, query: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{query}")
}
