//! What a person may be asked for: more than the agent declares or its run holds, and nothing that the floor withholds.
//!
//! **Invariant:** only the manifest's words and a run's ceiling are left to a person. Menus, environments and rules of
//! separation stand as they do for everybody, and a wildcard is nothing that is asked for.

use std::collections::BTreeMap;

use remit_core::grant::Detail;
use remit_core::id::ServerName;
use remit_core::manifest::Manifest;
use remit_core::rejection::{Code, Rejection};
use remit_core::target::Target;

use super::{Asked, Granted, Offer, details, offered, reason_and_end, targets};

/// The longest time for which something is granted by a person's word, in seconds.
pub const ASKED_SECONDS_MAX: i64 = 3_600;

/// Whether what stands in the way is something that a person can be asked about.
pub(crate) fn is_askable(refused: &Rejection) -> bool {
    matches!(refused.code, Code::ScopeUndeclared | Code::GrantIncomplete | Code::InsufficientScope)
}

/// What is asked for, where a person may allow it; with the targets that it names.
pub(crate) fn beyond(
    manifest: &Manifest,
    offers: &BTreeMap<ServerName, Offer>,
    gateway: &str,
    asked: &Asked,
) -> Result<(Granted, Vec<Target>), Rejection> {
    let seconds = reason_and_end(asked)?;
    let targets = targets(asked)?;
    if let Some(wildcard) = targets.iter().find(|target| target.is_wildcard()) {
        let message = format!("`{wildcard}` is everything, and a person is asked for one thing");
        let help = format!("name what is needed, one of: remit server show {}", wildcard.server());
        return Err(Rejection::new(Code::ScopeUndeclared, message, help));
    }
    if seconds > ASKED_SECONDS_MAX {
        let message = "what a person allows holds for an hour at most";
        return Err(Rejection::new(Code::GrantIncomplete, message, "ask for less: --for 1h"));
    }
    for target in &targets {
        offered(manifest, offers, target)?;
    }
    let details = details(gateway, &targets, asked)?;
    Ok((Granted { details, seconds, wildcard: false }, targets))
}

/// What is asked for, whether or not anything allows it, and for how many seconds.
pub(crate) fn wanted(gateway: &str, asked: &Asked) -> Result<(Vec<Detail>, i64), Rejection> {
    let seconds = reason_and_end(asked)?;
    Ok((details(gateway, &targets(asked)?, asked)?, seconds))
}

/// A refusal that also says how a person is asked.
pub(crate) fn or_ask(refused: Rejection) -> Rejection {
    let help = format!("{}\n\nor ask a person for it, once: the same command with --ask", refused.help);
    Rejection { help, ..refused }
}
