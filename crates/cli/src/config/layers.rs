//! The layers of the configuration, each over the one before, and where each value came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use super::Env;
use super::keys::{Config, KEYS, Key, Kind};
use crate::error::CliError;

/// Largest `remit.toml`, in bytes.
const CONFIG_BYTES_MAX: u64 = 1 << 20;
const PREFIX: &str = "REMIT__";

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Default,
    File(PathBuf),
    Env(String),
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Env(name) => f.write_str(name),
            Source::Flag(name) => f.write_str(name),
        }
    }
}

/// A value given by a flag: key, flag, text.
pub(crate) type Flag = (&'static str, &'static str, String);

/// The configuration, with where each value came from.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// Values by key; a key that is not set is not there.
    pub(crate) values: Values,
    /// The file, whether or not it exists.
    pub(crate) file: PathBuf,
    /// What could not be read, and is left out of the rest.
    pub(crate) faults: Vec<CliError>,
}

impl Loaded {
    /// All of it, or its first fault: nothing may be done by half of a configuration but to look at it.
    pub(crate) fn whole(mut self) -> Result<Self, CliError> {
        if self.faults.is_empty() { Ok(self) } else { Err(self.faults.remove(0)) }
    }
}

type Values = BTreeMap<&'static str, (Value, Source)>;

/// Reads all layers, as far as they can be read.
pub(crate) fn load(file: &Path, env: &Env, flags: &[Flag]) -> Result<Loaded, CliError> {
    let (mut values, mut faults) = (Values::new(), Vec::new());
    for key in KEYS {
        if let Some(value) = default_of(key)? {
            values.insert(key.name, (value, Source::Default));
        }
    }
    let read = file_values(file).unwrap_or_else(|fault| {
        faults.push(fault);
        Vec::new()
    });
    let in_file = read.into_iter().map(|(name, value)| {
        let source = Source::File(file.to_owned());
        known(&name, &source).map(|key| (key, value, source))
    });
    let in_env = env.with_prefix(PREFIX).filter(|(rest, _)| *rest != "HOME").map(|(rest, text)| {
        let source = Source::Env(format!("{PREFIX}{rest}"));
        let key = known(&rest.replacen("__", ".", 1).to_ascii_lowercase(), &source)?;
        Ok((key, parse(key, text, &source)?, source))
    });
    let in_flags = flags.iter().map(|(name, flag, text)| {
        let source = Source::Flag(flag);
        let key = known(name, &source)?;
        Ok((key, parse(key, text, &source)?, source))
    });
    for found in in_file.chain(in_env).chain(in_flags) {
        match found {
            Ok((key, value, source)) => drop(values.insert(key.name, (value, source))),
            Err(fault) => faults.push(fault),
        }
    }
    let config = loop {
        match typed(&values) {
            Ok(config) => break config,
            Err((None, fault)) => return Err(fault),
            Err((Some(key), fault)) => {
                faults.push(fault);
                values.remove(key.name);
                values.extend(default_of(key)?.map(|value| (key.name, (value, Source::Default))));
            }
        }
    };
    Ok(Loaded { config, values, file: file.to_owned(), faults })
}

fn known(name: &str, source: &Source) -> Result<&'static Key, CliError> {
    KEYS.iter().find(|key| key.name == name).ok_or_else(|| {
        CliError::unevaluated(
            format!("{source}: there is no key `{name}`"),
            "see the keys that there are: remit config show",
        )
    })
}

fn default_of(key: &Key) -> Result<Option<Value>, CliError> {
    key.default.map(|text| parse(key, text, &Source::Default)).transpose()
}

fn parse(key: &Key, text: &str, source: &Source) -> Result<Value, CliError> {
    if key.kind == Kind::Text {
        return Ok(Value::String(text.to_owned()));
    }
    let table: Result<Table, _> = toml::from_str(&format!("v = {text}"));
    let value = table.ok().and_then(|mut table| table.remove("v"));
    value.ok_or_else(|| {
        CliError::unevaluated(
            format!("{source}: `{text}` is not a value for `{}`", key.name),
            format!("write it as in TOML, such as: {}", key.default.unwrap_or(key.like)),
        )
    })
}

/// Keys and values of the file; none where there is no file.
fn file_values(path: &Path) -> Result<Vec<(String, Value)>, CliError> {
    let failed = |why: &dyn fmt::Display| {
        CliError::unevaluated(format!("{}: {why}", path.display()), format!("mend it: $EDITOR {}", path.display()))
    };
    let text = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(&error)),
        Ok(meta) if meta.len() > CONFIG_BYTES_MAX => return Err(failed(&"larger than 1 MiB")),
        Ok(_) => std::fs::read_to_string(path).map_err(|error| failed(&error))?,
    };
    let table: Table = toml::from_str(&text).map_err(|error| failed(&error))?;
    let mut values = Vec::new();
    for (section, value) in table {
        let Value::Table(keys) = value else {
            return Err(failed(&format!("`{section}` does not stand in a section")));
        };
        values.extend(keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)));
    }
    Ok(values)
}

/// The key whose value the type refuses, where it is known, and what is wrong with it.
type Blame = (Option<&'static Key>, CliError);

fn typed(values: &Values) -> Result<Config, Blame> {
    let mut table = Table::new();
    for key in KEYS {
        let (section, name) = key.name.split_once('.').unwrap_or((key.name, ""));
        let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
        if let (Value::Table(section), Some((value, _))) = (section, values.get(key.name)) {
            section.insert(name.to_owned(), value.clone());
        }
    }
    Value::Table(table.clone()).try_into().map_err(|error| blame(values, &table, &error))
}

/// Finds the value that the type refuses: the one without which, or with its default, the error is another.
fn blame(values: &Values, table: &Table, error: &toml::de::Error) -> Blame {
    let set = values.iter().filter(|(_, (_, source))| !matches!(source, Source::Default));
    let guilty = set.into_iter().find(|(name, _)| {
        let mut table = table.clone();
        let (section, key) = name.split_once('.').unwrap_or((name, ""));
        if let Some(Value::Table(section)) = table.get_mut(section) {
            section.remove(key);
            let default = KEYS.iter().find(|key| key.name == **name).and_then(|key| default_of(key).ok()?);
            section.extend(default.map(|value| (key.to_owned(), value)));
        }
        let without: Result<Config, _> = Value::Table(table).try_into();
        without.map_or_else(|other| other.message() != error.message(), |_| true)
    });
    let (place, why) =
        (guilty.map_or_else(String::new, |(name, (_, source))| format!("{source}: `{name}`: ")), error.message());
    let key = guilty.and_then(|(name, _)| KEYS.iter().find(|key| key.name == *name));
    (key, CliError::unevaluated(format!("{place}{why}"), "see what each key is for: remit config show, docs/config.md"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use remit_audit::durable;

    fn loaded(file: &str, env: &Env, flags: &[Flag]) -> Result<Loaded, CliError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("remit.toml");
        durable::write(&path, file.as_bytes(), 0o600).unwrap();
        load(&path, env, flags)?.whole()
    }

    #[track_caller]
    fn refused(file: &str, env: &Env, says: &str) {
        let error = loaded(file, env, &[]).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Unevaluated);
        assert!(error.to_string().contains(says), "{error}");
    }

    #[test]
    fn each_layer_stands_over_the_one_before() {
        let file = "[gateway]\nlisten = \"127.0.0.1:1\"\ncalls_max = 7\nname = \"from-file\"\n";
        let env = Env::from([
            ("REMIT__GATEWAY__LISTEN", "127.0.0.1:2"),
            ("REMIT__GATEWAY__CALLS_MAX", "8"),
            ("REMIT__HOME", "/x"),
        ]);
        let flags = [("gateway.listen", "--listen-gateway", "127.0.0.1:3".to_owned())];
        let loaded = loaded(file, &env, &flags).unwrap();
        let gateway = &loaded.config.gateway;
        assert_eq!((gateway.listen.port(), gateway.calls_max), (3, 8));
        assert_eq!(gateway.name.as_deref(), Some("from-file"));
        assert_eq!(gateway.snapshot_age_max.seconds(), 60);
        let source = |name: &str| loaded.values[name].1.to_string();
        assert_eq!(source("gateway.listen"), "--listen-gateway");
        assert_eq!(source("gateway.calls_max"), "REMIT__GATEWAY__CALLS_MAX");
        assert!(source("gateway.name").ends_with("remit.toml"));
        assert_eq!(source("gateway.snapshot_age_max"), "default");
    }

    #[test]
    fn what_is_unknown_or_of_another_type_is_refused_and_named() {
        refused("[gateway]\nlissten = \"x\"\n", &Env::default(), "no key `gateway.lissten`");
        refused("gateway = 1\n", &Env::default(), "does not stand in a section");
        refused("[gateway]\ncalls_max = \"many\"\n", &Env::default(), "remit.toml: `gateway.calls_max`");
        refused("", &Env::from([("REMIT__GATEWAY__NAMES", "x")]), "REMIT__GATEWAY__NAMES: there is no key");
        refused("", &Env::from([("REMIT__TRUST__DOMAIN", "A B")]), "REMIT__TRUST__DOMAIN: `trust.domain`");
        refused("", &Env::from([("REMIT__GATEWAY__ORIGINS", "[")]), "`[` is not a value for `gateway.origins`");
        refused("", &Env::from([("REMIT__GATEWAY__SNAPSHOT_AGE_MAX", "soon")]), "`soon` is not a time");
    }

    #[test]
    fn nothing_that_grants_trust_has_a_default() {
        let loaded = loaded("", &Env::default(), &[]).unwrap();
        for name in ["trust.domain", "trust.root", "authority.url", "gateway.url", "gateway.name"] {
            assert!(!loaded.values.contains_key(name), "{name}");
            let error = loaded.required(name, None::<&String>).unwrap_err();
            let key = name.split_once('.').unwrap().1;
            assert!(error.help_text().contains(&format!("\n{key} = \"")), "{error:?}");
        }
    }
}
