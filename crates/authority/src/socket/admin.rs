//! The admin socket: everything that is done from outside the runs.
//!
//! **Invariant:** nothing is done for a process that descends from a live run, and what lifts, widens, or takes from
//! somebody else is done only with the PIN, checked before anything changes.

use std::sync::{Arc, PoisonError};

use remit_core::id::{PrincipalId, Team};
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Kind;
use remit_core::role::{OrgRole, Post};

use super::peer::{self, Peer, Place};
use super::registry::of_team;
use super::wire::{AdminAsk, Given, Issued, Line, Registered, Request, Rotated, ServerShown, Status};
use super::{line, not_a_request, reply};
use crate::authority::State;
use crate::error::AuthorityError;
use crate::roles;
use crate::standing;
use crate::times::Times;

mod brokered;

pub(super) type Reply = Result<serde_json::Value, AuthorityError>;

pub(super) fn answer(state: &Arc<State>, peer: Option<Peer>, text: &[u8]) -> Vec<u8> {
    let answered = outside(state, peer).and_then(|peer| {
        let asked: Line<AdminAsk> = serde_json::from_slice(text).map_err(|error| not_a_request(&error))?;
        let pin = asked.pin.as_deref();
        let named = asked.person.is_some();
        let by = match &asked.person {
            Some(person) => state.proven(person, pin)?,
            None => state.principal(&mut state.core(), &user(peer))?,
        };
        let name = asked.person.unwrap_or_else(|| user(peer));
        let admin = Admin { state, peer, by, named, name, pin, given: &asked.secrets };
        admin.act(asked.ask)
    });
    line(answered)
}

/// The refusal of a peer that may ask nothing here, before it has asked.
pub(super) fn refuse(state: &State, peer: Option<Peer>) -> Option<Vec<u8>> {
    outside(state, peer).err().map(|error| line(Err(error)))
}

/// The peer, where it is of our user and outside every live run.
fn outside(state: &State, peer: Option<Peer>) -> Result<Peer, AuthorityError> {
    let Some(peer) = peer else { return Err(unplaced()) };
    match state.place(peer.pid)? {
        Some(Place::Outside) => Ok(peer),
        Some(Place::Within(run)) => {
            tracing::warn!(pid = peer.pid, %run, "a run's process came to the admin socket");
            Err(refused(format!("this comes from inside the run `{run}`")))
        }
        Some(Place::Marked(_)) => {
            tracing::warn!(pid = peer.pid, "what a run started came to the admin socket");
            let message = "this comes from inside a run: REMIT_RUN is set for it, or for a process that started it";
            let help = "ask from a terminal that was not started inside a run, with: env -u REMIT_RUN remit …";
            Err(AuthorityError::Refused(Rejection::new(Code::AdminRequired, message, help)))
        }
        None => Err(unplaced()),
    }
}

fn unplaced() -> AuthorityError {
    refused("it cannot be seen which process asks".into())
}

fn refused(message: String) -> AuthorityError {
    let help = "ask from outside every run, as the same user as the authority";
    AuthorityError::Refused(Rejection::new(Code::AdminRequired, message, help))
}

/// Where nobody says who they are, a person is the operating-system user.
fn user(peer: Peer) -> String {
    format!("uid:{}", peer.uid)
}

pub(super) struct Admin<'a> {
    pub(super) state: &'a Arc<State>,
    peer: Peer,
    /// Who asks.
    pub(super) by: PrincipalId,
    /// Whether they said who they are, and have shown it by their own PIN.
    pub(super) named: bool,
    /// Their name.
    pub(super) name: String,
    pub(super) pin: Option<&'a str>,
    given: &'a [Given],
}

impl Admin<'_> {
    fn act(&self, ask: AdminAsk) -> Reply {
        let now = self.state.config.clock.now();
        match ask {
            AdminAsk::Status {} => reply(self.status()?),
            AdminAsk::SetPin { new } => {
                self.state.pin.set(self.pin, &new, now)?;
                reply(serde_json::Map::new())
            }
            AdminAsk::RegisterAgent { manifest } => self.register(&manifest),
            AdminAsk::Request(request) => self.request(&request),
            AdminAsk::End { run } => self.end(&run),
            AdminAsk::Approvals {} => reply(self.state.approvals()?),
            // It begins no more than `remit request` would, for whoever asks.
            AdminAsk::Answer(word) => match (self.state.import_named(&word.id)?, self.state.ask_named(&word.id)?) {
                (Some(import), _) => self.import(import, &word),
                (None, Some(ask)) => self.answer_ask(&ask, &word),
                (None, None) => reply(self.state.answer(&word, &self.name, &self.by)?),
            },
            AdminAsk::Grant(ask) => self.grants(ask),
            AdminAsk::Team(ask) => self.team(ask),
            AdminAsk::Registry(ask) => self.registry(ask),
            AdminAsk::Revoke { kind, id, why } => self.revoke(kind, &id, &why),
            AdminAsk::Erase { principal, ground } => {
                self.person()?;
                reply(self.state.erase(&principal, &ground, &self.by)?)
            }
            AdminAsk::RotateKeys {} => {
                self.person()?;
                let kid = self.state.add_key()?;
                self.state.publish()?;
                reply(Rotated { kid })
            }
            AdminAsk::Reload {} => {
                let issued = self.state.publish()?;
                reply(Issued { version: issued.version, digest: issued.digest.clone(), not_after: issued.not_after })
            }
            AdminAsk::Agents {} => reply(self.state.core().journal.store().agents()?),
            AdminAsk::Servers {} => reply(self.state.core().journal.store().servers()?),
            AdminAsk::Runs {} => reply(self.state.core().journal.store().live_runs(now)?),
            AdminAsk::Grants {} => reply(self.state.core().journal.store().live_grants(now)?),
            AdminAsk::Revocations {} => reply(self.state.core().journal.store().revocations()?),
            ask => self.servers(ask),
        }
    }

    fn servers(&self, ask: AdminAsk) -> Reply {
        match ask {
            AdminAsk::AddServer(add) => {
                let again = self.state.core().journal.store().server(&add.name)?.is_some();
                if again || add.shows_something() {
                    self.person()?;
                }
                self.add(&add)?;
                self.shown(&add.name)
            }
            AdminAsk::Secret { server, rotate, whose } => {
                self.person()?;
                let scope = self.scope(whose)?;
                self.state.put_secrets(&server, self.given, (rotate, &scope), &self.by)?;
                self.shown(&server)
            }
            AdminAsk::TakeSecret { server, whose } => {
                self.person()?;
                self.state.take_secrets(&server, &self.scope(whose)?, &self.by)?;
                self.shown(&server)
            }
            ask @ (AdminAsk::Borrow { .. }
            | AdminAsk::Connect { .. }
            | AdminAsk::Connected { .. }
            | AdminAsk::Disconnect { .. }) => self.broker(ask),
            AdminAsk::AddGateway { name, key } => {
                self.person()?;
                reply(self.state.add_gateway(&name, &key, self.by.as_str())?)
            }
            AdminAsk::Gateways {} => reply(self.state.core().journal.store().gateways()?),
            AdminAsk::Confirmed { seq } => reply(self.state.confirmed(seq)?),
            AdminAsk::RemoveGateway { name } => {
                self.state.remove_gateway(&name, &self.by)?;
                reply(serde_json::Map::new())
            }
            AdminAsk::AddIssuer(add) => {
                self.person()?;
                reply(self.state.add_issuer(&add, self.given, &self.by)?)
            }
            AdminAsk::Issuers {} => reply(self.state.issuers()?),
            AdminAsk::RemoveIssuer { url } => {
                self.state.remove_issuer(&url, &self.by)?;
                reply(serde_json::Map::new())
            }
            AdminAsk::Server { name } => self.show(&name, None),
            AdminAsk::Diff { server, list } => reply(self.state.diff(&server, &list)?),
            AdminAsk::Pin { server, list, tools, overrides } => {
                self.person()?;
                self.state.accept(&server, &list, &tools, &overrides, &self.by)?;
                self.shown(&server)
            }
            AdminAsk::Menu { server, expose, hide } => {
                if !expose.is_empty() {
                    self.person()?;
                }
                self.state.menu(&server, &expose, &hide, &self.by)?;
                self.shown(&server)
            }
            _ => Err(refused("this is not asked of servers".into())),
        }
    }

    /// A person of the platform, and not merely a process of the same user, stands behind this.
    pub(super) fn person(&self) -> Result<(), AuthorityError> {
        self.needs(&[OrgRole::Platform])
    }

    /// A person stands behind this, whoever they are.
    pub(super) fn proven(&self) -> Result<(), AuthorityError> {
        if self.named {
            return Ok(());
        }
        self.state.pin.check(self.pin, self.state.config.clock.now())
    }

    fn status(&self) -> Result<Status, AuthorityError> {
        let state = self.state;
        let offered = state.bundle.borrow().clone();
        let core = state.core();
        let log = core.journal.log();
        Ok(Status {
            issuer: state.config.issuer.clone(),
            gateway: state.config.gateway.clone(),
            relay: state.relay.url(),
            trust_domain: state.config.trust_domain.to_string(),
            root_vkey: state.root.vkey().to_owned(),
            log: log.origin().to_owned(),
            log_size: log.size(),
            bundle: offered.bundle.map(|bundle| bundle.version),
            bundle_error: offered.error,
            revocations: core.revoked.seq(),
            locked: core.revoked.locked().map(ToOwned::to_owned).collect(),
            runs: core.journal.store().live_count(state.config.clock.now())?,
            pin_set: state.pin.is_set(),
            request_to_grant: Times::of(core.journal.store())?,
        })
    }

    fn register(&self, manifest: &str) -> Reply {
        let _one = self.state.registering.lock().unwrap_or_else(PoisonError::into_inner);
        let (record, widened) = self.state.review(manifest)?;
        // Another team may answer for it than the one in its name.
        let team = standing::owner(self.state.core().journal.store(), &record.id)?;
        let of_team = of_team(&team);
        if !widened.is_empty() {
            self.needs(&of_team).map_err(|error| wider(error, &widened))?;
        } else if !self.owns(&team)? {
            self.needs(&of_team)?;
        }
        let (agent, tier) = (record.id.clone(), record.manifest.tier().name().to_owned());
        self.state.register(record, &self.by)?;
        let bundle_error = self.published();
        reply(Registered { agent, tier, widened, bundle_error })
    }

    /// Whether whoever asks owns the team, or would: nobody has added it.
    fn owns(&self, team: &Team) -> Result<bool, AuthorityError> {
        let core = self.state.core();
        let store = core.journal.store();
        let role = OrgRole::of(team, Post::Owner);
        Ok(store.team(team)?.is_none() || roles::holds(store, &self.by, &role)?)
    }

    fn request(&self, request: &Request) -> Reply {
        let process = match request.pid {
            None => None,
            Some(pid) => {
                let found = peer::descendant(pid, self.peer.pid);
                Some(found.ok_or_else(|| {
                    refused(format!("process {pid} is not the one that asks, nor was it started by it"))
                })?)
            }
        };
        // A name that the asker is not is somebody else's word in the log, and somebody else's revocation.
        if request.principal.as_ref().is_some_and(|name| *name != self.name) {
            self.person()?;
        }
        reply(self.state.launch(request, &self.name, process)?)
    }

    fn end(&self, run: &remit_core::id::RunId) -> Reply {
        if self.state.owner(Kind::Run, run.as_str())?.as_ref() != Some(&self.by) {
            self.person()?;
        }
        let mut core = self.state.core();
        self.state.end(&mut core, run)?;
        reply(serde_json::Map::new())
    }

    fn revoke(&self, kind: Kind, id: &str, why: &str) -> Reply {
        // A lockdown needs no PIN: in an emergency anybody outside the runs may stop a tool. Lifting it does.
        let own = kind == Kind::Lockdown || self.state.owner(kind, id)?.as_ref() == Some(&self.by);
        match kind {
            // By its own command, and not even the platform's to lift.
            Kind::Veto | Kind::VetoLift => self.needs(&[OrgRole::AgentSecurity])?,
            Kind::Agent if !own => {
                let owner = self.state.agent_and_owner(id).ok().map(|(_, team)| OrgRole::of(&team, Post::Owner));
                let others = [OrgRole::Platform, OrgRole::AgentSecurity];
                self.needs(&owner.into_iter().chain(others).collect::<Vec<_>>())?;
            }
            _ if !own => self.needs(&[OrgRole::Platform, OrgRole::AgentSecurity])?,
            _ => {}
        }
        reply(self.state.revoke(kind, id, why, &self.by)?)
    }

    fn shown(&self, name: &remit_core::id::ServerName) -> Reply {
        let error = self.published();
        self.show(name, error)
    }

    fn show(&self, name: &remit_core::id::ServerName, bundle_error: Option<String>) -> Reply {
        let (server, tools) = self.state.server(name)?;
        let (secrets, oauth, connections) = self.credentials(name)?;
        let redirect = oauth.as_ref().and_then(|record| self.redirect(record));
        reply(ServerShown { server, tools, secrets, oauth, redirect, connections, bundle_error })
    }

    /// What was registered is registered, whether or not it makes a valid bundle; the answer says which.
    fn published(&self) -> Option<String> {
        self.state.publish().err().map(|error| error.to_string())
    }
}

fn wider(error: AuthorityError, widened: &[String]) -> AuthorityError {
    match error {
        AuthorityError::Refused(mut rejection) => {
            let what = widened.join(", ");
            rejection.message = format!("this manifest widens {what}: {}", rejection.message);
            AuthorityError::Refused(rejection)
        }
        other => other,
    }
}
