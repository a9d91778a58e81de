//! What a new registration or a new pin made of a tool: its tier, its label, the roles of its arguments. Whoever accepts
//! a definition sees when it takes something of the review with it.

use remit_authority::change::ToolRecord;
use remit_authority::socket::wire::ServerShown;
use serde::Serialize;

use super::show::{returns, word};
use crate::out::{Out, Style};

/// One thing that is said of a tool now, and was not before.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Changed {
    tool: String,
    what: String,
    before: String,
    now: String,
}

/// A server as it is shown, with what changed.
#[derive(Serialize)]
pub(super) struct Facts<'a> {
    #[serde(flatten)]
    pub(super) shown: &'a ServerShown,
    pub(super) changed: &'a [Changed],
}

pub(super) fn changed(before: &[ToolRecord], now: &[ToolRecord]) -> Vec<Changed> {
    let pairs = now.iter().filter_map(|tool| Some((before.iter().find(|old| old.name == tool.name)?, tool)));
    pairs.flat_map(|(old, tool)| of_tool(old, tool)).collect()
}

fn of_tool(old: &ToolRecord, tool: &ToolRecord) -> Vec<Changed> {
    let role = |tool: &ToolRecord, name: &str| tool.roles.get(name).map_or_else(|| "none".into(), word);
    let mut said = vec![
        ("tier".to_owned(), old.tier.name().to_owned(), tool.tier.name().to_owned()),
        ("returns".to_owned(), returns(old), returns(tool)),
    ];
    let gone = old.roles.keys().filter(|name| !tool.roles.contains_key(*name));
    said.extend(
        tool.roles.keys().chain(gone).map(|name| (format!("role of {name}"), role(old, name), role(tool, name))),
    );
    said.retain(|(_, before, now)| before != now);
    let of = |(what, before, now)| Changed { tool: tool.name.to_string(), what, before, now };
    said.into_iter().map(of).collect()
}

pub(super) fn lines(changed: &[Changed], out: &Out) {
    for Changed { tool, what, before, now } in changed {
        out.line(format!("{}  {tool}: {what} was {before}, is {now}", out.style(Style::Strong, "changed")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_authority::learn::{Override, learn};

    #[test]
    fn every_word_of_a_review_that_is_another_now_is_named() {
        let list = |properties: &str| {
            let tool = format!(r#"{{"name":"note","inputSchema":{{"type":"object","properties":{properties}}}}}"#);
            learn(&format!(r#"{{"tools":[{tool}]}}"#)).unwrap()
        };
        let (before, mut now) = (list(r#"{"id":{},"old":{}}"#), list(r#"{"id":{},"body":{}}"#));
        let words = r#"{"tier":"T1","returns":{"trust":"internal","sensitivity":"public"},"roles":{"id":"target"}}"#;
        serde_json::from_str::<Override>(words).unwrap().apply(&mut now[0]);
        let found = changed(&before, &now);
        let said: Vec<_> = found.iter().map(|c| [c.what.as_str(), c.before.as_str(), c.now.as_str()]).collect();
        assert_eq!(
            said,
            [
                ["tier", "T3", "T1"],
                ["returns", "untrusted/regulated", "internal/public"],
                ["role of body", "none", "content"],
                ["role of id", "selector", "target"],
                ["role of old", "target", "none"],
            ]
        );
        assert!(changed(&now, &now).is_empty() && changed(&[], &now).is_empty());
    }
}
