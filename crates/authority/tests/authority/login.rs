//! People let OAuth clients act as agents: authorization codes, device codes and refresh tokens, from the first request to
//! the token.

use super::common::{ISSUER, Key, MANIFEST, NOW, PIN, World, escape};
use super::http::{bundle, claims, page};
use remit_authority::socket::client::ClientError;
use remit_authority::socket::wire::{AdminAsk, Answered, Approval, Word};
use remit_core::hash::{b64, sha256};
use remit_core::rejection::Code;
use remit_core::revoked::Kind;
use serde_json::Value;

const TICKETS: &str = "https://gw.example/mcp/tickets";
const BACK: &str = "http://127.0.0.1:4711/callback";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-characters-1";
const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const TOKEN_URL: &str = "https://as.example/token";

/// An authority with an agent whose clients need no key, and one whose clients do.
async fn world() -> World {
    let world = World::start().await;
    world.furnish().await;
    let bearer = MANIFEST.replace("\"triage\"", "\"desk\"").replace("purpose", "bearer = true\npurpose");
    let ask = AdminAsk::RegisterAgent { manifest: bearer };
    let _registered: Value = world.admin_pin(ask, Some(PIN)).await.unwrap();
    world
}

pub(crate) fn query(changes: &[(&str, Option<&str>)]) -> String {
    let challenge = b64(&sha256(&[VERIFIER.as_bytes()]));
    let mut all = vec![
        ("response_type", "code".to_owned()),
        ("client_id", "support/desk".to_owned()),
        ("redirect_uri", BACK.to_owned()),
        ("state", "a b&c".to_owned()),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256".to_owned()),
        ("resource", TICKETS.to_owned()),
    ];
    for (name, value) in changes {
        all.retain(|(known, _)| known != name);
        all.extend(value.map(|value| (*name, value.to_owned())));
    }
    let pairs: Vec<String> = all.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    format!("/authorize?{}", pairs.join("&"))
}

/// Where the browser is sent, as path and query of the authority, or as the whole URL of the client.
pub(crate) async fn follow(world: &World, path: &str) -> String {
    let (status, headers, text) = world.get(path).await;
    assert_eq!(status, 303, "{text}");
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    let location = headers["location"].to_str().unwrap();
    location.strip_prefix(ISSUER).unwrap_or(location).to_owned()
}

async fn approvals(world: &World) -> Vec<Approval> {
    world.admin(AdminAsk::Approvals {}).await.unwrap()
}

pub(crate) async fn only(world: &World) -> String {
    let all = approvals(world).await;
    let [Approval::Login(login)] = all.as_slice() else { panic!("{all:?}") };
    login.id.clone()
}

pub(crate) async fn answer(world: &World, id: &str, allow: bool) -> Result<Answered, ClientError> {
    let why = if allow { "INC-42, says Ada" } else { "" };
    let said = Word { id: id.into(), allow, why: why.into(), duration: String::new(), digest: None };
    world.admin(AdminAsk::Answer(said)).await
}

/// The parameters with which the browser comes back to the client.
pub(crate) fn back(location: &str) -> Vec<(String, String)> {
    let query = location.strip_prefix(BACK).unwrap().strip_prefix('?').unwrap();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

pub(crate) fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// A code, as a browser gets it from a person who says yes.
async fn code(world: &World, changes: &[(&str, Option<&str>)]) -> String {
    let wait = follow(world, &query(changes)).await;
    answer(world, &only(world).await, true).await.unwrap();
    value(&back(&follow(world, &wait).await), "code").unwrap().to_owned()
}

/// What the token endpoint says to a code.
pub(crate) async fn redeem(world: &World, code: &str, changes: &[(&str, &str)], proof: Option<&str>) -> (u16, Value) {
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("client_id", "support/desk"),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("resource", TICKETS),
    ];
    for (name, value) in changes {
        form.retain(|(known, _)| known != name);
        form.push((name, value));
    }
    world.token(&form, proof).await
}

async fn refresh(world: &World, token: &str, more: &[(&str, &str)], proof: Option<&str>) -> (u16, Value) {
    let client =
        if more.iter().any(|(name, _)| *name == "client_id") { &[][..] } else { &[("client_id", "support/desk")] };
    let form: Vec<_> =
        [("grant_type", "refresh_token"), ("refresh_token", token)].iter().chain(client).chain(more).copied().collect();
    world.token(&form, proof).await
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("{name}: {answer}"))
}

/// Break: note the proof of whoever shows nothing of ours: enough of them leave no room for anybody's.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_proof_takes_no_room() {
    let world = world().await;
    let proof = Key::new(77).proof(&format!("{ISSUER}/token"), NOW, "p-1");
    for _ in 0..2 {
        let (_, refused) = refresh(&world, "of-nobody", &[], Some(&proof)).await;
        assert_eq!(text(&refused, "error"), "invalid_grant");
        let (_, refused) = redeem(&world, "of-nobody", &[], Some(&proof)).await;
        assert_eq!(text(&refused, "error"), "invalid_grant");
    }
}

/// Break: give the code before the answer, leave out `iss`, or forget who asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_browser_waits_for_a_persons_word_and_comes_back_with_a_code() {
    let world = world().await;
    let wait = follow(&world, &query(&[])).await;
    let (status, headers, text_of_page) = world.get(&wait).await;
    assert_eq!(status, 200);
    assert!(headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    let id = only(&world).await;
    assert!(
        text_of_page.contains(&id) && text_of_page.contains("tickets/read_ticket") && !text_of_page.contains("<script")
    );
    let answered = answer(&world, &id.to_lowercase().replace('-', ""), true).await.unwrap();
    assert_eq!(answered.asked.unwrap().duration, "15m");
    assert!(approvals(&world).await.is_empty());
    let pairs = back(&follow(&world, &wait).await);
    assert_eq!((value(&pairs, "state"), value(&pairs, "iss")), (Some("a b&c"), Some(ISSUER)));
    assert_eq!(world.get(&wait).await.0, 400, "the code is given once");
    let (status, given) = redeem(&world, value(&pairs, "code").unwrap(), &[], None).await;
    assert_eq!((status, text(&given, "token_type")), (200, "Bearer"), "{given}");
    let claims = claims(&bundle(&world).await, text(&given, "access_token"));
    assert!(claims.coherent() && claims.cnf.is_none());
    assert_eq!(
        (claims.client_id.short().as_str(), claims.aud.as_slice()),
        ("support/desk@1", &[TICKETS.to_owned()][..])
    );
    assert_eq!(claims.task.why, "INC-42, says Ada");
    let tools: Vec<&String> = claims.authorization_details[0].tools.keys().collect();
    assert_eq!(tools, ["read_ticket", "reply"]);
}

/// Break: answer a stranger's redirect, or take `plain` for a challenge.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_fit_goes_nowhere_or_back_with_the_standards_error() {
    let world = world().await;
    for nowhere in [
        ("client_id", Some("support/nobody")),
        ("client_id", Some("https://evil.example/client.json")),
        ("client_id", None),
        ("redirect_uri", Some("https://evil.example/cb")),
        ("redirect_uri", Some("http://127.0.0.1@evil.example/cb")),
        ("redirect_uri", None),
    ] {
        let (status, headers, _) = world.get(&query(&[nowhere])).await;
        assert_eq!((status, headers.get("location")), (400, None), "{nowhere:?}");
    }
    let (status, headers, _) = world.get(&format!("{}&state=again", query(&[]))).await;
    assert_eq!((status, headers.get("location")), (400, None), "a parameter stands there twice");
    for (change, error) in [
        (("response_type", Some("token")), "unsupported_response_type"),
        (("code_challenge", None), "invalid_request"),
        (("code_challenge", Some("short")), "invalid_request"),
        (("code_challenge_method", Some("plain")), "invalid_request"),
        (("code_challenge_method", None), "invalid_request"),
        (("resource", None), "invalid_target"),
        (("resource", Some("https://other.example/mcp/tickets")), "invalid_target"),
        (("scope", Some("mail/send")), "invalid_target"),
        (("scope", Some("everything")), "invalid_scope"),
        (("authorization_details", Some("[{\"type\":\"other\",\"locations\":[]}]")), "invalid_authorization_details"),
        (("resource", Some("https://gw.example/mcp/mail")), "invalid_scope"),
    ] {
        let pairs = back(&follow(&world, &query(&[change])).await);
        assert_eq!(value(&pairs, "error"), Some(error), "{change:?}");
        assert_eq!((value(&pairs, "state"), value(&pairs, "iss")), (Some("a b&c"), Some(ISSUER)));
    }
    assert!(approvals(&world).await.is_empty());
}

/// Break: check the verifier, the redirect, the client or the resource less than exactly, or let a code live on.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_of_one_client_and_is_used_up_by_the_first_try() {
    let world = world().await;
    for change in [
        ("code_verifier", "another-verifier-of-at-least-forty-three-charac"),
        ("code_verifier", ""),
        ("redirect_uri", "http://127.0.0.1:4712/callback"),
        ("redirect_uri", ""),
        ("resource", "https://gw.example/mcp/mail"),
    ] {
        let code = code(&world, &[]).await;
        let (status, refused) = redeem(&world, &code, &[change], None).await;
        let error = if change.0 == "resource" { "invalid_target" } else { "invalid_grant" };
        assert_eq!((status, text(&refused, "error")), (400, error), "{change:?}");
        assert_eq!(text(&redeem(&world, &code, &[], None).await.1, "error"), "invalid_grant", "{change:?}");
    }
    let code = code(&world, &[]).await;
    assert_eq!(
        text(&redeem(&world, &code, &[("client_id", "support/triage")], None).await.1, "error"),
        "invalid_grant"
    );
    assert_eq!(redeem(&world, &code, &[], None).await.0, 200, "another client uses up nothing");
    assert_eq!(text(&redeem(&world, "never", &[], None).await.1, "error"), "invalid_grant");
}

/// Break: let the first who has a stolen code keep what it got.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_comes_twice_ends_its_run() {
    let world = world().await;
    let code = code(&world, &[]).await;
    let (_, given) = redeem(&world, &code, &[], None).await;
    let run = claims(&bundle(&world).await, text(&given, "access_token")).run;
    assert_eq!(text(&redeem(&world, &code, &[], None).await.1, "error"), "invalid_grant");
    let taken = page(&world, 0).await.entries;
    assert_eq!(taken.last().map(|entry| (entry.kind, entry.id.as_str())), Some((Kind::Run, run.as_str())));
    assert_eq!(text(&refresh(&world, text(&given, "refresh_token"), &[], None).await.1, "error"), "invalid_grant");
}

/// Break: let one wait for ever, or keep what was allowed for later.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_ends_and_so_does_a_code() {
    let world = world().await;
    let wait = follow(&world, &query(&[])).await;
    let id = only(&world).await;
    world.clock.set(NOW + 600);
    assert_eq!(world.get(&wait).await.0, 400);
    let refused = answer(&world, &id, true).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(why) if why.code == Code::RequestInvalid), "{refused}");
    let late = code(&world, &[]).await;
    world.clock.set(NOW + 600 + 60);
    assert_eq!(text(&redeem(&world, &late, &[], None).await.1, "error"), "expired_token");
    let wait = follow(&world, &query(&[])).await;
    answer(&world, &only(&world).await, false).await.unwrap();
    assert_eq!(value(&back(&follow(&world, &wait).await), "error"), Some("access_denied"));
}

/// Break: allow what the manifest does not, or take a word without a reason.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_allows_hears_what_stands_in_the_way() {
    let world = world().await;
    follow(&world, &query(&[("scope", Some("tickets/delete_ticket"))])).await;
    let refused = answer(&world, &only(&world).await, true).await.unwrap_err();
    assert!(matches!(&refused, ClientError::Refused(why) if why.code == Code::ScopeUndeclared), "{refused}");
    answer(&world, &only(&world).await, false).await.unwrap();
    follow(&world, &query(&[])).await;
    let id = only(&world).await;
    for (why, duration, code) in [("", "", Code::GrantIncomplete), ("x", "16m", Code::GrantIncomplete)] {
        let said = Word { id: id.clone(), allow: true, why: why.into(), duration: duration.into(), digest: None };
        let refused = world.admin::<Answered>(AdminAsk::Answer(said)).await.unwrap_err();
        assert!(matches!(&refused, ClientError::Refused(rejection) if rejection.code == code), "{refused}");
    }
    let said = Word { id, allow: true, why: "x".into(), duration: "2m".into(), digest: None };
    let answered: Answered = world.admin(AdminAsk::Answer(said)).await.unwrap();
    assert_eq!(answered.asked.unwrap().duration, "2m");
}

/// Break: take any key's proof for the run's, or give a bearer token where the agent allows none.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_a_key_gets_tokens_that_are_bound_to_it() {
    let world = world().await;
    let (key, other) = (Key::new(1), Key::new(2));
    let triage = ("client_id", Some("support/triage"));
    let thumbprint = key.public.thumbprint();
    let bound = code(&world, &[triage, ("dpop_jkt", Some(&thumbprint))]).await;
    let change = [("client_id", "support/triage")];
    let stranger = other.proof(TOKEN_URL, NOW, "s1");
    assert_eq!(text(&redeem(&world, &bound, &change, Some(&stranger)).await.1, "error"), "invalid_grant");
    let bound = code(&world, &[triage, ("dpop_jkt", Some(&thumbprint))]).await;
    let (status, given) = redeem(&world, &bound, &change, Some(&key.proof(TOKEN_URL, NOW, "p1"))).await;
    assert_eq!((status, text(&given, "token_type")), (200, "DPoP"), "{given}");
    let token = claims(&bundle(&world).await, text(&given, "access_token"));
    assert_eq!(token.cnf.unwrap().jkt, thumbprint);
    let next = text(&given, "refresh_token");
    for proof in [None, Some(other.proof(TOKEN_URL, NOW, "s2"))] {
        let (_, refused) = refresh(&world, next, &change, proof.as_deref()).await;
        assert_eq!(text(&refused, "error"), "invalid_dpop_proof");
    }
    assert_eq!(refresh(&world, next, &change, Some(&key.proof(TOKEN_URL, NOW, "p2"))).await.0, 200);
    // Without a key there is nothing for this agent, and no run is left behind.
    let bare = code(&world, &[triage]).await;
    let before = world.admin::<Vec<Value>>(AdminAsk::Runs {}).await.unwrap().len();
    assert_eq!(text(&redeem(&world, &bare, &change, None).await.1, "error"), "invalid_request");
    assert_eq!(world.admin::<Vec<Value>>(AdminAsk::Runs {}).await.unwrap().len(), before);
}

/// A client that proved a key at first must not go on without it, even where the agent allows that.
#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_refresh_token_of_a_client_with_a_key_gives_nothing() {
    let world = world().await;
    let key = Key::new(1);
    let code = code(&world, &[]).await;
    let (_, given) = redeem(&world, &code, &[], Some(&key.proof(TOKEN_URL, NOW, "p1"))).await;
    let (_, refused) = refresh(&world, text(&given, "refresh_token"), &[], None).await;
    assert_eq!(text(&refused, "error"), "invalid_dpop_proof");
}

/// Break: accept a refresh token again, of another client, for another resource, or after its run; or keep it readable.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_is_good_once_and_one_that_comes_back_ends_its_run() {
    let mut world = world().await;
    let code = code(&world, &[]).await;
    let (_, given) = redeem(&world, &code, &[], None).await;
    let first = text(&given, "refresh_token").to_owned();
    for (more, error) in [
        ([("client_id", "support/triage")], "invalid_grant"),
        ([("resource", "https://gw.example/mcp/mail")], "invalid_target"),
    ] {
        assert_eq!(text(&refresh(&world, &first, &more, None).await.1, "error"), error);
    }
    world.restart().await;
    let (status, given) = refresh(&world, &first, &[], None).await;
    assert_eq!(status, 200, "{given}");
    let second = text(&given, "refresh_token").to_owned();
    let run = claims(&bundle(&world).await, text(&given, "access_token")).run;
    for file in walk(world.dir.path()) {
        // One that the database has just put away has nothing to say.
        let bytes = std::fs::read(&file).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for secret in [&first, &second, &code] {
            assert!(!text.contains(secret), "{}", file.display());
        }
    }
    assert_eq!(text(&refresh(&world, &first, &[], None).await.1, "error"), "invalid_grant");
    let taken = page(&world, 0).await.entries;
    assert_eq!(taken.last().map(|entry| entry.id.as_str()), Some(run.as_str()), "thief and owner are cut off");
    assert_eq!(text(&refresh(&world, &second, &[], None).await.1, "error"), "invalid_grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_run_its_refresh_token_ends() {
    let world = world().await;
    let code = code(&world, &[]).await;
    let (_, given) = redeem(&world, &code, &[], None).await;
    world.clock.set(NOW + 15 * 60);
    assert_eq!(text(&refresh(&world, text(&given, "refresh_token"), &[], None).await.1, "error"), "invalid_grant");
}

/// Break: answer a device before a person has, or let it ask as often as it likes.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_asks_until_a_person_has_answered() {
    let world = world().await;
    let begin = async || {
        let form = [("client_id", "support/desk"), ("resource", TICKETS)];
        let (status, answer) = world.post("/device_authorization", &form, None).await;
        assert_eq!(status, 200, "{answer}");
        (text_of(&answer, "device_code"), text_of(&answer, "user_code"))
    };
    let poll = async |code: &str| {
        world.token(&[("grant_type", DEVICE), ("device_code", code), ("client_id", "support/desk")], None).await
    };
    let (device, user) = begin().await;
    assert_eq!(text(&poll(&device).await.1, "error"), "authorization_pending");
    assert_eq!(text(&poll(&device).await.1, "error"), "slow_down");
    world.clock.set(NOW + 6);
    assert_eq!(text(&poll(&device).await.1, "error"), "authorization_pending");
    answer(&world, &user, true).await.unwrap();
    let (status, given) = poll(&device).await;
    assert_eq!(status, 200, "{given}");
    assert_eq!(claims(&bundle(&world).await, text(&given, "access_token")).task.why, "INC-42, says Ada");
    assert_eq!(text(&poll(&device).await.1, "error"), "invalid_grant");
    let (device, user) = begin().await;
    answer(&world, &user, false).await.unwrap();
    assert_eq!(text(&poll(&device).await.1, "error"), "access_denied");
    let (device, _) = begin().await;
    world.clock.set(NOW + 6 + 600);
    assert_eq!(text(&poll(&device).await.1, "error"), "expired_token");
    let (status, refused) =
        world.post("/device_authorization", &[("client_id", "nobody/x"), ("resource", TICKETS)], None).await;
    assert_eq!((status, text(&refused, "error")), (400, "invalid_client"));
}

/// Break: keep as many logins open as strangers begin, or count those that were answered.
#[tokio::test(flavor = "multi_thread")]
async fn one_source_has_so_many_logins_open_and_no_more() {
    let world = world().await;
    for _ in 0..16 {
        follow(&world, &query(&[])).await;
    }
    let pairs = back(&follow(&world, &query(&[])).await);
    assert_eq!(value(&pairs, "error"), Some("temporarily_unavailable"));
    let Approval::Login(first) = approvals(&world).await.remove(0) else { panic!("a login") };
    assert_eq!(first.owners, ["platform".parse().unwrap()], "who answers for what it asks for");
    answer(&world, &first.id, true).await.unwrap();
    assert!(follow(&world, &query(&[])).await.starts_with("/authorize/"), "one that was answered makes room");
    let pairs = back(&follow(&world, &query(&[])).await);
    assert_eq!(value(&pairs, "error"), Some("temporarily_unavailable"));
    world.clock.set(NOW + 600);
    assert!(follow(&world, &query(&[])).await.starts_with("/authorize/"));
}

/// A real HTTP server that answers every request with this document.
async fn publish(document: impl Fn(&str) -> String + Send + 'static) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/client.json", listener.local_addr().unwrap());
    let body = document(&url);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _read = stream.read(&mut [0; 4096]).await.unwrap_or(0);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length:";
            let answer = format!("{head} {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap_or_default();
        }
    });
    url
}

/// Break: fetch from this machine though nobody allowed it, take a document of another URL, or send a browser to where the
/// document does not say.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_with_a_metadata_document_is_sent_back_to_where_that_says() {
    let mut world = world().await;
    let good = publish(|url| format!("{{\"client_id\":\"{url}\",\"redirect_uris\":[\"{BACK}\"]}}")).await;
    let false_one =
        publish(|_| format!("{{\"client_id\":\"https://a.example/\",\"redirect_uris\":[\"{BACK}\"]}}")).await;
    let named = format!("bearer = true\nclients = [\"{good}\", \"{false_one}\"]\npurpose");
    let manifest = MANIFEST.replace("\"triage\"", "\"desk\"").replace("purpose", &named);
    let ask = AdminAsk::RegisterAgent { manifest };
    let _registered: Value = world.admin_pin(ask, Some(PIN)).await.unwrap();
    let inside = world.get(&query(&[("client_id", Some(&good))])).await;
    assert!(inside.0 == 400 && inside.2.contains("https URL"), "{}", inside.2);
    world.stop().await;
    world.internal_hosts = vec!["127.0.0.1".into()];
    world.serve().await;
    let (status, headers, text) = world.get(&query(&[("client_id", Some(&false_one))])).await;
    assert_eq!((status, headers.get("location")), (400, None), "{text}");
    let elsewhere = [("client_id", Some(good.as_str())), ("redirect_uri", Some("http://127.0.0.1:4711/elsewhere"))];
    let (status, headers, text) = world.get(&query(&elsewhere)).await;
    assert_eq!((status, headers.get("location")), (400, None), "{text}");
    let code = code(&world, &[("client_id", Some(&good))]).await;
    let (status, given) = redeem(&world, &code, &[("client_id", &good)], None).await;
    assert_eq!(status, 200, "{given}");
    let token = claims(&bundle(&world).await, self::text(&given, "access_token"));
    assert_eq!(token.client_id.short(), "support/desk@1");
}

fn text_of(answer: &Value, name: &str) -> String {
    text(answer, name).to_owned()
}

pub(crate) fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files.extend(walk(&entry.path())),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
    files
}
