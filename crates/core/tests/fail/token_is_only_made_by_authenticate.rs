//! A token stands in an input because its possession was shown.

use std::sync::Arc;

use remit_core::claims::Claims;
use remit_core::input::{Credential, Presented, Token};

fn forge(claims: Claims) -> Presented {
    Presented::Token(Token { claims: Arc::new(claims), credential: Credential::Dpop })
}

fn main() {}
