//! Headers must say what the body says.

use http::{HeaderValue, Method};

use super::*;

fn map(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","arguments":{},
  "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
const HEADERS: [(&str, &str); 3] =
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "read")];

fn judged(headers: &[(&str, &str)], body: &str) -> Result<Revision, (u16, i32)> {
    let envelope = Envelope::parse(body.as_bytes()).unwrap();
    agree(&map(headers), &envelope).map_err(|error| (error.status().as_u16(), error.code()))
}

fn with(name: &str, value: Option<&str>) -> Result<Revision, (u16, i32)> {
    let mut headers: Vec<(&str, &str)> = HEADERS.into_iter().filter(|(n, _)| *n != name).collect();
    headers.extend(value.map(|value| (name, value)));
    judged(&headers, BODY)
}

#[test]
fn modern_headers_repeat_the_body() {
    assert_eq!(judged(&HEADERS, BODY), Ok(Revision::V2026_07_28));
    assert_eq!(with("mcp-name", Some("=?base64?cmVhZA==?=")), Ok(Revision::V2026_07_28));
    for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
        assert_eq!(with(name, None), Err((400, -32020)), "{name} missing");
        assert_eq!(with(name, Some("delete")), Err((400, -32020)), "{name} differs");
        assert_eq!(with(name, Some("r\u{e9}ad")), Err((400, -32020)), "{name} not ASCII");
        let mut twice = HEADERS.to_vec();
        twice.extend(HEADERS.into_iter().filter(|(n, _)| *n == name));
        assert_eq!(judged(&twice, BODY), Err((400, -32020)), "{name} twice");
    }
    for value in ["Read", "=?base64?ZGVsZXRl?=", "=?base64?cmVhZA?=", "=?BASE64?cmVhZA==?=", "=?base64?/w==?="] {
        assert_eq!(with("mcp-name", Some(value)), Err((400, -32020)), "{value}");
    }
    let other = [HEADERS.as_slice(), &[("mcp-param-unknown", "x")]].concat();
    assert_eq!(judged(&other, BODY), Ok(Revision::V2026_07_28));
    let invalid = [HEADERS.as_slice(), &[("mcp-param-unknown", "\u{e9}")]].concat();
    assert_eq!(judged(&invalid, BODY), Err((400, -32020)));
}

#[test]
fn modern_meta_is_complete() {
    let old = BODY.replace("2026-07-28", "2099-01-01");
    let headers = [("mcp-protocol-version", "2099-01-01"), HEADERS[1], HEADERS[2]];
    assert_eq!(judged(&headers, &old), Err((400, -32022)));
    let legacy = BODY.replace("2026-07-28", "2025-11-25");
    let headers = [("mcp-protocol-version", "2025-11-25"), HEADERS[1], HEADERS[2]];
    assert_eq!(judged(&headers, &legacy), Err((400, -32022)));
    assert_eq!(judged(&HEADERS, &BODY.replace("clientCapabilities", "other")), Err((400, -32602)));
    assert_eq!(judged(&HEADERS, &BODY.replace("protocolVersion", "other")), Err((400, -32602)));
}

#[test]
fn an_unsupported_version_names_the_supported_ones() {
    let error = McpError::Version { requested: "1900-01-01\"".into() };
    let reply = String::from_utf8(error.reply(None)).unwrap();
    assert!(reply.contains(r#""supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"]"#), "{reply}");
    assert!(reply.contains(r#""requested":"1900-01-01\"""#), "{reply}");
}

#[test]
fn legacy_versions() {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(judged(&[], body), Ok(Revision::V2025_03_26));
    assert_eq!(judged(&[("mcp-protocol-version", "2025-06-18")], body), Ok(Revision::V2025_06_18));
    assert_eq!(judged(&[("mcp-protocol-version", "2024-11-05")], body), Err((400, -32022)));
    assert_eq!(judged(&[("mcp-protocol-version", "2026-07-28")], body), Err((400, -32602)));
    assert_eq!(judged(&[("mcp-method", "tools/call")], body), Err((400, -32020)));
    let init = |version: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"{version}"}}}}"#)
    };
    assert_eq!(judged(&[], &init("2025-06-18")), Ok(Revision::V2025_06_18));
    assert_eq!(judged(&[], &init("2031-01-01")), Ok(Revision::LEGACY_LATEST));
    assert_eq!(judged(&[("mcp-protocol-version", "2026-07-28")], &init("2026-07-28")), Ok(Revision::LEGACY_LATEST));
    assert_eq!(bodyless(&map(&[])), Ok(Revision::V2025_03_26));
}

#[test]
fn media_types() {
    let both = ("accept", "application/json, text/event-stream");
    let json = ("content-type", "application/json");
    let post = |headers: &[(&str, &str)]| acceptable(&Method::POST, &map(headers)).map_err(|e| e.status().as_u16());
    assert_eq!(post(&[both, json]), Ok(()));
    assert_eq!(post(&[("accept", "application/json"), ("accept", "text/event-stream;q=0.5"), json]), Ok(()));
    assert_eq!(post(&[("accept", "*/*"), ("content-type", "application/json; charset=UTF-8")]), Ok(()));
    assert_eq!(post(&[("accept", "application/json"), json]), Err(406));
    assert_eq!(post(&[("accept", "application/json, text/event-stream;q=0"), json]), Err(406));
    assert_eq!(post(&[json]), Err(406));
    for kind in ["text/plain", "application/json; charset=utf-16", "application/jsonx", ""] {
        assert_eq!(post(&[both, ("content-type", kind)]), Err(415), "{kind}");
    }
    assert_eq!(post(&[both, json, json]), Err(415));
    assert_eq!(post(&[both, json, ("content-encoding", "gzip")]), Err(415));
    assert_eq!(post(&[both, json, ("content-encoding", "identity")]), Ok(()));
    assert_eq!(acceptable(&Method::GET, &map(&[("accept", "text/event-stream")])), Ok(()));
}

#[test]
fn no_credential_and_no_route_goes_upstream() {
    let headers = map(&[
        ("authorization", "DPoP x"),
        ("dpop", "x"),
        ("cookie", "x"),
        ("forwarded", "for=x"),
        ("x-forwarded-for", "x"),
        ("host", "x"),
        ("x-api-key", "x"),
        ("accept-encoding", "gzip"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
        ("mcp-method", "tools/list"),
        ("mcp-param-new", "x"),
        ("traceparent", "00-x"),
        ("tracestate", "y"),
    ]);
    let mut names: Vec<String> = forwarded(&headers).keys().map(ToString::to_string).collect();
    names.sort();
    assert_eq!(names, ["accept", "content-type", "mcp-method", "mcp-param-new", "traceparent", "tracestate"]);
    let back =
        returned(&map(&[("set-cookie", "x"), ("content-type", "a/b"), ("www-authenticate", "x"), ("location", "x")]));
    assert_eq!(back.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["content-type"]);
}
