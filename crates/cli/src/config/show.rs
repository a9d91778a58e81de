//! `remit config show`: every key, its value, and where the value came from.

use serde_json::{Map, Value};

use super::{KEYS, Loaded};
use crate::error::Exit;
use crate::out::{Out, Style};

pub(crate) fn run(loaded: &Loaded, out: &Out) -> Exit {
    let mut facts: Map<String, Value> = KEYS
        .iter()
        .map(|key| {
            let (value, source) = match loaded.values.get(key.name) {
                Some((value, source)) => (serde_json::to_value(value).unwrap_or_default(), source.to_string()),
                None => (Value::Null, "not set".to_owned()),
            };
            (key.name.to_owned(), serde_json::json!({ "value": value, "source": source }))
        })
        .collect();
    let faults: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    if !faults.is_empty() {
        facts.insert("wrong".to_owned(), faults.clone().into());
    }
    out.object(&facts, |out| {
        let mut section = "";
        for key in KEYS {
            let (of, name) = key.name.split_once('.').unwrap_or(("", key.name));
            if of != section {
                if !section.is_empty() {
                    out.line("");
                }
                out.line(format!("[{of}]"));
                section = of;
            }
            let line = match loaded.values.get(key.name) {
                Some((value, source)) => {
                    format!("{name} = {value}  {}", out.style(Style::Quiet, format!("# {source}")))
                }
                None => out.style(Style::Quiet, format!("# {name} is not set")),
            };
            out.line(line);
        }
        for fault in &faults {
            out.line("");
            out.line(format!("{}  left out, so no other command runs:", out.style(Style::Bad, "# WRONG")));
            out.lines(fault);
        }
    });
    if faults.is_empty() { Exit::Fine } else { Exit::Unevaluated }
}
