//! What goes on of answers that must bring no words.

use super::*;

fn signs(method: &str) -> Signs {
    Signs {
        method: method.into(),
        server: ServerName::new("tickets").unwrap(),
        root: RunId::new("r1").unwrap(),
        list: ListKind::of(method),
        id: Some((IdKey::number(7), "7".into())),
    }
}

#[track_caller]
fn check(method: &str, result: &str, expected: &str) {
    let text = format!(r#"{{"jsonrpc":"2.0","words":"w","id" : 7,"result":{result}}}"#);
    let expected = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{expected}}}"#);
    assert_eq!(signs(method).message(&text).unwrap(), expected, "{method}");
}

/// Break: keep any member whose text an upstream chooses.
#[test]
fn a_result_keeps_its_signs() {
    check("ping", r#"{"x":"words","_meta":{"y":"words"}}"#, "{}");
    check("logging/setLevel", r#"{"resultType":"words words"}"#, "{}");
    check(
        "initialize",
        r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true,"x":"w"},"experimental":{"w":{}},"tasks":{}},"serverInfo":{"name":"words","version":"1.2.3","title":"w"},"instructions":"words"}"#,
        r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"tickets","version":"1.2.3"}}"#,
    );
    check(
        "server/discover",
        r#"{"supportedVersions":["2026-07-28","words"],"resultType":"complete","ttlMs":5,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"w","version":"words"},"w":1},"instructions":"w"}"#,
        r#"{"supportedVersions":["2026-07-28"],"resultType":"complete","ttlMs":5,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"tickets","version":"0"}}}"#,
    );
    check(
        "tools/list",
        r#"{"tools":[{"name":"a", "description":"pinned"},{"name":"b","_meta":{"w":1},"n":1e400,"icons":[]}],"nextCursor":"q","instructions":"w","_meta":{}}"#,
        r#"{"tools":[{"name":"a", "description":"pinned"},{"name":"b","n":1e400}],"nextCursor":"q"}"#,
    );
    check("prompts/list", r#"{"prompts":[{"name":"a"}],"nextCursor":"two words"}"#, r#"{"prompts":[{"name":"a"}]}"#);
}

/// Break: pass on the message of an error.
#[test]
fn an_error_keeps_its_code() {
    let error = |error: &str| signs("ping").message(&format!(r#"{{"jsonrpc":"2.0","id":7,"error":{error}}}"#));
    let said = r#""message":"the server answered with an error""#;
    assert_eq!(
        error(r#"{"code":-32601,"message":"words","data":{"x":"words"}}"#).unwrap(),
        format!(r#"{{"jsonrpc":"2.0","id":7,"error":{{"code":-32601,{said}}}}}"#)
    );
    let versions =
        r#"{"code":-32022,"message":"w","data":{"supported":["2025-11-25","words"],"requested":"2026-07-28"}}"#;
    let kept: Value = serde_json::from_str(&error(versions).unwrap()).unwrap();
    assert_eq!(kept["error"]["data"], json!({"supported": ["2025-11-25"], "requested": "2026-07-28"}));
    for none in [r#""words""#, r#"{"message":"w"}"#] {
        assert_eq!(error(none), None);
    }
    assert_eq!(signs("ping").message("words"), None);
}

/// Break: let a notification with words pass on a stream that is open from the start.
#[test]
fn a_notification_tells_that_something_happened() {
    let tell = |method: &str, name: &str, params: &str| {
        signs(method).notification(name, &format!(r#"{{"method":"{name}","params":{params}}}"#))
    };
    let changed = "notifications/tools/list_changed";
    let plain = tell("GET", changed, r#"{"w":"words"}"#).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&plain).unwrap()["params"], json!({}));
    let subscribed = tell("subscriptions/listen", changed, r#"{"_meta":{"w":"words"}}"#).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&subscribed).unwrap()["params"], json!({"_meta": {SUBSCRIPTION: 7}}));
    let agreed = r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["words"],"w":"words"}}"#;
    let agreed = tell("subscriptions/listen", "notifications/subscriptions/acknowledged", agreed).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&agreed).unwrap()["params"],
        json!({"_meta": {SUBSCRIPTION: 7}, "notifications": {"toolsListChanged": true}})
    );
    for words in ["notifications/message", "notifications/progress", "notifications/resources/updated", "x/y"] {
        assert_eq!(tell("GET", words, "{}"), None, "{words}");
    }
}
