//! The pages that a browser sees before anybody is known. They hold no script, load nothing, and cannot be framed.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};

use crate::login::LoginShown;

/// Nothing runs, nothing is loaded, nobody frames it; the one style stands in the page.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
const STYLE: &str = "body{font:1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}\
code,pre{font:1rem ui-monospace,monospace;background:#8882;padding:.1em .3em;border-radius:.2em}\
pre{padding:1em;overflow:auto}:root{color-scheme:light dark}";
/// How often the page that waits is asked for again, in seconds.
const AGAIN_SECONDS: u8 = 2;

/// The page that waits until a person has answered in a terminal.
pub(super) fn waiting(login: &LoginShown, links: &str) -> Response {
    let what: Vec<String> = login.tools.iter().map(|tool| format!("<li><code>{}</code></li>", text(tool))).collect();
    let body = format!(
        "<h1>{agent} wants to act for you</h1>\
         <p>The program <code>{client}</code> asks for:</p><ul>{}</ul>\
         {links}<p>If it was you who started this, say so in a terminal on the authority's machine, and why:</p>\
         <pre>remit approve {id} --why \"…\"</pre>\
         <p>If it was not: <code>remit deny {id}</code>. This page goes on by itself.</p>",
        what.concat(),
        agent = text(&login.agent.short()),
        client = text(&login.client),
        id = text(&login.id),
    );
    page(StatusCode::OK, Some(AGAIN_SECONDS), "Log in", &body)
}

/// The end of a connection's way through the browser: what it shows is typed where it began.
pub(super) fn finish(command: &str) -> Response {
    let body = format!(
        "<h1>One step is left</h1><p>If it was you who started this in a terminal, type there:</p><pre>{}</pre>\
         <p>If somebody sent you here, close this page: then nothing is connected.</p>",
        text(command)
    );
    page(StatusCode::OK, None, "Connect", &body)
}

/// Why there is nothing to answer. Nobody is sent anywhere.
pub(super) fn refusal(message: &str) -> Response {
    let body = format!("<h1>This cannot go on</h1><p>{}</p>", text(message));
    page(StatusCode::BAD_REQUEST, None, "Refused", &body)
}

/// Where a device sends a person: the code is typed in a terminal, not here.
pub(super) fn device() -> Response {
    let body = "<h1>Connect a device</h1><p>Type the code that the device shows in a terminal on the authority's machine, and why:</p>\
                <pre>remit approve CODE --why \"…\"</pre>";
    page(StatusCode::OK, None, "Connect a device", body)
}

pub(super) fn page(status: StatusCode, again: Option<u8>, title: &str, body: &str) -> Response {
    let again =
        again.map_or_else(String::new, |seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"));
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} – Remit</title>{again}\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>{body}</body></html>"
    );
    let mut response = (status, Html(html)).into_response();
    protect(&mut response);
    response
}

/// Sends the browser somewhere else.
pub(super) fn away(url: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(url) else { return refusal("The `redirect_uri` cannot be used.") };
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    protect(&mut response);
    response
}

/// What holds for every answer that a browser gets: it is not kept, not framed, and tells nobody where it came from.
pub(super) fn protect(response: &mut Response) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Text as it may stand in a page.
pub(super) fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            letter if letter.is_control() => {}
            letter => safe.push(letter),
        }
    }
    safe
}
