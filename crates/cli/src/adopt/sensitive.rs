//! What looks like a key, by the name that it goes by or by its form.

use serde_json::Value;

/// What stands in the place of a key that is shown or kept.
pub(super) const MASK: &str = "[sealed]";

/// Parts of names under which keys go.
const WORDS: [&str; 15] = [
    "apikey",
    "auth",
    "bearer",
    "cookie",
    "cred",
    "dsn",
    "jwt",
    "key",
    "passphrase",
    "passwd",
    "password",
    "pat",
    "secret",
    "session",
    "token",
];
/// How the keys of well-known issuers begin.
const BEGINNINGS: [&str; 14] = [
    "sk-",
    "sk_",
    "pk_",
    "rk_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
    "eyJ",
];

/// Whether a key goes by this name.
pub(super) fn name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    // `pat` and `key` are parts of words that name no key: `path`, `monkey`.
    let whole = |word: &str| WORDS.iter().any(|known| *known == word || (known.len() > 3 && word.contains(known)));
    words.into_iter().any(|word| whole(word) || (word.ends_with("key") && word.len() <= 12))
}

/// Whether this has the form of a key.
pub(super) fn form(value: &str) -> bool {
    BEGINNINGS.iter().any(|beginning| value.starts_with(beginning) && value.len() >= beginning.len() + 12)
}

/// Whether one of a program's arguments is a key, or is followed by one. They stand in the registry, which is no secret.
pub(super) fn in_arguments(args: &[String]) -> bool {
    let named = |arg: &str| {
        let arg = arg.trim_start_matches('-');
        arg.split_once('=').is_some_and(|(named, value)| name(named) && !value.is_empty()) || form(arg)
    };
    let header = |arg: &str| arg.split_once(':').is_some_and(|(named, value)| name(named) && !value.starts_with("//"));
    let followed = args.windows(2).any(|pair| match pair {
        [flag, value] => flag.starts_with('-') && !flag.contains('=') && name(flag) && !value.starts_with('-'),
        _ => false,
    });
    followed || args.iter().any(|arg| named(arg) || header(arg) || arg.split('=').skip(1).any(form))
}

/// Whether a URL holds a key: for whom it is, or as a parameter.
pub(super) fn in_url(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let parameter = |pair: &str| {
        let (named, value) = pair.split_once('=').unwrap_or((pair, ""));
        name(named) || form(value)
    };
    host.contains('@') || path.split('/').any(form) || query.split('&').any(parameter)
}

/// Masks every text below `value` that has the form of a key, that goes by the name of one, or that is a URL with one.
pub(super) fn mask(value: &mut Value) {
    match value {
        Value::String(text) if form(text) || (text.contains("://") && in_url(text)) => *text = MASK.into(),
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect();
            if in_arguments(&texts) {
                for value in values.iter_mut() {
                    *value = MASK.into();
                }
            }
            values.iter_mut().for_each(mask);
        }
        Value::Object(members) => {
            for (named, value) in members {
                if value.is_string() && name(named) {
                    *value = MASK.into();
                } else {
                    mask(value);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_name_or_its_form() {
        for key in [
            "API_KEY",
            "GITHUB_TOKEN",
            "authorization",
            "x-api-key",
            "DB_PASSWORD",
            "OPENAI_APIKEY",
            "PGPASSWORD",
            "Cookie",
            "GITHUB_PAT",
        ] {
            assert!(name(key), "{key}");
        }
        for setting in ["PATH", "NODE_ENV", "LOG_LEVEL", "x-toolsets", "MONKEYPATCHING_LEVEL", "DEBUG", "BASE_URL"] {
            assert!(!name(setting), "{setting}");
        }
        assert!(form("ghp_0123456789abcdef") && !form("ghp_") && !form("skiing"));
    }

    #[test]
    fn a_key_in_the_arguments_or_the_url_is_seen() {
        let args = |text: &str| in_arguments(&text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>());
        for with in [
            "-y server --api-key abc",
            "--token=abc",
            "API_KEY=abc",
            "sk-0123456789abcdef",
            "--header Authorization:abc",
            "--x=ghp_0123456789abcdef",
        ] {
            assert!(args(with), "{with}");
        }
        for without in
            ["-y @scope/server --repository /srv", "--port 80", "mcp-remote https://tracker.example/sse", "--key -v"]
        {
            assert!(!args(without), "{without}");
        }
        for with in [
            "https://u:p@h.example/",
            "https://h.example/mcp?api_key=abc",
            "https://h.example/ghp_0123456789abcdef/mcp",
        ] {
            assert!(in_url(with), "{with}");
        }
        assert!(!in_url("https://h.example/mcp?toolset=all"));
    }
}
