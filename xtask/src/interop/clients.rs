//! The clients of other makers in front of the gateway, all asked in one way.

mod claude;
mod inspector;
mod python;

use std::io;
use std::path::Path;

use super::home::Home;
use super::packages::{Group, Packages};
use super::servers::{Call, Server};

/// How a client chooses among the revisions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// The handshake, always.
    Legacy,
    /// The revision without a handshake where the server has it.
    Auto,
    /// Only the revision without a handshake.
    Modern,
}

impl Era {
    pub(crate) const ALL: &[Self] = &[Self::Legacy, Self::Auto, Self::Modern];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Auto => "auto",
            Self::Modern => "modern",
        }
    }
}

/// A client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Inspector,
    Python,
    Claude,
}

impl Client {
    pub(crate) const ALL: &[Self] = &[Self::Inspector, Self::Python, Self::Claude];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Inspector => "Inspector CLI",
            Self::Python => "mcp (PyPI)",
            Self::Claude => "Claude Code",
        }
    }

    pub(crate) fn needs(self) -> &'static [Group] {
        match self {
            Self::Inspector => &[Group::Node, Group::Inspector],
            Self::Python => &[Group::Mcp],
            Self::Claude => &[Group::Claude],
        }
    }

    /// Claude Code chooses for itself.
    pub(crate) fn eras(self) -> &'static [Era] {
        match self {
            Self::Claude => &[Era::Auto],
            Self::Inspector | Self::Python => Era::ALL,
        }
    }

    /// Whether the client itself refuses to call what it did not see listed.
    pub(crate) fn calls_only_what_is_listed(self) -> bool {
        self == Self::Claude
    }
}

/// What a client is to do: list, then make these calls in turn.
pub(crate) struct Task<'a> {
    pub(crate) root: &'a Path,
    pub(crate) home: &'a Home,
    pub(crate) packages: &'a Packages,
    pub(crate) server: &'a Server,
    pub(crate) era: Era,
    pub(crate) run: &'a str,
    pub(crate) calls: &'a [Call],
    /// A folder of its own.
    pub(crate) scratch: &'a Path,
}

/// What the client's user saw.
#[derive(Debug)]
pub(crate) enum Said {
    /// No connection, for this reason.
    Refused(String),
    /// The tools that were listed, and an answer to each call.
    Talked { tools: Vec<String>, answers: Vec<Answer> },
}

/// What came of one call, as the client shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) error: bool,
}

/// Drives the client through its task.
pub(crate) fn converse(client: Client, task: &Task<'_>) -> io::Result<Said> {
    match client {
        Client::Inspector => inspector::converse(task),
        Client::Python => python::converse(task),
        Client::Claude => claude::converse(task),
    }
}

/// How Claude Code is told to take back its own run before its last call; its calls carry these ids.
pub(crate) fn tool_use_id(server: &Server, index: usize) -> String {
    format!("toolu_{}_{index}", server.name)
}
