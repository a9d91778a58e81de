//! The checks, in the order in which one would look.

use std::os::unix::fs::PermissionsExt as _;

use remit_authority::config::SOCKET_PATH_BYTES_MAX;
use remit_authority::socket::wire::{AdminAsk, Status};
use serde_json::Value;

use super::Finding;
use super::keys::keys;
use super::part::{Part, start};
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

/// What is served apart is started where it lives.
const AUTHORITY_ELSEWHERE: &str = "start it where it lives: remit serve authority";
const GATEWAY_ELSEWHERE: &str = "start it where it lives: remit serve gateway";

/// All of them.
pub(super) fn all(quick: bool, context: &Context) -> Result<Vec<Finding>, CliError> {
    let part = Part::of(&context.home);
    let mut findings = vec![home(context), keys(context), config(part, context), disk(context)];
    let mut status = None;
    if part == Part::Gateway {
        findings.extend(elsewhere(context)?);
    } else {
        findings.push(sockets(context));
        let asked: Result<Status, CliError> = ask::admin(context, &AdminAsk::Status {});
        findings.extend(authority(part, context, &asked));
        status = asked.ok();
    }
    if let Some(url) = context.loaded.config.gateway.url.as_deref() {
        let found = health::ask_blocking(&[url])?.pop();
        findings.extend(found.map(|health| gateway(part, context, url, &health, status.as_ref())));
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

/// A run's socket fits into the system's limit.
fn sockets(context: &Context) -> Finding {
    let bytes = context.home.authority().run_socket_bytes();
    let says = format!("a run's has {bytes} bytes of path, of {SOCKET_PATH_BYTES_MAX}");
    if bytes <= SOCKET_PATH_BYTES_MAX {
        return Finding::fine("sockets", says);
    }
    Finding::wrong("sockets", format!("{says}: no run can be reached"), "choose a shorter home: remit --home DIR …")
}

fn config(part: Part, context: &Context) -> Finding {
    let config = &context.loaded.config;
    // An authority alone has its root key beside it, and is no gateway.
    let pins = part != Part::Authority;
    let missing = [
        ("trust.domain", config.trust.domain.is_none()),
        ("trust.root", config.trust.root.is_none() && pins),
        ("authority.url", config.authority.url.is_none()),
        ("gateway.url", config.gateway.url.is_none()),
        ("gateway.name", config.gateway.name.is_none() && pins),
    ];
    let missing: Vec<&str> = missing.iter().filter(|(_, missing)| *missing).map(|(name, _)| *name).collect();
    let file = context.loaded.file.display();
    if missing.is_empty() {
        return Finding::fine("config", file.to_string());
    }
    let says = format!("{} not set in {file}", missing.join(", "));
    let mend = match part {
        Part::Both => format!("{}, whose first start writes them; or set them: remit config show", start(context)),
        Part::Authority | Part::Gateway => "set them, and see which there are: remit config show".to_owned(),
    };
    Finding::wrong("config", says, mend)
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

/// The authority of a gateway that is served apart.
fn elsewhere(context: &Context) -> Result<Option<Finding>, CliError> {
    let Some(url) = context.loaded.config.authority.url.as_deref() else { return Ok(None) };
    let found = health::ask_blocking(&[url])?.pop();
    Ok(found.map(|health| match health {
        Health::Well(_) => Finding::fine("authority", url),
        Health::Unwell(said) => Finding::wrong("authority", format!("{url} is not well: {said}"), AUTHORITY_ELSEWHERE),
        Health::Silent(why) => Finding::wrong("authority", format!("{url} {why}"), AUTHORITY_ELSEWHERE),
    }))
}

fn authority(part: Part, context: &Context, status: &Result<Status, CliError>) -> Vec<Finding> {
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
    if part != Part::Authority && root.is_some_and(|root| root != status.root_vkey) {
        findings.push(Finding::wrong("root key", "`trust.root` is not this authority's key", "remit config show"));
    }
    findings
}

fn gateway(part: Part, context: &Context, url: &str, health: &Health, status: Option<&Status>) -> Finding {
    let started = if part == Part::Authority { GATEWAY_ELSEWHERE.to_owned() } else { start(context) };
    let fed = if part == Part::Gateway {
        AUTHORITY_ELSEWHERE.to_owned()
    } else {
        format!("start the authority: {}", start(context))
    };
    let number = |name: &str| health.said().and_then(|said| said.get(name)).and_then(Value::as_i64);
    match health {
        Health::Silent(why) => Finding::wrong("gateway", format!("{url} {why}"), started),
        Health::Unwell(said) => Finding::wrong("gateway", format!("{url} cannot decide: {said}"), fed),
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
