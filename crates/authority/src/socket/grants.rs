//! What is said over the sockets about what is held, and about what a person is asked for; and who may say it.

use std::sync::Arc;

use remit_core::id::{GrantId, RunId};
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Kind;
use serde::{Deserialize, Serialize};

use super::admin::{Admin, Reply};
use super::reply;
use super::wire::{Request, Word};
use crate::asks::record::AskRecord;
use crate::authority::State;
use crate::error::AuthorityError;
use crate::grant::Asked;
use crate::held::Whose;

/// What is asked of the admin socket about grants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GrantAsk {
    /// What is held: a list of [`crate::held::Held`].
    List(Whose),
    /// Renews a grant, within what still allows it: [`super::wire::Requested`]. Somebody else's needs the PIN.
    Renew {
        /// The grant.
        grant: GrantId,
        /// For how long from now; as long as may be where nothing is said.
        #[serde(default, rename = "for")]
        duration: String,
    },
    /// Gives a grant back before its end: a revocation. Somebody else's needs the PIN.
    Return {
        /// The grant.
        grant: GrantId,
    },
    /// Grants what is asked for, or asks a person: [`crate::asks::record::Asking`].
    Ask(Box<Request>),
    /// How an ask stands: [`crate::asks::record::Asking`]. Whoever asked gets what was allowed.
    Asked {
        /// The ask.
        id: String,
    },
    /// Takes an ask back: [`AskRecord`]. Somebody else's needs the PIN.
    Withdraw {
        /// The ask.
        id: String,
    },
}

/// The same of a run's socket: of its own grants and asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HeldAsk {
    /// What the run holds: a list of [`crate::held::Held`].
    List {},
    /// Renews a grant within the ceiling: [`super::wire::Requested`].
    Renew {
        /// The grant.
        grant: GrantId,
        /// For how long from now; as long as may be where nothing is said.
        #[serde(default, rename = "for")]
        duration: String,
    },
    /// Gives a grant back before its end: a revocation.
    Return {
        /// The grant.
        grant: GrantId,
    },
    /// Grants what is asked for, or asks a person: [`crate::asks::record::Asking`].
    Ask {
        /// What is asked for.
        asked: Asked,
    },
    /// How an ask of this run stands: [`crate::asks::record::Asking`].
    Asked {
        /// The ask.
        id: String,
    },
    /// Takes an ask of this run back: [`AskRecord`].
    Withdraw {
        /// The ask.
        id: String,
    },
}

impl Admin<'_> {
    pub(super) fn grants(&self, ask: GrantAsk) -> Reply {
        let state = self.state;
        match ask {
            GrantAsk::List(whose) => reply(state.held(&whose)?),
            GrantAsk::Renew { grant, duration } => {
                self.own_grant(&grant)?;
                reply(state.extend(&grant, None, &duration, Some(&self.by))?)
            }
            GrantAsk::Return { grant } => {
                self.own_grant(&grant)?;
                reply(state.give_back(&grant, None, Some(&self.by))?)
            }
            GrantAsk::Ask(request) => {
                if request.pid.is_some() {
                    let message = "what a person allows begins when it is come for, and binds no process of now";
                    return Err(refused(Code::RequestInvalid, message, "leave --pid out"));
                }
                // As with a request that is granted at once.
                if request.principal.as_ref().is_some_and(|name| *name != self.name) {
                    self.person()?;
                }
                reply(state.ask(&request, &self.name, &self.by)?)
            }
            GrantAsk::Asked { id } => reply(state.asked(&id, &self.by)?),
            GrantAsk::Withdraw { id } => {
                let ask = state.ask_named(&id)?.ok_or_else(|| unknown(&id))?;
                if ask.by != self.by && ask.principal != self.by {
                    self.person()?;
                }
                reply(state.withdraw(&ask.id, &self.by)?)
            }
        }
    }

    /// A person's word on an ask: by name alone, since it hangs on who it is.
    pub(super) fn answer_ask(&self, ask: &AskRecord, word: &Word) -> Reply {
        if !self.named {
            let message = format!("{} answers this, and who you are is not said", ask.role);
            let verb = if word.allow { "approve" } else { "deny" };
            let help = format!("say it, with your own PIN: remit {verb} {} --as NAME", ask.id);
            return Err(refused(Code::RoleRequired, &message, &help));
        }
        reply(self.state.answer_ask(&ask.id, word, &self.by)?)
    }

    fn own_grant(&self, grant: &GrantId) -> Result<(), AuthorityError> {
        if self.state.owner(Kind::Grant, grant.as_str())?.as_ref() == Some(&self.by) { Ok(()) } else { self.person() }
    }
}

pub(super) fn of_run(state: &Arc<State>, run: &RunId, ask: HeldAsk) -> Reply {
    match ask {
        HeldAsk::List {} => reply(state.held(&Whose { run: Some(run.clone()), ..Whose::default() })?),
        HeldAsk::Renew { grant, duration } => reply(state.extend(&grant, Some(run), &duration, None)?),
        HeldAsk::Return { grant } => reply(state.give_back(&grant, Some(run), None)?),
        HeldAsk::Ask { asked } => reply(state.ask_within(run, &asked)?),
        HeldAsk::Asked { id } => reply(state.asked_within(&id, run)?),
        HeldAsk::Withdraw { id } => reply(state.withdraw_within(&id, run)?),
    }
}

fn unknown(id: &str) -> AuthorityError {
    let id: String = id.chars().filter(char::is_ascii_graphic).take(32).collect();
    refused(Code::RequestInvalid, &format!("nothing was asked for under `{id}`"), "see what waits: remit approvals")
}

fn refused(code: Code, message: &str, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
