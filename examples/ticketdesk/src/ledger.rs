//! The ledger: what the desk really did, in the order in which it did it.
//!
//! Invariant: rows are only ever added, and inside the transaction of the effect they speak of.

use rusqlite::{Connection, Row, types::Type};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One executed call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// Position in the ledger, from 1.
    pub seq: i64,
    /// When, in UTC, RFC 3339 with milliseconds.
    pub at: String,
    /// Which tool.
    pub tool: String,
    /// With which arguments, as they arrived.
    pub arguments: Value,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Data was handed out, nothing changed.
    Read,
    /// The database changed.
    Changed,
    /// The client went away, or took the call back, before the result.
    Cancelled,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Changed => "changed",
            Self::Cancelled => "cancelled",
        }
    }

    fn from_str(text: &str) -> Option<Self> {
        [Self::Read, Self::Changed, Self::Cancelled].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// Adds a row; `db` is the open transaction of the effect.
pub(crate) fn add(db: &Connection, tool: &str, arguments: &Value, outcome: Outcome) -> rusqlite::Result<()> {
    // The database's clock: the row's time is that of its transaction.
    db.execute(
        "INSERT INTO ledger (at, tool, arguments, outcome)
         VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), ?1, ?2, ?3)",
        (tool, arguments.to_string(), outcome.as_str()),
    )
    .map(|_rows| ())
}

/// All rows, oldest first.
pub(crate) fn all(db: &Connection) -> rusqlite::Result<Vec<Effect>> {
    db.prepare("SELECT seq, at, tool, arguments, outcome FROM ledger ORDER BY seq")?.query_map((), effect)?.collect()
}

fn effect(row: &Row<'_>) -> rusqlite::Result<Effect> {
    let arguments: String = row.get(3)?;
    let outcome: String = row.get(4)?;
    Ok(Effect {
        seq: row.get(0)?,
        at: row.get(1)?,
        tool: row.get(2)?,
        arguments: serde_json::from_str(&arguments)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(3, Type::Text, Box::new(error)))?,
        outcome: Outcome::from_str(&outcome)
            .ok_or_else(|| rusqlite::Error::InvalidColumnType(4, "outcome".to_owned(), Type::Text))?,
    })
}
