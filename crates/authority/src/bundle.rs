//! Bundles: what is registered and the policy files, signed under the root key with a version that only rises.
//!
//! **Invariant:** what does not compile is never issued; the last good bundle stays, and the error says why.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use remit_audit::note;
use remit_core::bundle::{BUNDLE_BYTES_MAX, Bundle, PolicyFile, TeamPolicies, Versioned};
use remit_core::hash::{sha256, sha256_text};
use remit_core::id::Team;
use remit_core::owner::Gated;
use remit_core::policy;
use remit_core::registry::{Agent, Offline, Server, Tool};
use remit_core::role::OrgRole;
use remit_core::secret::Reference;

use crate::authority::{Core, State};
use crate::change::{AgentRecord, Change, ServerRecord, ToolRecord};
use crate::config::BUNDLE_SECONDS;
use crate::error::AuthorityError;
use crate::lend::references;
use crate::offline::{self, Terms};
use crate::posture::FileSaid;
use crate::roles::gates_stand;
use crate::separation::{self, Rules};
use crate::store::LastBundle;

const _: () = assert!(BUNDLE_BYTES_MAX <= note::NOTE_BYTES_MAX, "what is issued can be opened");

/// A bundle as gateways get it.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    /// Its version.
    pub(crate) version: u64,
    /// Its end, in seconds since 1970.
    pub(crate) not_after: i64,
    /// Digest of its content.
    pub(crate) digest: String,
    /// The signed note.
    pub(crate) note: Bytes,
}

/// What is offered to gateways now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offered {
    /// The last good bundle.
    pub(crate) bundle: Option<Arc<Published>>,
    /// Why what is registered now could not become a bundle.
    pub(crate) error: Option<String>,
}

/// What of the policy files the authority itself decides by.
#[derive(Default)]
pub(crate) struct Loaded {
    /// Separation of duty; nothing where it could never be read.
    rules: Option<Rules>,
    /// The gates of the last good bundle.
    gates: Vec<Gated>,
    /// What agents may be handed by links, as it was issued last.
    pub(crate) offline: Terms,
}

impl State {
    /// The rules of separation that stand.
    pub(crate) fn rules(&self) -> Result<Rules, AuthorityError> {
        let unread = || AuthorityError::Bundle(format!("{} of the floor could not be read", separation::FILE));
        self.loaded().rules.clone().ok_or_else(unread)
    }

    /// The gates of the last good bundle.
    pub(crate) fn gates(&self) -> Vec<Gated> {
        self.loaded().gates.clone()
    }

    /// Digest of each file of the floor, and of a team's.
    pub(crate) fn policy_digests(&self, team: &Team) -> Result<Vec<FileSaid>, AuthorityError> {
        let own = self.home.teams().join(team.as_str());
        let mut said = Vec::new();
        for (place, dir) in [("floor".to_owned(), self.home.floor()), (format!("team/{team}"), own)] {
            for file in policies(&dir)? {
                let digest = sha256_text(&sha256(&[file.text.as_bytes()]));
                said.push(FileSaid { name: format!("{place}/{}", file.name), digest });
            }
        }
        Ok(said)
    }

    /// Issues what is registered now, where it differs from what was issued last or that ends soon.
    pub(crate) fn publish(&self) -> Result<Arc<Published>, AuthorityError> {
        // One at a time: two that compile at once could issue an older state under a newer version.
        let _publishing = self.publishing();
        let result = self.issue();
        self.bundle.send_modify(|offered| match &result {
            Ok(published) => {
                *offered = Offered { bundle: Some(Arc::clone(published)), error: None };
            }
            Err(error) => offered.error = Some(error.to_string()),
        });
        if let Err(error) = &result {
            tracing::error!(%error, "bundle refused, the last good one stays");
        }
        result
    }

    fn issue(&self) -> Result<Arc<Published>, AuthorityError> {
        let rules = separation::read(&self.home.floor()).map_err(AuthorityError::Bundle)?;
        self.loaded().rules = Some(rules);
        let floor = policies(&self.home.floor())?;
        let teams = team_policies(&self.home.teams())?;
        let (bundle, last) = {
            let core = self.core();
            let bundle = assemble(self, &core, floor, teams)?;
            (bundle, core.journal.store().last_bundle()?)
        };
        let now = self.config.clock.now();
        let next = last.as_ref().map_or(0, |last| last.version).saturating_add(1);
        let (fresh, gates) = self.write(&bundle, next, now.saturating_add(BUNDLE_SECONDS))?;
        gates_stand(self.core().journal.store(), &gates)?;
        self.loaded().gates = gates;
        if let Some(last) = last.filter(|last| still_good(last, &fresh, now)) {
            return Ok(Arc::new(self.write(&bundle, last.version, last.not_after)?.0));
        }
        self.core().journal.record(&Change::Bundle {
            version: fresh.version,
            not_after: fresh.not_after,
            digest: fresh.digest.clone(),
            at: now,
        })?;
        Ok(Arc::new(fresh))
    }

    fn write(&self, bundle: &Bundle, version: u64, not_after: i64) -> Result<(Published, Vec<Gated>), AuthorityError> {
        let domain = &self.config.trust_domain;
        let text = Versioned::write(domain, version, not_after, bundle)
            .ok_or_else(|| AuthorityError::Bundle("larger than a bundle may be".into()))?;
        let note = note::sign(&text, &self.root);
        if note.len() > BUNDLE_BYTES_MAX {
            return Err(AuthorityError::Bundle(format!("with its signature larger than {BUNDLE_BYTES_MAX} bytes")));
        }
        // What is compiled is what was written, read back: exactly what a gateway will see.
        let versioned = Versioned::read(&text, domain).map_err(invalid)?;
        let digest = sha256_text(&versioned.digest);
        let gates = policy::compile(versioned, domain.clone()).map_err(invalid)?.gates();
        Ok((Published { version, not_after, digest, note: note.into() }, gates))
    }
}

fn invalid(error: impl std::fmt::Display) -> AuthorityError {
    AuthorityError::Bundle(error.to_string())
}

fn still_good(last: &LastBundle, fresh: &Published, now: i64) -> bool {
    let left = last.not_after.saturating_sub(now);
    last.digest == fresh.digest && left > BUNDLE_SECONDS / 2
}

fn assemble(
    state: &State,
    core: &Core,
    floor: Vec<PolicyFile>,
    teams: Vec<TeamPolicies>,
) -> Result<Bundle, AuthorityError> {
    let store = core.journal.store();
    let mut servers = Vec::new();
    for record in store.servers()? {
        let tools = store.tools(&record.name)?;
        let secrets = references(store, &record.name)?;
        servers.push(server(record, tools, secrets));
    }
    let (rules, now) = (state.rules()?, state.config.clock.now());
    let (mut agents, mut handed) = (Vec::new(), Terms::new());
    for record in store.agents()? {
        let may = offline::terms(core, &rules, &record, now)?;
        if record.manifest.agent.offline {
            handed.push((record.id.clone(), may.clone()));
        }
        agents.push(agent(record, may));
    }
    state.loaded().offline = handed;
    Ok(Bundle {
        issuer: state.config.issuer.clone(),
        gateway: state.config.gateway.clone(),
        keys: core.keys.public(),
        servers,
        agents,
        floor,
        teams,
    })
}

fn server(record: ServerRecord, tools: Vec<ToolRecord>, secrets: Vec<Reference>) -> Server {
    let exposed = tools.into_iter().filter(|tool| tool.exposed).map(|tool| Tool {
        name: tool.name,
        pin: tool.pin,
        tier: tool.tier,
        returns: tool.returns,
        roles: tool.roles,
        input: tool.input,
    });
    Server {
        tools: exposed.collect(),
        name: record.name,
        environment: record.environment,
        owner: Some(record.owner.unwrap_or(OrgRole::Platform)),
        upstream: record.upstream,
        prompts: record.prompts,
        resources: record.resources,
        features: record.features,
        secrets,
    }
}

fn agent(record: AgentRecord, offline: Vec<Offline>) -> Agent {
    let manifest = record.manifest;
    Agent {
        needs: manifest.needs.iter().map(|need| need.target.clone()).collect(),
        tier: manifest.tier(),
        id: record.id,
        purpose: manifest.agent.purpose,
        tags: manifest.agent.tags,
        environment: manifest.agent.environment,
        offline,
        calls_max: manifest.budget.calls,
        calls_per_minute_max: manifest.budget.calls_per_minute,
        repeats_max: manifest.budget.repeats,
    }
}

/// The `*.cedar` files of a directory, by name; none where there is no directory.
fn policies(dir: &Path) -> Result<Vec<PolicyFile>, AuthorityError> {
    let mut files = Vec::new();
    for path in entries(dir)? {
        if path.extension().is_some_and(|extension| extension == "cedar") {
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let name = name.ok_or_else(|| invalid(format!("{} has no readable name", path.display())))?;
            let text = std::fs::read_to_string(&path).map_err(AuthorityError::at(&path))?;
            let name = name.to_owned();
            files.push(PolicyFile { name, text });
        }
    }
    Ok(files)
}

fn team_policies(dir: &Path) -> Result<Vec<TeamPolicies>, AuthorityError> {
    let mut teams = Vec::new();
    for path in entries(dir)? {
        if path.is_dir() {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let team = Team::new(name).map_err(invalid)?;
            let files = policies(&path)?;
            teams.push(TeamPolicies { team, files });
        }
    }
    Ok(teams)
}

fn entries(dir: &Path) -> Result<Vec<std::path::PathBuf>, AuthorityError> {
    let read = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(AuthorityError::at(dir))?,
    };
    let paths: std::io::Result<Vec<_>> = read.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(AuthorityError::at(dir))?;
    paths.sort();
    Ok(paths)
}
