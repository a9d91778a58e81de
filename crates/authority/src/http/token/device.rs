//! Device codes (RFC 8628 section 3.4): a program without a browser asks until a person has answered.

use std::sync::Arc;

use axum::http::HeaderMap;

use super::{Given, begin};
use crate::authority::State;
use crate::form::Form;
use crate::http::refused::Refused;

pub(in crate::http) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(super) fn answer(state: &Arc<State>, headers: &HeaderMap, form: &Form) -> Result<Given, Refused> {
    let code = form.one("device_code").ok_or_else(|| Refused::new("invalid_request", "`device_code` is missing"))?;
    begin::redeem(state, headers, form, code, false)
}
