//! The parameters of a request or notification, as far as somebody decides or routes by them.

use std::borrow::Cow;

use remit_core::json::{Members, Value, members};
use serde_json::value::RawValue;

use super::error::McpError;
use super::id::Id;

/// Longest name of a tool or prompt, and longest resource URI, in bytes.
pub const TARGET_BYTES_MAX: usize = 2048;
/// Longest text that is read from `_meta`, in bytes.
const META_TEXT_BYTES_MAX: usize = 512;
/// Longest state of a call, as a client keeps it, in bytes.
const STATE_BYTES_MAX: usize = 128 * 1024;

/// The parameters of a message.
#[derive(Debug, Clone, Default)]
pub struct Params<'a> {
    /// The whole, as it was written.
    pub raw: Option<&'a RawValue>,
    /// The tool or prompt of `tools/call` and `prompts/get`, the URI of `resources/read`.
    pub target: Option<Cow<'a, str>>,
    /// The arguments of a decided call.
    pub arguments: Option<Arguments<'a>>,
    /// `uri` of the subscription methods.
    pub uri: Option<Cow<'a, str>>,
    /// `taskId` of the task methods.
    pub task_id: Option<Cow<'a, str>>,
    /// Whether a call asks to run as a task (2025-11-25), so that its result comes by another request.
    pub as_task: bool,
    /// `inputResponses`: answers to questions that the upstream asked before (2026-07-28).
    pub input_responses: Option<&'a RawValue>,
    /// `requestState` of the call that was answered with questions.
    pub request_state: Option<Cow<'a, str>>,
    /// `requestId` of `notifications/cancelled`.
    pub request_id: Option<Id<'a>>,
    /// `progressToken` of `notifications/progress`.
    pub progress_token: Option<Id<'a>>,
    /// `protocolVersion` of `initialize`.
    pub protocol_version: Option<Cow<'a, str>>,
    /// `_meta`.
    pub meta: Meta<'a>,
}

/// The arguments of a call.
#[derive(Debug, Clone)]
pub struct Arguments<'a> {
    /// The exact bytes.
    pub raw: &'a RawValue,
    /// What they say.
    pub value: Value<'a>,
}

/// What `_meta` of a request says.
#[derive(Debug, Clone, Default)]
pub struct Meta<'a> {
    /// The whole, as it was written.
    pub raw: Option<&'a RawValue>,
    /// `io.modelcontextprotocol/protocolVersion`: the mark of the modern era.
    pub protocol_version: Option<Cow<'a, str>>,
    /// `io.modelcontextprotocol/clientCapabilities`, where it is an object.
    pub client_capabilities: Option<&'a RawValue>,
    /// The client's own name for itself: for logs, never for a decision.
    pub client_name: Option<Cow<'a, str>>,
    /// What progress notifications of this request will carry.
    pub progress_token: Option<Id<'a>>,
    /// `io.modelcontextprotocol/subscriptionId` of a notification.
    pub subscription_id: Option<Id<'a>>,
    /// W3C trace context.
    pub traceparent: Option<Cow<'a, str>>,
    /// The client runtime's own id of the tool use.
    pub tool_use_id: Option<Cow<'a, str>>,
}

const PARAMS: [&str; 10] = [
    "name",
    "uri",
    "arguments",
    "_meta",
    "taskId",
    "task",
    "inputResponses",
    "requestState",
    "requestId",
    "progressToken",
];
const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT: &str = "io.modelcontextprotocol/clientInfo";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const META: [&str; 7] =
    [VERSION, CAPABILITIES, CLIENT, SUBSCRIPTION, "progressToken", "traceparent", "claudecode/toolUseId"];

impl<'a> Params<'a> {
    /// Reads the parameters of `method`; `whole` also refuses duplicates at every level below.
    pub(super) fn read(method: &str, raw: Option<&'a RawValue>, whole: bool) -> Result<Self, McpError> {
        let mut params = Params { raw, ..Params::default() };
        for (name, raw) in raw.map(object).transpose()?.unwrap_or_default() {
            let decided = matches!(method, "tools/call" | "prompts/get");
            match &*name {
                "name" if decided => {
                    params.target = Some(text(raw, TARGET_BYTES_MAX, "`name` is not a short text")?);
                }
                "uri" => {
                    params.uri = Some(text(raw, TARGET_BYTES_MAX, "`uri` is not a short text")?);
                }
                "arguments" if decided => params.arguments = Some(Arguments::read(raw)?),
                "taskId" => {
                    params.task_id = Some(text(raw, TARGET_BYTES_MAX, "`taskId` is not a short text")?);
                }
                "task" => params.as_task = true,
                "inputResponses" => params.input_responses = Some(raw),
                "requestState" => {
                    params.request_state = Some(text(raw, STATE_BYTES_MAX, "`requestState` is not a text")?);
                }
                "requestId" => params.request_id = Some(id(raw, "`requestId` is not an id")?),
                "progressToken" => {
                    params.progress_token = Some(id(raw, "`progressToken` is not an id")?);
                }
                "protocolVersion" => {
                    params.protocol_version =
                        Some(text(raw, META_TEXT_BYTES_MAX, "`protocolVersion` is not a short text")?);
                }
                "_meta" => params.meta = Meta::read(raw)?,
                other => no_lookalike(other, &PARAMS)?,
            }
            if whole && params.arguments.as_ref().is_none_or(|arguments| !std::ptr::eq(arguments.raw, raw)) {
                Value::parse(raw.get())?;
            }
        }
        if method == "resources/read" {
            params.target = params.uri.clone();
        }
        if super::method::is_decided(method) && params.target.as_deref().is_none_or(str::is_empty) {
            return Err(McpError::Params("the call does not say what it calls"));
        }
        Ok(params)
    }
}

impl<'a> Arguments<'a> {
    fn read(raw: &'a RawValue) -> Result<Self, McpError> {
        match Value::parse(raw.get())? {
            value @ Value::Object(_) => Ok(Self { raw, value }),
            _ => Err(McpError::Params("`arguments` is not an object")),
        }
    }
}

impl<'a> Meta<'a> {
    fn read(raw: &'a RawValue) -> Result<Self, McpError> {
        let mut meta = Meta { raw: Some(raw), ..Meta::default() };
        for (name, raw) in object(raw)? {
            match &*name {
                VERSION => {
                    meta.protocol_version =
                        Some(text(raw, META_TEXT_BYTES_MAX, "the protocol version is not a short text")?);
                }
                CAPABILITIES if !raw.get().starts_with('{') => {
                    return Err(McpError::Params("the client's capabilities are not an object"));
                }
                CAPABILITIES => meta.client_capabilities = Some(raw),
                CLIENT => meta.client_name = client_name(raw),
                SUBSCRIPTION => {
                    meta.subscription_id = Some(id(raw, "the subscription id is not an id")?);
                }
                "progressToken" => {
                    meta.progress_token = Some(id(raw, "the progress token is not an id")?);
                }
                "traceparent" => meta.traceparent = text(raw, META_TEXT_BYTES_MAX, "").ok(),
                "claudecode/toolUseId" => {
                    meta.tool_use_id = text(raw, META_TEXT_BYTES_MAX, "").ok();
                }
                other => no_lookalike(other, &META)?,
            }
        }
        Ok(meta)
    }
}

/// Refuses a member that a reader without regard to case would take for a known one.
///
/// Go's `encoding/json` is such a reader, and also folds U+017F to `s` and U+212A to `k`.
pub(super) fn no_lookalike(name: &str, known: &[&str]) -> Result<(), McpError> {
    let folded: String = name
        .chars()
        .map(|c| match c {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            c => c.to_ascii_lowercase(),
        })
        .collect();
    if known.iter().any(|known| *known != name && known.eq_ignore_ascii_case(&folded)) {
        return Err(McpError::Shape("a member differs only in case from one that is known"));
    }
    Ok(())
}

fn object(raw: &RawValue) -> Result<Members<'_>, McpError> {
    if raw.get().starts_with('{') { Ok(members(raw)?) } else { Err(McpError::Params("an object was expected")) }
}

fn text<'a>(raw: &'a RawValue, max: usize, problem: &'static str) -> Result<Cow<'a, str>, McpError> {
    match Value::parse(raw.get())? {
        Value::String(text) if text.len() <= max => Ok(text),
        _ => Err(McpError::Params(problem)),
    }
}

fn id<'a>(raw: &'a RawValue, problem: &'static str) -> Result<Id<'a>, McpError> {
    Id::read(raw).ok_or(McpError::Params(problem))
}

fn client_name(raw: &RawValue) -> Option<Cow<'_, str>> {
    let (_, name) = members(raw).ok()?.into_iter().find(|(name, _)| name == "name")?;
    text(name, META_TEXT_BYTES_MAX, "").ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a text is that was read out of these parameters, which have it in the place of `TEXT`.
    fn read(
        params: &str,
        bytes: usize,
        find: fn(Params<'_>) -> Option<Cow<'_, str>>,
    ) -> Result<Option<usize>, McpError> {
        let params = params.replace("TEXT", &"x".repeat(bytes));
        let raw: &RawValue = serde_json::from_str(&params).unwrap();
        Ok(find(Params::read("initialize", Some(raw), true)?).map(|text| text.len()))
    }

    /// Break: keep a text of any length, which goes into the log and into memory, because nobody decides by it.
    #[test]
    fn texts_beside_the_call_are_short() {
        const VERSION: &str = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"TEXT"}}"#;
        const CLIENT: &str = r#"{"_meta":{"io.modelcontextprotocol/clientInfo":{"name":"TEXT"}}}"#;
        // By a version it is decided how the message is read, so it is not left away but refused.
        type Find = fn(Params<'_>) -> Option<Cow<'_, str>>;
        let refused: [(&str, Find); 2] =
            [(r#"{"protocolVersion":"TEXT"}"#, |p| p.protocol_version), (VERSION, |p| p.meta.protocol_version)];
        let left_away: [(&str, Find); 3] = [
            (CLIENT, |p| p.meta.client_name),
            (r#"{"_meta":{"traceparent":"TEXT"}}"#, |p| p.meta.traceparent),
            (r#"{"_meta":{"claudecode/toolUseId":"TEXT"}}"#, |p| p.meta.tool_use_id),
        ];
        for (params, find) in refused {
            assert_eq!(read(params, 512, find).unwrap(), Some(512), "{params}");
            assert!(matches!(read(params, 513, find), Err(McpError::Params(_))), "{params}");
        }
        for (params, find) in left_away {
            assert_eq!(read(params, 512, find).unwrap(), Some(512), "{params}");
            assert_eq!(read(params, 513, find).unwrap(), None, "{params}");
        }
    }
}
