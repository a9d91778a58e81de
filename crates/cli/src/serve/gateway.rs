//! The gateway as a service of this process.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use remit_gateway::clock::System;
use remit_gateway::{Config, Gateway, OpenError};
use tokio::net::TcpListener;

use super::Stop;
use crate::context::Context;
use crate::error::CliError;

/// Calls in flight have this long to end.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// What the gateway is told: all that grants trust must be configured.
pub(crate) fn config(context: &Context) -> Result<Config, CliError> {
    let (loaded, config) = (&context.loaded, &context.loaded.config);
    Ok(Config {
        home: context.home.gateway(),
        trust_domain: loaded.required("trust.domain", config.trust.domain.as_ref())?.clone(),
        instance: loaded.required("gateway.name", config.gateway.name.as_ref())?.clone(),
        url: loaded.required("gateway.url", config.gateway.url.as_ref())?.clone(),
        authority: loaded.required("authority.url", config.authority.url.as_ref())?.clone(),
        root: loaded.required("trust.root", config.trust.root.as_ref())?.clone(),
        snapshot_age_max: config.gateway.snapshot_age_max.duration(),
        origins: config.gateway.origins.clone(),
        calls_max: config.gateway.calls_max,
    })
}

pub(crate) async fn open(config: Config) -> Result<Arc<Gateway>, CliError> {
    Gateway::open(config, Arc::new(System::default())).await.map_err(|error| {
        let help = match &error {
            OpenError::Log(remit_audit::OpenError::Locked) => "it is running already: remit status",
            OpenError::Root(_) => "`trust.root` is the line of the authority's root.vkey: remit config show",
            _ => "see what is wrong: remit doctor",
        };
        CliError::unevaluated(format!("the gateway does not start: {error}"), help)
    })
}

/// Serves until it is asked to stop; calls in flight end first, and the log is closed last.
pub(crate) async fn serve(
    gateway: Arc<Gateway>,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), CliError> {
    let follow = tokio::spawn(Arc::clone(&gateway).follow());
    let begun = Stop::new();
    let told = begun.clone();
    let stop = async move {
        stop.await;
        told.now();
    };
    let serving = remit_gateway::server::serve(Arc::clone(&gateway), listener, stop);
    let late = async {
        begun.wait().await;
        tokio::time::sleep(DRAIN_TIME_MAX).await;
    };
    let served = tokio::select! {
        served = serving => served,
        () = late => Ok(()),
    };
    follow.abort();
    gateway.close().await;
    served.map_err(|error| CliError::unevaluated(format!("the gateway stopped: {error}"), "start it again: remit up"))
}
