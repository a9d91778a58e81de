//! Asks, renewed grants, and what became of grants: what changes do to them, and questions.

use remit_core::id::{AgentId, GrantId, PrincipalId, RunId};
use rusqlite::{Transaction, params};

use super::Store;
use super::apply::{Applied, done, json};
use super::read::{Found, List};
use crate::asks::record::AskRecord;
use crate::change::{Change, Extension, Grant, TokenRecord};
use crate::error::AuthorityError;

/// How many of the newest grants are looked at for how long grants take.
const TIMES_MAX: i64 = 10_000;
/// How many of an agent's newest grants are looked at for what it used.
const USED_MAX: i64 = 64;

/// Held: neither over nor taken back, by a run that is live.
const HELD: &str = "SELECT grants.record FROM grants JOIN runs ON runs.id = grants.run
    WHERE grants.until > ?1 AND runs.ended IS NULL AND runs.until > ?1
    AND NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'grant' AND revocations.id = grants.id)
    ORDER BY grants.at, grants.rowid";
const HELD_BY: &str = "SELECT record FROM grants WHERE run = ?2 AND until > ?1
    AND NOT EXISTS (SELECT 1 FROM revocations WHERE kind = 'grant' AND revocations.id = grants.id)
    ORDER BY ceiling DESC, at, rowid";
const OPEN: &str = "SELECT record FROM asks WHERE state IN ('open', 'allowed') ORDER BY until, id";
const USED: &str = "SELECT record FROM (
        SELECT id, record FROM grants WHERE json_extract(record, '$.agent') = ?1 ORDER BY at DESC LIMIT ?2) AS newest
    WHERE EXISTS (SELECT 1 FROM uses WHERE gid = newest.id)";

pub(super) fn apply(tx: &Transaction<'_>, change: &Change) -> Applied {
    match change {
        Change::Extended(extension) => extended(tx, extension),
        Change::Ask(ask) => {
            let sql = "INSERT INTO asks (id, run, principal, state, until, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            let run = ask.run.as_ref().map(|(run, _)| run.as_str());
            done(tx.execute(sql, params![ask.id, run, ask.principal.as_str(), ask.state.name(), ask.until, json(ask)?]))
        }
        Change::AskAnswered(answer) => {
            let state = if answer.allowed { "allowed" } else { "denied" };
            let sql = "UPDATE asks SET state = ?2, until = ?3, record = json_set(
                       record, '$.state', ?2, '$.until', ?3, '$.answered_by', ?4) WHERE id = ?1";
            done(tx.execute(sql, params![answer.id, state, answer.until, answer.by.as_str()]))
        }
        Change::AskEnded(ended) => {
            let sql = "UPDATE asks SET state = ?2, record = json_set(record, '$.state', ?2) WHERE id = ?1";
            done(tx.execute(sql, params![ended.id, ended.state.name()]))
        }
        _ => Ok(()),
    }
}

fn extended(tx: &Transaction<'_>, extension: &Extension) -> Applied {
    let sql = "UPDATE grants SET until = ?2, record = json_set(record, '$.until', ?2) WHERE id = ?1";
    done(tx.execute(sql, params![extension.grant.as_str(), extension.until]))
}

/// What a person allowed is used up by the grant that comes of it.
pub(super) fn granted(tx: &Transaction<'_>, grant: &Grant) -> Applied {
    let Some(ask) = &grant.ask else { return Ok(()) };
    let sql = "UPDATE asks SET state = 'granted', record = json_set(
               record, '$.state', 'granted', '$.grant', ?2) WHERE id = ?1";
    done(tx.execute(sql, params![ask, grant.id.as_str()]))
}

/// A grant was stated as a token, for these places.
pub(super) fn used(tx: &Transaction<'_>, token: &TokenRecord) -> Applied {
    let sql = "INSERT INTO uses (gid, audience, tokens, last) VALUES (?1, ?2, 1, ?3)
               ON CONFLICT (gid, audience) DO UPDATE SET tokens = tokens + 1, last = excluded.last";
    let mut statement = tx.prepare_cached(sql)?;
    for audience in &token.audience {
        statement.execute(params![token.grant.as_str(), audience, token.at])?;
    }
    Ok(())
}

/// The words of whoever is forgotten go; what was asked under the pseudonym stays.
pub(super) fn erased(tx: &Transaction<'_>, principal: &PrincipalId) -> Applied {
    let sql = "UPDATE asks SET record = json_set(record, '$.asked.why', 'erased') WHERE principal = ?1";
    done(tx.execute(sql, [principal.as_str()]))
}

impl Store {
    /// Grants that are held: neither over nor taken back, by runs that are live.
    pub(crate) fn held(&self, now: i64) -> List<Grant> {
        self.all(HELD, [now])
    }

    /// The same of one run, the ceiling first.
    pub(crate) fn held_by(&self, run: &RunId, now: i64) -> List<Grant> {
        self.all(HELD_BY, params![now, run.as_str()])
    }

    /// Asks that wait for an answer, or for whoever asked.
    pub(crate) fn open_asks(&self) -> List<AskRecord> {
        self.all(OPEN, [])
    }

    /// An ask by its id.
    pub(crate) fn ask(&self, id: &str) -> Found<AskRecord> {
        self.one("SELECT record FROM asks WHERE id = ?1", [id])
    }

    /// How many asks a run ever had.
    pub(crate) fn asks_of(&self, run: &RunId) -> Result<usize, AuthorityError> {
        let sql = "SELECT count(*) FROM asks WHERE run = ?1";
        let count: i64 = self.connection.prepare_cached(sql)?.query_row([run.as_str()], |row| row.get(0))?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// How many grants say how long they took, and the times of the newest, in microseconds, the shortest first.
    pub(crate) fn took(&self, asked: bool) -> Result<(u64, Vec<u64>), AuthorityError> {
        let sql = "SELECT count(*) FROM grants WHERE asked = ?1 AND took IS NOT NULL";
        let count: i64 = self.connection.prepare_cached(sql)?.query_row([asked], |row| row.get(0))?;
        let sql = "SELECT took FROM grants WHERE asked = ?1 AND took IS NOT NULL ORDER BY at DESC LIMIT ?2";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![asked, TIMES_MAX], |row| row.get::<_, i64>(0))?;
        let mut times = rows.collect::<Result<Vec<_>, _>>()?;
        times.sort_unstable();
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok((unsigned(count), times.into_iter().map(unsigned).collect()))
    }

    /// An agent's newest grants of which a token was ever given.
    pub(crate) fn used_by(&self, agent: &AgentId) -> List<Grant> {
        self.all(USED, params![agent.to_string(), USED_MAX])
    }

    /// For which places a token of a grant was ever given.
    pub(crate) fn used_at(&self, grant: &GrantId) -> List<String> {
        let all: Vec<[String; 1]> =
            self.all("SELECT json_array(audience) FROM uses WHERE gid = ?1 ORDER BY audience", [grant.as_str()])?;
        Ok(all.into_iter().map(|[place]| place).collect())
    }
}
