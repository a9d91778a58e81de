//! What the tables hold of credentials: static ones, clients of authorization servers, and connections of people.
//!
//! A row without a record was taken away. `before` is the version whose data key has to be destroyed.

use remit_core::id::{PrincipalId, ServerName};
use rusqlite::{Transaction, params};

use super::Store;
use super::apply::{Applied, done, int, json};
use super::read::{Found, List};
use crate::broker::record::{ConnectionRecord, OauthRecord, connection_subject, oauth_subject};
use crate::change::{Change, SecretRecord};
use crate::error::AuthorityError;

pub(super) fn apply(tx: &Transaction<'_>, change: &Change) -> Applied {
    match change {
        Change::SecretGone { server, place, scope, version, .. } => {
            let sql = "UPDATE secrets SET before = version, version = ?4, record = NULL
                       WHERE server = ?1 AND place = ?2 AND scope = ?3";
            done(tx.execute(sql, params![server.as_str(), place.to_string(), scope.to_string(), int(*version)]))
        }
        Change::Oauth(record) => oauth(tx, record),
        Change::Connected(record) => {
            let sql = "INSERT INTO connections (server, principal, version, record) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (server, principal) DO UPDATE
                       SET before = CASE WHEN json_extract(record, '$.first') <> ?5
                                    THEN json_extract(record, '$.first') ELSE before END,
                           version = excluded.version, record = excluded.record";
            let (server, principal) = (record.server.as_str(), record.principal.as_str());
            done(tx.execute(sql, params![server, principal, int(record.version), json(record)?, int(record.first)]))
        }
        Change::Disconnected { server, principal, version, .. } => {
            let sql = "UPDATE connections SET before = json_extract(record, '$.first'), version = ?3, record = NULL
                       WHERE server = ?1 AND principal = ?2 AND record IS NOT NULL";
            done(tx.execute(sql, params![server.as_str(), principal.as_str(), int(*version)]))
        }
        _ => Ok(()),
    }
}

/// Tokens of another client, or of another authorization server, are of no use any more.
fn oauth(tx: &Transaction<'_>, record: &OauthRecord) -> Applied {
    let sql = "UPDATE connections SET before = json_extract(record, '$.first'), version = ?4, record = NULL
               WHERE server = ?1 AND record IS NOT NULL AND (json_extract(record, '$.issuer') <> ?2 OR json_extract(record, '$.client') <> ?3)";
    tx.execute(sql, params![record.server.as_str(), record.issuer, record.client, int(record.version)])?;
    let sql = "INSERT INTO oauth (server, version, record) VALUES (?1, ?2, ?3)
               ON CONFLICT (server) DO UPDATE
               SET before = version, version = excluded.version, record = excluded.record";
    done(tx.execute(sql, params![record.server.as_str(), int(record.version), json(record)?]))
}

/// What is reached somewhere else now is somebody else.
pub(super) fn moved(tx: &Transaction<'_>, server: &ServerName) -> Applied {
    let sql = "UPDATE oauth SET record = NULL, before = version WHERE server = ?1 AND record IS NOT NULL";
    tx.execute(sql, [server.as_str()])?;
    let sql = "UPDATE connections SET before = json_extract(record, '$.first'), record = NULL
               WHERE server = ?1 AND record IS NOT NULL";
    done(tx.execute(sql, [server.as_str()]))
}

/// What only a person's own calls could use is gone with the person.
pub(super) fn erased(tx: &Transaction<'_>, principal: &PrincipalId) -> Applied {
    let sql = "UPDATE connections SET before = json_extract(record, '$.first'), record = NULL
               WHERE principal = ?1 AND record IS NOT NULL";
    tx.execute(sql, [principal.as_str()])?;
    let sql = "UPDATE secrets SET record = NULL, before = version WHERE scope = ?1 AND record IS NOT NULL";
    done(tx.execute(sql, [format!("principal:{principal}")]))
}

impl Store {
    /// The credentials of a server, as they are sealed, everybody's first.
    pub(crate) fn secrets(&self, server: &ServerName) -> List<SecretRecord> {
        let sql = "SELECT record FROM secrets WHERE server = ?1 AND record IS NOT NULL ORDER BY place, scope";
        self.all(sql, [server.as_str()])
    }

    /// The highest version of what stood at a place and was taken away; 0 where there is none.
    pub(crate) fn secret_gone(&self, server: &ServerName) -> Result<u64, AuthorityError> {
        self.version("SELECT coalesce(max(version), 0) FROM secrets WHERE server = ?1 AND record IS NULL", server)
    }

    /// How the authority is a client of the server's authorization server.
    pub(crate) fn oauth(&self, server: &ServerName) -> Found<OauthRecord> {
        self.one("SELECT record FROM oauth WHERE server = ?1 AND record IS NOT NULL", [server.as_str()])
    }

    /// A person's connection to a server.
    pub(crate) fn connection(&self, server: &ServerName, principal: &PrincipalId) -> Found<ConnectionRecord> {
        let sql = "SELECT record FROM connections WHERE server = ?1 AND principal = ?2 AND record IS NOT NULL";
        self.one(sql, [server.as_str(), principal.as_str()])
    }

    /// Everybody's connections to a server.
    pub(crate) fn connections(&self, server: &ServerName) -> List<ConnectionRecord> {
        let sql = "SELECT record FROM connections WHERE server = ?1 AND record IS NOT NULL ORDER BY principal";
        self.all(sql, [server.as_str()])
    }

    /// The servers to which a person is connected.
    pub(crate) fn connected(&self, principal: &PrincipalId) -> List<ServerName> {
        let sql =
            "SELECT json_quote(server) FROM connections WHERE principal = ?1 AND record IS NOT NULL ORDER BY server";
        self.all(sql, [principal.as_str()])
    }

    /// The version of the newest beginning or end of a connection; 0 where there is none. It never falls, whoever connects
    /// again.
    pub(crate) fn connections_version(&self, server: &ServerName) -> Result<u64, AuthorityError> {
        let sql = "SELECT coalesce(max(coalesce(json_extract(record, '$.first'), version)), 0)
                   FROM connections WHERE server = ?1";
        self.version(sql, server)
    }

    /// The highest version that any credential of a server ever had.
    pub(crate) fn secret_version(&self, server: &ServerName) -> Result<u64, AuthorityError> {
        let sql = "SELECT coalesce(max(version), 0) FROM (
                   SELECT version FROM secrets WHERE server = ?1 UNION ALL
                   SELECT version FROM oauth WHERE server = ?1 UNION ALL
                   SELECT version FROM connections WHERE server = ?1)";
        self.version(sql, server)
    }

    fn version(&self, sql: &str, server: &ServerName) -> Result<u64, AuthorityError> {
        let version: i64 = self.connection.prepare_cached(sql)?.query_row([server.as_str()], |row| row.get(0))?;
        Ok(u64::try_from(version).unwrap_or(0))
    }

    /// Whose data keys have to be destroyed: of what was replaced or taken away last.
    pub(crate) fn replaced_secrets(&self) -> List<String> {
        let sql = "SELECT json_array(server, place, before) FROM secrets WHERE before IS NOT NULL";
        let placed: Vec<(ServerName, String, u64)> = self.all(sql, [])?;
        let mut subjects: Vec<String> =
            placed.into_iter().map(|(server, place, before)| format!("{server} {place} {before}")).collect();
        let of = |(server, before): (ServerName, u64)| oauth_subject(&server, before);
        let sql = "SELECT json_array(server, before) FROM oauth WHERE before IS NOT NULL";
        subjects.extend(self.all(sql, [])?.into_iter().map(of));
        let of = |(server, before): (ServerName, u64)| connection_subject(&server, before);
        let sql = "SELECT json_array(server, before) FROM connections WHERE before IS NOT NULL";
        subjects.extend(self.all(sql, [])?.into_iter().map(of));
        Ok(subjects)
    }
}
