//! `remit log replay`: recorded decisions are decided again, by the bundle of that time and the sealed input, and
//! compared with what the log says.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use remit_audit::note::{self, Verifier};
use remit_audit::vault::{Vault, VaultError};
use remit_core::bundle::Versioned;
use remit_core::decide::{Verdict, replay};
use remit_core::event::canon::Node;
use remit_core::event::{DecidedBy, Kind, Opened, read};
use remit_core::hash::sha256_text;
use remit_core::policy::{Compiled, compile};
use serde_json::json;

use super::{Which, entries};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::out::{Out, Style};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit log replay --from 100 --to 200")]
pub(crate) struct Replay {
    #[command(flatten)]
    which: Which,
    /// First entry
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    from: u64,
    /// Last entry [default: the newest]
    #[arg(long, value_name = "INDEX")]
    to: Option<u64>,
}

/// What became of one decision.
enum Replayed {
    Same,
    Differs { recorded: String, now: String },
    Erased,
    Unknown(String),
}

pub(super) fn run(asked: &Replay, context: &Context) -> Result<Exit, CliError> {
    let epoch = asked.which.epoch(context)?;
    let last = asked.to.unwrap_or(u64::MAX);
    let (entries, found) = entries::verified(&epoch, |index| (asked.from..=last).contains(&index))?;
    if entries.is_empty() {
        let to = asked.to.map_or_else(|| "the newest".to_owned(), |to| to.to_string());
        return Err(CliError::unevaluated(
            format!("nothing to replay from {} to {to}: {} has {} entries", asked.from, found.origin, found.size),
            "name a range that is there, the first entry being 0: remit log replay --from INDEX --to INDEX",
        ));
    }
    let mut again = Again { vault: entries::vault(context)?, context, bundles: BTreeMap::new() };
    let results: Vec<(u64, Replayed)> =
        entries.iter().filter_map(|entry| Some((entry.index, again.decide(entry)?))).collect();
    report(&results, &context.out);
    Ok(exit(&results))
}

struct Again<'a> {
    vault: Vault,
    context: &'a Context,
    bundles: BTreeMap<u64, Result<Compiled, String>>,
}

impl Again<'_> {
    /// Nothing for an entry that records no decision.
    fn decide(&mut self, entry: &entries::Entry) -> Option<Replayed> {
        let (kind, node) = read(&entry.leaf)?;
        if !matches!(kind, Kind::CallIntent | Kind::HookCall | Kind::Method) {
            return None;
        }
        Some(self.compare(entry, &node).unwrap_or_else(Replayed::Unknown))
    }

    fn compare(&mut self, entry: &entries::Entry, node: &Node) -> Result<Replayed, String> {
        let plain = match entries::unseal(&self.vault, node, &entry.sealed) {
            Err(VaultError::Erased) => return Ok(Replayed::Erased),
            opened => opened.map_err(|error| error.to_string())?,
        };
        let opened: Opened = serde_json::from_slice(&plain).map_err(|error| error.to_string())?;
        let DecidedBy { input, evidence } = opened.check(&entry.leaf).map_err(|error| error.to_string())?;
        let (verdict, policies) = replay(self.bundle(node)?, &input, &evidence);
        let (recorded, now) = (recorded(node), spoken(&verdict, &policies));
        Ok(if recorded == now { Replayed::Same } else { Replayed::Differs { recorded, now } })
    }

    /// The bundle that was decided by: of that version and, to the bit, of that digest.
    fn bundle(&mut self, node: &Node) -> Result<&Compiled, String> {
        let snapshot = ["unmapped", "remit", "snapshot"];
        let version = node.int(&[&snapshot[..], &["bundle"]].concat());
        let version = version.and_then(|version| u64::try_from(version).ok()).unwrap_or_default();
        let digest = node.text(&[&snapshot[..], &["digest"]].concat()).unwrap_or_default();
        let context = self.context;
        let kept = self.bundles.entry(version).or_insert_with(|| load(context, version));
        let bundle = kept.as_ref().map_err(Clone::clone)?;
        if sha256_text(&bundle.versioned.digest) == digest {
            Ok(bundle)
        } else {
            Err(format!("the kept bundle {version} is not the one that was decided by"))
        }
    }
}

fn load(context: &Context, version: u64) -> Result<Compiled, String> {
    let path = context.home.bundle(version);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let trust = &context.loaded.config.trust;
    let (Some(domain), Some(root)) = (&trust.domain, &trust.root) else {
        return Err("`trust.domain` or `trust.root` is not set".into());
    };
    let root = Verifier::parse(root.trim_end()).map_err(|error| error.to_string())?;
    let opened = note::open(&text, &[root]).map_err(|error| format!("{}: {error}", path.display()))?;
    let versioned = Versioned::read(&opened.text, domain).map_err(|error| error.to_string())?;
    compile(versioned, domain.clone()).map_err(|error| error.to_string())
}

/// A decision in one comparable text.
fn spoken(verdict: &Verdict, policies: &BTreeSet<String>) -> String {
    let gates = match verdict {
        Verdict::Pending(gates) => gates.iter().map(|gate| gate.name().to_owned()).collect(),
        _ => Vec::new(),
    };
    let code = verdict.code().map_or("", |code| code.name());
    let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
    line(verdict.name(), code, &gates, &policies)
}

fn recorded(node: &Node) -> String {
    let path = |name| ["unmapped", "remit", "decision", name];
    let texts = |name| node.list(&path(name)).iter().filter_map(|item| item.text(&[])).collect::<Vec<_>>();
    let text = |name| node.text(&path(name)).unwrap_or_default();
    let gates: Vec<String> = texts("gates").into_iter().map(ToOwned::to_owned).collect();
    line(text("verdict"), text("code"), &gates, &texts("policies"))
}

fn line(verdict: &str, code: &str, gates: &[String], policies: &[&str]) -> String {
    let mut line = verdict.to_owned();
    for (name, part) in [("", code), (" gates ", &gates.join("+")), (" by ", &policies.join(", "))] {
        if !part.is_empty() {
            line.push_str(if name.is_empty() { " " } else { name });
            line.push_str(part);
        }
    }
    line
}

fn exit(results: &[(u64, Replayed)]) -> Exit {
    let any = |wanted: fn(&Replayed) -> bool| results.iter().any(|(_, replayed)| wanted(replayed));
    if any(|replayed| matches!(replayed, Replayed::Differs { .. })) {
        Exit::Findings
    } else if any(|replayed| matches!(replayed, Replayed::Unknown(_))) {
        Exit::Unevaluated
    } else {
        Exit::Fine
    }
}

fn report(results: &[(u64, Replayed)], out: &Out) {
    let count = |wanted: fn(&Replayed) -> bool| results.iter().filter(|(_, replayed)| wanted(replayed)).count();
    let same = count(|r| matches!(r, Replayed::Same));
    let differs = count(|r| matches!(r, Replayed::Differs { .. }));
    let erased = count(|r| matches!(r, Replayed::Erased));
    let unknown = count(|r| matches!(r, Replayed::Unknown(_)));
    let odd = results.iter().filter_map(|(index, replayed)| match replayed {
        Replayed::Differs { recorded, now } => {
            Some(json!({ "index": index, "result": "differs", "recorded": recorded, "now": now }))
        }
        Replayed::Unknown(why) => Some(json!({ "index": index, "result": "not replayable", "why": why })),
        Replayed::Same | Replayed::Erased => None,
    });
    let facts = json!({
        "same": same, "differs": differs, "erased": erased, "not_replayable": unknown, "entries": odd.collect::<Vec<_>>(),
    });
    out.facts(&facts, |out| {
        for (index, replayed) in results {
            match replayed {
                Replayed::Differs { recorded, now } => {
                    let what = out.style(Style::Bad, "differs");
                    out.line(format!("{index:>6}  {what}: recorded `{recorded}`, now `{now}`"));
                }
                Replayed::Unknown(why) => out.line(format!("{index:>6}  not replayable: {why}")),
                Replayed::Same | Replayed::Erased => {}
            }
        }
        out.line(format!(
            "{same} same, {differs} differ, {erased} not replayable because erased, {unknown} for another reason"
        ));
    });
}
