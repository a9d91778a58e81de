//! Schemas of tools: a pin covers the meaning of every byte, and no schema that can be registered breaks a bundle.

use remit_authority::learn::learn;
use remit_core::arguments::{Declared, Type, Typed};
use remit_core::json::Value;
use remit_core::number::Exact;
use remit_core::pin::pin;
use remit_core::plan::Outcome;
use remit_gateway::mcp::mirror::mirrors;
use serde_json::Value as Json;
use serde_json::value::RawValue;

use crate::fixed::{SUPPORT, asked, bundle, compiled};
use crate::list::turned;
use crate::parts::{choice, texts};

/// The first byte says whether a bundle is compiled, which takes long; then a tool's `inputSchema`, and arguments for it.
pub fn schema(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let Some([schema, arguments]) = texts(rest) else { return };
    let Ok(raw) = serde_json::from_str::<&RawValue>(schema) else { return };
    let _lawful = mirrors(raw);
    pinned(schema);
    let definition = format!(r#"[{{"name":"odd","inputSchema":{schema}}}]"#);
    let Ok(tools) = learn(&definition) else { return };
    let input = tools.into_iter().next().map_or(Json::Null, |tool| tool.input);
    let declared = Declared::read(&input);
    let arguments_read = Value::parse(arguments);
    let typed = arguments_read.as_ref().ok().map(|value| (value, declared.typed(value)));
    if let Some((value, Ok((typed, inexact)))) = &typed {
        as_declared(&declared, value, typed, inexact);
    }
    if first % 2 == 0 {
        return;
    }
    let bundle = compiled(bundle("permit(principal, action, resource);", "", &input));
    let bundle = match bundle {
        Ok(bundle) => bundle,
        Err(error) => {
            let error = error.to_string();
            assert!(error.is_empty(), "a tool that can be registered breaks the bundle: {error}");
            return;
        }
    };
    if let Some(outcome) = asked(&bundle, SUPPORT, "odd", arguments) {
        let fits = matches!(typed, Some((_, Ok(_))));
        assert!(fits || matches!(outcome, Outcome::Forbid(_)), "permitted with other arguments than declared");
    }
}

/// Blanks and the order of members change no pin; what a reader could see does.
fn pinned(schema: &str) {
    let tool = |schema: &str, more: &str| format!(r#"{{"name":"odd","inputSchema":{schema}{more}}}"#);
    let of = |text: &str| serde_json::from_str::<&RawValue>(text).ok().and_then(|raw| pin(raw).ok());
    let Some(base) = of(&tool(schema, "")) else { return };
    if let Ok(value) = Value::parse(&tool(schema, "")) {
        assert_eq!(of(&turned(&value)).as_ref(), Some(&base), "the same definition with another pin");
    }
    assert_eq!(of(&tool(schema, r#","icons":[1],"_meta":{}"#)).as_ref(), Some(&base));
    assert_ne!(of(&tool(schema, r#","description":"""#)).as_ref(), Some(&base));
    assert_ne!(of(&tool(&format!("[{schema}]"), "")).as_ref(), Some(&base));
}

type Read = std::collections::BTreeMap<String, Typed>;

/// What policy reads is declared, of its type, and exactly what was written.
fn as_declared(declared: &Declared, arguments: &Value<'_>, typed: &Read, inexact: &[String]) {
    for (name, value) in typed {
        let (kind, written) = (declared.types.get(name), arguments.get(name));
        assert!(kind.zip(written).is_some_and(|(kind, written)| says(kind, value, written)), "{name}: {value:?}");
    }
    assert!(declared.required.iter().all(|name| typed.contains_key(name)), "a required argument is missing");
    let Value::Object(members) = arguments else { return };
    for (name, value) in members {
        let kind = declared.types.get(&**name);
        assert!(kind.is_some() || declared.open, "{name} is not declared");
        let left_out = *value == Value::Null
            || matches!(kind, None | Some(Type::Opaque))
            || inexact.iter().any(|one| *one == **name);
        assert!(left_out || typed.contains_key(&**name), "{name} is not judged");
    }
}

fn says(kind: &Type, read: &Typed, written: &Value<'_>) -> bool {
    match (kind, read, written) {
        (Type::Text, Typed::Text(read), Value::String(written)) => read == written,
        (Type::Boolean, Typed::Boolean(read), Value::Bool(written)) => read == written,
        (Type::Integer, Typed::Integer(read), Value::Number(written)) => {
            Exact::parse(&read.to_string()) == Exact::parse(written)
        }
        (Type::Number, Typed::Number(read), Value::Number(written)) => Exact::parse(read) == Exact::parse(written),
        (Type::Set(of), Typed::Set(read), Value::Array(written)) => {
            read.len() == written.len() && read.iter().zip(written).all(|(read, written)| says(of, read, written))
        }
        _ => false,
    }
}
