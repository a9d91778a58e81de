//! An approver whom an identity provider knows answers an ask in the browser.

use super::asks::{begin, furnish, opened, state, within};
use super::common::{ISSUER, World};
use super::people::{Browser, Idp, world};
use super::teams::give;
use remit_authority::asks::record::AskState;
use remit_authority::socket::wire::{AdminAsk, Approval};

async fn page(world: &World, idp: &Idp, browser: &mut Browser, code: &str) -> String {
    let (status, page) = browser.log_in(world, idp, &format!("/people/begin?user_code={code}")).await;
    assert_eq!(status, 200, "{page}");
    page
}

fn digest_of(page: &str) -> &str {
    page.split_once("name=\"digest\" value=\"").unwrap().1.split('"').next().unwrap()
}

/// Break: take the word of whoever logs in, or a word on something else than the page showed.
#[tokio::test(flavor = "multi_thread")]
async fn an_approver_answers_in_the_browser_what_the_page_shows() {
    let idp = Idp::start().await;
    let world = world(&idp).await;
    furnish(&world).await;
    let of = begin(&world).await;
    let ask = opened(within(&of).await.unwrap());
    let mut browser = Browser::default();
    let shown = page(&world, &idp, &mut browser, &ask.id).await;
    for part in ["tickets/reply", "id=4", "debugging", &ask.digest, "platform answers this", "the run&#39;s own words"]
    {
        assert!(shown.contains(part) || shown.contains(&part.replace("&#39;", "'")), "{part}: {shown}");
    }
    // Whoever has not the role is told whose it is, and nothing is answered.
    let say = async |browser: &mut Browser, digest: &str, word: &str| {
        let form = format!("form={}&word={word}&why=one&digest={digest}", browser.mark());
        let (status, _, text) = browser.ask(&world, "/people/login", Some((&form, Some(ISSUER)))).await;
        (status, text)
    };
    let (status, text) = say(&mut browser, digest_of(&shown), "allow").await;
    assert!(status == 400 && text.contains("this belongs to platform"), "{status} {text}");
    assert_eq!(state(&of, &ask).await.ask.unwrap().ask.state, AskState::Open);
    let person = format!("{}#ada", idp.url);
    give(&world, "platform", &person).await;
    let (status, text) = say(&mut browser, "sha256:00", "allow").await;
    assert!(status == 400 && text.contains("is not what was shown"), "{status} {text}");
    let (status, text) = say(&mut browser, digest_of(&shown), "allow").await;
    assert_eq!(status, 200, "{text}");
    let given = state(&of, &ask).await.granted.unwrap();
    assert_eq!(given.grant.details, ask.details);
    assert_eq!(say(&mut browser, digest_of(&shown), "deny").await.0, 400, "it was answered");
    let waiting: Vec<Approval> = world.admin(AdminAsk::Approvals {}).await.unwrap();
    assert!(waiting.is_empty());
}
