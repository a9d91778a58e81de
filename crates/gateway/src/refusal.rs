//! What a refusal says: what happened, and the one next step, for the person and the model that read it.
//!
//! It names the rule and what would be allowed; never a policy's text, and nothing about anybody else's tools.

use remit_core::call::Action;
use remit_core::decide::{Decided, Verdict};
use remit_core::rejection::{Code, Rejection};
use remit_core::target::Target;

/// What a refusal speaks of.
struct Of<'a> {
    /// What was wanted, in words.
    what: String,
    /// How it is asked for.
    target: String,
    server: &'a str,
    about: &'a str,
    policies: String,
    gates: String,
    /// Index of the entry that holds the whole reason, where there is one.
    entry: Option<u64>,
}

/// The rejection that a decision amounts to, where it has no entry of its own.
pub fn of(decided: &Decided) -> Rejection {
    refusal(decided, None)
}

/// The rejection that a decision amounts to, whose whole reason is this entry of the log.
pub fn recorded(decided: &Decided, entry: u64) -> Rejection {
    Rejection { decision: Some(entry), ..refusal(decided, Some(entry)) }
}

fn refusal(decided: &Decided, entry: Option<u64>) -> Rejection {
    let Some(code) = decided.verdict().code() else {
        return Rejection::new(
            Code::Internal,
            "a permitted call was refused",
            "report this: it is a defect of the gateway",
        );
    };
    let input = decided.input();
    let what = match &input.action {
        Action::CallTool(tool) => format!("{}/{tool}", input.server),
        Action::GetPrompt(prompt) => format!("prompt {}/{prompt}", input.server),
        Action::ReadResource(_) => format!("a resource of {}", input.server),
        Action::Answer(feature) => format!("{} by {}", feature.name(), input.server),
        Action::Method(method) => format!("{method} on {}", input.server),
    };
    let target = Target::of_action(&input.server, &input.action).map_or_else(|| "SERVER/TOOL".into(), |it| quoted(&it));
    let gates = match decided.verdict() {
        Verdict::Pending(gates) => gates.iter().map(|gate| gate.name()).collect::<Vec<_>>().join(", "),
        _ => String::new(),
    };
    let policies = decided.policies().iter().cloned().collect::<Vec<_>>().join(", ");
    let of = Of {
        what,
        target,
        server: input.server.as_str(),
        about: decided.about().unwrap_or("?"),
        policies,
        gates,
        entry,
    };
    let (message, help) = match code {
        Code::Unknown => (unknown(&input.action), "list what this run may use: tools/list".into()),
        code => text(code, &of),
    };
    let message = match code {
        // Whoever is refused by these can turn to somebody.
        Code::PolicyForbid
        | Code::GatePending
        | Code::LockedDown
        | Code::PinChanged
        | Code::InsufficientScope
        | Code::ArgumentsOutsideGrant => owned(message, decided),
        _ => message,
    };
    Rejection::new(code, message, help)
}

/// With who answers for it.
fn owned(message: String, decided: &Decided) -> String {
    let owners: Vec<String> = decided.owners().iter().map(ToString::to_string).collect();
    if owners.is_empty() { message } else { format!("{message}; owned by {}", owners.join(", ")) }
}

fn text(code: Code, of: &Of<'_>) -> (String, String) {
    let Of { what, target, server, about, policies, gates, entry } = of;
    let request = || format!("remit request {target} --for 15m --why \"…\"");
    let explain = || explain(*entry);
    match code {
        Code::TokenMissing => ("the request carries no access token".into(), renew()),
        Code::TokenInvalid => ("the token is not valid here".into(), renew()),
        Code::TokenExpired => ("the token's time is over".into(), renew()),
        Code::TokenAudience => (format!("the token is not for {what}"), renew()),
        Code::ProofInvalid => {
            ("the token is bound to a key, and the request does not prove that you hold it".into(), prove(server))
        }
        Code::ProofReplayed => ("the proof of possession was used before".into(), prove(server)),
        Code::Revoked => (
            "the run, or something it depends on, was revoked".into(),
            "ask who revoked it: remit log tail --log authority --kind revocation".into(),
        ),
        Code::AgentUnregistered => {
            ("the agent is not registered in this version".into(), "remit agent register agent.toml".into())
        }
        Code::ScopeUndeclared => (
            "agent.toml of the agent does not let it have this by a link, or not for so long".into(),
            "say `offline = true` and declare the need, then: remit agent register agent.toml".into(),
        ),
        Code::InsufficientScope => (format!("this run was not granted {what}"), request()),
        Code::LockedDown => (format!("{what} is locked down for everybody"), "wait until security lifts it".into()),
        Code::PinChanged => (
            format!("{what} is not described as it was reviewed"),
            format!("have it reviewed: remit server diff {server}"),
        ),
        Code::ArgumentsInvalid => (
            format!("argument `{about}` of {what} is not what its reviewed schema declares"),
            "correct the argument".into(),
        ),
        Code::ArgumentsOutsideGrant => {
            (format!("argument `{about}` of {what} is outside what this run was granted"), request())
        }
        Code::NumberInexact => (
            format!("argument `{about}` of {what} is a number that cannot be compared exactly"),
            "write it without an exponent and with at most four decimals".into(),
        ),
        Code::PolicyForbid if policies.is_empty() => (format!("no policy permits {what} for this agent"), explain()),
        Code::PolicyForbid => (format!("{what} is forbidden by policy {policies}"), explain()),
        Code::PolicyError => (format!("policy {policies} could not be evaluated, so {what} is forbidden"), explain()),
        // The model reads this too: it must not be told to do by itself what a person has to.
        Code::GatePending => (
            format!("{what} needs {gates} first (policy {policies})"),
            format!(
                "nobody can give it in this release: leave it to a person, who can do it by hand, or begin a run for it \
                 that has read nothing untrusted: {}",
                request()
            ),
        ),
        Code::BudgetSpent => (format!("this run has made all {about} calls of its budget"), "begin a new run".into()),
        Code::RateLimited => (format!("more than {about} calls in a minute"), "wait a minute".into()),
        Code::LoopDetected => {
            (format!("the same call was made {about} times in a row"), "do something else, or stop".into())
        }
        _ => ("the call was refused".into(), explain()),
    }
}

fn unknown(action: &Action) -> String {
    match action {
        Action::CallTool(tool) => format!("Unknown tool: {tool}"),
        Action::GetPrompt(prompt) => format!("Unknown prompt: {prompt}"),
        Action::ReadResource(_) => "Resource not found".into(),
        Action::Answer(_) | Action::Method(_) => "Method not found".into(),
    }
}

/// The target as a shell takes it for one word: a URI may hold what it would read otherwise.
fn quoted(target: &Target) -> String {
    let text = target.to_string();
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&b));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn renew() -> String {
    "get a token: remit request SERVER/TOOL --for 15m --why \"…\"".into()
}

fn prove(server: &str) -> String {
    format!("let the relay prove each request: remit token {server} --run RUN")
}

fn explain(entry: Option<u64>) -> String {
    match entry {
        Some(entry) => format!("see the whole reason: remit log show {entry}"),
        None => "see what was recorded of it: remit log tail".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_step_is_a_command_that_there_is() {
        let of = Of {
            what: "tickets/pay".into(),
            target: "tickets/pay".into(),
            server: "tickets",
            about: "id",
            policies: "floor/base/x".into(),
            gates: "approval".into(),
            entry: Some(352),
        };
        let uri: Target = "resource:docs/file:///a;rm$(x)'".parse().unwrap();
        assert_eq!(quoted(&uri), r"'resource:docs/file:///a;rm$(x)'\'''");
        for (code, next) in [
            (Code::Revoked, "remit log tail --log authority --kind revocation"),
            (Code::PolicyForbid, "remit log show 352"),
            (Code::PolicyError, "remit log show 352"),
            (Code::ProofInvalid, "remit token tickets --run RUN"),
            (Code::ProofReplayed, "remit token tickets --run RUN"),
            (Code::GatePending, "nobody can give it in this release"),
            (Code::GatePending, "remit request tickets/pay --for 15m"),
            (Code::PinChanged, "remit server diff tickets"),
        ] {
            let (_, help) = text(code, &of);
            assert!(help.contains(next), "{}: {help}", code.name());
        }
        // Of all that is ever said, nothing names a command of another release.
        for code in Code::ALL {
            let (_, help) = text(*code, &of);
            let command = help.split_once("remit ").and_then(|(_, rest)| rest.split(' ').next());
            let there = ["request", "token", "log", "agent", "server"];
            assert!(command.is_none_or(|command| there.contains(&command)), "{}: {help}", code.name());
        }
    }
}
