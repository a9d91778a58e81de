//! Authorization codes (OAuth 2.1 section 4.1.3), with the verifier of their challenge (RFC 7636).

use std::sync::Arc;

use axum::http::HeaderMap;

use super::{Given, begin};
use crate::authority::State;
use crate::form::Form;
use crate::http::refused::Refused;

pub(in crate::http) const GRANT_TYPE: &str = "authorization_code";

pub(super) fn answer(state: &Arc<State>, headers: &HeaderMap, form: &Form) -> Result<Given, Refused> {
    let code = form.one("code").ok_or_else(|| Refused::new("invalid_request", "`code` is missing"))?;
    begin::redeem(state, headers, form, code, true)
}
