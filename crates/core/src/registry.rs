//! What the bundle says of servers, tools and agents, as gateways need it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::feature::Feature;
use crate::id::{AgentId, ServerName, ToolName};
use crate::label::Label;
use crate::role::OrgRole;
use crate::secret::Reference;
use crate::target::Target;

/// Most servers, tools of one server, and agents in a bundle.
pub const REGISTRY_ITEMS_MAX: usize = 100_000;

/// Where a server or an agent belongs. An agent of staging never reaches production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// Real effects.
    Production,
    /// Effects that nobody minds.
    Staging,
}

impl Environment {
    /// The name, as policies compare it.
    pub fn name(self) -> &'static str {
        match self {
            Environment::Production => "production",
            Environment::Staging => "staging",
        }
    }
}

/// The harm that a tool can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ToolTier {
    /// Reads a closed world.
    T0,
    /// Reads an open world, or writes reversibly within its own scope.
    T1,
    /// Communicates outward, or writes shared state.
    T2,
    /// Irreversible, financial, about credentials or permissions, in bulk, or executes code.
    T3,
}

impl ToolTier {
    /// The tier as policies compare it: 0 to 3.
    pub fn level(self) -> i64 {
        match self {
            ToolTier::T0 => 0,
            ToolTier::T1 => 1,
            ToolTier::T2 => 2,
            ToolTier::T3 => 3,
        }
    }

    /// The tier's name.
    pub fn name(self) -> &'static str {
        match self {
            ToolTier::T0 => "T0",
            ToolTier::T1 => "T1",
            ToolTier::T2 => "T2",
            ToolTier::T3 => "T3",
        }
    }
}

/// How much control an agent is under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlTier {
    /// Sandbox, rate limit and budget.
    Light,
    /// Scoped tokens and the log.
    Medium,
    /// Every write is confirmed by a person.
    MediumPlus,
    /// Scope, tier, sign.
    Full,
}

impl ControlTier {
    /// The tier's name.
    pub fn name(self) -> &'static str {
        match self {
            ControlTier::Light => "light",
            ControlTier::Medium => "medium",
            ControlTier::MediumPlus => "medium-plus",
            ControlTier::Full => "full",
        }
    }
}

/// What an argument is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Where the effect goes: a recipient, an account, a URL.
    Target,
    /// Something that is executed.
    Command,
    /// A secret.
    Credential,
    /// What is acted on.
    Selector,
    /// Text that is passed on.
    Content,
    /// A flag that changes how the tool behaves.
    Control,
}

/// How a server is reached. Credentials are never in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "lowercase", deny_unknown_fields)]
pub enum Upstream {
    /// Streamable HTTP.
    Http {
        /// The MCP endpoint.
        url: String,
    },
    /// A child process of the gateway.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        #[serde(default)]
        args: Vec<String>,
    },
}

/// An upstream MCP server as registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Its name, in `/mcp/<name>`.
    pub name: ServerName,
    /// Where it belongs.
    pub environment: Environment,
    /// Who answers for what its tools do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OrgRole>,
    /// How it is reached.
    pub upstream: Upstream,
    /// The menu: tools that are exposed. What is not here does not exist, whatever the upstream offers.
    #[serde(default)]
    pub tools: Vec<Tool>,
    /// Prompts that are exposed.
    #[serde(default)]
    pub prompts: Vec<ToolName>,
    /// Whether resources may be read at all.
    #[serde(default)]
    pub resources: bool,
    /// Features of a client that it may use, where that was granted.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<Feature>,
    /// The credentials with which it is reached: where each goes and which version it has, never what it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Reference>,
}

/// A tool as it was reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Its name.
    pub name: ToolName,
    /// Digest of its definition, `sha256:<hex>`.
    pub pin: String,
    /// The harm it can do.
    pub tier: ToolTier,
    /// The worst label of what it returns.
    pub returns: Label,
    /// What each argument is for.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
    /// Its pinned `inputSchema`.
    pub input: serde_json::Value,
}

/// A registered agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Its identity, with the version.
    pub id: AgentId,
    /// Why it exists.
    pub purpose: String,
    /// Marks that policies read.
    #[serde(default)]
    pub tags: Vec<String>,
    /// How much control it is under.
    pub tier: ControlTier,
    /// Where it belongs.
    pub environment: Environment,
    /// What its manifest says that it needs, whether or not it is granted now.
    #[serde(default)]
    pub needs: Vec<Target>,
    /// What a run of it may have that another run began by itself, by a link; nothing where that is not to be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offline: Vec<Offline>,
    /// Calls that one root may make.
    pub calls_max: u64,
    /// Calls that one root may make in a minute.
    pub calls_per_minute_max: u64,
    /// Calls with the same tool and arguments that one root may make in a row.
    pub repeats_max: u64,
}

/// One thing that an agent may be handed without the authority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offline {
    /// What.
    pub target: Target,
    /// For how long at once, in seconds.
    pub seconds: i64,
    /// Until when at all, in seconds since 1970: the end of the registration, or of the need.
    pub until: i64,
}
