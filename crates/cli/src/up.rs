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
use remit_core::id::TrustDomain;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::ask::{self, PinArgs};
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
    /// The domain of trust of a new home
    #[arg(long, value_name = "DOMAIN", default_value = "localhost")]
    trust_domain: TrustDomain,
    /// Keep the administrators' PIN of a new home in this file, instead of printing it once; or take it from there
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

/// What the first start made, and what runs.
struct Running {
    urls: Urls,
    first: bool,
    pin: Option<String>,
}

pub(crate) fn run(up: &Up, context: &Context) -> Result<Exit, CliError> {
    let mut context = context.clone();
    serve::logging(&context.env);
    serve::runtime()?.block_on(async {
        let stop = Stop::on_signals()?;
        let listeners = listen(&context).await?;
        let first = context.loaded.config.trust.domain.is_none();
        let urls = if first { new_urls(up, &context, &listeners)? } else { Urls::configured(&context)? };
        let authority = serve::authority::open(&context, &urls)?;
        if first {
            write_config(&context, &urls, authority.root_vkey())?;
            context.reload()?;
        }
        same_root(&context, &authority)?;
        serve(up, context, stop, (authority, listeners), Running { urls, first, pin: None }).await
    })
}

async fn listen(context: &Context) -> Result<(TcpListener, TcpListener), CliError> {
    let config = &context.loaded.config;
    Ok((serve::bind(config.authority.listen).await?, serve::bind(config.gateway.listen).await?))
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
        running.pin = first_pin(up, &context).await?;
        let gateway = serve::gateway::open(serve::gateway::config(&context)?).await?;
        Ok(tokio::spawn(serve::gateway::serve(gateway, listeners.1, ended.wait())))
    };
    let mut data = match begun.await {
        Ok(data) => data,
        Err(error) => {
            last.now();
            control.await.ok();
            return Err(error);
        }
    };
    ready(&running.urls.gateway).await;
    said(&running, &context);
    tokio::select! {
        () = stop.wait() => {}
        _ = &mut data => {}
        _ = &mut control => {}
    }
    context.out.remark("ending: calls in flight are let finish, then the logs are closed");
    stop.now();
    let ended = if data.is_finished() { Ok(Ok(())) } else { data.await };
    last.now();
    let control = if control.is_finished() { Ok(Ok(())) } else { control.await };
    for part in [ended, control] {
        part.map_err(|error| CliError::unevaluated(error, "start it again: remit up"))??;
    }
    Ok(Exit::Fine)
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
    Ok(Urls {
        domain: up.trust_domain.clone(),
        authority: url(&config.authority.url, &listeners.0)?,
        gateway: url(&config.gateway.url, &listeners.1)?,
    })
}

/// Writes down whom this home trusts from now on, and where it listens, so that every other command finds it.
fn write_config(context: &Context, urls: &Urls, root: &str) -> Result<(), CliError> {
    let file = &context.loaded.file;
    let host = |url: &str| url.trim_start_matches("http://").to_owned();
    let text = |text: &str| toml::Value::from(text).to_string();
    let page = format!(
        "# Written by the first `remit up`. What each key is for, and what its owner can do: docs/config.md\n\
         \n[trust]\ndomain = {}\nroot = {}\n\
         \n[authority]\nlisten = {}\nurl = {}\n\
         \n[gateway]\nlisten = {}\nurl = {}\nname = {}\n",
        text(urls.domain.as_str()),
        text(root),
        text(&host(&urls.authority)),
        text(&urls.authority),
        text(&host(&urls.gateway)),
        text(&urls.gateway),
        text(context.loaded.config.gateway.name.as_deref().unwrap_or(GATEWAY_NAME)),
    );
    durable::write(file, page.as_bytes(), 0o600).map_err(|error| {
        CliError::unevaluated(
            format!("{}: {error}", file.display()),
            "look who may write there, or choose another: --home DIR",
        )
    })
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

/// Sets the PIN of a new home. Returns it where it has to be shown.
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
    let (pin, shown) = match &up.pin_file {
        Some(file) if file.exists() => (ask::read_pin(file)?, None),
        Some(file) => {
            let pin = new_pin()?;
            durable::write(file, format!("{pin}\n").as_bytes(), 0o600).map_err(|error| {
                CliError::unevaluated(
                    format!("{}: {error}", file.display()),
                    "name a file that can be written: --pin-file FILE",
                )
            })?;
            (pin, None)
        }
        None => {
            let pin = new_pin()?;
            (pin.clone(), Some(pin))
        }
    };
    let none = PinArgs { pin_file: None };
    ask::admin_with_pin::<Value>(context, &AdminAsk::SetPin { new: pin }, &none)?;
    Ok(shown)
}

fn new_pin() -> Result<String, CliError> {
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
        "authority": urls.authority, "gateway": urls.gateway, "trust_domain": urls.domain, "home": context.home.path(),
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
