//! A chain that the recipe of `docs/delegation.md` made with `jose` for Node: a token and two links, of which a P-256 key has
//! signed the second.

use remit_core::bundle::{Bundle, Versioned};
use remit_core::chain::verify;
use remit_core::id::TrustDomain;
use remit_core::jws::Jwk;
use remit_core::policy::compile;
use serde_json::json;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};

const CHAIN: &str = "\
    eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0.eyJ2ZXIiOjEsImlzcyI6Imh0dHBzOi8vYXMuZXhhbXBsZSIsImF1\
    ZCI6WyJodHRwczovL2d3LmV4YW1wbGUvbWNwL3RpY2tldHMiXSwiZXhwIjoxNzk1MjUxMDAwLCJpYXQiOjE3OTUyNTAzOTUsImp0aSI6InQt\
    MSIsInN1YiI6InAtMSIsInN1Yl9wcm9maWxlIjoidXNlciIsImNsaWVudF9pZCI6InNwaWZmZTovL2FjbWUuZXhhbXBsZS9hZ2VudC9zdXBw\
    b3J0L3RyaWFnZS8xIiwiY25mIjp7ImprdCI6ImFWQnRhcExkMTFTVVZLSU1HSmZQek9FRHVOMHNYY216SlFOVlQtX3NLRVUifSwiYWN0Ijp7\
    InN1YiI6InNwaWZmZTovL2FjbWUuZXhhbXBsZS9hZ2VudC9zdXBwb3J0L3RyaWFnZS8xL3ItMSIsImlzcyI6Imh0dHBzOi8vYXMuZXhhbXBs\
    ZSIsInN1Yl9wcm9maWxlIjoiYWlfYWdlbnQgY2xpZW50X2luc3RhbmNlIn0sImF1dGhvcml6YXRpb25fZGV0YWlscyI6W3sidHlwZSI6Im1j\
    cF90b29scyIsImxvY2F0aW9ucyI6WyJodHRwczovL2d3LmV4YW1wbGUvbWNwL3RpY2tldHMiXSwidG9vbHMiOnsicmVhZCI6e30sInBheSI6\
    eyJhbW91bnQiOnsiY29uc3RyYWludF90eXBlIjoicmFuZ2UiLCJtYXgiOjEwMH19fX1dLCJ0YXNrIjp7ImlkIjoiZy0xIiwicHVycG9zZSI6\
    InNvcnRzIHRpY2tldHMiLCJ3aHkiOiJhIHBlcnNvbiBzYWlkIHNvIn0sInJ1biI6InItMSIsInJvb3QiOiJyLTEiLCJyb290X2F0IjoxNzk1\
    MjUwMzQwLCJyb290X3VudGlsIjoxNzk1MjU0MDAwLCJnaWQiOiJnLTEiLCJkZWxfZGVwdGgiOjAsImRlbF9tYXhfZGVwdGgiOjMsImdyYW50\
    Ijp7InVudGlsIjoxNzk1MjUzNDAwLCJieSI6InBvbGljeSJ9fQ.WKmtU8sTd9VmxRSJzLJb_uo8WZQPbE9kiFxscDFGKuEZQw-VmEHJjkdrT\
    Vjsc3JUESZuUw06plJbLrezGsmyAQ\
    ~eyJ0eXAiOiJsaW5rK2p3dCIsImFsZyI6IkVkRFNBIiwiandrIjp7Imt0eSI6Ik9LUCIsImNydiI6IkVkMjU1MTkiLCJ4IjoiZ1RsM0RxaDl\
    GMTlXbzFSbXcweC16TXVOaXBHMDdqZWlYZllQVzRfSnM1USJ9fQ.eyJhY3QiOnsic3ViIjoic3BpZmZlOi8vYWNtZS5leGFtcGxlL2FnZW50\
    L3N1cHBvcnQvcmVhZGVyLzIifSwiY25mIjp7ImprdCI6IjRLMzlQOU5rYS15cE15NHBSQ255aG1neVZDZzJTeEFxank2T1dlUWh5ZEEifSwi\
    cGFyX2hhc2giOiI4TDhNVWY5ME1CMndPaFA5OVNFRnlDeVdhWTNubFoyel84VUh6YTVOelJzIiwiYXV0aG9yaXphdGlvbl9kZXRhaWxzIjpb\
    eyJ0eXBlIjoibWNwX3Rvb2xzIiwibG9jYXRpb25zIjpbImh0dHBzOi8vZ3cuZXhhbXBsZS9tY3AvdGlja2V0cyJdLCJ0b29scyI6eyJyZWFk\
    Ijp7fX19XSwiZGVsX2RlcHRoIjoxLCJkZWxfbWF4X2RlcHRoIjozLCJ3aHkiOiJ0aGUgcmVhZGVyIGxvb2tzIiwiaXNzIjoidXJuOmlldGY6\
    cGFyYW1zOm9hdXRoOmp3ay10aHVtYnByaW50OnNoYS0yNTY6YVZCdGFwTGQxMVNVVktJTUdKZlB6T0VEdU4wc1hjbXpKUU5WVC1fc0tFVSIs\
    ImlhdCI6MTc5NTI1MDQwMCwiZXhwIjoxNzk1MjUxMDAwfQ.gChOsQb5tYWL7_E4N5Li3TZX5VPp1bwxWwGjWHpe9RLzpBhbzZhODGeX1Im4m\
    FveQ0BB_4zTSm_21X7qX2xeAQ\
    ~eyJ0eXAiOiJsaW5rK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoiVFRiSkpmNFJqcVJ\
    RRWxhM3F4eFJ6N0tzVTZFSTZFelRzRm1VYng0SzhCZyIsInkiOiJnTnl0ZTlSc013eU5LeVphOUd2Vk1GaEJ4OHhlaGJaeEJlSFNSazNuOWp\
    NIn19.eyJhY3QiOnsic3ViIjoic3BpZmZlOi8vYWNtZS5leGFtcGxlL2FnZW50L3N1cHBvcnQvcmVhZGVyLzIifSwiY25mIjp7ImprdCI6Im\
    Q4TWUzdUo4MmpoZHNDc3RXeVZNcjNfSTJ1ZWVUWUc1YWdNMS0ycjFfYlkifSwicGFyX2hhc2giOiJQQXRoWkVTc2ozekRXOGNzZDR6SE54S3\
    FkOW9wRFZraHdFT0pGUndkWmtZIiwiYXV0aG9yaXphdGlvbl9kZXRhaWxzIjpbeyJ0eXBlIjoibWNwX3Rvb2xzIiwibG9jYXRpb25zIjpbIm\
    h0dHBzOi8vZ3cuZXhhbXBsZS9tY3AvdGlja2V0cyJdLCJ0b29scyI6eyJyZWFkIjp7ImlkIjp7ImNvbnN0cmFpbnRfdHlwZSI6ImV4YWN0Ii\
    widmFsdWUiOjd9fX19XSwiZGVsX2RlcHRoIjoyLCJkZWxfbWF4X2RlcHRoIjozLCJ3aHkiOiJhdCBvbmUgdGlja2V0IiwiaXNzIjoidXJuOm\
    lldGY6cGFyYW1zOm9hdXRoOmp3ay10aHVtYnByaW50OnNoYS0yNTY6NEszOVA5TmthLXlwTXk0cFJDbnlobWd5VkNnMlN4QXFqeTZPV2VRaH\
    lkQSIsImlhdCI6MTc5NTI1MDQwMCwiZXhwIjoxNzk1MjUwNDYwfQ.zJCvJSaRI07xkeBKlmv28CkywrB8k3fBSA5pCsMGkvdUS_UAYJJ0MwE\
    QPDhDmT3-ee_2cbs2Nmmw8wjadGs_Ig";

/// Break: read any part of a link otherwise than its maker means it.
#[test]
fn a_chain_of_another_makers_library_is_what_it_says() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let key = Jwk::ed25519(pair.public_key().as_ref(), Some("k1".into()));
    let bundle: Bundle = serde_json::from_value(json!({
        "issuer": "https://as.example", "gateway": "https://gw.example", "keys": [key], "servers": [], "agents": [],
        "floor": [], "teams": [],
    }))
    .unwrap();
    let versioned = Versioned { version: 1, not_after: i64::MAX, digest: [0; 32], bundle };
    let bundle = compile(versioned, TrustDomain::new("acme.example").unwrap()).unwrap();
    let opened = verify(&bundle, CHAIN).unwrap();
    let claims = opened.claims();
    assert_eq!((claims.del_depth, claims.lineage().count(), claims.root.as_str()), (2, 3, "r-1"));
    assert_eq!((claims.task.why.as_str(), claims.exp), ("at one ticket", 1_795_250_460));
    let arguments = |text| remit_core::json::Value::parse(text).unwrap();
    let covers = |text| claims.authorization_details[0].covers_tool("read", &arguments(text)).is_ok();
    assert_eq!([r#"{"id":7}"#, r#"{"id":8}"#, "{}"].map(covers), [true, false, false]);
    let (whole, last) = CHAIN.rsplit_once('~').unwrap();
    assert!(verify(&bundle, whole).is_some() && verify(&bundle, last).is_none());
}
