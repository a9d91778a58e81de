//! People who are known by name, each with a PIN of their own. Whoever logs in by other means is a person too, and has none.
//!
//! **Invariant:** nobody is taken for a person without that person's PIN, whatever else is given.

use remit_audit::durable;
use remit_core::id::PrincipalId;
use remit_core::rejection::{Code, Rejection};
use remit_core::revoked::Kind;

use crate::authority::State;
use crate::error::AuthorityError;
use crate::pin::Pin;
use crate::socket::wire::PersonGone;

/// Longest name of a person, in bytes.
const NAME_BYTES_MAX: usize = 64;

impl State {
    /// Whoever says that they are this person, with the PIN that shows it.
    pub(crate) fn proven(&self, name: &str, pin: Option<&str>) -> Result<PrincipalId, AuthorityError> {
        let id = self.core().journal.store().principal_named(name)?;
        // Who does not exist, and who has no PIN, is told by nothing.
        let unknown = || {
            let message = format!("nobody is known here as `{}`", shown(name));
            refused(Code::AdminRequired, message, "make them known: remit person add NAME")
        };
        let id = id.ok_or_else(unknown)?;
        let own = self.own_pin(&id);
        if !own.is_set() {
            return Err(unknown());
        }
        own.check(pin, self.config.clock.now())?;
        Ok(id)
    }

    /// Makes a person known, or gives one who is known another PIN.
    pub(crate) fn add_person(&self, name: &str, new: &str) -> Result<PrincipalId, AuthorityError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@+".contains(&byte);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
            let message = format!("a person's name has letters, digits and `-_.@+`, at most {NAME_BYTES_MAX}");
            return Err(refused(Code::RequestInvalid, message, "choose such a name: remit person add ada"));
        }
        let id = self.principal(&mut self.core(), name)?;
        let own = self.own_pin(&id);
        let dir = self.home.people();
        durable::create_dir(&dir).map_err(AuthorityError::at(&dir))?;
        own.replace(new)?;
        Ok(id)
    }

    /// Whether somebody was ever met by this name, with a PIN or without: roles and connections may be theirs.
    pub(crate) fn is_known(&self, name: &str) -> Result<bool, AuthorityError> {
        Ok(self.core().journal.store().principal_named(name)?.is_some())
    }

    /// A person's own change of their PIN.
    pub(crate) fn set_own_pin(&self, id: &PrincipalId, old: Option<&str>, new: &str) -> Result<(), AuthorityError> {
        self.own_pin(id).set(old, new, self.config.clock.now())
    }

    /// Names of those who have a PIN.
    pub(crate) fn people(&self) -> Result<Vec<String>, AuthorityError> {
        let dir = self.home.people();
        let core = self.core();
        let mut names = Vec::new();
        let files = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
            files => files.map_err(AuthorityError::at(&dir))?,
        };
        for file in files {
            let name = file.map_err(AuthorityError::at(&dir))?.file_name();
            let id = name.to_str().and_then(|name| PrincipalId::new(name).ok());
            let person = id.map(|id| core.journal.store().principal_by_id(&id)).transpose()?.flatten();
            names.extend(person.map(|person| person.name));
        }
        names.sort();
        Ok(names)
    }

    /// A person's PIN goes with them; what they held goes too, and what acts for them stops.
    pub(crate) fn remove_person(&self, name: &str, by: &PrincipalId) -> Result<PersonGone, AuthorityError> {
        let id = self.core().journal.store().principal_named(name)?.filter(|id| self.own_pin(id).is_set());
        let id = id.ok_or_else(|| {
            refused(
                Code::RequestInvalid,
                format!("nobody is known as `{}`", shown(name)),
                "see who is: remit person list",
            )
        })?;
        self.forget_pin(&id)?;
        self.strip(&id, by)?;
        let runs = self.stop_runs_of(&id, by)?;
        let servers = self.core().journal.store().connected(&id)?;
        for server in &servers {
            self.end_connection(server, &id, "the person was removed")?;
        }
        let bundle_error = self.publish().err().map(|error| error.to_string());
        Ok(PersonGone { name: name.to_owned(), runs, servers, bundle_error })
    }

    /// Takes every live run of somebody back, and says how many there were.
    fn stop_runs_of(&self, id: &PrincipalId, by: &PrincipalId) -> Result<usize, AuthorityError> {
        let mut core = self.core();
        let mut runs = core.journal.store().live_runs(self.config.clock.now())?;
        runs.retain(|run| run.principal == *id);
        for run in &runs {
            self.revoke_in(&mut core, Kind::Run, run.id.as_str(), "the person was removed", by)?;
        }
        Ok(runs.len())
    }

    /// Destroys a person's PIN, where they have one.
    pub(crate) fn forget_pin(&self, id: &PrincipalId) -> Result<(), AuthorityError> {
        let path = self.home.people().join(id.as_str());
        if !path.exists() {
            return Ok(());
        }
        durable::remove(&path).map_err(AuthorityError::at(&path))
    }

    /// Takes every role from somebody who is gone, also the last one of a team: what they leave is nobody's, and frozen.
    fn strip(&self, id: &PrincipalId, by: &PrincipalId) -> Result<(), AuthorityError> {
        use crate::change::Change;
        use crate::org::RoleRecord;
        let mut core = self.core();
        for role in core.journal.store().roles()? {
            if crate::roles::holds(core.journal.store(), id, &role)? {
                let at = self.config.clock.now();
                let record = RoleRecord { role, person: id.clone(), holds: false, at, by: by.clone() };
                core.journal.record(&Change::Role(record))?;
            }
        }
        Ok(())
    }

    fn own_pin(&self, id: &PrincipalId) -> Pin {
        Pin::at(self.home.people().join(id.as_str()))
    }
}

/// What somebody typed, fit to be shown.
fn shown(name: &str) -> String {
    name.chars().filter(char::is_ascii_graphic).take(NAME_BYTES_MAX).collect()
}

fn refused(code: Code, message: String, help: &str) -> AuthorityError {
    AuthorityError::Refused(Rejection::new(code, message, help))
}
