//! Registering agents: what a manifest widens is seen, and needs a person.

use remit_core::claims::TEXT_BYTES_MAX;
use remit_core::id::{AgentId, PrincipalId};
use remit_core::manifest::{Manifest, Need};
use remit_core::registry::Environment;
use remit_core::rejection::{Code, Rejection};

use crate::authority::State;
use crate::change::{AgentRecord, Change};
use crate::error::AuthorityError;
use crate::hygiene::end;
use crate::roles::unreserved;
use crate::separation;

/// Longest tag, in bytes, and most tags of one agent.
const TAG_BYTES_MAX: usize = 64;
const TAGS_MAX: usize = 64;

impl State {
    /// Reads a manifest and says what it widens, in the words of `agent.toml`.
    pub(crate) fn review(&self, text: &str) -> Result<(AgentRecord, Vec<String>), AuthorityError> {
        self.review_manifest(Manifest::parse(text).map_err(|error| refused(error.to_string()))?)
    }

    /// The same of a manifest that was read already.
    pub(crate) fn review_manifest(&self, manifest: Manifest) -> Result<(AgentRecord, Vec<String>), AuthorityError> {
        bounded(&manifest)?;
        unreserved(&manifest.agent.team)?;
        separation::may_be(&self.rules()?, &manifest)?;
        let id = AgentId {
            trust_domain: self.config.trust_domain.clone(),
            team: manifest.agent.team.clone(),
            name: manifest.agent.name.clone(),
            version: manifest.agent.version.clone(),
        };
        let core = self.core();
        let store = core.journal.store();
        let name = format!("{}/{}", id.team, id.name);
        // A new version is compared with the last one: a version number is no way around the review.
        let before = match store.agent(&id)? {
            Some(same) => Some(same),
            None => store.agent_named(&name)?,
        };
        let at = self.config.clock.now();
        let mut wider = before.as_ref().map_or_else(Vec::new, |old| widened(&old.manifest, &manifest));
        // One that is over is as good as new: whoever renews it sees what is at stake.
        let ends = before.as_ref().map(|old| store.expires(&old.id)).transpose()?.flatten();
        if before.is_none() || ends.is_some_and(|end| end <= at) {
            let stakes = at_stake(&manifest).into_iter().filter(|stake| !wider.contains(stake)).collect::<Vec<_>>();
            wider.extend(stakes);
        }
        if let Some(team) = store.team(&id.team)?.filter(|team| team.removed) {
            let message = format!("the team `{}` was given up", team.name);
            let help = format!("the platform brings it back: remit team add {}", team.name);
            return Err(AuthorityError::Refused(Rejection::new(Code::AgentFrozen, message, help)));
        }
        let mut record = AgentRecord { id, widened: !wider.is_empty(), expires: None, manifest, at, by: String::new() };
        record.expires = Some(end(&record, at));
        Ok((record, wider))
    }

    /// Registers what was reviewed.
    pub(crate) fn register(&self, record: AgentRecord, by: &PrincipalId) -> Result<(), AuthorityError> {
        let record = AgentRecord { by: by.to_string(), ..record };
        self.core().journal.record(&Change::Agent(record))?;
        Ok(())
    }
}

fn bounded(manifest: &Manifest) -> Result<(), AuthorityError> {
    let about = &manifest.agent;
    if about.purpose.len() > TEXT_BYTES_MAX {
        return Err(refused(format!("`purpose` is longer than {TEXT_BYTES_MAX} bytes")));
    }
    if about.tags.len() > TAGS_MAX || about.tags.iter().any(|tag| tag.len() > TAG_BYTES_MAX) {
        let message = format!("more than {TAGS_MAX} tags, or one longer than {TAG_BYTES_MAX} bytes");
        return Err(refused(message));
    }
    Ok(())
}

fn refused(message: String) -> AuthorityError {
    let help = "mend agent.toml, then: remit agent register agent.toml";
    AuthorityError::Refused(Rejection::new(Code::RequestInvalid, message, help))
}

/// What a person must have seen of an agent that is new. One that stays in staging and names what it needs is registered
/// at once: control fits the stakes.
pub(crate) fn at_stake(new: &Manifest) -> Vec<String> {
    let wildcards = new.needs.iter().filter(|need| need.target.is_wildcard());
    let mut stakes: Vec<String> = wildcards.map(|need| format!("need `{}`", need.target)).collect();
    let production = new.agent.environment == Environment::Production;
    stakes.extend(new.agent.bearer.then(|| "`bearer = true`".to_owned()));
    stakes.extend(new.agent.offline.then(|| "`offline = true`".to_owned()));
    stakes.extend(production.then(|| "`environment = \"production\"`".to_owned()));
    stakes.extend((!new.agent.clients.is_empty()).then(|| "`clients`".to_owned()));
    stakes.extend((!new.agent.redirect_uris.is_empty()).then(|| "`redirect_uris`".to_owned()));
    stakes
}

/// What the new manifest allows and the old one did not.
fn widened(old: &Manifest, new: &Manifest) -> Vec<String> {
    let covered = |need: &Need| {
        old.needs.iter().any(|held| held.target.covers(&need.target) && need.longest_s() <= held.longest_s())
    };
    let needs = new.needs.iter().filter(|need| !covered(need));
    let mut wider: Vec<String> = needs.map(|need| format!("need `{}` for {}", need.target, need.longest)).collect();
    let mut if_wider = |wide: bool, what: &str| {
        if wide {
            wider.push(what.to_owned());
        }
    };
    let production = |m: &Manifest| m.agent.environment == Environment::Production;
    if_wider(new.agent.bearer && !old.agent.bearer, "`bearer = true`");
    if_wider(new.agent.offline && !old.agent.offline, "`offline = true`");
    let added = |new: &[String], old: &[String]| new.iter().any(|url| !old.contains(url));
    if_wider(added(&new.agent.clients, &old.agent.clients), "`clients`");
    if_wider(added(&new.agent.redirect_uris, &old.agent.redirect_uris), "`redirect_uris`");
    if_wider(production(new) && !production(old), "`environment = \"production\"`");
    if_wider(new.tier() < old.tier(), "a lower control tier");
    if_wider(new.registration_days() > old.registration_days(), "`expires`");
    // Without a tag, a rule about it stands against nothing.
    if_wider(old.agent.tags.iter().any(|tag| !new.agent.tags.contains(tag)), "a tag less");
    if_wider(new.budget.calls > old.budget.calls, "budget `calls`");
    if_wider(new.budget.calls_per_minute > old.budget.calls_per_minute, "budget `calls_per_minute`");
    if_wider(new.budget.repeats > old.budget.repeats, "budget `repeats`");
    let longer = |need: &&Need| {
        let old = old.needs.iter().find(|old| old.target == need.target);
        old.is_some_and(|old| old.until_s().unwrap_or(i64::MAX) < need.until_s().unwrap_or(i64::MAX))
    };
    wider.extend(new.needs.iter().filter(longer).map(|need| format!("need `{}` for longer", need.target)));
    wider
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"
        [agent]
        name = "triage"
        version = "1"
        team = "support"
        purpose = "sorts tickets"
        [harm]
        writes = true
        reversible = false
        autonomous = true
        [[need]]
        tool = "tickets/read"
        reason = "x"
        longest = "15m"
        [[need]]
        tool = "docs/*"
        reason = "x"
        longest = "5m"
        wildcard = true
        [budget]
        calls = 10
    "#;

    #[track_caller]
    fn check(from: &str, to: &str, wider: &[&str]) {
        let [old, new] = [OLD.to_owned(), OLD.replace(from, to)].map(|text| Manifest::parse(&text).unwrap());
        assert_eq!(widened(&old, &new), wider, "{from} → {to}");
    }

    #[test]
    fn a_new_agent_needs_a_person_for_what_is_at_stake() {
        let stakes = |text: &str| at_stake(&Manifest::parse(text).unwrap());
        assert_eq!(stakes(OLD), ["need `docs/*`"]);
        let named = OLD.replace("docs/*", "docs/search").replace("wildcard = true", "");
        assert_eq!(stakes(&named), [""; 0]);
        assert_eq!(stakes(&named.replace("purpose", "bearer = true\npurpose")), ["`bearer = true`"]);
        assert_eq!(stakes(&named.replace("purpose", "offline = true\npurpose")), ["`offline = true`"]);
        let production = named.replace("purpose", "environment = \"production\"\npurpose");
        assert_eq!(stakes(&production), ["`environment = \"production\"`"]);
    }

    #[test]
    fn each_way_of_widening_is_named_and_narrowing_is_not() {
        check("version = \"1\"", "version = \"2\"", &[]);
        check("15m", "10m", &[]);
        check("15m", "20m", &["need `tickets/read` for 20m"]);
        check("tickets/read", "tickets/delete", &["need `tickets/delete` for 15m"]);
        check("tickets/read\"", "docs/search\"", &["need `docs/search` for 15m"]);
        check("\"docs/*\"", "\"mail/*\"", &["need `mail/*` for 5m"]);
        check("tool = \"tickets/read\"", "prompt = \"tickets/read\"", &["need `prompt:tickets/read` for 15m"]);
        check("tool = \"tickets/read\"", "resource = \"docs/x:y\"", &["need `resource:docs/x:y` for 15m"]);
        check("purpose", "bearer = true\npurpose", &["`bearer = true`"]);
        check("purpose", "offline = true\npurpose", &["`offline = true`"]);
        check("purpose", "environment = \"production\"\npurpose", &["`environment = \"production\"`"]);
        check("reversible = false", "reversible = true", &["a lower control tier"]);
        check("calls = 10", "calls = 11", &["budget `calls`"]);
        check("calls = 10", "calls = 9", &[]);
        check("purpose", "expires = \"91d\"\npurpose", &["`expires`"]);
        check("purpose", "expires = \"89d\"\npurpose", &[]);
        check("purpose", "tags = [\"customer-data\"]\npurpose", &[]);
        check("longest = \"15m\"", "longest = \"15m\"\nuntil = \"2027-01-31\"", &[]);
    }
}
