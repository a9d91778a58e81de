//! What one receipt proves: agent X version Y, spawned by Z, for user U, because R, until T, called this tool with
//! exactly these arguments under policy P.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::canon::Node;
use super::commitment::{Disclosure, Purpose, commit};
use super::{Kind, read, skim};
use crate::gate::Evidence;
use crate::hash::{sha256, sha256_text, unb64};
use crate::input::Input;
use crate::label::Trust;

/// Why a leaf and what was disclosed with it do not make a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// The leaf is not the intent of a call.
    #[error("the entry is not the intent of a call")]
    NotAnIntent,
    /// The leaf is not the outcome of a call.
    #[error("the entry is not the outcome of a call")]
    NotAnOutcome,
    /// The sealed frame is not the one that the leaf names.
    #[error("the sealed frame is not the one that the entry names")]
    Frame,
    /// What was disclosed is not what the leaf commits to.
    #[error("what was disclosed is not what the entry commits to")]
    Commitment,
}

/// A sealed frame, decrypted. It proves nothing until it is held against its leaf.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    v: u32,
    disclosures: Vec<String>,
    args_key: String,
    input_key: String,
    decided: String,
}

/// The input and evidence of a decision, as they were sealed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecidedBy {
    /// The input.
    pub input: Input,
    /// The evidence.
    pub evidence: Evidence,
}

/// What is proved. Members that are `None` or empty were not disclosed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The agent, with its version.
    pub agent: String,
    /// The instances that spawned it, nearest first.
    pub spawned_by: Vec<String>,
    /// The user's pseudonym.
    pub user: String,
    /// The user's name.
    pub user_name: Option<String>,
    /// The reason of the grant.
    pub because: Option<String>,
    /// How far that reason can be trusted: `untrusted` where the run itself gave it.
    pub because_trust: String,
    /// The end of the grant, in seconds since 1970.
    pub until: i64,
    /// Who decided the grant.
    pub granted_by: String,
    /// The tool, with its server.
    pub tool: String,
    /// The pinned definition of the tool.
    pub pin: String,
    /// The exact text of the arguments.
    pub arguments: Option<String>,
    /// Single arguments that were disclosed, by name.
    pub disclosed: BTreeMap<String, String>,
    /// `permit`, `pending` or `forbid`.
    pub verdict: String,
    /// The determining policies.
    pub policies: Vec<String>,
    /// The bundle's version and digest.
    pub bundle: (i64, String),
    /// When it was decided, in seconds since 1970.
    pub at: i64,
}

impl Opened {
    /// Holds the frame against its leaf: every disclosure, the arguments and the input must be what it commits to.
    pub fn check(&self, leaf: &[u8]) -> Result<DecidedBy, StatementError> {
        let (_, node) = read(leaf).ok_or(StatementError::NotAnIntent)?;
        let remit = |name| node.text(&["unmapped", "remit", name]);
        let digests: BTreeSet<&str> =
            node.list(&["unmapped", "remit", "_sd"]).iter().filter_map(|digest| digest.text(&[])).collect();
        let disclosed: BTreeSet<String> =
            self.disclosures.iter().map(|text| Disclosure::from_text(text.clone()).digest()).collect();
        let key = |text: &str| unb64(text).and_then(|key| <[u8; 32]>::try_from(key).ok());
        let (args_key, input_key) = key(&self.args_key).zip(key(&self.input_key)).ok_or(StatementError::Commitment)?;
        let decided: DecidedBy = serde_json::from_str(&self.decided).map_err(|_| StatementError::Commitment)?;
        let arguments = commit(Purpose::Arguments, &args_key, decided.input.arguments.as_bytes());
        let input = commit(Purpose::Input, &input_key, self.decided.as_bytes());
        let same = digests == disclosed.iter().map(String::as_str).collect()
            && remit("args_commit") == Some(&arguments)
            && remit("input_commit") == Some(&input);
        if same { Ok(decided) } else { Err(StatementError::Commitment) }
    }
}

fn remit<'p>(path: &[&'p str]) -> Vec<&'p str> {
    [&["unmapped", "remit"], path].concat()
}

impl Statement {
    /// Reads an intent's leaf, with the frame where it was disclosed as a whole.
    pub fn read(leaf: &[u8], opened: Option<&Opened>) -> Result<Self, StatementError> {
        let (kind, node) = read(leaf).ok_or(StatementError::NotAnIntent)?;
        if !matches!(kind, Kind::CallIntent | Kind::HookCall) {
            return Err(StatementError::NotAnIntent);
        }
        let mut statement = Self::clear(&node);
        if let Some(opened) = opened {
            statement.arguments = Some(opened.check(leaf)?.input.arguments);
            for text in &opened.disclosures {
                statement.disclose(&Disclosure::from_text(text.clone()))?;
            }
        }
        Ok(statement)
    }

    /// Reads an intent's leaf with single fields that were disclosed.
    pub fn with_fields(leaf: &[u8], fields: &[Disclosure]) -> Result<Self, StatementError> {
        let mut statement = Self::read(leaf, None)?;
        let (_, node) = read(leaf).ok_or(StatementError::NotAnIntent)?;
        let digests = node.list(&["unmapped", "remit", "_sd"]);
        for field in fields {
            if !digests.contains(&Node::Text(field.digest())) {
                return Err(StatementError::Commitment);
            }
            statement.disclose(field)?;
        }
        Ok(statement)
    }

    fn disclose(&mut self, disclosure: &Disclosure) -> Result<(), StatementError> {
        let (name, value) = disclosure.open().ok_or(StatementError::Commitment)?;
        let text = || serde_json::from_str::<String>(&value).ok();
        match name.as_str() {
            "why" => self.because = text(),
            "user" => self.user_name = text(),
            _ => drop(self.disclosed.insert(name, value)),
        }
        Ok(())
    }

    fn clear(node: &Node) -> Self {
        let text = |path: &[&str]| node.text(path).unwrap_or_default().to_owned();
        let texts = |path: &[&str]| {
            let items = node.list(&remit(path)).iter();
            items.filter_map(|item| item.text(&[])).map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        let resource = node.list(&["resources"]).first();
        let of_resource = |name: &str| resource.and_then(|r| r.text(&[name])).unwrap_or_default().to_owned();
        let int = |path: &[&str]| node.int(&remit(path)).unwrap_or_default();
        Self {
            agent: text(&["ai_agent", "uid"]),
            spawned_by: texts(&["lineage"]).into_iter().skip(1).collect(),
            user: text(&["actor", "user", "uid"]),
            user_name: None,
            because: None,
            because_trust: node.text(&remit(&["task", "why_trust"])).unwrap_or(Trust::Verified.name()).to_owned(),
            until: int(&["grant", "until"]),
            granted_by: text(&remit(&["grant", "by"])),
            tool: of_resource("uid"),
            pin: of_resource("version"),
            arguments: None,
            disclosed: BTreeMap::new(),
            verdict: text(&remit(&["decision", "verdict"])),
            policies: texts(&["decision", "policies"]),
            bundle: (int(&["snapshot", "bundle"]), text(&remit(&["snapshot", "digest"]))),
            at: int(&["decision", "at"]),
        }
    }
}

/// Whether a leaf is one of ours and its sealed frame is the one that it names: what `log verify` asks of each entry
/// beside its place in the tree.
pub fn check_entry(leaf: &[u8], sealed: &[u8]) -> Result<Kind, StatementError> {
    let mut digest = None;
    let kind = skim(leaf, |path, scalar| {
        if path == ["unmapped", "remit", "sealed", "digest"] {
            digest = scalar.text();
        }
    });
    let kind = kind.ok_or(StatementError::NotAnIntent)?;
    match digest {
        None if sealed.is_empty() => Ok(kind),
        Some(digest) if digest == sha256_text(&sha256(&[sealed])) => Ok(kind),
        _ => Err(StatementError::Frame),
    }
}
