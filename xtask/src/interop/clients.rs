//! The clients of other makers in front of the gateway, all asked in one way.

mod claude;
mod inspector;
pub(crate) mod python;

use std::io;
use std::path::Path;

use super::home::Home;
use super::packages::{CURRENT, Group, OF_JUNE, OF_MARCH, Packages};
use super::servers::{Call, Server};

/// What was revoked is refused everywhere by then, in seconds.
const REVOKED_WITHIN_S: u64 = 2;

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
    /// Of the time when the newest revision was 2025-06-18.
    PythonOfJune,
    /// Of the time when the newest revision was 2025-03-26.
    PythonOfMarch,
    Claude,
}

impl Client {
    pub(crate) const ALL: &[Self] =
        &[Self::Inspector, Self::Python, Self::PythonOfJune, Self::PythonOfMarch, Self::Claude];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Inspector => "Inspector CLI",
            Self::Python => "mcp 2.3",
            Self::PythonOfJune => "mcp 1.22",
            Self::PythonOfMarch => "mcp 1.9",
            Self::Claude => "Claude Code",
        }
    }

    pub(crate) fn needs(self) -> &'static [Group] {
        match self {
            Self::Inspector => &[Group::Node, Group::Inspector],
            Self::Python => &[Group::Mcp],
            Self::PythonOfJune => &[Group::McpOfJune],
            Self::PythonOfMarch => &[Group::McpOfMarch],
            // The model behind it is played by a Python program.
            Self::Claude => &[Group::Claude, Group::Mcp],
        }
    }

    /// Claude Code chooses for itself.
    pub(crate) fn eras(self) -> &'static [Era] {
        match self {
            Self::Claude => &[Era::Auto],
            Self::Inspector | Self::Python => Era::ALL,
            Self::PythonOfJune | Self::PythonOfMarch => &[Era::Legacy],
        }
    }

    /// What it speaks in the legacy era.
    pub(crate) fn legacy_revision(self) -> &'static str {
        match self {
            Self::PythonOfJune => "2025-06-18",
            Self::PythonOfMarch => "2025-03-26",
            Self::Inspector | Self::Python | Self::Claude => "2025-11-25",
        }
    }

    /// What the client itself says of a tool that it did not see listed, where it does not ask the gateway then.
    pub(crate) fn says_not_listed(self) -> Option<&'static str> {
        match self {
            Self::Inspector => Some("not found on server"),
            Self::Claude => Some("No such tool available"),
            Self::Python | Self::PythonOfJune | Self::PythonOfMarch => None,
        }
    }

    /// What the client shows of an answer with status 401. Two of them go for another token, and say how that went.
    pub(crate) fn says_unauthorized(self) -> &'static str {
        match self {
            Self::Inspector => "auth_required",
            Self::Claude => "rejected the credential",
            Self::Python => "(revoked, decision",
            Self::PythonOfJune | Self::PythonOfMarch => "401 Unauthorized",
        }
    }

    /// What the client shows of an answer with status 403. An older one shows nothing of what the gateway said.
    pub(crate) fn says_forbidden(self) -> &'static str {
        match self {
            Self::Inspector | Self::Claude => "Insufficient scope",
            Self::Python => "(insufficient_scope, decision",
            Self::PythonOfJune | Self::PythonOfMarch => "403 Forbidden",
        }
    }

    /// Whether each call is made on a connection of its own: then that is what is refused to a revoked run.
    pub(crate) fn connects_for_each_call(self) -> bool {
        matches!(self, Self::Inspector | Self::PythonOfJune | Self::PythonOfMarch)
    }

    /// Whether it tells the gateway which use of a tool by its model a call is.
    pub(crate) fn sends_tool_use_ids(self) -> bool {
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
    /// The run is revoked before the last of them.
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
        Client::Python => python::converse(task, "client.py", CURRENT),
        Client::PythonOfJune => python::converse(task, "older_client.py", OF_JUNE),
        Client::PythonOfMarch => python::converse(task, "older_client.py", OF_MARCH),
        Client::Claude => claude::converse(task),
    }
}

impl Task<'_> {
    /// What must have happened before the call of this index, and for how many seconds to wait then.
    pub(crate) fn before(&self, index: usize) -> Option<(Vec<String>, u64)> {
        let pin = self.home.pin_file();
        let revoke = ["revoke", "run", self.run, "--why", "the session is over", "--pin-file", &pin];
        (index + 1 == self.calls.len()).then(|| (self.home.line(&revoke), REVOKED_WITHIN_S))
    }
}

/// The id that the scripted model of Claude Code gives to its use of a tool.
pub(crate) fn tool_use_id(server: &Server, index: usize) -> String {
    format!("toolu_{}_{index}", server.name)
}
