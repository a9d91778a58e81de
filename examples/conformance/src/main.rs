//! `conformance`: a server with everything that the MCP conformance suite looks for, over loopback HTTP, in both eras.
//!
//! It is what the suite is run against with and without the gateway between them, and nothing else.

mod ask;
mod content;
mod menu;
mod server;
mod tasks;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;

use server::Fixture;

const USAGE: &str = "usage: conformance 127.0.0.1:PORT";
const EXIT_USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(address) = address.filter(|address: &SocketAddr| address.ip().is_loopback()) else {
        return say(USAGE, EXIT_USAGE);
    };
    match serve(address).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(&format!("conformance: {error}"), 1),
    }
}

async fn serve(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    // Whoever started it reads what there is to expose, and that it listens.
    writeln!(io::stdout(), "{}", menu::names())?;
    let fixture = Fixture::default();
    let sessions = Arc::new(LocalSessionManager::default());
    let mcp = StreamableHttpService::new(
        move || Ok(fixture.clone()),
        sessions,
        StreamableHttpServerConfig::default().with_stateless_protocol_metadata_required(true),
    );
    axum::serve(listener, Router::new().nest_service("/mcp", mcp)).await
}

fn say(message: &str, code: u8) -> ExitCode {
    // A closed standard error leaves only the exit code to speak.
    drop(writeln!(io::stderr(), "{message}"));
    ExitCode::from(code)
}
