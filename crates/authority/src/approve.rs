//! Approvals: what waits for a person's word, and what becomes of it.

use std::collections::BTreeSet;

use remit_core::id::PrincipalId;
use remit_core::manifest::Manifest;
use remit_core::owner::is_owned;
use remit_core::rejection::{Code, Rejection};
use remit_core::role::OrgRole;
use remit_core::target::Target;

use crate::authority::State;
use crate::change::{Change, LoginAnswered, ToolRecord};
use crate::error::AuthorityError;
use crate::grant::Asked;
use crate::login::{Allowed, Here, LoginShown};
use crate::request::judge;
use crate::socket::wire::{Answered, Approval, Word};
use crate::store::Store;

impl State {
    /// What waits for a person's word, the oldest first.
    pub(crate) fn approvals(&self) -> Result<Vec<Approval>, AuthorityError> {
        let core = self.core();
        let store = core.journal.store();
        let imports = store.open_imports()?;
        let mut logins = Vec::new();
        for mut login in self.logins.waiting(self.config.clock.now()) {
            login.owners = owners(store, &login.tools)?;
            logins.push(Approval::Login(Box::new(login)));
        }
        let asks = self.asks_waiting(store)?.into_iter().map(|ask| Approval::Scope(Box::new(ask)));
        Ok(imports.into_iter().map(|import| Approval::Import(Box::new(import))).chain(asks).chain(logins).collect())
    }

    /// Takes a person's word. It is recorded before anything comes of it; `asker` is the person's name.
    pub(crate) fn answer(&self, word: &Word, asker: &str, by: &PrincipalId) -> Result<Answered, AuthorityError> {
        let answer = |id: &str, allowed, now| Ok(self.logins.answer(id, allowed, now).then_some(()));
        self.judged_by(word, asker, by, answer).map(|(answered, ())| answered)
    }

    /// The same from a person whose browser is here.
    pub(crate) fn answer_here(
        &self,
        word: &Word,
        asker: &str,
        by: &PrincipalId,
    ) -> Result<(Answered, Here), AuthorityError> {
        self.judged_by(word, asker, by, |id, allowed, now| self.logins.answer_here(id, allowed, now))
    }

    fn judged_by<T>(
        &self,
        word: &Word,
        asker: &str,
        by: &PrincipalId,
        answer: impl FnOnce(&str, Option<Allowed>, i64) -> Result<Option<T>, AuthorityError>,
    ) -> Result<(Answered, T), AuthorityError> {
        let now = self.config.clock.now();
        let login = self.logins.find(&word.id, now).ok_or_else(|| {
            let message = format!("nothing waits for a word under `{}`", letters(&word.id));
            refused(Code::RequestInvalid, message, "see what does: remit approvals")
        })?;
        let granted = if word.allow { Some(self.allowed(&login, word)?) } else { None };
        let mut core = self.core();
        core.journal.record(&Change::Login(LoginAnswered {
            id: login.id.clone(),
            client: login.client.clone(),
            agent: login.agent.clone(),
            tools: login.tools.clone(),
            why: if word.allow { word.why.clone() } else { String::new() },
            allowed: word.allow,
            by: by.clone(),
            at: now,
        }))?;
        let allowed = granted.clone().map(|asked| Allowed { asker: asker.to_owned(), asked });
        if let Some(came) = answer(&login.id, allowed, now)? {
            return Ok((Answered { approval: Approval::Login(Box::new(login)), asked: granted }, came));
        }
        let message = format!("`{}` was answered already, or its time is over", login.id);
        Err(refused(Code::RequestInvalid, message, "see what waits: remit approvals"))
    }

    /// What is granted when the client comes for it; judged now too, so that whoever allows it hears why not.
    fn allowed(&self, login: &LoginShown, word: &Word) -> Result<Asked, AuthorityError> {
        let core = self.core();
        let agent = core.journal.store().agent(&login.agent)?.ok_or_else(|| {
            let message = format!("the agent {} is not registered any more", login.agent.short());
            refused(Code::AgentUnregistered, message, "register it: remit agent register agent.toml")
        })?;
        let usual = || longest(&agent.manifest, &login.tools);
        let duration = if word.duration.is_empty() { usual() } else { word.duration.clone() };
        let asked = Asked {
            tools: login.tools.clone(),
            constraints: login.constraints.clone(),
            duration,
            why: word.why.clone(),
        };
        judge(self, &core, &agent.manifest, &asked)?;
        Ok(asked)
    }
}

/// Who answers for what is asked for: the owner of each server that has a tool of T1 or above among it.
fn owners(store: &Store, tools: &[String]) -> Result<Vec<OrgRole>, AuthorityError> {
    let mut owners = BTreeSet::new();
    for target in tools.iter().filter_map(|text| text.parse::<Target>().ok()) {
        let Target::Tool(name, tool) = &target else { continue };
        let meant = |record: &ToolRecord| tool.as_ref().is_none_or(|tool| *tool == record.name);
        if store.tools(name)?.iter().any(|record| meant(record) && is_owned(record.tier)) {
            owners.extend(store.server(name)?.map(|server| server.owner.unwrap_or(OrgRole::Platform)));
        }
    }
    Ok(owners.into_iter().collect())
}

/// The longest time for which all of these may be granted.
pub(crate) fn longest(manifest: &Manifest, tools: &[String]) -> String {
    let longest = tools.iter().filter_map(|tool| manifest.need(&tool.parse().ok()?));
    let shortest = longest.min_by_key(|need| need.longest_s()).map(|need| need.longest.clone());
    // Where nothing of it is declared, that is what stands in the way, and not the time.
    shortest.unwrap_or_else(|| "1m".into())
}

/// What somebody typed, fit to be shown.
fn letters(typed: &str) -> String {
    typed.chars().filter(char::is_ascii_graphic).take(32).collect()
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
