//! Help: every command shows an example, and the first page is what it was.

use expect_test::expect;

use crate::remit::run;

#[test]
fn the_first_page() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, err) = run(home.path(), &["--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    expect![[r#"
        Zero trust for AI agents: every call is identified, decided, recorded, forwarded and proved

        Usage: remit [OPTIONS] <COMMAND>

        Commands:
          demo        Play the whole story on this machine, in a scratch directory, ending with a verified
                      log
          up          Run authority and gateway on this machine, in one process
          serve       Run the authority, or a gateway, alone
          agent       Register agents, renew or stop them, and see how they stand
          team        Register teams, which own agents
          role        Say who holds which role
          person      Make people known by name
          server      Register MCP servers, review and expose their tools
          adopt       Move a client's file of MCP servers off its standing keys: seal them, and lead it to
                      the relay
          gateway     Say which gateways may be lent the credentials of servers
          issuer      Say whose word for people and workloads counts, and for what
          request     Get a scoped grant, at once
          grant       See what is held and for how long, renew it, give it back, or follow what a person was
                      asked for
          token       Print the headers with which an MCP client reaches a server
          approvals   Show what waits for a person's word
          approve     Let a program act as an agent, when it asks for it by its code
          deny        Say no to it
          revoke      Take something back, everywhere, in seconds
          lockdown    Stop a server or a tool for everybody
          log         Read, prove and check the logs
          status      Show what runs and what holds; inside a run, what it may do
          doctor      Find what is wrong here, and how to mend it
          admin       The authority's own affairs: PIN, policies, keys
          config      Show the configuration, and where each value came from
          completion  Print what a shell needs to complete commands
          help        Print this message or the help of the given subcommand(s)

        Options:
              --home <DIR>     Where Remit keeps its state [env: REMIT__HOME]
              --config <FILE>  Another configuration than `remit.toml` in the home
              --json           Print facts as one JSON object
          -h, --help           Print help
          -V, --version        Print version

        Examples:
          remit demo                                                       the whole story in a minute
          remit up                                                         authority and gateway on this
          machine
          remit request tickets/read_ticket --for 15m --why "INC-42"       a scoped token, at once
          remit log verify                                                 prove that nothing was changed

        Exit codes: 0 fine, 1 findings or denied, 2 usage or could not evaluate, 3 not signed in,
        4 authority or gateway unreachable, 5 approval pending.
    "#]]
    .assert_eq(&out);
}

#[test]
fn every_command_shows_an_example() {
    let home = tempfile::tempdir().unwrap();
    for words in [
        "demo",
        "up",
        "serve authority",
        "serve gateway",
        "agent register",
        "agent show",
        "agent list",
        "agent renew",
        "agent own",
        "agent veto",
        "agent export",
        "agent import",
        "team add",
        "team show",
        "team remove",
        "role give",
        "role take",
        "person add",
        "person remove",
        "person pin",
        "server add",
        "server secret",
        "adopt",
        "gateway add",
        "gateway remove",
        "server show",
        "server diff",
        "server pin",
        "server expose",
        "request",
        "token",
        "revoke",
        "lockdown",
        "log tail",
        "log show",
        "log prove",
        "log verify",
        "log fsck",
        "log replay",
        "status",
        "doctor",
        "config show",
        "completion",
        "admin pin",
    ] {
        let mut typed: Vec<&str> = words.split(' ').collect();
        typed.push("--help");
        let (code, out, _) = run(home.path(), &typed);
        assert_eq!(code, 0, "{words}");
        assert!(out.contains("Example"), "{words} shows no example:\n{out}");
    }
}

#[test]
fn completion_knows_the_commands() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, err) = run(home.path(), &["completion", shell]);
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("lockdown") && out.contains("verify"), "{shell}");
    }
}

#[test]
fn config_show_says_where_each_value_came_from() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("remit.toml");
    remit_audit::durable::write(&file, b"[gateway]\nname = \"gw7\"\n", 0o600).unwrap();
    let mut command = crate::remit::remit(home.path());
    command.env("REMIT__GATEWAY__CALLS_MAX", "7").args(["--json", "config", "show"]);
    let (code, out, _) = crate::remit::ended(&command.output().unwrap());
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    let of = |key: &str| (shown[key]["value"].clone(), shown[key]["source"].as_str().unwrap().to_owned());
    assert_eq!(of("gateway.calls_max"), (7.into(), "REMIT__GATEWAY__CALLS_MAX".into()));
    assert_eq!(of("gateway.name"), ("gw7".into(), file.display().to_string()));
    assert_eq!(of("gateway.listen").1, "default");
    assert_eq!(of("trust.root"), (serde_json::Value::Null, "not set".into()));
}

#[test]
fn help_is_a_command_too() {
    let home = tempfile::tempdir().unwrap();
    let (code, out, _) = run(home.path(), &["help", "log", "tail"]);
    assert_eq!((code, out.contains("--follow")), (0, true), "{out}");
}
