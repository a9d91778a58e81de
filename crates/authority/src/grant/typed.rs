//! A grant in the words of `remit request`, so that it can be asked for again by pasting them.

use remit_core::constraint::{Constraint, Scalar};
use remit_core::grant::{Arguments, Detail};

/// All that details name, as it is asked for: `<server>/<tool>`, `prompt:…`, `resource:…`, `client:…`.
pub fn named(details: &[Detail]) -> Vec<String> {
    let of = |detail: &Detail| {
        let server = server(detail);
        let tools = detail.tools.keys().map(|tool| format!("{server}/{tool}"));
        let prompts = detail.prompts.keys().map(|prompt| format!("prompt:{server}/{prompt}"));
        let resources = detail.resources.iter().map(|uri| match uri {
            Constraint::Exact { value: Scalar::Text(uri) } => format!("resource:{server}/{uri}"),
            _ => format!("resource:{server}/*"),
        });
        let features = detail.features.iter().map(|feature| format!("client:{server}/{}", feature.name()));
        tools.chain(prompts).chain(resources).chain(features).collect::<Vec<_>>()
    };
    details.iter().flat_map(of).collect()
}

/// The constraints of details as `--where` takes them; nothing where one of them cannot be typed.
pub fn wheres(details: &[Detail]) -> Option<Vec<String>> {
    let alone = named(details).len() == 1;
    let mut typed = Vec::new();
    for detail in details {
        let server = server(detail);
        let tools = detail.tools.iter().map(|(tool, arguments)| (format!("{server}/{tool}"), arguments));
        let prompts = detail.prompts.iter().map(|(name, arguments)| (format!("prompt:{server}/{name}"), arguments));
        for (target, arguments) in tools.chain(prompts) {
            let prefix = if alone { String::new() } else { format!("{target}:") };
            typed.extend(of_arguments(&prefix, arguments)?);
        }
    }
    Some(typed)
}

/// The command that asks for these details; nothing where a constraint cannot be typed.
pub fn command(details: &[Detail], duration: &str, why: &str) -> Option<String> {
    let targets: Vec<String> = named(details).iter().map(|target| quoted(target)).collect();
    let wheres: Vec<String> = wheres(details)?.iter().map(|typed| format!(" --where {}", quoted(typed))).collect();
    let why = if why.chars().any(char::is_control) { "…" } else { why };
    Some(format!("remit request {} --for {duration} --why {}{}", targets.join(" "), quoted(why), wheres.concat()))
}

/// `15m`: a time as it is typed.
pub fn duration(seconds: i64) -> String {
    match seconds {
        hours if hours > 0 && hours % 3_600 == 0 => format!("{}h", hours / 3_600),
        minutes if minutes > 0 && minutes % 60 == 0 => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}

fn server(detail: &Detail) -> &str {
    detail.locations.first().and_then(|url| url.rsplit('/').next()).unwrap_or("SERVER")
}

fn of_arguments(prefix: &str, arguments: &Arguments) -> Option<Vec<String>> {
    let mut typed = Vec::new();
    for (name, constraint) in arguments {
        // What a name may hold that `--where` would read otherwise.
        if name.contains(['=', '<', '>', ':']) || name.chars().any(char::is_control) {
            return None;
        }
        typed.extend(of_constraint(constraint)?.into_iter().map(|rest| format!("{prefix}{name}{rest}")));
    }
    Some(typed)
}

fn of_constraint(constraint: &Constraint) -> Option<Vec<String>> {
    match constraint {
        Constraint::Wildcard {} => Some(vec!["=*".into()]),
        Constraint::Exact { value } => Some(vec![format!("={}", exact(value)?)]),
        Constraint::OneOf { values } if values.len() > 1 => {
            let values = values.iter().map(plain).collect::<Option<Vec<_>>>()?;
            Some(vec![format!("={}", values.join("|"))])
        }
        Constraint::OneOf { values } => Some(vec![format!("={}", exact(values.first()?)?)]),
        Constraint::Range { min, max, min_inclusive: true, max_inclusive: true } => {
            let min = min.as_ref().map(plain).map(|min| Some(format!(">={}", min?)));
            let max = max.as_ref().map(plain).map(|max| Some(format!("<={}", max?)));
            min.into_iter().chain(max).collect()
        }
        Constraint::All { constraints } => {
            let parts = constraints.iter().map(of_constraint).collect::<Option<Vec<_>>>()?;
            Some(parts.concat())
        }
        _ => None,
    }
}

/// A scalar that is typed without quotes.
fn plain(value: &Scalar) -> Option<String> {
    match value {
        Scalar::Int(number) => Some(number.to_string()),
        Scalar::Bool(truth) => Some(truth.to_string()),
        Scalar::Text(text) if is_plain(text) => Some(text.clone()),
        Scalar::Text(_) => None,
    }
}

fn exact(value: &Scalar) -> Option<String> {
    match value {
        Scalar::Text(text) if text.chars().any(char::is_control) => None,
        Scalar::Text(text) if !is_plain(text) => Some(format!("\"{text}\"")),
        value => plain(value),
    }
}

/// Text that is read as this text, and as nothing else.
fn is_plain(text: &str) -> bool {
    let other = text.is_empty() || text == "*" || text.contains(['|', '"']) || text.chars().any(char::is_control);
    !other && text.parse::<i64>().is_err() && text.parse::<bool>().is_err()
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
