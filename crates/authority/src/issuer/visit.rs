//! Visits: a person's browser on its way from the page of a login to their identity provider, and back.
//!
//! They live in memory. **Invariant:** what comes back belongs to the browser that was sent, by a secret in its cookie, and
//! each step is taken once; of what the browser keeps and what the provider is told only digests are kept. Who answers has
//! also what was shown after the provider's answer: a cookie may be another's, for servers on one host share them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use remit_core::hash::{Digest, sha256};

use super::person::Who;
use super::rules::Standing;
use crate::error::AuthorityError;
use crate::login::{self, LOGIN_SECONDS, LOGINS_MAX};
use crate::random;

/// Wrong codes of devices that may be typed within [`WRONG_SECONDS`].
const WRONG_MAX: u32 = 30;
const WRONG_SECONDS: i64 = 60;

/// All visits, by the digest of the secret in the browser's cookie.
#[derive(Default)]
pub(crate) struct Visits(Mutex<All>);

#[derive(Default)]
struct All {
    visits: HashMap<Digest, Visit>,
    wrong: (i64, u32),
}

struct Visit {
    /// What is typed to answer the login.
    login: String,
    issuer: String,
    until: i64,
    stage: Stage,
}

enum Stage {
    /// The browser is at the provider.
    Sent { state: Digest, nonce: String, verifier: String },
    /// The provider is being asked who it is.
    Asking,
    /// It is known who it is; with the digest of what was shown to that browser alone, and stands in no cookie.
    Known(Person, Digest),
}

/// A person who came back.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) who: Who,
    pub(crate) standing: Standing,
}

/// What a browser is sent away with.
pub(crate) struct Departure {
    /// What it keeps in its cookie.
    pub(crate) cookie: String,
    pub(crate) state: String,
    pub(crate) nonce: String,
    pub(crate) verifier: String,
}

/// What the provider's answer is compared with.
pub(crate) struct Arrival {
    pub(crate) issuer: String,
    pub(crate) nonce: String,
    pub(crate) verifier: String,
}

impl Visits {
    fn all(&self, now: i64) -> MutexGuard<'_, All> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.visits.retain(|_, visit| visit.until > now);
        all
    }

    /// A browser leaves for a provider. Of one login there is one visit: the last.
    pub(crate) fn depart(&self, login: &str, issuer: &str, now: i64) -> Result<Option<Departure>, AuthorityError> {
        let [cookie, state, nonce, verifier] =
            [random::secret()?, random::secret()?, random::secret()?, random::secret()?];
        let mut all = self.all(now);
        all.visits.retain(|_, visit| visit.login != login);
        if all.visits.len() >= LOGINS_MAX {
            return Ok(None);
        }
        let sent = Stage::Sent { state: digest(&state), nonce: nonce.clone(), verifier: verifier.clone() };
        let (login, issuer) = (login.to_owned(), issuer.to_owned());
        let visit = Visit { login, issuer, until: now.saturating_add(LOGIN_SECONDS), stage: sent };
        all.visits.insert(digest(&cookie), visit);
        Ok(Some(Departure { cookie, state, nonce, verifier }))
    }

    /// A browser is back with the provider's answer. Nothing of it is good a second time.
    pub(crate) fn arrive(&self, cookie: &str, state: &str, now: i64) -> Option<Arrival> {
        let mut all = self.all(now);
        let visit = all.visits.get_mut(&digest(cookie))?;
        let Stage::Sent { state: sent, .. } = &visit.stage else { return None };
        if *sent != digest(state) {
            return None;
        }
        let Stage::Sent { nonce, verifier, .. } = std::mem::replace(&mut visit.stage, Stage::Asking) else {
            return None;
        };
        Some(Arrival { issuer: visit.issuer.clone(), nonce, verifier })
    }

    /// The provider has said who it is: what is shown to the browser that brought the answer.
    pub(crate) fn know(&self, cookie: &str, person: Person, now: i64) -> Result<Option<String>, AuthorityError> {
        let mark = random::secret()?;
        Ok(match self.all(now).visits.get_mut(&digest(cookie)) {
            Some(visit) if matches!(visit.stage, Stage::Asking) => {
                visit.stage = Stage::Known(person, digest(&mark));
                Some(mark)
            }
            _ => None,
        })
    }

    /// Who is behind a browser that has both, and which login it came for.
    pub(crate) fn person(&self, cookie: &str, mark: &str, now: i64) -> Option<(String, Person)> {
        let all = self.all(now);
        let visit = all.visits.get(&digest(cookie))?;
        match &visit.stage {
            Stage::Known(person, shown) if login::same(shown, &digest(mark)) => {
                Some((visit.login.clone(), person.clone()))
            }
            _ => None,
        }
    }

    /// An issuer is trusted no more, or for something else: whoever came from there begins again.
    pub(crate) fn forget(&self, issuer: &str, now: i64) {
        self.all(now).visits.retain(|_, visit| visit.issuer != issuer);
    }

    /// A person's session at their provider ended: whoever is here as them begins again.
    pub(crate) fn forget_person(&self, name: &str, now: i64) {
        let is_theirs = |visit: &Visit| matches!(&visit.stage, Stage::Known(person, _) if person.who.name == name);
        self.all(now).visits.retain(|_, visit| !is_theirs(visit));
    }

    /// The visit is over.
    pub(crate) fn end(&self, cookie: &str, now: i64) {
        self.all(now).visits.remove(&digest(cookie));
    }

    /// Looks at the code of a device. Wrong ones are counted, and after too many of them none is looked at for a while.
    pub(crate) fn guess<T>(&self, now: i64, look: impl FnOnce() -> Option<T>) -> Option<T> {
        let mut all = self.all(now);
        if now.saturating_sub(all.wrong.0) >= WRONG_SECONDS {
            all.wrong = (now, 0);
        }
        if all.wrong.1 >= WRONG_MAX {
            return None;
        }
        let found = look();
        if found.is_none() {
            all.wrong.1 = all.wrong.1.saturating_add(1);
        }
        found
    }
}

fn digest(secret: &str) -> Digest {
    sha256(&[secret.as_bytes()])
}
