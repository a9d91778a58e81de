//! Answers that raise no label: of them only the protocol's own signs go on, and no word that an upstream chose.
//!
//! Every client starts with a handshake, lists and a standing stream. If those brought words, each session would begin
//! as untrusted; so they bring none. Which methods that concerns is [`remit_core::plan::brings`]; a list of tools keeps
//! its entries, because each is pinned and filtered before it goes out, without what the pin does not cover.

use std::sync::Arc;

use axum::body::Bytes;
use futures_util::StreamExt as _;
use remit_core::call::Action;
use remit_core::id::{RunId, ServerName};
use remit_core::json::{elements, members};
use remit_core::label::Label;
use remit_core::plan::brings;
use remit_core::policy::Compiled;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::Gateway;
use crate::accept::Asked;
use crate::mcp::id::IdKey;
use crate::mcp::list::ListKind;
use crate::permit::Permit;
use crate::sse::{Frame, FrameKind};
use crate::upstream::{Reply, UpstreamError};

/// Longest sign, in bytes: a version, a cursor.
const SIGN_BYTES_MAX: usize = 512;
/// What servers can do, as far as the gateway lets it be asked for.
const CAPABILITIES: [&str; 5] = ["tools", "prompts", "resources", "completions", "logging"];
/// Members of a tool that its pin does not cover.
const UNPINNED: [&str; 2] = ["_meta", "icons"];
/// `io.modelcontextprotocol/subscriptionId` of a notification.
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// What may go on of the answer to one request.
pub struct Signs {
    method: String,
    server: ServerName,
    root: RunId,
    list: Option<ListKind>,
    id: Option<(IdKey, String)>,
}

impl Signs {
    /// Of the call that is permitted; `None` where its answer may be words, because the label has risen for them.
    pub fn of(bundle: &Compiled, permit: &Permit, asked: &Asked) -> Option<Self> {
        let input = permit.decided().input();
        let method = match &input.action {
            Action::Method(method) if brings(bundle, input, method).is_none() => method,
            // Nothing was asked for, so nothing comes back.
            Action::Answer(feature) => feature.method(),
            _ => return None,
        };
        let root = input.claims()?.root.clone();
        let server = input.server.clone();
        Some(Self { method: method.to_owned(), server, root, list: asked.list, id: asked.id.clone() })
    }

    /// The answer without words. What cannot be read is no answer.
    pub fn only(self, gw: &Arc<Gateway>, reply: Reply) -> Reply {
        match reply {
            Reply::Accepted => Reply::Accepted,
            Reply::Json { status, headers, body } => {
                let signs = std::str::from_utf8(&body).ok().and_then(|text| self.message(text));
                Reply::Json { status, headers, body: signs.map(Bytes::from).unwrap_or_default() }
            }
            Reply::Stream { headers, frames, voice } => {
                let gw = Arc::clone(gw);
                let frames = frames.filter_map(move |frame| std::future::ready(self.passed(&gw, frame)));
                Reply::Stream { headers, frames: Box::pin(frames), voice }
            }
        }
    }

    fn passed(&self, gw: &Gateway, frame: Result<Frame, UpstreamError>) -> Option<Result<Frame, UpstreamError>> {
        let Ok(frame) = frame else { return Some(frame) };
        let nobody = IdKey::number(u64::MAX);
        let text = frame.data().unwrap_or_default();
        let signs = match frame.kind(self.id.as_ref().map_or(&nobody, |(key, _)| key)) {
            FrameKind::Silent => Some(Frame::keep_alive()),
            FrameKind::Final => self.message(text).map(|text| Frame::of(&text)),
            FrameKind::Notification(method) => match self.notification(&method, text) {
                Some(text) => Some(Frame::of(&text)),
                // Who may have read anything may read this, too: the label stands in the log already.
                None => (gw.runs.label(&self.root) == Label::UNKNOWN).then_some(frame),
            },
            // Judged, and not let through, by the relay.
            FrameKind::Request(_) | FrameKind::Foreign => Some(frame),
        };
        signs.map(Ok)
    }

    /// A response without words.
    fn message(&self, text: &str) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(text).ok()?;
        let parts = members(raw).ok()?;
        let find = |name: &str| parts.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
        let id = find("id").map(|id| format!(r#","id":{}"#, id.get())).unwrap_or_default();
        let said = match (find("result"), find("error")) {
            (Some(result), None) => format!(r#""result":{}"#, self.result(result)?),
            (None, Some(error)) => format!(r#""error":{}"#, failure(error)?),
            _ => return None,
        };
        Some(format!(r#"{{"jsonrpc":"2.0"{id},{said}}}"#))
    }

    fn result(&self, result: &RawValue) -> Option<String> {
        let kept = members(result).ok()?.into_iter().filter_map(|(name, raw)| {
            let value = self.member(&name, raw)?;
            Some(format!("{}:{value}", Value::from(name)))
        });
        Some(format!("{{{}}}", kept.collect::<Vec<_>>().join(",")))
    }

    fn member(&self, name: &str, raw: &RawValue) -> Option<String> {
        match (self.list, name) {
            (Some(ListKind::Tools), "tools") => return tools(raw),
            // Filtered until nothing is left.
            (Some(ListKind::Prompts), "prompts")
            | (Some(ListKind::Resources), "resources")
            | (Some(ListKind::Templates), "resourceTemplates") => return Some(raw.get().to_owned()),
            _ => {}
        }
        let value = || serde_json::from_str::<Value>(raw.get()).ok();
        let shakes_hands = matches!(self.method.as_str(), "initialize" | "server/discover");
        match name {
            "resultType" | "cacheScope" => value().filter(is_sign).map(|value| value.to_string()),
            "ttlMs" => value().filter(Value::is_u64).map(|value| value.to_string()),
            "nextCursor" if self.list.is_some() => value().filter(is_sign).map(|value| value.to_string()),
            "protocolVersion" if shakes_hands => value().filter(is_version).map(|value| value.to_string()),
            "supportedVersions" if shakes_hands => value().map(|value| versions(&value).to_string()),
            "capabilities" if shakes_hands => value().map(|value| capabilities(&value).to_string()),
            "serverInfo" if shakes_hands => value().map(|value| self.server_info(&value).to_string()),
            "_meta" if shakes_hands => {
                const SERVER: &str = "io.modelcontextprotocol/serverInfo";
                value()?.get(SERVER).map(|info| json!({ SERVER: self.server_info(info) }).to_string())
            }
            _ => None,
        }
    }

    /// The name under which it was registered, and its version.
    fn server_info(&self, info: &Value) -> Value {
        let version = info.get("version").filter(|version| is_version(version));
        json!({ "name": self.server.as_str(), "version": version.cloned().unwrap_or_else(|| "0".into()) })
    }

    /// A notification that tells only that something happened.
    fn notification(&self, method: &str, text: &str) -> Option<String> {
        let own: Option<Value> = self.id.as_ref().and_then(|(_, id)| serde_json::from_str(id).ok());
        let listens = self.method == "subscriptions/listen";
        let mut params = Map::new();
        if let (Some(id), true) = (&own, listens) {
            params.insert("_meta".into(), json!({ SUBSCRIPTION: id }));
        }
        match method {
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => {}
            "notifications/subscriptions/acknowledged" if listens => {
                let said: Value = serde_json::from_str(text).ok()?;
                let agreed = said.pointer("/params/notifications").map(flags).unwrap_or_default();
                params.insert("notifications".into(), agreed.into());
            }
            "notifications/cancelled" => drop(params.insert("requestId".into(), own?)),
            _ => return None,
        }
        Some(json!({ "jsonrpc": "2.0", "method": method, "params": params }).to_string())
    }
}

/// The code of an error, with what a client needs to speak another revision.
fn failure(error: &RawValue) -> Option<String> {
    let error: Value = serde_json::from_str(error.get()).ok()?;
    let code = error.get("code")?.as_i64()?;
    let mut kept = json!({ "code": code, "message": "the server answered with an error" });
    if let Some(supported) = error.pointer("/data/supported") {
        let requested = error.pointer("/data/requested").filter(|requested| is_version(requested));
        kept.as_object_mut()?
            .insert("data".into(), json!({ "supported": versions(supported), "requested": requested }));
    }
    Some(kept.to_string())
}

/// The tools without what their pins do not cover.
fn tools(raw: &RawValue) -> Option<String> {
    let one = |tool: &RawValue| {
        let members = members(tool).ok()?;
        if members.iter().all(|(name, _)| !UNPINNED.contains(&name.as_ref())) {
            return Some(tool.get().to_owned());
        }
        let pinned = members.into_iter().filter(|(name, _)| !UNPINNED.contains(&name.as_ref()));
        let pinned = pinned.map(|(name, value)| format!("{}:{}", Value::from(name), value.get()));
        Some(format!("{{{}}}", pinned.collect::<Vec<_>>().join(",")))
    };
    let all = elements(raw).ok()?.into_iter().map(one).collect::<Option<Vec<_>>>()?;
    Some(format!("[{}]", all.join(",")))
}

fn capabilities(value: &Value) -> Value {
    let known = CAPABILITIES.into_iter().filter_map(|name| Some((name.to_owned(), flags(value.get(name)?).into())));
    Value::Object(known.collect())
}

/// What is yes or no.
fn flags(value: &Value) -> Map<String, Value> {
    const FLAGS: [&str; 5] =
        ["listChanged", "subscribe", "toolsListChanged", "promptsListChanged", "resourcesListChanged"];
    let flag = |name: &str| Some((name.to_owned(), value.get(name).filter(|value| value.is_boolean())?.clone()));
    FLAGS.into_iter().filter_map(flag).collect()
}

fn versions(value: &Value) -> Value {
    value.as_array().into_iter().flatten().filter(|version| is_version(version)).cloned().collect()
}

/// Digits, points and dashes.
fn is_version(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() <= 32 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-')))
}

/// A text that only a machine compares.
fn is_sign(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() <= SIGN_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic()))
}

#[cfg(test)]
mod tests;
