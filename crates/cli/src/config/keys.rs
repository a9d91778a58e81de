//! Every key of the configuration, in one table: its type, its default, what it is for, and what somebody who controls
//! it gains. `docs/config.md` is written from it.
//!
//! **Invariant:** what grants trust has no default.

use std::net::SocketAddr;
use std::path::PathBuf;

use remit_core::id::TrustDomain;
use serde::Deserialize;

use super::span::Span;

/// How a key's value is written in the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// As it is.
    Text,
    /// As in TOML: a number or a list.
    Toml,
}

/// One key. What it is for and what its attacker gains is for the page that a test writes.
#[derive(Debug)]
pub(crate) struct Key {
    /// `section.key`.
    pub(crate) name: &'static str,
    /// What it is for.
    #[cfg(test)]
    pub(crate) about: &'static str,
    /// What an attacker who controls it gains.
    #[cfg(test)]
    pub(crate) gain: &'static str,
    pub(crate) kind: Kind,
    /// Its default, or nothing where there must be none.
    pub(crate) default: Option<&'static str>,
    /// A value to paste, where there is no default.
    pub(crate) like: &'static str,
}

macro_rules! config {
    ($($section:ident: $Section:ident {
        $($(#[doc = $about:literal])+ gain $gain:literal $key:ident: $kind:ident $ty:ty $(= $default:literal)? $(, like $like:literal)?;)+
    })+) => {
        /// The whole configuration.
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct Config {
            $(#[doc = concat!("`[", stringify!($section), "]`")] pub(crate) $section: $Section,)+
        }

        $(
            #[doc = concat!("`[", stringify!($section), "]`")]
            #[derive(Debug, Clone, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub(crate) struct $Section {
                $($(#[doc = $about])+ pub(crate) $key: $ty,)+
            }
        )+

        /// Every key, in the order of the documentation.
        pub(crate) const KEYS: &[Key] = &[$($(Key {
            name: concat!(stringify!($section), ".", stringify!($key)),
            #[cfg(test)]
            about: concat!($($about),+).trim_ascii(),
            #[cfg(test)]
            gain: $gain,
            kind: Kind::$kind,
            default: config!(@maybe $($default)?),
            like: concat!($($like)?),
        },)+)+];
    };
    (@maybe) => { None };
    (@maybe $default:literal) => { Some($default) };
}

config! {
    trust: Trust {
        /// The domain of trust whose agents are served: the first part of every agent's identity and of every log's name.
        gain "Nothing by itself: what is signed by another root key, or for another domain, is refused."
        domain: Text Option<TrustDomain>, like "acme.example";
        /// The root key that signs policy, registry and revocations, as a C2SP verifier key (`name+id+key`).
        /// `remit up` writes it at its first start; a gateway elsewhere gets it by a road that you trust.
        gain "Everything: whoever holds the other half of the key named here decides every call."
        root: Text Option<String>, like "acme.example/root+00000000+AQ…";
    }
    authority: Authority {
        /// Where the authority listens.
        gain "Little: who can reach the authority still needs an agent's key."
        listen: Text SocketAddr = "127.0.0.1:7461";
        /// The authority's own URL as clients and gateways see it, without a slash at the end: `iss` of every token.
        gain "Can keep news from gateways, which then refuse after `gateway.snapshot_age_max`. Can forge none: bundles and the feed are signed by `trust.root`."
        url: Text Option<String>, like "https://authority.acme.example";
        /// How long a token lives, at most ten minutes. A grant may be longer: its tokens are renewed.
        gain "Longer use of a stolen token that is bound to no key."
        token_life: Text Span = "10m";
        /// Hosts inside the organization that the authority may ask as others name them, for metadata documents of OAuth clients and
        /// as authorization servers of upstreams: `["login.corp.example"]`.
        gain "The authority can be made to ask that host, and to believe what it says of a client that an agent's manifest names, or of itself."
        internal_hosts: Toml Vec<String> = "[]";
    }
    gateway: Gateway {
        /// Where the gateway listens.
        gain "Little: who can reach the gateway still needs a token and its key."
        listen: Text SocketAddr = "127.0.0.1:7462";
        /// The gateway's own URL as clients see it, without a slash at the end: audience of every token.
        gain "Tokens meant for this gateway can be used at another one that the attacker runs."
        url: Text Option<String>, like "https://gateway.acme.example";
        /// The gateway's name among its siblings: part of its log's name.
        gain "Nothing by itself: another name begins another log, and the old one still verifies."
        name: Text Option<String>, like "gw1";
        /// How long the gateway goes on deciding without news from the authority.
        gain "What was revoked stays usable for longer, if the authority can be cut off as well."
        snapshot_age_max: Text Span = "60s";
        /// Web origins that may call, beside none at all: `["https://inspector.example"]`.
        gain "A web page of that origin can try tokens in its visitors' networks."
        origins: Toml Vec<String> = "[]";
        /// Calls in flight at once; more are refused.
        gain "Too many: the machine's memory. Too few: other callers are refused."
        calls_max: Toml usize = "1024";
    }
    relay: Relay {
        /// Where the relay listens, for MCP clients that cannot prove possession of a key. It must be a loopback address: `127.0.0.1`
        /// or `[::1]`, with port 0 for any that is free. The first `remit up` writes down which one it got.
        gain "Where a client on this machine sends the value of its run. It is worth nothing but at this authority's own relay, and there to processes of that run, or of none."
        listen: Text SocketAddr = "127.0.0.1:7463";
    }
    admin: Admin {
        /// A file from which commands read the administrators' PIN, instead of asking for it on the terminal.
        gain "Nothing by itself. Who can read the file it names can approve, lift and widen: keep it where no agent's process reads."
        pin_file: Text Option<PathBuf>, like "/run/secrets/remit-pin";
    }
}
