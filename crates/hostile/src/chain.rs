//! Chains: nothing comes out that the token does not hold, whatever a link says.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_core::chain::{LINK_TYPE, THUMBPRINT_URN, verify};
use remit_core::claims::Claims;
use remit_core::hash::{b64, sha256};
use remit_core::json;
use remit_core::jws::Jwk;
use remit_core::policy::Compiled;
use serde_json::{Value as Json, json};

use crate::fixed::{self, GATEWAY, NOW, SALES, SUPPORT};
use crate::parts::{choice, texts};
use crate::token::{KEYS, signed};

/// A token that may be handed on, with everything that is needed to do so.
struct Held {
    /// Knows the key that signed the token, and another one that does not.
    bundle: Compiled,
    other: Compiled,
    token: String,
    claims: Claims,
    key: Ed25519KeyPair,
    jwk: Jwk,
    heir: String,
}

static HELD: LazyLock<Option<Held>> = LazyLock::new(|| {
    let (_, own, never) = KEYS.as_ref()?;
    let bundle = |key: &Jwk| {
        let mut bundle = fixed::bundle("permit(principal, action, resource);", "", &json!({"type": "object"}));
        *bundle.pointer_mut("/keys")? = json!([key]);
        let offline = json!([{"target": "tickets/*", "seconds": 900, "until": NOW + 900}]);
        bundle.pointer_mut("/agents/1")?.as_object_mut()?.insert("offline".into(), offline);
        fixed::compiled(bundle).ok()
    };
    let pair = |seed| Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).ok();
    let public = |pair: &Ed25519KeyPair| Jwk::ed25519(pair.public_key().as_ref(), None);
    let (key, heir) = (pair(11)?, public(&pair(12)?).thumbprint());
    let jwk = public(&key);
    let here = format!("{GATEWAY}/mcp/tickets");
    let mut claims = fixed::claims(SUPPORT);
    claims.as_object_mut()?.insert("cnf".into(), json!({"jkt": jwk.thumbprint()}));
    *claims.pointer_mut("/authorization_details")? = json!([
        {"type": "mcp_tools", "locations": [here], "tools": {"*": {"x": {"constraint_type": "wildcard"}}, "odd": {},
            "refund": {"amount": {"constraint_type": "range", "max": 100}}}, "prompts": {"greet": {}},
            "resources": [{"constraint_type": "one_of", "values": ["file:///a", "file:///b"]}]}]);
    let token = signed(r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k"}"#, &claims.to_string());
    let bundles = (bundle(own)?, bundle(never)?);
    let claims = Claims::clone(verify(&bundles.0, &token)?.claims());
    Some(Held { bundle: bundles.0, other: bundles.1, token, claims, key, jwk, heir })
});

/// The first byte chooses: a chain as it is, or a header, a payload and a call's arguments. What the payload says then
/// stands in the place of what a lawful one says, or is all of it.
pub fn chain(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let Some(held) = HELD.as_ref() else { return };
    let Some([header, payload, arguments]) = texts(rest) else { return };
    match first % 3 {
        0 => forged(held, header),
        1 => held.handed(header, &held.lawful(payload), arguments),
        _ => held.handed(header, payload, arguments),
    }
}

/// What nobody signed hands on nothing, behind a token or alone.
fn forged(held: &Held, text: &str) {
    let joined = format!("{}~{text}", held.token);
    for text in [text, &joined] {
        assert!(verify(&held.other, text).is_none(), "opened without a signature");
        assert!(verify(&held.bundle, text).is_none_or(|opened| **opened.claims() == held.claims), "{text}");
    }
}

impl Held {
    /// A lawful payload with these members in the place of its own.
    fn lawful(&self, changes: &str) -> String {
        let Some((before, _)) = self.token.rsplit_once('.') else { return String::new() };
        let mut payload = json!({
            "iss": format!("{THUMBPRINT_URN}{}", self.jwk.thumbprint()), "act": {"sub": SALES}, "iat": NOW, "exp": NOW + 300,
            "par_hash": b64(&sha256(&[before.as_bytes()])), "cnf": {"jkt": self.heir}, "del_depth": 1, "del_max_depth": 2,
            "authorization_details": [{"type": "mcp_tools", "locations": [format!("{GATEWAY}/mcp/tickets")], "tools": {"odd": {}}}],
            "why": "w",
        });
        if let (Ok(Json::Object(changes)), Some(members)) = (serde_json::from_str(changes), payload.as_object_mut()) {
            members.extend(changes);
        }
        payload.to_string()
    }

    /// The token with a link of these.
    fn chain(&self, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", b64(header.as_bytes()), b64(payload.as_bytes()));
        format!("{}~{input}.{}", self.token, b64(self.key.sign(input.as_bytes()).as_ref()))
    }

    /// The header of a lawful link.
    fn header(&self) -> String {
        json!({"typ": LINK_TYPE, "alg": "EdDSA", "jwk": self.jwk}).to_string()
    }

    /// Signs a link and looks at what comes out of it. An empty header stands for a lawful one.
    fn handed(&self, header: &str, payload: &str, arguments: &str) {
        let lawful = self.header();
        let header = if header.is_empty() { &lawful } else { header };
        let chain = self.chain(header, payload);
        assert!(verify(&self.other, &chain).is_none(), "the token was not verified");
        let Some(opened) = verify(&self.bundle, &chain) else { return };
        let child = opened.claims();
        self.is_no_wider(child);
        said(child, payload);
        if let Ok(arguments) = json::Value::parse(arguments) {
            self.covers_all_of(child, &arguments);
        }
        let written = serde_json::to_value(&**child).unwrap_or_default();
        for tool in ["odd", "refund"] {
            let _judged = fixed::judged(&self.bundle, &written, tool, arguments);
        }
        for at in (0..chain.len()).step_by(chain.len().div_ceil(16).max(1)) {
            let mut changed = chain.clone().into_bytes();
            changed.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1);
            let changed = String::from_utf8(changed).unwrap_or_default();
            assert!(verify(&self.bundle, &changed).is_none(), "byte {at} does not count");
        }
    }

    fn is_no_wider(&self, child: &Claims) {
        let own = &self.claims;
        assert!(child.coherent());
        assert!(child.exp <= own.exp && child.iat >= own.iat && child.grant.until <= own.grant.until);
        assert!(child.aud.iter().all(|here| own.aud.contains(here)));
        assert_eq!((child.del_depth, child.lineage().count()), (own.del_depth + 1, own.lineage().count() + 1));
        assert!(child.del_max_depth <= own.del_max_depth);
        assert_eq!(
            (&child.root, &child.sub, &child.gid, child.root_until),
            (&own.root, &own.sub, &own.gid, own.root_until)
        );
        assert!(child.run != own.run && child.jti != own.jti && child.cnf != own.cnf && child.cnf.is_some());
        assert!(child.lin.contains(&own.jti) && child.lin_jkt.contains(&self.jwk.thumbprint()));
        assert!(child.lineage().any(|link| *link == own.act.sub));
    }

    fn covers_all_of(&self, child: &Claims, arguments: &json::Value<'_>) {
        let names =
            child.authorization_details.iter().flat_map(|detail| detail.tools.keys().chain(detail.prompts.keys()));
        for name in names.map(String::as_str).chain(["odd", "refund", "another"]) {
            let tool =
                |claims: &Claims| claims.authorization_details.iter().any(|d| d.covers_tool(name, arguments).is_ok());
            let prompt =
                |claims: &Claims| claims.authorization_details.iter().any(|d| d.covers_prompt(name, arguments).is_ok());
            assert!(!tool(child) || tool(&self.claims), "{name}: a link covers more than its token");
            assert!(!prompt(child) || prompt(&self.claims), "{name}: a link covers more than its token");
        }
    }
}

/// What came out is what another reader sees in the payload.
fn said(child: &Claims, payload: &str) {
    let Ok(body) = serde_json::from_str::<Json>(payload) else { return };
    let text = |at: &str| body.pointer(at).and_then(Json::as_str).unwrap_or_default().to_owned();
    let number = |at: &str| body.pointer(at).and_then(Json::as_i64);
    assert_eq!((text("/act/sub"), text("/why")), (child.client_id.to_string(), child.task.why.clone()));
    assert_eq!((number("/exp"), number("/del_depth")), (Some(child.exp), Some(i64::from(child.del_depth))));
    assert_eq!(Some(text("/cnf/jkt")), child.cnf.as_ref().map(|cnf| cnf.jkt.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Break: have nothing to hand on, so that whatever is said of a chain holds of none.
    #[test]
    fn a_lawful_link_is_looked_at() {
        let held = HELD.as_ref().unwrap();
        let chain = held.chain(&held.header(), &held.lawful("{}"));
        let opened = verify(&held.bundle, &chain).unwrap();
        assert_eq!(opened.claims().client_id.to_string(), SALES);
    }
}
