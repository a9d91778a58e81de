//! Headers against body: what a router reads in the headers is what is decided by the body.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use remit_core::json::Value;
use remit_gateway::mcp::headers::{acceptable, agree, bodyless, checked, decoded, forwarded, returned};
use remit_gateway::mcp::mirror::{Mirror, check, mirrors};
use remit_gateway::mcp::{Envelope, Era, Revision};
use serde_json::value::RawValue;

use crate::parts::{parts, texts};

/// Lines of headers, then a body, then the schema of the tool that it calls.
pub fn headers(bytes: &[u8]) {
    let [lines, body, _schema] = parts(bytes);
    let headers = read(lines);
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let _any = acceptable(&method, &headers);
    }
    if let Ok(revision) = bodyless(&headers) {
        let said = one(&headers, "mcp-protocol-version");
        assert!(said.is_none_or(|said| said == revision.as_str()), "a revision that nobody named");
    }
    allow_lists(&headers);
    let Ok(message) = Envelope::parse(body) else { return };
    let Ok(revision) = agree(&headers, &message) else { return };
    repeats(&headers, &message, revision);
    if let (Some(params), Some([_, _, schema])) = (message.params(), texts::<3>(bytes)) {
        mirrored(&headers, params.arguments.as_ref().map(|arguments| &arguments.value), schema, revision.era());
    }
}

fn read(lines: &[u8]) -> HeaderMap {
    let line = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
        Some((HeaderName::from_bytes(name).ok()?, value))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.split(|byte| *byte == b'\n').filter_map(line) {
        headers.append(name, value);
    }
    headers
}

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// No credential of the caller goes on, and no header of an upstream's own making comes back.
fn allow_lists(headers: &HeaderMap) {
    for name in forwarded(headers).keys().chain(returned(headers).keys()).map(HeaderName::as_str) {
        let plain =
            ["accept", "content-type", "traceparent", "tracestate", "x-accel-buffering", "retry-after", "allow"];
        assert!(name.starts_with("mcp-") || plain.contains(&name), "{name} is let through");
    }
    for name in ["authorization", "dpop", "cookie", "set-cookie", "proxy-authorization", "forwarded", "host"] {
        assert!(!forwarded(headers).contains_key(name) && !returned(headers).contains_key(name), "{name}");
    }
}

/// Each header that stands there says what the body says, and stands there once.
fn repeats(headers: &HeaderMap, message: &Envelope<'_>, revision: Revision) {
    for name in headers.keys().filter(|name| name.as_str().starts_with("mcp-")) {
        assert_eq!(headers.get_all(name).iter().count(), 1, "{name} is repeated");
    }
    let (method, name) = (one(headers, "mcp-method"), one(headers, "mcp-name"));
    assert!(method.is_none_or(|method| Some(method) == message.method()), "another method");
    let params = message.params();
    let target = params.and_then(|params| params.target.as_deref().or(params.task_id.as_deref()));
    let name = name.map(|name| decoded("Mcp-Name", name));
    assert!(name.is_none_or(|name| name.ok().as_deref() == target), "another target");
    if revision.era() == Era::Modern && matches!(message, Envelope::Request(_)) {
        assert_eq!(one(headers, "mcp-protocol-version"), Some(revision.as_str()));
        assert_eq!(params.and_then(|params| params.meta.protocol_version.as_deref()), Some(revision.as_str()));
        assert_eq!(one(headers, "mcp-method"), message.method());
    }
}

/// An argument and the header that repeats it are both there and say the same, or neither is there.
fn mirrored(headers: &HeaderMap, arguments: Option<&Value<'_>>, schema: &str, era: Era) {
    let Ok(schema) = serde_json::from_str::<&RawValue>(schema) else { return };
    let Ok(mirrors) = mirrors(schema) else { return };
    let kept = checked(headers, &mirrors);
    let known = |name: &str| mirrors.iter().any(|mirror| mirror.header == name);
    assert!(kept.keys().all(|name| !name.as_str().starts_with("mcp-param-") || known(name.as_str())), "unchecked");
    if check(headers, arguments, &mirrors, era).is_err() {
        return;
    }
    for Mirror { header, path } in &mirrors {
        let value = path.iter().try_fold(arguments, |value, name| Some(value?.get(name))).flatten();
        let value = value.filter(|value| **value != Value::Null);
        match (one(headers, header), value) {
            (Some(said), Some(Value::String(text))) => {
                assert_eq!(decoded("Mcp-Param-*", said).ok().as_deref(), Some(&**text));
            }
            (Some(_), Some(_)) | (None, None) => {}
            (None, Some(_)) => assert_eq!(era, Era::Legacy, "{header} is missing"),
            (Some(_), None) => assert!(headers.get(header).is_none(), "{header} repeats what is absent"),
        }
    }
}
