//! How possession was shown stands with the token, and does not change.

use remit_core::input::{Credential, Token};

fn promote(token: &mut Token) {
    token.credential = Credential::Dpop;
}

fn main() {}
