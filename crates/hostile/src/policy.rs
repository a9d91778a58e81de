//! Policies: whatever text a team hands in, it can only speak of its own agents, and never against the floor.

use std::sync::LazyLock;

use remit_core::plan::Outcome;
use remit_core::policy::Compiled;
use serde_json::json;

use crate::fixed::{SALES, SUPPORT, asked, bundle, compiled};
use crate::parts::{choice, texts};

const ALL: &str = "permit(principal, action, resource);";
const NOTHING: &str = "forbid(principal, action, resource);";

const CALLS: [(&str, &str); 3] =
    [("refund", r#"{"amount":12.5,"to":"x","tags":["a"]}"#), ("odd", r#"{"n":3}"#), ("none", "{}")];

/// The first byte chooses what is asked; then the text of a floor's file and of a team's.
pub fn policy(bytes: &[u8]) {
    let (first, rest) = choice(bytes);
    let Some([floor, team]) = texts(rest) else { return };
    match first % 3 {
        0 => {
            if let Some(both) = with(floor, team) {
                let _any = [SUPPORT, SALES].map(|agent| outcomes(&both, agent));
            }
        }
        1 => alone(team),
        _ => {
            // What the floor forbids stays forbidden.
            let outcomes = with(NOTHING, team).map(|bundle| outcomes(&bundle, SUPPORT));
            assert!(outcomes.as_ref().is_none_or(all_forbidden), "{outcomes:?}");
        }
    }
}

/// A team's text opens nothing for another team's agents, and closes nothing for them.
fn alone(team: &str) {
    let outcomes = |floor| with(floor, team).map(|bundle| outcomes(&bundle, SALES));
    let Some(opened) = outcomes("") else { return };
    assert!(all_forbidden(&opened), "{opened:?}");
    assert_eq!(outcomes(ALL).as_ref(), UNTOUCHED.as_ref(), "a team speaks of another's agents");
}

/// What another team's agents may do where no team says anything.
static UNTOUCHED: LazyLock<Option<Outcomes>> = LazyLock::new(|| Some(outcomes(&with(ALL, "")?, SALES)));

type Outcomes = [Option<Outcome>; CALLS.len()];

fn with(floor: &str, team: &str) -> Option<Compiled> {
    let odd = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    compiled(bundle(floor, team, &odd)).ok()
}

fn outcomes(bundle: &Compiled, agent: &str) -> Outcomes {
    CALLS.map(|(tool, arguments)| asked(bundle, agent, tool, arguments))
}

fn all_forbidden(outcomes: &Outcomes) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Some(Outcome::Forbid(_))))
}
