//! Programs of other makers: run to their end within a time, or kept in the background and ended as a group.

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often a program is asked whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long a program may take to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(10);

/// What a program said, and how it ended.
#[derive(Debug)]
pub(crate) struct Output {
    /// Whether it ended with 0.
    pub(crate) good: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Output {
    /// The last line that says something, of what went wrong or else of what it said.
    pub(crate) fn last_line(&self) -> &str {
        let lines = self.out.lines().chain(self.err.lines());
        lines.map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing")
    }
}

/// Runs a program to its end; one that takes longer is killed, and that is an error.
pub(crate) fn run(command: &mut Command, input: &str, within: Duration) -> io::Result<Output> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn()?;
    let (out, err) = (collect(child.stdout.take()), collect(child.stderr.take()));
    if let Some(mut stdin) = child.stdin.take() {
        // A program that reads nothing is free to.
        stdin.write_all(input.as_bytes()).ok();
    }
    let Some(status) = wait(&mut child, within)? else {
        signal(&child, "KILL");
        child.wait()?;
        let name = command.get_program().to_string_lossy();
        let why = format!("{name} did not end within {} s", within.as_secs());
        return Err(io::Error::new(io::ErrorKind::TimedOut, why));
    };
    // What it left behind would keep its pipes open.
    signal(&child, "KILL");
    Ok(Output { good: status.success(), out: text(out), err: text(err) })
}

/// Runs a command line that must end well.
pub(crate) fn must(line: &[String], within: Duration) -> io::Result<()> {
    let [program, arguments @ ..] = line else { return Err(io::Error::other("no program is named")) };
    let output = run(Command::new(program).args(arguments), "", within)?;
    if output.good { Ok(()) } else { Err(io::Error::other(format!("{program}: {}", output.last_line()))) }
}

/// A program in the background. Dropping it ends it.
pub(crate) struct Background(Child);

impl Background {
    /// Starts it. Its standard error goes into `noise`, which is for whoever looks for the reason of a failure.
    pub(crate) fn start(command: &mut Command, noise: std::fs::File) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(noise).process_group(0).spawn().map(Self)
    }

    /// The first line that it says; what follows is read and dropped.
    pub(crate) fn first_line(&mut self, within: Duration) -> io::Result<String> {
        let stdout = self.0.stdout.take().ok_or_else(|| io::Error::other("it was read already"))?;
        let (said, hear) = sync_channel(1);
        thread::spawn(move || {
            let mut lines = BufReader::new(stdout).lines();
            if let Some(Ok(line)) = lines.next() {
                said.send(line).ok();
            }
            lines.for_each(drop);
        });
        hear.recv_timeout(within)
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it did not say that it is ready"))
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> io::Result<()> {
        if self.0.try_wait()?.is_none() {
            signal(&self.0, "TERM");
        }
        if wait(&mut self.0, GRACE)?.is_none() {
            signal(&self.0, "KILL");
            self.0.wait()?;
        }
        Ok(())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It fails only where it is gone already.
        self.stop().ok();
    }
}

fn wait(child: &mut Child, within: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    let end = Instant::now() + within;
    loop {
        match child.try_wait()? {
            None if Instant::now() < end => thread::sleep(LOOK_EVERY),
            ended => return Ok(ended),
        }
    }
}

/// To its whole group. It fails only where nobody of it is left.
fn signal(child: &Child, name: &str) {
    let group = format!("-{}", child.id());
    let kill =
        Command::new("kill").args(["-s", name, "--", &group]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    kill.ok();
}

fn collect(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What came before an error is what there is to see.
            stream.read_to_end(&mut bytes).ok();
        }
        bytes
    })
}

fn text(collected: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&collected.join().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_a_program_says_is_kept() {
        let output = run(&mut shell("cat; echo why >&2; exit 3"), "in", Duration::from_secs(10)).unwrap();
        assert!(!output.good);
        assert_eq!((output.out.as_str(), output.last_line()), ("in", "why"));
        assert!(run(&mut shell("exit 0"), "never read", Duration::from_secs(10)).unwrap().good);
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let began = Instant::now();
        let error = run(&mut shell("sleep 60 & wait"), "", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_is_left_in_the_background_ends_with_its_owner() {
        let noise = tempfile::tempfile().unwrap();
        let mut kept = Background::start(&mut shell("echo $$; sleep 60"), noise).unwrap();
        let pid = kept.first_line(Duration::from_secs(10)).unwrap();
        let alive = || shell(&format!("kill -0 {pid} 2>/dev/null")).status().unwrap().success();
        assert!(alive());
        drop(kept);
        assert!(!alive());
    }
}
