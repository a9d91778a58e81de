//! Random worlds from a seed, and the comparison of the real decision with the naive model on each of them.

use std::collections::BTreeMap;

use remit_core::decide::{Verdict, replay};
use remit_core::gate::Gate;
use remit_core::plan::shows;
use remit_core::revoked::Kind;

use crate::random::Random;
use crate::render;
use crate::world::{
    AGENTS, Approval, Arguments, Asked, Flaw, Limit, OWN, On, Policy, Presented, REGISTERED, Token, When, Who, World,
};

/// Worlds that share one draw of policies: compiling them costs more than deciding.
const WORLDS_PER_BUNDLE: u64 = 250;
/// Least share of permits, in percent.
pub const PERMITS_PERCENT_MIN: u64 = 20;
/// Least share of each code, in percent.
pub const CODE_PERCENT_MIN: u64 = 1;
/// Every code that a decision can end in.
pub const CODES: [&str; 21] = [
    "token_missing",
    "token_invalid",
    "token_expired",
    "token_audience",
    "proof_invalid",
    "proof_replayed",
    "revoked",
    "agent_unregistered",
    "unknown",
    "insufficient_scope",
    "locked_down",
    "pin_changed",
    "arguments_invalid",
    "arguments_outside_grant",
    "number_inexact",
    "policy_forbid",
    "policy_error",
    "gate_pending",
    "budget_spent",
    "rate_limited",
    "loop_detected",
];

/// How often each answer was given: `permit`, or the code of the refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<&'static str, u64>);

/// A world on which the model and the real decision differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which of them: the seed and the number within it.
    pub at: (u64, u64),
    /// The world.
    pub world: Box<World>,
    /// The policies, as Cedar has them.
    pub policies: String,
    /// What the model says.
    pub model: Verdict,
    /// What the real decision says.
    pub real: Verdict,
}

impl Tally {
    /// Counts of both.
    #[must_use]
    pub fn plus(mut self, other: Tally) -> Tally {
        for (name, n) in other.0 {
            *self.0.entry(name).or_default() += n;
        }
        self
    }

    /// All worlds.
    pub fn worlds(&self) -> u64 {
        self.0.values().sum()
    }

    /// Answers that are too rare for their agreement to mean much.
    pub fn rare(&self) -> Vec<&'static str> {
        let least = |name| {
            if name == "permit" { PERMITS_PERCENT_MIN } else { CODE_PERCENT_MIN }
        };
        let all = CODES.into_iter().chain(["permit"]);
        all.filter(|name| self.0.get(name).copied().unwrap_or(0) * 100 < least(*name) * self.worlds()).collect()
    }
}

/// Draws `count` worlds from `seed` and compares the decision on each with what `judge` says.
pub fn compare(seed: u64, count: u64, judge: &dyn Fn(&[Policy], &World) -> Verdict) -> Result<Tally, Box<Difference>> {
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let mut drawn = (Vec::new(), None);
    for number in 0..count {
        if number % WORLDS_PER_BUNDLE == 0 {
            let policies = policies(&mut random);
            drawn = (policies.clone(), Some(render::bundle(&policies)));
        }
        let (policies, Some(bundle)) = &drawn else {
            continue;
        };
        let world = world(&mut random);
        let input = render::input(&world);
        let evidence = render::evidence(&world, &input);
        let (real, _) = replay(bundle, &input, &evidence);
        let model = judge(policies, &world);
        // What is permitted or pending with some arguments must not be hidden from the list.
        let hidden = !matches!(real, Verdict::Forbid(_)) && !shows(bundle, &input);
        if real != model || hidden {
            return Err(Box::new(Difference {
                at: (seed, number),
                policies: policies.iter().map(render::cedar).collect(),
                world: Box::new(world),
                model,
                real,
            }));
        }
        let name = real.code().map_or("permit", |code| code.name());
        *tally.0.entry(name).or_default() += 1;
    }
    Ok(tally)
}

fn policies(random: &mut Random) -> Vec<Policy> {
    let mut all = Vec::new();
    let mut add = |percent, random: &mut Random, permit, gate, who, on, when| {
        if !random.percent(percent) {
            return;
        }
        let owner = match who {
            Who::Anybody => None,
            Who::Team(team) => Some(team),
            Who::Name(name) => name.split_once('/').map(|(team, _)| team),
        };
        all.push(Policy { permit, gate, who, on, when, team: owner.filter(|_| random.percent(50)) });
    };
    for (who, on) in [
        (Who::Team("support"), On::ToolsOf("tickets")),
        (Who::Name("support/triage"), On::ToolsOf("lab")),
        (Who::Team("support-eu"), On::AnyTool),
        (Who::Name("billing/payer"), On::Tool("tickets/issue_refund")),
        (Who::Team("billing"), On::Tool("tickets/read_ticket")),
        (Who::Anybody, On::Resources),
        (Who::Anybody, On::Prompts),
        (Who::Anybody, On::Answers),
    ] {
        add(95, random, true, None, who, on, When::Always);
    }
    let (refund, everybody) = (On::Tool("tickets/issue_refund"), Who::Anybody);
    let amount = random.pick(&[50_000, 99_950]);
    for (percent, who, on, when) in [
        (80, everybody, refund, When::AmountOver(amount)),
        (60, everybody, refund, When::To("evil")),
        (35, everybody, On::AnyTool, When::UntrustedAndTierFrom(random.pick(&[2, 3]))),
        (10, everybody, On::Anything, When::SensitivityFrom(3)),
        (10, everybody, On::Answers, When::Bearer),
        (20, everybody, On::Tool("tickets/annotate"), When::Unproven),
        (6, everybody, On::Anything, When::Unproven),
        (15, everybody, refund, When::AmountTrustFrom(1)),
        (15, everybody, On::Anything, When::Bearer),
        (20, everybody, On::AnyTool, When::OtherEnvironment),
        (25, Who::Team("support"), On::Anything, When::Spawned),
        (80, everybody, On::Tool("tickets/read_ticket"), When::IdOverflows),
        (60, everybody, On::Resources, When::UriBelow("file:///secret/")),
        (30, Who::Team("billing"), On::AnyTool, When::CallsOver(6)),
    ] {
        add(percent, random, false, None, who, on, when);
    }
    let (approval, dual) = (Some(Gate::Approval), Some(Gate::Dual));
    for (percent, gate, who, on, when) in [
        (60, approval, everybody, On::AnyTool, When::TierFrom(3)),
        (60, dual, everybody, refund, When::AmountOver(20_000)),
        (30, approval, Who::Name("support/triage"), On::AnyTool, When::TierFrom(2)),
        (30, approval, everybody, On::Prompts, When::Always),
        (30, dual, everybody, On::Resources, When::Always),
        (20, approval, everybody, On::Answers, When::Always),
        (10, Some(Gate::Endorsement), everybody, On::AnyTool, When::UntrustedAndTierFrom(1)),
    ] {
        add(percent, random, false, gate, who, on, when);
    }
    all
}

fn world(random: &mut Random) -> World {
    let mut world = good(random);
    if random.percent(45) {
        spoil(&mut world, random);
    }
    // Two things that are wrong at once show which of them is looked at first.
    if random.percent(12) {
        spoil(&mut world, random);
    }
    world
}

/// A world in which nothing is wrong, though a policy may still forbid it.
fn good(random: &mut Random) -> World {
    let agent = random.below(REGISTERED);
    let needs = AGENTS.get(agent).map_or(&[][..], |agent| agent.needs);
    let tools: Vec<&str> = needs.iter().filter(|need| !need.contains(':')).copied().collect();
    let (server, tool) = random.pick(&tools).split_once('/').unwrap_or(("tickets", "read_ticket"));
    let asked = match random.below(13) {
        0 => Asked::Prompt("greet"),
        1 => Asked::Resource(random.pick(&["file:///readme", "file:///secret/key"])),
        2 => random.pick(&[
            Asked::Method,
            Asked::Complete("greet"),
            Asked::Watch(&["file:///readme"]),
            Asked::Watch(&["file:///readme", "file:///secret/key"]),
        ]),
        3 => random.pick(&[Asked::Answer("elicitation"), Asked::Question("elicitation")]),
        _ => Asked::Tool(tool),
    };
    let server = if matches!(asked, Asked::Tool(_)) { server } else { "tickets" };
    let limits = if random.percent(40) { limits(tool, random) } else { vec![] };
    let token = Token {
        bearer: random.percent(20),
        flaw: None,
        age: random.pick(&[-60, 0, 1, 100, 600]),
        left: random.pick(&[61, 300, 3600]),
        agent,
        depth: random.pick(&[0, 0, 0, 1, 2]),
        audience: vec![server],
        grant_for: server,
        tools: vec![(if random.percent(15) { "*" } else { tool }, limits)],
        prompts: vec![("greet", if random.percent(50) { vec![("to", Limit::Not("evil"))] } else { vec![] })],
        resources: vec!["file:///readme", "file:///secret/key"],
        features: vec!["elicitation", "roots"],
    };
    let answers = if server == "tickets" && random.percent(10) { vec!["elicitation"] } else { vec![] };
    let arguments = match asked {
        Asked::Tool(tool) => good_arguments(tool, random),
        Asked::Prompt(_) => vec![("to", random.pick(&["\"you\"", "\"me\""]))],
        _ => vec![],
    };
    World {
        presented: Presented::Token(token),
        revoked: None,
        locked: false,
        drifted: false,
        server,
        asked,
        arguments: Arguments::Object(arguments),
        answers,
        trust: random.pick(&[0, 0, 1, 2]),
        sensitivity: random.pick(&[0, 1, 2, 3]),
        counts: [random.pick(&[1, 6, 7, 10]), random.pick(&[1, 5]), 1],
        approvals: approvals(random),
    }
}

fn limits(tool: &str, random: &mut Random) -> Vec<(&'static str, Limit)> {
    match tool {
        "read_ticket" => vec![("id", Limit::AtMost(random.pick(&[100, 4_100])))],
        "issue_refund" => vec![
            ("amount", Limit::AtMost(random.pick(&[10_000, 100_000]))),
            ("tags", Limit::Anything),
            ("to", random.pick(&[Limit::OneOf(&["me", "you"]), Limit::Not("evil"), Limit::Anything])),
        ],
        "run" => vec![("script", Limit::Not("evil")), ("times", Limit::Anything)],
        _ => vec![("count", Limit::Anything), ("note", Limit::Not("evil"))],
    }
}

fn good_arguments(tool: &str, random: &mut Random) -> Vec<(&'static str, &'static str)> {
    let mut given = Vec::new();
    let mut add = |percent, name, values: &[&'static str], random: &mut Random| {
        if random.percent(percent) {
            given.push((name, random.pick(values)));
        }
    };
    match tool {
        "read_ticket" => add(100, "id", &["1", "0", "-2", "1.0"], random),
        "issue_refund" => {
            add(90, "amount", &["1", "99.99", "250.5", "500", "200.00", "999.5001"], random);
            add(70, "to", &["\"me\"", "\"you\"", "null"], random);
            add(30, "tags", &["[]", "[\"a\",\"b\"]"], random);
        }
        "run" => {
            add(100, "script", &["\"ls\""], random);
            add(50, "times", &["3", "null", "9223372036854775807"], random);
        }
        _ => {
            add(60, "count", &["1", "7"], random);
            add(60, "note", &["\"x\"", "17", "true"], random);
        }
    }
    given
}

fn approvals(random: &mut Random) -> Vec<Approval> {
    let count = random.pick(&[0, 0, 1, 2]);
    let one = |random: &mut Random| Approval {
        of_this_call: random.percent(70),
        left: random.pick(&[-1, 0, 1, 60, 600]),
        by: random.pick(&[vec![OWN], vec!["u-2"], vec!["u-2", OWN], vec!["u-2", "u-3"], vec!["u-3"], vec![]]),
    };
    (0..count).map(|_| one(random)).collect()
}

/// Makes one thing wrong.
fn spoil(world: &mut World, random: &mut Random) {
    match random.below(28) {
        0 => world.presented = Presented::Nothing,
        1 => world.presented = Presented::Invalid,
        2 => world.presented = Presented::BadProof,
        3 => world.presented = Presented::Replayed,
        4 => world.revoked = Some(random.pick(&[Kind::Token, Kind::Run, Kind::Agent, Kind::Key])),
        5 => world.locked = true,
        6 | 7 => world.drifted = true,
        8 => world.counts[0] = 101,
        9 => world.counts[1] = random.pick(&[21, 31]),
        10 => world.counts[2] = 4,
        11 => {
            world.asked = random.pick(&[
                Asked::Tool("delete_ticket"),
                Asked::Prompt("farewell"),
                Asked::Prompt("unheard"),
                Asked::Answer("sampling"),
                Asked::Question("sampling"),
                Asked::Answer("roots"),
                Asked::Resource("file:///etc/passwd"),
                Asked::Complete("farewell"),
                Asked::Watch(&["file:///readme", "file:///etc/passwd"]),
                Asked::Unheard,
            ]);
        }
        13 => world.answers = random.pick(&[vec!["elicitation", "sampling"], vec!["roots"]]),
        12 => world.arguments = Arguments::Broken(random.pick(&["[]", "{", "{\"id\":1,\"id\":2}", "7"])),
        14..=21 => spoil_arguments(world, random),
        _ => spoil_token(world, random),
    }
}

fn spoil_arguments(world: &mut World, random: &mut Random) {
    let refund = Asked::Tool("issue_refund");
    let (asked, values): (_, &[(&str, &str)]) = match random.below(9) {
        0 => (world.asked.clone(), &[("extra", "1"), ("count", "\"x\"")]),
        1 | 2 => (Asked::Tool("read_ticket"), &[("id", "2"), ("id", "41"), ("id", "9223372036854775807")]),
        3 => {
            (Asked::Tool("read_ticket"), &[("id", "1e3"), ("id", "9223372036854775808"), ("id", "null"), ("id", "1.5")])
        }
        4 => (
            Asked::Tool("annotate"),
            &[("count", "1e3"), ("note", "1e99"), ("count", "null"), ("note", "\"evil\""), ("COUNT", "1")],
        ),
        5 => (refund, &[("amount", "1e3"), ("amount", "1.00001"), ("amount", "922337203685478")]),
        6 => (refund, &[("amount", "1000"), ("amount", "999.51"), ("amount", "\"5\""), ("amount", "-0")]),
        7 => (refund, &[("to", "\"evil\""), ("to", "[\"me\"]"), ("why", "{\"n\":1e9}"), ("tags", "[1]")]),
        _ => (refund, &[("amount", "201"), ("amount", "5")]),
    };
    let (name, value) = random.pick(values);
    // The same tool with another argument, or another call altogether, granted or not.
    if world.asked != asked {
        world.asked = asked;
        let Asked::Tool(tool) = world.asked else {
            return;
        };
        world.server = "tickets";
        world.arguments = Arguments::Object(good_arguments(tool, random));
        if let Presented::Token(token) = &mut world.presented {
            let limits = if random.percent(50) { limits(tool, random) } else { vec![] };
            token.tools.insert(0, (tool, limits));
            if random.percent(90) {
                (token.audience, token.grant_for) = (vec!["tickets"], "tickets");
            }
        }
    }
    if let Arguments::Object(given) = &mut world.arguments {
        given.retain(|(given, _)| *given != name);
        given.push((name, value));
    }
}

fn spoil_token(world: &mut World, random: &mut Random) {
    let Presented::Token(token) = &mut world.presented else {
        return;
    };
    match random.below(6) {
        0 => match random.below(4) {
            0 => token.age = -61,
            _ => token.flaw = Some(random.pick(&[Flaw::Issuer, Flaw::Domain, Flaw::Incoherent])),
        },
        1 => (token.left, token.age) = (random.pick(&[0, -1, -60]), 300),
        2 => token.audience = random.pick(&[vec![], vec!["lab2"], vec!["ghost"]]),
        3 => token.agent = REGISTERED,
        4 => token.tools = vec![("annotate", vec![])],
        _ => token.grant_for = "ghost",
    }
}
