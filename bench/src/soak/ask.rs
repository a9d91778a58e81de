//! One request and what must come back: calls that are answered at once or in a stream, lists, and calls that nobody
//! granted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::road::{echoed, text};
use crate::upstream::STREAMED;
use crate::wire::Answer;

/// Numbers of requests: no two are equal in one run of this program.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// How the calls are marked that the log is held against.
pub(crate) const MARK: &str = "call-";

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call that is answered with a message.
    Call,
    /// A call that is answered with a stream of events.
    Stream,
    /// A list of tools.
    List,
    /// A call of a tool that exists and that this run was not granted.
    Ungranted,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask {
    number: u64,
    kind: Kind,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What had to.
    Good,
    /// That there is no room now, as it has to be said: with this code, and when to come again.
    Refused(String),
    /// Anything else.
    Wrong(String),
}

impl Ask {
    /// The next one, of the kind that its number gets.
    pub(crate) fn next(kind: impl FnOnce(u64) -> Kind) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { number, kind: kind(number) }
    }

    /// Its method, and the name that stands in its headers.
    pub(crate) fn about(&self) -> (&'static str, Option<&'static str>) {
        match self.kind {
            Kind::Call | Kind::Stream => ("tools/call", Some("echo")),
            Kind::Ungranted => ("tools/call", Some("count")),
            Kind::List => ("tools/list", None),
        }
    }

    fn text(&self) -> String {
        match self.kind {
            Kind::Stream => format!("{STREAMED}{}", self.number),
            _ => text(self.number),
        }
    }

    pub(crate) fn body(&self) -> String {
        let (number, (method, name)) = (self.number, self.about());
        let named = name.map_or(String::new(), |name| {
            let arguments = if name == "echo" { format!(r#"{{"text":"{}"}}"#, self.text()) } else { "{}".into() };
            format!(r#","name":"{name}","arguments":{arguments}"#)
        });
        format!(
            r#"{{"jsonrpc":"2.0","id":{number},"method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}},"claudecode/toolUseId":"{MARK}{number}"}}{named}}}}}"#
        )
    }

    /// What the answer is to this request.
    pub(crate) fn judge(&self, answer: &Answer<'_>) -> Verdict {
        let body = String::from_utf8_lossy(answer.body);
        let good = match self.kind {
            Kind::Call | Kind::Stream => answer.status == 200 && echoed(&self.text(), answer.body),
            Kind::List => answer.status == 200 && body.contains(r#""name":"echo""#),
            Kind::Ungranted => answer.status == 403 && code(&body) == Some("insufficient_scope"),
        };
        match (good, answer.status, code(&body)) {
            (true, ..) => Verdict::Good,
            (_, 503, Some(code)) if answer.header("retry-after").is_some() => Verdict::Refused(code.to_owned()),
            (_, status, _) => Verdict::Wrong(format!("status {status}: {body}")),
        }
    }
}

/// The code of a refusal.
fn code(body: &str) -> Option<&str> {
    body.split_once(r#""code":""#)?.1.split('"').next()
}

/// Of ten requests: seven calls, and one of every other kind.
pub(crate) fn mixed(number: u64) -> Kind {
    match number % 10 {
        0 => Kind::List,
        3 => Kind::Stream,
        6 => Kind::Ungranted,
        _ => Kind::Call,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: Kind, (status, head, body): (u16, &str, &str), expected: &Verdict) {
        let ask = Ask { number: 7, kind };
        assert_eq!(ask.judge(&Answer::new(status, head.as_bytes(), body.as_bytes())), *expected);
    }

    #[test]
    fn only_what_had_to_come_is_good_and_a_refusal_must_say_when_to_come_again() {
        let wrong = |text: &str| Verdict::Wrong(text.to_owned());
        let full = r#"{"error":{"data":{"code":"overloaded"}}}"#;
        check(Kind::Call, (200, "", r#"{"text":"hi 7"}"#), &Verdict::Good);
        check(Kind::Call, (200, "", r#"{"text":"hi 8"}"#), &wrong(r#"status 200: {"text":"hi 8"}"#));
        check(Kind::Stream, (200, "", r#"data: {"text":"stream 7"}"#), &Verdict::Good);
        check(Kind::Call, (503, "retry-after: 1\r\n", full), &Verdict::Refused("overloaded".into()));
        check(Kind::Call, (503, "", full), &wrong(&format!("status 503: {full}")));
        check(Kind::Ungranted, (403, "", r#"{"code":"insufficient_scope"}"#), &Verdict::Good);
        check(Kind::Ungranted, (200, "", "{}"), &wrong("status 200: {}"));
    }
}
