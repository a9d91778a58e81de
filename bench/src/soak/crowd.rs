//! Many runs of one agent with a token each: roots enough that no share of one root is what refuses.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::ask::{Ask, Kind, Verdict};
use crate::home::{Home, Run};
use crate::key::Key;
use crate::mint::Minter;
use crate::road::{Credentials, Endpoint, Era};
use crate::wire::Connection;

/// How old a proof may be when it is sent: it holds for a minute.
const PROOF_AGE_MAX: Duration = Duration::from_secs(30);
/// How often each run gets a new token: one holds for ten minutes.
const RENEW: Duration = Duration::from_mins(4);
/// How long the gateway may take to hear of what was registered.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);

/// All of them.
pub(crate) struct Crowd {
    pub(crate) at: SocketAddr,
    members: Vec<Member>,
    /// When all tokens were new.
    renewed: Mutex<Instant>,
}

/// One run.
pub(crate) struct Member {
    run: Run,
    held: Mutex<Held>,
}

struct Held {
    modern: Endpoint,
    legacy: Endpoint,
    /// Proofs for the present token that were not used up, because the call that bore them was not looked at.
    spare: Vec<Proof>,
}

/// A proof for a call, with what it is for.
pub(crate) struct Proof {
    text: String,
    token: Arc<str>,
    made: Instant,
}

impl Crowd {
    /// So many runs, each with a token, and a gateway that knows their server.
    pub(crate) async fn gather(home: &Home, count: usize) -> io::Result<Arc<Self>> {
        let (mut members, renewed) = (Vec::with_capacity(count), Mutex::new(Instant::now()));
        for _ in 0..count {
            let run = home.run_of(&["echo/echo"], "24h")?;
            let credentials = home.credentials(&run, "echo").await?;
            members.push(Member { held: Mutex::new(Held::new(home, credentials)?), run });
        }
        let crowd = Self { at: home.gateway(), members, renewed };
        crowd.until_known().await?;
        Ok(Arc::new(crowd))
    }

    async fn until_known(&self) -> io::Result<()> {
        let Some(member) = self.member(0) else { return Ok(()) };
        let began = Instant::now();
        loop {
            let ask = Ask::next(|_| Kind::Call);
            let (request, _) = member.request(&ask);
            let mut connection = Connection::open(self.at).await?;
            match ask.judge(&connection.exchange(&request).await?) {
                Verdict::Good => return Ok(()),
                Verdict::Refused(why) | Verdict::Wrong(why) if began.elapsed() > KNOWN_WITHIN => {
                    return Err(io::Error::other(format!("the gateway does not know the server: {why}")));
                }
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// The members in turns.
    pub(crate) fn member(&self, number: usize) -> Option<&Member> {
        self.members.get(number.checked_rem(self.members.len())?)
    }

    fn renewed(&self) -> MutexGuard<'_, Instant> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews every token before its end, for ever.
    pub(crate) async fn stay_fresh(&self, home: &Home) -> io::Result<()> {
        loop {
            let due = *self.renewed() + RENEW;
            tokio::time::sleep_until(due.into()).await;
            *self.renewed() = Instant::now();
            for member in &self.members {
                let mut minter = Minter::new(home, &member.run, &home.url("echo")).await?;
                let (token, _) = minter.mint().await?;
                let credentials = Credentials { key: Arc::clone(&member.run.key), token: token.into() };
                *member.lock() = Held::new(home, credentials)?;
            }
        }
    }
}

impl Held {
    fn new(home: &Home, credentials: Credentials) -> io::Result<Self> {
        let endpoint = |era| Endpoint::new(&home.url("echo"), era, Some(credentials.clone()));
        Ok(Self { modern: endpoint(Era::Modern)?, legacy: endpoint(Era::Legacy)?, spare: Vec::new() })
    }

    fn prove(&self) -> Option<Proof> {
        let text = self.modern.proofs(1)?.pop()?;
        let token = Arc::clone(&self.modern.credentials.as_ref()?.token);
        Some(Proof { text, token, made: Instant::now() })
    }
}

impl Member {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a request, and the proof in it.
    pub(crate) fn request(&self, ask: &Ask) -> (Vec<u8>, Option<Proof>) {
        let mut held = self.lock();
        let fresh = |proof: &Proof| proof.made.elapsed() < PROOF_AGE_MAX;
        let proof = held.spare.pop().filter(fresh).or_else(|| held.prove());
        let (method, name) = ask.about();
        let text = proof.as_ref().map(|proof| proof.text.as_str());
        (held.modern.request(method, name, text, &ask.body()), proof)
    }

    /// The request for a standing stream.
    pub(crate) fn listen(&self) -> Vec<u8> {
        self.lock().legacy.listen()
    }

    /// The proof can be used again: it was not looked at.
    pub(crate) fn give_back(&self, proof: Option<Proof>) {
        let mut held = self.lock();
        let token = held.modern.credentials.as_ref().map(|with| Arc::clone(&with.token));
        held.spare.extend(proof.filter(|proof| Some(&proof.token) == token.as_ref()));
    }

    /// What somebody who stole the token alone can send: its proof is made with another key.
    pub(crate) fn stolen(&self, key: &Arc<Key>) -> Endpoint {
        let mut endpoint = self.lock().modern.clone();
        if let Some(with) = &mut endpoint.credentials {
            with.key = Arc::clone(key);
        }
        endpoint
    }
}
