//! What a governed call costs, beside a direct one and beside the disk: ratios of one run, never a timed test.
//!
//! For developers only: nothing of it is linked into `remit`. The same binary is the upstream that echoes.

mod arguments;
mod calls;
mod cost;
mod disk;
mod home;
mod key;
mod ledger;
mod load;
mod log;
mod machine;
mod many;
mod mint;
mod page;
mod pipe;
mod plan;
mod program;
mod report;
mod revocation;
mod road;
mod sample;
mod soak;
mod standing;
mod token;
mod upstream;
mod wire;
mod world;

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use arguments::{Arguments, USAGE};
use cost::Whole;
use home::Home;
use program::Program;
use report::{Goal, Table, remark, say};

/// Percent of the machine that others may use where the figures are to be kept.
const BUSY_PERCENT_MAX: u64 = 20;
const CALLERS: &[usize] = &[1, 8, 32, 64];
/// The page that keeps the figures, and the name of their marks there.
const PAGE: (&str, &str) = ("docs/performance.md", "measured");
const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    let done = match words.peek().map(String::as_str) {
        Some("serve") => {
            if words.nth(1).as_deref() == Some(Echo::WITH_LEDGER) {
                ledger::keep();
            }
            single_thread().and_then(|runtime| runtime.block_on(upstream::serve_http()))
        }
        Some("soak") => match soak::Options::read(words.skip(1)) {
            Some(options) => match soak::run(&options) {
                Ok(true) => Ok(()),
                Ok(false) => return ExitCode::from(EXIT_FAILED),
                Err(error) => Err(error),
            },
            None => Err(io::Error::other(soak::USAGE)),
        },
        Some("stdio") => upstream::serve_stdio(),
        _ => match Arguments::read(words) {
            Some(arguments) => run(&arguments),
            None => Err(io::Error::other(USAGE)),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            remark(&error.to_string());
            ExitCode::from(EXIT_USAGE)
        }
    }
}

fn single_thread() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// All that came out of one run.
#[derive(Default)]
struct Measured {
    tables: Vec<Table>,
    goals: Vec<Goal>,
    whole: Option<Whole>,
    /// Whether a call failed, or was not counted.
    unsound: bool,
}

fn run(arguments: &Arguments) -> io::Result<()> {
    let before = (machine::busy(), machine::load());
    let quiet = before.0 <= BUSY_PERCENT_MAX;
    if arguments.write && !quiet && !arguments.force {
        return Err(io::Error::other(format!(
            "others use {} % of this machine, so the figures would not be its own: wait, or say --force",
            before.0
        )));
    }
    let dir = scratch(&arguments.root, arguments.dir.as_deref())?;
    let file_system = machine::file_system(&dir)?;
    let measured = measure(arguments, &dir);
    std::fs::remove_dir_all(&dir)?;
    let measured = measured?;
    let text = text(arguments, &file_system, &before, &measured);
    say(&text);
    if measured.unsound {
        return Err(io::Error::other("calls failed, or were not counted: see above; nothing is kept"));
    }
    if arguments.write { page::write(&arguments.root, PAGE, &text) } else { Ok(()) }
}

/// A fresh directory of this process alone.
fn scratch(root: &Path, dir: Option<&Path>) -> io::Result<PathBuf> {
    let parent = dir.map_or_else(|| root.join("target/bench"), Path::to_owned);
    let dir = parent.join(std::process::id().to_string());
    std::fs::create_dir_all(&dir)?;
    dir.canonicalize()
}

fn measure(arguments: &Arguments, dir: &Path) -> io::Result<Measured> {
    let mut measured = Measured::default();
    if arguments.wants("calls") || arguments.wants("program") || arguments.wants("cost") {
        whole_program(arguments, dir, &mut measured)?;
    }
    if arguments.wants("revocation") || arguments.wants("runs") {
        fleet(arguments, dir, &mut measured)?;
    }
    if arguments.wants("cost") {
        remark("the steps of a call");
        let runs = arguments.runs(10_000, 500);
        measured.tables.push(cost::measure(dir, runs, measured.whole)?);
    }
    if arguments.wants("plan") {
        remark("the plan");
        let (table, goal) = plan::measure(arguments.runs(20_000, 1_000))?;
        measured.tables.push(table);
        measured.goals.push(goal);
    }
    if arguments.wants("tokens") {
        remark("tokens and proofs");
        measured.tables.push(token::measure(arguments.runs(20_000, 500))?);
    }
    if arguments.wants("log") {
        remark("entries of the log");
        measured.tables.push(log::append(dir, arguments.time)?);
    }
    if arguments.wants("verify") {
        remark("a log to verify");
        measured.tables.push(log::verify(dir, arguments.runs(1_000_000, 20_000))?);
    }
    Ok(measured)
}

/// What needs the real program: calls, tokens of its authority, and what the program itself takes.
fn whole_program(arguments: &Arguments, dir: &Path, measured: &mut Measured) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let echo = Echo::start(&program, &[])?;
    let mut home = Home::create(&arguments.remit, dir)?;
    home.register(&echo.url, &program)?;
    let mut seen = Program::new();
    if arguments.wants("program") {
        remark("starts, requests and tokens");
        seen.starts(&mut home, arguments.runs(10, 3))?;
        seen.resident(&home, "when it is ready");
        seen.request(&home, arguments.runs(50, 5))?;
    }
    let run = home.run()?;
    let runtime = single_thread()?;
    if arguments.wants("program") {
        let times = runtime.block_on(async {
            let mut minter = mint::Minter::new(&home, &run, &home.url("echo")).await?;
            minter.mint().await?;
            minter.measure(arguments.runs(2_000, 100)).await
        })?;
        seen.minted(&times);
    }
    let callers = match arguments.only.as_deref() {
        Some("cost") => &[1][..],
        Some("program") => &[64][..],
        _ => CALLERS,
    };
    let (time, peer) = (arguments.time, arguments.peer.as_deref());
    let plan = calls::Plan { callers, time, dir, program: &program, echo: &echo.url, peer };
    let calls = runtime.block_on(calls::measure(&plan, &home, &run))?;
    (measured.whole, measured.unsound) = (calls.whole, !calls.sound);
    if arguments.wants("calls") {
        measured.tables.extend(calls.tables);
        measured.goals.extend(calls.goals);
    }
    if arguments.wants("program") {
        seen.after_load(&home);
        remark("the log of the calls");
        seen.log(&mut home)?;
        measured.goals.append(&mut seen.goals);
        measured.tables.push(seen.table());
    }
    Ok(())
}

/// What is asked of an authority and its gateways together, in a home of its own.
fn fleet(arguments: &Arguments, dir: &Path, measured: &mut Measured) -> io::Result<()> {
    let (program, dir) = (std::env::current_exe()?, dir.join("fleet"));
    std::fs::create_dir(&dir)?;
    let echo = Echo::start(&program, &[])?;
    let home = Home::create(&arguments.remit, &dir)?;
    home.register(&echo.url, &program)?;
    let runtime = single_thread()?;
    if arguments.wants("revocation") {
        remark("revocations");
        let (table, goals) = runtime.block_on(revocation::measure(&home, &dir, arguments.runs(1_000, 20)))?;
        measured.tables.push(table);
        measured.goals.extend(goals);
    }
    if arguments.wants("runs") {
        remark("many runs");
        let (table, goals) = runtime.block_on(many::measure(&home, arguments.runs(100_000, 2_000)))?;
        measured.tables.push(table);
        measured.goals.extend(goals);
    }
    Ok(())
}

/// The echo over HTTP, as a process of its own. Dropped, it ends.
struct Echo {
    child: Child,
    url: String,
}

impl Echo {
    /// That it shall keep a ledger of what it does.
    const WITH_LEDGER: &str = "ledger";

    fn start(program: &Path, arguments: &[&str]) -> io::Result<Self> {
        let mut command = Command::new(program);
        let mut child = command.arg("serve").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut url)?;
        }
        Ok(Self { child, url: url.trim().to_owned() })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It fails only where it is gone already.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

/// The whole report.
fn text(arguments: &Arguments, file_system: &str, before: &(u64, String), measured: &Measured) -> String {
    let at = |line: &[&str]| machine::said(&arguments.root, line);
    let version = at(&["git", "describe", "--always", "--dirty", "--abbrev=12"]);
    let mut text = format!(
        "Measured on {} with version `{version}`: {}. Home on {file_system}. Each load {} s. Load average before {}, after {}; \
         others used {} % of the processors before.\n",
        at(&["date", "-u", "+%F"]),
        machine::machine(),
        arguments.time.as_secs(),
        before.1,
        machine::load(),
        before.0
    );
    if arguments.quick || before.0 > BUSY_PERCENT_MAX {
        text += "\n**Others used this machine, or the run was a short one: take the ratios, not the times.**\n";
    }
    let goals = (!measured.goals.is_empty()).then(|| Table::of_goals(&measured.goals));
    for table in goals.iter().chain(&measured.tables) {
        text += "\n";
        text += &table.to_string();
    }
    text
}
