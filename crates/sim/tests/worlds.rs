//! The real decision and the naive model agree, on worlds of which enough are permitted and refused for each reason.
//! A model with one rule wrong does not agree: otherwise the agreement would mean nothing.

use remit_sim::model::judge;
use remit_sim::world::{Arguments, Asked, Flaw, NOW, OWN, Policy, Presented, Token, When, World};
use remit_sim::worlds::compare;

const WORLDS: u64 = 20_000;

#[test]
fn the_model_agrees() {
    let tally = compare(NOW.unsigned_abs(), WORLDS, &judge).unwrap_or_else(|difference| panic!("{difference:#?}"));
    assert_eq!(tally.worlds(), WORLDS);
    assert_eq!(tally.rare(), Vec::<&str>::new(), "{tally:#?}");
}

/// A model that judges another world than it was shown must be caught.
#[track_caller]
fn caught(what: &str, wrong: fn(&mut Vec<Policy>, &mut World)) {
    let judge = |policies: &[Policy], world: &World| {
        let (mut policies, mut world) = (policies.to_vec(), world.clone());
        wrong(&mut policies, &mut world);
        judge(&policies, &world)
    };
    let differs = compare(2, WORLDS, &judge).is_err_and(|found| found.model != found.real);
    assert!(differs, "not caught: a model that {what}");
}

fn with_token(world: &mut World, wrong: impl Fn(&mut Token)) {
    if let Presented::Token(token) = &mut world.presented {
        wrong(token);
    }
}

#[test]
fn a_wrong_model_of_the_caller_is_caught() {
    caught("ignores revocation", |_, w| w.revoked = None);
    caught("ignores lockdown", |_, w| w.locked = false);
    caught("ignores the audience", |_, w| {
        let server = w.server;
        with_token(w, |t| t.audience = vec![server]);
    });
    caught("accepts the second of the end", |_, w| {
        with_token(w, |t| t.left += 1);
    });
    caught("accepts a minute and a second of skew", |_, w| {
        with_token(w, |t| t.age += 1);
    });
    caught("accepts another issuer", |_, w| {
        with_token(w, |t| t.flaw = t.flaw.filter(|f| *f != Flaw::Issuer));
    });
    caught("accepts another trust domain", |_, w| {
        with_token(w, |t| t.flaw = t.flaw.filter(|f| *f != Flaw::Domain));
    });
    caught("accepts contradicting claims", |_, w| {
        with_token(w, |t| t.flaw = t.flaw.filter(|f| *f != Flaw::Incoherent));
    });
    caught("takes a used proof", |_, w| {
        if w.presented == Presented::Replayed {
            w.presented = Presented::BadProof;
        }
    });
}

#[test]
fn a_wrong_model_of_the_grant_is_caught() {
    caught("ignores pins", |_, w| w.drifted = false);
    caught("ignores limits of arguments", |_, w| {
        with_token(w, |t| t.tools.iter_mut().for_each(|tool| tool.1.clear()));
    });
    caught("ignores which server was granted", |_, w| {
        let server = w.server;
        with_token(w, |t| t.grant_for = server);
    });
    caught("completes a prompt for who was granted another", |_, w| {
        if matches!(w.asked, Asked::Complete(_)) {
            w.asked = Asked::Complete("greet");
        }
    });
    caught("lets watch what was not granted", |_, w| {
        if let Asked::Watch([first, ..]) = w.asked {
            w.asked = Asked::Watch(std::slice::from_ref(first));
        }
    });
    caught("knows a method that nobody has", |_, w| {
        if w.asked == Asked::Unheard {
            w.asked = Asked::Method;
        }
    });
    caught("counts no methods", |_, w| {
        if w.asked == Asked::Method {
            w.counts = [1, 1, 1];
        }
    });
    caught("takes a lookalike for another argument", |_, w| {
        if let Arguments::Object(given) = &mut w.arguments {
            given.iter_mut().filter(|(name, _)| *name == "COUNT").for_each(|(name, _)| *name = "other");
        }
    });
    caught("lets one call too many", |_, w| w.counts[0] -= 1);
    caught("lets one too many a minute", |_, w| w.counts[1] -= 1);
    caught("lets one repeat too many", |_, w| w.counts[2] -= 1);
}

#[test]
fn a_wrong_model_of_the_policy_is_caught() {
    caught("skips a forbid that errs", |p, _| {
        p.retain(|p| p.when != When::IdOverflows);
    });
    caught("skips gates", |p, _| p.retain(|p| p.gate.is_none()));
    caught("takes a gate for a forbid", |p, _| {
        for policy in p.iter_mut() {
            policy.gate = None;
        }
    });
    caught("lets one approve oneself", |_, w| {
        for approval in &mut w.approvals {
            for by in approval.by.iter_mut().filter(|by| **by == OWN) {
                *by = "u-9";
            }
        }
    });
    caught("takes an approval of another call", |_, w| {
        w.approvals.iter_mut().for_each(|a| a.of_this_call = true);
    });
    caught("takes a late approval", |_, w| {
        w.approvals.iter_mut().for_each(|a| a.left = 1);
    });
    caught("ignores how the token was presented", |_, w| {
        with_token(w, |t| t.bearer = false);
    });
    caught("ignores labels", |_, w| w.trust = 0);
    caught("ignores sensitivity", |_, w| w.sensitivity = 0);
    caught("ignores lineage", |_, w| with_token(w, |t| t.depth = 0));
    caught("lets a team's name stand for a longer one", |p, _| {
        for policy in p.iter_mut() {
            if let remit_sim::world::Who::Team("support") = policy.who {
                policy.who = remit_sim::world::Who::Anybody;
            }
        }
    });
}
