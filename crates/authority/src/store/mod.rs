//! The database: what the changes of the log add up to, in `SQLite`.
//!
//! **Invariant:** every write is the application of a change that is durable in the log, in one transaction with the
//! index of its entry. The database may be deleted: it is rebuilt from the log.

mod apply;
mod asks;
mod broker;
mod org;
mod read;
mod runs;
mod schema;

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};

use crate::change::Change;
use crate::error::AuthorityError;

pub(crate) use read::LastBundle;

/// The open database.
pub(crate) struct Store {
    connection: Connection,
}

/// How far the log was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The log's origin, which names its epoch.
    pub(crate) origin: String,
    /// Entries that were applied.
    pub(crate) entries: u64,
}

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Self, AuthorityError> {
        private(path).map_err(AuthorityError::at(path))?;
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "trusted_schema", "OFF")?;
        // What is erased leaves no trace in the file's free pages.
        connection.pragma_update(None, "secure_delete", "ON")?;
        // One statement per kind of change and of question, all of which stay prepared.
        connection.set_prepared_statement_cache_capacity(64);
        let mut store = Self { connection };
        schema::migrate(&mut store.connection)?;
        Ok(store)
    }

    /// How far the log was applied; nothing where the database is new.
    pub(crate) fn applied(&self) -> Result<Option<Applied>, AuthorityError> {
        let text = |key: &str| {
            self.connection
                .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, String>(0))
                .optional()
        };
        let (Some(origin), Some(entries)) = (text("log_origin")?, text("applied_entries")?) else {
            return Ok(None);
        };
        let entries = serde_json::from_str(&entries)?;
        Ok(Some(Applied { origin, entries }))
    }

    /// Applies the change of one entry, or notes that an entry holds none that can be read any more.
    pub(crate) fn apply(&mut self, change: Option<&Change>, applied: &Applied) -> Result<(), AuthorityError> {
        let transaction = self.connection.transaction()?;
        if let Some(change) = change {
            apply::apply(&transaction, change)?;
        }
        let put = "INSERT INTO meta (key, value) VALUES (?1, ?2)
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        let mut statement = transaction.prepare_cached(put)?;
        statement.execute(params!["log_origin", applied.origin])?;
        statement.execute(params!["applied_entries", applied.entries.to_string()])?;
        drop(statement);
        transaction.commit()?;
        if let Some(Change::Erased { .. }) = change {
            // Nor in the write-ahead log.
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(())
    }
}

/// Names of people stand in the file, so its owner alone may read it; what lies beside it gets the same mode.
fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// Without these, what was answered could be gone after a power cut, or be read by others.
    #[test]
    fn the_database_is_durable_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("authority.db");
        let store = Store::open(&path).unwrap();
        let pragma = |name: &str| {
            let value = store
                .connection
                .query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0));
            format!("{:?}", value.unwrap())
        };
        assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
        for (name, value) in [("synchronous", 2), ("foreign_keys", 1), ("trusted_schema", 0), ("secure_delete", 1)] {
            assert_eq!(pragma(name), format!("Integer({value})"), "{name}");
        }
        for file in std::fs::read_dir(dir.path()).unwrap() {
            let mode = file.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
