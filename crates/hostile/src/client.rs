//! OAuth clients: a browser is sent where another reader of URLs sees a listed place or this machine, a metadata document
//! says what another reader sees in it, and no address inside counts as public, however it is written.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;
use remit_authority::clients::redirects;
use remit_authority::fetch::is_public;
use remit_authority::metadata::read;
use serde_json::Value as Json;

use crate::parts::{choice, other_reader};

const LISTED: [&str; 3] = ["https://app.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb"];
const URL: &str = "https://app.example/client.json";

/// The first byte chooses: a URL to go back to, a document, or an address.
pub fn client(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    match first % 3 {
        0 => redirect(std::str::from_utf8(rest).unwrap_or_default()),
        1 => document(rest),
        _ => address(rest),
    }
}

fn redirect(uri: &str) {
    let listed = LISTED.map(str::to_owned);
    let (named, anywhere) = (redirects(&listed, false, uri), redirects(&listed, true, uri));
    assert!(anywhere || !named, "a client that may be anywhere on this machine may be less");
    if !anywhere || LISTED.contains(&uri) {
        return;
    }
    let read: Result<Uri, _> = uri.parse();
    let Ok(read) = read else { return assert!(uri.is_empty(), "no URL by another reader") };
    assert_eq!(read.scheme_str(), Some("http"));
    assert!(matches!(read.host(), Some("127.0.0.1" | "localhost" | "[::1]")), "{:?}", read.host());
    assert!(!read.authority().is_some_and(|authority| authority.as_str().contains('@')) && !uri.contains('#'));
    assert!(
        !named
            || (read.host(), read.path_and_query().map(http::uri::PathAndQuery::as_str))
                == (Some("127.0.0.1"), Some("/cb"))
    );
}

fn document(bytes: &[u8]) {
    let Ok(metadata) = read(URL, bytes) else { return };
    let Some(said) = other_reader(bytes) else { return };
    assert_eq!(said.get("client_id").and_then(Json::as_str), Some(URL));
    let uris: Option<Vec<&str>> =
        said.get("redirect_uris").and_then(Json::as_array).and_then(|uris| uris.iter().map(Json::as_str).collect());
    assert_eq!(uris, Some(metadata.redirect_uris.iter().map(String::as_str).collect()));
    let method = said.get("token_endpoint_auth_method").and_then(Json::as_str);
    assert!(matches!(method, None | Some("none")), "{method:?}");
}

/// An address of IPv4 is public or not, and so is every way to write it in one of IPv6.
fn address(bytes: &[u8]) {
    let Some(bytes) = bytes.first_chunk::<16>() else { return };
    let address = Ipv6Addr::from(*bytes);
    let known = [address.is_loopback(), address.is_unspecified(), address.is_multicast(), address.is_unique_local()];
    assert!(
        !is_public(IpAddr::V6(address)) || !(known.contains(&true) || address.is_unicast_link_local()),
        "{address}"
    );
    let [a, b, c, d, ..] = *bytes;
    let v4 = std::net::Ipv4Addr::new(a, b, c, d);
    let public = is_public(IpAddr::V4(v4));
    assert!(!public || !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()), "{v4}");
    assert_eq!(is_public(IpAddr::V6(v4.to_ipv6_mapped())), public, "{v4} mapped");
    let translated = Ipv6Addr::from([0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]);
    assert_eq!(is_public(IpAddr::V6(translated)), public, "{v4} translated");
}
