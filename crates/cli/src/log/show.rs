//! `remit log show`: one entry in full, as the log has it, with its disclosures where they can still be opened.

use clap::Args;
use remit_core::event::canon::Node;
use remit_core::event::{Kind, Opened, Statement, read};
use serde_json::Value;

use super::{Which, entries};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};
use crate::time::utc;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit log show 41 --disclose")]
pub(crate) struct Show {
    /// Index of the entry
    index: u64,
    #[command(flatten)]
    which: Which,
    /// Open its sealed frame too: arguments, reason and names
    #[arg(long)]
    disclose: bool,
}

pub(super) fn run(show: &Show, context: &Context) -> Result<Exit, CliError> {
    let epoch = show.which.epoch(context)?;
    let entry = entries::one(&epoch, show.index)?;
    let (kind, node) = read(&entry.leaf)
        .ok_or_else(|| CliError::finding(format!("entry {} is not an event", show.index), "remit log verify"))?;
    let statement = show.disclose.then(|| disclosed(context, &node, &entry)).transpose()?;
    let event: Value = serde_json::from_slice(&entry.leaf).unwrap_or_default();
    let facts = serde_json::json!({
        "index": show.index, "origin": epoch.origin(), "kind": kind.name(), "event": event, "disclosed": statement,
    });
    context.out.facts(&facts, |out| {
        people((show.index, kind), &node, statement.as_ref(), &context.home.flag(&context.env), out);
    });
    Ok(Exit::Fine)
}

/// What the frame says, held against the leaf where it is the frame of a call.
fn disclosed(context: &Context, node: &Node, entry: &entries::Entry) -> Result<Value, CliError> {
    let vault = entries::vault(context)?;
    let plain = entries::unseal(&vault, node, &entry.sealed)
        .map_err(|error| CliError::unevaluated(error, "without --disclose the entry shows what stands in clear"))?;
    let Ok(opened) = serde_json::from_slice::<Opened>(&plain) else {
        return Ok(serde_json::from_slice(&plain).unwrap_or_default());
    };
    let statement = Statement::read(&entry.leaf, Some(&opened))
        .map_err(|error| CliError::finding(error, "the frame is not this entry's: remit log verify"))?;
    Ok(serde_json::to_value(statement).unwrap_or_default())
}

fn people((index, kind): (u64, Kind), node: &Node, disclosed: Option<&Value>, home: &str, out: &Out) {
    let at = node.int(&["time"]).unwrap_or_default().div_euclid(1000);
    let log = node.text(&["metadata", "log_name"]).unwrap_or_default();
    out.line(format!("{} {} of {log}, {}", out.style(Style::Strong, "entry"), index, utc(at)));
    out.line(out.style(Style::Strong, kind.name()));
    for (title, path) in [("who", "ai_agent"), ("actor", "actor"), ("what", "resources"), ("call", "api")] {
        if let Some(found) = node.at(&[path]) {
            out.line("");
            out.line(out.style(Style::Quiet, title));
            lines(found, 1, out);
        }
    }
    if let Some(remit) = node.at(&["unmapped", "remit"]) {
        out.line("");
        out.line(out.style(Style::Quiet, "remit"));
        lines(remit, 1, out);
    }
    match disclosed {
        Some(value) => {
            out.line("");
            out.line(out.style(Style::Quiet, "disclosed"));
            out.lines(&serde_json::to_string_pretty(value).unwrap_or_default());
        }
        None if entries::frame_of(node).is_some() => {
            out.line("");
            out.line(format!("arguments and reason are sealed: remit{home} log show {index} --disclose"));
        }
        None => {}
    }
}

/// A value as indented `name: value` lines; digests among them are left out, they are for machines.
fn lines(node: &Node, depth: usize, out: &Out) {
    let indent = "  ".repeat(depth);
    match node {
        Node::Map(map) => {
            for (name, value) in map.iter().filter(|(name, _)| !matches!(name.as_ref(), "_sd" | "_sd_alg" | "v")) {
                match value {
                    Node::Map(_) | Node::List(_) if !short(value) => {
                        out.line(format!("{indent}{name}:"));
                        lines(value, depth + 1, out);
                    }
                    value => out.line(format!("{indent}{name}: {}", inline(value))),
                }
            }
        }
        Node::List(items) => items.iter().for_each(|item| lines(item, depth, out)),
        scalar => out.line(format!("{indent}{}", inline(scalar))),
    }
}

fn short(node: &Node) -> bool {
    matches!(node, Node::List(items) if items.iter().all(|item| matches!(item, Node::Text(_) | Node::Int(_))))
}

fn inline(node: &Node) -> String {
    match node {
        Node::Text(text) => text.clone(),
        Node::Int(number) => number.to_string(),
        Node::List(items) => items.iter().map(inline).collect::<Vec<_>>().join(", "),
        Node::Map(_) => String::from_utf8_lossy(&node.write()).into_owned(),
    }
}
