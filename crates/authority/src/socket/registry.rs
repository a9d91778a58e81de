//! Who may do what with teams, roles, people and registrations, before it is done.

use remit_core::id::Team;
use remit_core::rejection::{Code, Rejection};
use remit_core::role::{OrgRole, Post};

use super::admin::{Admin, Reply};
use super::org::{RegistryAsk, TeamAsk};
use super::reply;
use super::wire::Word;
use crate::error::AuthorityError;
use crate::org::Import;
use crate::{posture, roles, standing};

impl Admin<'_> {
    pub(super) fn team(&self, ask: TeamAsk) -> Reply {
        let state = self.state;
        let done = || reply(serde_json::Map::new());
        match ask {
            TeamAsk::Add { name } => {
                // What was given up may still have agents: those are not had by asking.
                let before = state.core().journal.store().team(&name)?;
                if before.is_some_and(|team| team.removed) {
                    self.person()?;
                }
                reply(state.add_team(&name, &self.by)?)
            }
            TeamAsk::List {} => reply(state.teams()?),
            TeamAsk::Show { name } => reply(state.team(&name)?),
            TeamAsk::Remove { name } => {
                self.needs(&of_team(&name))?;
                let shown = state.remove_team(&name, &self.by)?;
                reply(shown)
            }
            TeamAsk::Roles {} => reply(state.roles()?),
            TeamAsk::Role { role, person, held } => {
                match role.team() {
                    Some(team) => self.needs(&of_team(team))?,
                    None => self.person()?,
                }
                reply(state.put_role(&role, &person, held, &self.by)?)
            }
            TeamAsk::People {} => reply(state.people()?),
            TeamAsk::AddPerson { name, new } => {
                if state.is_known(&name)? {
                    self.person()?;
                } else {
                    self.proven()?;
                }
                state.add_person(&name, &new)?;
                done()
            }
            TeamAsk::RemovePerson { name } => {
                self.person()?;
                reply(state.remove_person(&name, &self.by)?)
            }
            TeamAsk::OwnPin { new } => {
                if !self.named {
                    let help = "say who you are: remit person pin --as NAME";
                    let message = "whose PIN it is is not said";
                    return Err(AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help)));
                }
                state.set_own_pin(&self.by, self.pin, &new)?;
                done()
            }
        }
    }

    pub(super) fn registry(&self, ask: RegistryAsk) -> Reply {
        let state = self.state;
        match ask {
            RegistryAsk::Standings { unused_days } => reply(state.standings(unused_days)?),
            RegistryAsk::Renew { agent } => {
                let (agent, team) = state.agent_and_owner(&agent)?;
                self.needs(&of_team(&team))?;
                reply(state.renew(&agent, self.by.as_str())?)
            }
            RegistryAsk::Own { agent, team } => {
                let (agent, _) = state.agent_and_owner(&agent)?;
                self.person()?;
                reply(state.own(&agent, &team, &self.by)?)
            }
            RegistryAsk::Veto { agent, lift, why } => {
                self.needs(&[OrgRole::AgentSecurity])?;
                reply(state.veto(&agent, lift, &why, &self.by)?)
            }
            RegistryAsk::Export { agent } => {
                let (agent, team) = state.agent_and_owner(&agent)?;
                reply(posture::export(state, &agent, &team)?)
            }
            RegistryAsk::Import { statement, key } => reply(state.bring(&statement, &key, &self.by)?),
        }
    }

    /// A person's word on an agent that another authority knows: it is registered here as a new one is, by whoever may.
    pub(super) fn import(&self, import: Import, word: &Word) -> Reply {
        if word.allow {
            let team = standing::owner(self.state.core().journal.store(), &import.agent)?;
            self.needs(&of_team(&team))?;
        }
        let answered = self.state.answer_import(import, word, &self.by)?;
        if word.allow {
            self.state.publish()?;
        }
        reply(answered)
    }

    /// Whoever asks holds one of these roles, and shows by a PIN that they are a person. The administrators' PIN stands for
    /// the platform; whoever gives it is also whoever they are.
    pub(super) fn needs(&self, roles: &[OrgRole]) -> Result<(), AuthorityError> {
        self.proven().map_err(|error| belongs(error, roles))?;
        if !self.named && roles.contains(&OrgRole::Platform) {
            return Ok(());
        }
        roles::required(self.state.core().journal.store(), &self.by, roles)
    }
}

/// To whom a team's affairs belong.
pub(super) fn of_team(team: &Team) -> [OrgRole; 2] {
    [OrgRole::of(team, Post::Owner), OrgRole::Platform]
}

/// A refusal that says whose business it is.
fn belongs(error: AuthorityError, roles: &[OrgRole]) -> AuthorityError {
    match error {
        AuthorityError::Refused(mut rejection) if rejection.code == Code::AdminRequired => {
            let names: Vec<String> = roles.iter().map(ToString::to_string).collect();
            rejection.message = format!("{}; it belongs to {}", rejection.message, names.join(" or "));
            AuthorityError::Refused(rejection)
        }
        other => other,
    }
}
