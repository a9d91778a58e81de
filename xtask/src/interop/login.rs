//! Clients of other makers without a token: they find the authority by OAuth discovery alone, a person lets them in at a
//! terminal, and they call.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::home::{AGENT, Home, free_port, write};
use super::packages::{CURRENT, Packages};
use super::process::{self, Output};
use super::servers::Server;

const LOGIN_MAX: Duration = Duration::from_mins(2);

/// What came of one client.
pub(crate) struct Login {
    pub(crate) client: &'static str,
    /// How it gets in, or does not.
    pub(crate) how: &'static str,
    /// Why it is not what it must be.
    pub(crate) fault: Option<String>,
}

/// Lets each client log in, before one server.
pub(crate) fn run(root: &Path, home: &Home, packages: &Packages, server: &Server) -> Vec<Login> {
    let login = |client, said| Login { client, how: "logs in by discovery alone", fault: fault(server, said) };
    vec![
        login("mcp 2.3", python(root, home, packages, server)),
        login("Inspector CLI", inspector(root, home, packages, server)),
    ]
}

/// A call that was answered as the server answers it, and nothing else, is right.
fn fault(server: &Server, said: io::Result<Output>) -> Option<String> {
    let (_, part) = &server.allowed;
    match said {
        Err(error) => Some(error.to_string()),
        Ok(output) if output.good && output.out.contains(part) => None,
        Ok(output) => Some(format!("it says {:?}", output.last_line())),
    }
}

fn python(root: &Path, home: &Home, packages: &Packages, server: &Server) -> io::Result<Output> {
    let (call, _) = &server.allowed;
    let mut command = Command::new(packages.of_environment(CURRENT, "python"));
    command.arg("-B").arg(root.join("xtask/interop/login.py"));
    command.args([&home.url(server), AGENT, call.tool, &call.arguments.to_string()]).args(home.line(&[]));
    process::run(&mut command, "", LOGIN_MAX)
}

/// It opens a browser, which is the person's program.
fn inspector(root: &Path, home: &Home, packages: &Packages, server: &Server) -> io::Result<Output> {
    let python = packages.of_environment(CURRENT, "python").display().to_string();
    let programs = browser(root, home, &python)?;
    let (call, _) = &server.allowed;
    let back = format!("http://127.0.0.1:{}/oauth/callback", free_port()?);
    let mut command = Command::new(packages.node());
    command.arg(packages.module("@modelcontextprotocol/inspector/clients/launcher/build/index.js"));
    command.args(["--cli", "--transport", "http", "--server-url", &home.url(server), "--protocol-era", "auto"]);
    command.args(["--client-id", AGENT, "--callback-url", &back, "--format", "json"]);
    command.args(["--method", "tools/call", "--tool-name", call.tool, "--tool-args-json", &call.arguments.to_string()]);
    let store = home.scratch.join("inspector-login");
    std::fs::create_dir_all(&store)?;
    command
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()))
        .env("BROWSER", programs.join("xdg-open"));
    command.env("MCP_AUTO_OPEN_ENABLED", "true").env("HOME", &store).current_dir(&store);
    process::run(&mut command, "", LOGIN_MAX)
}

/// A folder with a browser: the program that plays the person.
pub(crate) fn browser(root: &Path, home: &Home, python: &str) -> io::Result<PathBuf> {
    let folder = home.scratch.join("browser");
    let mut line = vec![
        python.to_owned(),
        "-B".into(),
        root.join("xtask/interop/person.py").display().to_string(),
        "\"$1\"".into(),
    ];
    line.extend(home.line(&[]));
    let program = folder.join("xdg-open");
    write(&program, &format!("#!/bin/sh\nexec {}\n", line.join(" ")))?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}
