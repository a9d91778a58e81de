//! The checks, in the order in which one would look.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use remit_authority::socket::wire::{AdminAsk, Status};
use serde_json::Value;

use super::Finding;
use crate::ask;
use crate::context::Context;
use crate::error::CliError;
use crate::health::{self, Health};
use crate::log;
use crate::time::{now, span, utc};

/// Less than this is reported, in bytes.
const DISK_BYTES_MIN: u64 = 1 << 30;
/// A clock that is this far behind the newest entry was set back, in seconds.
const CLOCK_BACK_S_MAX: i64 = 5;

/// All of them.
pub(super) fn all(quick: bool, context: &Context) -> Result<Vec<Finding>, CliError> {
    let mut findings = vec![home(context), keys(context), config(context), disk(context)];
    let status: Result<Status, CliError> = ask::admin(context, &AdminAsk::Status {});
    findings.extend(authority(context, &status));
    let url = context.loaded.config.gateway.url.as_deref();
    if let Some(url) = url {
        let found = health::ask_blocking(&[url])?.pop();
        findings.extend(found.map(|health| gateway(context, url, &health, status.as_ref().ok())));
    }
    findings.push(clock(context));
    if !quick {
        findings.push(logs(context));
    }
    Ok(findings)
}

fn home(context: &Context) -> Finding {
    let path = context.home.path();
    match std::fs::metadata(path) {
        Err(error) => Finding::wrong("home", format!("{}: {error}", path.display()), start(context)),
        Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
            let mode = meta.permissions().mode() & 0o777;
            let says = format!("{} is open to others (mode {mode:03o})", path.display());
            Finding::wrong("home", says, format!("chmod 700 {}", path.display()))
        }
        Ok(_) => Finding::fine("home", path.display().to_string()),
    }
}

/// Private keys can be read by their owner alone.
fn keys(context: &Context) -> Finding {
    let dirs = [context.home.authority().keys(), context.home.gateway().join("keys")];
    let files = dirs.iter().flat_map(|dir| files(dir));
    let open = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
    let exposed: Vec<PathBuf> = files.filter(open).collect();
    match exposed.first() {
        None => Finding::fine("keys", "only their owner can read them"),
        Some(path) => {
            let says = format!("{} of them can be read by others, such as {}", exposed.len(), path.display());
            Finding::wrong(
                "keys",
                says,
                format!("chmod 600 {}; and take new ones, these are known: remit admin rotate-keys", path.display()),
            )
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(dir).into_iter().flatten();
    read.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect()
}

fn config(context: &Context) -> Finding {
    let config = &context.loaded.config;
    let missing = [
        ("trust.domain", config.trust.domain.is_none()),
        ("trust.root", config.trust.root.is_none()),
        ("authority.url", config.authority.url.is_none()),
        ("gateway.url", config.gateway.url.is_none()),
        ("gateway.name", config.gateway.name.is_none()),
    ];
    let missing: Vec<&str> = missing.iter().filter(|(_, missing)| *missing).map(|(name, _)| *name).collect();
    let file = context.loaded.file.display();
    if missing.is_empty() {
        return Finding::fine("config", file.to_string());
    }
    let says = format!("{} not set in {file}", missing.join(", "));
    Finding::wrong(
        "config",
        says,
        format!("{}, whose first start writes them; or set them: remit config show", start(context)),
    )
}

fn disk(context: &Context) -> Finding {
    let path = context.home.path();
    let Ok(found) = rustix::fs::statvfs(path) else {
        return Finding::wrong("disk", "its free space cannot be read", format!("df {}", path.display()));
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let says = format!("{} MiB free", free >> 20);
    if free >= DISK_BYTES_MIN {
        return Finding::fine("disk", says);
    }
    Finding::wrong(
        "disk",
        format!("{says}: without space nothing is recorded, so nothing is allowed"),
        format!("make space: df {}", path.display()),
    )
}

fn authority(context: &Context, status: &Result<Status, CliError>) -> Vec<Finding> {
    let status = match status {
        Ok(status) => status,
        Err(error) => return vec![Finding::wrong("authority", error.to_string(), start(context))],
    };
    let mut findings = Vec::new();
    findings.push(match &status.bundle_error {
        Some(why) => Finding::wrong(
            "authority",
            format!("no bundle can be made: {why}"),
            "mend what is named, then: remit admin reload",
        ),
        None => Finding::fine("authority", format!("{}, bundle {}", status.issuer, status.bundle.unwrap_or_default())),
    });
    if !status.pin_set {
        findings.push(Finding::wrong(
            "pin",
            "no PIN is set, so nothing can be lifted or widened",
            "remit admin pin --new-pin-file FILE",
        ));
    }
    let root = context.loaded.config.trust.root.as_deref().map(str::trim_end);
    if root.is_some_and(|root| root != status.root_vkey) {
        findings.push(Finding::wrong("root key", "`trust.root` is not this authority's key", "remit config show"));
    }
    findings
}

fn gateway(context: &Context, url: &str, health: &Health, status: Option<&Status>) -> Finding {
    let number = |name: &str| health.said().and_then(|said| said.get(name)).and_then(Value::as_i64);
    match health {
        Health::Silent(why) => Finding::wrong("gateway", format!("{url} {why}"), start(context)),
        Health::Unwell(said) => Finding::wrong(
            "gateway",
            format!("{url} cannot decide: {said}"),
            format!("start the authority: {}", start(context)),
        ),
        Health::Well(_) => {
            let (loaded, issued) = (number("bundle"), status.and_then(|status| status.bundle));
            match (loaded, issued.and_then(|issued| i64::try_from(issued).ok())) {
                (Some(loaded), Some(issued)) if loaded < issued => Finding::wrong(
                    "gateway",
                    format!("{url} decides by bundle {loaded}, the authority has issued {issued}"),
                    "see why it refuses it: remit log tail --kind bundle",
                ),
                (loaded, _) => Finding::fine("gateway", format!("{url}, bundle {}", loaded.unwrap_or_default())),
            }
        }
    }
}

/// The newest entry was written before now.
fn clock(context: &Context) -> Finding {
    match log::newest_s(context.home.path()) {
        Some(newest) if newest > now().saturating_add(CLOCK_BACK_S_MAX) => {
            let says = format!(
                "it is {} now, but the newest entry is {} later",
                utc(now()),
                span(newest.saturating_sub(now()))
            );
            Finding::wrong("clock", says, "set it: timedatectl set-ntp true")
        }
        _ => Finding::fine("clock", utc(now())),
    }
}

fn logs(context: &Context) -> Finding {
    match log::sound(context.home.path()) {
        Ok(entries) => Finding::fine("logs", format!("{entries} entries, consistent in themselves")),
        Err(why) => Finding::wrong("logs", why, "see all of it: remit log verify"),
    }
}

fn start(context: &Context) -> String {
    format!("remit{} up", context.home.flag(&context.env))
}
