//! Questions to the database.

use remit_core::bundle::FEED_PAGE_MAX;
use remit_core::id::{AgentId, GrantId, Instance, PrincipalId, RunId, ServerName};
use remit_core::revoked::Revocation;
use rusqlite::{OptionalExtension as _, Params, params};
use serde::de::DeserializeOwned;

use super::Store;
use crate::change::{AgentRecord, GatewayRecord, Grant, KeyRecord, Principal, Refresh, Run, ServerRecord, ToolRecord};
use crate::error::AuthorityError;
use crate::issuer::IssuerRecord;

pub(super) type Found<T> = Result<Option<T>, AuthorityError>;
pub(super) type List<T> = Result<Vec<T>, AuthorityError>;

/// A part of the revocation feed.
pub(crate) struct Feed {
    /// Position of the feed's last entry.
    pub(crate) seq: u64,
    /// What follows the position that was asked for.
    pub(crate) entries: Vec<Revocation>,
}

/// The bundle that was issued last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LastBundle {
    pub(crate) version: u64,
    pub(crate) not_after: i64,
    pub(crate) digest: String,
}

impl Store {
    pub(super) fn one<T: DeserializeOwned>(&self, sql: &str, by: impl Params) -> Found<T> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let text: Option<String> = statement.query_row(by, |row| row.get(0)).optional()?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
    }

    pub(super) fn all<T: DeserializeOwned>(&self, sql: &str, by: impl Params) -> List<T> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(by, |row| row.get::<_, String>(0))?;
        rows.map(|text| Ok(serde_json::from_str(&text?)?)).collect()
    }

    pub(crate) fn principal_named(&self, name: &str) -> Found<PrincipalId> {
        self.principal("SELECT id, name, at, shown, workload FROM principals WHERE name = ?1", name)
            .map(|found| found.map(|principal| principal.id))
    }

    pub(crate) fn principal_by_id(&self, id: &PrincipalId) -> Found<Principal> {
        self.principal("SELECT id, name, at, shown, workload FROM principals WHERE id = ?1", id.as_str())
    }

    fn principal(&self, sql: &str, by: &str) -> Found<Principal> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        };
        let Some((id, name, at, shown, workload)) = statement.query_row([by], read).optional()? else {
            return Ok(None);
        };
        let id = PrincipalId::new(id).map_err(|error| stored(&error))?;
        Ok(Some(Principal { id, name, shown, workload, at }))
    }

    pub(crate) fn agents(&self) -> List<AgentRecord> {
        self.all("SELECT record FROM agents ORDER BY id", [])
    }

    pub(crate) fn agent(&self, id: &AgentId) -> Found<AgentRecord> {
        self.one("SELECT record FROM agents WHERE id = ?1", [id.to_string()])
    }

    /// An agent as people write it: `<team>/<name>@<version>`, or without the version the one registered last.
    pub(crate) fn agent_named(&self, text: &str) -> Found<AgentRecord> {
        let sql = "SELECT record FROM agents WHERE short = ?1 OR name = ?1 ORDER BY at DESC, rowid DESC LIMIT 1";
        self.one(sql, [text])
    }

    pub(crate) fn servers(&self) -> List<ServerRecord> {
        self.all("SELECT record FROM servers ORDER BY name", [])
    }

    pub(crate) fn server(&self, name: &ServerName) -> Found<ServerRecord> {
        self.one("SELECT record FROM servers WHERE name = ?1", [name.as_str()])
    }

    pub(crate) fn tools(&self, server: &ServerName) -> List<ToolRecord> {
        let sql = "SELECT record FROM tools WHERE server = ?1 ORDER BY name";
        self.all(sql, [server.as_str()])
    }

    pub(crate) fn gateways(&self) -> List<GatewayRecord> {
        self.all("SELECT record FROM gateways ORDER BY name", [])
    }

    /// The gateway that has this key, by its thumbprint.
    pub(crate) fn gateway_of_key(&self, jkt: &str) -> Found<GatewayRecord> {
        self.one("SELECT record FROM gateways WHERE jkt = ?1", [jkt])
    }

    pub(crate) fn issuers(&self) -> List<IssuerRecord> {
        self.all("SELECT record FROM issuers ORDER BY url", [])
    }

    pub(crate) fn issuer(&self, url: &str) -> Found<IssuerRecord> {
        self.one("SELECT record FROM issuers WHERE url = ?1", [url])
    }

    pub(crate) fn run(&self, id: &RunId) -> Found<Run> {
        self.one("SELECT record FROM runs WHERE id = ?1", [id.as_str()])
    }

    /// A run that has this key, by its thumbprint.
    pub(crate) fn run_of_key(&self, jkt: &str) -> Found<Run> {
        self.one("SELECT record FROM runs WHERE jkt = ?1 LIMIT 1", [jkt])
    }

    /// A refresh token by its digest: whose it is, what it stands for, and whether it is the run's last one.
    pub(crate) fn refresh(&self, digest: &str) -> Result<Option<(RunId, Refresh, bool)>, AuthorityError> {
        let sql = "SELECT run, record, rowid = (SELECT max(rowid) FROM refresh AS other WHERE other.run = refresh.run)
                   FROM refresh WHERE digest = ?1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: Option<(String, String, bool)> = self.connection.query_row(sql, [digest], read).optional()?;
        let Some((run, record, last)) = found else { return Ok(None) };
        let run = RunId::new(run).map_err(|_| AuthorityError::Crypto)?;
        Ok(Some((run, serde_json::from_str(&record)?, last)))
    }

    /// A run that has neither ended nor outlived its ceiling.
    pub(crate) fn live_run(&self, id: &RunId, now: i64) -> Found<Run> {
        let sql = "SELECT record FROM runs WHERE id = ?1 AND ended IS NULL AND until > ?2";
        self.one(sql, params![id.as_str(), now])
    }

    pub(crate) fn live_runs(&self, now: i64) -> List<Run> {
        let sql = "SELECT record FROM runs WHERE ended IS NULL AND until > ?1 ORDER BY at, rowid";
        self.all(sql, [now])
    }

    /// The acting instances that delegated to a run, the nearest first.
    pub(crate) fn spawned_by(&self, run: &Run) -> List<Instance> {
        let mut above = Vec::new();
        let mut parent = run.parent.clone();
        // As many as its lineage has tokens: no record can make this endless.
        for _ in &run.lin {
            let Some(next) = parent.map(|id| self.run(&id)).transpose()?.flatten() else { break };
            above.push(next.instance());
            parent = next.parent;
        }
        Ok(above)
    }

    pub(crate) fn grant(&self, id: &GrantId) -> Found<Grant> {
        self.one("SELECT record FROM grants WHERE id = ?1", [id.as_str()])
    }

    pub(crate) fn ceiling(&self, run: &RunId) -> Found<Grant> {
        let sql = "SELECT record FROM grants WHERE run = ?1 AND ceiling = 1";
        self.one(sql, [run.as_str()])
    }

    pub(crate) fn live_grants(&self, now: i64) -> List<Grant> {
        let sql = "SELECT record FROM grants WHERE until > ?1 ORDER BY at, rowid";
        self.all(sql, [now])
    }

    /// The grant of a token that has not expired.
    pub(crate) fn token_grant(&self, jti: &str) -> Found<Grant> {
        let sql = "SELECT grants.record FROM tokens JOIN grants ON grants.id = gid WHERE jti = ?1";
        self.one(sql, [jti])
    }

    pub(crate) fn keys(&self) -> List<KeyRecord> {
        let sql = "SELECT record FROM keys WHERE retired IS NULL ORDER BY signs_from, kid";
        self.all(sql, [])
    }

    pub(crate) fn feed(&self, after: u64) -> Result<Feed, AuthorityError> {
        let last = "SELECT coalesce(max(seq), 0) FROM revocations";
        let seq: i64 = self.connection.prepare_cached(last)?.query_row([], |row| row.get(0))?;
        let sql = "SELECT record FROM revocations WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let limit = i64::try_from(FEED_PAGE_MAX).unwrap_or(i64::MAX);
        Ok(Feed { seq: u64::try_from(seq).unwrap_or(0), entries: self.all(sql, params![after, limit])? })
    }

    pub(crate) fn revocations(&self) -> List<Revocation> {
        self.all("SELECT record FROM revocations ORDER BY seq", [])
    }

    pub(crate) fn last_bundle(&self) -> Found<LastBundle> {
        let sql = "SELECT version, not_after, digest FROM bundles ORDER BY version DESC LIMIT 1";
        let row = self
            .connection
            .prepare_cached(sql)?
            .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?)));
        Ok(row.optional()?.map(|(version, not_after, digest)| LastBundle {
            version: u64::try_from(version).unwrap_or(0),
            not_after,
            digest,
        }))
    }
}

fn stored(error: &impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Stored(serde::de::Error::custom(error))
}
