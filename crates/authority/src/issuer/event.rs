//! Security events of identity providers (RFC 8417, CAEP, RISC): a person's session was ended there, or their account; what
//! they had begun here until then ends too.
//!
//! **Invariant:** a provider speaks of its own people alone; and an event that comes again, or late, ends nothing that began
//! after it was made, so that nobody has to remember which ones came.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use remit_core::hash::unb64;
use remit_core::json::Value;
use remit_core::revoked::Kind as Revoke;

use super::assertion::{PERSON_SECONDS_MAX, Unfit};
use super::jws::Foreign;
use super::{IssuerRecord, Kind};
use crate::assertion::{JTI_BYTES_MAX, SKEW_S};
use crate::authority::State;
use crate::error::AuthorityError;

/// The media type of an event.
const TYPE: &str = "secevent+jwt";
/// Events after which nothing goes on that a person has begun.
const ENDING: [&str; 3] = [
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked",
    "https://schemas.openid.net/secevent/risc/event-type/account-disabled",
    "https://schemas.openid.net/secevent/risc/event-type/account-purged",
];

/// An event that was verified.
pub(crate) struct Event {
    issuer: IssuerRecord,
    /// When it was made, in seconds since 1970.
    made: i64,
    /// Whose session or account it ends; nothing where it is about something else.
    ended: Option<String>,
}

/// Verifies what a provider sends. The result of the database is beside that of the event.
pub(crate) async fn verify(state: &State, text: &str) -> Result<Result<Event, Unfit>, AuthorityError> {
    let (Some(token), Some(payload)) = (Foreign::parse(text), payload(text)) else { return Ok(Err(Unfit::Form)) };
    let issuer = match token.claims.text("iss") {
        Some(url) => state.core().journal.store().issuer(url)?,
        None => None,
    };
    let Some(issuer) = issuer.filter(|issuer| issuer.kind == Kind::People) else { return Ok(Err(Unfit::Issuer)) };
    let now = state.config.clock.now();
    let known = match state.keeper.get(&state.fetcher, &issuer, token.kid.as_deref(), now).await {
        Ok(known) => known,
        Err(error) => return Ok(Err(error.into())),
    };
    if !token.is_signed_by(&known.keys, &issuer) {
        return Ok(Err(Unfit::Signature));
    }
    Ok(judged(&token, &payload, issuer, &state.config.issuer, now))
}

/// The payload of a compact JWS, as text.
fn payload(text: &str) -> Option<String> {
    String::from_utf8(unb64(text.split('.').nth(1)?)?).ok()
}

/// Everything but the signature.
fn judged(token: &Foreign<'_>, payload: &str, issuer: IssuerRecord, own: &str, now: i64) -> Result<Event, Unfit> {
    let claims = &token.claims;
    if token.typ.as_deref() != Some(TYPE) {
        return Err(Unfit::Type);
    }
    if !claims.list("aud").unwrap_or_default().contains(&own) {
        return Err(Unfit::Audience);
    }
    let made = claims.time("iat").filter(|made| *made <= now.saturating_add(SKEW_S)).ok_or(Unfit::Time)?;
    if claims.text("jti").is_none_or(|jti| jti.len() > JTI_BYTES_MAX) {
        return Err(Unfit::Form);
    }
    let payload = Value::parse(payload).map_err(|_| Unfit::Form)?;
    let Some(Value::Object(events)) = payload.get("events") else { return Err(Unfit::Form) };
    let ended = if events.iter().any(|(name, _)| ENDING.contains(&name.as_ref())) {
        // Who it is about must be known, or it would be acknowledged and nothing done.
        Some(subject(&payload, &issuer).ok_or(Unfit::Subject)?)
    } else {
        None
    };
    Ok(Event { issuer, made, ended })
}

/// The provider's own subject (RFC 9493 section 3.2.4), alone or as the user of several.
fn subject(payload: &Value<'_>, issuer: &IssuerRecord) -> Option<String> {
    let id = payload.get("sub_id")?;
    let format = |id: &Value<'_>| id.get("format").and_then(Value::as_str).map(str::to_owned);
    let id = if format(id).as_deref() == Some("complex") { id.get("user")? } else { id };
    let text = |name: &str| id.get(name).and_then(Value::as_str);
    let own = format(id).as_deref() == Some("iss_sub") && text("iss") == Some(&issuer.url);
    text("sub").filter(|sub| own && !sub.is_empty()).map(str::to_owned)
}

/// Most people of whom it is remembered one by one; beyond that it is as if everybody's session had ended.
const ENDED_MAX: usize = 100_000;

/// Until when what was said of whom is void, for as long as it could still be shown. What was said before this process
/// began is void anyway.
#[derive(Default)]
pub(crate) struct Ended(Mutex<All>);

#[derive(Default)]
struct All {
    /// Of each, until when it is void, and how long that matters.
    people: HashMap<String, (i64, i64)>,
    everybody: i64,
}

impl Ended {
    fn note(&self, name: String, until: i64, now: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.people.retain(|_, (_, end)| *end > now);
        if all.people.len() >= ENDED_MAX && !all.people.contains_key(&name) {
            all.everybody = until.max(all.everybody);
            return;
        }
        let (before, end) = all.people.entry(name).or_default();
        *before = until.max(*before);
        *end = now.saturating_add(PERSON_SECONDS_MAX).saturating_add(2 * SKEW_S);
    }

    /// Whether a word of somebody's provider was said before their session ended.
    pub(crate) fn covers(&self, name: &str, made: i64) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made <= all.everybody || all.people.get(name).is_some_and(|(before, _)| made <= *before)
    }
}

impl State {
    /// Does what an event says, and says how many trees of runs it ended.
    pub(crate) fn heed(&self, event: &Event) -> Result<usize, AuthorityError> {
        let Some(sub) = &event.ended else { return Ok(0) };
        let now = self.config.clock.now();
        let name = event.issuer.subject(sub);
        // The provider's clock may be behind.
        let until = event.made.saturating_add(SKEW_S);
        // First, so that what begins while the runs are looked for sees it.
        self.ended.note(name.clone(), until, now);
        self.visits.forget_person(&name, now);
        self.logins.take_back(&name);
        let mut core = self.core();
        let Some(person) = core.journal.store().principal_named(&name)? else { return Ok(0) };
        let mut roots = core.journal.store().live_runs(now)?;
        roots.retain(|run| run.parent.is_none() && run.principal == person && run.at <= until);
        let why = format!("{} says that the session is over", event.issuer.url);
        for root in &roots {
            self.revoke_in(&mut core, Revoke::Root, root.id.as_str(), &why, &person)?;
        }
        Ok(roots.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: remember ever more people, or nobody any more where there are too many.
    #[test]
    fn where_no_session_can_be_remembered_all_are_over() {
        let ended = Ended::default();
        ended.note("ada".into(), 100, 70);
        assert!(ended.covers("ada", 100) && !ended.covers("ada", 101) && !ended.covers("bob", 100));
        for n in 1..ENDED_MAX {
            ended.0.lock().unwrap().people.insert(n.to_string(), (1, 9_999));
        }
        ended.note("bob".into(), 200, 170);
        assert_eq!(ended.0.lock().unwrap().people.len(), ENDED_MAX);
        assert!(ended.covers("bob", 200) && ended.covers("eve", 200) && !ended.covers("eve", 201));
        // Nothing that was said before can be shown any more.
        ended.note("eve".into(), 300, 10_000);
        assert_eq!(ended.0.lock().unwrap().people.len(), 1);
    }
}
