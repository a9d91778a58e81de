//! Logins: an OAuth client asks to act as a registered agent, and a person answers at a terminal outside every run.
//!
//! They live in memory; whoever has one open when the authority ends begins again. What nobody has answered is not
//! recorded, so that strangers cannot fill the log.
//!
//! **Invariant:** what is allowed can be used once, by whoever began it, within [`CODE_SECONDS`]; no secret of a login is
//! kept, only its digest.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use remit_core::hash::{Digest, b64, sha256};
use remit_core::id::{AgentId, RunId};
use remit_core::role::OrgRole;
use serde::{Deserialize, Serialize};

use crate::error::AuthorityError;
use crate::grant::{Asked, Where};
use crate::random;

/// How long a login waits for its answer, in seconds.
pub const LOGIN_SECONDS: i64 = 600;
/// How long what was allowed waits for its client, in seconds (OAuth 2.1 section 4.1.2: a minute is enough).
pub const CODE_SECONDS: i64 = 60;
/// How long a device waits before it asks again, in seconds (RFC 8628 section 3.2).
pub const POLL_SECONDS: i64 = 5;
/// Most logins that are open at once.
pub const LOGINS_MAX: usize = 256;
/// Most of them from one address.
pub const LOGINS_PER_SOURCE_MAX: usize = 16;

/// One login.
pub(crate) struct Login {
    /// The client, as it names itself.
    pub(crate) client: String,
    /// The agent that it wants to act as.
    pub(crate) agent: AgentId,
    /// What it asks for.
    pub(crate) tools: Vec<String>,
    /// Within what.
    pub(crate) constraints: Vec<Where>,
    /// The gateway's URLs that it asked for.
    pub(crate) resources: Vec<String>,
    /// How it began.
    pub(crate) flow: Flow,
    /// From where.
    pub(crate) source: IpAddr,
    /// Its end, in seconds since 1970.
    pub(crate) until: i64,
    /// Digest of the code with which the client fetches what was allowed: a device has it from the start.
    pub(crate) code: Option<Digest>,
    /// How far it is.
    pub(crate) stage: Stage,
}

/// How a login began.
#[derive(Clone)]
pub(crate) enum Flow {
    /// In a browser, which is sent back to the client with a code.
    Browser {
        /// Digest of the secret name of the page that waits.
        ticket: Digest,
        /// Where the browser is sent.
        redirect: String,
        /// The client's own mark.
        state: Option<String>,
        /// S256 of the verifier (RFC 7636 section 4.2).
        challenge: String,
        /// The key that the code is bound to, by thumbprint (RFC 9449 section 10).
        jkt: Option<String>,
    },
    /// On a device without a browser, which asks until it is answered.
    Device {
        /// Before then it asks too often.
        next: i64,
    },
}

/// How far a login is.
pub(crate) enum Stage {
    /// Nobody has answered.
    Asked,
    /// A person said no.
    Denied,
    /// A person said yes.
    Allowed(Allowed),
    /// It was used; by the run, where that began.
    Used(Option<RunId>),
}

/// What a person allowed.
#[derive(Clone)]
pub(crate) struct Allowed {
    /// The person's name.
    pub(crate) asker: String,
    /// What is granted.
    pub(crate) asked: Asked,
}

/// What a client sends for what was allowed.
pub(crate) struct Sent<'a> {
    /// The code, or the device code.
    pub(crate) code: &'a str,
    /// Who it is.
    pub(crate) client: &'a str,
    /// Where the browser was sent back to; nothing for a device.
    pub(crate) redirect: Option<&'a str>,
    /// What only the one who began can know (RFC 7636); nothing for a device.
    pub(crate) verifier: Option<&'a str>,
    /// The key that it has proved, by thumbprint.
    pub(crate) jkt: Option<&'a str>,
}

/// What was allowed, used up.
pub(crate) struct Redeemed {
    /// The login.
    pub(crate) id: String,
    /// As what the client acts.
    pub(crate) agent: AgentId,
    /// The gateway's URLs that it asked for.
    pub(crate) resources: Vec<String>,
    /// What was allowed.
    pub(crate) allowed: Allowed,
}

/// A login as the person sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginShown {
    /// What is typed to answer it.
    pub id: String,
    /// The client, as it names itself.
    pub client: String,
    /// The agent that it wants to act as.
    pub agent: AgentId,
    /// What it asks for.
    pub tools: Vec<String>,
    /// Within what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<Where>,
    /// Where the browser is sent back to; nothing for a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// Until when it can be answered, in seconds since 1970.
    pub until: i64,
    /// Who answers for what it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<OrgRole>,
}

/// Why a login is not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// What the waiting page learns.
pub(crate) enum Page {
    /// Nobody has answered.
    Waiting(LoginShown),
    /// The browser goes back to the client with these parameters.
    Back { redirect: String, state: Option<String>, code: Option<String> },
    /// There is no such login any more.
    Gone,
}

/// What becomes of a login that was answered in a browser.
pub(crate) enum Here {
    /// The browser goes back to the client with these parameters.
    Back { redirect: String, state: Option<String>, code: Option<String> },
    /// The device that began it comes for it.
    Elsewhere,
}

/// Why a code or a device code gives nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// Unknown, over, or of another client: nobody is told which.
    Invalid,
    /// Used a second time: whoever has it stole it, or was robbed. What it gave must end.
    Again(Option<RunId>),
    /// A person said no.
    Denied,
    /// Nobody has answered.
    Pending,
    /// The same, and it was asked too soon.
    SlowDown,
    /// Its time is over.
    Expired,
}

/// All logins that are open, by what a person types.
#[derive(Default)]
pub(crate) struct Logins(Mutex<HashMap<String, Login>>);

impl Logins {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Login>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a login open, and says what is typed to answer it.
    pub(crate) fn begin(&self, login: Login, now: i64) -> Result<Result<String, Full>, AuthorityError> {
        let mut all = self.all();
        all.retain(|_, login| login.until > now);
        // One that was answered waits for nobody any more, and is kept only to know its code again.
        let open = |other: &&Login| other.source == login.source && matches!(other.stage, Stage::Asked);
        let same = all.values().filter(open).count();
        if all.len() >= LOGINS_MAX || same >= LOGINS_PER_SOURCE_MAX {
            return Ok(Err(Full));
        }
        let mut id = random::user_code()?;
        while all.contains_key(&id) {
            id = random::user_code()?;
        }
        all.insert(id.clone(), login);
        Ok(Ok(id))
    }

    /// Those that wait for an answer, the oldest first.
    pub(crate) fn waiting(&self, now: i64) -> Vec<LoginShown> {
        let all = self.all();
        let open = all.iter().filter(|(_, login)| login.until > now && matches!(login.stage, Stage::Asked));
        let mut shown: Vec<LoginShown> = open.map(|(id, login)| login.shown(id)).collect();
        shown.sort_by(|one, other| (one.until, &one.id).cmp(&(other.until, &other.id)));
        shown
    }

    /// One that waits for an answer, as a person types it: small letters and a missing hyphen are forgiven.
    pub(crate) fn find(&self, typed: &str, now: i64) -> Option<LoginShown> {
        let typed = letters(typed);
        self.waiting(now).into_iter().find(|login| letters(&login.id) == typed)
    }

    /// Answers one; `false` where somebody else was faster, or its time is over.
    pub(crate) fn answer(&self, id: &str, allowed: Option<Allowed>, now: i64) -> bool {
        let mut all = self.all();
        let open = |login: &&mut Login| login.until > now && matches!(login.stage, Stage::Asked);
        let Some(login) = all.get_mut(id).filter(open) else { return false };
        // From here on it waits for a client that is there.
        login.until = login.until.min(now.saturating_add(CODE_SECONDS));
        login.stage = allowed.map_or(Stage::Denied, Stage::Allowed);
        true
    }

    /// The same, by the person whose browser it is: what becomes of it goes to this browser, and to no page that waits.
    pub(crate) fn answer_here(
        &self,
        id: &str,
        allowed: Option<Allowed>,
        now: i64,
    ) -> Result<Option<Here>, AuthorityError> {
        let mut all = self.all();
        let open = |login: &&mut Login| login.until > now && matches!(login.stage, Stage::Asked);
        let Some(login) = all.get_mut(id).filter(open) else { return Ok(None) };
        login.until = login.until.min(now.saturating_add(CODE_SECONDS));
        let yes = allowed.is_some();
        login.stage = allowed.map_or(Stage::Denied, Stage::Allowed);
        let Flow::Browser { redirect, state, .. } = login.flow.clone() else { return Ok(Some(Here::Elsewhere)) };
        let code = if yes { Some(random::secret()?) } else { None };
        login.code = code.as_ref().map(|code| sha256(&[code.as_bytes()]));
        Ok(Some(Here::Back { redirect, state, code }))
    }

    /// The login that a page with this ticket waits for, where nobody has answered.
    pub(crate) fn of_ticket(&self, ticket: &str, now: i64) -> Option<LoginShown> {
        let ticket = sha256(&[ticket.as_bytes()]);
        let all = self.all();
        let open = |login: &Login| login.until > now && matches!(login.stage, Stage::Asked);
        all.iter().find(|(_, login)| open(login) && login.has_ticket(&ticket)).map(|(id, login)| login.shown(id))
    }

    /// What the page with this ticket shows now. The first one after the answer gets the code.
    pub(crate) fn page(&self, ticket: &str, now: i64) -> Result<Page, AuthorityError> {
        let ticket = sha256(&[ticket.as_bytes()]);
        let mut all = self.all();
        let found = all.iter_mut().find(|(_, login)| login.until > now && login.has_ticket(&ticket));
        let Some((id, login)) = found else { return Ok(Page::Gone) };
        let Flow::Browser { redirect, state, .. } = login.flow.clone() else { return Ok(Page::Gone) };
        match (&login.stage, login.code) {
            (Stage::Asked, _) => Ok(Page::Waiting(login.shown(id))),
            (Stage::Denied, _) => Ok(Page::Back { redirect, state, code: None }),
            (Stage::Allowed(_), None) => {
                let code = random::secret()?;
                login.code = Some(sha256(&[code.as_bytes()]));
                Ok(Page::Back { redirect, state, code: Some(code) })
            }
            (Stage::Allowed(_) | Stage::Used(_), _) => Ok(Page::Gone),
        }
    }

    /// Uses what was allowed. It is used up even where the rest of the request does not fit.
    pub(crate) fn redeem(&self, sent: &Sent<'_>, now: i64) -> Result<Redeemed, Unusable> {
        let code = sha256(&[sent.code.as_bytes()]);
        let mut all = self.all();
        let found = all.iter_mut().find(|(_, login)| login.code.is_some_and(|kept| same(&kept, &code)));
        let (id, login) = found.ok_or(Unusable::Invalid)?;
        if login.client != sent.client {
            return Err(Unusable::Invalid);
        }
        if let Stage::Used(run) = &login.stage {
            return Err(Unusable::Again(run.clone()));
        }
        if login.until <= now {
            return Err(Unusable::Expired);
        }
        login.hurries(now)?;
        // Remembered as used for as long as somebody else could still try it.
        login.until = now.saturating_add(LOGIN_SECONDS);
        let Stage::Allowed(allowed) = std::mem::replace(&mut login.stage, Stage::Used(None)) else {
            return Err(Unusable::Invalid);
        };
        if !login.flow.is_of(sent) {
            return Err(Unusable::Invalid);
        }
        Ok(Redeemed { id: id.clone(), agent: login.agent.clone(), resources: login.resources.clone(), allowed })
    }

    /// What somebody allowed and nobody has fetched yet is not allowed any more.
    pub(crate) fn take_back(&self, asker: &str) {
        for login in self.all().values_mut() {
            if matches!(&login.stage, Stage::Allowed(allowed) if allowed.asker == asker) {
                login.stage = Stage::Denied;
            }
        }
    }

    /// Notes the run that a login gave, which ends where its code comes back.
    pub(crate) fn used(&self, id: &str, run: &RunId) {
        if let Some(login) = self.all().get_mut(id) {
            login.stage = Stage::Used(Some(run.clone()));
        }
    }
}

impl Login {
    fn shown(&self, id: &str) -> LoginShown {
        let redirect = match &self.flow {
            Flow::Browser { redirect, .. } => Some(redirect.clone()),
            Flow::Device { .. } => None,
        };
        LoginShown {
            id: id.to_owned(),
            client: self.client.clone(),
            agent: self.agent.clone(),
            tools: self.tools.clone(),
            constraints: self.constraints.clone(),
            redirect,
            until: self.until,
            owners: Vec::new(),
        }
    }

    fn has_ticket(&self, digest: &Digest) -> bool {
        matches!(&self.flow, Flow::Browser { ticket, .. } if same(ticket, digest))
    }

    /// What a device hears that asks before it was answered; a browser only ever comes with an answer.
    fn hurries(&mut self, now: i64) -> Result<(), Unusable> {
        let soon = match &mut self.flow {
            Flow::Device { next } => std::mem::replace(next, now.saturating_add(POLL_SECONDS)) > now,
            Flow::Browser { .. } => false,
        };
        match &self.stage {
            Stage::Denied => Err(Unusable::Denied),
            Stage::Asked if soon => Err(Unusable::SlowDown),
            Stage::Asked => Err(Unusable::Pending),
            Stage::Allowed(_) | Stage::Used(_) => Ok(()),
        }
    }
}

impl Flow {
    /// Whether whoever sends this is the one that began.
    fn is_of(&self, sent: &Sent<'_>) -> bool {
        match self {
            Flow::Device { .. } => sent.redirect.is_none() && sent.verifier.is_none(),
            Flow::Browser { redirect, challenge, jkt, .. } => {
                let verified = sent.verifier.is_some_and(|verifier| {
                    let hashed = b64(&sha256(&[verifier.as_bytes()]));
                    verify_slices_are_equal(hashed.as_bytes(), challenge.as_bytes()).is_ok()
                });
                verified && sent.redirect == Some(redirect) && jkt.as_deref().is_none_or(|jkt| sent.jkt == Some(jkt))
            }
        }
    }
}

pub(crate) fn same(one: &Digest, other: &Digest) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

fn letters(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_uppercase()).collect()
}
