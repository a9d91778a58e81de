//! The tables, and how an older file becomes a newer one. Structures that are only read whole stand as JSON.

use rusqlite::Connection;

use crate::error::AuthorityError;

/// One step each, in order; a file of `user_version` n has had the first n of them.
const MIGRATIONS: &[&str] = &[FIRST, REFRESH, SECRETS, LIVE, ORGANIZATION, ISSUERS, BROKER, ASKS];

const FIRST: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE principals (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, at INTEGER NOT NULL) STRICT;
CREATE TABLE agents (
    id TEXT PRIMARY KEY, short TEXT NOT NULL UNIQUE, name TEXT NOT NULL, record TEXT NOT NULL,
    at INTEGER NOT NULL) STRICT;
CREATE INDEX agents_name ON agents (name);
CREATE TABLE servers (name TEXT PRIMARY KEY, record TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE tools (
    server TEXT NOT NULL REFERENCES servers (name), name TEXT NOT NULL, pin TEXT NOT NULL,
    exposed INTEGER NOT NULL, record TEXT NOT NULL, PRIMARY KEY (server, name)) STRICT;
CREATE TABLE runs (
    id TEXT PRIMARY KEY, root TEXT NOT NULL, parent TEXT REFERENCES runs (id),
    agent TEXT NOT NULL REFERENCES agents (id), principal TEXT NOT NULL, jkt TEXT NOT NULL,
    until INTEGER NOT NULL, ended INTEGER, record TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX runs_live ON runs (until) WHERE ended IS NULL;
CREATE TABLE grants (
    id TEXT PRIMARY KEY, run TEXT NOT NULL REFERENCES runs (id), root TEXT NOT NULL,
    ceiling INTEGER NOT NULL, until INTEGER NOT NULL, record TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX grants_run ON grants (run);
CREATE INDEX grants_until ON grants (until);
CREATE TABLE tokens (
    jti TEXT PRIMARY KEY, gid TEXT NOT NULL REFERENCES grants (id), exp INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_exp ON tokens (exp);
CREATE TABLE revocations (
    seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL,
    record TEXT NOT NULL) STRICT;
CREATE TABLE keys (
    kid TEXT PRIMARY KEY, signs_from INTEGER NOT NULL, retired INTEGER, record TEXT NOT NULL) STRICT;
CREATE TABLE bundles (
    version INTEGER PRIMARY KEY, not_after INTEGER NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL) STRICT;
";

/// Refresh tokens, by their digests; of one run the last one that was given is good.
const REFRESH: &str = "
CREATE TABLE refresh (
    digest TEXT NOT NULL UNIQUE, run TEXT NOT NULL REFERENCES runs (id), record TEXT NOT NULL) STRICT;
CREATE INDEX refresh_run ON refresh (run);
";

/// A row of `secrets` without a record was taken away; its version is never given again.
const SECRETS: &str = "
CREATE TABLE secrets (
    server TEXT NOT NULL, place TEXT NOT NULL, version INTEGER NOT NULL, before INTEGER, record TEXT,
    PRIMARY KEY (server, place)) STRICT;
CREATE TABLE gateways (name TEXT PRIMARY KEY, jkt TEXT NOT NULL, record TEXT NOT NULL) STRICT;
CREATE INDEX gateways_jkt ON gateways (jkt);
";

/// Whoever registered the agents of a team so far owns it. Registrations get their end when the authority opens.
const ORGANIZATION: &str = "
CREATE TABLE teams (name TEXT PRIMARY KEY, removed INTEGER NOT NULL, record TEXT NOT NULL) STRICT;
CREATE TABLE roles (
    role TEXT NOT NULL, person TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (role, person)) STRICT;
CREATE TABLE owners (agent TEXT PRIMARY KEY, team TEXT NOT NULL) STRICT;
CREATE TABLE imports (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
ALTER TABLE agents ADD COLUMN expires INTEGER;
CREATE TEMP TABLE first AS SELECT
    json_extract(record, '$.manifest.agent.team') AS team, json_extract(record, '$.by') AS by, min(at) AS at
    FROM agents GROUP BY team;
INSERT INTO teams SELECT team, 0, json_object('name', team, 'removed', json('false'), 'at', at, 'by', by) FROM first;
INSERT INTO roles SELECT team || '/owner', by, at FROM first;
DROP TABLE first;
";

/// Live runs are found by what is known of them, however many there are.
const LIVE: &str = "
CREATE INDEX runs_process ON runs (json_extract(record, '$.process.pid')) WHERE ended IS NULL;
CREATE INDEX runs_parent ON runs (parent) WHERE ended IS NULL;
CREATE INDEX runs_key ON runs (jkt);
CREATE INDEX runs_tree ON runs (root) WHERE ended IS NULL;
";

const ISSUERS: &str = "
CREATE TABLE issuers (url TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
ALTER TABLE principals ADD COLUMN shown TEXT;
ALTER TABLE principals ADD COLUMN workload INTEGER NOT NULL DEFAULT 0;
";

/// Credentials that are only for some calls, clients of authorization servers, and connections of people. As above, what
/// has no record was taken away.
const BROKER: &str = "
CREATE TABLE secrets_of (
    server TEXT NOT NULL, place TEXT NOT NULL, scope TEXT NOT NULL, version INTEGER NOT NULL, before INTEGER, record TEXT,
    PRIMARY KEY (server, place, scope)) STRICT;
INSERT INTO secrets_of SELECT server, place, 'all', version, before, record FROM secrets;
DROP TABLE secrets;
ALTER TABLE secrets_of RENAME TO secrets;
CREATE TABLE oauth (server TEXT PRIMARY KEY, version INTEGER NOT NULL, before INTEGER, record TEXT) STRICT;
CREATE TABLE connections (
    server TEXT NOT NULL, principal TEXT NOT NULL, version INTEGER NOT NULL, before INTEGER, record TEXT,
    PRIMARY KEY (server, principal)) STRICT;
CREATE INDEX connections_principal ON connections (principal);
";

/// What people are asked for, how long grants took, and which grants were ever stated as a token, where.
const ASKS: &str = "
CREATE TABLE asks (
    id TEXT PRIMARY KEY, run TEXT, principal TEXT NOT NULL, state TEXT NOT NULL, until INTEGER NOT NULL,
    record TEXT NOT NULL) STRICT;
CREATE INDEX asks_open ON asks (until) WHERE state IN ('open', 'allowed');
CREATE INDEX asks_run ON asks (run) WHERE run IS NOT NULL;
ALTER TABLE grants ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE grants ADD COLUMN took INTEGER;
CREATE INDEX grants_took ON grants (asked, at, took) WHERE took IS NOT NULL;
CREATE INDEX grants_agent ON grants (json_extract(record, '$.agent'), at);
CREATE TABLE uses (
    gid TEXT NOT NULL, audience TEXT NOT NULL, tokens INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (gid, audience)) STRICT, WITHOUT ROWID;
CREATE INDEX revocations_id ON revocations (kind, id);
";

/// Brings the file to the newest version; refuses one that is newer.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), AuthorityError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(AuthorityError::Newer { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        let version = i64::try_from(step.saturating_add(1)).unwrap_or(i64::MAX);
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: leave the agents of an earlier release to nobody, who would be frozen then.
    #[test]
    fn whoever_registered_agents_before_there_were_teams_owns_them() {
        let mut connection = Connection::open_in_memory().unwrap();
        for sql in MIGRATIONS.iter().take(3) {
            connection.execute_batch(sql).unwrap();
        }
        connection.pragma_update(None, "user_version", 3).unwrap();
        for (name, team, by, at) in [("a", "desk", "p-2", 2), ("b", "desk", "p-1", 1), ("c", "docs", "p-1", 3)] {
            let record = serde_json::json!({ "manifest": { "agent": { "team": team } }, "by": by }).to_string();
            let sql = "INSERT INTO agents (id, short, name, record, at) VALUES (?1, ?1, ?1, ?2, ?3)";
            connection.execute(sql, rusqlite::params![name, record, at]).unwrap();
        }
        migrate(&mut connection).unwrap();
        let rows = |sql: &str| {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.map(Result::unwrap).collect::<Vec<_>>()
        };
        assert_eq!(rows("SELECT role || ' ' || person FROM roles ORDER BY role"), ["desk/owner p-1", "docs/owner p-1"]);
        let teams: Vec<crate::org::TeamRecord> = rows("SELECT record FROM teams ORDER BY name")
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        assert_eq!((teams.len(), teams[0].at, teams[0].removed), (2, 1, false));
        assert_eq!(rows("SELECT id FROM agents WHERE expires IS NOT NULL"), [""; 0]);
    }

    #[test]
    fn an_empty_file_is_brought_up_and_a_newer_one_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        migrate(&mut connection).unwrap();
        let tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table'", [], |r| r.get(0)).unwrap();
        assert_eq!(tables, 23);
        connection.pragma_update(None, "user_version", 99).unwrap();
        let refused = migrate(&mut connection).unwrap_err();
        assert!(matches!(refused, AuthorityError::Newer { found: 99, known: 8 }), "{refused}");
    }
}
