//! Adding keys to `remit.toml`.
//!
//! **Invariant:** what stands in the file stays in it, to the byte; otherwise the file is left alone.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use remit_audit::durable;
use toml::{Table, Value};

use crate::error::CliError;

const FIRST_LINE: &str =
    "# Written by the first `remit up`. What each key is for, and what its owner can do: docs/config.md";

/// A key, as `section.key`, and its value.
pub(crate) type Added = (&'static str, String);

/// Adds keys that are not in the file yet; makes the file where there is none.
pub(crate) fn add(file: &Path, keys: &[Added]) -> Result<(), CliError> {
    if keys.is_empty() {
        return Ok(());
    }
    let failed = |why: &dyn std::fmt::Display| {
        CliError::unevaluated(
            format!("{}: {why}", file.display()),
            "look who may write there, or choose another: --home DIR",
        )
    };
    let (old, mode) = match std::fs::read_to_string(file) {
        Ok(text) => (text, std::fs::metadata(file).map_err(|error| failed(&error))?.permissions().mode() & 0o777),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => (String::new(), 0o600),
        Err(error) => return Err(failed(&error)),
    };
    let new = with(&old, keys).ok_or_else(|| by_hand(file, keys))?;
    durable::write(file, new.as_bytes(), mode).map_err(|error| failed(&error))
}

fn by_hand(file: &Path, keys: &[Added]) -> CliError {
    CliError::unevaluated(
        format!("{} is written so that nothing can be added to it without changing the rest", file.display()),
        format!("add to it:\n{}", sections(keys).map(|(name, lines)| page(name, &lines)).collect::<String>()),
    )
}

/// Sections in their order, with their lines.
fn sections(keys: &[Added]) -> impl Iterator<Item = (&'static str, Vec<String>)> {
    let mut found: Vec<(&'static str, Vec<String>)> = Vec::new();
    for (name, value) in keys {
        let (section, key) = name.split_once('.').unwrap_or(("", name));
        let line = format!("{key} = {}", Value::from(value.as_str()));
        match found.iter_mut().find(|(name, _)| *name == section) {
            Some((_, lines)) => lines.push(line),
            None => found.push((section, vec![line])),
        }
    }
    found.into_iter()
}

fn page(section: &str, lines: &[String]) -> String {
    format!("\n[{section}]\n{}\n", lines.join("\n"))
}

/// The file with these keys; nothing where its text cannot take them.
fn with(old: &str, keys: &[Added]) -> Option<String> {
    let mut text = if old.is_empty() { format!("{FIRST_LINE}\n") } else { old.to_owned() };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for (section, lines) in sections(keys) {
        let mut at = 0;
        let end_of_header = text.split_inclusive('\n').find_map(|line| {
            at += line.len();
            let header = line.split('#').next().unwrap_or_default().split_whitespace().collect::<String>();
            (header == format!("[{section}]")).then_some(at)
        });
        match end_of_header {
            Some(at) => text.insert_str(at, &format!("{}\n", lines.join("\n"))),
            None => text.push_str(&page(section, &lines)),
        }
    }
    // The text is trusted only if it says what was there before, and these keys.
    let mut wanted: Table = toml::from_str(old).ok()?;
    for (name, value) in keys {
        let (section, key) = name.split_once('.')?;
        let section = wanted.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if section.as_table_mut()?.insert(key.to_owned(), value.as_str().into()).is_some() {
            return None;
        }
    }
    let found: Table = toml::from_str(&text).ok()?;
    (found == wanted).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 3] = [("trust.domain", "localhost"), ("gateway.url", "http://x"), ("gateway.name", "g")];

    #[track_caller]
    fn check(old: &str, new: Option<&str>) {
        let keys = KEYS.map(|(name, value)| (name, value.to_owned()));
        assert_eq!(with(old, &keys).as_deref(), new, "{old}");
    }

    #[test]
    fn what_stands_there_stays() {
        let added = "\n[trust]\ndomain = \"localhost\"\n";
        let both = "url = \"http://x\"\nname = \"g\"\n";
        check("", Some(&format!("{FIRST_LINE}\n{added}\n[gateway]\n{both}")));
        check("# mine\n[admin]", Some(&format!("# mine\n[admin]\n{added}\n[gateway]\n{both}")));
        let old = "[ gateway ] # mine\ncalls_max = 7 # few\n";
        check(old, Some(&format!("[ gateway ] # mine\n{both}calls_max = 7 # few\n{added}")));
        // Not by adding lines: a table in one line, a key that is there, a header that is none.
        check("gateway = { calls_max = 7 }\n", None);
        check("[gateway]\nname = \"mine\"\n", None);
        check("[gateway]\norigins = ['''\n[trust]\n''']\n", None);
    }
}
