//! `remit`, the one binary: parse, read the configuration, run, exit.

mod admin;
mod adopt;
mod agent;
mod approve;
mod ask;
mod cli;
mod completion;
mod config;
mod confirmed;
mod constraint;
mod context;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod error;
mod gateway;
mod grant;
mod health;
mod home;
mod http;
mod issuer;
mod jwk;
mod lockdown;
mod log;
mod mcp;
mod out;
mod person;
mod request;
mod revoke;
mod role;
mod serve;
mod server;
mod standing;
mod status;
mod team;
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

/// What `malloc` of the C library keeps grows with each call for as long as many connections share it, although what is in use
/// does not: see docs/overload.md.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Exit {
    let env = Env::read();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &env),
    };
    let out = Out::new(cli.json, &env);
    let ended = context(&cli, env.clone(), out.clone()).and_then(|context| run(&cli.command, &context));
    let home = Home::find(cli.home.as_deref(), &env).map_or_else(|_| String::new(), |home| home.flag(&env));
    let exit = ended.unwrap_or_else(|error| refuse(&error.at(&home), cli.json, &env));
    match out.fault() {
        None => exit,
        // Whoever reads standard output does not have all of it, whatever else went well.
        Some(why) => refuse(&lost(&why), false, &env),
    }
}

fn context(cli: &Cli, env: Env, out: Out) -> Result<Context, CliError> {
    let home = Home::find(cli.home.as_deref(), &env)?;
    let file = cli.config.clone().unwrap_or_else(|| home.config());
    let flags = cli.command.flags();
    if cli.config.is_some() && !file.exists() {
        let message = format!("{}: there is no such configuration", file.display());
        return Err(CliError::unevaluated(message, "name one that exists, or leave --config away"));
    }
    let loaded = config::load(&file, &env, &flags)?;
    // These two are how one finds out what is wrong with it.
    let looks = matches!(cli.command, Command::Config(_) | Command::Doctor(_));
    let loaded = if looks { loaded } else { loaded.whole()? };
    Ok(Context { home, home_flag: cli.home.clone(), loaded, env, flags, out })
}

fn run(command: &Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo => demo::run(context.home_flag.clone(), &context.out),
        Command::Up(up) => up::run(up, context),
        Command::Serve(serve) => serve::run(serve, context),
        Command::Agent(agent) => agent::run(agent, context),
        Command::Team(team) => team::run(team, context),
        Command::Role(role) => role::run(role, context),
        Command::Person(person) => person::run(person, context),
        Command::Server(server) => server::run(server, context),
        Command::Adopt(adopt) => adopt::run(adopt, context),
        Command::Gateway(gateway) => gateway::run(gateway, context),
        Command::Issuer(issuer) => issuer::run(issuer, context),
        Command::Request(request) => request::run(request, context),
        Command::Grant(grant) => grant::run(grant, context),
        Command::Token(token) => token::run(token, context),
        Command::Approvals => approve::list(context),
        Command::Approve(approve) => approve::approve(approve, context),
        Command::Deny(deny) => approve::deny(deny, context),
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

fn lost(why: &str) -> CliError {
    CliError::unevaluated(format!("standard output: {why}"), "print to where there is space, and run it again")
}

/// Help and version are what was asked for; anything else was typed wrongly.
fn usage(error: &clap::Error, env: &Env) -> Exit {
    let json = std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    if error.use_stderr() && json {
        return refuse(&mistyped(error), json, env);
    }
    if error.print().is_err_and(|error| error.kind() != std::io::ErrorKind::BrokenPipe) {
        return Exit::Unevaluated;
    }
    if error.use_stderr() { Exit::Unevaluated } else { Exit::Fine }
}

/// What was typed wrongly, without the drawing of it for people.
fn mistyped(error: &clap::Error) -> CliError {
    let text = error.to_string();
    let said = match error.kind() {
        clap::error::ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "no command is named",
        _ => text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: "),
    };
    CliError::unevaluated(said.split_whitespace().collect::<Vec<_>>().join(" "), "see what there is: remit --help")
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
