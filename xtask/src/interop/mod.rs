//! `cargo xtask interop`: real clients and servers of other makers, with the real gateway between them.
//!
//! Each client is put before each server in each era that it knows. It must see exactly what its run was granted, get
//! the server's own answer to what is allowed, and be refused the rest; and the log must hold all of it.
//!
//! **Invariant:** what could not be run is counted as not run, and nothing run at all is no success.

mod asking;
pub(crate) mod browser;
mod cell;
mod clients;
mod federation;
pub(crate) mod home;
pub(crate) mod install;
pub(crate) mod login;
pub(crate) mod packages;
pub(crate) mod process;
mod protected;
pub(crate) mod provider;
mod questions;
pub(crate) mod record;
mod servers;
mod table;

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::{programs, say};
use asking::Asking;
use cell::Row;
use clients::{Client, Era};
use home::Home;
use packages::Packages;
use servers::Server;
pub(crate) use table::Tally;

/// How many cells are looked at at a time: clients mostly wait, for processes and for a revocation to be everywhere.
const WORKERS: usize = 4;
/// How long all cells may take together.
const TALK_MAX: Duration = Duration::from_mins(5);

/// Runs everything that can be run here. The packages are those in a directory, or are installed below `target`.
pub(crate) fn run(root: &Path, installed: Option<&str>) -> io::Result<Tally> {
    programs::build(root)?;
    let dir = installed.map_or_else(|| root.join("target/interop"), Into::into);
    let packages = Packages::prepare(&dir, packages::wanted())?;
    let began = Instant::now();
    let scratch = std::env::temp_dir().join(format!("remit-interop-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let scratch = scratch.canonicalize()?;
    let tally = with(root, &packages, &scratch)?;
    say(&format!("interop: {} in {} s", tally.line(), began.elapsed().as_secs()));
    if tally.failed == 0 {
        std::fs::remove_dir_all(&scratch)?;
    } else {
        say(&format!("what every program said is in {}", scratch.display()));
    }
    Ok(tally)
}

fn with(root: &Path, packages: &Packages, scratch: &Path) -> io::Result<Tally> {
    let mut missed = Missed::default();
    let mut servers = servers::all(root, packages, scratch)?;
    let mut asking = asking::all(packages, &servers)?;
    servers.retain(|server| {
        let cells = Client::ALL.iter().map(|client| client.eras().len()).sum();
        missed.none(server.name, cells, packages.lack(server.needs))
    });
    let clients = Client::ALL.iter().copied().filter(|client| {
        let cells = client.eras().len() * servers.len();
        missed.none(client.name(), cells, packages.lack(client.needs()))
    });
    let mut cells = Vec::new();
    for client in clients {
        cells.extend(
            servers.iter().flat_map(|server| client.eras().iter().map(move |era| Cell::Calls(client, server, *era))),
        );
    }
    asking.retain(|one| {
        let needs: Vec<_> = one.server.needs.iter().chain(Client::Python.needs()).copied().collect();
        missed.none(one.server.name, 2 * one.eras.len(), packages.lack(&needs))
    });
    let mut protected = protected::all(root, packages)?;
    protected.retain(|server| missed.none(server.name, Client::Python.eras().len(), packages.lack(server.needs)));
    cells.extend(questions::rows(&asking).map(Cell::Questions));
    let Talked { rows, logins, figures } = if cells.is_empty() {
        Talked::default()
    } else {
        talk(root, packages, scratch, (&servers, &asking, &mut protected), cells, &mut missed)?
    };
    table::print(&rows, &logins, figures.as_ref(), &missed.lines);
    Ok(Tally::new(&rows, &logins, figures.as_ref(), packages.broken.len(), (missed.cells, missed.why)))
}

/// One row of what is found.
#[derive(Clone, Copy)]
enum Cell<'a> {
    /// A client before a server.
    Calls(Client, &'a Server, Era),
    /// A server that asks its client.
    Questions(questions::Parts<'a>),
}

/// What cannot be run here.
#[derive(Default)]
struct Missed {
    cells: usize,
    /// One for each server and client.
    lines: Vec<String>,
    /// Each reason once.
    why: Vec<String>,
}

impl Missed {
    /// Counts what is missed for this reason; true where there is none.
    fn none(&mut self, name: &str, cells: usize, why: Option<&str>) -> bool {
        let Some(why) = why else { return true };
        self.cells += cells;
        self.lines.push(format!("{name}: {why}"));
        if !self.why.iter().any(|known| known == why) {
            self.why.push(why.to_owned());
        }
        false
    }
}

/// What was found.
#[derive(Default)]
struct Talked {
    rows: Vec<Row>,
    logins: Vec<login::Login>,
    figures: Option<record::Figures>,
}

/// All cells, and what the log says of them in the end.
fn talk<'a>(
    root: &Path,
    packages: &Packages,
    scratch: &Path,
    (servers, asking, protected): (&'a [Server], &'a [Asking], &'a mut [Server]),
    mut cells: Vec<Cell<'a>>,
    missed: &mut Missed,
) -> io::Result<Talked> {
    let mut running = Vec::new();
    for server in servers {
        running.extend(server.start(scratch)?);
    }
    let mut home = Home::start(root, scratch)?;
    for server in servers {
        home.add(server)?;
    }
    let _provider = if protected.is_empty() { None } else { Some(protected::start(root, &home, packages, protected)?) };
    let protected: &'a [Server] = protected;
    let python = |server| Client::Python.eras().iter().map(move |era| Cell::Calls(Client::Python, server, *era));
    cells.extend(protected.iter().flat_map(python));
    for one in asking {
        running.extend(one.add(&home, scratch)?);
    }
    let all = servers.iter().chain(asking.iter().map(|one| &one.server)).chain(protected);
    home.register(all.clone())?;
    say(&format!("{} combinations of client, server and era …", cells.len()));
    let around = (&home, packages);
    let mut rows = at_once(&cells, &|cell| match cell {
        Cell::Calls(client, server, era) => cell::run(root, around, (client, server, era)),
        Cell::Questions(parts) => questions::run(root, around, parts),
    })?;
    let over_http = servers.iter().find(|server| server.url.is_some());
    let mut logins = over_http.map(|server| login::run(root, &home, packages, server)).unwrap_or_default();
    // Last: from then on people are sent to their provider.
    if let Some(server) =
        over_http.filter(|_| missed.none("oidc-provider", federation::CELLS, packages.lack(federation::NEEDS)))
    {
        logins.extend(federation::run(root, (&home, packages), server)?);
    }
    home.stop()?;
    let figures = record::check(&home, &all, &mut rows)?;
    Ok(Talked { rows, logins, figures: Some(figures) })
}

/// A few at a time, and their rows in order.
fn at_once<C: Copy + Sync>(cells: &[C], run: &(impl Fn(C) -> Row + Sync)) -> io::Result<Vec<Row>> {
    let end = Instant::now() + TALK_MAX;
    let next = Mutex::new(cells.iter().enumerate());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let taken = next.lock().ok().and_then(|mut next| next.next());
                    let Some((index, cell)) = taken.filter(|_| Instant::now() < end) else { break };
                    let row = run(*cell);
                    if let Ok(mut done) = done.lock() {
                        done.push((index, row));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().map_err(|_| io::Error::other("a worker failed"))?;
    if done.len() != cells.len() {
        return Err(io::Error::other(format!("{} of {} cells in time", done.len(), cells.len())));
    }
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, row)| row).collect())
}
