//! A call: what is asked of which server, and the exact bytes that ask it.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::feature::Feature;
use crate::id::{ServerName, ToolName};
use crate::method::{opens_something, params_in};

/// Largest request body, in bytes.
pub const CALL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Largest arguments of one call, in bytes.
pub const ARGS_BYTES_MAX: usize = 1024 * 1024;
/// Longest resource URI, in bytes.
pub const URI_BYTES_MAX: usize = 2048;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// `tools/call`
    CallTool(ToolName),
    /// `prompts/get`
    GetPrompt(ToolName),
    /// `resources/read`
    ReadResource(String),
    /// The client's answer to what a server asked by this feature.
    Answer(Feature),
    /// Any other method: decided by what it opens, if anything ([`crate::method`]).
    Method(String),
}

impl Action {
    /// The protocol's name of the method.
    pub fn method(&self) -> &str {
        match self {
            Action::CallTool(_) => "tools/call",
            Action::GetPrompt(_) => "prompts/get",
            Action::ReadResource(_) => "resources/read",
            Action::Answer(feature) => feature.method(),
            Action::Method(name) => name,
        }
    }

    /// What the method is applied to: the tool, the prompt, the resource or the feature; nothing for any other method.
    pub fn object(&self) -> &str {
        match self {
            Action::CallTool(name) | Action::GetPrompt(name) => name.as_str(),
            Action::ReadResource(uri) => uri,
            Action::Answer(feature) => feature.name(),
            Action::Method(_) => "",
        }
    }

    /// The tool, where one is called.
    pub fn tool(&self) -> Option<&ToolName> {
        match self {
            Action::CallTool(tool) => Some(tool),
            _ => None,
        }
    }
}

/// A parsed call that owns the bytes it was parsed from. Nothing can change them; they are what is sent.
#[derive(Debug)]
pub struct Call {
    server: ServerName,
    action: Action,
    body: Vec<u8>,
    arguments: Range<usize>,
    answers: (BTreeSet<Feature>, Range<usize>),
    /// The client's id of this use of the tool, where it gives one.
    pub tool_use_id: Option<String>,
    /// The protocol revision that the client speaks.
    pub revision: String,
}

/// Arguments that are larger than [`ARGS_BYTES_MAX`], or not within the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the arguments are larger than {ARGS_BYTES_MAX} bytes")]
pub struct CallTooLarge;

impl Call {
    /// A call whose arguments are the bytes of `body` in `arguments`; an empty range stands for `{}`.
    ///
    /// The arguments of a method that opens something are its parameters, whatever the range says: it is decided by
    /// what they name, and by nothing where they cannot be found.
    pub fn new(
        server: ServerName,
        action: Action,
        body: Vec<u8>,
        arguments: Range<usize>,
    ) -> Result<Self, CallTooLarge> {
        let arguments = match &action {
            Action::Method(name) if opens_something(name) => params_in(&body).unwrap_or(0..0),
            _ => arguments,
        };
        let within = body.get(arguments.clone()).is_some_and(|a| a.len() <= ARGS_BYTES_MAX);
        if !within || body.len() > CALL_BYTES_MAX {
            return Err(CallTooLarge);
        }
        let answers = (BTreeSet::new(), 0..0);
        Ok(Self { server, action, body, arguments, answers, tool_use_id: None, revision: String::new() })
    }

    /// The same, with answers to what the server asked by these features, in the bytes of the body that are `range`.
    #[must_use]
    pub fn answering(self, features: BTreeSet<Feature>, range: Range<usize>) -> Self {
        Self { answers: (features, range), ..self }
    }

    /// The features by which the server asked what this call answers on its way.
    pub fn answers(&self) -> &BTreeSet<Feature> {
        &self.answers.0
    }

    /// The exact bytes of these answers; empty where there are none.
    pub fn answer_bytes(&self) -> &[u8] {
        self.body.get(self.answers.1.clone()).unwrap_or_default()
    }

    /// The server that is asked.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// What is asked.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The exact bytes that are sent.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The exact bytes of the arguments.
    pub fn arguments(&self) -> &[u8] {
        match self.body.get(self.arguments.clone()) {
            Some(bytes) if !bytes.is_empty() => bytes,
            _ => b"{}",
        }
    }
}
