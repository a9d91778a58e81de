//! What each change does to the tables. Applying the same change to the same tables always gives the same tables.

use remit_core::id::{PrincipalId, ServerName};
use rusqlite::{OptionalExtension as _, Transaction, params};
use serde::Serialize;

use super::asks;
use super::broker;
use super::org;
use crate::change::{
    AgentRecord, Change, Grant, KeyRecord, Principal, Run, SecretRecord, ServerRecord, TokenRecord, ToolRecord,
};
use crate::error::AuthorityError;

pub(super) type Applied = Result<(), AuthorityError>;

pub(super) fn apply(tx: &Transaction<'_>, change: &Change) -> Applied {
    match change {
        Change::Principal(record) => principal(tx, record),
        Change::Agent(record) => agent(tx, record),
        Change::Server(record) => server(tx, record),
        Change::Tools { server, tools, .. } => tools.iter().try_for_each(|t| tool(tx, server, t)),
        Change::Launched { run: begun, grant: ceiling } => {
            run(tx, begun)?;
            grant(tx, ceiling)
        }
        Change::Granted(record) => grant(tx, record),
        Change::Extended(_) | Change::Ask(_) | Change::AskAnswered(_) | Change::AskEnded(_) => asks::apply(tx, change),
        Change::Ended { run, at } => {
            let sql = "UPDATE runs SET ended = ?2 WHERE id = ?1 AND ended IS NULL";
            tx.execute("DELETE FROM refresh WHERE run = ?1", [run.as_str()])?;
            done(tx.execute(sql, params![run.as_str(), at]))
        }
        Change::Rekeyed { run, key, .. } => {
            let sql = "UPDATE runs SET jkt = ?2, record = json_set(record, '$.key', json(?3)) WHERE id = ?1";
            done(tx.execute(sql, params![run.as_str(), key.thumbprint(), json(key)?]))
        }
        Change::Erased { principal, .. } => erase(tx, principal),
        Change::Token(record) => token(tx, record),
        Change::Revoked { revocation, .. } => {
            let sql = "INSERT INTO revocations (seq, kind, id, at, record) VALUES (?1, ?2, ?3, ?4, ?5)";
            let kind = revocation.kind.name();
            done(tx.execute(sql, params![int(revocation.seq), kind, revocation.id, revocation.at, json(revocation)?]))
        }
        Change::Key(record) => key(tx, record),
        Change::KeyRetired { kid, at } => {
            done(tx.execute("UPDATE keys SET retired = ?2 WHERE kid = ?1", params![kid, at]))
        }
        Change::Secret(record) => secret(tx, record),
        Change::Gateway(record) => {
            let sql = "INSERT INTO gateways (name, jkt, record) VALUES (?1, ?2, ?3)
                       ON CONFLICT (name) DO UPDATE SET jkt = excluded.jkt, record = excluded.record";
            done(tx.execute(sql, params![record.name.as_str(), record.key.thumbprint(), json(record)?]))
        }
        Change::GatewayGone { name, .. } => done(tx.execute("DELETE FROM gateways WHERE name = ?1", [name.as_str()])),
        Change::Team(record) => org::team(tx, record),
        Change::Role(record) => org::role(tx, record),
        Change::Renewed(renewal) => org::renewed(tx, renewal),
        Change::Owned(owned) => org::owned(tx, owned),
        Change::Import(import) => org::import(tx, import),
        Change::Issuer(record) => {
            let sql = "INSERT INTO issuers (url, record) VALUES (?1, ?2)
                       ON CONFLICT (url) DO UPDATE SET record = excluded.record";
            done(tx.execute(sql, params![record.url, json(record)?]))
        }
        Change::IssuerGone { url, .. } => done(tx.execute("DELETE FROM issuers WHERE url = ?1", [url])),
        Change::SecretGone { .. } | Change::Oauth(_) | Change::Connected(_) | Change::Disconnected { .. } => {
            broker::apply(tx, change)
        }
        // What was lent stands in the log.
        Change::Login(_) | Change::Leased(_) | Change::Lent { .. } | Change::Refused(_) => Ok(()),
        Change::Bundle { version, not_after, digest, at } => {
            let sql = "INSERT INTO bundles (version, not_after, digest, at) VALUES (?1, ?2, ?3, ?4)";
            done(tx.execute(sql, params![int(*version), not_after, digest, at]))
        }
    }
}

fn principal(tx: &Transaction<'_>, record: &Principal) -> Applied {
    let sql = "INSERT INTO principals (id, name, at, shown, workload) VALUES (?1, ?2, ?3, ?4, ?5)";
    done(tx.execute(sql, params![record.id.as_str(), record.name, record.at, record.shown, record.workload]))
}

fn agent(tx: &Transaction<'_>, record: &AgentRecord) -> Applied {
    let name = format!("{}/{}", record.id.team, record.id.name);
    let sql = "INSERT INTO agents (id, short, name, record, at, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (id) DO UPDATE SET record = excluded.record, at = excluded.at, expires = excluded.expires";
    let id = record.id.to_string();
    tx.execute(sql, params![id, record.id.short(), name, json(record)?, record.at, record.expires])?;
    org::first_owner(tx, record)
}

/// What is reached somewhere else now is somebody else: it gets none of the credentials from before.
fn server(tx: &Transaction<'_>, record: &ServerRecord) -> Applied {
    let before: Option<String> = tx
        .query_row("SELECT record FROM servers WHERE name = ?1", [record.name.as_str()], |row| row.get(0))
        .optional()?;
    let before: Option<ServerRecord> = before.map(|text| serde_json::from_str(&text)).transpose()?;
    if before.is_some_and(|before| before.upstream != record.upstream) {
        let sql = "UPDATE secrets SET record = NULL, before = version WHERE server = ?1 AND record IS NOT NULL";
        tx.execute(sql, [record.name.as_str()])?;
        broker::moved(tx, &record.name)?;
    }
    let sql = "INSERT INTO servers (name, record, at) VALUES (?1, ?2, ?3)
               ON CONFLICT (name) DO UPDATE SET record = excluded.record, at = excluded.at";
    done(tx.execute(sql, params![record.name.as_str(), json(record)?, record.at]))
}

fn secret(tx: &Transaction<'_>, record: &SecretRecord) -> Applied {
    let sql = "INSERT INTO secrets (server, place, scope, version, record) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (server, place, scope) DO UPDATE
               SET before = version, version = excluded.version, record = excluded.record";
    let (server, place, scope) = (record.server.as_str(), record.place.to_string(), record.scope.to_string());
    done(tx.execute(sql, params![server, place, scope, int(record.version), json(record)?]))
}

fn tool(tx: &Transaction<'_>, server: &ServerName, record: &ToolRecord) -> Applied {
    let sql = "INSERT INTO tools (server, name, pin, exposed, record) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (server, name) DO UPDATE
               SET pin = excluded.pin, exposed = excluded.exposed, record = excluded.record";
    let (server, name) = (server.as_str(), record.name.as_str());
    done(tx.execute(sql, params![server, name, record.pin, record.exposed, json(record)?]))
}

fn run(tx: &Transaction<'_>, record: &Run) -> Applied {
    let sql = "INSERT INTO runs (id, root, parent, agent, principal, jkt, until, record, at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    done(tx.prepare_cached(sql)?.execute(params![
        record.id.as_str(),
        record.root.as_str(),
        record.parent.as_ref().map(remit_core::id::RunId::as_str),
        record.agent.to_string(),
        record.principal.as_str(),
        record.key.thumbprint(),
        record.until,
        json(record)?,
        record.at
    ]))
}

fn grant(tx: &Transaction<'_>, record: &Grant) -> Applied {
    let sql = "INSERT INTO grants (id, run, root, ceiling, until, record, at, asked, took)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    asks::granted(tx, record)?;
    done(tx.prepare_cached(sql)?.execute(params![
        record.id.as_str(),
        record.run.as_str(),
        record.root.as_str(),
        record.ceiling,
        record.until,
        json(record)?,
        record.at,
        record.ask.is_some(),
        record.took_us.map(int)
    ]))
}

fn token(tx: &Transaction<'_>, record: &TokenRecord) -> Applied {
    // What has expired needs no row: the log keeps it.
    tx.prepare_cached("DELETE FROM tokens WHERE exp < ?1")?.execute([record.at])?;
    let sql = "INSERT INTO tokens (jti, gid, exp) VALUES (?1, ?2, ?3)";
    let row = params![record.jti, record.grant.as_str(), record.exp];
    tx.prepare_cached(sql)?.execute(row)?;
    asks::used(tx, record)?;
    let Some(refresh) = &record.refresh else { return Ok(()) };
    let sql = "INSERT INTO refresh (digest, run, record) VALUES (?1, ?2, ?3)";
    done(tx.execute(sql, params![refresh.digest, record.run.as_str(), json(refresh)?]))
}

/// The name and the person's words go; what was done under the pseudonym stays.
fn erase(tx: &Transaction<'_>, principal: &PrincipalId) -> Applied {
    tx.execute("DELETE FROM principals WHERE id = ?1", [principal.as_str()])?;
    org::forget(tx, principal)?;
    broker::erased(tx, principal)?;
    asks::erased(tx, principal)?;
    let sql = "UPDATE grants SET record = json_set(record, '$.why', 'erased')
               WHERE json_extract(record, '$.principal') = ?1";
    done(tx.execute(sql, [principal.as_str()]))
}

fn key(tx: &Transaction<'_>, record: &KeyRecord) -> Applied {
    let sql = "INSERT INTO keys (kid, signs_from, record) VALUES (?1, ?2, ?3)";
    done(tx.execute(sql, params![record.key.kid, record.signs_from, json(record)?]))
}

pub(super) fn json(value: &impl Serialize) -> Result<String, AuthorityError> {
    Ok(serde_json::to_string(value)?)
}

/// The database's integers have 63 bits; a count that does not fit was never reached.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn done(result: rusqlite::Result<usize>) -> Applied {
    Ok(result.map(|_| ())?)
}
