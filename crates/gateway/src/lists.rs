//! Lists as one run may see them: exactly what it could get as a permit, or pending on a gate.

use std::sync::Arc;

use remit_core::call::Action;
use remit_core::claims::Claims;
use remit_core::id::ToolName;
use remit_core::input::{Answers, Input, Presented};
use remit_core::plan::shows;

use crate::mcp::list::{Entry, List, ListKind};
use crate::relay::Route;

/// The list without what the run could not get; `None` where the answer is no list.
pub fn filter(route: &Route, claims: &Arc<Claims>, kind: ListKind, text: &str) -> Option<String> {
    let Some(list) = List::parse(kind, text).ok()? else {
        return Some(text.to_owned());
    };
    let gateway = &route.gateway;
    let now = gateway.clock.now_s();
    if kind == ListKind::Tools {
        gateway.pins.doubt(&route.server, &list);
    }
    let snapshot = gateway.snapshots.current(now).ok()?;
    let state = gateway.runs.peek(claims, now, gateway.recorder.log().size()).ok()?;
    let visible = |entry: &Entry<'_>| {
        let action = match kind {
            ListKind::Tools => Action::CallTool(ToolName::new(entry.name.clone()).ok()?),
            ListKind::Prompts => Action::GetPrompt(ToolName::new(entry.name.clone()).ok()?),
            ListKind::Resources => Action::ReadResource(entry.name.clone().into_owned()),
            // A template is a promise of resources that are decided one by one.
            ListKind::Templates => return Some(false),
        };
        let pinned = action.tool().and_then(|tool| snapshot.bundle.tool(&route.server, tool));
        let drifted = kind == ListKind::Tools && pinned.is_none_or(|p| entry.pin().ok().as_ref() != Some(&p.tool.pin));
        let input = Input {
            now,
            presented: route.asked.presented.clone().unwrap_or(Presented::Nothing),
            facts: snapshot.facts(Some(claims), &route.server, &action, drifted),
            server: route.server.clone(),
            action,
            arguments: "{}".into(),
            answers: Answers::default(),
            state,
        };
        Some(shows(&snapshot.bundle, &input))
    };
    list.filter(|entry| visible(entry).unwrap_or(false)).ok()
}
