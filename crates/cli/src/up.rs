//! `remit up`: authority and gateway in one process, with embedded stores; the first start makes all that is needed.
//!
//! The two still speak HTTP with each other, signed as across a network: nothing is trusted because it is near.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aws_lc_rs::rand;
use clap::Args;
use remit_audit::durable;
use remit_authority::Authority;
use remit_authority::socket::wire::{AdminAsk, Status};
use remit_core::id::{GatewayName, TrustDomain};
use remit_gateway::identity::Identity;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::ask::{self, PinArgs};
use crate::config::{self, Source};
use crate::context::Context;
use crate::error::{CliError, Exit};
use crate::health;
use crate::http::Http;
use crate::out::{Out, Style};
use crate::serve::authority::Urls;
use crate::serve::{self, Stop};

/// The gateway must have a bundle by then.
const READY_WITHIN: Duration = Duration::from_secs(10);
const PIN_DIGITS: usize = 8;
/// The name that a gateway gets when nobody gives it one.
const GATEWAY_NAME: &str = "gw1";

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit up --listen-gateway 127.0.0.1:8080")]
pub(crate) struct Up {
    /// Where the authority listens
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen_authority: Option<SocketAddr>,
    /// Where the gateway listens
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen_gateway: Option<SocketAddr>,
    /// The domain of trust of a new home [default: localhost]
    #[arg(long, value_name = "DOMAIN")]
    trust_domain: Option<TrustDomain>,
    /// Keep the administrators' PIN of a new home in this file, instead of printing it once; or take it from there
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

/// What the first start made, and what runs.
struct Running {
    urls: Urls,
    relay: SocketAddr,
    first: bool,
    pin: Option<String>,
}

pub(crate) fn run(up: &Up, context: &Context) -> Result<Exit, CliError> {
    let mut context = context.clone();
    serve::undumpable()?;
    serve::logging(&context.env);
    serve::runtime()?.block_on(async {
        let stop = Stop::on_signals()?;
        fits(up, &context)?;
        let listeners = listen(&context).await?;
        let first = is_first(&context);
        let urls = if first { new_urls(up, &context, &listeners)? } else { Urls::configured(&context)? };
        let nearby = serve::relay::bind(&context).await?;
        let relay = nearby.local_addr().map_err(|error| CliError::unevaluated(error, "try again"))?;
        let authority = serve::authority::open(&context, &urls, nearby)?;
        if first {
            write_config(&context, &urls, authority.root_vkey(), &listeners, relay)?;
            context.reload()?;
        }
        same_root(&context, &authority)?;
        admit(&context, &authority)?;
        serve(up, context, stop, (authority, listeners), Running { urls, relay, first, pin: None }).await
    })
}

/// Whether something is missing that only a first start can write.
fn is_first(context: &Context) -> bool {
    let config = &context.loaded.config;
    let urls = [&config.trust.root, &config.authority.url, &config.gateway.url, &config.gateway.name];
    config.trust.domain.is_none() || urls.into_iter().any(Option::is_none)
}

async fn listen(context: &Context) -> Result<(TcpListener, TcpListener), CliError> {
    let authority = serve::bind(context, "authority", "--listen-authority").await?;
    Ok((authority, serve::bind(context, "gateway", "--listen-gateway").await?))
}

/// Whether this can be said of a home that exists already: what it is known by does not change with a flag.
fn fits(up: &Up, context: &Context) -> Result<(), CliError> {
    let home = context.home.flag(&context.env);
    if ask::admin::<Status>(context, &AdminAsk::Status {}).is_ok() {
        let message = format!("the authority of {} is running already", context.home.path().display());
        return Err(CliError::unevaluated(message, format!("see it: remit{home} status")));
    }
    let config = &context.loaded.config;
    if let (Some(asked), Some(is)) = (&up.trust_domain, &config.trust.domain)
        && asked != is
    {
        return Err(CliError::unevaluated(
            format!("the domain of trust of this home is {is}, and every identity in it begins with that"),
            format!("leave --trust-domain away, or begin another home: remit --home DIR up --trust-domain {asked}"),
        ));
    }
    if let Some(file) = &up.pin_file
        && !file.exists()
        && context.home.authority().keys().join("pin").exists()
    {
        return Err(CliError::unevaluated(
            format!("the PIN of this home is set already, so there is none to keep in {}", file.display()),
            "leave --pin-file away; to change the PIN: remit admin pin --new-pin-file FILE",
        ));
    }
    for (asked, flag, section, url) in [
        (up.listen_authority, "--listen-authority", "authority", &config.authority.url),
        (up.listen_gateway, "--listen-gateway", "gateway", &config.gateway.url),
    ] {
        if let (Some(asked), Some(url)) = (asked, url)
            && !serve::goes_with(asked, url)
        {
            return Err(CliError::unevaluated(
                format!("with `{flag} {asked}` nobody would find it: `{section}.url` is {url}"),
                serve::move_to(context, section, &asked.to_string()),
            ));
        }
    }
    Ok(())
}

/// Serves until it is asked to stop; the gateway ends first, because its last calls may still need the authority.
async fn serve(
    up: &Up,
    context: Context,
    stop: Stop,
    (authority, listeners): (Authority, (TcpListener, TcpListener)),
    mut running: Running,
) -> Result<Exit, CliError> {
    let last = Stop::new();
    let ended = stop.clone();
    let mut control = tokio::spawn(serve::authority::serve(authority, listeners.0, last.wait()));
    let begun = async {
        let pin = first_pin(up, &context).await?;
        let gateway = serve::gateway::open(serve::gateway::config(&context)?).await?;
        Ok((tokio::spawn(serve::gateway::serve(gateway, listeners.1, ended.wait())), pin))
    };
    let (mut data, pin) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            last.now();
            control.await.ok();
            return Err(error);
        }
    };
    tokio::select! {
        () = ready(&running.urls.gateway) => {}
        () = stop.wait() => {}
    }
    running.pin = pin;
    let said = say(&running, &context);
    if said.is_ok() {
        tokio::select! {
            () = stop.wait() => {}
            _ = &mut data => {}
            _ = &mut control => {}
        }
        context.out.remark("ending: calls in flight are let finish, then the logs are closed");
    }
    stop.now();
    let ended = if data.is_finished() { Ok(Ok(())) } else { data.await };
    last.now();
    let control = if control.is_finished() { Ok(Ok(())) } else { control.await };
    said?;
    for part in [ended, control] {
        part.map_err(|error| CliError::unevaluated(error, "start it again: remit up"))??;
    }
    Ok(Exit::Fine)
}

/// Says what runs. A PIN that is shown once holds only once it was shown.
fn say(running: &Running, context: &Context) -> Result<(), CliError> {
    said(running, context);
    let Some(pin) = &running.pin else {
        return Ok(());
    };
    if !context.out.is_open() {
        return Err(CliError::unevaluated(
            "the PIN could not be shown, so it is not set",
            "start it where somebody reads what it prints, or keep the PIN in a file: remit up --pin-file FILE",
        ));
    }
    set_pin(context, pin.clone())
}

fn set_pin(context: &Context, new: String) -> Result<(), CliError> {
    let none = PinArgs::default();
    ask::admin_with_pin::<Value>(context, &AdminAsk::SetPin { new }, &none).map(drop)
}

/// The names of a new home: what it listens on, which must be this machine alone.
fn new_urls(up: &Up, context: &Context, listeners: &(TcpListener, TcpListener)) -> Result<Urls, CliError> {
    let config = &context.loaded.config;
    let url = |configured: &Option<String>, listener: &TcpListener| {
        let address = listener.local_addr().map_err(|error| CliError::unevaluated(error, "try again"))?;
        match configured {
            Some(url) => Ok(url.clone()),
            None if address.ip().is_loopback() => Ok(format!("http://{address}")),
            None => Err(CliError::unevaluated(
                format!("{address} is not this machine alone, and without TLS in front its tokens travel in clear"),
                format!(
                    "say under which URLs clients come, in {}:\n\n[gateway]\nurl = \"https://…\"",
                    context.loaded.file.display()
                ),
            )),
        }
    };
    let usual = || TrustDomain::new("localhost").map_err(|error| CliError::unevaluated(error, "try again"));
    Ok(Urls {
        domain: config.trust.domain.clone().or_else(|| up.trust_domain.clone()).map_or_else(usual, Ok)?,
        authority: url(&config.authority.url, &listeners.0)?,
        gateway: url(&config.gateway.url, &listeners.1)?,
    })
}

/// Writes down whom this home trusts from now on, and where it listens, so that every other command finds it. What is
/// set already stays as it is.
fn write_config(
    context: &Context,
    urls: &Urls,
    root: &str,
    listeners: &(TcpListener, TcpListener),
    relay: SocketAddr,
) -> Result<(), CliError> {
    let listens = |listener: &TcpListener| listener.local_addr().map(|address| address.to_string());
    let broken = |error| CliError::unevaluated(error, "try again");
    let keys = [
        ("trust.domain", urls.domain.to_string()),
        ("trust.root", root.to_owned()),
        ("authority.listen", listens(&listeners.0).map_err(broken)?),
        ("authority.url", urls.authority.clone()),
        ("gateway.listen", listens(&listeners.1).map_err(broken)?),
        ("gateway.url", urls.gateway.clone()),
        ("gateway.name", GATEWAY_NAME.to_owned()),
        ("relay.listen", relay.to_string()),
    ];
    let set = |name: &str| matches!(context.loaded.values.get(name), Some((_, Source::File(_) | Source::Env(_))));
    let missing: Vec<config::Added> = keys.into_iter().filter(|(name, _)| !set(name)).collect();
    config::add(&context.loaded.file, &missing)
}

fn same_root(context: &Context, authority: &Authority) -> Result<(), CliError> {
    let root = context.loaded.required("trust.root", context.loaded.config.trust.root.as_ref())?;
    if root.trim_end() == authority.root_vkey() {
        return Ok(());
    }
    Err(CliError::unevaluated(
        format!("`trust.root` is {root}, but this home's authority signs with {}", authority.root_vkey()),
        "one of them is of another home: remit config show",
    ))
}

/// The gateway of this home may be lent credentials: what lies in the home vouches for both.
fn admit(context: &Context, authority: &Authority) -> Result<(), CliError> {
    let failed = |error: &dyn std::fmt::Display| {
        CliError::unevaluated(format!("the gateway of this home cannot be registered: {error}"), "see: remit doctor")
    };
    let name = context.loaded.required("gateway.name", context.loaded.config.gateway.name.as_ref())?;
    let name = GatewayName::new(name.clone()).map_err(|error| failed(&error))?;
    let identity = Identity::load_or_create(&context.home.gateway()).map_err(|error| failed(&error))?;
    authority.admit_gateway(&name, identity.public()).map_err(|error| failed(&error))
}

/// The PIN of a new home: set where a file keeps it; returned where it has to be shown first.
async fn first_pin(up: &Up, context: &Context) -> Result<Option<String>, CliError> {
    // The authority answers on its socket as soon as it serves.
    let mut status: Result<Status, CliError> = ask::admin(context, &AdminAsk::Status {});
    for _ in 0..100 {
        if status.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        status = ask::admin(context, &AdminAsk::Status {});
    }
    if status?.pin_set {
        return Ok(None);
    }
    let Some(file) = &up.pin_file else {
        return new_pin().map(Some);
    };
    let pin = if file.exists() {
        ask::read_pin(file)?
    } else {
        let pin = new_pin()?;
        durable::write(file, format!("{pin}\n").as_bytes(), 0o600).map_err(|error| {
            CliError::unevaluated(
                format!("{}: {error}", file.display()),
                "name a file that can be written: --pin-file FILE",
            )
        })?;
        pin
    };
    set_pin(context, pin).map(|()| None)
}

pub(crate) fn new_pin() -> Result<String, CliError> {
    let mut bytes = [0; PIN_DIGITS * 4];
    rand::fill(&mut bytes).map_err(|_| CliError::unevaluated("the system gives no random bytes", "try again"))?;
    // 250 is a multiple of ten: no digit is likelier than another.
    let digits = bytes.iter().filter(|byte| **byte < 250).map(|byte| char::from(b'0' + byte % 10));
    Ok(digits.take(PIN_DIGITS).collect())
}

async fn ready(gateway: &str) {
    let http = Http::new();
    let well = async {
        while !health::ask(&http, gateway).await.is_well() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    // A gateway without a bundle refuses all calls, and says so in its health: it is up all the same.
    tokio::time::timeout(READY_WITHIN, well).await.ok();
}

fn said(running: &Running, context: &Context) {
    let urls = &running.urls;
    let facts = json!({
        "authority": urls.authority, "gateway": urls.gateway, "relay": format!("http://{}", running.relay),
        "trust_domain": urls.domain, "home": context.home.path(),
        "first_start": running.first, "pin": running.pin, "root": context.loaded.config.trust.root,
    });
    context.out.facts(&facts, |out| people(running, context, out));
}

fn people(running: &Running, context: &Context, out: &Out) {
    let home = context.home.flag(&context.env);
    out.line(format!("authority  {}", out.style(Style::Strong, &running.urls.authority)));
    out.line(format!("gateway    {}", out.style(Style::Strong, &running.urls.gateway)));
    if running.first {
        out.line(format!("home       {}", context.home.path().display()));
        out.line(format!("trust      domain {}, in {}", running.urls.domain, context.loaded.file.display()));
    }
    if let Some(pin) = &running.pin {
        out.line(format!(
            "PIN        {}  it is shown this once: it approves, lifts and widens",
            out.style(Style::Strong, pin)
        ));
    }
    out.line(format!("next       remit{home} server add NAME --url URL --expose TOOL"));
}
