//! `remit`, the one binary: parse, read the configuration, run, exit.

mod cli;
mod completion;
mod config;
mod context;
mod error;
mod home;
mod log;
mod out;
mod time;

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
    match context(&cli, env.clone(), out).and_then(|context| run(cli.command, &context)) {
        Ok(exit) => exit,
        Err(error) => refuse(&error, cli.json, &env),
    }
}

fn context(cli: &Cli, env: Env, out: Out) -> Result<Context, CliError> {
    let home = Home::find(cli.home.as_deref(), &env)?;
    let file = cli.config.clone().unwrap_or_else(|| home.config());
    let loaded = config::load(&file, &env, &[])?;
    Ok(Context { home, loaded, env, out })
}

fn run(command: Command, context: &Context) -> Result<Exit, CliError> {
    match command {
        Command::Log(log) => log::run(&log, context),
        Command::Config(_) => Ok(config::show::run(&context.loaded, &context.out)),
        Command::Completion(completion) => Ok(completion::run(&completion, &context.out)),
    }
}

/// Help and version are what was asked for; anything else was typed wrongly.
fn usage(error: &clap::Error) -> Exit {
    drop(error.print());
    if error.use_stderr() { Exit::Unevaluated } else { Exit::Fine }
}

fn refuse(error: &CliError, json: bool, env: &Env) -> Exit {
    if json {
        Out::new(json, env).line(error.json());
    } else {
        let colour = out::colours_on_stderr(env);
        drop(writeln!(std::io::stderr(), "{}", Drawn { error, colour }));
    }
    error.exit()
}
