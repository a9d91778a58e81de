//! What can go wrong in a command, by the exit code that a script acts on.
//!
//! **Invariant:** every error says what happened and names the one next step.

use std::fmt::{self, Display};
use std::process::{ExitCode, Termination};

use remit_core::rejection::{Code, Rejection};

use crate::out::visible;

/// How a command ended. The numbers are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done, and nothing was found.
    Fine = 0,
    /// Something was found, or denied.
    Findings = 1,
    /// Wrong usage, or it could not be evaluated.
    Unevaluated = 2,
    /// Nobody is signed in, or the token is over.
    NotSignedIn = 3,
    /// The authority or the gateway does not answer.
    Unreachable = 4,
    /// It waits for an approval.
    Pending = 5,
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Commands that are about one home, as they stand in a next step.
const OF_A_HOME: [&str; 21] = [
    "admin ",
    "adopt ",
    "agent ",
    "approvals",
    "approve ",
    "deny ",
    "config ",
    "doctor",
    "gateway ",
    "grant ",
    "lockdown ",
    "log ",
    "person ",
    "request ",
    "revoke ",
    "role ",
    "server ",
    "status",
    "team ",
    "token ",
    "up",
];

/// Why a command did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CliError {
    /// The authority or the gateway refused it, and says why.
    #[error("{}", .0.message)]
    Refused(Rejection),
    /// Any other reason.
    #[error("{message}")]
    Failed {
        /// By what the caller can do.
        exit: Exit,
        /// What happened.
        message: String,
        /// The one next step.
        help: String,
    },
}

impl CliError {
    /// Asked wrongly, or what was asked about cannot be read.
    pub(crate) fn unevaluated(message: impl Display, help: impl Display) -> Self {
        Self::failed(Exit::Unevaluated, message, help)
    }

    /// Looked, and found something wrong.
    pub(crate) fn finding(message: impl Display, help: impl Display) -> Self {
        Self::failed(Exit::Findings, message, help)
    }

    /// Nobody answers.
    pub(crate) fn unreachable(message: impl Display, help: impl Display) -> Self {
        Self::failed(Exit::Unreachable, message, help)
    }

    fn failed(exit: Exit, message: impl Display, help: impl Display) -> Self {
        Self::Failed { exit, message: without_numbers(&message.to_string()), help: help.to_string() }
    }

    /// The exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Failed { exit, .. } => *exit,
            Self::Refused(rejection) => match rejection.code {
                Code::GatePending => Exit::Pending,
                Code::RequestInvalid => Exit::Unevaluated,
                Code::PolicyStale | Code::AuditUnavailable | Code::Overloaded => Exit::Unreachable,
                code if code.status() == 401 => Exit::NotSignedIn,
                _ => Exit::Findings,
            },
        }
    }

    /// The same, its next step being on this home (` --home DIR`, or nothing): whoever words it often cannot know which.
    pub(crate) fn at(mut self, home: &str) -> Self {
        let (Self::Failed { help, .. } | Self::Refused(Rejection { help, .. })) = &mut self;
        if !home.is_empty() {
            for command in OF_A_HOME {
                *help = help.replace(&format!("remit {command}"), &format!("remit{home} {command}"));
            }
        }
        self
    }

    /// The one next step.
    pub(crate) fn help_text(&self) -> &str {
        match self {
            Self::Failed { help, .. } => help,
            Self::Refused(rejection) => &rejection.help,
        }
    }

    fn code_text(&self) -> &'static str {
        match self {
            Self::Refused(rejection) => rejection.code.name(),
            Self::Failed { exit, .. } => match exit {
                Exit::Fine => "fine",
                Exit::Findings => "findings",
                Exit::Unevaluated => "unevaluated",
                Exit::NotSignedIn => "not_signed_in",
                Exit::Unreachable => "unreachable",
                Exit::Pending => "pending",
            },
        }
    }

    /// The error as `--json` shows it.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({ "says": self.to_string(), "error": {
            "code": self.code_text(),
            "message": self.to_string(),
            "help": self.help_text(),
            "exit": self.exit() as u8,
        }})
    }
}

/// The system's words for an error, without its number for it.
fn without_numbers(message: &str) -> String {
    let mut parts = message.split(" (os error ");
    let mut words = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((number, rest)) if number.bytes().all(|digit| digit.is_ascii_digit()) => words.push_str(rest),
            _ => words.extend([" (os error ", part]),
        }
    }
    words
}

impl From<Rejection> for CliError {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(rejection)
    }
}

/// An error in words that a terminal does not obey.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Shown {
    message: String,
    help: String,
}

impl Shown {
    fn of(error: &CliError) -> Self {
        let text = |text: &str| match error {
            // Worded elsewhere: one line, whatever is in it.
            CliError::Refused(_) => visible(text).into_owned(),
            // Worded here, sometimes in several lines, around what others word.
            CliError::Failed { .. } => text.split('\n').map(visible).collect::<Vec<_>>().join("\n"),
        };
        Self { message: text(&error.to_string()), help: text(error.help_text()) }
    }
}

impl miette::Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        Some(Box::new(&self.help))
    }
}

/// An error as `miette` draws it.
pub(crate) struct Drawn<'a> {
    /// What is drawn.
    pub(crate) error: &'a CliError,
    /// Whether in colour.
    pub(crate) colour: bool,
}

impl Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let theme =
            if self.colour { miette::GraphicalTheme::unicode() } else { miette::GraphicalTheme::unicode_nocolor() };
        let mut text = String::new();
        // Lines of help are commands to copy: the terminal may wrap them, nobody else.
        let handler = miette::GraphicalReportHandler::new_themed(theme).with_wrap_lines(false);
        handler.render_report(&mut text, &Shown::of(self.error))?;
        f.write_str(text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_on_the_same_home() {
        for (help, at) in [
            ("see: remit status", "see: remit --home /h status"),
            ("`remit up` begins one", "`remit --home /h up` begins one"),
            ("see: remit --home /h log tail", "see: remit --home /h log tail"),
            ("play it again: remit demo; use the newer `remit`", "play it again: remit demo; use the newer `remit`"),
        ] {
            let error = CliError::unevaluated("x", help);
            assert_eq!(error.clone().at("").help_text(), help);
            assert_eq!(error.at(" --home /h").help_text(), at);
        }
        assert_eq!(without_numbers("a: No such file (os error 2): b (os error x)"), "a: No such file: b (os error x)");
    }
}
