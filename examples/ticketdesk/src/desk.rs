//! The desk itself: tickets, customers and money in `SQLite`, and the ledger beside them.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::{Value, json};

use crate::call::{Call, Status};
use crate::ledger::{self, Effect, Outcome};
use crate::seed;

/// How long a writer waits for another process that has the same file open.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the desk did not do it. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The caller named a ticket that does not exist.
    #[error("there is no ticket {0}")]
    NoSuchTicket(i64),
    /// The database failed; trying again later may help.
    #[error("the desk's database failed")]
    Store(#[from] rusqlite::Error),
}

/// A handle on one desk; clones share it.
#[derive(Debug, Clone)]
pub struct Desk {
    db: Arc<Mutex<Connection>>,
}

impl Desk {
    /// Opens the file, or a new desk in memory; a new desk is filled with the seed data.
    pub fn open(path: Option<&Path>) -> Result<Self, DeskError> {
        let mut db = match path {
            Some(path) => Connection::open(path)?,
            None => Connection::open_in_memory()?,
        };
        db.busy_timeout(BUSY_TIMEOUT)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        seed::seed(&mut db)?;
        Ok(Self { db: Arc::new(Mutex::new(db)) })
    }

    /// Everything that was executed, oldest first.
    pub fn ledger(&self) -> Result<Vec<Effect>, DeskError> {
        Ok(ledger::all(&self.lock())?)
    }

    /// Executes the call and writes its ledger row, both or neither.
    pub(crate) fn execute(&self, tool: &str, call: &Call, arguments: &Value) -> Result<Value, DeskError> {
        let mut db = self.lock();
        let tx = db.transaction()?;
        let (outcome, answer) = apply(&tx, call)?;
        ledger::add(&tx, tool, arguments, outcome)?;
        tx.commit()?;
        Ok(answer)
    }

    /// Writes the ledger row of a call that ended without a result.
    pub(crate) fn cancelled(&self, tool: &str, arguments: &Value) -> Result<(), DeskError> {
        Ok(ledger::add(&self.lock(), tool, arguments, Outcome::Cancelled)?)
    }

    /// Fails if there is no such ticket; leaves no ledger row.
    pub(crate) fn check_ticket(&self, id: i64) -> Result<(), DeskError> {
        read(&self.lock(), id).map(|_ticket| ())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // An open transaction is rolled back on unwind, so the data behind a poisoned lock is whole.
        self.db.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply(db: &Connection, call: &Call) -> Result<(Outcome, Value), DeskError> {
    Ok(match call {
        Call::ListTickets { status } => (Outcome::Read, list(db, *status)?),
        Call::ReadTicket { id } | Call::WatchTicket { id, .. } => (Outcome::Read, read(db, *id)?),
        Call::ReplyToCustomer { id, text } => (Outcome::Changed, reply(db, *id, text)?),
        Call::IssueRefund { id, amount_cents, iban } => (Outcome::Changed, refund(db, *id, *amount_cents, iban)?),
        Call::DeleteTicket { id } => (Outcome::Changed, delete(db, *id)?),
        Call::ExportCustomers { to } => (Outcome::Changed, export(db, to)?),
    })
}

fn list(db: &Connection, status: Option<Status>) -> Result<Value, DeskError> {
    let tickets = db
        .prepare(
            "SELECT t.id, c.name, t.subject, t.status FROM tickets t
             JOIN customers c ON c.id = t.customer
             WHERE ?1 IS NULL OR t.status = ?1 ORDER BY t.id",
        )?
        .query_map([status.map(Status::as_str)], summary)?
        .collect::<Result<Vec<Value>, _>>()?;
    Ok(json!({ "tickets": tickets }))
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Value> {
    Ok(json!({
        "id": row.get::<_, i64>(0)?,
        "customer": row.get::<_, String>(1)?,
        "subject": row.get::<_, String>(2)?,
        "status": row.get::<_, String>(3)?,
    }))
}

fn read(db: &Connection, id: i64) -> Result<Value, DeskError> {
    db.query_row(
        "SELECT t.id, c.name, t.subject, t.status, c.email, t.body FROM tickets t
         JOIN customers c ON c.id = t.customer WHERE t.id = ?1",
        [id],
        |row| {
            let mut ticket = summary(row)?;
            if let Some(fields) = ticket.as_object_mut() {
                fields.insert("email".to_owned(), row.get::<_, String>(4)?.into());
                fields.insert("body".to_owned(), row.get::<_, String>(5)?.into());
            }
            Ok(ticket)
        },
    )
    .optional()?
    .ok_or(DeskError::NoSuchTicket(id))
}

fn reply(db: &Connection, id: i64, text: &str) -> Result<Value, DeskError> {
    touched(id, db.execute("UPDATE tickets SET status = 'answered' WHERE id = ?1", [id])?)?;
    db.execute("INSERT INTO replies (ticket, text) VALUES (?1, ?2)", (id, text))?;
    Ok(json!({ "id": id, "reply": db.last_insert_rowid() }))
}

fn refund(db: &Connection, id: i64, amount_cents: i64, iban: &str) -> Result<Value, DeskError> {
    read(db, id)?;
    db.execute("INSERT INTO refunds (ticket, amount_cents, iban) VALUES (?1, ?2, ?3)", (id, amount_cents, iban))?;
    Ok(json!({ "id": id, "refund": db.last_insert_rowid(), "amount_cents": amount_cents }))
}

fn delete(db: &Connection, id: i64) -> Result<Value, DeskError> {
    touched(id, db.execute("DELETE FROM tickets WHERE id = ?1", [id])?)?;
    Ok(json!({ "id": id, "deleted": true }))
}

/// The rows are put where a real desk's mailer would fetch them; nothing goes over the network.
fn export(db: &Connection, url: &str) -> Result<Value, DeskError> {
    db.execute(
        "INSERT INTO exports (url, customers)
         SELECT ?1, json_group_array(json_object('name', name, 'email', email)) FROM customers",
        [url],
    )?;
    let customers: i64 = db.query_row("SELECT count(*) FROM customers", (), |row| row.get(0))?;
    Ok(json!({ "to": url, "customers": customers }))
}

fn touched(id: i64, rows: usize) -> Result<(), DeskError> {
    if rows == 0 { Err(DeskError::NoSuchTicket(id)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(desk: &Desk, tool: &str, arguments: &Value) -> Result<Value, DeskError> {
        let call = Call::parse(tool, arguments.as_object().unwrap()).unwrap();
        desk.execute(tool, &call, arguments)
    }

    fn count(desk: &Desk, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        desk.lock().query_row(&sql, (), |row| row.get(0)).unwrap()
    }

    #[test]
    fn tools_change_the_database() {
        let desk = Desk::open(None).unwrap();
        for (tool, arguments, table, change) in [
            ("reply_to_customer", json!({"id": 38, "text": "Tomorrow."}), "replies", 1),
            ("issue_refund", json!({"id": 39, "amount_cents": 2490, "iban": "GB82WEST12345698765432"}), "refunds", 1),
            ("delete_ticket", json!({"id": 42}), "tickets", -1),
            ("export_customers", json!({"to": "https://x.example/"}), "exports", 1),
        ] {
            let before = count(&desk, table);
            call(&desk, tool, &arguments).unwrap();
            assert_eq!(count(&desk, table), before + change, "{tool}");
            let last = desk.ledger().unwrap().pop().unwrap();
            assert_eq!((last.tool.as_str(), last.arguments), (tool, arguments));
            assert_eq!(last.outcome, Outcome::Changed);
        }
        let answered = call(&desk, "list_tickets", &json!({"status": "answered"})).unwrap();
        let ids: Vec<_> = answered["tickets"].as_array().unwrap().iter().map(|t| t["id"].clone()).collect();
        assert_eq!(ids, [38, 40]);
    }

    #[test]
    fn what_fails_leaves_no_trace() {
        let desk = Desk::open(None).unwrap();
        for (tool, arguments) in [
            ("read_ticket", json!({"id": 1})),
            ("reply_to_customer", json!({"id": 1, "text": "?"})),
            ("issue_refund", json!({"id": 1, "amount_cents": 1, "iban": "GB82WEST12345698765432"})),
            ("delete_ticket", json!({"id": 1})),
        ] {
            let error = call(&desk, tool, &arguments).unwrap_err();
            assert!(matches!(error, DeskError::NoSuchTicket(1)), "{tool}: {error}");
        }
        assert_eq!(desk.ledger().unwrap(), []);
        assert_eq!(count(&desk, "replies") + count(&desk, "refunds"), 0);
    }

    #[test]
    fn a_file_keeps_its_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("desk.db");
        call(&Desk::open(Some(&file)).unwrap(), "delete_ticket", &json!({"id": 41})).unwrap();
        let again = Desk::open(Some(&file)).unwrap();
        assert_eq!(again.ledger().unwrap().len(), 1);
        assert!(matches!(again.check_ticket(41), Err(DeskError::NoSuchTicket(41))));
    }
}
