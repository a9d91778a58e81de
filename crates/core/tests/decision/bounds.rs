//! Whatever is decided about has an end: what is larger is refused, never cut and never half judged.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use remit_core::bundle::{FEED_PAGE_MAX, FeedPage};
use remit_core::call::{ARGS_BYTES_MAX, Action, CALL_BYTES_MAX, Call, URI_BYTES_MAX};
use remit_core::claims::{Claims, DELEGATION_DEPTH_MAX, TEXT_BYTES_MAX};
use remit_core::constraint::{CONSTRAINT_DEPTH_MAX, CONSTRAINT_WIDTH_MAX, Constraint};
use remit_core::dpop::{PROOF_JTI_BYTES_MAX, Request, verify};
use remit_core::event::CLEAR_TEXT_BYTES_MAX;
use remit_core::gate::{Evidence, binding};
use remit_core::grant::{Detail, GRANT_TOOLS_MAX};
use remit_core::hash::{b64, sha256};
use remit_core::id::{ID_BYTES_MAX, PrincipalId, RunId, ServerName, TrustDomain};
use remit_core::json::{DEPTH_MAX, MEMBERS_MAX, Value};
use remit_core::jws::{JWS_BYTES_MAX, Jwk, Unverified};
use remit_core::manifest::{GRANT_SECONDS_MAX, MANIFEST_BYTES_MAX, Manifest, NEEDS_MAX};
use remit_core::method::{WATCHED_MAX, opened};
use remit_core::number::Exact;
use remit_core::revoked::{Kind, Revocation};
use remit_core::target::Target;
use serde_json::json;

use crate::common::{ALL, DOMAIN, NOW, PIN, bundle, claims, decide, input_of, read};

/// Holds at the limit, and not beyond it.
#[track_caller]
fn check(max: usize, holds: impl Fn(usize) -> bool) {
    assert!(holds(max), "{max}");
    assert!(!holds(max + 1), "{max} and one");
}

/// Break: raise a limit, and tell nobody who reckons with it.
#[test]
fn each_limit_has_its_number() {
    let bytes = [CALL_BYTES_MAX, ARGS_BYTES_MAX, MANIFEST_BYTES_MAX, JWS_BYTES_MAX, URI_BYTES_MAX, TEXT_BYTES_MAX];
    assert_eq!(bytes, [4 << 20, 1 << 20, 256 << 10, 16 << 10, 2_048, 1_024]);
    assert_eq!([ID_BYTES_MAX, PROOF_JTI_BYTES_MAX, CLEAR_TEXT_BYTES_MAX], [128; 3]);
    assert_eq!([GRANT_TOOLS_MAX, CONSTRAINT_WIDTH_MAX, NEEDS_MAX], [256; 3]);
    assert_eq!([DEPTH_MAX, MEMBERS_MAX, WATCHED_MAX, CONSTRAINT_DEPTH_MAX, FEED_PAGE_MAX], [32, 1_024, 64, 4, 1_000]);
    assert_eq!((DELEGATION_DEPTH_MAX, GRANT_SECONDS_MAX), (8, 86_400));
}

/// Break: take a message, or the part of it that is judged, of any length.
#[test]
fn a_call_and_its_arguments() {
    let call = |bytes: usize, arguments: usize| {
        let (server, action) = (ServerName::new("tickets").unwrap(), Action::Method("ping".into()));
        Call::new(server, action, vec![b' '; bytes], 0..arguments).is_ok()
    };
    check(CALL_BYTES_MAX, |bytes| call(bytes, 0));
    check(ARGS_BYTES_MAX, |bytes| call(CALL_BYTES_MAX, bytes));
    check(10, |bytes| call(10, bytes));
}

/// Break: watch any number of resources by one request, or one whose name is a letter.
#[test]
fn what_is_watched() {
    let listen = |uris: Vec<String>| {
        let params = json!({"notifications": {"resourceSubscriptions": uris}}).to_string();
        opened("subscriptions/listen", &Value::parse(&params).unwrap()).is_some()
    };
    check(WATCHED_MAX, |count| listen(vec!["file:///a".into(); count]));
    check(URI_BYTES_MAX, |bytes| listen(vec!["u".repeat(bytes)]));
    check(URI_BYTES_MAX, |bytes| format!("resource:tickets/{}", "u".repeat(bytes)).parse::<Target>().is_ok());
}

/// Break: read a token, or the id of a proof, of any length.
#[test]
fn tokens_and_proofs() {
    let header = b64(br#"{"alg":"EdDSA"}"#);
    check(JWS_BYTES_MAX, |bytes| {
        // Four letters of the signature are enough to fit the rest into groups of four.
        let rest = bytes - header.len() - 2;
        let signature = (1..=8).find(|n| n % 4 != 1 && (rest - n) % 4 != 1).unwrap();
        let compact = format!("{header}.{}.{}", "A".repeat(rest - signature), "A".repeat(signature));
        assert_eq!(compact.len(), bytes);
        Unverified::parse(&compact).is_some()
    });
    let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
    let key = Jwk::ed25519(pair.public_key().as_ref(), None);
    check(PROOF_JTI_BYTES_MAX, |bytes| {
        let header = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": key}).to_string();
        let payload = json!({"htm": "POST", "htu": "https://gw.example/mcp/tickets", "iat": NOW,
            "jti": "j".repeat(bytes), "ath": b64(&sha256(&[b"token"]))});
        let input = format!("{}.{}", b64(header.as_bytes()), b64(payload.to_string().as_bytes()));
        let proof = format!("{input}.{}", b64(pair.sign(input.as_bytes()).as_ref()));
        let request = Request { method: "POST", url: "https://gw.example/mcp/tickets", token: "token" };
        verify(&proof, request, NOW).is_ok()
    });
}

/// Break: believe claims that are deeper, or say more, than any that are issued.
#[test]
fn claims_and_grants() {
    let coherent = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut claims = claims();
        change(&mut claims);
        serde_json::from_value::<Claims>(claims).unwrap().coherent()
    };
    check(DELEGATION_DEPTH_MAX as usize, |depth| coherent(&|claims| claims["del_max_depth"] = depth.into()));
    check(TEXT_BYTES_MAX, |bytes| coherent(&|claims| claims["task"]["purpose"] = "p".repeat(bytes).into()));
    check(TEXT_BYTES_MAX, |bytes| coherent(&|claims| claims["task"]["why"] = "w".repeat(bytes).into()));
    check(TEXT_BYTES_MAX, |bytes| coherent(&|claims| claims["name"] = "n".repeat(bytes).into()));
    assert!(!coherent(&|claims| claims["iat"] = claims["exp"].clone()), "a token that ends as it begins");
    let well_formed = |detail: serde_json::Value| serde_json::from_value::<Detail>(detail).unwrap().well_formed();
    check(GRANT_TOOLS_MAX, |count| {
        let tools: serde_json::Map<_, _> = (0..count - 2).map(|n| (format!("t{n}"), json!({}))).collect();
        well_formed(json!({"type": "mcp_tools", "locations": [], "tools": tools, "prompts": {"p": {}},
            "resources": [{"constraint_type": "wildcard"}]}))
    });
    check(ID_BYTES_MAX, |bytes| RunId::new("r".repeat(bytes)).is_ok());
    for text in ["", "a b", "a\n", "a/b", "a,b", "\"", "\u{e9}"] {
        assert!(RunId::new(text).is_err() && PrincipalId::new(text).is_err(), "{text:?}");
    }
    assert!(PrincipalId::new("A-z_0.9:|@+").is_ok() && RunId::new("A-z_0.9:|@+").is_err());
    assert!(RunId::new("a-z_0").is_ok() && RunId::new("-a").is_err());
}

/// Break: weigh constraints, numbers or values of any depth and width.
#[test]
fn constraints_numbers_and_values() {
    let well_formed = |it: serde_json::Value| serde_json::from_value::<Constraint>(it).unwrap().well_formed();
    check(CONSTRAINT_WIDTH_MAX, |width| well_formed(json!({"constraint_type": "one_of", "values": vec![1; width]})));
    check(CONSTRAINT_DEPTH_MAX, |depth| {
        let nest = |inner, _| json!({"constraint_type": "all", "constraints": [inner]});
        well_formed((0..depth).fold(json!({"constraint_type": "wildcard"}), nest))
    });
    check(32, |bytes| Exact::parse(&format!("{:0<bytes$}", "1.")).is_some());
    check(DEPTH_MAX, |depth| Value::parse(&format!("{}1{}", "[".repeat(depth), "]".repeat(depth))).is_ok());
    check(MEMBERS_MAX, |count| {
        let members: Vec<_> = (0..count).map(|n| format!("\"m{n}\":1")).collect();
        Value::parse(&format!("{{{}}}", members.join(","))).is_ok()
    });
}

/// Break: go through as many approvals as somebody sends.
#[test]
fn evidence() {
    const GATE: &str = "@gate(\"approval\") forbid(principal, action, resource) unless { context.evidence.approved };";
    let bundle = bundle(&[ALL, GATE].concat());
    let input = read(input_of("read_ticket", r#"{"id":1}"#));
    check(16, |count| {
        let approval = |binds: String| json!({"id": "a", "binds": binds, "by": ["u-9"], "until": NOW + 1});
        let others = (1..count).map(|_| approval("of another call".into()));
        let approvals: Vec<_> = others.chain([approval(binding(&input, PIN))]).collect();
        let evidence: Evidence = serde_json::from_value(json!({ "approvals": approvals })).unwrap();
        decide(&bundle, &input, &evidence).0 == remit_core::decide::Verdict::Permit
    });
}

/// Break: read a page of the feed, or a manifest, of any length; or grant for longer than a day.
#[test]
fn files_and_pages() {
    let domain = TrustDomain::new(DOMAIN).unwrap();
    check(FEED_PAGE_MAX, |count| {
        let entry = |seq| Revocation { seq, kind: Kind::Run, id: "r".into(), at: 5 };
        let entries: Vec<_> = (1..=count as u64).map(entry).collect();
        let page = FeedPage { seq: count as u64, at: 9, entries };
        FeedPage::read(&page.write(&domain).unwrap(), &domain).is_ok()
    });
    let manifest = |needs: usize, longest: &str| {
        let need = |n| format!("[[need]]\ntool = \"tickets/t{n}\"\nreason = \"r\"\nlongest = \"{longest}\"\n");
        let needs: String = (0..needs).map(need).collect();
        format!(
            "[agent]\nname = \"a\"\nversion = \"1\"\nteam = \"t\"\npurpose = \"p\"\n\
             [harm]\nwrites = false\nreversible = true\nautonomous = false\n{needs}#"
        )
    };
    check(NEEDS_MAX, |needs| Manifest::parse(&manifest(needs, "15m")).is_ok());
    let day = usize::try_from(GRANT_SECONDS_MAX).unwrap();
    check(day, |seconds| Manifest::parse(&manifest(1, &format!("{seconds}s"))).is_ok());
    check(MANIFEST_BYTES_MAX, |bytes| {
        let text = manifest(1, "15m");
        Manifest::parse(&[text.as_str(), &"#".repeat(bytes - text.len())].concat()).is_ok()
    });
}

/// Break: copy what a client says of itself into the log, however long it is.
#[test]
fn what_stands_in_clear() {
    let bundle = bundle(ALL);
    check(CLEAR_TEXT_BYTES_MAX, |bytes| {
        let id = "t".repeat(bytes);
        let mut input = input_of("read_ticket", r#"{"id":1}"#);
        input["presented"]["token"]["claims"]["jti"] = id.as_str().into();
        let leaf = crate::make::record(&bundle, input, Evidence::default()).unwrap().leaf;
        String::from_utf8(leaf).unwrap().contains(&id)
    });
}
