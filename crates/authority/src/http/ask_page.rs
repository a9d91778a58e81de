//! The page on which an approver whom an identity provider knows answers an ask: all that the word is about, and its digest.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use remit_core::rejection::Rejection;

use super::page::{page, text};
use super::people::ANSWER;
use super::person_page::with_form;
use crate::asks::record::{AskShown, AskState};
use crate::asks::with_people;
use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::Form;
use crate::grant::typed;
use crate::issuer::visit::Person;
use crate::socket::wire::Word;

/// The ask that waits under this code.
pub(super) fn waiting(state: &State, typed: &str) -> Result<Option<AskShown>, AuthorityError> {
    let ask = state.ask_named(typed)?.filter(|ask| ask.state == AskState::Open && ask.until > state.config.clock.now());
    let core = state.core();
    ask.map(|ask| with_people(core.journal.store(), ask)).transpose()
}

/// What an approver is asked.
pub(super) fn ask(person: &Person, shown: &AskShown, secret: &str) -> Response {
    with_form(page(StatusCode::OK, None, "Allow it?", &question(person, shown, secret, None)))
}

/// An approver's word: on what the page showed, and nothing else.
pub(super) fn word(
    state: &Arc<State>,
    person: &Person,
    (shown, secret): (&AskShown, &str),
    form: &Form,
) -> Result<Option<Response>, AuthorityError> {
    let allow = match form.one("word") {
        Some("allow") => true,
        Some("deny") => false,
        _ => return Ok(None),
    };
    let by = state.meet(&mut state.core(), &person.who)?;
    let (why, digest) =
        (form.one("why").unwrap_or_default().to_owned(), form.one("digest").unwrap_or_default().to_owned());
    let word = Word { id: shown.ask.id.clone(), allow, why, duration: String::new(), digest: Some(digest) };
    match state.answer_ask(&shown.ask.id, &word, &by) {
        Ok(_answered) => {
            let what = if allow { "was allowed, once" } else { "was denied" };
            let body = format!("<h1>{} {what}</h1>", text(&shown.ask.id));
            Ok(Some(page(StatusCode::OK, None, "Done", &body)))
        }
        // What stands in the way is said, and asked again.
        Err(AuthorityError::Refused(rejection)) => {
            let body = question(person, shown, secret, Some(&rejection));
            Ok(Some(with_form(page(StatusCode::BAD_REQUEST, None, "Allow it?", &body))))
        }
        Err(error) => Err(error),
    }
}

fn question(person: &Person, shown: &AskShown, secret: &str, refused: Option<&Rejection>) -> String {
    let ask = &shown.ask;
    let item = |word: &String| format!("<li><code>{}</code></li>", text(word));
    let tools: Vec<String> = typed::named(&ask.details).iter().map(item).collect();
    let limits = match typed::wheres(&ask.details) {
        Some(wheres) if wheres.is_empty() => "<p>With any arguments.</p>".to_owned(),
        Some(wheres) => format!("<p>Where:</p><ul>{}</ul>", wheres.iter().map(item).collect::<Vec<_>>().concat()),
        None => format!("<p>Within:</p><pre>{}</pre>", text(&serde_json::to_string(&ask.details).unwrap_or_default())),
    };
    let whose = ask.run.as_ref().map_or_else(|| "A new run".to_owned(), |(run, _)| format!("The run {run}"));
    let words = if ask.run.is_some() { ", in the run's own words" } else { "" };
    let why = refused.map_or_else(String::new, |refused| format!("<p><strong>{}</strong></p>", text(&refused.message)));
    format!(
        "<h1>{agent} asks for more</h1>{why}<p>You are <strong>{name}</strong>. {role} answers this.</p>\
         <p>{whose}, asked for by <strong>{asker}</strong>, for {time}, once:</p><ul>{tools}</ul>{limits}\
         <p>Because <q>{reason}</q>{words}. {beyond}.</p><p>Digest <code>{digest}</code></p>\
         <form method=\"post\" action=\"{ANSWER}\"><input type=\"hidden\" name=\"form\" value=\"{secret}\">\
         <input type=\"hidden\" name=\"digest\" value=\"{digest}\">\
         <p><label>Why: <input name=\"why\" size=\"40\" autocomplete=\"off\"></label></p>\
         <p><button name=\"word\" value=\"allow\">Allow</button> <button name=\"word\" value=\"deny\">Deny</button></p></form>",
        agent = text(&ask.agent.short()),
        name = text(person.who.shown.as_deref().unwrap_or(&person.who.name)),
        role = text(&ask.role.to_string()),
        whose = text(&whose),
        asker = text(&shown.asker),
        time = typed::duration(ask.seconds),
        tools = tools.concat(),
        reason = text(&ask.asked.why),
        beyond = text(&ask.beyond),
        digest = text(&ask.digest),
        secret = text(secret),
    )
}
