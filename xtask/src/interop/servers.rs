//! The servers of other makers behind the gateway, and what is asked of each of them.

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::home::{free_port, noise, write};
use super::packages::{Group, Packages};
use super::process::{self, Background};

const READY_MAX: Duration = Duration::from_secs(30);
const GIT_MAX: Duration = Duration::from_secs(20);

/// A tool call, as a client makes it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) tool: &'static str,
    pub(crate) arguments: Value,
}

/// One server, and a grant for it that leaves something to be refused.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) needs: &'static [Group],
    /// Whether it speaks the revision without a handshake too.
    pub(crate) modern: bool,
    /// Where it listens; it is a child of the gateway where it does not.
    pub(crate) url: Option<String>,
    pub(crate) command: Vec<String>,
    pub(crate) granted: &'static [&'static str],
    /// The features of a client that it was reviewed to use.
    pub(crate) features: &'static [&'static str],
    /// Constraints of the grant, as they are typed.
    pub(crate) constraints: Vec<String>,
    /// Permitted, with a part of what it answers.
    pub(crate) allowed: (Call, &'static str),
    /// Beyond the constraints.
    pub(crate) outside: Call,
    /// A tool that the agent declares and the run was not granted.
    pub(crate) declared: Call,
    /// A tool that the server offers and nobody has exposed, or that does not exist.
    pub(crate) hidden: Call,
}

impl Server {
    /// The menu: what is granted, and one tool more.
    pub(crate) fn exposed(&self) -> Vec<&'static str> {
        let mut exposed = self.granted.to_vec();
        exposed.push(self.declared.tool);
        exposed
    }

    /// Starts it, where it is not a child of the gateway.
    pub(crate) fn start(&self, scratch: &Path) -> io::Result<Option<Background>> {
        let Some(url) = &self.url else { return Ok(None) };
        let [program, arguments @ ..] = self.command.as_slice() else { return Ok(None) };
        let address = url.trim_start_matches("http://").trim_end_matches("/mcp");
        let mut command = Command::new(program);
        command.args(arguments).env("PORT", address.rsplit(':').next().unwrap_or_default());
        let running = Background::start(&mut command, noise(scratch, self.name)?)?;
        let end = Instant::now() + READY_MAX;
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > end {
                return Err(io::Error::other(format!(
                    "{} does not listen, see {}/{}.err",
                    self.name,
                    scratch.display(),
                    self.name
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(running))
    }
}

/// All servers that can be run here.
pub(crate) fn all(root: &Path, packages: &Packages, scratch: &Path) -> io::Result<Vec<Server>> {
    let node = packages.node().display().to_string();
    let everything = packages.module("@modelcontextprotocol/server-everything/dist/index.js").display().to_string();
    let python = packages.python("python").display().to_string();
    let script = root.join("xtask/interop/server.py").display().to_string();
    let (http, other) = (free_port()?, free_port()?);
    Ok(vec![
        Server {
            url: Some(format!("http://127.0.0.1:{http}/mcp")),
            ..of_everything("everything", vec![node.clone(), everything.clone(), "streamableHttp".into()])
        },
        of_everything("everything-stdio", vec![node, everything, "stdio".into()]),
        arithmetic(format!("http://127.0.0.1:{other}/mcp"), vec![python, script, other.to_string()]),
        filesystem(packages, scratch)?,
        time(packages),
        git(packages, scratch)?,
    ])
}

pub(crate) fn call(tool: &'static str, arguments: Value) -> Call {
    Call { tool, arguments }
}

pub(crate) fn of_everything(name: &'static str, command: Vec<String>) -> Server {
    Server {
        name,
        needs: &[Group::Node, Group::Everything],
        modern: false,
        url: None,
        command,
        granted: &["echo", "get-sum"],
        features: &[],
        constraints: vec![format!("{name}/get-sum:a<=10"), format!("{name}/get-sum:b=*")],
        allowed: (call("get-sum", json!({ "a": 2, "b": 3 })), "sum of 2 and 3 is 5"),
        outside: call("get-sum", json!({ "a": 11, "b": 3 })),
        declared: call("get-tiny-image", json!({})),
        hidden: call("get-env", json!({})),
    }
}

/// Made with the package `mcp`: the one server over HTTP that speaks both eras.
pub(crate) fn arithmetic(url: String, command: Vec<String>) -> Server {
    Server {
        name: "arithmetic",
        needs: &[Group::Mcp],
        modern: true,
        url: Some(url),
        command,
        granted: &["add", "negate"],
        features: &[],
        constraints: vec!["arithmetic/add:a<=1000".into(), "arithmetic/add:b=*".into()],
        allowed: (call("add", json!({ "a": 40, "b": 2 })), "42"),
        outside: call("add", json!({ "a": 1001, "b": 2 })),
        declared: call("multiply", json!({ "a": 1, "b": 2 })),
        hidden: call("double", json!({ "a": 1 })),
    }
}

fn filesystem(packages: &Packages, scratch: &Path) -> io::Result<Server> {
    let dir = scratch.join("files");
    let (note, other) = (dir.join("note.txt").display().to_string(), dir.join("other.txt").display().to_string());
    write(Path::new(&note), "the note's text")?;
    write(Path::new(&other), "not for this run")?;
    let program = packages.module("@modelcontextprotocol/server-filesystem/dist/index.js");
    Ok(Server {
        name: "files",
        needs: &[Group::Node, Group::Filesystem],
        modern: false,
        url: None,
        command: vec![packages.node().display().to_string(), program.display().to_string(), dir.display().to_string()],
        granted: &["list_allowed_directories", "read_text_file"],
        features: &[],
        constraints: vec![format!("files/read_text_file:path={note}")],
        allowed: (call("read_text_file", json!({ "path": note })), "the note's text"),
        outside: call("read_text_file", json!({ "path": other })),
        declared: call("write_file", json!({ "path": note, "content": "overwritten" })),
        hidden: call("move_file", json!({ "source": note, "destination": other })),
    })
}

fn time(packages: &Packages) -> Server {
    Server {
        name: "time",
        needs: &[Group::Time],
        modern: true,
        url: None,
        command: vec![packages.python("mcp-server-time").display().to_string()],
        granted: &["get_current_time"],
        features: &[],
        constraints: vec!["time/get_current_time:timezone=UTC".into()],
        allowed: (call("get_current_time", json!({ "timezone": "UTC" })), "UTC"),
        outside: call("get_current_time", json!({ "timezone": "Europe/Paris" })),
        declared: call(
            "convert_time",
            json!({ "source_timezone": "UTC", "time": "10:00", "target_timezone": "Europe/Paris" }),
        ),
        hidden: call("set_time", json!({})),
    }
}

fn git(packages: &Packages, scratch: &Path) -> io::Result<Server> {
    let dir = scratch.join("repository").display().to_string();
    for line in [
        ["init", "--quiet", "--initial-branch=main", "."].as_slice(),
        &[
            "-c",
            "user.name=interop",
            "-c",
            "user.email=interop@example.com",
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "a first commit",
        ],
    ] {
        std::fs::create_dir_all(&dir)?;
        let output = process::run(Command::new("git").current_dir(&dir).args(line), "", GIT_MAX)?;
        if !output.good {
            return Err(io::Error::other(format!("git: {}", output.last_line())));
        }
    }
    Ok(Server {
        name: "git",
        needs: &[Group::Git],
        modern: true,
        url: None,
        command: vec![packages.python("mcp-server-git").display().to_string(), "--repository".into(), dir.clone()],
        granted: &["git_branch", "git_log"],
        features: &[],
        constraints: vec![format!("git/git_log:repo_path={dir}")],
        allowed: (call("git_log", json!({ "repo_path": dir })), "a first commit"),
        outside: call("git_log", json!({ "repo_path": scratch.display().to_string() })),
        declared: call("git_status", json!({ "repo_path": dir })),
        hidden: call("git_reset", json!({ "repo_path": dir })),
    })
}
