//! What a client keeps for the gateway: the upstream's session id in the legacy era, and the state of a call that the
//! upstream answered with a question in the modern one. Both are sealed for this run and this server, so they are no
//! credentials, mean nothing to another run, and need no table.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use remit_core::call::Action;
use remit_core::feature::Feature;
use remit_core::hash::{b64, unb64};
use remit_core::id::{RunId, ServerName};
use serde::{Deserialize, Serialize};

/// Longest session id of an upstream, in bytes.
const SESSION_BYTES_MAX: usize = 512;
/// Longest state of a call, in bytes.
const STATE_BYTES_MAX: usize = 64 * 1024;

/// The state of a call that its upstream answered with questions.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// By which feature each question was asked.
    pub features: BTreeMap<String, Feature>,
    /// The upstream's own state.
    pub upstream: Option<String>,
}

/// Seals and opens both, with a key that lives as long as the gateway: after a restart clients begin anew.
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
        self.sealed(upstream, session_of(run, server))
    }

    /// The upstream's id, where the client's was sealed for this run and server.
    pub fn open(&self, run: &RunId, server: &ServerName, session: &str) -> Option<String> {
        self.opened(session, session_of(run, server))
    }

    /// The state that the client gets for the upstream's.
    pub fn seal_state(&self, run: &RunId, server: &ServerName, action: &Action, state: &State) -> Option<String> {
        let text = serde_json::to_string(state).ok().filter(|text| text.len() <= STATE_BYTES_MAX)?;
        self.sealed(&text, state_of(run, server, action))
    }

    /// The state, where it was sealed for this run, server and action.
    pub fn open_state(&self, run: &RunId, server: &ServerName, action: &Action, state: &str) -> Option<State> {
        serde_json::from_str(&self.opened(state, state_of(run, server, action))?).ok()
    }

    fn sealed(&self, text: &str, whose: Aad<Vec<u8>>) -> Option<String> {
        let mut bytes = text.as_bytes().to_vec();
        let nonce = self.0.seal_in_place_append_tag(whose, &mut bytes).ok()?;
        Some(b64(&[&nonce.as_ref()[..], &bytes].concat()))
    }

    fn opened(&self, sealed: &str, whose: Aad<Vec<u8>>) -> Option<String> {
        let bytes = unb64(sealed)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let plain = self.0.open_in_place(nonce, whose, &mut sealed).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

fn session_of(run: &RunId, server: &ServerName) -> Aad<Vec<u8>> {
    Aad::from(format!("session {run} {server}").into_bytes())
}

fn state_of(run: &RunId, server: &ServerName, action: &Action) -> Aad<Vec<u8>> {
    Aad::from(format!("state {run} {server} {} {}", action.method(), action.object()).into_bytes())
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

    #[test]
    fn the_state_of_a_call_is_for_one_run_and_one_request() {
        let sessions = Sessions::new().unwrap();
        let (run, other) = (RunId::new("r1").unwrap(), RunId::new("r2").unwrap());
        let server = ServerName::new("tickets").unwrap();
        let [read, pay] = ["read", "pay"].map(|name| Action::CallTool(remit_core::id::ToolName::new(name).unwrap()));
        let state = || State { features: [("q".into(), Feature::Elicitation)].into(), upstream: Some("s".into()) };
        let sealed = sessions.seal_state(&run, &server, &read, &state()).unwrap();
        assert_eq!(sessions.open_state(&run, &server, &read, &sealed), Some(state()));
        assert_eq!(sessions.open_state(&other, &server, &read, &sealed), None);
        assert_eq!(sessions.open_state(&run, &server, &pay, &sealed), None);
        // One is never taken for the other.
        assert_eq!(sessions.open(&run, &server, &sealed), None);
        let session = sessions.seal(&run, &server, &serde_json::to_string(&state()).unwrap()).unwrap();
        assert_eq!(sessions.open_state(&run, &server, &read, &session), None);
        let large = State { upstream: Some("x".repeat(STATE_BYTES_MAX)), ..state() };
        assert_eq!(sessions.seal_state(&run, &server, &read, &large), None);
    }
}
