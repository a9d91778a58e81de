//! `remit serve authority|gateway`: the parts apart. `remit up` runs both in one process.

pub(crate) mod authority;
pub(crate) mod gateway;
pub(crate) mod relay;

use std::future::Future;
use std::net::SocketAddr;

use clap::{Args, Subcommand};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::config::Env;
use crate::context::Context;
use crate::error::{CliError, Exit};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the authority alone
    #[command(after_help = "Example:\n  remit serve authority --listen 10.0.0.5:7461")]
    Authority {
        /// Where it listens
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
    },
    /// Run a gateway alone
    #[command(after_help = "Example:\n  remit serve gateway --listen 10.0.0.6:7462")]
    Gateway {
        /// Where it listens
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
    },
}

pub(crate) fn run(serve: &Serve, context: &Context) -> Result<Exit, CliError> {
    undumpable()?;
    logging(&context.env);
    runtime()?.block_on(async {
        let config = &context.loaded.config;
        let stop = Stop::on_signals()?;
        match serve.command {
            Command::Authority { .. } => {
                let urls = authority::Urls::configured(context)?;
                let listener = bind(context, "authority", "--listen").await?;
                let relay = relay::bind(context).await?;
                let nearby =
                    relay.local_addr().map(|address| format!("; relay at http://{address}")).unwrap_or_default();
                let opened = authority::open(context, &urls, relay)?;
                context.out.remark(format!(
                    "authority at http://{}, for {}{nearby}",
                    config.authority.listen,
                    opened.root_vkey()
                ));
                authority::serve(opened, listener, stop.wait()).await?;
            }
            Command::Gateway { .. } => {
                let told = gateway::config(context)?;
                let listener = bind(context, "gateway", "--listen").await?;
                let opened = gateway::open(told).await?;
                context.out.remark(format!("gateway at http://{}", config.gateway.listen));
                gateway::serve(opened, listener, stop.wait()).await?;
            }
        }
        Ok(Exit::Fine)
    })
}

/// No core dump of a process that holds keys and credentials, and no debugger of another process of the same user.
pub(crate) fn undumpable() -> Result<(), CliError> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| {
        let help = "look what keeps prctl(PR_SET_DUMPABLE) from this process: a filter of system calls?";
        CliError::unevaluated(format!("this process cannot be kept from leaving a core dump: {error}"), help)
    })
}

/// What goes wrong, and on demand more (`RUST_LOG`), on standard error.
pub(crate) fn logging(env: &Env) {
    let filter = EnvFilter::new(env.get("RUST_LOG").unwrap_or("warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(crate::out::colours_on_stderr(env));
    // A second one would mean that it is set already.
    subscriber.try_init().ok();
}

pub(crate) fn runtime() -> Result<Runtime, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        CliError::unevaluated(format!("no threads: {error}"), "look at the limits of this user: ulimit -a")
    })?;
    // Beside the opening of the logs, which waits for the disk.
    runtime.spawn_blocking(remit_core::policy::warm_up);
    Ok(runtime)
}

/// Listens where the section says; `flag` is what says it on this command line.
pub(crate) async fn bind(context: &Context, section: &str, flag: &str) -> Result<TcpListener, CliError> {
    let config = &context.loaded.config;
    let (address, url) = match section {
        "authority" => (config.authority.listen, &config.authority.url),
        _ => (config.gateway.listen, &config.gateway.url),
    };
    TcpListener::bind(address).await.map_err(|error| {
        // Where others know the address, a flag alone would leave them behind.
        let known = url
            .as_ref()
            .is_some_and(|url| url.parse::<http::Uri>().is_ok_and(|url| url.port_u16() == Some(address.port())));
        let other = SocketAddr::new(address.ip(), address.port().saturating_add(1000));
        let other = if known {
            move_to(context, section, &other.to_string())
        } else {
            format!("choose another address: {flag} ADDR")
        };
        CliError::unevaluated(
            format!("cannot listen on {address}: {error}"),
            format!("see who does: ss -ltnp 'sport = :{}'; or {other}", address.port()),
        )
    })
}

/// Whether whoever follows the URL comes to this address. Of a name, or of TLS in front, nobody here can know.
pub(crate) fn goes_with(listen: SocketAddr, url: &str) -> bool {
    let url = url.strip_prefix("http://").and_then(|rest| rest.parse::<SocketAddr>().ok());
    url.is_none_or(|url| url == listen || (listen.ip().is_unspecified() && url.port() == listen.port()))
}

/// What to write where, so that a section's part moves with the URL by which it is known.
pub(crate) fn move_to(context: &Context, section: &str, address: &str) -> String {
    let file = context.loaded.file.display();
    format!("change both lines in {file}:\n\n[{section}]\nlisten = \"{address}\"\nurl = \"http://{address}\"")
}

/// Asked to end: by SIGINT, by SIGTERM, or because a part has failed.
#[derive(Clone)]
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    /// Asked by nobody but this process.
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn on_signals() -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::unevaluated(format!("no signals: {error}"), "try again");
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let stop = Self::new();
        let told = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            told.now();
        });
        Ok(stop)
    }

    pub(crate) fn now(&self) {
        self.0.send_replace(true);
    }

    /// Ends when it is asked to.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut asked = self.0.subscribe();
        async move {
            // A sender that is gone is as good as one that has spoken.
            asked.wait_for(|stop| *stop).await.map(|_seen| ()).ok();
        }
    }
}
