//! People who log in at their identity provider, and let clients act for them in the page itself; and what others try.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use http_body_util::Full;
use remit_authority::issuer::{self, KeySource};
use remit_authority::socket::wire::{AddIssuer, AdminAsk, Approval, Given};
use remit_core::hash::{b64, sha256};
use remit_core::secret::Value as Secret;
use serde_json::{Value, json};

use super::common::{ISSUER, Key, NOW, PIN, World, escape};
use super::federation::{self, issuer, logged};
use super::http::{bundle, claims};
use super::login::{self, back, follow, redeem, value};

const CLIENT: &str = "remit@acme/idp";
const SECRET: &str = "s3cret:+ä";
const GROUPS: &str = "[[group]]\nname = \"desk\"\nteams = [\"support\"]\n";

/// An identity provider: what its next ID token says, and what it was sent for it.
#[derive(Clone)]
pub(crate) struct Idp {
    pub(crate) url: String,
    configuration: Arc<Mutex<Value>>,
    /// Changes of header and claims of the next ID token.
    next: Arc<Mutex<(Value, Value)>>,
    /// The forms that came, with the header `authorization` as `authorization`.
    forms: Arc<Mutex<Vec<String>>>,
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let configuration = json!({"issuer": url, "jwks_uri": format!("{url}/jwks"), "token_endpoint": format!("{url}/token"),
            "authorization_endpoint": format!("{url}/auth?tenant=1"), "authorization_response_iss_parameter_supported": true});
        let next = Arc::new(Mutex::new((json!({}), json!({}))));
        let own = Self { url, configuration: Arc::new(Mutex::new(configuration)), next, forms: Arc::default() };
        let (one, two) = (own.clone(), own.clone());
        let keys = federation::jwks("sig");
        let router = axum::Router::new()
            .route(
                "/.well-known/openid-configuration",
                axum::routing::get(async move || axum::Json(one.configuration.lock().unwrap().clone())),
            )
            .route("/jwks", axum::routing::get(async move || axum::Json(keys)))
            .route(
                "/token",
                axum::routing::post(async move |headers: axum::http::HeaderMap, form: String| {
                    let basic = headers.get("authorization").map_or("", |value| value.to_str().unwrap());
                    two.forms.lock().unwrap().push(format!("{form}&authorization={}", escape(basic)));
                    axum::Json(json!({"access_token": "x", "token_type": "Bearer", "id_token": two.id_token()}))
                }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        own
    }

    fn id_token(&self) -> String {
        let (header, payload) = self.next.lock().unwrap().clone();
        let whole = json!({"iss": self.url, "sub": "ada", "aud": CLIENT, "iat": NOW, "exp": NOW + 300, "name": "Ada <Example>",
            "groups": ["desk"], "nonce": "?"});
        federation::sign(
            &federation::merged(json!({"alg": "RS256", "kid": "rsa"}), &header),
            &federation::merged(whole, &payload),
        )
    }

    fn says(&self, header: &Value, payload: &Value) {
        *self.next.lock().unwrap() = (header.clone(), payload.clone());
    }

    /// What the token endpoint was sent last.
    fn form(&self) -> Vec<(String, String)> {
        let forms = self.forms.lock().unwrap();
        form_urlencoded::parse(forms.last().unwrap().as_bytes()).into_owned().collect()
    }

    fn registration(&self) -> AddIssuer {
        let mut add = issuer(&self.url, issuer::Kind::People, GROUPS, KeySource::Discovered);
        add.client = Some(CLIENT.into());
        add.scopes = vec!["profile".into(), "groups".into()];
        add
    }
}

/// An authority that sends people to this provider.
pub(crate) async fn world(idp: &Idp) -> World {
    let mut world = federation::world().await;
    world.stop().await;
    world.internal_hosts = vec!["127.0.0.1".into()];
    world.serve().await;
    trust_with_secret(&world, idp.registration()).await;
    world
}

async fn trust_with_secret(world: &World, add: AddIssuer) {
    let home = world.dir.path().to_owned();
    let given = Given { place: "bearer".parse().unwrap(), value: Secret::new(SECRET.into()), plain: false };
    let ask = AdminAsk::AddIssuer(Box::new(add));
    let done = move || {
        remit_authority::socket::client::admin_with::<Value>(&home, &ask, Some(PIN), &[given]).unwrap();
    };
    tokio::task::spawn_blocking(done).await.unwrap();
}

/// A browser, with what it keeps.
#[derive(Default, Clone)]
pub(crate) struct Browser {
    cookie: Option<String>,
    /// What the authority has shown after the provider's answer.
    mark: String,
}

impl Browser {
    pub(crate) async fn ask(
        &mut self,
        world: &World,
        path: &str,
        form: Option<(&str, Option<&str>)>,
    ) -> (u16, String, String) {
        let builder = if form.is_some() { http::Request::post(path) } else { http::Request::get(path) };
        let mut builder = builder.header("host", "as.example");
        if let Some(cookie) = &self.cookie {
            builder = builder.header("cookie", cookie.as_str());
        }
        let body = match form {
            None => Full::default(),
            Some((form, origin)) => {
                builder = builder.header("content-type", "application/x-www-form-urlencoded");
                if let Some(origin) = origin {
                    builder = builder.header("origin", origin);
                }
                Full::from(form.to_owned())
            }
        };
        let (status, headers, text) = world.send(builder.body(body).unwrap()).await;
        if let Some(kept) = headers.get("set-cookie") {
            let kept = kept.to_str().unwrap();
            for word in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
                assert!(kept.contains(word), "{kept}");
            }
            assert!(kept.starts_with("__Host-"));
            self.cookie = Some(kept.split(';').next().unwrap().to_owned());
        }
        let to = headers.get("location").map_or("", |to| to.to_str().unwrap());
        (status, to.strip_prefix(ISSUER).unwrap_or(to).to_owned(), text)
    }

    /// Goes to the provider with the login of a client, and says how it was asked.
    async fn leave(&mut self, world: &World, idp: &Idp, from: &str) -> Vec<(String, String)> {
        let (status, to, text) = self.ask(world, from, None).await;
        assert_eq!(status, 303, "{text}");
        let query = to.strip_prefix(&format!("{}/auth?tenant=1&", idp.url)).unwrap_or_else(|| panic!("{to}"));
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// Comes back with these parameters.
    async fn come(&mut self, world: &World, query: &[(&str, &str)]) -> (u16, String, String) {
        let pairs: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
        self.ask(world, &format!("/people/callback?{}", pairs.join("&")), None).await
    }

    /// To the page that asks, whatever the provider says in its ID token but the nonce.
    pub(crate) async fn log_in(&mut self, world: &World, idp: &Idp, from: &str) -> (u16, String) {
        let asked = self.leave(world, idp, from).await;
        let nonce = value(&asked, "nonce").unwrap().to_owned();
        {
            let mut next = idp.next.lock().unwrap();
            if next.1.get("nonce").is_none() {
                next.1["nonce"] = nonce.into();
            }
        }
        let state = value(&asked, "state").unwrap().to_owned();
        let (status, to, text) = self.come(world, &[("code", "c"), ("state", &state), ("iss", &idp.url)]).await;
        if status != 303 {
            return (status, text);
        }
        to.strip_prefix("/people/login?v=").unwrap_or_else(|| panic!("{to}")).clone_into(&mut self.mark);
        let (status, _, text) = self.ask(world, &to, None).await;
        (status, text)
    }

    /// The secret that its forms send back.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    async fn say(&mut self, world: &World, page: &str, yes_or_no: &str) -> (u16, String) {
        let form = format!("form={}&word={yes_or_no}&why=INC-42", secret_of(page));
        let (status, _, text) = self.ask(world, "/people/login", Some((&form, Some(ISSUER)))).await;
        (status, text)
    }
}

fn secret_of(page: &str) -> &str {
    page.split_once("name=\"form\" value=\"").unwrap().1.split('"').next().unwrap()
}

/// Where a page goes on to, by itself.
fn onward(page: &str) -> String {
    page.split_once("content=\"0;url=").unwrap().1.split('"').next().unwrap().replace("&amp;", "&")
}

/// A client's login, and the page to which its browser is sent.
async fn begin(world: &World) -> String {
    let begun = follow(world, &login::query(&[])).await;
    assert!(begun.starts_with("/people/begin?ticket="), "{begun}");
    begun
}

/// Break: ask the provider for less, send the secret elsewhere, or act for the operating system's user all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_at_their_provider_and_allows_it_in_the_page() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    let mut browser = Browser::default();
    let from = begin(&world).await;
    let asked = browser.leave(&world, &idp, &from).await;
    for (name, expected) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "https://as.example/people/callback"),
        ("scope", "openid profile groups"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(value(&asked, name), Some(expected));
    }
    let (status, page) = browser.log_in(&world, &idp, &from).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("Ada &lt;Example&gt;") && page.contains("tickets/reply") && !page.contains("<script"));
    // The code was exchanged by the client with its secret, and with the verifier of the challenge.
    let form = idp.form();
    let basic = format!("{}:{}", "remit%40acme%2Fidp", "s3cret%3A%2B%C3%A4");
    let basic = base64::engine::general_purpose::STANDARD.encode(basic);
    assert_eq!(value(&form, "authorization"), Some(format!("Basic {basic}").as_str()));
    assert_eq!((value(&form, "client_secret"), value(&form, "code")), (None, Some("c")));
    assert!(value(&form, "code_verifier").is_some_and(|verifier| verifier.len() == 43));
    let (status, done) = browser.say(&world, &page, "allow").await;
    assert_eq!(status, 200, "{done}");
    let pairs = back(&onward(&done));
    assert_eq!((value(&pairs, "iss"), value(&pairs, "state")), (Some(ISSUER), Some("a b&c")));
    let (status, given) = redeem(&world, value(&pairs, "code").unwrap(), &[], None).await;
    assert_eq!(status, 200, "{given}");
    let claims = claims(&bundle(&world).await, given["access_token"].as_str().unwrap());
    assert_eq!((claims.name.as_deref(), claims.task.why.as_str()), (Some("Ada <Example>"), "INC-42"));
    assert_eq!(claims.sub_profile, "user");
    let waiting: Vec<Approval> = world.admin(AdminAsk::Approvals {}).await.unwrap();
    assert!(waiting.is_empty());
    // A provider that takes a secret in the form alone gets it there.
    idp.configuration.lock().unwrap()["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    world.clock.set(NOW + 301);
    idp.says(&json!({}), &json!({"iat": NOW + 301, "exp": NOW + 600}));
    let from = begin(&world).await;
    assert_eq!(browser.log_in(&world, &idp, &from).await.0, 200);
    let form = idp.form();
    assert_eq!((value(&form, "authorization"), value(&form, "client_secret")), (Some(""), Some(SECRET)));
}

/// Break: take somebody's ID token for somebody else's, an older one, or one that a stranger signed.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_is_not_of_this_login_is_refused_and_recorded() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    for (header, payload) in [
        (json!({"alg": "none"}), json!({})),
        (json!({"alg": "HS256"}), json!({})),
        (json!({"kid": "ec"}), json!({})),
        (json!({"jwk": {"kty": "OKP"}}), json!({})),
        (json!({"typ": "at+jwt"}), json!({})),
        (json!({}), json!({"nonce": "another"})),
        (json!({}), json!({"aud": "another"})),
        (json!({}), json!({"aud": [CLIENT, "another"]})),
        (json!({}), json!({"azp": "another"})),
        (json!({}), json!({"iss": "https://other.example"})),
        (json!({}), json!({"iat": NOW - 3_900, "exp": NOW - 3_600})),
        (json!({}), json!({"iat": NOW + 3_600, "exp": NOW + 3_900})),
        (json!({}), json!({"sub": null})),
    ] {
        idp.says(&header, &payload);
        let mut browser = Browser::default();
        let from = begin(&world).await;
        let before = federation::entries(&world).await;
        let (status, page) = browser.log_in(&world, &idp, &from).await;
        assert_eq!(status, 400, "{header} {payload}: {page}");
        assert!(page.contains("not known who you are"), "{page}");
        assert_eq!(federation::entries(&world).await, before + 1, "{header} {payload}");
        assert_eq!(browser.ask(&world, "/people/login", None).await.0, 400, "{header} {payload}");
        // Each leaves room for the next, which comes from the same address.
        deny_all(&world).await;
    }
    assert!(logged(&world, "\"object\":\"person\"").await && logged(&world, "\"id\":\"id_token\"").await);
}

async fn deny_all(world: &World) {
    let waiting: Vec<Approval> = world.admin(AdminAsk::Approvals {}).await.unwrap();
    for approval in waiting {
        let Approval::Login(login) = approval else { panic!("{approval:?}") };
        login::answer(world, &login.id, false).await.unwrap();
    }
}

/// Break: take an answer without the cookie, with another's, of another provider, or twice.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_belongs_to_the_browser_that_was_sent_and_counts_once() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    let mut browser = Browser::default();
    let from = begin(&world).await;
    let asked = browser.leave(&world, &idp, &from).await;
    let (state, nonce) = (value(&asked, "state").unwrap(), value(&asked, "nonce").unwrap());
    idp.says(&json!({}), &json!({"nonce": nonce}));
    let good = [("code", "c"), ("state", state), ("iss", idp.url.as_str())];
    // A browser that was never sent, and one that was sent for something else.
    let mut other = Browser::default();
    assert_eq!(other.come(&world, &good).await.0, 400);
    let elsewhere = begin(&world).await;
    other.leave(&world, &idp, &elsewhere).await;
    assert_eq!(other.come(&world, &good).await.0, 400);
    let mut both = browser.clone();
    let cookies = (browser.cookie.clone().unwrap(), other.cookie.clone().unwrap());
    both.cookie = Some(format!("{}; {}", cookies.0, cookies.1));
    assert_eq!(both.come(&world, &good).await.0, 400, "two cookies of one name");
    for bad in
        [&[("code", "c"), ("state", "x"), ("iss", idp.url.as_str())][..], &[("code", "c"), ("iss", idp.url.as_str())]]
    {
        assert_eq!(browser.clone().come(&world, bad).await.0, 400, "{bad:?}");
    }
    assert!(idp.forms.lock().unwrap().is_empty(), "no code was sent on");
    assert_eq!(browser.come(&world, &good).await.0, 303);
    assert_eq!(browser.clone().come(&world, &good).await.0, 400, "once");
    assert_eq!(idp.forms.lock().unwrap().len(), 1);
    // Of another provider, or of nobody, though this one names itself (RFC 9207).
    for iss in [Some("https://evil.example"), None] {
        let from = begin(&world).await;
        let mut browser = Browser::default();
        let asked = browser.leave(&world, &idp, &from).await;
        let mut query = vec![("code", "c"), ("state", value(&asked, "state").unwrap())];
        query.extend(iss.map(|iss| ("iss", iss)));
        let (status, _, page) = browser.come(&world, &query).await;
        assert!(status == 400 && page.contains("of another one"), "{iss:?}: {page}");
    }
    assert_eq!(idp.forms.lock().unwrap().len(), 1);
}

/// Break: take a form of another page, without its secret, or from a browser that did not log in.
#[tokio::test(flavor = "multi_thread")]
async fn a_word_is_taken_from_the_form_of_this_page_alone() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    let mut browser = Browser::default();
    let from = begin(&world).await;
    let (_, page) = browser.log_in(&world, &idp, &from).await;
    let good = format!("form={}&word=allow&why=INC-42", secret_of(&page));
    for (form, origin, status) in [
        (good.as_str(), None, 403),
        (&good, Some("null"), 403),
        (&good, Some("https://evil.example"), 403),
        (&good, Some("https://as.example.evil.example"), 403),
        ("word=allow&why=INC-42", Some(ISSUER), 400),
        ("form=x&word=allow&why=INC-42", Some(ISSUER), 400),
        (&format!("{good}&word=allow"), Some(ISSUER), 400),
    ] {
        assert_eq!(browser.ask(&world, "/people/login", Some((form, origin))).await.0, status, "{form} {origin:?}");
    }
    // Who has the cookie, as every server on the same host may, and was not shown the page.
    let cookie = browser.cookie.clone().unwrap();
    let known = b64(&sha256(&[b"remit.form/v1\n", cookie.split_once('=').unwrap().1.as_bytes()]));
    let mut thief = Browser { cookie: Some(cookie), mark: String::new() };
    assert_eq!(thief.ask(&world, "/people/login", None).await.0, 400);
    let forged = format!("form={known}&word=allow&why=INC-42");
    assert_eq!(thief.ask(&world, "/people/login", Some((&forged, Some(ISSUER)))).await.0, 400);
    let mut other = Browser::default();
    assert_eq!(other.ask(&world, "/people/login", Some((&good, Some(ISSUER)))).await.0, 400);
    // Forms of other pages of this authority are nobody's, wherever they come from.
    assert_eq!(browser.ask(&world, "/token", Some(("x=y", Some(ISSUER)))).await.0, 403);
    let waiting: Vec<Approval> = world.admin(AdminAsk::Approvals {}).await.unwrap();
    assert_eq!(waiting.len(), 1, "nobody has answered");
    // Without a reason it is asked again, with what is missing.
    let form = format!("form={}&word=allow", secret_of(&page));
    let (status, _, again) = browser.ask(&world, "/people/login", Some((&form, Some(ISSUER)))).await;
    assert!(status == 400 && again.contains("<strong>"), "{again}");
    assert_eq!(browser.say(&world, &again, "allow").await.0, 200);
    assert_eq!(browser.say(&world, &page, "allow").await.0, 400, "once");
}

/// Break: give the code to whoever watches the page that waits: that is who began the login, and not who allowed it.
#[tokio::test(flavor = "multi_thread")]
async fn the_code_goes_to_the_browser_of_the_person_alone() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    let from = begin(&world).await;
    let ticket = from.rsplit('=').next().unwrap();
    let mut browser = Browser::default();
    let (_, page) = browser.log_in(&world, &idp, &from).await;
    assert_eq!(world.get(&format!("/authorize/{ticket}")).await.0, 200, "it waits");
    assert_eq!(browser.say(&world, &page, "allow").await.0, 200);
    let (status, headers, _) = world.get(&format!("/authorize/{ticket}")).await;
    assert_eq!((status, headers.get("location")), (400, None));
    // A word at a terminal is good as before, where no person has answered in a browser.
    let from = begin(&world).await;
    let ticket = from.rsplit('=').next().unwrap().to_owned();
    login::answer(&world, &login::only(&world).await, true).await.unwrap();
    let sent = follow(&world, &format!("/authorize/{ticket}")).await;
    assert!(value(&back(&sent), "code").is_some());
}

/// Break: let anybody of the provider answer for every team.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_no_group_of_the_team_allows_nothing() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    idp.says(&json!({}), &json!({"groups": ["else"]}));
    let from = begin(&world).await;
    let mut browser = Browser::default();
    let (status, page) = browser.log_in(&world, &idp, &from).await;
    assert!(status == 403 && page.contains("not for you"), "{page}");
    let form = format!("form={}&word=allow&why=x", browser.mark);
    assert_eq!(browser.ask(&world, "/people/login", Some((&form, Some(ISSUER)))).await.0, 403);
    let waiting: Vec<Approval> = world.admin(AdminAsk::Approvals {}).await.unwrap();
    assert_eq!(waiting.len(), 1);
}

/// Break: send nobody anywhere from a device, look codes up without end, or forget the other providers.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_connected_by_a_person_who_types_its_code() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    let form = [("client_id", "support/desk"), ("resource", federation::TICKETS)];
    let (_, device) = world.post("/device_authorization", &form, None).await;
    let (_, _, page) = world.get("/device").await;
    assert!(page.contains("action=\"/people/begin\"") && page.contains("name=\"user_code\""), "{page}");
    let mut browser = Browser::default();
    let from = format!("/people/begin?user_code={}", device["user_code"].as_str().unwrap());
    let (status, page) = browser.log_in(&world, &idp, &from).await;
    assert!(status == 200 && page.contains(device["user_code"].as_str().unwrap()), "{page}");
    let (status, done) = browser.say(&world, &page, "allow").await;
    assert!(status == 200 && done.contains("Go back to the device"), "{done}");
    let poll = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("device_code", device["device_code"].as_str().unwrap()),
        ("client_id", "support/desk"),
    ];
    let (status, given) = world.token(&poll, None).await;
    assert_eq!(status, 200, "{given}");
    // Codes cannot be guessed without end, not even a right one among them; right ones count as no guesses.
    let (_, device) = world.post("/device_authorization", &form, None).await;
    let right = format!("/people/begin?user_code={}", device["user_code"].as_str().unwrap());
    for _ in 0..40 {
        assert_eq!(world.get(&right).await.0, 303);
    }
    for _ in 0..40 {
        assert_eq!(world.get("/people/begin?user_code=BBBB-BBBB").await.0, 400);
    }
    assert_eq!(world.get(&right).await.0, 400);
    world.clock.set(NOW + 61);
    assert_eq!(world.get(&right).await.0, 303);
    // Where there is a choice a person makes it.
    let second = Idp::start().await;
    trust_with_secret(&world, second.registration()).await;
    let (status, _, page) = world.get(&right).await;
    assert!(status == 200 && page.contains(&second.url) && page.contains(&idp.url), "{page}");
    let from = follow(&world, &login::query(&[])).await;
    let (_, _, page) = world.get(&from).await;
    assert!(from.starts_with("/authorize/") && page.contains(&escape(&second.url)), "{page}");
}

/// Break: write the secret down where it can be read.
#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_client_is_nowhere_in_clear() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    let listed: Value = world.admin(AdminAsk::Issuers {}).await.unwrap();
    assert!(!listed.to_string().contains("s3cret"));
    for path in login::walk(world.dir.path()) {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&bytes).contains("s3cret"), "{}", path.display());
    }
    // Of no use to another registration: what was sealed before is destroyed.
    trust_with_secret(&world, idp.registration()).await;
    let (key, from) = (Key::new(1), begin(&world).await);
    assert_eq!(Browser::default().log_in(&world, &idp, &from).await.0, 200, "{}", key.public.thumbprint());
}
