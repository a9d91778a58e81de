//! Ids and tokens on their way to a child and back: the child sees only numbers that the gateway gave out, so equal
//! ids of two callers never meet.

use serde_json::value::RawValue;

use super::UpstreamError;
use crate::mcp::envelope::{Envelope, Outcome, Request};
use crate::mcp::id::{Id, IdKey};
use crate::mcp::splice::{range_in, splice};

/// What a caller called its request, to be put back into all that answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Original {
    /// The id, as it was written.
    pub(super) id: String,
    /// The progress token, as it was written.
    pub(super) token: Option<String>,
}

impl Original {
    pub(super) fn of(request: &Request<'_>) -> Self {
        let token = request.params.meta.progress_token.as_ref().map(|token| token.raw().to_owned());
        Self { id: request.id.raw().to_owned(), token }
    }
}

/// The request with `number` as its id and progress token.
pub(super) fn outbound(text: &str, request: &Request<'_>, number: u64) -> Result<String, UpstreamError> {
    let number = number.to_string();
    let ids = [Some(&request.id), request.params.meta.progress_token.as_ref()];
    replace(text, ids.into_iter().flatten(), &number)
}

/// A notification with another id in the place of one of its own.
pub(super) fn renamed(text: &str, old: &Id<'_>, new: &str) -> Result<String, UpstreamError> {
    replace(text, [old].into_iter(), new)
}

/// The answer to `number` under its original id, also where a subscription's result repeats it.
pub(super) fn inbound(text: &str, number: u64, original: &Original) -> Result<String, UpstreamError> {
    let Ok(Envelope::Response(response)) = Envelope::parse_upstream(text.as_bytes()) else {
        return Err(LOST);
    };
    let subscription = match response.outcome {
        Outcome::Result(result) => subscription_of(result).filter(|id| id.key() == IdKey::number(number)),
        Outcome::Error(_) => None,
    };
    let ids = [response.id.as_ref(), subscription.as_ref()];
    replace(text, ids.into_iter().flatten(), &original.id)
}

const LOST: UpstreamError = UpstreamError::Malformed("an id cannot be found");

fn replace<'t, 'i: 't>(text: &str, ids: impl Iterator<Item = &'t Id<'i>>, new: &str) -> Result<String, UpstreamError> {
    let edits = ids.map(|id| Some((range_in(text, id.raw())?, new))).collect::<Option<Vec<_>>>();
    edits.and_then(|edits| splice(text, edits)).ok_or(LOST)
}

fn subscription_of(result: &RawValue) -> Option<Id<'_>> {
    let find = |raw, name: &str| {
        remit_core::json::members(raw).ok()?.into_iter().find(|(n, _)| n == name).map(|(_, value)| value)
    };
    Id::read(find(find(result, "_meta")?, "io.modelcontextprotocol/subscriptionId")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str, number: u64) -> (String, Original) {
        let Ok(Envelope::Request(request)) = Envelope::parse(text.as_bytes()) else { panic!("a request") };
        (outbound(text, &request, number).unwrap(), Original::of(&request))
    }

    #[test]
    fn only_ids_and_tokens_change() {
        let text = r#"{"params":{"name":"t","arguments":{"id":"a","n":1.50e400},"_meta":{"progressToken":"a"}},"id":"a","method":"tools/call","jsonrpc":"2.0"}"#;
        let (sent, original) = round(text, 9);
        assert_eq!(
            sent,
            text.replace(r#""progressToken":"a""#, r#""progressToken":9"#)
                .replace(r#"},"id":"a","method""#, r#"},"id":9,"method""#)
        );
        assert_eq!(original, Original { id: "\"a\"".into(), token: Some("\"a\"".into()) });
        let answer =
            r#"{"jsonrpc":"2.0","result":{"id":9,"_meta":{"io.modelcontextprotocol/subscriptionId":9}},"id":9}"#;
        let back =
            r#"{"jsonrpc":"2.0","result":{"id":9,"_meta":{"io.modelcontextprotocol/subscriptionId":"a"}},"id":"a"}"#;
        assert_eq!(inbound(answer, 9, &original).unwrap(), back);
        assert!(inbound(text, 9, &original).is_err());
    }
}
