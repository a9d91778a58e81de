//! `ticketdesk`: the example desk as a program, over loopback HTTP or stdio.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use ticketdesk::{Desk, serve_http, serve_stdio};
use tokio::net::TcpListener;

const USAGE: &str = "usage: ticketdesk [--listen 127.0.0.1:PORT | --stdio] [--db FILE]

  --listen ADDR  serve MCP over HTTP at http://ADDR/mcp (default 127.0.0.1:0, any free port)
  --stdio        serve MCP on standard input and output
  --db FILE      keep the desk in this file instead of in memory

example: ticketdesk --listen 127.0.0.1:8931 --db desk.db";

const EXIT_USAGE: u8 = 2;

struct Options {
    transport: Transport,
    db: Option<PathBuf>,
}

enum Transport {
    Http(SocketAddr),
    Stdio,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = match parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(fault) => return say(&format!("ticketdesk: {fault}\n{USAGE}"), EXIT_USAGE),
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => say(&format!("ticketdesk: {error}"), 1),
    }
}

async fn run(options: Options) -> io::Result<()> {
    let desk = Desk::open(options.db.as_deref()).map_err(io::Error::other)?;
    match options.transport {
        Transport::Stdio => serve_stdio(desk).await,
        Transport::Http(address) => {
            let listener = TcpListener::bind(address).await?;
            let url = format!("http://{}/mcp", listener.local_addr()?);
            writeln!(io::stderr(), "ticketdesk: listening on {url}")?;
            serve_http(listener, desk, interrupted()).await
        }
    }
}

async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without the signal the desk still ends with its process.
        std::future::pending::<()>().await;
    }
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Options, String> {
    let mut transport = None;
    let mut db = None;
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--listen") => {
                let address = loopback(&arguments.next().ok_or("--listen needs an address")?)?;
                once(&mut transport, Transport::Http(address), "--listen or --stdio")?;
            }
            Some("--stdio") => once(&mut transport, Transport::Stdio, "--listen or --stdio")?,
            Some("--db") => {
                let file = arguments.next().ok_or("--db needs a file")?;
                once(&mut db, PathBuf::from(file), "--db")?;
            }
            _ => return Err(format!("unknown argument {}", argument.display())),
        }
    }
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(Options { transport: transport.unwrap_or(Transport::Http(any_port)), db })
}

/// The desk asks nobody who they are, so it never leaves this machine.
fn loopback(text: &OsString) -> Result<SocketAddr, String> {
    text.to_str()
        .and_then(|text| text.parse().ok())
        .filter(|address: &SocketAddr| address.ip().is_loopback())
        .ok_or_else(|| format!("{} is not a loopback address with a port", text.display()))
}

fn once<T>(slot: &mut Option<T>, value: T, name: &str) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("{name} is given twice")),
    }
}

fn say(message: &str, code: u8) -> ExitCode {
    // A closed standard error leaves only the exit code to speak.
    drop(writeln!(io::stderr(), "{message}"));
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Options, String> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_checked() {
        assert!(matches!(
            parse_words(&["--listen", "127.0.0.1:80"]).unwrap().transport,
            Transport::Http(address) if address.port() == 80
        ));
        assert!(matches!(
            parse_words(&["--stdio", "--db", "x"]).unwrap(),
            Options { transport: Transport::Stdio, db: Some(_) }
        ));
        for wrong in [
            &["--listen"][..],
            &["--listen", "0.0.0.0:80"],
            &["--listen", "localhost"],
            &["--stdio", "--stdio"],
            &["--stdio", "--listen", "127.0.0.1:80"],
            &["--db"],
            &["--help-me"],
        ] {
            assert!(parse_words(wrong).is_err(), "took {wrong:?}");
        }
    }
}
