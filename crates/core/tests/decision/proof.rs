//! One leaf and its opened frame prove all of: agent X version Y, spawned by Z, for user U, because R, until T, called
//! this tool with exactly these arguments under policy P. Altering any one piece is found.

use remit_core::event::commitment::Disclosure;
use remit_core::event::{
    Intent, Opened, OpenedOutcome, Outcome, OutcomeStatement, Statement, StatementError, Status, check_entry,
};
use remit_core::gate::Evidence;
use remit_core::label::Label;
use serde_json::{Value, json};

use crate::common::{AGENT, ALL, NOW, PIN, bundle};
use crate::make::{open, record, refund};

fn intent() -> Intent {
    record(&bundle(ALL), refund(), Evidence::default()).unwrap()
}

fn opened(frame: &[u8]) -> Opened {
    serde_json::from_slice(frame).unwrap()
}

#[test]
fn one_receipt_proves_the_whole_sentence() {
    let intent = intent();
    let statement = Statement::read(&intent.leaf, Some(&opened(&open(&intent.sealed)))).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let expected = Statement {
        agent: AGENT.into(),
        spawned_by: vec!["spiffe://acme.example/agent/support/triage/2.0.0/run-1".into()],
        user: "u-7f3a".into(),
        user_name: text("Ada Example"),
        because: text("the customer asked for her money back"),
        because_trust: "verified".into(),
        until: NOW + 1_800,
        granted_by: "policy".into(),
        tool: "tickets/issue_refund".into(),
        pin: PIN.into(),
        arguments: text("{\"to\":\"DE89 3704\", \"amount\":12.50}"),
        disclosed: [("arg.to".into(), "\"DE89 3704\"".into()), ("arg.amount".into(), "12.50".into())].into(),
        verdict: "permit".into(),
        policies: vec!["floor/base/policy0".into()],
        bundle: (7, format!("sha256:{}", "22".repeat(32))),
        at: NOW,
    };
    assert_eq!(statement, expected);
}

/// Nobody needs the vault to see that a reason is a model's own words.
#[test]
fn a_reason_from_inside_a_run_is_marked() {
    let mut input = refund();
    input["presented"]["token"]["claims"]["task"]["trust"] = json!("untrusted");
    let leaf = record(&bundle(ALL), input, Evidence::default()).unwrap().leaf;
    assert_eq!(Statement::read(&leaf, None).unwrap().because_trust, "untrusted");
}

#[test]
fn an_altered_piece_of_the_frame_is_found() {
    let intent = intent();
    let frame = open(&intent.sealed);
    let original: Value = serde_json::from_slice(&frame).unwrap();
    let alter = |change: &dyn Fn(&mut Value)| {
        let mut frame = original.clone();
        change(&mut frame);
        assert_ne!(frame, original);
        Statement::read(&intent.leaf, Some(&opened(frame.to_string().as_bytes()))).map(|_| ())
    };
    let bad = Err(StatementError::Commitment);
    let mut altered = 0;
    for (from, to) in [
        ("12.50", "12.5"),
        ("12.50", "99.50"),
        ("DE89 3704", "DE89 3705"),
        ("her money back", "his money back"),
        ("Ada Example", "Eve Example"),
        ("u-7f3a", "u-7f3b"),
        ("1.4.2", "1.4.3"),
        ("run-1", "run-0"),
        ("issue_refund", "read_ticket"),
        ("1795252200", "1795252201"),
        ("\"trust\":\"untrusted\"", "\"trust\":\"verified\""),
    ] {
        let changed = alter(&|frame| {
            let decided = frame["decided"].as_str().unwrap().replacen(from, to, 1);
            frame["decided"] = json!(decided);
        });
        assert_eq!(changed, bad, "{from}");
        altered += 1;
    }
    assert_eq!(altered, 11);
    for key in ["args_key", "input_key"] {
        assert_eq!(alter(&|frame| frame[key] = json!("A".repeat(43))), bad, "{key}");
        assert_eq!(alter(&|frame| frame[key] = json!("")), bad, "{key}");
    }
    let fields = original["disclosures"].as_array().unwrap().len();
    for field in 0..fields {
        let dropped = alter(&|frame| drop(frame["disclosures"].as_array_mut().unwrap().remove(field)));
        assert_eq!(dropped, bad, "{field} dropped");
        let forged = alter(&|frame| {
            let (name, _) = Disclosure::from_text(frame["disclosures"][field].as_str().unwrap().into()).open().unwrap();
            frame["disclosures"][field] = json!(Disclosure::new([7; 32], &name, "\"x\"").text());
        });
        assert_eq!(forged, bad, "{field} forged");
    }
    let added = alter(&|frame| {
        let more = Disclosure::new([7; 32], "arg.note", "1").text().to_owned();
        frame["disclosures"].as_array_mut().unwrap().push(json!(more));
    });
    assert_eq!(added, bad);
}

/// Each piece stands in the leaf, whose bytes the tree's root covers: another piece is another leaf hash, and the
/// frame no longer fits or the statement says something else.
#[test]
fn an_altered_piece_of_the_leaf_is_another_leaf() {
    let intent = intent();
    let frame = opened(&open(&intent.sealed));
    let original = Statement::read(&intent.leaf, Some(&frame)).unwrap();
    let text = String::from_utf8(intent.leaf.clone()).unwrap();
    let until = (NOW + 1_800).to_string();
    for (from, to) in [
        ("triage/1.4.2", "triage/1.4.3"),
        ("triage/2.0.0/run-1", "triage/2.0.0/run-0"),
        ("u-7f3a", "u-7f3b"),
        (until.as_str(), "1795252201"),
        ("\"by\":\"policy\"", "\"by\":\"u-9\""),
        ("tickets/issue_refund", "tickets/read_ticket"),
        ("sha256:1111", "sha256:1112"),
        ("floor/base/policy0", "floor/base/policy1"),
        ("\"verdict\":\"permit\"", "\"verdict\":\"forbid\""),
        ("sha256:2222", "sha256:2223"),
        ("\"bundle\":7", "\"bundle\":8"),
        ("\"args_commit\":\"", "\"args_commit\":\"A"),
        ("\"input_commit\":\"", "\"input_commit\":\"A"),
        ("\"_sd\":[\"", "\"_sd\":[\"A"),
    ] {
        assert!(text.contains(from), "{from}");
        let altered = text.replace(from, to);
        assert_ne!(
            remit_core::hash::leaf_hash(altered.as_bytes()),
            remit_core::hash::leaf_hash(text.as_bytes()),
            "{from}"
        );
        let read = Statement::read(altered.as_bytes(), Some(&frame));
        assert!(read.is_err() || read.is_ok_and(|read| read != original), "{from}");
    }
}

#[test]
fn single_fields_are_disclosed_without_the_others() {
    let intent = intent();
    let frame: Value = serde_json::from_slice(&open(&intent.sealed)).unwrap();
    let fields: Vec<Disclosure> = frame["disclosures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| Disclosure::from_text(text.as_str().unwrap().into()))
        .collect();
    let named = |name: &str| fields.iter().find(|field| field.open().unwrap().0 == name).unwrap().clone();
    let clear = Statement::read(&intent.leaf, None).unwrap();
    assert_eq!((&clear.because, &clear.user_name, &clear.arguments), (&None, &None, &None));
    assert!(clear.disclosed.is_empty());
    let why = Statement::with_fields(&intent.leaf, &[named("why")]).unwrap();
    assert_eq!(why.because.as_deref(), Some("the customer asked for her money back"));
    assert_eq!(Statement { because: None, ..why }, clear);
    let amount = Statement::with_fields(&intent.leaf, &[named("arg.amount")]).unwrap();
    assert_eq!(amount.disclosed, [("arg.amount".to_owned(), "12.50".to_owned())].into());
    assert_eq!((amount.because, amount.user_name, amount.arguments), (None, None, None));
    let forged = Disclosure::new([7; 32], "arg.amount", "12.50");
    assert_eq!(Statement::with_fields(&intent.leaf, &[forged]), Err(StatementError::Commitment));
    let of_another = Disclosure::from_text(named("arg.to").text().replacen('A', "B", 1));
    assert_eq!(Statement::with_fields(&intent.leaf, &[of_another]), Err(StatementError::Commitment));
}

#[test]
fn a_frame_fits_its_own_leaf_alone() {
    let one = intent();
    let other = {
        let mut input = refund();
        input["arguments"] = json!("{\"to\":\"DE89 3704\", \"amount\":12.51}");
        record(&bundle(ALL), input, Evidence::default()).unwrap()
    };
    assert!(check_entry(&one.leaf, &one.sealed).is_ok());
    for (leaf, sealed) in [(&one.leaf, &other.sealed), (&other.leaf, &one.sealed), (&one.leaf, &Vec::new())] {
        assert_eq!(check_entry(leaf, sealed), Err(StatementError::Frame));
        if !sealed.is_empty() {
            assert_eq!(opened(&open(sealed)).check(leaf).map(|_| ()), Err(StatementError::Commitment));
        }
    }
    let heartbeat =
        remit_core::event::Heartbeat { low_water: 0, open: 0, bundle: 0 }.write(&crate::make::head()).unwrap();
    assert!(check_entry(&heartbeat, b"").is_ok());
    assert_eq!(check_entry(&heartbeat, b"x"), Err(StatementError::Frame));
    assert_eq!(check_entry(b"{}", b""), Err(StatementError::NotAnIntent));
    assert_eq!(Statement::read(&heartbeat, None), Err(StatementError::NotAnIntent));
}

/// What was sealed is what was decided by: deciding it again gives the verdict and policies that the leaf names.
#[test]
fn a_recorded_decision_can_be_decided_again() {
    let (bundle, intent) = (bundle(ALL), intent());
    let by = opened(&open(&intent.sealed)).check(&intent.leaf).unwrap();
    let (verdict, policies) = remit_core::decide::replay(&bundle, &by.input, &by.evidence);
    let statement = Statement::read(&intent.leaf, None).unwrap();
    assert_eq!(verdict.name(), statement.verdict);
    assert_eq!(policies.into_iter().collect::<Vec<_>>(), statement.policies);
}

fn outcome(result: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
    let outcome = Outcome {
        intent: 41,
        run: Some(("run-2", "run-1")),
        status: Status::Ok,
        duration_us: 1_234,
        label_after: Label::UNKNOWN,
        result,
        subject: "u-7f3a",
    };
    outcome.write(&crate::make::head(), &mut crate::make::counter(), &mut crate::make::seal).unwrap()
}

#[test]
fn an_outcome_proves_exactly_the_result_that_came_back() {
    let result = b"{\"content\":[{\"type\":\"text\",\"text\":\"1.0\"}]}";
    let (leaf, sealed) = outcome(Some(result));
    let frame = open(&sealed);
    assert!(serde_json::from_slice::<Opened>(&frame).is_err());
    let opened: OpenedOutcome = serde_json::from_slice(&frame).unwrap();
    let said = OutcomeStatement::read(&leaf).unwrap();
    assert_eq!((said.intent, said.status.as_str(), said.duration_us), (41, "ok", 1_234));
    assert_eq!((said.result_bytes, said.result_proved), (Some(result.len().try_into().unwrap()), false));
    let proved = OutcomeStatement::with_result(&leaf, &opened, result).unwrap();
    assert_eq!(proved, OutcomeStatement { result_proved: true, ..said });
    let bad = Err(StatementError::Commitment);
    let other = String::from_utf8_lossy(result).replace("1.0", "1.1");
    assert_eq!(OutcomeStatement::with_result(&leaf, &opened, other.as_bytes()), bad);
    let of_another_key: OpenedOutcome =
        serde_json::from_value(json!({"v": 1, "result_key": remit_core::hash::b64(&[7; 32])})).unwrap();
    assert_eq!(OutcomeStatement::with_result(&leaf, &of_another_key, result), bad);
    let (empty, _) = outcome(None);
    assert_eq!(OutcomeStatement::with_result(&empty, &opened, b""), bad);
    assert_eq!(OutcomeStatement::read(&intent().leaf), Err(StatementError::NotAnOutcome));
}
