//! Client credentials (RFC 6749 section 4.4): a run authenticates with its key and gets a token of what it was granted.

use axum::http::HeaderMap;

use super::{Given, details};
use crate::authority::State;
use crate::error::AuthorityError;
use crate::form::Form;
use crate::http::client::{client, possession};
use crate::http::refused::Refused;
use crate::mint::Wanted;

pub(in crate::http) const GRANT_TYPE: &str = "client_credentials";

pub(super) fn answer(state: &State, headers: &HeaderMap, form: Form) -> Result<Given, Refused> {
    let (run, jkt) = client(state, &form)?;
    let bound = possession(state, headers, &jkt)?;
    let wanted = Wanted { details: details(&form)?, resources: form.resources, bound, ..Wanted::default() };
    let minted = state.mint(&run, &wanted).map_err(AuthorityError::rejection)??;
    Ok(Given { minted, refresh: None, issued: None })
}
