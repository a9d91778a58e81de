//! Ids that nobody can guess.

use aws_lc_rs::rand;
use remit_core::hash::b64;
use remit_core::id::{GrantId, PrincipalId, RunId};

use crate::error::AuthorityError;

/// Length of a run's id, in bytes.
pub(crate) const RUN_ID_BYTES: usize = 22;
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], AuthorityError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes)?;
    Ok(bytes)
}

/// `r-` and 100 random bits: short, because the run's socket lies in a directory of this name.
pub(crate) fn run() -> Result<RunId, AuthorityError> {
    named("r-")
}

/// `g-` and 100 random bits.
pub(crate) fn grant() -> Result<GrantId, AuthorityError> {
    named("g-")
}

/// The pseudonym of a person or workload: 128 random bits.
pub(crate) fn principal() -> Result<PrincipalId, AuthorityError> {
    named_id(format!("p-{}", b64(&bytes::<16>()?)))
}

/// A token's or a proof's id: 128 random bits.
pub(crate) fn jti() -> Result<String, AuthorityError> {
    Ok(b64(&bytes::<16>()?))
}

/// A secret that is given away once: 256 random bits.
pub(crate) fn secret() -> Result<String, AuthorityError> {
    Ok(b64(&bytes::<32>()?))
}

/// What a person types to name a login: eight letters that make no word and are not mistaken (RFC 8628 section 6.1).
pub(crate) fn user_code() -> Result<String, AuthorityError> {
    const LETTERS: &[u8; 16] = b"BCDFGHJKLMNPQRST";
    let letters = bytes::<8>()?.into_iter().filter_map(|byte| LETTERS.get(usize::from(byte % 16)).copied());
    let mut code: String = letters.map(char::from).collect();
    code.insert(4, '-');
    Ok(code)
}

fn named<T: TryFrom<String>>(prefix: &str) -> Result<T, AuthorityError> {
    let letters =
        bytes::<20>()?.into_iter().filter_map(|byte| ALPHABET.get(usize::from(byte % 32)).copied()).map(char::from);
    named_id(prefix.chars().chain(letters).collect())
}

fn named_id<T: TryFrom<String>>(text: String) -> Result<T, AuthorityError> {
    T::try_from(text).map_err(|_| AuthorityError::Crypto)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_an_id_of_the_length_that_sockets_have_room_for() {
        assert_eq!(run().unwrap().as_str().len(), RUN_ID_BYTES);
    }
}
