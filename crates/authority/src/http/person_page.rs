//! The pages for people whom an identity provider knows. They hold no script and load nothing; the one form sends to this
//! authority alone.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use remit_core::rejection::Rejection;

use super::page::{page, text};
use super::people::ANSWER;
use crate::form::Form;
use crate::issuer::IssuerRecord;
use crate::issuer::person::Who;
use crate::issuer::visit::Person;
use crate::login::LoginShown;

/// As of the other pages, but for where the form goes.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/// Where a person can log in. The names of issuers were registered with the PIN.
pub(super) fn links(issuers: &[IssuerRecord], from: (&str, &str)) -> String {
    let link = |issuer: &IssuerRecord| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(from.0, from.1).append_pair("issuer", &issuer.url);
        format!("<li><a href=\"/people/begin?{}\">{}</a></li>", text(&query.finish()), text(&issuer.url))
    };
    let links: Vec<String> = issuers.iter().map(link).collect();
    if links.is_empty() { String::new() } else { format!("<p>Log in to answer:</p><ul>{}</ul>", links.concat()) }
}

/// Where there is a choice.
pub(super) fn choice(what: &str, issuers: &[IssuerRecord], form: &Form) -> Response {
    let from = ["ticket", "user_code"].into_iter().find_map(|name| Some((name, form.one(name)?)));
    let body = format!("<h1>{}</h1>{}", text(what), links(issuers, from.unwrap_or_default()));
    page(StatusCode::OK, None, "Log in", &body)
}

/// Where a device sends a person.
pub(super) fn device() -> Response {
    let body = "<h1>Connect a device</h1><p>Type the code that the device shows. Go on only if it is a device of yours, and you \
                started this.</p><form method=\"get\" action=\"/people/begin\"><input name=\"user_code\" autocomplete=\"off\" \
                autofocus required> <button>Go on</button></form>";
    with_form(page(StatusCode::OK, None, "Connect a device", body))
}

/// What a person is asked.
pub(super) fn ask(person: &Person, login: &LoginShown, secret: &str) -> Response {
    with_form(page(StatusCode::OK, None, "Allow it?", &question(person, login, secret, "")))
}

/// The same, after something stood in the way.
pub(super) fn again(person: &Person, login: &LoginShown, secret: &str, rejection: &Rejection) -> Response {
    let why = format!("<p><strong>{}</strong></p>", text(&rejection.message));
    with_form(page(StatusCode::BAD_REQUEST, None, "Allow it?", &question(person, login, secret, &why)))
}

fn question(person: &Person, login: &LoginShown, secret: &str, why: &str) -> String {
    let tools: Vec<String> = login.tools.iter().map(|tool| format!("<li><code>{}</code></li>", text(tool))).collect();
    let back = match &login.redirect {
        Some(redirect) => format!("<p>You will be sent to <code>{}</code>.</p>", text(redirect)),
        None => {
            format!("<p>The device shows <code>{}</code>. If it shows something else, say no.</p>", text(&login.id))
        }
    };
    let role = if person.standing.approver { ", as an approver" } else { "" };
    format!(
        "<h1>{agent} wants to act for you</h1>{why}<p>You are <strong>{name}</strong>{role}.</p>\
         <p>The program <code>{client}</code> asks for:</p><ul>{tools}</ul>{back}\
         <form method=\"post\" action=\"{ANSWER}\"><input type=\"hidden\" name=\"form\" value=\"{secret}\">\
         <p><label>Why: <input name=\"why\" size=\"40\" autocomplete=\"off\"></label></p>\
         <p><button name=\"word\" value=\"allow\">Allow</button> <button name=\"word\" value=\"deny\">Deny</button></p></form>",
        agent = text(&login.agent.short()),
        name = text(person.who.shown.as_deref().unwrap_or(&person.who.name)),
        client = text(&login.client),
        tools = tools.concat(),
        secret = text(secret),
    )
}

/// Why somebody is asked nothing.
pub(super) fn not_of_the_team(who: &Who, login: &LoginShown) -> Response {
    let body = format!(
        "<h1>This is not for you to allow</h1><p>You are <strong>{}</strong>, and none of your groups stands for the team \
         <code>{}</code>, whose agent this is. Ask whoever registered your identity provider.</p>",
        text(who.shown.as_deref().unwrap_or(&who.name)),
        text(login.agent.team.as_str()),
    );
    page(StatusCode::FORBIDDEN, None, "Not for you", &body)
}

/// What came of it. Where a program waits, the browser goes there by itself.
pub(super) fn done(login: &LoginShown, allowed: bool, back: Option<&str>) -> Response {
    let what = if allowed { "may act for you now" } else { "gets nothing" };
    let on = match back {
        Some(url) => {
            format!("<meta http-equiv=\"refresh\" content=\"0;url={0}\"><p><a href=\"{0}\">Go on</a></p>", text(url))
        }
        None => "<p>Go back to the device.</p>".into(),
    };
    page(StatusCode::OK, None, "Done", &format!("<h1>{} {what}</h1>{on}", text(&login.agent.short())))
}

/// A form may be sent here, and the browser says from where: without that nobody could tell it from another page's.
pub(super) fn with_form(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
