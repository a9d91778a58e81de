//! What an outcome's entry proves: what became of the call, and that given bytes are exactly what came back.
//!
//! The frame holds the commitment's key and never the result: whoever kept the result can prove it, and who only has
//! the log learns nothing of it.

use serde::{Deserialize, Serialize};

use super::canon::Node;
use super::commitment::{Purpose, commit};
use super::statement::StatementError;
use super::{Kind, read};
use crate::hash::unb64;

/// An outcome's sealed frame, decrypted. It proves nothing without the bytes of the result.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenedOutcome {
    v: u32,
    result_key: String,
}

/// What is proved of an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutcomeStatement {
    /// Index of the intent in the same log.
    pub intent: i64,
    /// What became of the call.
    pub status: String,
    /// How long it took, in microseconds.
    pub duration_us: i64,
    /// When it was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// Length of the result in bytes, where there was one.
    pub result_bytes: Option<i64>,
    /// Whether given bytes were shown to be exactly the result.
    pub result_proved: bool,
}

impl OutcomeStatement {
    /// Reads an outcome's leaf.
    pub fn read(leaf: &[u8]) -> Result<Self, StatementError> {
        let (kind, node) = read(leaf).ok_or(StatementError::NotAnOutcome)?;
        if kind != Kind::CallOutcome {
            return Err(StatementError::NotAnOutcome);
        }
        let int = |name| node.int(&["unmapped", "remit", name]);
        Ok(Self {
            intent: int("intent").ok_or(StatementError::NotAnOutcome)?,
            status: text(&node, "status").ok_or(StatementError::NotAnOutcome)?.to_owned(),
            duration_us: int("duration_us").unwrap_or_default(),
            at_ms: node.int(&["time"]).unwrap_or_default(),
            result_bytes: int("result_bytes"),
            result_proved: false,
        })
    }

    /// Reads an outcome's leaf, and holds the exact bytes of the result against it.
    pub fn with_result(leaf: &[u8], opened: &OpenedOutcome, result: &[u8]) -> Result<Self, StatementError> {
        let statement = Self::read(leaf)?;
        let (_, node) = read(leaf).ok_or(StatementError::NotAnOutcome)?;
        let key = unb64(&opened.result_key).and_then(|key| <[u8; 32]>::try_from(key).ok());
        let found = key.map(|key| commit(Purpose::Result, &key, result));
        if found.is_some() && found.as_deref() == text(&node, "result_commit") {
            Ok(Self { result_proved: true, ..statement })
        } else {
            Err(StatementError::Commitment)
        }
    }
}

fn text<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    node.text(&["unmapped", "remit", name])
}
