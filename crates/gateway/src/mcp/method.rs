//! The one table of MCP methods, of both eras and both directions. What does not stand here is refused.

use super::revision::Era;

/// Who sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The agent's client.
    Client,
    /// The upstream server.
    Server,
}

/// Whether a message asks for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It does.
    Request,
    /// It does not.
    Notification,
}

/// The Cedar action that a decided method asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// `tools/call`
    CallTool,
    /// `resources/read`
    ReadResource,
    /// `prompts/get`
    GetPrompt,
    /// The client's answer to what a server asks by one of its features.
    AnswerServer,
}

/// What happens to a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Every call is decided by grant and policy, and recorded before it is sent. What a server asks the user or the
    /// model is decided twice: before it is put to the client, and before the answer goes back.
    Decided(Action),
    /// It shows, watches, or accompanies what decided methods permit. It is recorded, has a rate, and needs a grant for
    /// whatever it opens ([`remit_core::method`]).
    Derived,
    /// It is not forwarded.
    Refused,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Method {
    /// Its name on the wire.
    pub name: &'static str,
    /// Who sends it.
    pub from: Side,
    /// Whether it asks for an answer.
    pub kind: Kind,
    /// Whether it exists in 2025-11-25 or before.
    pub legacy: bool,
    /// Whether it exists in 2026-07-28 or its tasks extension.
    pub modern: bool,
    /// What happens to it.
    pub class: Class,
}

const BOTH: (bool, bool) = (true, true);
const LEGACY: (bool, bool) = (true, false);
const MODERN: (bool, bool) = (false, true);

const fn row(name: &'static str, from: Side, kind: Kind, eras: (bool, bool), class: Class) -> Method {
    Method { name, from, kind, legacy: eras.0, modern: eras.1, class }
}

use Class::{Decided, Derived, Refused};
use Kind::{Notification, Request};
use Side::{Client, Server};

/// Every method that is known.
pub const METHODS: [Method; 43] = [
    row("tools/call", Client, Request, BOTH, Decided(Action::CallTool)),
    row("resources/read", Client, Request, BOTH, Decided(Action::ReadResource)),
    row("prompts/get", Client, Request, BOTH, Decided(Action::GetPrompt)),
    row("initialize", Client, Request, LEGACY, Derived),
    row("ping", Client, Request, LEGACY, Derived),
    row("server/discover", Client, Request, MODERN, Derived),
    row("tools/list", Client, Request, BOTH, Derived),
    row("prompts/list", Client, Request, BOTH, Derived),
    row("resources/list", Client, Request, BOTH, Derived),
    row("resources/templates/list", Client, Request, BOTH, Derived),
    row("resources/subscribe", Client, Request, LEGACY, Derived),
    row("resources/unsubscribe", Client, Request, LEGACY, Derived),
    row("subscriptions/listen", Client, Request, MODERN, Derived),
    row("completion/complete", Client, Request, BOTH, Derived),
    row("logging/setLevel", Client, Request, LEGACY, Derived),
    // No task has an owner, so these would show and end other runs' tasks; none can be begun, either.
    row("tasks/get", Client, Request, BOTH, Refused),
    row("tasks/result", Client, Request, LEGACY, Refused),
    row("tasks/list", Client, Request, LEGACY, Refused),
    row("tasks/update", Client, Request, MODERN, Refused),
    row("tasks/cancel", Client, Request, BOTH, Refused),
    row("notifications/initialized", Client, Notification, LEGACY, Derived),
    row("notifications/cancelled", Client, Notification, BOTH, Derived),
    // These accompany the answer to a server's request, or tell of roots: a server asks again.
    row("notifications/progress", Client, Notification, LEGACY, Refused),
    row("notifications/roots/list_changed", Client, Notification, LEGACY, Refused),
    row("notifications/tasks/status", Client, Notification, LEGACY, Refused),
    // Answered by the gateway, so that an upstream learns nothing from the client.
    row("ping", Server, Request, LEGACY, Refused),
    row("sampling/createMessage", Server, Request, BOTH, Decided(Action::AnswerServer)),
    row("elicitation/create", Server, Request, BOTH, Decided(Action::AnswerServer)),
    row("roots/list", Server, Request, BOTH, Decided(Action::AnswerServer)),
    row("tasks/get", Server, Request, LEGACY, Refused),
    row("tasks/result", Server, Request, LEGACY, Refused),
    row("tasks/list", Server, Request, LEGACY, Refused),
    row("tasks/cancel", Server, Request, LEGACY, Refused),
    row("notifications/cancelled", Server, Notification, BOTH, Derived),
    row("notifications/progress", Server, Notification, BOTH, Derived),
    row("notifications/message", Server, Notification, BOTH, Derived),
    row("notifications/resources/updated", Server, Notification, BOTH, Derived),
    row("notifications/resources/list_changed", Server, Notification, BOTH, Derived),
    row("notifications/tools/list_changed", Server, Notification, BOTH, Derived),
    row("notifications/prompts/list_changed", Server, Notification, BOTH, Derived),
    row("notifications/tasks/status", Server, Notification, LEGACY, Derived),
    row("notifications/subscriptions/acknowledged", Server, Notification, MODERN, Derived),
    row("notifications/elicitation/complete", Server, Notification, LEGACY, Refused),
];

/// What happens to a message; the unknown is refused, and so is what the era does not have.
pub fn classify(name: &str, from: Side, kind: Kind, era: Era) -> Class {
    METHODS
        .iter()
        .find(|method| method.name == name && method.from == from && method.kind == kind)
        .filter(|method| if era == Era::Modern { method.modern } else { method.legacy })
        .map_or(Refused, |method| method.class)
}

/// Whether a client's calls of this method are decided, in whatever era they come.
pub fn is_decided(name: &str) -> bool {
    action(name).is_some()
}

/// The action that a decided method asks for.
pub fn action(name: &str) -> Option<Action> {
    METHODS.iter().find_map(|method| match method.class {
        Decided(action) if method.name == name && method.from == Client => Some(action),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
