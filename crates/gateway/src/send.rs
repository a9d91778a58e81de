//! The only door to an upstream. It takes a permit by value, so what was not decided and recorded is not sent.

use std::str::FromStr as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use remit_core::call::{Action, Call};
use remit_core::id::{RunId, ServerName};
use remit_core::policy::Compiled;
use remit_core::registry::{ToolTier, Upstream};

use crate::accept::Asked;
use crate::mcp::headers;
use crate::mcp::revision::Era;
use crate::permit::Permit;
use crate::secrets::{Caller, Held, Secrets};
use crate::sessions::Sessions;
use crate::sse::Frame;
use crate::upstream::http::HttpUpstreams;
use crate::upstream::process::Program;
use crate::upstream::stdio::{ChildKey, Children};
use crate::upstream::{Outgoing, Reply, UpstreamError};

/// The session of the legacy era.
pub const SESSION: &str = "mcp-session-id";

/// Methods that only read.
const REPEATABLE: [&str; 7] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
];

/// All upstreams.
pub struct Upstreams {
    /// Those over HTTP.
    pub http: HttpUpstreams,
    /// Those that are children.
    pub children: Children,
    /// Their credentials.
    pub secrets: Secrets,
}

/// Sends the call that was permitted, once. Dropping the future or the reply's stream ends the upstream call.
pub async fn send(
    upstreams: &Upstreams,
    sessions: &Sessions,
    bundle: &Compiled,
    permit: Permit,
    asked: &Asked,
) -> Result<Reply, UpstreamError> {
    if let Some(why) = asked.barred {
        return Err(why);
    }
    let call = permit.decided().call();
    let server = bundle.server(call.server()).ok_or(UpstreamError::Unreachable)?;
    let Some(claims) = permit.decided().input().claims() else {
        return Err(UpstreamError::Unreachable);
    };
    let mut headers = headers::forwarded(&asked.headers);
    translate_session(&mut headers, sessions, &claims.run, call.server(), asked.revision.era())?;
    let caller = Caller { principal: &claims.sub, team: claims.act.sub.agent.team.as_str(), run: &claims.run };
    let issuer = bundle.versioned.bundle.issuer.as_str();
    let held = upstreams.secrets.of(server, issuer, &caller).await?;
    let outgoing = Outgoing {
        body: Bytes::copy_from_slice(call.body()),
        headers,
        method: asked.method.clone(),
        standing: asked.standing,
        reviewed: server.features.clone(),
    };
    let (held, reply) = match &server.upstream {
        Upstream::Http { url } => {
            let url = Uri::from_str(url).map_err(|_| UpstreamError::Unreachable)?;
            let reply = with(upstreams, &url, outgoing.clone(), held.as_deref()).await?;
            match held {
                Some(held) if is_refusal(&reply) && held.renews() => {
                    let other = upstreams.secrets.instead(server, issuer, &caller, &held).await?;
                    if !harmless(bundle, call) {
                        return Err(UpstreamError::Denied("there is a new one now, and the call was not repeated"));
                    }
                    let reply = with(upstreams, &url, outgoing, Some(&other)).await?;
                    if is_refusal(&reply) {
                        upstreams.secrets.pause(server, &caller).await;
                        return Err(UpstreamError::Denied("this one too, which was issued just now"));
                    }
                    (Some(other), reply)
                }
                held => (held, reply),
            }
        }
        Upstream::Stdio { command, args } => {
            // A child has its variables for life, so those that differ by team are those of another child.
            let own = held.as_ref().is_some_and(|held| held.is_own());
            let team = if own { format!(" {}", caller.team) } else { String::new() };
            let key = ChildKey {
                server: server.name.to_string(),
                owner: format!("{}{team}", claims.sub),
                root: claims.root.to_string(),
            };
            let vars = held.as_ref().map(|held| held.vars()).unwrap_or_default();
            let program = Program { command: command.clone(), args: args.clone(), vars };
            let reply = upstreams.children.send(&key, &program, claims.run.as_str(), outgoing).await?;
            (held, reply)
        }
    };
    match held {
        Some(held) => unrepeated(held, reply),
        None => Ok(reply),
    }
}

/// Sends it with the credential over what is forwarded: no header of the caller has a credential's name.
async fn with(
    upstreams: &Upstreams,
    url: &Uri,
    mut outgoing: Outgoing,
    held: Option<&Held>,
) -> Result<Reply, UpstreamError> {
    if let Some(held) = held {
        held.put(&mut outgoing.headers)?;
    }
    upstreams.http.send(url, outgoing).await
}

/// The server's word that it did nothing, because it does not take the credential (RFC 9110 section 15.5.2).
fn is_refusal(reply: &Reply) -> bool {
    matches!(reply, Reply::Json { status, .. } if *status == StatusCode::UNAUTHORIZED)
}

/// Whether a message can be sent again, even where the server did something with it the first time: it only reads.
fn harmless(bundle: &Compiled, call: &Call) -> bool {
    match call.action() {
        Action::CallTool(tool) => {
            bundle.tool(call.server(), tool).is_some_and(|exposed| exposed.tool.tier == ToolTier::T0)
        }
        Action::GetPrompt(_) | Action::ReadResource(_) => true,
        Action::Answer(_) => false,
        Action::Method(method) => REPEATABLE.contains(&method.as_str()),
    }
}

/// An answer that repeats the server's own credential is withheld, whole: no agent sees it, whoever said it.
fn unrepeated(held: Arc<Held>, reply: Reply) -> Result<Reply, UpstreamError> {
    const REPEATED: UpstreamError = UpstreamError::Malformed("it repeats the server's credential");
    let in_headers = |headers: &HeaderMap| headers.values().any(|value| held.is_in(value.as_bytes()));
    match reply {
        Reply::Accepted => Ok(Reply::Accepted),
        Reply::Json { headers, body, .. } if in_headers(&headers) || held.is_in(&body) => Err(REPEATED),
        Reply::Stream { headers, .. } if in_headers(&headers) => Err(REPEATED),
        Reply::Json { status, headers, body } => Ok(Reply::Json { status, headers, body }),
        Reply::Stream { headers, frames, voice } => {
            let judged = move |frame: Result<Frame, UpstreamError>| match frame {
                Ok(frame) if held.is_in(frame.bytes()) => Err(REPEATED),
                frame => frame,
            };
            Ok(Reply::Stream { headers, frames: Box::pin(frames.map(judged)), voice })
        }
    }
}

/// The upstream's own session id in the place of the client's. The modern era has no sessions.
fn translate_session(
    headers: &mut HeaderMap,
    sessions: &Sessions,
    run: &RunId,
    server: &ServerName,
    era: Era,
) -> Result<(), UpstreamError> {
    let Some(session) = headers.remove(SESSION).filter(|_| era == Era::Legacy) else {
        return Ok(());
    };
    let opened = session.to_str().ok().and_then(|session| sessions.open(run, server, session));
    let value = opened.and_then(|id| HeaderValue::from_str(&id).ok()).ok_or(UpstreamError::Session)?;
    headers.insert(SESSION, value);
    Ok(())
}
