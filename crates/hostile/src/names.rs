//! Identifiers, targets and times: what is read prints back, holds no lookalike, and no refusal repeats what a terminal
//! would obey.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use remit_core::id::{
    AgentId, AgentName, GrantId, ID_BYTES_MAX, Instance, PrincipalId, RunId, ServerName, Team, ToolId, ToolName,
    TrustDomain, Version,
};
use remit_core::manifest::seconds;
use remit_core::target::Target;
use remit_gateway::mcp::Revision;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A text as each kind of name.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    plain(text, TrustDomain::from_str(text));
    plain(text, Team::from_str(text));
    plain(text, AgentName::from_str(text));
    plain(text, Version::from_str(text));
    plain(text, ServerName::from_str(text));
    plain(text, ToolName::from_str(text));
    plain(text, RunId::from_str(text));
    plain(text, GrantId::from_str(text));
    plain(text, PrincipalId::from_str(text));
    said(text, AgentId::parse(text));
    said(text, Instance::try_from(text.to_owned()));
    said(text, ToolId::from_str(text));
    said(text, Target::from_str(text));
    if let Ok(target) = Target::from_str(text) {
        covers(&target);
    }
    if let Some(n) = seconds(text) {
        assert!(n >= 0 && text.is_ascii());
    }
    assert!(Revision::parse(text).is_none_or(|revision| revision.as_str() == text));
}

/// Of one segment: short and of few characters.
fn plain<T: Named, E: Display>(text: &str, read: Result<T, E>) {
    if read.is_ok() {
        assert!(text.len() <= ID_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic() && !b"\"'\\%?#".contains(&b)));
    }
    said(text, read);
}

trait Named: Debug + Display + PartialEq + Serialize + DeserializeOwned {}
impl<T: Debug + Display + PartialEq + Serialize + DeserializeOwned> Named for T {}

/// What is read prints back and is written as itself; what is refused is shown without control characters.
fn said<T: Named, E: Display>(text: &str, read: Result<T, E>) {
    match read {
        Ok(name) => {
            assert_eq!(name.to_string(), text);
            let written = serde_json::to_string(&name).unwrap_or_default();
            assert_eq!(serde_json::from_str::<String>(&written).ok().as_deref(), Some(text));
            assert_eq!(serde_json::from_str::<T>(&written).ok(), Some(name));
        }
        Err(error) => {
            let error = error.to_string();
            assert!(!error.contains(char::is_control), "a refusal that a terminal would obey");
            assert!(error.len() <= 1024, "a refusal of {} bytes", error.len());
        }
    }
}

fn covers(target: &Target) {
    assert!(target.covers(target));
    for text in ["tickets/*", "tickets/read_ticket", "resource:tickets/*", "prompt:tickets/greet"] {
        let Ok(other) = text.parse::<Target>() else { continue };
        if other.covers(target) {
            assert_eq!((other.key(), other.server()), (target.key(), target.server()));
        }
        // Each covers the other only where they are one.
        assert!(!(other.covers(target) && target.covers(&other)) || other == *target);
    }
}
