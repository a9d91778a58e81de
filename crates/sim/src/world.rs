//! A world: everything that a call is decided by, in the plainest words that there are. The naive model reads it as it
//! stands; the real `decide` gets it as a bundle, an input and evidence.
//!
//! The registry is fixed; which policies hold, with which numbers, is drawn.

use remit_core::gate::Gate;
use remit_core::revoked::Kind;

/// The clock of every world.
pub const NOW: i64 = 1_795_250_400;
/// The principal of every token.
pub const OWN: &str = "u-1";

/// An agent as registered.
pub struct Agent {
    /// `<team>`.
    pub team: &'static str,
    /// `<team>/<name>`.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// `production` or `staging`.
    pub environment: &'static str,
    /// What its manifest names.
    pub needs: &'static [&'static str],
    /// Calls in all, in a minute, equal in a row.
    pub limits: [u64; 3],
}

/// The registered agents; the last one is not registered.
pub const AGENTS: [Agent; 5] = [
    Agent {
        team: "support",
        name: "support/triage",
        version: "1",
        environment: "production",
        needs: &[
            "tickets/read_ticket",
            "tickets/issue_refund",
            "tickets/annotate",
            "prompt:tickets/farewell",
            "resource:tickets/file:///etc/passwd",
            "client:tickets/sampling",
        ],
        limits: [100, 10, 3],
    },
    Agent {
        team: "support",
        name: "support/triage",
        version: "2",
        environment: "staging",
        needs: &["lab/run", "tickets/read_ticket"],
        limits: [50, 20, 2],
    },
    Agent {
        team: "support-eu",
        name: "support-eu/triage",
        version: "1",
        environment: "production",
        needs: &["tickets/issue_refund"],
        limits: [100, 10, 3],
    },
    Agent {
        team: "billing",
        name: "billing/payer",
        version: "1",
        environment: "production",
        needs: &["tickets/issue_refund", "tickets/read_ticket"],
        limits: [10, 5, 1],
    },
    Agent {
        team: "support",
        name: "support/ghost",
        version: "1",
        environment: "production",
        needs: &[],
        limits: [1, 1, 1],
    },
];

/// How many of [`AGENTS`] are registered.
pub const REGISTERED: usize = 4;

/// What an argument is declared to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `string`
    Text,
    /// `array` of `string`
    Texts,
    /// `object`: no policy can read it.
    Opaque,
}

/// A tool as pinned.
pub struct Tool {
    /// `<server>/<tool>`.
    pub id: &'static str,
    /// 0 to 3.
    pub tier: i64,
    /// Its arguments, and which of them must be there.
    pub arguments: &'static [(&'static str, Is, bool)],
    /// Whether it takes arguments that are not declared.
    pub open: bool,
}

/// The exposed tools.
pub const TOOLS: [Tool; 4] = [
    Tool { id: "tickets/read_ticket", tier: 0, arguments: &[("id", Is::Integer, true)], open: false },
    Tool {
        id: "tickets/issue_refund",
        tier: 3,
        arguments: &[
            ("amount", Is::Number, false),
            ("tags", Is::Texts, false),
            ("to", Is::Text, false),
            ("why", Is::Opaque, false),
        ],
        open: false,
    },
    Tool { id: "tickets/annotate", tier: 1, arguments: &[("count", Is::Integer, false)], open: true },
    Tool {
        id: "lab/run",
        tier: 2,
        arguments: &[("script", Is::Text, true), ("times", Is::Integer, false)],
        open: false,
    },
];

/// Name, environment, whether it has resources, prompts, features of a client that it may use.
pub type Server = (&'static str, &'static str, bool, &'static [&'static str], &'static [&'static str]);

/// Servers with their environment, whether they have resources, their prompts, and the features that they may use.
pub const SERVERS: [Server; 2] = [
    ("tickets", "production", true, &["greet", "farewell"], &["elicitation", "sampling"]),
    ("lab", "staging", false, &[], &[]),
];

/// What a policy's scope names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody.
    Anybody,
    /// A team's agents.
    Team(&'static str),
    /// An agent in all its versions.
    Name(&'static str),
}

/// What a policy's scope says of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Everything.
    Anything,
    /// Every tool call.
    AnyTool,
    /// Every tool of a server.
    ToolsOf(&'static str),
    /// One tool.
    Tool(&'static str),
    /// Reading a resource.
    Resources,
    /// Getting a prompt.
    Prompts,
    /// Answering what a server asks.
    Answers,
}

/// When a policy applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// `amount` is there and above this many hundredths.
    AmountOver(i64),
    /// `to` is there and is this.
    To(&'static str),
    /// The tool's tier is at least this.
    TierFrom(i64),
    /// The root read something untrusted, and the tool's tier is at least this.
    UntrustedAndTierFrom(i64),
    /// The root has read something of this sensitivity or above.
    SensitivityFrom(i64),
    /// Some argument cannot be traced to a trusted source.
    Unproven,
    /// `amount` itself cannot be traced to a trusted source.
    AmountTrustFrom(i64),
    /// The token was presented without a proof.
    Bearer,
    /// The agent and the tool are of different environments.
    OtherEnvironment,
    /// The run was spawned by another.
    Spawned,
    /// `id`, times a number so large that most ids overflow, is positive.
    IdOverflows,
    /// The resource's URI lies below this.
    UriBelow(&'static str),
    /// More calls than this so far.
    CallsOver(u64),
}

/// A policy: whether it permits, or forbids until a gate is lifted, or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A permit; else a forbid.
    pub permit: bool,
    /// Evidence that lifts the forbid.
    pub gate: Option<Gate>,
    /// Whose calls.
    pub who: Who,
    /// Which calls.
    pub on: On,
    /// When.
    pub when: When,
    /// The team in whose file it stands; none for the floor.
    pub team: Option<&'static str>,
}

/// What a grant says of one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// Anything.
    Anything,
    /// A number of at most so many hundredths.
    AtMost(i64),
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A scalar that is not this string.
    Not(&'static str),
}

/// What a grant says of one tool or prompt: limits by argument, in the order of their names.
pub type Granted = (&'static str, Vec<(&'static str, Limit)>);

/// What was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// No token.
    Nothing,
    /// A token that is not one of ours.
    Invalid,
    /// No good proof.
    BadProof,
    /// A used proof.
    Replayed,
    /// A verified token.
    Token(Token),
}

/// What makes a verified token none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Of another authority.
    Issuer,
    /// Of another trust domain.
    Domain,
    /// Its claims contradict each other.
    Incoherent,
}

/// A verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Presented without a proof.
    pub bearer: bool,
    /// What makes it none of ours.
    pub flaw: Option<Flaw>,
    /// Seconds from minting until now.
    pub age: i64,
    /// Seconds from now to its end.
    pub left: i64,
    /// Which of [`AGENTS`].
    pub agent: usize,
    /// Links below the root.
    pub depth: u32,
    /// The servers it is for.
    pub audience: Vec<&'static str>,
    /// The server of which its grant speaks.
    pub grant_for: &'static str,
    /// The tools that it grants; `*` is all.
    pub tools: Vec<Granted>,
    /// The prompts.
    pub prompts: Vec<Granted>,
    /// The resources.
    pub resources: Vec<&'static str>,
    /// The features of the client that its server may use.
    pub features: Vec<&'static str>,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A tool, without its server.
    Tool(&'static str),
    /// A prompt.
    Prompt(&'static str),
    /// A resource.
    Resource(&'static str),
    /// The answer to what the server asked by this feature.
    Answer(&'static str),
    /// What the server asks by this feature.
    Question(&'static str),
    /// Another method, which needs no more than a grant for its server.
    Method,
    /// What could stand in a prompt's arguments.
    Complete(&'static str),
    /// To be told when these resources change.
    Watch(&'static [&'static str]),
    /// A method that nobody has.
    Unheard,
}

/// The arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arguments {
    /// An object: names and the JSON text of their values.
    Object(Vec<(&'static str, &'static str)>),
    /// Something else.
    Broken(&'static str),
}

/// An approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Of exactly this call.
    pub of_this_call: bool,
    /// Seconds from now to its end.
    pub left: i64,
    /// Who gave it.
    pub by: Vec<&'static str>,
}

/// One world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct World {
    /// What was presented.
    pub presented: Presented,
    /// What took the token back.
    pub revoked: Option<Kind>,
    /// Locked down.
    pub locked: bool,
    /// The tool is not what was pinned.
    pub drifted: bool,
    /// The server that is asked.
    pub server: &'static str,
    /// What is asked.
    pub asked: Asked,
    /// With which arguments.
    pub arguments: Arguments,
    /// By which features the server asked what is answered on the way.
    pub answers: Vec<&'static str>,
    /// 0 verified, 1 internal, 2 untrusted.
    pub trust: i64,
    /// 0 public to 3 regulated.
    pub sensitivity: i64,
    /// Calls in all, in a minute, equal in a row.
    pub counts: [u64; 3],
    /// The evidence.
    pub approvals: Vec<Approval>,
}

impl Token {
    /// Calls in all, in a minute, equal in a row: the least of what the agents of its lineage have.
    pub fn limits(&self) -> [u64; 3] {
        let above = AGENTS.iter().skip(1).take(self.depth as usize);
        let least = |most: [u64; 3], agent: &Agent| {
            [0, 1, 2].map(|n: usize| most.get(n).min(agent.limits.get(n)).copied().unwrap_or(0))
        };
        above.fold(self.who().limits, least)
    }

    /// The agent that it names.
    pub fn who(&self) -> &'static Agent {
        let [.., unregistered] = &AGENTS;
        AGENTS.get(self.agent).unwrap_or(unregistered)
    }
}

impl World {
    /// The tool that is called, where it is exposed.
    pub fn tool(&self) -> Option<&'static Tool> {
        match self.asked {
            Asked::Tool(name) => TOOLS.iter().find(|tool| tool.id.split_once('/') == Some((self.server, name))),
            _ => None,
        }
    }

    /// The server, where it is registered.
    pub fn server(&self) -> Option<&'static Server> {
        SERVERS.iter().find(|server| server.0 == self.server)
    }

    /// The arguments, by name.
    pub fn given(&self) -> &[(&'static str, &'static str)] {
        match &self.arguments {
            Arguments::Object(given) => given,
            Arguments::Broken(_) => &[],
        }
    }

    /// One argument.
    pub fn argument(&self, name: &str) -> Option<&'static str> {
        let mut given = self.given().iter();
        given.find(|(given, _)| *given == name).map(|(_, value)| *value)
    }

    /// One argument, where it is there: `null` counts as absent.
    pub fn value(&self, name: &str) -> Option<&'static str> {
        self.argument(name).filter(|value| *value != "null")
    }
}
