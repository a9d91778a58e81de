//! A tool call with its arguments, as a type: what does not parse here is never executed.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The longest time that `watch_ticket` holds its stream open, in seconds.
pub(crate) const WATCH_SECONDS_MAX: u64 = 30;
/// How long `watch_ticket` holds its stream open when it is not told, in seconds.
pub(crate) const WATCH_SECONDS_DEFAULT: u64 = 10;

/// One variant per tool; the variant's name in snake case is the tool's name.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "tool", content = "arguments", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Call {
    ListTickets { status: Option<Status> },
    ReadTicket { id: i64 },
    ReplyToCustomer { id: i64, text: String },
    IssueRefund { id: i64, amount_cents: i64, iban: String },
    DeleteTicket { id: i64 },
    ExportCustomers { to: String },
    WatchTicket { id: i64, seconds: Option<u64> },
}

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Open,
    Answered,
    Closed,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Closed => "closed",
        }
    }
}

impl Call {
    /// Checks the arguments against the tool's schema; the error is meant for the model to read.
    pub(crate) fn parse(tool: &str, arguments: &Map<String, Value>) -> Result<Self, String> {
        let call: Self = serde_json::from_value(json!({ "tool": tool, "arguments": arguments }))
            .map_err(|error| error.to_string())?;
        match call.fault() {
            Some(fault) => Err(fault.to_owned()),
            None => Ok(call),
        }
    }

    /// What the types above cannot say.
    fn fault(&self) -> Option<&'static str> {
        match self {
            Self::IssueRefund { amount_cents, .. } if *amount_cents < 1 => Some("amount_cents must be at least 1"),
            Self::IssueRefund { iban, .. } if !is_iban(iban) => Some("iban is not an IBAN"),
            Self::ExportCustomers { to } if !is_http_url(to) => Some("to must be an http or https URL"),
            Self::WatchTicket { seconds: Some(seconds), .. } if !(1..=WATCH_SECONDS_MAX).contains(seconds) => {
                Some("seconds must be between 1 and 30")
            }
            _ => None,
        }
    }
}

/// The form of ISO 13616 only; the check digits are the bank's business.
fn is_iban(text: &str) -> bool {
    (15..=34).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        && text.bytes().take(2).all(|byte| byte.is_ascii_uppercase())
}

fn is_http_url(text: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| text.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(tool: &str, arguments: Value) -> Result<Call, String> {
        let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
        Call::parse(tool, &arguments)
    }

    #[test]
    fn well_formed_arguments_parse() {
        assert_eq!(parse("read_ticket", json!({"id": 41})), Ok(Call::ReadTicket { id: 41 }));
        assert_eq!(parse("list_tickets", json!({})), Ok(Call::ListTickets { status: None }));
        assert_eq!(
            parse("list_tickets", json!({"status": "open"})),
            Ok(Call::ListTickets { status: Some(Status::Open) })
        );
        assert!(parse("watch_ticket", json!({"id": 41, "seconds": 30})).is_ok());
    }

    #[test]
    fn ill_formed_arguments_are_refused() {
        let refused = [
            ("read_ticket", json!({})),
            ("read_ticket", json!({"id": "41"})),
            ("read_ticket", json!({"id": 41.5})),
            ("read_ticket", json!({"id": 1e30})),
            ("read_ticket", json!({"id": 41, "also": true})),
            ("list_tickets", json!({"status": "lost"})),
            ("issue_refund", json!({"id": 41, "amount_cents": 0, "iban": "GB82WEST12345698765432"})),
            ("issue_refund", json!({"id": 41, "amount_cents": 1, "iban": "mine"})),
            ("export_customers", json!({"to": "file:///etc/passwd"})),
            ("export_customers", json!({"to": "https://"})),
            ("watch_ticket", json!({"id": 41, "seconds": 31})),
            ("watch_ticket", json!({"id": 41, "seconds": 0})),
            ("no_such_tool", json!({})),
        ];
        for (tool, arguments) in refused {
            assert!(parse(tool, arguments.clone()).is_err(), "{tool} took {arguments}");
        }
    }
}
