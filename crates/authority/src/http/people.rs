//! People in a browser: from the page of a login to their identity provider, back, and to their word (`OpenID` Connect Core 3.1,
//! RFC 9700).
//!
//! **Invariant:** a word is taken only from the browser that was sent to the provider and came back with its answer, by a form
//! that this page gave it; and the code goes to that browser alone.

use std::sync::Arc;

use axum::extract::{RawForm, RawQuery};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use remit_core::hash::{b64, sha256};

use super::authorize::joined;
use super::refused::Refused;
use super::{Shared, ask_page, blocking, page, person_page};
use crate::asks::record::AskShown;
use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::Form;
use crate::issuer::signed_in::{self, NotKnown};
use crate::issuer::visit::Departure;
use crate::issuer::{IssuerRecord, RelyingParty};
use crate::login::{Here, LOGIN_SECONDS, LoginShown};
use crate::socket::wire::Word;

/// A page that is answered where a word is not taken.
struct Stops(Box<Response>);

impl From<Response> for Stops {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

/// What a person is asked about.
enum About {
    /// A client's login.
    Login(Box<LoginShown>),
    /// More scope than policy grants.
    Scope(Box<AskShown>),
}

impl About {
    fn id(&self) -> &str {
        match self {
            Self::Login(login) => &login.id,
            Self::Scope(shown) => &shown.ask.id,
        }
    }

    fn says(&self) -> String {
        match self {
            Self::Login(login) => format!("{} wants to act for you", login.agent.short()),
            Self::Scope(shown) => format!("{} asks for more", shown.ask.agent.short()),
        }
    }
}

/// What waits for a word under this code.
fn about(state: &State, code: &str) -> Result<Option<About>, AuthorityError> {
    match state.logins.find(code, state.config.clock.now()) {
        Some(login) => Ok(Some(About::Login(Box::new(login)))),
        None => Ok(ask_page::waiting(state, code)?.map(|shown| About::Scope(Box::new(shown)))),
    }
}

/// Where a word is sent: the one place to which a page of this authority sends anything.
pub(super) const ANSWER: &str = "/people/login";
const OVER: &str =
    "This login is over, or this browser did not begin it. Begin it again in the program that started it.";

/// Providers where people log in.
pub(super) fn providers(state: &State) -> Result<Vec<IssuerRecord>, AuthorityError> {
    let mut issuers = state.core().journal.store().issuers()?;
    issuers.retain(|issuer| issuer.client.is_some());
    Ok(issuers)
}

/// Sends the browser to the provider.
pub(super) async fn begin(state: Shared, RawQuery(query): RawQuery) -> Response {
    let begun = depart(&state, query.unwrap_or_default().as_bytes()).await;
    begun.unwrap_or_else(|why| why)
}

async fn depart(state: &Arc<State>, query: &[u8]) -> Result<Response, Response> {
    let form = Form::read(query).map_err(|error| page::refusal(&error.to_string()))?;
    let now = state.config.clock.now();
    let login = match (form.one("ticket"), form.one("user_code")) {
        (Some(ticket), None) => state.logins.of_ticket(ticket, now).map(|login| About::Login(Box::new(login))),
        (None, Some(code)) => state.visits.guess(now, || about(state, code).transpose()).transpose().map_err(broken)?,
        _ => None,
    };
    let login = login.ok_or_else(|| page::refusal(OVER))?;
    let mut issuers = providers(state).map_err(broken)?;
    match form.one("issuer") {
        Some(url) => issuers.retain(|issuer| issuer.url == url),
        // A person chooses, where there is a choice.
        None if issuers.len() > 1 => return Ok(person_page::choice(&login.says(), &issuers, &form)),
        None => {}
    }
    let issuer = issuers.into_iter().next().ok_or_else(|| page::refusal("Nobody logs in there."))?;
    let known = signed_in::provider(state, &issuer, None).await.map_err(|error| page::refusal(&error.to_string()))?;
    let endpoint = known.provider.as_ref().and_then(|provider| provider.authorization.as_deref());
    // It is the person's browser that goes there, and it is sent only where the provider itself may be.
    let endpoint = endpoint.filter(|url| state.fetcher.allows(url));
    let endpoint = endpoint.ok_or_else(|| page::refusal("The identity provider says nowhere where people log in."))?;
    let departure = state.visits.depart(login.id(), &issuer.url, now).map_err(broken)?;
    let departure = departure.ok_or_else(|| page::refusal("Too many people are logging in. Try again in a minute."))?;
    let client = issuer.client.as_ref().ok_or_else(|| page::refusal("Nobody logs in there."))?;
    let mut response = page::away(&joined(endpoint, &request(state, client, &departure)));
    keep(state, &mut response, &departure.cookie);
    Ok(response)
}

/// What the provider is asked.
fn request(state: &State, client: &RelyingParty, departure: &Departure) -> String {
    let scopes: Vec<&str> = ["openid"].into_iter().chain(client.scopes.iter().map(String::as_str)).collect();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs([
        ("response_type", "code"),
        ("client_id", &client.client_id),
        ("redirect_uri", &signed_in::callback(state)),
        ("scope", &scopes.join(" ")),
        ("state", &departure.state),
        ("nonce", &departure.nonce),
        ("code_challenge", &b64(&sha256(&[departure.verifier.as_bytes()]))),
        ("code_challenge_method", "S256"),
    ]);
    query.finish()
}

/// The browser comes back from the provider.
pub(super) async fn callback(state: Shared, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let arrived = arrive(&state, &headers, query.unwrap_or_default().as_bytes()).await;
    arrived.unwrap_or_else(|why| why)
}

async fn arrive(state: &Arc<State>, headers: &HeaderMap, query: &[u8]) -> Result<Response, Response> {
    let form = Form::read(query).map_err(|error| page::refusal(&error.to_string()))?;
    let now = state.config.clock.now();
    let cookie = cookie(state, headers).ok_or_else(|| page::refusal(OVER))?;
    let sent = form.one("state").unwrap_or_default();
    let arrival = state.visits.arrive(&cookie, sent, now).ok_or_else(|| page::refusal(OVER))?;
    let issuers = providers(state).map_err(broken)?;
    let issuer = issuers.into_iter().find(|issuer| issuer.url == arrival.issuer);
    let issuer = issuer.ok_or_else(|| page::refusal(OVER))?;
    let named = form.one("iss");
    let known = signed_in::provider(state, &issuer, None).await;
    let names_itself = known.is_ok_and(|known| known.provider.as_ref().is_some_and(|provider| provider.names_itself));
    // RFC 9207: an answer of another provider is no answer of this one.
    if named.is_some_and(|named| named != issuer.url) || (named.is_none() && names_itself) {
        let other = NotKnown::Provider("the answer is of another one".into());
        return Err(refuse(state, &issuer, &other).await);
    }
    let Some(code) = form.one("code") else {
        return Err(page::refusal("The identity provider says no. Begin again in the program that started this."));
    };
    let person = signed_in::person(state, &issuer, code, &arrival).await.map_err(broken)?;
    match person {
        Ok(person) => {
            let mark = state.visits.know(&cookie, person, now).map_err(broken)?.ok_or_else(|| page::refusal(OVER))?;
            Ok(page::away(&format!("{}{ANSWER}?v={mark}", state.config.issuer)))
        }
        Err(error) => Err(refuse(state, &issuer, &error).await),
    }
}

/// Records that somebody is not known, and says so.
async fn refuse(state: &Arc<State>, issuer: &IssuerRecord, why: &NotKnown) -> Response {
    let (shared, name, message, url) = (Arc::clone(state), why.name(), why.to_string(), issuer.url.clone());
    let recorded = blocking(move || shared.refuse("person", name, &message, Some(&url))).await;
    match recorded {
        Ok(()) => page::refusal(&format!("It is not known who you are: {why}.")),
        Err(rejection) => Refused::from(rejection).into_response(),
    }
}

/// The page on which a person answers.
pub(super) async fn ask(state: Shared, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let now = state.config.clock.now();
    let query = Form::read(query.unwrap_or_default().as_bytes()).ok();
    let mark = query.as_ref().and_then(|query| query.one("v")).unwrap_or_default();
    let found = cookie(&state, &headers).and_then(|cookie| state.visits.person(&cookie, mark, now));
    let Some((id, person)) = found else { return page::refusal(OVER) };
    let login = match about(&state, &id) {
        Ok(Some(About::Login(login))) => login,
        Ok(Some(About::Scope(shown))) => return ask_page::ask(&person, &shown, mark),
        Ok(None) => return page::refusal(OVER),
        Err(error) => return broken(error),
    };
    if !person.standing.may_use(&login.agent.team) {
        return person_page::not_of_the_team(&person.who, &login);
    }
    person_page::ask(&person, &login, mark)
}

/// A person's word.
pub(super) async fn answer(state: Shared, headers: HeaderMap, RawForm(form): RawForm) -> Response {
    let state = Arc::clone(&state);
    let answered = blocking(move || Ok(word(&state, &headers, &form))).await;
    answered.map_or_else(
        |rejection| Refused::from(rejection).into_response(),
        |answered| answered.unwrap_or_else(|Stops(why)| *why),
    )
}

fn word(state: &Arc<State>, headers: &HeaderMap, form: &[u8]) -> Result<Response, Stops> {
    // A browser says which page sends a form; no other page may.
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    if origin != Some(&state.config.issuer) {
        return Err(StatusCode::FORBIDDEN.into_response().into());
    }
    let now = state.config.clock.now();
    let over = || page::refusal(OVER);
    let cookie = cookie(state, headers).ok_or_else(over)?;
    let form = Form::read(form).map_err(|error| page::refusal(&error.to_string()))?;
    let own = form.one("form").unwrap_or_default();
    let (id, person) = state.visits.person(&cookie, own, now).ok_or_else(over)?;
    let login = match about(state, &id).map_err(broken)?.ok_or_else(over)? {
        About::Login(login) => login,
        About::Scope(shown) => {
            let answered = ask_page::word(state, &person, (&shown, own), &form).map_err(broken)?;
            return Ok(answered.unwrap_or_else(|| ask_page::ask(&person, &shown, own)));
        }
    };
    let allow = match form.one("word") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Err(person_page::ask(&person, &login, own).into()),
    };
    if allow && !person.standing.may_use(&login.agent.team) {
        return Err(person_page::not_of_the_team(&person.who, &login).into());
    }
    let by = state.meet(&mut state.core(), &person.who).map_err(broken)?;
    let why = form.one("why").unwrap_or_default().to_owned();
    let word = Word { id, allow, why, duration: form.one("for").unwrap_or_default().to_owned(), digest: None };
    let (_, here) = match state.answer_here(&word, &person.who.name, &by) {
        Ok(answered) => answered,
        // What stands in the way is for the person to mend: the page says it, and asks again.
        Err(AuthorityError::Refused(rejection)) => {
            return Err(person_page::again(&person, &login, own, &rejection).into());
        }
        Err(error) => return Err(broken(error).into()),
    };
    state.visits.end(&cookie, now);
    Ok(came_of(state, &login, allow, here))
}

/// Where the browser goes from here. Not as the answer to a form: what a form may lead to is this page alone.
fn came_of(state: &State, login: &LoginShown, allow: bool, here: Here) -> Response {
    let mut response = match here {
        Here::Elsewhere => person_page::done(login, allow, None),
        Here::Back { redirect, state: mark, code } => {
            let parameters = code.as_ref().map_or(("error", "access_denied"), |code| ("code", code.as_str()));
            let back = super::authorize::back_to(state, &redirect, mark.as_deref(), &[parameters]);
            person_page::done(login, allow, Some(&back))
        }
    };
    keep(state, &mut response, "");
    response
}

fn broken(error: AuthorityError) -> Response {
    Refused::from(error).into_response()
}

/// Whether browsers reach the authority over TLS alone.
fn is_secure(state: &State) -> bool {
    state.config.issuer.starts_with("https://")
}

/// No page of another host can set a cookie of the first name.
fn cookie_name(state: &State) -> &'static str {
    if is_secure(state) { "__Host-remit-login" } else { "remit-login" }
}

/// Lets the browser keep a secret, or forget it where that is empty.
fn keep(state: &State, response: &mut Response, secret: &str) {
    let secure = if is_secure(state) { "; Secure" } else { "" };
    let seconds = if secret.is_empty() { 0 } else { LOGIN_SECONDS };
    let name = cookie_name(state);
    // Lax: the provider's page sends the browser back here, and the cookie comes along.
    let text = format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    if let Ok(mut value) = HeaderValue::from_str(&text) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// The secret that the browser keeps; nothing where it sends two.
fn cookie(state: &State, headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|text| text.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut own = pairs.filter(|(name, _)| *name == cookie_name(state)).map(|(_, value)| value.to_owned());
    let first = own.next().filter(|value| !value.is_empty());
    if own.next().is_some() { None } else { first }
}
