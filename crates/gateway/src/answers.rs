//! Answers of a client to what a server asked, as a call of their own (legacy) or on the way of the call that is made
//! again (2026-07-28). Where nothing was asked, nothing is answered.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use remit_core::call::Action;
use remit_core::claims::Claims;
use remit_core::feature::Feature;
use remit_core::id::ServerName;
use remit_core::json::members;
use serde_json::value::RawValue;

use crate::mcp::McpError;
use crate::mcp::envelope::{Envelope, Outcome, Response};
use crate::mcp::params::Params;
use crate::mcp::splice::{range_in, splice};
use crate::questions::Questions;
use crate::sessions::Sessions;

/// What answers are held against.
pub struct Answering<'a> {
    /// Who holds the token of the request.
    pub holder: &'a Claims,
    /// Questions that wait.
    pub questions: &'a Questions,
    /// What opens the state of a call.
    pub sessions: &'a Sessions,
}

/// An answer with the id by which its server knows the question: its bytes, where the answer stands in them, and the
/// feature that it answers.
pub fn answer(
    response: &Response<'_>,
    body: &Bytes,
    server: &ServerName,
    by: &Answering<'_>,
) -> Result<(Bytes, Range<usize>, Feature), McpError> {
    const NOBODY: McpError = McpError::Shape("it answers nothing that this run was asked");
    let id = response.id.as_ref().ok_or(NOBODY)?;
    let text = std::str::from_utf8(body).map_err(|_| McpError::NotUtf8)?;
    let seen: String = serde_json::from_str(id.raw()).map_err(|_| NOBODY)?;
    let question = by.questions.take(&by.holder.run, server, &seen).ok_or(NOBODY)?;
    let edits = range_in(text, id.raw()).map(|range| vec![(range, question.id.as_str())]);
    let text = edits.and_then(|edits| splice(text, edits)).ok_or(NOBODY)?;
    let Ok(Envelope::Response(response)) = Envelope::parse(text.as_bytes()) else { return Err(NOBODY) };
    let (Outcome::Result(said) | Outcome::Error(said)) = response.outcome;
    let range = range_in(&text, said.get()).ok_or(NOBODY)?;
    Ok((Bytes::from(text), range, question.feature))
}

/// The request as its server knows it, with its own state; and the features by which it asked what is answered.
pub fn resumed(
    params: &Params<'_>,
    body: &Bytes,
    (server, action): (&ServerName, &Action),
    by: &Answering<'_>,
) -> Result<(Bytes, BTreeSet<Feature>), McpError> {
    const FOREIGN: McpError = McpError::Params("`requestState` was not given to this run for this request");
    let text = std::str::from_utf8(body).map_err(|_| McpError::NotUtf8)?;
    let sealed = params.request_state.as_deref().ok_or(FOREIGN)?;
    let state = by.sessions.open_state(&by.holder.run, server, action, sealed).ok_or(FOREIGN)?;
    let raw = params.raw.ok_or(FOREIGN)?;
    let mut features = BTreeSet::new();
    if let Some(responses) = params.input_responses {
        for (id, _) in members(responses)? {
            let asked = state.features.get(id.as_ref());
            features.insert(*asked.ok_or(McpError::Params("`inputResponses` answers what was not asked"))?);
        }
    }
    let rest = without_state(raw, state.upstream.as_deref())?;
    let edits = range_in(text, raw.get()).map(|range| vec![(range, rest.as_str())]);
    let text = edits.and_then(|edits| splice(text, edits)).ok_or(FOREIGN)?;
    Ok((Bytes::from(text), features))
}

/// The parameters with the server's own state, if it gave one, in the place of the sealed one.
fn without_state(params: &RawValue, own: Option<&str>) -> Result<String, McpError> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let one = |(name, raw): (std::borrow::Cow<'_, str>, &RawValue)| match (&*name, own) {
        ("requestState", None) => None,
        ("requestState", Some(own)) => Some(format!("{}:{}", quoted(&name), quoted(own))),
        _ => Some(format!("{}:{}", quoted(&name), raw.get())),
    };
    let kept: Vec<String> = members(params)?.into_iter().filter_map(one).collect();
    Ok(format!("{{{}}}", kept.join(",")))
}
