//! `remit`, the one binary: parse, read the configuration, run, exit.

mod admin;
mod agent;
mod ask;
mod cli;
mod completion;
mod config;
mod constraint;
mod context;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod error;
mod health;
mod home;
mod http;
mod lockdown;
mod log;
mod mcp;
mod out;
mod request;
mod revoke;
mod serve;
mod server;
mod status;
mod time;
mod token;
mod up;

use std::io::Write as _;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::config::Env;
use crate::context::Context;
use crate::error::{CliError, Drawn, Exit};
use crate::home::Home;
use crate::out::Out;

fn main() -> Exit {
    let env = Env::read();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let out = Out::new(cli.json, &env);
    match context(&cli, env.clone(), out).and_then(|context| run(&cli.command, &context)) {
        Ok(exit) => exit,
        Err(error) => refuse(&error, cli.json, &env),
    }
}

fn context(cli: &Cli, env: Env, out: Out) -> Result<Context, CliError> {
    let home = Home::find(cli.home.as_deref(), &env)?;
    let file = cli.config.clone().unwrap_or_else(|| home.config());
    let flags = cli.command.flags();
    let loaded = config::load(&file, &env, &flags)?;
    Ok(Context { home, home_flag: cli.home.clone(), loaded, env, flags, out })
}

fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo => demo::run(context.home_flag.clone(), &context.out),
        Command::Up(up) => up::run(up, context),
        Command::Serve(serve) => serve::run(serve, context),
        Command::Agent(agent) => agent::run(agent, context),
        Command::Server(server) => server::run(server, context),
        Command::Request(request) => request::run(request, context),
        Command::Token(token) => token::run(token, context),
        Command::Revoke(revoke) => revoke::run(revoke, context),
        Command::Lockdown(lockdown) => lockdown::run(lockdown, context),
        Command::Log(log) => log::run(log, context),
        Command::Status(status) => status::run(status, context),
        Command::Doctor(doctor) => doctor::run(doctor, context),
        Command::Admin(admin) => admin::run(admin, context),
        Command::Config(_) => Ok(config::show::run(&context.loaded, &context.out)),
        Command::Completion(completion) => Ok(completion::run(completion, &context.out)),
    }
}

/// Help and version are what was asked for; anything else was typed wrongly.
fn usage(error: &clap::Error) -> Exit {
    drop(error.print());
    if error.use_stderr() { Exit::Unevaluated } else { Exit::Fine }
}

fn refuse(error: &CliError, json: bool, env: &Env) -> Exit {
    if json {
        Out::new(json, env).object(&error.json(), |_| ());
    } else {
        let colour = out::colours_on_stderr(env);
        drop(writeln!(std::io::stderr(), "{}", Drawn { error, colour }));
    }
    error.exit()
}
