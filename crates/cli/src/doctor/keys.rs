//! Private keys: can only their owner read them, and where others could, what is left to do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Finding;
use super::part::start;
use crate::context::Context;

pub(super) fn keys(context: &Context) -> Finding {
    let dirs = [context.home.authority().keys(), context.home.gateway().join("keys")];
    let files: Vec<PathBuf> = dirs.iter().flat_map(|dir| files(dir)).collect();
    if files.is_empty() {
        return Finding::wrong("keys", "there is none", start(context));
    }
    let open = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
    let exposed: Vec<PathBuf> = files.into_iter().filter(open).collect();
    if exposed.is_empty() {
        return Finding::fine("keys", "only their owner can read them");
    }
    let names: Vec<String> = exposed.iter().map(|path| path.display().to_string()).collect();
    Finding::wrong(
        "keys",
        format!("others can read {}", names.join(", ")),
        format!("chmod 600 {}; {}", names.join(" "), replaced(&exposed, &context.home.flag(&context.env))),
    )
}

/// What takes the place of a key that others may have read. Only those that sign tokens, and the PIN, have anything.
fn replaced(exposed: &[PathBuf], home: &str) -> String {
    let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let names: Vec<String> = exposed.iter().map(name).collect();
    let (tokens, rest): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| name.starts_with("token-"));
    let (pin, others): (Vec<String>, Vec<String>) = rest.into_iter().partition(|name| name == "pin");
    let mut steps = Vec::new();
    if !tokens.is_empty() {
        steps.push(format!("sign with another: remit{home} admin rotate-keys"));
    }
    if !pin.is_empty() {
        steps.push(format!("set another PIN: remit{home} admin pin"));
    }
    if !others.is_empty() {
        steps.push(format!(
            "nothing replaces {} in a home: if somebody else may have read it, begin another home, with `remit --home DIR`, \
             and pin its root key in the gateways",
            others.join(", ")
        ));
    }
    steps.join("; ")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(dir).into_iter().flatten();
    let mut files: Vec<PathBuf> =
        read.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_replaced_is_and_what_cannot_is_said() {
        let advice = |names: &[&str]| replaced(&names.iter().map(PathBuf::from).collect::<Vec<_>>(), "");
        for (names, wanted, unwanted) in [
            (&["/k/root.key"][..], "nothing replaces root.key", "rotate-keys"),
            (&["/k/log", "/k/vault"], "nothing replaces log, vault", "rotate-keys"),
            (&["/k/token-1.key"], "remit admin rotate-keys", "nothing replaces"),
            (&["/k/pin"], "remit admin pin", "rotate-keys"),
        ] {
            let found = advice(names);
            assert_eq!((found.contains(wanted), found.contains(unwanted)), (true, false), "{found}");
        }
    }
}
