//! `--where`: a constraint of one argument as it is typed.

use remit_authority::grant::Where;
use remit_core::constraint::{Constraint, Scalar};

/// Reads `[SERVER/TOOL:]ARG=VALUE`, `ARG=A|B`, `ARG<=N`, `ARG>=N` or `ARG=*`.
pub(crate) fn constraint(text: &str) -> Result<Where, String> {
    let wrong = || format!("`{text}` is not ARG=VALUE, ARG=A|B, ARG<=N, ARG>=N or ARG=*");
    let operator = text.find(['=', '<', '>']).ok_or_else(wrong)?;
    let (name, rest) = text.split_at(operator);
    let (tool, argument) = match name.rsplit_once(':') {
        Some((tool, argument)) => (Some(tool.to_owned()), argument),
        None => (None, name),
    };
    if argument.is_empty() {
        return Err(wrong());
    }
    let number = |bound: &str| match scalar(bound) {
        Scalar::Text(text) if text.parse::<f64>().is_err() => Err(format!("`{bound}` is not a number")),
        number => Ok(Some(number)),
    };
    let range = |min, max| Constraint::Range { min, max, min_inclusive: true, max_inclusive: true };
    let constraint = if let Some(bound) = rest.strip_prefix("<=") {
        range(None, number(bound)?)
    } else if let Some(bound) = rest.strip_prefix(">=") {
        range(number(bound)?, None)
    } else {
        equal(rest.strip_prefix('=').ok_or_else(wrong)?)
    };
    Ok(Where { tool, argument: argument.to_owned(), constraint })
}

fn equal(value: &str) -> Constraint {
    let quoted = value.starts_with('"');
    match value {
        "*" => Constraint::Wildcard {},
        list if list.contains('|') && !quoted => Constraint::OneOf { values: list.split('|').map(scalar).collect() },
        one => Constraint::Exact { value: scalar(one) },
    }
}

/// A whole number, `true` or `false` are that; everything else, and what stands in quotes, is text.
fn scalar(text: &str) -> Scalar {
    if let Some(quoted) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Scalar::Text(quoted.to_owned());
    }
    match (text.parse::<i64>(), text.parse::<bool>()) {
        (Ok(number), _) if number.to_string() == text => Scalar::Int(number),
        (_, Ok(truth)) => Scalar::Bool(truth),
        _ => Scalar::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(text: &str, expected: serde_json::Value) {
        let read = constraint(text).map(|read| serde_json::to_value(read).unwrap());
        match expected {
            serde_json::Value::Null => assert!(read.is_err(), "{text}"),
            expected => assert_eq!(read, Ok(expected), "{text}"),
        }
    }

    #[test]
    fn constraints_are_read_as_they_are_typed() {
        let of =
            |argument: &str, constraint: serde_json::Value| json!({ "argument": argument, "constraint": constraint });
        check("id=41", of("id", json!({ "constraint_type": "exact", "value": 41 })));
        check("id=\"41\"", of("id", json!({ "constraint_type": "exact", "value": "41" })));
        check("to=a@b=c", of("to", json!({ "constraint_type": "exact", "value": "a@b=c" })));
        check("dry=true", of("dry", json!({ "constraint_type": "exact", "value": true })));
        check("to=a|b", of("to", json!({ "constraint_type": "one_of", "values": ["a", "b"] })));
        check("note=*", of("note", json!({ "constraint_type": "wildcard" })));
        let most = json!({ "constraint_type": "range", "max": 5000, "min_inclusive": true, "max_inclusive": true });
        check("amount<=5000", of("amount", most.clone()));
        let mut one = of("amount", most);
        one["tool"] = json!("t/pay");
        check("t/pay:amount<=5000", one);
        for wrong in ["", "id", "=1", "t/x:=1", "a<5", "a<=lots"] {
            check(wrong, serde_json::Value::Null);
        }
    }
}
