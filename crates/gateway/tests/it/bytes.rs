//! What is judged is what is sent, and what comes back is what was said: byte for byte, both ways.

use remit_core::event::Kind;

use crate::client::{Run, code_of};
use crate::stub::{self, Stub};
use crate::world::{Setup, World, http_server};

pub const TOOLS: &str = r#"[{"name":"echo","description":"says it again","inputSchema":{"type":"object","properties":{"n":{"type":"number"},"t":{"type":"string"}}}}]"#;

/// A world with a stub behind `/mcp/raw`, and a run that may call its tool.
pub async fn raw(stub: &Stub) -> (World, Run) {
    let server = http_server("raw", &stub.url, TOOLS);
    let world = World::with(Setup { servers: vec![server], ..Setup::default() }).await;
    let run = world.run_at("raw", "r1", r#"{"echo":{}}"#);
    (world, run)
}

/// A modern call of `echo`.
pub fn echo(run: &Run, arguments: &str) -> crate::client::Ask {
    run.modern("raw", "tools/call", &format!(r#"{{"name":"echo","arguments":{arguments}}}"#))
}

/// Break: parse and print a message anywhere on its way.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_order_and_big_numbers_survive_both_ways() {
    const RESULT: &str =
        r#" {"x-new" : [1.0e2, 12345678901234567890123], "resultType":"complete","content":[ ],"b":1,"a":"\u0061"} "#;
    let stub = Stub::start(TOOLS, |heard| async move {
        stub::json(format!(r#"{{ "result":{RESULT},  "id" : {}, "jsonrpc":"2.0" }}"#, heard.id()))
    })
    .await;
    let (world, run) = raw(&stub).await;
    let arguments = r#"{ "t" : "\u0061\/", "n":12345678901234567890.5000 }"#;
    let mut ask = echo(&run, arguments);
    let body = String::from_utf8(ask.body.clone()).unwrap();
    let body = body.replace(r#""name":"echo""#, "\"zz\" : {\"k\":[ 1e400 ]} ,\n\"name\":\"ech\\u006f\"");
    ask = ask.body(body.clone());
    let reply = run.send(ask).await;
    let text = reply.text().await;
    assert!(text.contains(RESULT), "{text}");
    let heard = stub.of("tools/call");
    assert_eq!(String::from_utf8(heard[0].body.to_vec()).unwrap(), body);
    // Nothing of the caller's credentials goes on.
    let headers = format!("{:?}", heard[0].headers).to_lowercase();
    assert!(
        !headers.contains("authorization") && !headers.contains("dpop") && !headers.contains(&run.token),
        "{headers}"
    );
    // The log holds the exact length of what was judged.
    assert_eq!(world.last(Kind::CallIntent).int("args_bytes"), i64::try_from(arguments.len()).unwrap());
}

/// Break: relay an answer that is none: of another request, of no JSON, encoded, redirecting, or too large.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_not_relayed() {
    let stub = Stub::start(TOOLS, |heard| async move {
        let (id, say) = (heard.id(), heard.json()["params"]["arguments"]["t"].as_str().unwrap().to_owned());
        let good = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        match say.as_str() {
            "other" => stub::json(r#"{"jsonrpc":"2.0","id":"other","result":{}}"#),
            "text" => stub::with(200, "text/plain", good),
            "no json" => stub::json("<html>"),
            "redirect" => stub::with(307, "", ""),
            "twice" => stub::json(format!(r#"{{"jsonrpc":"2.0","id":{id},"id":{id},"result":{{}}}}"#)),
            "empty" => stub::json(""),
            "accepted" => stub::with(202, "", ""),
            "two types" => {
                let mut response = stub::json(good);
                response.headers_mut().append("content-type", "text/event-stream".parse().unwrap());
                response
            }
            "206" | "304" | "600" | "999" => stub::with(say.parse().unwrap(), "application/json", good),
            "large" => stub::json(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"{}"}}"#, "x".repeat(9 << 20))),
            _ => stub::json(good),
        }
    })
    .await;
    let (world, run) = raw(&stub).await;
    for say in [
        "other",
        "text",
        "no json",
        "redirect",
        "twice",
        "empty",
        "accepted",
        "large",
        "two types",
        "206",
        "304",
        "600",
        "999",
    ] {
        let reply = run.send(echo(&run, &format!(r#"{{"t":"{say}"}}"#))).await;
        assert_eq!(reply.status, 502, "{say}");
        assert_eq!(code_of(&reply.json().await), "upstream_invalid", "{say}");
        assert_eq!(world.outcome(), "upstream_invalid", "{say}\n{}", world.story());
    }
    assert_eq!(code_of(&run.send(echo(&run, r#"{"t":"good"}"#)).await.json().await), "ok");
}

/// Break: pass on the upstream's own challenge as if it were the gateway's, or its error page.
#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_refusal_is_not_the_gateways() {
    let stub = Stub::start(TOOLS, |heard| async move {
        let t = heard.json()["params"]["arguments"]["t"].as_str().unwrap().to_owned();
        let mut response = match t.as_str() {
            "tool" => stub::json(format!(
                r#"{{"jsonrpc":"2.0","id":{},"result":{{"isError":true,"content":[]}}}}"#,
                heard.id()
            )),
            "rpc" => stub::with(
                400,
                "application/json",
                format!(r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32602,"message":"no"}}}}"#, heard.id()),
            ),
            other => stub::with(other.parse().unwrap(), "text/html", "<h1>canary-page</h1>"),
        };
        response.headers_mut().insert("www-authenticate", "Bearer realm=evil".parse().unwrap());
        response.headers_mut().insert("set-cookie", "a=b".parse().unwrap());
        response
    })
    .await;
    let (world, run) = raw(&stub).await;
    for (say, status, outcome) in [
        ("tool", 200, "tool_error"),
        ("rpc", 400, "rpc_error"),
        ("401", 502, "rpc_error"),
        ("403", 502, "rpc_error"),
        ("500", 500, "rpc_error"),
    ] {
        let reply = run.send(echo(&run, &format!(r#"{{"t":"{say}"}}"#))).await;
        assert_eq!(reply.status, status, "{say}");
        assert_eq!((reply.header("www-authenticate"), reply.header("set-cookie")), ("", ""), "{say}");
        assert!(!reply.text().await.contains("canary-page"));
        assert_eq!(world.outcome(), outcome, "{say}\n{}", world.story());
    }
}
