//! One line about one entry: when, what, who, and what came of it.

use remit_core::event::canon::Node;
use remit_core::event::{Kind, read};
use serde_json::{Value, json};

use crate::out::{Out, Style};
use crate::time::utc;

/// What a line says.
pub(super) struct Summary {
    index: u64,
    at_ms: i64,
    /// The kind, where the leaf is an event.
    pub(super) kind: Option<Kind>,
    who: String,
    what: String,
    result: String,
    good: bool,
}

impl Summary {
    pub(super) fn of(index: u64, leaf: &[u8]) -> Self {
        let Some((kind, node)) = read(leaf) else {
            let what = "not an event".to_owned();
            return Self { index, at_ms: 0, kind: None, who: String::new(), what, result: String::new(), good: false };
        };
        let (what, result, good) = said(kind, &node);
        let at_ms = node.int(&["time"]).unwrap_or_default();
        Self { index, at_ms, kind: Some(kind), who: who(&node), what, result, good }
    }

    pub(super) fn line(&self, out: &Out) -> String {
        let style = if self.good { Style::Good } else { Style::Bad };
        format!(
            "{:>6}  {}  {:<16} {:<28} {} {}",
            self.index,
            out.style(Style::Quiet, utc(self.at_ms.div_euclid(1000))),
            self.kind.map_or("?", Kind::name),
            self.who,
            self.what,
            out.style(style, &self.result),
        )
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "index": self.index, "time_ms": self.at_ms, "kind": self.kind.map(Kind::name),
            "who": self.who, "what": self.what, "result": self.result,
        })
    }
}

/// `<team>/<name>@<version>` with its run, or whoever else it was.
fn who(node: &Node) -> String {
    let remit = |name| node.text(&["unmapped", "remit", name]);
    let agent = node.text(&["ai_agent", "uid"]).or_else(|| remit("agent"));
    let agent = agent.and_then(|uid| remit_core::id::AgentId::parse(uid).ok()).map(|id| id.short());
    match (agent, remit("run")) {
        (Some(agent), _) => agent,
        (None, Some(run)) => run.to_owned(),
        (None, None) => node.text(&["actor", "user", "uid"]).or_else(|| remit("gateway")).unwrap_or("-").to_owned(),
    }
}

fn said(kind: Kind, node: &Node) -> (String, String, bool) {
    let remit = |name| node.text(&["unmapped", "remit", name]).unwrap_or_default().to_owned();
    let number = |name| node.int(&["unmapped", "remit", name]).unwrap_or_default();
    match kind {
        Kind::CallIntent | Kind::HookCall | Kind::Method => decided(node),
        Kind::CallOutcome => {
            let status = remit("status");
            let good = status == "ok";
            (format!("of {} after {} µs:", number("intent"), number("duration_us")), status, good)
        }
        Kind::OutcomeUnknown => (format!("of {}:", number("intent")), "unknown".into(), false),
        Kind::Bundle => {
            let good = remit("what") != "refused";
            (format!("version {}", number("version")), remit("what"), good)
        }
        Kind::Revocation | Kind::Lockdown => (remit("id"), remit("what"), false),
        Kind::Epoch => (format!("{} begins", number("epoch")), String::new(), true),
        Kind::Heartbeat => (format!("{} calls open", number("open")), String::new(), true),
        Kind::Refusals => (format!("of strangers, from {}", remit("source")), "refused".into(), false),
        Kind::KeyDestroyed => (remit("subject"), "erased".into(), true),
        _ => {
            let version = node.int(&["unmapped", "remit", "version"]);
            let version = version.map_or_else(String::new, |version| format!(" version {version}"));
            (format!("{} {}{version}", remit("object"), remit("id")), remit("what"), true)
        }
    }
}

fn decided(node: &Node) -> (String, String, bool) {
    let decision = |name| node.text(&["unmapped", "remit", "decision", name]);
    let operation = node.text(&["api", "operation"]).unwrap_or_default();
    let object = node.list(&["resources"]).first().and_then(|resource| resource.text(&["uid"]));
    let service = node.text(&["api", "service", "name"]).unwrap_or_default();
    let what = match object {
        Some(uid) if operation == "tools/call" => uid.to_owned(),
        Some(uid) => format!("{operation} {uid}"),
        None => format!("{operation} {service}"),
    };
    let verdict = decision("verdict").unwrap_or("?");
    let result = decision("code").map_or_else(|| verdict.to_owned(), |code| format!("{verdict}: {code}"));
    (what, result, verdict == "permit")
}
