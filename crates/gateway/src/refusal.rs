//! What a refusal says: what happened, and the one next step, for the person and the model that read it.
//!
//! It names the rule and what would be allowed; never a policy's text, and nothing about anybody else's tools.

use remit_core::call::Action;
use remit_core::decide::{Decided, Verdict};
use remit_core::rejection::{Code, Rejection};

/// The rejection that a decision amounts to.
pub fn of(decided: &Decided) -> Rejection {
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
        Action::Method(method) => format!("{method} on {}", input.server),
    };
    let about = decided.about().unwrap_or("?");
    let (message, help) = text(code, &what, about, decided);
    Rejection::new(code, message, help)
}

fn text(code: Code, what: &str, about: &str, decided: &Decided) -> (String, String) {
    let policies = || decided.policies().iter().cloned().collect::<Vec<_>>().join(", ");
    let request = || format!("remit request {what} --for 15m --why \"…\"");
    match code {
        Code::TokenMissing => ("the request carries no access token".into(), renew()),
        Code::TokenInvalid => ("the token is not valid here".into(), renew()),
        Code::TokenExpired => ("the token's time is over".into(), renew()),
        Code::TokenAudience => (format!("the token is not for {what}"), renew()),
        Code::ProofInvalid => {
            ("the token is bound to a key, and the request does not prove that you hold it".into(), renew())
        }
        Code::ProofReplayed => {
            ("the proof of possession was used before".into(), "make a new proof for each request".into())
        }
        Code::Revoked => (
            "the run, or something it depends on, was revoked".into(),
            "ask who revoked it: remit log tail --kind revocation".into(),
        ),
        Code::AgentUnregistered => {
            ("the agent is not registered in this version".into(), "remit agent register agent.toml".into())
        }
        Code::Unknown => (unknown(decided), "list what this run may use: tools/list".into()),
        Code::InsufficientScope => (format!("this run was not granted {what}"), request()),
        Code::LockedDown => (format!("{what} is locked down for everybody"), "wait until security lifts it".into()),
        Code::PinChanged => (
            format!("{what} is not described as it was reviewed"),
            format!("have it reviewed: remit server diff {}", decided.input().server),
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
        Code::PolicyForbid if decided.policies().is_empty() => {
            (format!("no policy permits {what} for this agent"), explain())
        }
        Code::PolicyForbid => (format!("{what} is forbidden by policy {}", policies()), explain()),
        Code::PolicyError => {
            (format!("policy {} could not be evaluated, so {what} is forbidden", policies()), explain())
        }
        Code::GatePending => {
            let gates = match decided.verdict() {
                Verdict::Pending(gates) => gates.iter().map(|gate| gate.name()).collect::<Vec<_>>().join(", "),
                _ => String::new(),
            };
            (format!("{what} needs {gates} first (policy {})", policies()), "ask for it: remit approvals".into())
        }
        Code::BudgetSpent => (format!("this run has made all {about} calls of its budget"), "begin a new run".into()),
        Code::RateLimited => (format!("more than {about} calls in a minute"), "wait a minute".into()),
        Code::LoopDetected => {
            (format!("the same call was made {about} times in a row"), "do something else, or stop".into())
        }
        _ => ("the call was refused".into(), explain()),
    }
}

fn unknown(decided: &Decided) -> String {
    match &decided.input().action {
        Action::CallTool(tool) => format!("Unknown tool: {tool}"),
        Action::GetPrompt(prompt) => format!("Unknown prompt: {prompt}"),
        Action::ReadResource(_) => "Resource not found".into(),
        Action::Method(_) => "Method not found".into(),
    }
}

fn renew() -> String {
    "get a token: remit request SERVER/TOOL --for 15m --why \"…\"".into()
}

fn explain() -> String {
    "see the whole reason: remit log show INDEX, with the number of this decision".into()
}
