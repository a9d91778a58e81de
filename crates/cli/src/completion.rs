//! `remit completion`: what a shell needs to complete the command line.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::error::Exit;
use crate::out::Out;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  remit completion bash > ~/.local/share/bash-completion/completions/remit")]
pub(crate) struct Completion {
    /// The shell
    #[arg(value_parser = ["bash", "zsh", "fish"])]
    shell: String,
}

pub(crate) fn run(completion: &Completion, out: &Out) -> Exit {
    let shell = match completion.shell.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::Cli::command(), "remit", &mut script);
    out.raw(String::from_utf8_lossy(&script).trim_end());
    Exit::Fine
}
