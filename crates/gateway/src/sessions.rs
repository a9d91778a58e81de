//! Sessions of the legacy era. The client's session id is the upstream's, sealed for this run and this server, so it
//! is no credential, means nothing to another run, and needs no table.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use remit_core::hash::{b64, unb64};
use remit_core::id::{RunId, ServerName};

/// Longest session id of an upstream, in bytes.
const SESSION_BYTES_MAX: usize = 512;

/// Seals and opens session ids, with a key that lives as long as the gateway: after a restart clients begin anew.
pub struct Sessions(RandomizedNonceKey);

impl Sessions {
    /// A new key.
    pub fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut key = [0; 32];
        aws_lc_rs::rand::fill(&mut key)?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).map(Self)
    }

    /// The id that the client gets for the upstream's.
    pub fn seal(&self, run: &RunId, server: &ServerName, upstream: &str) -> Option<String> {
        if upstream.len() > SESSION_BYTES_MAX {
            return None;
        }
        let mut bytes = upstream.as_bytes().to_vec();
        let nonce = self.0.seal_in_place_append_tag(aad(run, server), &mut bytes).ok()?;
        Some(b64(&[&nonce.as_ref()[..], &bytes].concat()))
    }

    /// The upstream's id, where the client's was sealed for this run and server.
    pub fn open(&self, run: &RunId, server: &ServerName, session: &str) -> Option<String> {
        let bytes = unb64(session)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.0.open_in_place(nonce, aad(run, server), &mut sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn aad(run: &RunId, server: &ServerName) -> Aad<Vec<u8>> {
    Aad::from(format!("{run} {server}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_for_one_run_and_one_server() {
        let sessions = Sessions::new().unwrap();
        let (run, other) = (RunId::new("r1").unwrap(), RunId::new("r2").unwrap());
        let (server, elsewhere) = (ServerName::new("tickets").unwrap(), ServerName::new("git").unwrap());
        let sealed = sessions.seal(&run, &server, "abc").unwrap();
        assert_eq!(sessions.open(&run, &server, &sealed).as_deref(), Some("abc"));
        assert_eq!(sessions.open(&other, &server, &sealed), None);
        assert_eq!(sessions.open(&run, &elsewhere, &sealed), None);
        assert_eq!(sessions.open(&run, &server, "abc"), None);
        assert_eq!(Sessions::new().unwrap().open(&run, &server, &sealed), None);
    }
}
