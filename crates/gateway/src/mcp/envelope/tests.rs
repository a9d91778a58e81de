//! The envelope, with what real and hostile clients send.

use proptest::prelude::*;
use remit_core::json::JsonError;

use super::*;

#[track_caller]
fn refused(text: &str) -> McpError {
    Envelope::parse(text.as_bytes()).map(|_| text).expect_err("it must be refused")
}

#[test]
fn a_call_is_seen_as_it_was_written() {
    let text = r#" {"jsonrpc":"2.0","method":"tools/call","id":"a\u0031","x-new":1,"params":{"name":"r\u0065ad",
      "arguments": { "n" : 1.50e400, "s":"\u00e9" } ,"x":[1],
      "_meta":{"progressToken":7,"traceparent":"00-aa","claudecode/toolUseId":"toolu_1","io.modelcontextprotocol/protocolVersion":"2026-07-28",
      "io.modelcontextprotocol/clientCapabilities":{"roots":{}},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}}} "#;
    let Ok(Envelope::Request(request)) = Envelope::parse(text.as_bytes()) else { panic!("a request") };
    let params = &request.params;
    assert_eq!(request.id.raw(), r#""a\u0031""#);
    assert_eq!(params.target.as_deref(), Some("read"));
    assert_eq!(params.arguments.as_ref().unwrap().raw.get(), r#"{ "n" : 1.50e400, "s":"\u00e9" }"#);
    assert_eq!(params.arguments.as_ref().unwrap().value.get("n"), Some(&Value::Number("1.50e400")));
    assert_eq!(params.meta.protocol_version.as_deref(), Some("2026-07-28"));
    assert_eq!(params.meta.client_capabilities.unwrap().get(), r#"{"roots":{}}"#);
    assert_eq!(params.meta.client_name.as_deref(), Some("c"));
    assert_eq!(params.meta.progress_token.as_ref().unwrap().raw(), "7");
    assert_eq!(params.meta.traceparent.as_deref(), Some("00-aa"));
    assert_eq!(params.meta.tool_use_id.as_deref(), Some("toolu_1"));
}

#[test]
fn targets_of_the_decided_methods() {
    let target = |method: &str, params: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        Envelope::parse(text.as_bytes()).map(|e| e.params().unwrap().target.as_deref().map(str::to_owned))
    };
    assert_eq!(target("prompts/get", r#"{"name":"p"}"#), Ok(Some("p".into())));
    assert_eq!(target("resources/read", r#"{"uri":"file:///x","name":"y"}"#), Ok(Some("file:///x".into())));
    assert_eq!(target("tools/list", r#"{"name":"y","arguments":3}"#), Ok(None));
    for (method, params) in [
        ("tools/call", "{}"),
        ("tools/call", r#"{"name":""}"#),
        ("tools/call", r#"{"name":1}"#),
        ("tools/call", r#"{"uri":"x"}"#),
        ("tools/call", r#"{"name":"a","arguments":null}"#),
        ("tools/call", r#"{"name":"a","arguments":[]}"#),
        ("tools/call", "[]"),
        ("resources/read", r#"{"name":"x"}"#),
    ] {
        assert!(matches!(target(method, params), Err(McpError::Params(_))), "{method} {params}");
    }
}

#[test]
fn two_readings_of_the_same_bytes_are_refused() {
    let duplicate = |name: &str| McpError::Json(JsonError::Duplicate(name.into()));
    let call = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
    assert_eq!(refused(&call(r#"{"name":"a","name":"b"}"#)), duplicate("name"));
    assert_eq!(refused(&call(r#"{"name":"a","n\u0061me":"b"}"#)), duplicate("name"));
    assert_eq!(refused(&call(r#"{"name":"a","arguments":{"x":[{"y":1,"y":2}]}}"#)), duplicate("y"));
    assert_eq!(refused(&call(r#"{"name":"a","_meta":{"z":{"y":1,"y":2}}}"#)), duplicate("y"));
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#), duplicate("method"));
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"result":{"a":{"y":1,"y":2}}}"#), duplicate("y"));
    for params in [
        r#"{"name":"a","Name":"b"}"#,
        r#"{"name":"a","ARGUMENTS":{}}"#,
        "{\"name\":\"a\",\"argument\u{17f}\":{}}",
        "{\"name\":\"a\",\"ta\u{17f}\u{212a}\":{}}",
        r#"{"name":"a","_meta":{"ProgressToken":1}}"#,
    ] {
        assert!(matches!(refused(&call(params)), McpError::Shape(_)), "{params}");
    }
    assert!(matches!(refused(r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#), McpError::Shape(_)));
}

#[test]
fn not_one_message() {
    assert_eq!(refused("[]"), McpError::Batch);
    assert_eq!(refused(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#), McpError::Batch);
    assert_eq!(refused("{"), McpError::Json(JsonError::Syntax));
    assert_eq!(refused("\u{feff}{}"), McpError::Json(JsonError::Syntax));
    assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#), McpError::Json(JsonError::Syntax));
    assert_eq!(Envelope::parse(b"{\"a\":\"\xff\"}").unwrap_err(), McpError::NotUtf8);
    let long = vec![b' '; MESSAGE_BYTES_MAX + 1];
    assert_eq!(Envelope::parse(&long).unwrap_err(), McpError::TooLarge { max: MESSAGE_BYTES_MAX });
    for text in [
        "1",
        "{}",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":3}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":""}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"a b"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"params":{},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{},"result":{}}"#,
        r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}"#,
    ] {
        assert!(matches!(refused(text), McpError::Shape(_)), "{text}");
    }
}

#[test]
fn an_upstream_may_answer_wide_but_not_twice() {
    let wide: Vec<String> = (0..2000).map(|n| format!(r#""k{n}":{n}"#)).collect();
    let text = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{{}}}}}"#, wide.join(","));
    assert!(Envelope::parse_upstream(text.as_bytes()).is_ok());
    assert!(Envelope::parse(text.as_bytes()).is_err());
    assert!(Envelope::parse_upstream(br#"{"jsonrpc":"2.0","id":1,"id":2,"result":{}}"#).is_err());
}

#[test]
fn the_id_of_a_refused_request_is_found() {
    assert_eq!(id_of(br#"{"jsonrpc":"1.0","id":"x"}"#).unwrap().raw(), "\"x\"");
    assert!(id_of(br#"{"id":1,"id":2}"#).is_none());
    assert!(id_of(b"[]").is_none());
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        prop_assert!(Envelope::parse(&bytes).is_err());
    }

    /// Whatever single byte changes, the message is refused or what is judged is what the bytes say.
    #[test]
    fn a_changed_byte_changes_the_view(at in 0usize..95, byte in any::<u8>()) {
        let text = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{"a":[1,2]}}}"#;
        let mut bytes = text.to_vec();
        bytes[at] = byte;
        if let Ok(Envelope::Request(request)) = Envelope::parse(&bytes) {
            let naive: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(naive["method"].as_str(), Some(&*request.method));
            prop_assert_eq!(naive["params"]["name"].as_str().filter(|_| is_decided(&request.method)), request.params.target.as_deref());
            if let Some(arguments) = request.params.arguments {
                let again: serde_json::Value = serde_json::from_str(arguments.raw.get()).unwrap();
                prop_assert_eq!(&naive["params"]["arguments"], &again);
            }
        }
    }
}
