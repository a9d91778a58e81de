//! The first step of a call's life: bounded bytes become a call. What is judged is what is sent.

use std::collections::BTreeSet;

use axum::http::request::Parts;
use bytes::Bytes;
use http::{HeaderMap, Method};
use remit_core::call::{ARGS_BYTES_MAX, Action, Call, CallTooLarge, URI_BYTES_MAX};
use remit_core::feature::Feature;
use remit_core::id::{ServerName, ToolName};
use remit_core::input::Presented;
use remit_core::json::Value;
use remit_core::policy::Compiled;
use remit_core::registry::{Server, Upstream};

use crate::answers::{self, Answering};
use crate::mcp::envelope::{Envelope, id_of};
use crate::mcp::id::{Id, IdKey};
use crate::mcp::list::ListKind;
use crate::mcp::method::{self, Class, Kind, METHODS, Side};
use crate::mcp::mirror::{self, Mirror};
use crate::mcp::revision::{Era, Revision};
use crate::mcp::{McpError, headers, tasks};
use crate::places::Place;
use crate::turns::Turn;
use crate::upstream::UpstreamError;
use crate::upstream::stdio::one_line;

/// What the gateway knows of a request beside the call.
pub struct Asked {
    /// The HTTP method.
    pub method: Method,
    /// The headers as they came, but for those that repeat arguments and that nobody could check.
    pub headers: HeaderMap,
    /// The revision that the client speaks.
    pub revision: Revision,
    /// The request's id as it was written, where it asks for an answer.
    pub id: Option<(IdKey, String)>,
    /// What is listed, where the method lists.
    pub list: Option<ListKind>,
    /// `_meta` of the request, as it was written.
    pub meta: Option<String>,
    /// Whether the answer is a stream without an end of its own.
    pub standing: bool,
    /// The request of the same run that this message takes back.
    pub cancels: Option<IdKey>,
    /// What was presented, once it is known.
    pub presented: Option<Presented>,
    /// Why this must not be sent, whatever is decided: said only to those to whom it was permitted.
    pub barred: Option<UpstreamError>,
    /// Its place among the calls in flight, held until the answer has ended.
    pub place: Option<Place>,
    /// Its turn at the processors, held until it is recorded.
    pub turn: Option<Turn>,
}

/// A message that is refused before anybody is asked whether it is allowed.
pub struct Unacceptable {
    /// Why.
    pub error: McpError,
    /// The id as it was written, where it could be read.
    pub id: Option<String>,
}

impl From<McpError> for Unacceptable {
    fn from(error: McpError) -> Self {
        Self { error, id: None }
    }
}

/// Reads a request of a client of `server`, whose headers are acceptable; the body is empty but for POST.
pub fn accept(
    parts: &Parts,
    body: Bytes,
    server: &ServerName,
    bundle: &Compiled,
    answering: &Answering<'_>,
) -> Result<(Call, Asked), Unacceptable> {
    if parts.method == Method::POST {
        let stdio = bundle.server(server).is_some_and(is_stdio);
        let body = if stdio { one_line(body) } else { body };
        return message(parts, &body, server, bundle, answering)
            .map_err(|error| Unacceptable { id: id_of(&body).map(|id| id.raw().to_owned()), error });
    }
    let revision = headers::bodyless(&parts.headers)?;
    if revision.era() == Era::Modern || !(parts.method == Method::GET || parts.method == Method::DELETE) {
        return Err(McpError::Method.into());
    }
    let action = Action::Method(parts.method.as_str().to_owned());
    let mut call = Call::new(server.clone(), action, Vec::new(), 0..0).map_err(|_| McpError::Method)?;
    revision.as_str().clone_into(&mut call.revision);
    Ok((call, bare(parts, revision)))
}

/// What a stranger asks for, as far as his headers say it: for the log, and never to be sent.
pub fn announced(parts: &Parts, server: &ServerName) -> Option<(Call, Asked)> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let method = header("mcp-method").filter(|name| METHODS.iter().any(|method| method.name == *name));
    let tool = || header("mcp-name").and_then(|name| ToolName::new(name).ok());
    let action = match method {
        Some("tools/call") => tool().map(Action::CallTool),
        Some(other) => Some(Action::Method(other.to_owned())),
        None => None,
    };
    let action = action.unwrap_or_else(|| Action::Method(parts.method.as_str().to_owned()));
    let mut call = Call::new(server.clone(), action, Vec::new(), 0..0).ok()?;
    let revision = headers::bodyless(&parts.headers).unwrap_or(Revision::LEGACY_LATEST);
    revision.as_str().clone_into(&mut call.revision);
    let barred = Some(UpstreamError::Barred("the message was not read"));
    Some((call, Asked { barred, ..bare(parts, revision) }))
}

fn bare(parts: &Parts, revision: Revision) -> Asked {
    Asked {
        method: parts.method.clone(),
        headers: headers::checked(&parts.headers, &[]),
        revision,
        id: None,
        list: None,
        meta: None,
        standing: parts.method == Method::GET,
        cancels: None,
        presented: None,
        barred: None,
        place: None,
        turn: None,
    }
}

fn is_stdio(server: &Server) -> bool {
    matches!(server.upstream, Upstream::Stdio { .. })
}

fn message(
    parts: &Parts,
    body: &Bytes,
    server: &ServerName,
    bundle: &Compiled,
    answering: &Answering<'_>,
) -> Result<(Call, Asked), McpError> {
    let envelope = Envelope::parse(body)?;
    if let Some(body) = tasks::undeclared(&envelope, body)? {
        return message(parts, &body, server, bundle, answering);
    }
    let revision = headers::agree(&parts.headers, &envelope)?;
    let name = match &envelope {
        Envelope::Response(response) => {
            let (body, said, feature) = answers::answer(response, body, server, answering)?;
            return answered(parts, (body, said), (server, feature), revision);
        }
        Envelope::Request(request) => &*request.method,
        Envelope::Notification(notification) => &*notification.method,
    };
    let kind = if envelope.id().is_some() { Kind::Request } else { Kind::Notification };
    let class = method::classify(name, Side::Client, kind, revision.era());
    let action = action(&envelope, name, class)?;
    let params = envelope.params();
    if params.is_some_and(|params| params.as_task) {
        return Err(McpError::Params("tasks are not granted"));
    }
    let (body, features) = match params {
        Some(params) if params.request_state.is_some() || params.input_responses.is_some() => {
            if revision.era() == Era::Legacy || matches!(action, Action::Method(_)) {
                return Err(McpError::Params("answers to a server's questions do not belong here"));
            }
            answers::resumed(params, body, (server, &action), answering)?
        }
        _ => (body.clone(), BTreeSet::new()),
    };
    // Of the body as it is sent: with the server's own state of the call in the place of the sealed one.
    let envelope = Envelope::parse(&body)?;
    let params = envelope.params();
    let mirrors = mirrors(bundle, server, &action);
    let barred =
        params.map(|params| params.arguments.as_ref().map(|arguments| &arguments.value)).and_then(|arguments| {
            repeated(&parts.headers, arguments, mirrors.as_deref().map_err(|_| ()), revision.era()).err()
        });
    let arguments = params.and_then(|params| params.arguments.as_ref()).map(|arguments| arguments.raw.get());
    let place = |part: &str| crate::mcp::splice::range_in(text(&body)?, part);
    let arguments = arguments.and_then(place).unwrap_or(0..0);
    let answered = params.and_then(|params| params.input_responses).and_then(|raw| place(raw.get())).unwrap_or(0..0);
    let call = Call::new(server.clone(), action, body.to_vec(), arguments).map_err(too_large)?;
    let mut call = call.answering(features, answered);
    call.tool_use_id = params.and_then(|params| params.meta.tool_use_id.as_deref()).map(ToOwned::to_owned);
    revision.as_str().clone_into(&mut call.revision);
    let asked = Asked {
        headers: headers::checked(&parts.headers, mirrors.as_deref().unwrap_or_default()),
        id: envelope.id().map(|id| (id.key(), id.raw().to_owned())),
        list: ListKind::of(name),
        meta: params.and_then(|params| params.meta.raw).map(|raw| raw.get().to_owned()),
        standing: name == "subscriptions/listen",
        cancels: params
            .filter(|_| name == "notifications/cancelled")
            .and_then(|params| params.request_id.as_ref())
            .map(Id::key),
        barred,
        ..bare(parts, revision)
    };
    Ok((call, asked))
}

/// The answer to what a server asked, as a call of its own.
fn answered(
    parts: &Parts,
    (body, said): (Bytes, std::ops::Range<usize>),
    (server, feature): (&ServerName, Feature),
    revision: Revision,
) -> Result<(Call, Asked), McpError> {
    let mut call = Call::new(server.clone(), Action::Answer(feature), body.to_vec(), said).map_err(too_large)?;
    revision.as_str().clone_into(&mut call.revision);
    Ok((call, bare(parts, revision)))
}

/// The arguments that the pinned schema of the called tool asks clients to repeat in headers.
fn mirrors(bundle: &Compiled, server: &ServerName, action: &Action) -> Result<Vec<Mirror>, McpError> {
    let exposed = action.tool().and_then(|tool| bundle.tool(server, tool));
    let Some(exposed) = exposed else { return Ok(Vec::new()) };
    let schema = serde_json::value::to_raw_value(&exposed.tool.input).map_err(|_| McpError::Upstream("its schema"))?;
    if schema.get().contains("x-mcp-header") { mirror::mirrors(&schema) } else { Ok(Vec::new()) }
}

/// What is repeated says the same there.
fn repeated(
    headers: &HeaderMap,
    arguments: Option<&Value<'_>>,
    mirrors: Result<&[Mirror], ()>,
    era: Era,
) -> Result<(), UpstreamError> {
    let Ok(mirrors) = mirrors else {
        return Err(UpstreamError::Malformed("the tool's schema asks for headers that cannot be"));
    };
    mirror::check(headers, arguments, mirrors, era).map_err(|error| match error {
        McpError::Header { problem, .. } => UpstreamError::Barred(problem),
        _ => UpstreamError::Barred("cannot be read"),
    })
}

fn too_large(_: CallTooLarge) -> McpError {
    McpError::TooLarge { max: ARGS_BYTES_MAX }
}

fn text(body: &[u8]) -> Option<&str> {
    std::str::from_utf8(body).ok()
}

fn action(envelope: &Envelope<'_>, name: &str, class: Class) -> Result<Action, McpError> {
    let target = || envelope.params().and_then(|params| params.target.as_deref()).ok_or(McpError::Params("no name"));
    let named = || ToolName::new(target()?).map_err(|_| McpError::Params("not a name of a tool or prompt"));
    Ok(match class {
        // What a server asks, no client does.
        Class::Refused | Class::Decided(method::Action::AnswerServer) => return Err(McpError::Method),
        Class::Derived => Action::Method(name.to_owned()),
        Class::Decided(method::Action::CallTool) => Action::CallTool(named()?),
        Class::Decided(method::Action::GetPrompt) => Action::GetPrompt(named()?),
        Class::Decided(method::Action::ReadResource) => {
            let uri = target()?;
            if uri.len() > URI_BYTES_MAX {
                return Err(McpError::Params("the URI is too long"));
            }
            Action::ReadResource(uri.to_owned())
        }
    })
}
