//! What the gateway says of itself, at every level, to whoever reads its output; and to those who ask.

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock};

use remit_core::registry::Upstream;
use remit_gateway::upstream::Outgoing;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::authority::minted_by;
use crate::client::LEGACY;
use crate::world::{NAME, Setup, WHY, World, server};

/// All that was said in this process, in any span or event.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Said {
    /// Listens from now on.
    fn listen() -> Self {
        static SAID: OnceLock<Said> = OnceLock::new();
        let said = SAID.get_or_init(|| {
            let said = Said::default();
            tracing::subscriber::set_global_default(said.clone()).unwrap();
            said
        });
        said.clone()
    }

    fn take(&self, record: impl FnOnce(&mut Words<'_>)) {
        let mut line = String::new();
        record(&mut Words(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Subscriber for Said {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.take(|words| span.record(words));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        self.take(|words| values.record(words));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        self.take(|words| event.record(words));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Break: say a token, a proof, an argument or a name, at whatever level, or in an answer.
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_said() {
    let said = Said::listen();
    let mut world = World::new().await;
    let run = world.run("r1", r#"{"list_tickets":{},"read_ticket":{}}"#);
    let bearer = world.bearer("r2", r#"{"list_tickets":{}}"#);
    let mut forged = run.clone();
    forged.token = minted_by(&run.claims, [1; 32]);
    let session = run.initialize("tickets").await;
    let mut secrets = vec![WHY.to_owned(), NAME.to_owned(), "canary-argument".to_owned()];
    let mut answers = String::new();
    let argument = r#"{"id":"canary-argument"}"#;
    let legacy = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    for ask in [
        run.tool("read_ticket", r#"{"id":42}"#),
        run.tool("read_ticket", argument),
        run.tool("nobody_has_it", argument),
        forged.tool("read_ticket", argument),
        run.tool("read_ticket", argument).set("dpop", &run.proof("GET", "http://elsewhere.example/")),
        run.tool("read_ticket", argument).add("authorization", &format!("DPoP {}", run.token)),
        run.tool("read_ticket", argument).set("mcp-name", "other"),
        run.tool("read_ticket", argument).body("{"),
        bearer.tool("list_tickets", "{}"),
        run.legacy("tickets", Some(&session), legacy).set("mcp-protocol-version", LEGACY),
        run.legacy("tickets", Some("made-up-session"), legacy),
    ] {
        for name in ["authorization", "dpop"] {
            let values = ask.headers.get_all(name).iter().map(|value| value.to_str().unwrap());
            secrets.extend(values.map(|value| value.rsplit('.').next().unwrap().to_owned()));
        }
        answers += &run.send(ask).await.text().await;
    }
    world.revoke(remit_core::revoked::Kind::Run, "r1").await;
    answers += &run.send(run.tool("read_ticket", argument)).await.text().await;
    world.stop(true).await;
    let lines = said.lines();
    assert!(lines.iter().any(|line| line.contains("log recovered")), "nobody listens");
    for secret in secrets {
        assert!(!answers.contains(&secret), "answered: {secret}");
        let line = lines.iter().find(|line| line.contains(&secret));
        assert_eq!(line, None, "said: {secret}");
    }
}

/// Speaks the modern era, and on its first call writes three thousand lines to its standard error, and a long one.
const NOISY: &str = r#"
import json, sys
def say(m, result): sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": m["id"], "result": result}) + "\n"); sys.stdout.flush()
for line in sys.stdin:
    m = json.loads(line)
    method = m.get("method")
    if method == "server/discover": say(m, {"supportedVersions": ["2026-07-28"], "resultType": "complete"})
    elif method == "tools/list": say(m, {"tools": [{"name": "noise", "inputSchema": {"type": "object"}}], "resultType": "complete"})
    elif method == "tools/call":
        sys.stderr.write("noise " + "n" * 100000 + "\n")
        for n in range(3000): sys.stderr.write("noise\n")
        sys.stderr.flush()
        say(m, {"content": [], "resultType": "complete"})
"#;

/// Break: repeat all that a program says on its standard error; or stop reading it, so that it hangs.
#[tokio::test(flavor = "multi_thread")]
async fn a_programs_own_words_are_repeated_up_to_a_limit() {
    let said = Said::listen();
    let tools = r#"[{"name":"noise","inputSchema":{"type":"object"}}]"#;
    let python = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    let command = String::from_utf8(python.unwrap().stdout).unwrap().trim().to_owned();
    let upstream = Upstream::Stdio { command, args: ["-u", "-c", NOISY].map(str::to_owned).into() };
    let servers = vec![server("noisy", upstream, tools)];
    let world = World::with(Setup { servers, ..Setup::default() }).await;
    let run = world.run_at("noisy", "r1", r#"{"noise":{}}"#);
    let call = || run.modern("noisy", "tools/call", r#"{"name":"noise","arguments":{}}"#);
    let noises = || said.lines().into_iter().filter(|line| line.contains("noise")).collect::<Vec<_>>();
    for _ in 0..2 {
        assert_eq!(crate::client::code_of(&run.send(call()).await.json().await), "ok", "{}", world.story());
    }
    world.until("said", async || noises().len() >= 1_000).await;
    assert_eq!(crate::client::code_of(&run.send(call()).await.json().await), "ok");
    let noises = noises();
    assert_eq!(noises.len(), 1_000);
    assert!(noises.iter().all(|line| line.len() < 1_200));
}

struct Shown<T>(PhantomData<T>);

trait NotShown {
    const SHOWN: bool = false;
}

impl<T> NotShown for Shown<T> {}

impl<T: Debug> Shown<T> {
    const SHOWN: bool = true;
}

/// Break: derive `Debug` where a key or a token is held, or show the headers of what is sent.
#[test]
fn what_holds_a_secret_cannot_be_shown() {
    let shown = [
        Shown::<remit_audit::LogKey>::SHOWN,
        Shown::<remit_audit::vault::Kek>::SHOWN,
        Shown::<remit_audit::vault::Vault>::SHOWN,
        Shown::<remit_audit::note::Signer>::SHOWN,
        Shown::<remit_core::dpop::Request<'_>>::SHOWN,
        Shown::<remit_core::identify::Request<'_>>::SHOWN,
        Shown::<remit_gateway::accept::Asked>::SHOWN,
        Shown::<remit_gateway::permit::Permit>::SHOWN,
        Shown::<remit_gateway::sessions::Sessions>::SHOWN,
        Shown::<remit_gateway::strangers::Strangers>::SHOWN,
        Shown::<remit_gateway::tokens::Tokens>::SHOWN,
    ];
    assert!(shown.iter().all(|shown| !shown), "{shown:?}");
    // The question can be answered with yes.
    assert_eq!([Shown::<String>::SHOWN], [true]);
    let mut headers = http::HeaderMap::new();
    headers.insert("authorization", "Bearer canary-token".parse().unwrap());
    let body = bytes::Bytes::from_static(b"canary-body");
    let (method, reviewed) = (http::Method::POST, BTreeSet::new());
    let outgoing = Outgoing { body, headers, method, standing: false, reviewed };
    assert!(!format!("{outgoing:?}").contains("canary"));
}
