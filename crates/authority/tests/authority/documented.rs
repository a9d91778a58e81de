//! What docs/delegation.md tells people to send is sent, as it stands there.

use super::common::{GATEWAY, ISSUER, Key, NOW};
use super::delegation::{READER, actor, furnished, root};
use serde_json::Value;

const PAGE: &str = include_str!("../../../../docs/delegation.md");

/// A command of the page: its path, its parameters, and whether it sends a proof.
struct Command {
    path: String,
    form: Vec<(String, String)>,
    proof: bool,
}

fn commands() -> Vec<Command> {
    let blocks = PAGE.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let command = |block: &str| {
        let path = block.split("$ISSUER").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let parameters = block.split("--data-urlencode ").skip(1).map(|rest| {
            let quote = rest.chars().next().unwrap();
            let text = rest.split(quote).nth(1).unwrap();
            let (name, value) = text.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        Command { path, form: parameters.collect(), proof: block.contains("--header \"DPoP: $PROOF\"") }
    };
    blocks.map(command).collect()
}

/// Break: rename a parameter, or let a command of the page go stale.
#[tokio::test(flavor = "multi_thread")]
async fn each_command_of_the_page_does_what_the_page_says() {
    let world = furnished().await;
    let run = root(&world, 1).await;
    let mut token = run.token(&world).await;
    let mut answers = Vec::new();
    for command in commands() {
        let actor = actor(&Key::new(2), READER, NOW);
        let fill = |value: &str| {
            value
                .replace("$TOKEN", &token)
                .replace("$ACTOR", &actor)
                .replace("$GATEWAY", GATEWAY)
                .replace("$ISSUER", ISSUER)
        };
        // The assertion is added by whoever asks.
        let own = |name: &str| name.starts_with("client_assertion");
        assert_eq!(command.form.iter().filter(|(name, _)| own(name)).count(), 2);
        let form: Vec<(String, String)> = command
            .form
            .iter()
            .filter(|(name, _)| !own(name))
            .map(|(name, value)| (name.clone(), fill(value)))
            .collect();
        assert!(form.iter().all(|(_, value)| !value.contains('$')), "{form:?}");
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let proof = command.proof.then(|| run.proof());
        let (status, answer) = run.ask(&world, &command.path, &form, proof.as_deref()).await;
        assert_eq!(status, 200, "{}: {answer}", command.path);
        if let (0, Some(first)) = (answers.len(), answer["access_token"].as_str()) {
            token = first.to_owned();
        }
        answers.push(answer);
    }
    let kinds: Vec<Option<&str>> = answers.iter().map(|answer| answer["token_type"].as_str()).collect();
    assert_eq!(kinds, [Some("DPoP"), Some("DPoP"), Some("DPoP"), Some("DPoP"), None]);
    assert_eq!((&answers[3]["active"], &answers[4]), (&Value::Bool(true), &Value::Null));
}
